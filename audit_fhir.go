// SPDX-License-Identifier: Apache-2.0

package main

// This file: GET /fhir/AuditEvent, under the same access check as the JSON API of
// the log: an auditor searches by anything but a person, an investigator looks up
// one with a reason.

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/export"
)

// mountFHIR serves the search.
func (s auditSurface) mountFHIR(mux *http.ServeMux) {
	mux.HandleFunc("/fhir/AuditEvent", func(w http.ResponseWriter, r *http.Request) {
		h := export.Handler{
			Site: export.Site{Log: s.log.Verifier().Name(), URL: s.publicURL()},
			Log:  s.log, Admit: s.admitSearch,
			Failed: func(err error) { s.logger.Error("AuditEvent search", zap.Error(err)) },
		}
		h.ServeHTTP(w, r)
	})
	// What else there might be is refused like a call without a token.
	mux.HandleFunc("/fhir/", func(w http.ResponseWriter, r *http.Request) {
		if s.admitSearch(w, r, nil) != nil {
			export.Refuse(w, http.StatusNotFound, "not-found", "only AuditEvent can be searched here")
		}
	})
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
	reading := access.Reading{Via: "fhir", Command: "GET /fhir/AuditEvent"}
	var err error
	if reading.Reader, err = s.gate.Authenticate(r); err == nil {
		reading.Reason, err = access.Reason(r.Header)
	}
	right := access.Records
	if search != nil {
		reading.What, reading.Patient = r.URL.Query(), strings.Join(search.Patients, ",")
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
	status := access.StatusOf(err)
	if status == http.StatusForbidden {
		s.gate.Failed(reading.Reader)
		reading.Status = status
		if recorded := record(r.Context(), 0); recorded != nil {
			s.logger.Error("AuditEvent search", zap.Error(recorded))
			status = http.StatusInternalServerError
		}
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
		export.Refuse(w, status, "login", http.StatusText(status))
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
		export.Refuse(w, status, "throttled", http.StatusText(status))
	case http.StatusForbidden:
		words := http.StatusText(status)
		if errors.Is(err, access.ErrReason) {
			words = access.ErrReason.Error()
		}
		export.Refuse(w, status, "forbidden", words)
	default:
		export.Refuse(w, status, "exception", http.StatusText(status))
	}
	return nil
}
