// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: one call of the sepsis-treatment service, from token to decision.

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// call is one call while it is worked on. It is owned by one goroutine.
type call struct {
	http   *http.Request
	writer http.ResponseWriter
	id     string // path segment
	at     time.Time
	caller *trust.Caller
	// received is when the call came in by the wall clock; at is by the
	// service's own, which decides.
	received time.Time
	record   Record
	service  offered          // once it is known
	ordering *engine.Ordering // of an order hook
	asked    time.Duration    // spent on the medications of its orders
	chart    *state.Chart     // that was decided on
}

// recorded is where a call's entry went.
type recorded = audit.Appended

func (s *Service) newCall(c *gin.Context) (*call, error) {
	id, err := uuid.NewV7FromReader(s.Random)
	if err != nil {
		return nil, fmt.Errorf("%w: no randomness: %w", ErrInternal, err)
	}
	requestID := c.GetHeader("X-Request-Id")
	if !requestIDForm.MatchString(requestID) {
		requestID = id.String()
	}
	return &call{
		http: c.Request, writer: c.Writer, id: c.Param("id"), at: s.Now().UTC().Truncate(time.Millisecond), received: time.Now(),
		record: Record{
			Schema: RecordSchema, ID: id.String(), Kind: KindDecision, Status: http.StatusOK,
			Request: RequestMeta{RequestID: requestID},
		},
	}, nil
}

// fail records why the call ended without an answer.
func (c *call) fail(err error) {
	f := faultOf(err)
	c.record.Status, c.record.Reason, c.record.Detail = f.status, f.reason, err.Error()
	c.record.Kind = KindFailure
	if f.status < 500 && f.status != http.StatusPreconditionFailed && f.status != statusClientGone {
		c.record.Kind = KindRefusal
	}
	var refusal *trust.Refusal
	if errors.As(err, &refusal) {
		c.record.Reason = "unauthorized-" + refusal.Reason
	}
}

// append stores the call's record, within its share of record_budget. It goes on
// when the client is gone: what was decided is recorded even if nobody waits for
// it.
func (s *Service) append(ctx context.Context, c *call) (*recorded, error) {
	defer s.timed(ctx, "record")()
	body, err := EncodeRecord(&c.record)
	if err != nil {
		return nil, err
	}
	return s.appendEntry(ctx, c.record.Index(c.at), body)
}

func (s *Service) appendEntry(ctx context.Context, ix audit.Index, body []byte) (*recorded, error) {
	salt := make([]byte, 32)
	if _, err := io.ReadFull(rand.Reader, salt); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Config.RecordWait())
	defer cancel()
	appended, err := s.Log.Append(ctx, audit.Entry{Index: ix, Salt: salt, Body: body})
	if err != nil {
		return nil, err
	}
	return &appended, nil
}

// authenticate is the first thing that happens to a call, before its body is
// read.
func (s *Service) authenticate(ctx context.Context, c *call, endpoints ...string) error {
	defer s.timed(ctx, "authenticate")()
	caller, err := s.Trust.Verify(ctx, c.http.Header, endpoints...)
	if err != nil {
		return err
	}
	c.caller = caller
	c.record.Request.Client, c.record.Request.JTI = caller.Client.Name, caller.JTI
	service, ok := serviceOf(c.id)
	if !ok {
		return ErrNoService
	}
	c.service, c.record.Request.Service = service, service.id
	if !caller.Client.MayCall(service.id) {
		return ErrForbidden
	}
	return nil
}

// admit lets a call in: who calls is asked first, then it takes a slot, then its
// body is read. The context it gives ends at the deadline of the call; done
// gives the slot back.
func (s *Service) admit(ctx context.Context, c *call, endpoints ...string) (_ context.Context, body []byte, done func(), err error) {
	if err := s.authenticate(ctx, c, endpoints...); err != nil {
		return nil, nil, nil, err
	}
	release, err := s.slot(ctx, c.caller.Client.Name)
	if err != nil {
		return nil, nil, nil, err
	}
	leave, err := s.room(ctx, c.caller.Client.Name, c.http.ContentLength)
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	if body, err = s.readBody(c.http, c.writer); err != nil {
		leave()
		release()
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Config.Deadline)
	return ctx, body, func() { cancel(); leave(); release() }, nil
}

