// SPDX-License-Identifier: Apache-2.0

// Package cdshooks is the CDS Hooks service: discovery, the treatment service
// on patient-view, the order checks on order-select and order-sign, feedback,
// the cards, and the replay of a recorded call.
//
// One call goes this way: authenticate, decode, gather the chart, build the
// timeline, decide, render, record, answer. The record is durable before the
// answer leaves; a call that cannot be recorded is not answered. Whatever goes
// wrong ends in an error with a receipt and never in an empty list of cards,
// which to an EHR means "evaluated, nothing to say".
//
// It trusts the registered clients to say truly who their user and patient
// are, and nothing else in a request: not its addresses, not the kind of its
// resources, not the patient they belong to.
package cdshooks

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// Charts gets and maps the chart of a patient. It is safe for concurrent use.
type Charts interface {
	// Gather reads prefetch and, where it must and may, the EHR. Errors wrap
	// ErrWrongPatient, ErrUnobtainable or ErrDenied where one of them is the
	// cause; the manifest is then returned as far as it is known.
	Gather(ctx context.Context, q ChartQuery) (*state.Chart, json.RawMessage, error)
	// ReadDrafts takes the draftOrders of an order hook apart, and Drafts maps
	// them. Errors are those of fhir.Mapper.ReadDrafts.
	ReadDrafts(raw json.RawMessage, q fhir.DraftsFor) (*fhir.DraftOrders, error)
	Drafts(records []state.Drafted) []state.Draft
	// Medications reads what drafted orders name by a reference, as
	// fhir.Mapper.FetchMedications does.
	Medications(ctx context.Context, q ChartQuery, ids []string) []json.RawMessage
	// Remap maps stored records again, by the same code.
	Remap(person state.Person, stay state.Stay, gaps []state.Gap, records []state.Record) (*state.Chart, error)
}

// ChartQuery asks for one patient's chart.
type ChartQuery struct {
	Prefetch    map[string]json.RawMessage // by the service's own keys
	From        *fhir.Server               // registered for the client; nil when nothing may be fetched
	Access      fhir.Access                // to it, for this call
	Authorize   func(context.Context) (fhir.Access, error)
	PatientID   string
	EncounterID string
	At          time.Time
	Budget      time.Duration // for fetching
}

// Decider decides. Decide is a pure function of the case (engine.Case).
type Decider interface {
	Decide(ctx context.Context, c engine.Case) (engine.Outcome, error)
	Receipt(c engine.Case, chart *state.Chart, o engine.Outcome) (engine.Receipt, error)
}

// Log is the audit log. Append returns only when the entry is durable; an id
// that is already there gives audit.ErrDuplicate.
type Log interface {
	Append(ctx context.Context, e audit.Entry) (audit.Appended, error)
	Get(ctx context.Context, id string) (audit.Record, error)
	Query(ctx context.Context, f audit.Filter) ([]audit.Row, error)
}

// Deps are what a service is made of. All are required but those marked.
type Deps struct {
	Config    Config
	State     state.Config
	Trust     *trust.Registry
	Charts    Charts
	Templates map[string]string // prefetch templates, by key
	Decider   Decider
	Log       Log
	Proofs    evidence.Prover // optional: shows proofs on the receipt page
	Model     world.Info
	Hashes    engine.Hashes
	ModelCard []byte // optional: Markdown served at /model-card

	// OwnAccess is the service's own access to FHIR servers, by client name:
	// of exactly the clients whose registration says backend.
	OwnAccess map[string]OwnAccess
	// KeySet gives our public key set as JSON. Nil: the empty set.
	KeySet func() []byte

	// Validated says how things stand with the local validation, which display
	// mode suggest needs (design.md 5.11). Nil: by the record that the
	// configuration names; without one, suggest works as inform.
	Validated func(now time.Time) validation.Standing
	// Predecessor is the running service that this one is to replace
	// (TakeOver): its metrics go on, its places are shared, and links to
	// evidence that it made keep working. Optional.
	Predecessor *Service
	// Ready reports whether the service can work, for /readyz. Optional.
	Ready  func(ctx context.Context) error
	Now    func() time.Time     // optional: time.Now
	Random io.Reader            // optional: crypto/rand
	Logger *zap.Logger          // optional: none
	Traces trace.TracerProvider // optional: none
}

