// SPDX-License-Identifier: Apache-2.0

package main

// This file: the JSON API of the audit log. Every answer goes one way: who asks,
// may they, what is the answer, is the reading on record, and only then is it sent.
// What somebody may not see and what there is not are refused before the log is
// looked at, or in the same words.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/story"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// auditCall is one call of the API.
type auditCall struct {
	r      *http.Request
	reader access.Reader
	reason string // why the glass is broken; empty: it is not
	values url.Values
	// For the record of the reading:
	what            any
	found           int
	patient, refers string
}

// errNotThere is of an entry that is not there and of one that is not for this
// reader. Nobody is told which.
var errNotThere = fmt.Errorf("%w, or not for this reader", audit.ErrNotFound)

// mountAPI serves the API.
func (s auditSurface) mountAPI(mux *http.ServeMux) {
	for pattern, answer := range map[string]func(context.Context, *auditCall) (any, error){
		"GET /audit/records":            s.records,
		"GET /audit/records/{id}":       s.record,
		"GET /audit/records/{id}/proof": s.recordProof,
		"GET /audit/records/{id}/story": s.story,
		"GET /audit/patients":           s.patients,
		"GET /audit/rates":              s.rates,
		"GET /audit/checkpoint":         s.checkpoint,
		"GET /audit/proof/inclusion":    s.inclusion,
		"POST /audit/proof/consistency": s.consistency,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, pattern, answer) })
	}
	// Everything else under /audit/ is refused like a call without a token: what
	// there is to be called is not told to strangers.
	mux.HandleFunc("/audit/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, "unknown", func(context.Context, *auditCall) (any, error) { return nil, errNotThere })
	})
}

// serve answers one call.
func (s auditSurface) serve(w http.ResponseWriter, r *http.Request, pattern string, answer func(context.Context, *auditCall) (any, error)) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c := &auditCall{r: r}
	var content any
	var err error
	if c.reader, err = s.gate.Authenticate(r); err == nil {
		if c.reason, err = access.Reason(r.Header); err == nil {
			c.values, err = valuesOf(r)
		}
		if err == nil {
			content, err = answer(r.Context(), c)
		}
		// An error inside us is not a reading that was refused: nothing was read.
		if status := access.StatusOf(err); status < http.StatusInternalServerError {
			reading := access.Reading{
				Reader: c.reader, Via: "api", Command: pattern, What: c.what, Found: c.found,
				Patient: c.patient, Refers: c.refers, Reason: c.reason, Status: status,
			}
			if recorded := access.Record(r.Context(), s.appends, reading); recorded != nil {
				content, err = nil, recorded
			}
		}
		if status := access.StatusOf(err); status == http.StatusForbidden || status == http.StatusNotFound {
			s.gate.Failed(c.reader)
		}
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	body, err := json.Marshal(content)
	if err != nil {
		s.refuse(w, err)
		return
	}
	h.Set("Content-Type", "application/json")
	if _, err := w.Write(append(body, '\n')); err != nil {
		s.logger.Info("audit answer not sent", zap.Error(err))
	}
}

// Headers that name whom a question is about. They stand for parameters of the
// same meaning, which no address may have: addresses are kept by histories, proxies
// and the logs of both.
const (
	patientHeader   = "Audit-Patient"
	encounterHeader = "Audit-Encounter"
)

// valuesOf are the parameters of a call with those that its headers stand for.
func valuesOf(r *http.Request) (url.Values, error) {
	values := r.URL.Query()
	for name, header := range map[string]string{"patient": patientHeader, "encounter": encounterHeader} {
		if values.Has(name) {
			return nil, fmt.Errorf("%w: %s does not belong in an address (hint: header %s)", query.ErrQuestion, name, header)
		}
		if given := r.Header.Values(header); len(given) > 0 {
			values[name] = given // Parse refuses two
		}
	}
	return values, nil
}

