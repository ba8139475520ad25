// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the configuration of the service.

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/drift"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// ErrConfig: the configuration of the service is unusable; the text says what
// to change.
var ErrConfig = errors.New("service configuration")

// Config is the configuration of the CDS Hooks service.
type Config struct {
	// PublicURL is the base URL at which clients reach this service, e.g.
	// https://cds.example.org. The audience of tokens and the links of cards
	// are built from it and never from a request. Required.
	PublicURL string `yaml:"public_url"`
	// Clients are the registered CDS clients. Nobody else gets an answer.
	Clients []trust.Client `yaml:"clients"`
	// Leeway is the clock skew allowed in tokens, at most 60s. Default 60s.
	Leeway time.Duration `yaml:"leeway"`
	// MaxBodyBytes is the largest request body. Default 32 MiB: whole ICU
	// charts reach 23 MB.
	MaxBodyBytes int64 `yaml:"max_body_bytes"`
	// MaxBytesInFlight bounds the bodies of all calls under way together, and by
	// that memory: a decoded body takes several times its bytes
	// (docs/operations.md). More wait briefly and are then answered 503. Where
	// several clients are registered, one has three quarters of it. Default:
	// four times max_body_bytes.
	MaxBytesInFlight int64 `yaml:"max_bytes_in_flight"`
	// Deadline bounds one call once its body has arrived. Default 8s. A call
	// that reaches it answers 503 and decides nothing.
	Deadline time.Duration `yaml:"deadline"`
	// FHIRBudget is the part of the deadline that fetching from the EHR may
	// use. Default: half of it.
	FHIRBudget time.Duration `yaml:"fhir_budget"`
	// RecordBudget is how long a call waits for the audit log where something else
	// writes to it: half of it to note that its token is used, half to store its
	// receipt, beside the deadline. Default 3s. Who waits longer is answered 500
	// and gets no decision; at the bedside nobody waits longer.
	RecordBudget time.Duration `yaml:"record_budget"`
	// Prefetch is how the published prefetch templates ask: with or without
	// dates, and in which page size. Default: as clients of CDS Hooks 2.0.1 can
	// do it.
	Prefetch fhir.PrefetchOptions `yaml:"prefetch"`
	// MaxConcurrent is how many calls are worked on at once; more wait briefly
	// and are then answered 503. Default 16.
	MaxConcurrent int `yaml:"max_concurrent"`
	// PriorWindow is how far back earlier cards about the same patient and user
	// are read, for the suppression of repeats: an override is forgotten after
	// it. Default 24h, at least engine.repeat_window_min; 0 suppresses nothing.
	PriorWindow time.Duration `yaml:"prior_window"`
	// EvidenceLife is how long the evidence link of a card works. Where a client
	// has launch.link_alone, who holds the link can read the page, so keep it
	// short. Default 2h.
	EvidenceLife time.Duration `yaml:"evidence_life"`
	// EvidenceKey signs evidence links and seals their sessions; at least 32
	// characters. Who knows it can open every receipt as a page. Empty: a key is made at start, and
	// links die with the process.
	EvidenceKey Secret `yaml:"evidence_key"`
	// TimeZone in which cards write times, e.g. Europe/Berlin. Default UTC.
	TimeZone string `yaml:"time_zone"`
	// SourceLabel names the source of guidance on cards.
	SourceLabel string `yaml:"source_label"`
	// TopicSystem is the code system of card topics. Default: the URL of this
	// project.
	TopicSystem string `yaml:"topic_system"`
	// SpecVersion is the version of CDS Hooks that the discovery document
	// announces, with the version of each hook: members that CDS Hooks 3.0
	// brings. Default: none, as in 2.0.1.
	SpecVersion string `yaml:"spec_version"`
	// KillSwitchFile: while a file of this name exists, every display mode is
	// silent. It is looked for on every call. Its folder must exist, so that a
	// switch that is misspelt is found before it is needed.
	KillSwitchFile string `yaml:"kill_switch_file"`
	// Validation names the signed record without which display mode suggest
	// works as inform, and the key that must have signed it (docs/display.md).
	Validation validation.Config `yaml:"validation"`
	// Drift is when forecasts count as no longer holding; the display is then
	// silent (docs/display.md).
	Drift DriftConfig `yaml:"drift"`
}

// specVersion is a semantic version from which on the discovery document says
// which it is of.
var specVersion = regexp.MustCompile(`^([3-9]|[1-9][0-9])\.[0-9]+\.[0-9]+$`)

