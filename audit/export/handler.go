// SPDX-License-Identifier: Apache-2.0

package export

// This file: the search over HTTP (ITI-81), by GET or by POST, and the reading of
// one AuditEvent.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

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

// maxForm bounds the form of a search by POST.
const maxForm = 64 << 10

// ServeHTTP answers one search: GET …/AuditEvent?…, or POST …/AuditEvent/_search
// with the parameters as a form, so that no address names a patient. What is in the
// address of a POST counts too.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	values, status, err := searchValues(w, r)
	var s *Search
	if err == nil {
		status = http.StatusBadRequest
		s, err = ParseSearch(values)
	}
	if err != nil {
		// Who may not read learns nothing of how to ask either.
		if h.Admit(w, r, nil) != nil {
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", "GET, POST")
			}
			Refuse(w, status, issueOf[status], err.Error())
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
		h.failed(w, err)
		return
	}
	write(w, http.StatusOK, b)
}

var issueOf = map[int]string{
	http.StatusBadRequest: "invalid", http.StatusMethodNotAllowed: "not-supported",
	http.StatusUnsupportedMediaType: "not-supported", http.StatusRequestEntityTooLarge: "too-long",
}

// searchValues are the parameters of a search; status is how an error is answered.
func searchValues(w http.ResponseWriter, r *http.Request) (values url.Values, status int, err error) {
	if values, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, http.StatusBadRequest, err
	}
	switch post := strings.HasSuffix(r.URL.Path, "/_search"); {
	case !post && r.Method == http.MethodGet:
		return values, 0, nil
	case !post || r.Method != http.MethodPost:
		return nil, http.StatusMethodNotAllowed, errors.New("AuditEvents are searched with GET, or with POST at _search")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType, errors.New("a search by POST is a form: application/x-www-form-urlencoded")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the form is longer than %d bytes", maxForm)
	}
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the form could not be read")
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	for name, list := range form {
		values[name] = append(values[name], list...)
	}
	return values, 0, nil
}

// ServeRecord answers with the AuditEvent of one record. Whoever calls it has
// checked that the reader may have it and recorded the reading.
func (h *Handler) ServeRecord(w http.ResponseWriter, record audit.Record) {
	w.Header().Set("Cache-Control", "no-store")
	event, err := Read(record)
	if err != nil {
		h.failed(w, err)
		return
	}
	write(w, http.StatusOK, h.Site.auditEventOf(event))
}

func (h *Handler) failed(w http.ResponseWriter, err error) {
	h.Failed(err)
	Refuse(w, http.StatusInternalServerError, "exception", "the log could not be read, or the reading not be recorded")
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
func (s *Search) query(after *int64) string { return s.from(after).Encode() }

func (s *Search) from(after *int64) url.Values {
	values := url.Values{}
	for name, list := range s.values {
		values[name] = list
	}
	if after != nil {
		values.Set("_page", cursor(*after))
	}
	return values
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