// Service answers hook calls. It is safe for concurrent use.
type Service struct {
	Deps
	discovery []byte
	etag      string
	key       []byte // of links and sessions
	seal      *evidence.Seal
	launch    *launch.App
	slots     chan struct{}
	limits    map[string]*limits  // by client name
	bytes     *semaphore.Weighted // of bodies in memory
	drains    chan struct{}       // refused bodies that are read to their end
	metrics   *metrics
	shown     *shownState
	watch     *watch

	fhirMu      sync.Mutex              // guards fhirServers
	fhirServers map[string]*fhir.Server // by client name
}

// New checks the configuration and makes a service. Errors wrap ErrConfig.
func New(d Deps) (*Service, error) {
	if err := d.Config.Validate(); err != nil {
		return nil, err
	}
	if d.Trust == nil || d.Charts == nil || d.Decider == nil || d.Log == nil || len(d.Templates) == 0 {
		return nil, fmt.Errorf("%w: trust, charts, decider, log and templates are required", ErrConfig)
	}
	if err := checkPrefetchKeys(d.Trust.Clients(), d.Templates); err != nil {
		return nil, err
	}
	if err := checkOwnAccess(d.Trust.Clients(), d.OwnAccess); err != nil {
		return nil, err
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if d.Traces == nil {
		d.Traces = noop.NewTracerProvider()
	}
	key, err := evidenceKey(d)
	if err != nil {
		return nil, err
	}
	s := &Service{Deps: d, key: key, seal: evidence.NewSeal(key), slots: make(chan struct{}, d.Config.MaxConcurrent), limits: newLimits(d.Trust.Clients(), d.Config), bytes: newBytes(d.Config), drains: make(chan struct{}, maxDrains), metrics: newMetrics(), fhirServers: map[string]*fhir.Server{}}
	s.launch, err = launch.New(launch.Config{
		Clients: d.Trust.Clients(), PublicURL: d.Config.PublicURL, Key: key, Once: d.Trust.LaunchedOnce, Now: d.Now, Random: d.Random,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if s.shown, err = newShownState(d); err != nil {
		return nil, err
	}
	if s.Validated == nil {
		if s.Validated, err = validatedBy(d); err != nil {
			return nil, err
		}
	}
	s.watch = newWatch()
	if d.Predecessor != nil {
		s.adopt(d.Predecessor)
	} else {
		s.exposeHealth()
	}
	s.discovery, s.etag, err = discoveryDocument(d.Templates, d.Config.SpecVersion)
	return s, err
}

// evidenceKey is the key of links and sessions: as configured, else that of the
// service that this one replaces, else a new one.
func evidenceKey(d Deps) ([]byte, error) {
	if key := d.Config.EvidenceKey.Reveal(); key != "" {
		return []byte(key), nil
	}
	if old := d.Predecessor; old != nil && old.Config.EvidenceKey == "" {
		return old.key, nil
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(d.Random, key); err != nil {
		return nil, fmt.Errorf("%w: no randomness: %w", ErrConfig, err)
	}
	return key, nil
}

// audiences are what a token for a call of a service may be meant for: its
// public URL, with each of the suffixes. A call of a service there is not is
// told so to whoever may call any other.
func (s *Service) audiences(id string, suffixes ...string) []string {
	var out []string
	for _, o := range services {
		if _, known := serviceOf(id); known && o.id != id {
			continue
		}
		for _, suffix := range suffixes {
			out = append(out, s.Config.PublicURL+"/cds-services/"+o.id+suffix)
		}
	}
	return out
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
