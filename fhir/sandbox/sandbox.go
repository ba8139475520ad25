// SPDX-License-Identifier: Apache-2.0

// Package sandbox is an in-process EHR for the demonstration and for tests: a
// small FHIR R4 API over synthetic patients, a CDS Hooks client with a key of
// its own, and a page on which a person picks a patient, fires patient-view and
// sees the card as an EHR would show it. It meets the CDS service over HTTP
// only, with the same contract as any other EHR.
//
// It trusts the CDS service at Config.CDSBaseURL no more than an EHR should:
// answers are size-limited, card text is rendered without raw HTML and images,
// and access tokens live for one call. It has no login of its own and must be
// bound to loopback; nothing but synthetic data is in it.
package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// ErrConfig says that a sandbox was configured so that it cannot work.
var ErrConfig = errors.New("sandbox configuration")

// ErrUnknownPatient says that no such patient is in the sandbox.
var ErrUnknownPatient = errors.New("no such patient in the sandbox")

// Config makes a sandbox.
type Config struct {
	// BaseURL is the address under which Handler is reached, with the path it is
	// mounted at; e.g. http://127.0.0.1:8080/ehr.
	BaseURL string
	// CDSBaseURL is the CDS service, without /cds-services.
	CDSBaseURL string
	// Patients to show. Nil: physiology.Demo.
	Patients []physiology.DemoPatient
	// Now is the clock. Nil: time.Now. Charts are moved so that they end now.
	Now func() time.Time
	// HTTP calls the CDS service. Nil: a client with a 20 s timeout.
	HTTP *http.Client
}

// ClientRegistration is what the CDS service must know of this EHR to accept
// its calls.
type ClientRegistration struct {
	Name     string
	Issuer   string
	JWKSURL  string
	JWKS     string // the same key set inline
	FHIRBase string
	Origin   string
	AppID    string // the service's id here as a SMART app
}

// Sandbox is the EHR. Its handlers may be called concurrently.
type Sandbox struct {
	cfg      Config
	base     *url.URL
	keys     *keys
	apps     *apps
	handler  http.Handler
	markdown markdown
	order    []string // patient ids as shown

	mu   sync.Mutex // guards beds, their contents, and last
	beds map[string]*bed
	last map[string]*Result // newest answer by patient id
}

// bed is one patient with the chart as anchored at some time.
type bed struct {
	demo     physiology.DemoPatient
	style    fhir.Style
	anchored time.Time
	chart    *state.Chart
	store    *store
}

// anchorFor is how long an anchored chart is served before it is moved to now
// again.
const anchorFor = time.Minute

// New makes the sandbox with a fresh key. It starts nothing.
func New(cfg Config) (*Sandbox, error) {
	base, err := url.Parse(strings.TrimRight(cfg.BaseURL, "/"))
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("%w: base URL %q is not absolute", ErrConfig, cfg.BaseURL)
	}
	cds, err := url.Parse(cfg.CDSBaseURL)
	if err != nil || cds.Host == "" {
		return nil, fmt.Errorf("%w: CDS base URL %q is not absolute", ErrConfig, cfg.CDSBaseURL)
	}
	cfg.CDSBaseURL = strings.TrimRight(cfg.CDSBaseURL, "/")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 20 * time.Second}
	}
	if cfg.Patients == nil {
		if cfg.Patients, err = physiology.Demo(cfg.Now()); err != nil {
			return nil, err
		}
	}
	s := &Sandbox{cfg: cfg, base: base, apps: newApps(), beds: map[string]*bed{}, last: map[string]*Result{}, markdown: newMarkdown()}
	if s.keys, err = newKeys(); err != nil {
		return nil, err
	}
	for i, p := range cfg.Patients {
		id := p.Course.PersonID()
		if s.beds[id] != nil {
			return nil, fmt.Errorf("%w: patient %q twice", ErrConfig, id)
		}
		s.order = append(s.order, id)
		s.beds[id] = &bed{demo: p, style: styleFor(i, p.Name)} // its chart is made when it is first opened
	}
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler serves the page, the FHIR API and the key set under the path of
// Config.BaseURL.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// Client is how to register this EHR with the CDS service.
func (s *Sandbox) Client() ClientRegistration {
	return ClientRegistration{
		Name: "sandbox", Issuer: s.base.String(), JWKSURL: s.base.String() + "/jwks.json", JWKS: string(s.keys.jwks),
		FHIRBase: s.fhirBase(), Origin: s.base.Scheme + "://" + s.base.Host, AppID: appID,
	}
}

// PatientIDs lists the patients in the order of the page.
func (s *Sandbox) PatientIDs() []string { return append([]string(nil), s.order...) }

func (s *Sandbox) fhirBase() string { return s.base.String() + "/fhir" }

// styleFor gives every patient another hospital's habits.
func styleFor(i int, name string) fhir.Style {
	styles := []fhir.Style{
		{Rate: fhir.RatePerKg},
		{Rate: fhir.RatePerMin, Fahrenheit: true},
		{Rate: fhir.RateMlH, SI: true, VasopressinPerHour: true},
		{Rate: fhir.RateRatio, FiO2Fraction: true, CodedScores: true},
		{Rate: fhir.RatePerKg, SI: true, SplitPressure: true},
	}
	st := styles[i%len(styles)]
	st.PersonName = name
	return st
}

// anchor moves the patient's course so that it ends now and writes it to FHIR
// again, unless that was done within the last minute.
func (s *Sandbox) anchor(b *bed) error {
	now := s.cfg.Now()
	if b.store != nil && now.Sub(b.anchored).Abs() < anchorFor {
		return nil
	}
	chart := b.demo.Course.EndAt(now).Chart()
	resources, err := fhir.Write(chart, b.style)
	if err != nil {
		return fmt.Errorf("sandbox patient %s: %w", b.demo.Bed, err)
	}
	st, err := newStore(resources)
	if err != nil {
		return err
	}
	b.anchored, b.chart, b.store = now, chart, st
	return nil
}

// open gives a patient's bed with the chart moved to now.
func (s *Sandbox) open(id string) (bed, error) { return s.get(id, true) }

// held gives a patient's bed with the chart as it was opened, so that the
// fetches of one hook call see what its prefetch saw.
func (s *Sandbox) held(id string) (bed, error) { return s.get(id, false) }

func (s *Sandbox) get(id string, move bool) (bed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.beds[id]
	if b == nil {
		return bed{}, ErrUnknownPatient
	}
	if move || b.store == nil {
		if err := s.anchor(b); err != nil {
			return bed{}, err
		}
	}
	return *b, nil
}