// refuse says no more than the status, but what a caller who may ask did wrong.
func (s auditSurface) refuse(w http.ResponseWriter, err error) {
	status := access.StatusOf(err)
	words := http.StatusText(status)
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
	case status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	case errors.Is(err, access.ErrReason), status == http.StatusBadRequest, status == http.StatusConflict:
		words = err.Error()
	case status >= http.StatusInternalServerError:
		s.logger.Error("audit call", zap.Error(err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, err := json.Marshal(map[string]string{"error": words})
	if err == nil {
		_, err = w.Write(append(body, '\n'))
	}
	if err != nil {
		s.logger.Info("audit answer not sent", zap.Error(err))
	}
}

// records lists entries: GET /audit/records?since=&…
func (s auditSurface) records(ctx context.Context, c *auditCall) (any, error) {
	right := access.Records
	if c.values.Get("patient") != "" || c.values.Get("encounter") != "" {
		right = access.Patient
	}
	if err := c.reader.May(right, c.reason); err != nil {
		return nil, err
	}
	q, err := query.Parse(c.values)
	if err != nil {
		return nil, err
	}
	c.what, c.patient = q, q.Patient
	page, err := query.Run(ctx, s.log, q)
	c.found = len(page.Entries)
	return page, err
}

// visible reads an entry that this reader may open: an auditor any, an
// investigator those of the patient whom the call names, with a reason.
func (s auditSurface) visible(ctx context.Context, c *auditCall) (audit.Record, error) {
	id, patient := c.r.PathValue("id"), c.values.Get("patient")
	c.what = map[string]string{"id": id, "patient": patient}
	right := access.Records
	if patient != "" || !c.reader.Has(access.Auditor) {
		right = access.Patient
	}
	if err := c.reader.May(right, c.reason); err != nil {
		return audit.Record{}, err
	}
	record, err := s.log.Get(ctx, id)
	if err != nil {
		return audit.Record{}, err
	}
	if right == access.Patient && (patient == "" || record.Index.Patient != patient) {
		return audit.Record{}, errNotThere
	}
	c.found, c.refers, c.patient = 1, record.Index.ID, record.Index.Patient
	return record, nil
}

// record gives one entry with its proof: GET /audit/records/{id}
func (s auditSurface) record(ctx context.Context, c *auditCall) (any, error) {
	record, err := s.visible(ctx, c)
	if err != nil {
		return nil, err
	}
	proof, err := s.log.ProveInclusion(ctx, record.Leaf)
	if err != nil {
		return nil, err
	}
	body, err := readableBody(record.Body)
	if err != nil {
		return nil, err
	}
	return shown{Row: record.Row, Salt: record.Salt, Body: body, Proof: proof}, nil
}

// recordProof gives the proof alone: GET /audit/records/{id}/proof
func (s auditSurface) recordProof(ctx context.Context, c *auditCall) (any, error) {
	record, err := s.visible(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.log.ProveInclusion(ctx, record.Leaf)
}

// story tells one call for a review: GET /audit/records/{id}/story
func (s auditSurface) story(ctx context.Context, c *auditCall) (any, error) {
	record, err := s.visible(ctx, c)
	if err != nil {
		return nil, err
	}
	r := s.rooms()
	told, err := story.Tell(ctx, story.Deps{Log: s.log, Charts: cdshooks.MappedCharts{Mapper: r.mapper}, State: r.cfg.State}, record.Index.ID)
	if errors.Is(err, cdshooks.ErrRecord) { // an entry of another kind has no story
		return nil, errNotThere
	}
	return told, err
}

// patients lists whom a question is about, a recall: GET /audit/patients?model=…
func (s auditSurface) patients(ctx context.Context, c *auditCall) (any, error) {
	if err := c.reader.May(access.Patient, c.reason); err != nil {
		return nil, err
	}
	q, err := query.Parse(c.values)
	if err != nil {
		return nil, err
	}
	c.what, c.patient = q, q.Patient
	page, err := query.Recall(ctx, s.log, q)
	c.found = len(page.Patients)
	return page, err
}

// rateParameters are those of GET /audit/rates.
var rateParameters = map[string]bool{"since": true, "until": true, "client": true, "unit": true, "topic": true, "model": true}

// rates counts cards and what became of them: GET /audit/rates?since=…
func (s auditSurface) rates(ctx context.Context, c *auditCall) (any, error) {
	if err := c.reader.May(access.Rates, c.reason); err != nil {
		return nil, err
	}
	q, err := query.Parse(c.values)
	if err != nil {
		return nil, err
	}
	for name := range c.values {
		if !rateParameters[name] {
			return nil, query.ErrQuestion
		}
	}
	c.what = q
	rates, err := cdshooks.Rates(ctx, s.log, audit.Filter{Since: q.Since, Until: q.Until, Client: q.Client, Unit: q.Unit, Topic: q.Topic, Model: q.Model})
	c.found = len(rates)
	return map[string]any{"rates": rates}, err
}

// checkpoint gives the signed head of the tree: GET /audit/checkpoint
func (s auditSurface) checkpoint(ctx context.Context, c *auditCall) (any, error) {
	if err := c.reader.May(access.Integrity, c.reason); err != nil {
		return nil, err
	}
	head, signed, err := s.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"origin": head.Origin, "size": head.Size, "root": head.Root.String(), "checkpoint": string(signed), "publicKey": s.log.Verifier().String(),
	}, nil
}

// inclusion proves a leaf by its number: GET /audit/proof/inclusion?leaf=N
func (s auditSurface) inclusion(ctx context.Context, c *auditCall) (any, error) {
	if err := c.reader.May(access.Integrity, c.reason); err != nil {
		return nil, err
	}
	leaf, err := strconv.ParseInt(c.values.Get("leaf"), 10, 64)
	if err != nil {
		return nil, query.ErrQuestion
	}
	c.what = url.Values{"leaf": {strconv.FormatInt(leaf, 10)}}
	return s.log.ProveInclusion(ctx, leaf)
}

// maxNote is the longest checkpoint that is read.
const maxNote = 16 << 10

// consistency proves that the log continues a signed checkpoint, the body of the
// call: POST /audit/proof/consistency
func (s auditSurface) consistency(ctx context.Context, c *auditCall) (any, error) {
	if err := c.reader.May(access.Integrity, c.reason); err != nil {
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err == nil && kind != "text/plain" {
		return nil, query.ErrQuestion
	}
	older, err := io.ReadAll(io.LimitReader(c.r.Body, maxNote))
	if err != nil {
		return nil, query.ErrQuestion
	}
	return s.log.ProveConsistency(ctx, older)
}
