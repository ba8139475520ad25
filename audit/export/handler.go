// SPDX-License-Identifier: Apache-2.0

package export

// This file: GET /fhir/AuditEvent (ITI-81), the search over HTTP.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Handler answers searches for AuditEvents with a searchset Bundle, in pages.
type Handler struct {
	Site Site
	Log  Log
	// Admit decides whether the caller may have the answer to s; nil is a search
	// that cannot be understood. It gives what records the reading, with how many
	// records are about to be handed out. Where it gives nil it has answered.
	Admit func(w http.ResponseWriter, r *http.Request, s *Search) func(ctx context.Context, found int) error
	// Failed hears of what went wrong inside. Nothing of it is answered.
	Failed func(error)
}

type bundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

type searchMode struct {
	Mode string `json:"mode"`
}

type bundleEntry struct {
	FullURL  string     `json:"fullUrl"`
	Resource auditEvent `json:"resource"`
	Search   searchMode `json:"search"`
}

type bundle struct {
	ResourceType string        `json:"resourceType"`
	Type         string        `json:"type"`
	Link         []bundleLink  `json:"link"`
	Entry        []bundleEntry `json:"entry,omitempty"`
}

// ServeHTTP answers one search.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		Refuse(w, http.StatusMethodNotAllowed, "not-supported", "AuditEvents are searched with GET")
		return
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	var s *Search
	if err == nil {
		s, err = ParseSearch(values)
	}
	if err != nil {
		// Who may not read learns nothing of how to ask either.
		if h.Admit(w, r, nil) != nil {
			Refuse(w, http.StatusBadRequest, "invalid", err.Error())
		}
		return
	}
	record := h.Admit(w, r, s)
	if record == nil {
		return
	}
	b, err := h.answer(r, s)
	if err == nil {
		err = record(r.Context(), len(b.Entry))
	}
	if err != nil {
		h.Failed(err)
		Refuse(w, http.StatusInternalServerError, "exception", "the log could not be read, or the reading not be recorded")
		return
	}
	write(w, http.StatusOK, b)
}

func (h *Handler) answer(r *http.Request, s *Search) (*bundle, error) {
	rows, next, err := s.page(r.Context(), h.Log)
	if err != nil {
		return nil, err
	}
	base := h.Site.URL + "/fhir/AuditEvent"
	b := &bundle{ResourceType: "Bundle", Type: "searchset", Link: []bundleLink{{"self", base + "?" + s.query(s.after)}}}
	if next != nil {
		b.Link = append(b.Link, bundleLink{"next", base + "?" + s.query(next)})
	}
	for _, row := range rows {
		record, err := h.Log.Get(r.Context(), row.Index.ID)
		switch {
		case errors.Is(err, audit.ErrErased):
			continue // since the page was read
		case err != nil:
			return nil, err
		}
		event, err := Read(record)
		if err != nil {
			return nil, err
		}
		resource := h.Site.auditEventOf(event)
		b.Entry = append(b.Entry, bundleEntry{base + "/" + resource.ID, resource, searchMode{"match"}})
	}
	return b, nil
}

// query is the search again, from a page on.
func (s *Search) query(after *int64) string {
	values := url.Values{}
	for name, list := range s.values {
		values[name] = list
	}
	if after != nil {
		values.Set("_page", cursor(*after))
	}
	return values.Encode()
}

// Refuse answers with an OperationOutcome of one error. code is of FHIR's
// issue-type.
func Refuse(w http.ResponseWriter, status int, code, words string) {
	type issue struct {
		Severity    string `json:"severity"`
		Code        string `json:"code"`
		Diagnostics string `json:"diagnostics"`
	}
	write(w, status, struct {
		ResourceType string  `json:"resourceType"`
		Issue        []issue `json:"issue"`
	}{"OperationOutcome", []issue{{"error", code, words}}})
}

func write(w http.ResponseWriter, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception"}]}`)
	}
	w.Header().Set("Content-Type", "application/fhir+json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // who is gone is gone
}
