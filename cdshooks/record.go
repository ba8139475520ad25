// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what one call leaves in the audit log: a Record, as compressed
// JSON in the entry's body, and the fields by which it can be found.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/flate" // writes the same format as compress/flate in less time

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/policy"
)

// RecordSchema names the form of a Record.
const RecordSchema = "sepsisagent.call/1"

// The kinds of audit entries that this package writes.
const (
	KindDecision = "decision" // a call that was decided, whatever the outcome
	KindFeedback = "feedback" // what a clinician did with a card
	KindRefusal  = "refusal"  // a call that was not let in: 4xx
	KindFailure  = "failure"  // a call that could not be answered: 412, 5xx, client gone
	KindBatch    = "batch"    // a feedback call as a whole; its items are entries of kind feedback
	KindRead     = "read"     // somebody opened a receipt as a page
	// Not of a call, and with a body of their own (DisplayChange, Comparison):
	KindDisplay     = "display"     // what may be shown changed
	KindCalibration = "calibration" // a forecast was compared with what came
)

// Record is the body of one entry. Receipt and Response are there when a
// decision was made; Response is the body that was sent, before the extension
// that names this very entry was added. No token is ever part of it.
type Record struct {
	Schema   string          `json:"schema"`
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Request  RequestMeta     `json:"request"`
	Status   int             `json:"status"`
	Reason   string          `json:"reason,omitempty"` // stable word of a refusal or failure
	Detail   string          `json:"detail,omitempty"` // error text, for an operator; may hold chart data
	Display  *DisplayChoice  `json:"display,omitempty"`
	Settings *RenderSettings `json:"settings,omitempty"`
	Receipt  *engine.Receipt `json:"receipt,omitempty"`
	// Ordering are the drafted orders of a call that had nothing to judge and so
	// has no receipt; else they are in the receipt's case.
	Ordering *engine.Ordering `json:"ordering,omitempty"`
	Response json.RawMessage  `json:"response,omitempty"`
	Feedback *Feedback        `json:"feedback,omitempty"`
}

// RequestMeta is what is kept of a request beside the chart.
type RequestMeta struct {
	Service      string          `json:"service"`
	Client       string          `json:"client,omitempty"`
	JTI          string          `json:"jti,omitempty"`
	RequestID    string          `json:"requestId,omitempty"`
	Hook         string          `json:"hook,omitempty"`
	HookInstance string          `json:"hookInstance,omitempty"`
	User         string          `json:"user,omitempty"`
	Patient      string          `json:"patient,omitempty"`
	Encounter    string          `json:"encounter,omitempty"`
	FHIRServer   string          `json:"fhirServer,omitempty"`
	FHIRAccess   string          `json:"fhirAccess,omitempty"` // the right there was to read it: fhirAuthorization or backend
	Bytes        int             `json:"bytes"`
	Digest       string          `json:"digest,omitempty"`    // SHA-256 of the body as received
	Manifest     json.RawMessage `json:"manifest,omitempty"`  // where each key's data came from
	Extension    object          `json:"extension,omitempty"` // the client's own, bounded
}

// DisplayChoice is the display mode in force and why it is not the configured one.
type DisplayChoice struct {
	Mode       string `json:"mode"`
	Configured string `json:"configured"`
	Code       string `json:"code,omitempty"` // why, as a stable word: LoweredKilled and so on
	Why        string `json:"why,omitempty"`
}

// Forms of a body. The first byte says which.
const formFlateJSON = 1

// maxRecord bounds the unpacked size of a body: a damaged one must not fill
// memory.
const maxRecord = 512 << 20

// ErrRecord: the bytes are not a record of this product.
var ErrRecord = errors.New("not a call record")

// flaters are kept because a compressor's tables are larger than most records.
var flaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic("cdshooks: flate refuses its own level") // the level is a constant
	}
	return w
}}

// EncodeRecord writes a record as the body of an audit entry.
func EncodeRecord(r *Record) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(formFlateJSON)
	w := flaters.Get().(*flate.Writer)
	defer flaters.Put(w)
	w.Reset(&buf)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // keeps Response byte for byte
	if err := errors.Join(enc.Encode(r), w.Close()); err != nil {
		return nil, fmt.Errorf("encode record %s: %w", r.ID, err)
	}
	return buf.Bytes(), nil
}

