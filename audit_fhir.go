// SPDX-License-Identifier: Apache-2.0

package main

// This file: /fhir/AuditEvent, under the same access check as the JSON API of the
// log: an auditor searches by anything but a person and reads any record, an
// investigator looks up one person with a reason.

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/export"
)

// mountFHIR serves the search, by GET and by POST, and the reading of one record.
func (s auditSurface) mountFHIR(mux *http.ServeMux) {
	handler := func() *export.Handler {
		return &export.Handler{
			Site: export.Site{Log: s.log.Verifier().Name(), URL: s.publicURL()},
			Log:  s.log, Admit: s.admitSearch,
			Failed: func(err error) { s.logger.Error("AuditEvent search", zap.Error(err)) },
		}
	}
	search := func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }
	mux.HandleFunc("/fhir/AuditEvent", search)
	mux.HandleFunc("/fhir/AuditEvent/_search", search)
	mux.HandleFunc("/fhir/AuditEvent/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			if s.admitSearch(w, r, nil) != nil {
				w.Header().Set("Allow", http.MethodGet)
				export.Refuse(w, http.StatusMethodNotAllowed, "not-supported", "an AuditEvent is read with GET")
			}
			return
		}
		if record, ok := s.admitRecord(w, r); ok {
			handler().ServeRecord(w, record)
		}
	})
	// What else there might be is refused like a call without a token.
	mux.HandleFunc("/fhir/", func(w http.ResponseWriter, r *http.Request) {
		if s.admitSearch(w, r, nil) != nil {
			export.Refuse(w, http.StatusNotFound, "not-found", "only AuditEvent can be read and searched here")
		}
	})
}

// admitRecord is the access check of one record, and the record; it is that of the
// JSON API: an investigator names the patient in a header.
func (s auditSurface) admitRecord(w http.ResponseWriter, r *http.Request) (record audit.Record, ok bool) {
	c := &auditCall{r: r}
	var err error
	if c.reader, err = s.gate.Authenticate(r); err == nil {
		if c.reason, err = access.Reason(r.Header); err == nil {
			c.values, err = valuesOf(r)
		}
		if err == nil {
			record, err = s.visible(r.Context(), c)
		}
		if status := access.StatusOf(err); status < http.StatusInternalServerError {
			reading := access.Reading{
				Reader: c.reader, Via: "fhir", Command: "GET /fhir/AuditEvent/{id}", What: c.what, Found: c.found,
				Patient: c.patient, Refers: c.refers, Reason: c.reason, Status: status,
			}
			if recorded := access.Record(r.Context(), s.appends, reading); recorded != nil {
				err = recorded
			}
			if status == http.StatusForbidden || status == http.StatusNotFound {
				s.gate.Failed(c.reader)
			}
		}
	}
	if err != nil {
		s.refuseFHIR(w, err)
	}
	return record, err == nil
}

// publicURL is where callers reach the service.
func (s auditSurface) publicURL() string {
	if s.rooms == nil {
		return ""
	}
	return s.rooms().cfg.CDSHooks.PublicURL
}

// admitSearch is the access check of a search; search nil: one that cannot be
// understood.
func (s auditSurface) admitSearch(w http.ResponseWriter, r *http.Request, search *export.Search) func(context.Context, int) error {
	reading := access.Reading{Via: "fhir", Command: r.Method + " /fhir/AuditEvent"}
	var err error
	if reading.Reader, err = s.gate.Authenticate(r); err == nil {
		reading.Reason, err = access.Reason(r.Header)
	}
	right := access.Records
	if search != nil {
		reading.What, reading.Patient = search.Values(), strings.Join(search.Patients, ",")
		if search.OfPatient() {
			right = access.Patient
		}
	}
	if err == nil {
		err = reading.Reader.May(right, reading.Reason)
		if err != nil && search == nil {
			err = reading.Reader.May(access.Patient, reading.Reason) // an investigator may err too
		}
	}
	record := func(ctx context.Context, found int) error {
		reading.Found = found
		return access.Record(ctx, s.appends, reading)
	}
	if err == nil {
		return record
	}
	if access.StatusOf(err) == http.StatusForbidden {
		s.gate.Failed(reading.Reader)
		reading.Status = http.StatusForbidden
		if recorded := record(r.Context(), 0); recorded != nil {
			err = recorded
		}
	}
	s.refuseFHIR(w, err)
	return nil
}

// refuseFHIR says no more than the status, but what a caller who may ask did wrong.
func (s auditSurface) refuseFHIR(w http.ResponseWriter, err error) {
	status := access.StatusOf(err)
	words, code := http.StatusText(status), "exception"
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
		code = "login"
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
		code = "throttled"
	case http.StatusForbidden:
		code = "forbidden"
		if errors.Is(err, access.ErrReason) {
			words = access.ErrReason.Error()
		}
	case http.StatusNotFound:
		code = "not-found"
	case http.StatusBadRequest:
		code, words = "invalid", err.Error()
	default:
		s.logger.Error("AuditEvent", zap.Error(err))
	}
	w.Header().Set("Cache-Control", "no-store")
	export.Refuse(w, status, code, words)
}