// treat answers one hook call.
func (s *Service) treat(ctx context.Context, c *call) (answer, error) {
	ctx, body, done, err := s.admit(ctx, c, s.audiences(c.id, "")...)
	if err != nil {
		return answer{}, err
	}
	defer done()
	req, err := s.readRequest(ctx, c, body)
	if err != nil {
		return answer{}, err
	}
	if c.ordering, err = s.ordering(ctx, c, req); err != nil {
		return answer{}, err
	}
	if c.ordering != nil && !concerns(c.ordering) {
		return s.nothingToCheck(c, c.ordering)
	}
	at := c.at.Truncate(time.Second)
	chart, manifest, err := s.gather(ctx, c, req, at)
	c.record.Request.Manifest = manifest
	if err != nil {
		return answer{}, err
	}
	timeline, err := s.timeline(ctx, chart, at)
	if err != nil {
		return answer{}, err
	}
	return s.decide(ctx, c, req, chart, timeline)
}

// readRequest decodes the body and checks it against the contract and the
// client's registration.
func (s *Service) readRequest(ctx context.Context, c *call, body []byte) (*Request, error) {
	defer s.timed(ctx, "decode")()
	sum := sha256.Sum256(body)
	m := &c.record.Request
	m.Bytes, m.Digest = len(body), hex.EncodeToString(sum[:])
	req, err := DecodeRequest(body)
	if err != nil {
		return nil, err
	}
	if uuidForm.MatchString(req.HookInstance) {
		m.HookInstance = req.HookInstance
	}
	if req.Hook != "" && req.Hook != c.service.hook {
		return nil, ErrWrongHook
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	m.Hook, m.User = req.Hook, req.Context.UserID
	m.Patient, m.Encounter, m.FHIRServer = req.Context.PatientID, req.Context.EncounterID, req.FHIRServer
	m.Extension = bounded(req.Extension)
	if registered := c.caller.Client.FHIRServer; req.FHIRServer != "" && registered != "" && !sameBase(req.FHIRServer, registered) {
		return nil, ErrWrongServer
	}
	return req, nil
}

// sameBase compares base URLs but for a trailing slash.
func sameBase(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

// bounded keeps a client's extension for the record when it is of sane size.
func bounded(extension object) object {
	size := 0
	for k, v := range extension {
		size += len(k) + len(v)
	}
	if size > 16<<10 {
		return nil
	}
	return extension
}

// gather gets the chart. The EHR is asked only at the registered address, with
// a token of this very call or, where the registration allows it, of our own.
func (s *Service) gather(ctx context.Context, c *call, req *Request, at time.Time) (*state.Chart, json.RawMessage, error) {
	defer s.timed(ctx, "gather")()
	client := c.caller.Client
	q := ChartQuery{
		Prefetch:  renamed(req.Prefetch, client.Quirks.PrefetchKeys),
		PatientID: req.Context.PatientID, EncounterID: req.Context.EncounterID, At: at, Budget: s.Config.fhirBudget() - c.asked,
	}
	if err := s.authorize(c, req, &q); err != nil {
		return nil, nil, err
	}
	chart, manifest, err := s.Charts.Gather(ctx, q)
	if err == nil && chart == nil {
		err = fmt.Errorf("%w: no chart came", ErrInternal)
	}
	return chart, manifest, err
}

// renamed gives prefetch keys the names of the discovery document.
func renamed(prefetch map[string]json.RawMessage, names map[string]string) map[string]json.RawMessage {
	if len(names) == 0 {
		return prefetch
	}
	out := make(map[string]json.RawMessage, len(prefetch))
	for _, k := range sortedKeys(prefetch) {
		name := k
		if to, ok := names[k]; ok {
			name = to
		}
		if _, taken := out[name]; !taken || name == k {
			out[name] = prefetch[k]
		}
	}
	return out
}

func (s *Service) timeline(ctx context.Context, chart *state.Chart, at time.Time) (*state.Timeline, error) {
	defer s.timed(ctx, "timeline")()
	tl, err := state.Build(chart, at, s.State)
	if err != nil {
		return nil, fmt.Errorf("%w: timeline: %w", ErrInternal, err)
	}
	return tl, nil
}

// decide makes the decision, its receipt and its response.
func (s *Service) decide(ctx context.Context, c *call, req *Request, chart *state.Chart, tl *state.Timeline) (answer, error) {
	role, _, _ := strings.Cut(req.Context.UserID, "/")
	display := s.display(ctx, c.caller.Client, tl.Unit, role)
	c.record.Display = &display
	prior, err := s.prior(ctx, c.at, &c.record.Request)
	if err != nil {
		return answer{}, fmt.Errorf("%w: earlier decisions: %w", ErrInternal, err)
	}
	var seed [8]byte
	if _, err := io.ReadFull(s.Random, seed[:]); err != nil {
		return answer{}, fmt.Errorf("%w: no randomness: %w", ErrInternal, err)
	}
	cs := engine.Case{
		Timeline: tl, Now: tl.At, Seed: binary.BigEndian.Uint64(seed[:]), ID: c.record.ID,
		Client: c.caller.Client.Name, User: req.Context.UserID, Role: role, Display: display.Mode, Prior: prior,
		Ordering: c.ordering,
	}
	decided := s.timed(ctx, "decide")
	outcome, err := s.Decider.Decide(ctx, cs)
	decided()
	if err != nil {
		return answer{}, fmt.Errorf("decide: %w", err)
	}
	defer s.timed(ctx, "render")()
	receipt, err := s.Decider.Receipt(cs, chart, outcome)
	if err != nil {
		return answer{}, fmt.Errorf("%w: receipt: %w", ErrInternal, err)
	}
	settings, err := s.settings(c, req)
	if err != nil {
		return answer{}, err
	}
	response, err := Render(Rendering{
		ID: cs.ID, Seed: cs.Seed, Display: display.Mode, Timeline: tl, Outcome: outcome,
		Model: receipt.Model, Hashes: receipt.Hashes, Settings: settings,
	})
	if err != nil {
		return answer{}, err
	}
	sent, err := response.Encode()
	if err != nil {
		return answer{}, err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return answer{}, ErrDeadline // whoever asked has stopped waiting; a late card must not look like a new one
	}
	c.record.Receipt, c.record.Settings, c.record.Response, c.chart = &receipt, &settings, sent, chart
	s.metrics.decided(&outcome, &display, len(response.Cards) > 0)
	return answer{response: &response}, nil
}

// settings are what the cards of this call depend on beside the decision.
func (s *Service) settings(c *call, req *Request) (RenderSettings, error) {
	handle, err := s.seal.Handle(c.record.ID, c.at.Add(s.Config.EvidenceLife))
	if err != nil {
		return RenderSettings{}, fmt.Errorf("%w: evidence handle", ErrInternal)
	}
	out := RenderSettings{
		SourceLabel: s.Config.SourceLabel, TopicSystem: s.Config.TopicSystem, TimeZone: s.Config.TimeZone,
		PatientID: req.Context.PatientID, Quirks: c.caller.Client.Quirks,
	}
	s.setLinks(&out, c.caller.Client, handle)
	if len(s.ModelCard) > 0 {
		out.SourceURL = s.Config.PublicURL + "/model-card"
	}
	out.Quirks.PrefetchKeys = nil
	return out, nil
}

// withReceipt adds to each card the extension that names the call's entry in
// the log, and encodes the response.
func withReceipt(r Response, at *recorded) ([]byte, error) {
	for i := range r.Cards {
		link := ""
		if len(r.Cards[i].Links) > 0 && r.Cards[i].Links[0].Type == LinkAbsolute {
			link = r.Cards[i].Links[0].URL + "/receipt"
		}
		value, err := json.Marshal(receiptExtension{ID: at.ID, Leaf: at.Leaf, LeafHash: at.LeafHash, Size: at.Size, Root: at.Root, URL: link})
		if err != nil {
			return nil, err
		}
		with := maps.Clone(r.Cards[i].Extension)
		if with == nil {
			with = map[string]json.RawMessage{}
		}
		with[ReceiptExtension] = value
		r.Cards[i].Extension = with
	}
	return r.Encode()
}

// receiptExtension says where a card's receipt is in the log.
type receiptExtension struct {
	ID       string `json:"id"`
	Leaf     int64  `json:"leaf"`
	LeafHash string `json:"leafHash"`
	Size     int64  `json:"size"`
	Root     string `json:"root"`
	URL      string `json:"url,omitempty"`
}
