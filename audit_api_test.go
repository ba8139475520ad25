// SPDX-License-Identifier: Apache-2.0

package main

// This file: the JSON API of the audit log over HTTP: who may see what, what is
// said to those who may not, and that every reading is on record.

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// apiHouse is a log with its API and an identity provider.
type apiHouse struct {
	t    *testing.T
	log  *sqllog.Log
	base string
	key  *rsa.PrivateKey
}

// breakable is a log that can be made to fail.
type breakable struct {
	access.Appender
	err error
}

func (b *breakable) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	if b.err != nil {
		return audit.Appended{}, b.err
	}
	return b.Appender.Append(ctx, e)
}

func newAPIHouse(t *testing.T) (*apiHouse, *breakable) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{"kty": "RSA", "kid": "k", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}}})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(set) }))
	t.Cleanup(provider.Close)
	l := sqlitetest.New(t, sqlite.Options{})
	for i := range 6 {
		appendTo(t, l, audit.Index{
			ID: fmt.Sprintf("id-%d", i), Time: time.Date(2026, 11, 22, 8, i, 0, 0, time.UTC), Kind: "decision", Client: "ehr", Service: cdshooks.ServiceID,
			Patient: fmt.Sprintf("p%d", i%2), User: "Practitioner/1", Status: "suggest", Topic: "treatment", Shown: true, Model: strings.Repeat("ab", 32),
		}, fmt.Sprintf(`{"secret":"body of %d"}`, i))
	}
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	r := &rooms{cfg: cfg, mapper: fhir.NewMapper(maps)}
	appends := &breakable{Appender: l}
	other := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the service") })
	h, err := withAudit(other, access.Config{
		Issuer: "https://id.example", Audience: "audit", JWKSURL: provider.URL, Network: "loopback",
		Auditors: []string{"auditor"}, Investigators: []string{"investigator"}, Operators: []string{"operator"}, FailuresPerMinute: 30,
	}, auditSurface{log: l, appends: appends, rooms: func() *rooms { return r }, logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &apiHouse{t, l, server.URL, key}, appends
}

func appendTo(t *testing.T, l *sqllog.Log, ix audit.Index, body string) {
	t.Helper()
	if _, err := l.Append(t.Context(), audit.Entry{Index: ix, Salt: make([]byte, 32), Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

func (h *apiHouse) token(who string, roles ...string) string {
	h.t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://id.example", "aud": "audit", "sub": who, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "roles": roles,
	})
	token.Header["kid"] = "k"
	raw, err := token.SignedString(h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return raw
}

// call gives status and body; headers in pairs.
func (h *apiHouse) call(method, path, token string, headers ...string) (int, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.base+path, strings.NewReader(""))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if res.Header.Get("Cache-Control") != "no-store" && strings.HasPrefix(path, "/audit") {
		h.t.Errorf("%s may be cached", path)
	}
	return res.StatusCode, string(body)
}

const because = "adverse event 2026-114, asked by the board"

func TestTheAuditAPIShowsEachRoleWhatItMaySee(t *testing.T) {
	h, _ := newAPIHouse(t)
	paths := map[string][]string{ // who gets 200; with a reason
		"/audit/records":                 {"auditor"},
		"/audit/records?unit=MICU":       {"auditor"},
		"/audit/records @p1":             {"investigator"},
		"/audit/records/id-1":            {"auditor"},
		"/audit/records/id-1 @p1":        {"investigator"},
		"/audit/records/id-1/proof":      {"auditor"},
		"/audit/patients?kind=decision":  {"investigator"},
		"/audit/rates":                   {"auditor", "operator"},
		"/audit/checkpoint":              {"auditor", "investigator", "operator"},
		"/audit/proof/inclusion?leaf=0":  {"auditor", "investigator", "operator"},
		"/audit/nothing":                 nil,
		"/audit/records/id-1 @p0":        nil, // of another patient
		"/audit/records/no-such @p1":     nil,
		"/audit/records?unknown= @p1":    nil,
		"/audit/records?patient=p1":      nil, // a patient in an address
		"/audit/records/id-1?patient=p1": nil,
	}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		path, patient, _ := strings.Cut(key, " @")
		headers := []string{access.ReasonHeader, because}
		if patient != "" {
			headers = append(headers, patientHeader, patient)
		}
		for _, role := range []string{"auditor", "investigator", "operator", "nurse"} {
			status, body := h.call("GET", path, h.token(key+role, role), headers...)
			if want := slices.Contains(paths[key], role); (status == 200) != want {
				t.Errorf("%s as %s: %d %s", path, role, status, body)
			} else if !want && strings.Contains(body, "secret") {
				t.Errorf("%s as %s tells: %s", path, role, body)
			}
		}
		for name, token := range map[string]string{"no token": "", "a wrong token": "x.y.z"} {
			if status, body := h.call("GET", path, token); status != 401 && status != 429 || strings.Contains(body, "id-") {
				t.Errorf("%s with %s: %d %s", path, name, status, body)
			}
		}
	}
	if status, body := h.call("GET", "/cds-services", ""); status != 200 || body != "the service" {
		t.Errorf("the service behind it: %d %s", status, body)
	}
}

func TestAPatientIsLookedUpWithAReasonOnly(t *testing.T) {
	h, _ := newAPIHouse(t)
	token := h.token("inge", "investigator")
	for _, reason := range []string{"", "short"} {
		headers := []string{patientHeader, "p1"}
		if reason != "" {
			headers = append(headers, access.ReasonHeader, reason)
		}
		if status, body := h.call("GET", "/audit/records", token, headers...); status != 403 || !strings.Contains(body, "reason") {
			t.Errorf("reason %q: %d %s", reason, status, body)
		}
	}
	status, body := h.call("GET", "/audit/records?limit=2", token, patientHeader, "p1", access.ReasonHeader, because)
	var page query.Page
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || len(page.Entries) != 2 || page.Next == "" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if status, body = h.call("GET", "/audit/records?limit=2&cursor="+url.QueryEscape(page.Next), token, patientHeader, "p1", access.ReasonHeader, because); status != 200 || strings.Contains(body, page.Entries[0].Index.ID) {
		t.Errorf("next page: %d %s", status, body)
	}
	rows, err := h.log.Query(t.Context(), audit.Filter{Kind: "read", Patient: "p1"})
	if err != nil || len(rows) < 2 {
		t.Fatalf("%d readings about the patient, %v", len(rows), err)
	}
	record, err := h.log.Get(t.Context(), rows[0].Index.ID)
	if err != nil || !strings.Contains(string(record.Body), because) || record.Index.User != "oidc/inge" || !slices.Contains(record.Index.Reasons, "break-glass") {
		t.Errorf("%+v %s %v", record.Index, record.Body, err)
	}
}

func TestWhetherThereIsARecordIsToldToNobodyWhoMayNotSeeIt(t *testing.T) {
	h, _ := newAPIHouse(t)
	for _, tc := range []struct {
		who    string
		suffix string
	}{{"operator", ""}, {"operator", "/proof"}, {"operator", "/story"}, {"investigator", " @p0"}, {"investigator", "/story @p0"}, {"nurse", ""}, {"", ""}} {
		token := ""
		if tc.who != "" {
			token = h.token("x"+tc.who+tc.suffix, tc.who)
		}
		suffix, patient, named := strings.Cut(tc.suffix, " @")
		headers := []string{access.ReasonHeader, because}
		if named {
			headers = append(headers, patientHeader, patient)
		}
		s1, b1 := h.call("GET", "/audit/records/id-1"+suffix, token, headers...)
		s2, b2 := h.call("GET", "/audit/records/id-none"+suffix, token, headers...)
		if s1 != s2 || b1 != b2 || s1 < 400 {
			t.Errorf("%s %s: there %d %s, not there %d %s", tc.who, tc.suffix, s1, b1, s2, b2)
		}
	}
}

func TestGuessingIsStoppedAndOnRecord(t *testing.T) {
	h, _ := newAPIHouse(t)
	token, limited := h.token("guess", "auditor"), false
	for i := range 40 {
		status, _ := h.call("GET", fmt.Sprintf("/audit/records/id-%d00", i), token)
		limited = limited || status == 429
		if status != 404 && status != 429 {
			t.Fatalf("status %d", status)
		}
	}
	if status, _ := h.call("GET", "/audit/records/id-1", token); !limited || status != 429 {
		t.Errorf("a guesser is not stopped: %d", status)
	}
	if status, _ := h.call("GET", "/audit/records/id-1", h.token("other", "auditor")); status != 200 {
		t.Errorf("another reader is stopped too: %d", status)
	}
	rows, err := h.log.Query(t.Context(), audit.Filter{Kind: "read", User: "oidc/guess", Limit: audit.MaxLimit})
	if err != nil || len(rows) != 30 || rows[0].Index.HTTP != 404 {
		t.Errorf("%d guesses on record, %v", len(rows), err)
	}
}

func TestWhatCannotBeRecordedIsNotShown(t *testing.T) {
	h, log := newAPIHouse(t)
	log.err = errors.New("disk full")
	for _, path := range []string{"/audit/records", "/audit/records/id-1", "/audit/rates", "/audit/checkpoint"} {
		if status, body := h.call("GET", path, h.token("a", "auditor")); status != 500 || strings.Contains(body, "id-") || strings.Contains(body, "disk") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestProofsOfTheAPIHold(t *testing.T) {
	h, _ := newAPIHouse(t)
	token := h.token("ops", "operator")
	_, older, err := h.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var inclusion audit.Inclusion
	if status, body := h.call("GET", "/audit/proof/inclusion?leaf=2", token); status != 200 || json.Unmarshal([]byte(body), &inclusion) != nil {
		t.Fatalf("%d %s", status, body)
	}
	if _, err := inclusion.Check(h.log.Verifier()); err != nil || inclusion.Leaf != 2 {
		t.Error(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", h.base+"/audit/proof/consistency", strings.NewReader(string(older)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "text/plain")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var consistency audit.Consistency
	if err := json.NewDecoder(res.Body).Decode(&consistency); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	if err := consistency.Check(h.log.Verifier()); err != nil || consistency.Older != string(older) {
		t.Error(err)
	}
	for path, want := range map[string]int{"/audit/proof/inclusion?leaf=99": 404, "/audit/proof/inclusion?leaf=x": 400, "/audit/proof/inclusion": 400} {
		if status, body := h.call("GET", path, token); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := h.call("POST", "/audit/proof/consistency", token, "Content-Type", "text/plain"); status != 400 {
		t.Errorf("no checkpoint: %d %s", status, body)
	}
}

func TestWithoutAProviderNothingOfTheLogIsServed(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	h, err := withAudit(next, access.Config{}, auditSurface{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/audit/records", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

func TestAnAccessThatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	for name, text := range map[string]string{
		"no audience":          "{issuer: https://id.example, jwks_url: https://id.example/keys, auditors: [a]}",
		"nobody may read":      "{issuer: https://id.example, audience: a, jwks_url: https://id.example/keys}",
		"keys without TLS":     "{issuer: https://id.example, audience: a, jwks_url: http://id.example/keys, auditors: [a]}",
		"roles, but no issuer": "{auditors: [a]}",
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte("audit:\n  access: "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			sepsisagent(t, "serve", "--check", "--config", path).want(exitFailed).says("audit.access")
		})
	}
}