// DecodeRecord reads the body of an audit entry. Errors wrap ErrRecord.
func DecodeRecord(body []byte) (*Record, error) {
	if len(body) == 0 || body[0] != formFlateJSON {
		return nil, fmt.Errorf("%w: unknown form", ErrRecord)
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(body[1:])), maxRecord+1))
	if err != nil || len(text) > maxRecord {
		return nil, fmt.Errorf("%w: it does not unpack", ErrRecord)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if r.Schema != RecordSchema {
		return nil, fmt.Errorf("%w: schema %q", ErrRecord, r.Schema)
	}
	return &r, nil
}

// Index makes the searchable side of a record.
func (r *Record) Index(at time.Time) audit.Index {
	m := r.Request
	ix := audit.Index{
		ID: r.ID, Time: at, Kind: r.Kind, Client: m.Client, RequestID: m.RequestID, HookInstance: m.HookInstance,
		Service: m.Service, User: m.User, Patient: m.Patient, Encounter: m.Encounter, HTTP: r.Status,
	}
	if r.Display != nil {
		ix.Display = r.Display.Mode
	}
	if r.Reason != "" {
		ix.Reasons = []string{r.Reason}
	}
	if r.Receipt == nil {
		return ix
	}
	rc := r.Receipt
	d := rc.Outcome.Decision
	ix.Unit, ix.Status, ix.Topic, ix.Evidence = rc.Stay.Unit, string(d.Status), rc.Outcome.Topic, rc.Outcome.Evidence
	ix.Model, ix.RulesHash, ix.CodeMaps = rc.Hashes.Model, rc.Hashes.Rules, rc.Hashes.CodeMaps
	for _, reason := range d.Reasons {
		ix.Reasons = append(ix.Reasons, reason.Code)
	}
	if blocked(rc) {
		ix.Reasons = append(ix.Reasons, ReasonBlocked)
	}
	if why := rc.Outcome.Suppressed; why != "" {
		ix.Reasons, ix.Refers = append(ix.Reasons, "suppressed", "suppressed-"+why), rc.Outcome.Refers
	}
	ix.Drugs = drugsOf(rc)
	ix.Rules = append(ix.Rules, orderRules(rc)...)
	for _, list := range [][]policy.Verdict{d.Hazards, d.Verdicts} {
		for _, v := range list {
			ix.Rules = append(ix.Rules, v.ID)
		}
	}
	ix.Reasons, ix.Rules = unique(ix.Reasons), unique(ix.Rules)
	var sent Response
	if json.Unmarshal(r.Response, &sent) == nil {
		ix.Shown = len(sent.Cards) > 0 && r.Status == http.StatusOK // a card made for a client that is gone was not shown
		for _, c := range sent.Cards {
			ix.Cards = append(ix.Cards, c.UUID)
			for _, s := range c.Suggestions {
				ix.Cards = append(ix.Cards, s.UUID)
			}
		}
	}
	return ix
}

// ReasonBlocked marks decisions in which a rule forbade an option, so that they
// are found without opening every receipt.
const ReasonBlocked = "blocked"

// blocked reports that a rule forbade an option, or spoke against a drafted order
// as it would against an option.
func blocked(rc *engine.Receipt) bool {
	d := rc.Outcome.Decision
	forbids := func(v policy.Verdict) bool { return v.Effect == policy.Block }
	if slices.ContainsFunc(d.Verdicts, forbids) || slices.ContainsFunc(d.Options, func(o agent.Option) bool { return o.Blocked }) {
		return true
	}
	return slices.ContainsFunc(rc.Outcome.Orders, func(a agent.Assessed) bool { return slices.ContainsFunc(a.Spoke, forbids) })
}

// drugsOf are the drugs that a card could speak of: what was suggested, or
// ordered.
func drugsOf(rc *engine.Receipt) []string {
	out := orderDrugs(rc)
	a := rc.Outcome.Decision.Advice
	if a.Vasopressor != nil {
		out = append(out, string(a.Vasopressor.Drug))
	}
	if a.Fluid != nil {
		out = append(out, a.Fluid.Kind)
	}
	return unique(out)
}

func unique(list []string) []string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	slices.Sort(list)
	return slices.Compact(list)
}
