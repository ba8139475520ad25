// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: serving the evidence and receipt pages that cards link to. The
// handle in the address names one receipt for a limited time; who may open it
// is in pages_launch.go. That a page was opened, and by whom, is itself put
// into the log, before the page is sent.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func (s *Service) serveEvidence(c *gin.Context) {
	s.servePage(c, func(ctx context.Context, stored audit.Record, r *Record) ([]byte, error) {
		if r == nil || r.Receipt == nil {
			return s.receiptPage(ctx, c, stored, r)
		}
		return EvidencePage(s.Charts, s.State, r, PageView{Zone: s.zone(), Now: s.Now(), ReceiptURL: c.Param("handle") + "/receipt"})
	})
}

// PageView is what a page depends on beside the record.
type PageView struct {
	Zone       *time.Location
	Now        time.Time // when it is opened; the advice may be void by then
	ReceiptURL string
}

// EvidencePage writes the page of a recorded decision from its receipt. The
// chart is made again from the stored records; where this build makes another
// one of them than was decided on, or none, the page says so.
func EvidencePage(m Remapper, cfg state.Config, r *Record, view PageView) ([]byte, error) {
	in, err := EvidenceOf(m, cfg, r, view)
	if err != nil {
		return nil, err
	}
	return evidence.Evidence(in)
}

// EvidenceOf is what EvidencePage writes, for a page that shows it among other
// things. Errors wrap ErrRecord.
func EvidenceOf(m Remapper, cfg state.Config, r *Record, view PageView) (evidence.Input, error) {
	if r.Receipt == nil {
		return evidence.Input{}, fmt.Errorf("%w: nothing was decided", ErrRecord)
	}
	in := evidence.Input{
		Receipt: r.Receipt, Zone: view.Zone, Now: view.Now, Void: r.Receipt.At.Add(CardValid), ReceiptURL: view.ReceiptURL,
		Withheld: r.Display == nil || r.Display.Mode != trust.DisplaySuggest,
	}
	if tl, err := rebuild(m, cfg, r); err == nil {
		digest, err := tl.Digest()
		in.Timeline, in.Differs = tl, err != nil || digest != r.Receipt.TimelineDigest
	}
	in.Summary, in.Indicator, in.Unseen = headline(r, in.Timeline)
	return in, nil
}

// headline is what the card of a decision said, or would have said, and then
// why it was not shown.
func headline(r *Record, tl *state.Timeline) (summary, indicator, unseen string) {
	var sent Response
	if json.Unmarshal(r.Response, &sent) == nil && len(sent.Cards) > 0 {
		return sent.Cards[0].Summary, sent.Cards[0].Indicator, ""
	}
	o := r.Receipt.Outcome
	unseen = "not shown as a card"
	if why := unseenWords[o.Suppressed]; why != "" {
		unseen += ": " + why
	}
	summary, indicator = "The chart cannot be read again; see the reasons below", IndicatorInfo
	if o.Topic == engine.TopicOrder {
		summary = "Nothing to say about the drafted orders"
	}
	if r.Settings == nil || tl == nil {
		return summary, indicator, unseen
	}
	again := Rendering{
		ID: r.ID, Seed: r.Receipt.Case.Seed, Display: trust.DisplayInform, Timeline: tl, Outcome: o,
		Model: r.Receipt.Model, Hashes: r.Receipt.Hashes, Settings: *r.Settings,
	}
	if r.Display != nil && r.Display.Mode == trust.DisplaySuggest {
		again.Display = trust.DisplaySuggest
	}
	again.Outcome.Show = true
	if made, err := Render(again); err == nil && len(made.Cards) > 0 {
		summary, indicator = made.Cards[0].Summary, made.Cards[0].Indicator
	}
	return summary, indicator, unseen
}

// unseenWords say why a decision that could have been shown was not.
var unseenWords = map[string]string{
	engine.SuppressedSilent: "this unit is in silent mode", engine.SuppressedRole: "not for this user's role",
	engine.SuppressedRepeat:     "it was shown to this user before, and nothing has changed",
	engine.SuppressedOverridden: "this user overrode it, and nothing has changed",
}

func (s *Service) serveReceipt(c *gin.Context) {
	s.servePage(c, func(ctx context.Context, stored audit.Record, r *Record) ([]byte, error) {
		return s.receiptPage(ctx, c, stored, r)
	})
}

func (s *Service) receiptPage(ctx context.Context, c *gin.Context, stored audit.Record, r *Record) ([]byte, error) {
	in := evidence.ReceiptInput{Record: stored, Zone: s.zone(), Unread: r == nil}
	if r != nil {
		in.Receipt, in.Sources, in.Happened = r.Receipt, sourcesOf(r.Request.Manifest), happened(r)
	}
	if in.Receipt != nil {
		in.EvidenceURL = s.Config.PublicURL + "/evidence/" + c.Param("handle")
	}
	if s.Proofs != nil {
		proof, err := s.Proofs.ProveInclusion(ctx, stored.Leaf)
		if err != nil {
			return nil, fmt.Errorf("prove entry %d: %w", stored.Leaf, err)
		}
		in.Inclusion = &proof
	}
	return evidence.Receipt(in)
}