// DefaultConfig returns the defaults. PublicURL has none.
func DefaultConfig() Config {
	return Config{
		Leeway:        time.Minute,
		MaxBodyBytes:  32 << 20,
		Deadline:      8 * time.Second,
		RecordBudget:  3 * time.Second,
		MaxConcurrent: 16,
		PriorWindow:   24 * time.Hour,
		EvidenceLife:  2 * time.Hour,
		TimeZone:      "UTC",
		SourceLabel:   "SepsisAgent CDS (decision support, not validated for clinical use)",
		TopicSystem:   "https://github.com/sepsisagent/sepsisagent/topics",
		Drift:         DriftConfig{FalseAlarm: drift.DefaultFalseAlarm},
	}
}

// Validate checks the configuration but not the registrations, which trust.New
// checks. Errors wrap ErrConfig.
func (c Config) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		return fail("public_url is not set (hint: the base URL that clients call, e.g. https://cds.example.org)")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fail("public_url %q is not a base URL", c.PublicURL)
	case u.Scheme == "http" && !trust.IsLoopbackHost(u.Hostname()):
		return fail("public_url %q is not https: tokens and charts would travel in clear text (hint: put TLS in front of the service, and name that address)", c.PublicURL)
	case strings.HasSuffix(c.PublicURL, "/"):
		return fail("public_url ends with a slash; remove it, so that audiences match")
	case c.Leeway < 0 || c.Leeway > time.Minute:
		return fail("leeway %v is not between 0 and 1m", c.Leeway)
	case c.MaxBodyBytes < 1<<10 || c.MaxBodyBytes > 1<<30:
		return fail("max_body_bytes %d is not between 1 KiB and 1 GiB", c.MaxBodyBytes)
	case c.MaxBytesInFlight != 0 && (c.MaxBytesInFlight < c.MaxBodyBytes || c.MaxBytesInFlight > 1<<40):
		return fail("max_bytes_in_flight %d is less than max_body_bytes (hint: 0 is four times it)", c.MaxBytesInFlight)
	case c.Deadline <= 0 || c.Deadline > time.Minute:
		return fail("deadline %v is not between 0 and 1m", c.Deadline)
	case c.FHIRBudget < 0 || c.FHIRBudget > c.Deadline:
		return fail("fhir_budget %v is longer than the deadline", c.FHIRBudget)
	case c.RecordBudget < 100*time.Millisecond || c.RecordBudget > time.Minute:
		return fail("record_budget %v is not between 100ms and 1m", c.RecordBudget)
	case c.Prefetch.Count < 0 || c.Prefetch.Count > 100_000:
		return fail("prefetch.count %d is not between 0 and 100000", c.Prefetch.Count)
	case c.MaxConcurrent < 1 || c.MaxConcurrent > 10_000:
		return fail("max_concurrent %d is not between 1 and 10000", c.MaxConcurrent)
	case c.PriorWindow < 0 || c.EvidenceLife <= 0 || c.EvidenceLife > 7*24*time.Hour:
		return fail("prior_window is negative or evidence_life is not between 0 and 168h")
	case c.EvidenceKey != "" && len(c.EvidenceKey) < 32:
		return fail("evidence_key is shorter than 32 characters")
	case c.SourceLabel == "" || c.TopicSystem == "":
		return fail("source_label and topic_system must not be empty")
	case c.SpecVersion != "" && !specVersion.MatchString(c.SpecVersion):
		return fail("spec_version %q is not a version of CDS Hooks from 3.0.0 on (hint: leave it empty for 2.0.1)", c.SpecVersion)
	}
	if err := c.Drift.validate(); err != nil {
		return fail("drift.%v", err)
	}
	if c.KillSwitchFile != "" {
		if info, err := os.Stat(filepath.Dir(c.KillSwitchFile)); err != nil || !info.IsDir() {
			return fail("kill_switch_file %q: its folder is not there, so the switch could not be thrown (hint: make the folder)", c.KillSwitchFile)
		}
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		return fail("time_zone %q is not known (hint: an IANA name such as Europe/Berlin)", c.TimeZone)
	}
	return nil
}

// fhir_budget is FHIRBudget with its default.
func (c Config) fhirBudget() time.Duration {
	if c.FHIRBudget == 0 {
		return c.Deadline / 2
	}
	return c.FHIRBudget
}

// RecordWait is how long one write to the audit log may wait for others.
func (c Config) RecordWait() time.Duration { return c.RecordBudget / 2 }

// maxBytesInFlight is MaxBytesInFlight with its default.
func (c Config) maxBytesInFlight() int64 {
	if c.MaxBytesInFlight == 0 {
		return 4 * c.MaxBodyBytes
	}
	return c.MaxBytesInFlight
}
