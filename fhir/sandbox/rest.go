// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the FHIR API: read, search by GET and by POST _search, paging,
// SMART configuration. Every call needs the access token of a hook call and
// sees that call's patient only.

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// clinician is the one shared resource beside the patient's.
const practitioner = `{"resourceType":"Practitioner","id":"%s","name":[{"text":"%s"}]}`

// fhirRoutes adds the FHIR API to the mux.
func (s *Sandbox) fhirRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /fhir/.well-known/smart-configuration", s.smart)
	mux.HandleFunc("GET /fhir/metadata", s.metadata)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.ownForm(s.token))
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		writeJSON(w, http.StatusOK, "application/jwk-set+json", s.keys.jwks)
	})
	mux.HandleFunc("GET /fhir/{kind}/{id}", s.guarded(s.readOne))
	mux.HandleFunc("GET /fhir/{kind}", s.guarded(s.searchGet))
	mux.HandleFunc("POST /fhir/{kind}/_search", s.guarded(s.searchPost))
}

// guarded lets a call through with the store of the patient its token opens.
func (s *Sandbox) guarded(h func(http.ResponseWriter, *http.Request, *store)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		patient, ok := s.keys.opens(token, s.cfg.Now())
		if !strings.EqualFold(scheme, "Bearer") || !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			outcome(w, http.StatusUnauthorized, "login", "access token missing, unknown or expired")
			return
		}
		b, err := s.held(patient)
		if err != nil {
			outcome(w, http.StatusForbidden, "forbidden", "access token opens no patient here")
			return
		}
		h(w, r, b.store)
	}
}

func (s *Sandbox) readOne(w http.ResponseWriter, r *http.Request, st *store) {
	kind, id := r.PathValue("kind"), r.PathValue("id")
	if kind == "Practitioner" {
		if u, ok := userByID(id); ok {
			writeJSON(w, http.StatusOK, fhirJSON, u.resource())
			return
		}
	}
	raw, ok := st.read(kind, id)
	if !ok {
		outcome(w, http.StatusNotFound, "not-found", "no such resource, or not of this patient")
		return
	}
	writeJSON(w, http.StatusOK, fhirJSON, raw)
}

func (s *Sandbox) searchGet(w http.ResponseWriter, r *http.Request, st *store) {
	s.searched(w, r.PathValue("kind"), r.URL.Query(), st)
}

func (s *Sandbox) searchPost(w http.ResponseWriter, r *http.Request, st *store) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if err := r.ParseForm(); err != nil {
		outcome(w, http.StatusBadRequest, "structure", "the form could not be read")
		return
	}
	s.searched(w, r.PathValue("kind"), r.Form, st)
}

