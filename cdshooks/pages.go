// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: serving the evidence and receipt pages that cards link to. The
// handle in the link is all that a visitor has: it names one receipt for a
// limited time. That a page was opened is itself put into the log, before the
// page is sent.

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
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func (s *Service) serveEvidence(c *gin.Context) {
	s.servePage(c, func(ctx context.Context, stored audit.Record, r *Record) ([]byte, error) {
		if r.Receipt == nil {
			return s.receiptPage(ctx, c, stored, r)
		}
		tl, err := rebuild(s.Charts, s.State, r)
		if err != nil {
			return nil, err
		}
		in := evidence.Input{
			Receipt: r.Receipt, Timeline: tl, Zone: s.zone(), Indicator: IndicatorInfo, Summary: "No card was shown: " + string(r.Receipt.Outcome.Decision.Status),
			Withheld: r.Display == nil || r.Display.Mode != trust.DisplaySuggest, ReceiptURL: c.Param("handle") + "/receipt",
		}
		var sent Response
		if json.Unmarshal(r.Response, &sent) == nil && len(sent.Cards) > 0 {
			in.Summary, in.Indicator = sent.Cards[0].Summary, sent.Cards[0].Indicator
		}
		return evidence.Evidence(in)
	})
}

func (s *Service) serveReceipt(c *gin.Context) {
	s.servePage(c, func(ctx context.Context, stored audit.Record, r *Record) ([]byte, error) {
		return s.receiptPage(ctx, c, stored, r)
	})
}

func (s *Service) receiptPage(ctx context.Context, c *gin.Context, stored audit.Record, r *Record) ([]byte, error) {
	in := evidence.ReceiptInput{Record: stored, Receipt: r.Receipt, Zone: s.zone(), Sources: sourcesOf(r.Request.Manifest)}
	if r.Receipt != nil {
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
	c.Header("Content-Security-Policy", evidence.ContentSecurityPolicy)
	id, err := s.seal.Open(c.Param("handle"), s.Now())
	if err != nil {
		c.String(http.StatusNotFound, "This link is not valid, or no longer. Open the card again.\n")
		return
	}
	body, err := s.page(ctx, id, write)
	if err != nil {
		s.Logger.Error("page", zap.String("id", id), zap.Bool("missing", errors.Is(err, audit.ErrNotFound)))
		c.String(http.StatusInternalServerError, "The page cannot be shown. The receipt is "+id+".\n")
		return
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", body)
}

func (s *Service) page(ctx context.Context, id string, write func(context.Context, audit.Record, *Record) ([]byte, error)) ([]byte, error) {
	stored, err := s.Log.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := DecodeRecord(stored.Body)
	if err != nil {
		return nil, err
	}
	body, err := write(ctx, stored, r)
	if err != nil {
		return nil, err
	}
	return body, s.recordReading(ctx, r)
}

// recordReading appends that a page about a decision was opened.
func (s *Service) recordReading(ctx context.Context, of *Record) error {
	id, err := uuid.NewV7FromReader(s.Random)
	if err != nil {
		return err
	}
	read := Record{
		Schema: RecordSchema, ID: id.String(), Kind: KindRead, Status: http.StatusOK,
		Request: RequestMeta{Service: "evidence", Client: of.Request.Client, Patient: of.Request.Patient},
	}
	ix := read.Index(s.Now().UTC())
	ix.Refers = of.ID
	body, err := EncodeRecord(&read)
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