// happened says why a call has no decision, in the words its client got. What
// the error itself said may hold chart data and is not shown.
func happened(r *Record) string {
	if r.Reason == reasonNothingToCheck {
		return "None of the drafted orders is a vasopressor or a resuscitation fluid, so none was checked."
	}
	if r.Status < http.StatusBadRequest {
		return ""
	}
	for _, f := range faults {
		if f.reason == r.Reason {
			return f.words
		}
	}
	return ""
}

// sourcesOf reads the manifest of a record; nil where it has none.
func sourcesOf(manifest json.RawMessage) []evidence.Source {
	var m fhir.Manifest
	if json.Unmarshal(manifest, &m) != nil {
		return nil
	}
	var out []evidence.Source
	for _, p := range m.Parts {
		out = append(out, evidence.Source{Key: p.Key, How: string(p.From), Resources: p.Resources, Why: p.Why})
	}
	return out
}

// servePage opens the handle, reads the entry, records the reading, and sends
// the page. Every handle that does not open gives the same 404.
func (s *Service) servePage(c *gin.Context, write func(context.Context, audit.Record, *Record) ([]byte, error)) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.Config.Deadline)
	defer cancel()
	framedBy(c, nil)
	id, err := s.seal.Open(c.Param("handle"), s.Now())
	if err != nil {
		s.notice(c, http.StatusNotFound, "This link does not work", "It is not valid, or no longer: a link holds for a limited time. Open the chart again for a new card.")
		return
	}
	body, err := s.page(ctx, c, id, write)
	if refusal := (*launch.Refusal)(nil); errors.As(err, &refusal) {
		s.notLaunched(c, err)
		return
	}
	if err != nil {
		s.Logger.Error("page", zap.String("id", id), zap.Bool("missing", errors.Is(err, audit.ErrNotFound)))
		s.notice(c, http.StatusInternalServerError, "The page cannot be shown", "Treat from the chart and the bedside. The receipt is "+id+".")
		return
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", body)
}

// notice answers with a page that only says something.
func (s *Service) notice(c *gin.Context, status int, title, text string) {
	body, err := evidence.Notice(title, text)
	if err != nil {
		c.String(status, title+"\n")
		return
	}
	c.Data(status, "text/html; charset=utf-8", body)
}

// page makes the page of one entry. An entry that is no record of a call, by
// another hand or of a later version, has a receipt page like any other; its
// record is nil then. Who may not open it gets a *launch.Refusal.
func (s *Service) page(ctx context.Context, c *gin.Context, id string, write func(context.Context, audit.Record, *Record) ([]byte, error)) ([]byte, error) {
	stored, err := s.Log.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	who, reason := s.visitor(c, stored.Index)
	framedBy(c, who.client)
	if reason != "" {
		return nil, s.recordRefusedVisit(ctx, stored.Index, who.user, reason, &launch.Refusal{Reason: reason})
	}
	r, err := DecodeRecord(stored.Body)
	if err != nil {
		r = nil
	}
	body, err := write(ctx, stored, r)
	if err != nil {
		return nil, err
	}
	return body, s.recordVisit(ctx, &Record{
		Kind: KindRead, Status: http.StatusOK,
		Request: RequestMeta{Service: "evidence", Client: stored.Index.Client, Patient: stored.Index.Patient, User: who.user},
	}, stored.Index.ID)
}

// recordVisit appends that a page about an entry was opened, or was not to be.
func (s *Service) recordVisit(ctx context.Context, r *Record, refers string) error {
	id, err := uuid.NewV7FromReader(s.Random)
	if err != nil {
		return err
	}
	r.Schema, r.ID = RecordSchema, id.String()
	ix := r.Index(s.Now().UTC())
	ix.Refers = refers
	body, err := EncodeRecord(r)
	if err != nil {
		return err
	}
	_, err = s.appendEntry(ctx, ix, body)
	return err
}

func (s *Service) zone() *time.Location {
	zone, err := time.LoadLocation(s.Config.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Remapper maps stored records to the chart they came from.
type Remapper interface {
	Remap(person state.Person, stay state.Stay, gaps []state.Gap, records []state.Record) (*state.Chart, error)
	Drafts(records []state.Drafted) []state.Draft
}

// rebuild makes the timeline of a recorded decision again, from its records.
func rebuild(m Remapper, cfg state.Config, r *Record) (*state.Timeline, error) {
	rc := r.Receipt
	chart, err := m.Remap(rc.Person, rc.Stay, rc.Gaps, rc.Records)
	if err != nil {
		return nil, fmt.Errorf("map the stored records: %w", err)
	}
	return state.Build(chart, rc.At, cfg)
}