func (s *Sandbox) searched(w http.ResponseWriter, kind string, q url.Values, st *store) {
	offset, err := strconv.Atoi(q.Get("_offset"))
	if q.Get("_offset") != "" && (err != nil || offset < 0) {
		outcome(w, http.StatusBadRequest, "value", "_offset is not a position")
		return
	}
	bundle, err := s.bundle(kind, q, st, offset, pageSize(q))
	if err != nil {
		outcome(w, http.StatusBadRequest, "value", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, fhirJSON, bundle)
}

// bundle is one page of a search.
func (s *Sandbox) bundle(kind string, q url.Values, st *store, offset, size int) (json.RawMessage, error) {
	found, ignored, err := st.search(kind, q)
	if err != nil {
		return nil, err
	}
	type searchMode struct {
		Mode string `json:"mode"`
	}
	type row struct {
		FullURL  string          `json:"fullUrl,omitempty"`
		Resource json.RawMessage `json:"resource"`
		Search   searchMode      `json:"search"`
	}
	type link struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	page := struct {
		ResourceType string `json:"resourceType"`
		Type         string `json:"type"`
		Total        int    `json:"total"`
		Link         []link `json:"link"`
		Entry        []row  `json:"entry,omitempty"`
	}{"Bundle", "searchset", len(found), []link{{"self", s.fhirBase() + "/" + kind + "?" + q.Encode()}}, nil}
	end := min(len(found), offset+size)
	for _, e := range found[min(offset, len(found)):end] {
		page.Entry = append(page.Entry, row{s.fhirBase() + "/" + e.kind + "/" + e.id, e.raw, searchMode{"match"}})
	}
	if len(ignored) > 0 {
		remark := operationOutcome("information", "not-supported", "ignored: "+strings.Join(ignored, ", "))
		page.Entry = append(page.Entry, row{Resource: remark, Search: searchMode{"outcome"}})
	}
	if end < len(found) {
		next := url.Values{}
		for k, v := range q {
			next[k] = v
		}
		next.Set("_offset", strconv.Itoa(end))
		page.Link = append(page.Link, link{"next", s.fhirBase() + "/" + kind + "?" + next.Encode()})
	}
	return json.Marshal(page)
}

// smart tells where keys are and what an app can be granted. No backend client
// is registered here.
func (s *Sandbox) smart(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(map[string]any{
		"issuer": s.base.String(), "jwks_uri": s.base.String() + "/jwks.json", "token_endpoint": s.base.String() + "/token",
		"authorization_endpoint":                           s.base.String() + "/authorize",
		"response_types_supported":                         []string{"code"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"grant_types_supported":                            []string{"authorization_code", "client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES384", "RS384"},
		"capabilities":                                     []string{"client-confidential-asymmetric", "client-public", "launch-ehr", "context-ehr-patient", "sso-openid-connect", "permission-v2"},
		"scopes_supported":                                 []string{"patient/*.rs", "launch", "openid", "fhirUser"},
	})
	if err != nil {
		outcome(w, http.StatusInternalServerError, "exception", "configuration could not be written")
		return
	}
	writeJSON(w, http.StatusOK, "application/json", body)
}

// token takes the codes of launches. It answers every backend client that it
// is not registered: its access tokens would come with hook calls only.
func (s *Sandbox) token(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Get("grant_type") == "authorization_code" {
		s.exchange(w, r.PostForm)
		return
	}
	writeJSON(w, http.StatusUnauthorized, "application/json",
		[]byte(`{"error":"invalid_client","error_description":"no backend client is registered with the sandbox"}`))
}

func (s *Sandbox) metadata(w http.ResponseWriter, _ *http.Request) {
	type param struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	resources := []any{}
	for _, kind := range []string{"Patient", "Encounter", "Observation", "Condition", "Procedure", "MedicationRequest", "MedicationAdministration", "Organization"} {
		resources = append(resources, map[string]any{
			"type": kind, "interaction": []any{map[string]string{"code": "read"}, map[string]string{"code": "search-type"}},
			"searchParam": []param{{"patient", "reference"}, {"code", "token"}, {"category", "token"}, {"date", "date"}, {"encounter", "reference"}, {"status", "token"}, {"_id", "token"}},
		})
	}
	body, err := json.Marshal(map[string]any{
		"resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01", "kind": "instance", "fhirVersion": "4.0.1",
		"format": []string{"json"}, "rest": []any{map[string]any{"mode": "server", "resource": resources}},
		"implementation": map[string]string{"description": "SepsisAgent sandbox EHR, synthetic patients only", "url": s.fhirBase()},
	})
	if err != nil {
		outcome(w, http.StatusInternalServerError, "exception", "statement could not be written")
		return
	}
	writeJSON(w, http.StatusOK, fhirJSON, body)
}

const fhirJSON = "application/fhir+json"

func writeJSON(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader is gone when this fails
}

func outcome(w http.ResponseWriter, status int, code, text string) {
	writeJSON(w, status, fhirJSON, operationOutcome("error", code, text))
}

func operationOutcome(severity, code, text string) json.RawMessage {
	body, err := json.Marshal(map[string]any{"resourceType": "OperationOutcome", "issue": []any{
		map[string]any{"severity": severity, "code": code, "details": map[string]string{"text": text}},
	}})
	if err != nil {
		return json.RawMessage(`{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception"}]}`)
	}
	return body
}
