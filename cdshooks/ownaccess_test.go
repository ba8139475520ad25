// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: by which right an EHR is read: the call's token always, our own
// only where the registration says so, and never one for want of the other.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// ownRight is a clinic whose client may be read by our own right, with an EHR
// that counts tokens.
type ownRight struct {
	*clinic
	ehr   *ehr
	logs  *observer.ObservedLogs
	asked atomic.Int64 // times our own token was asked for
	fails error
}

func openOwnRight(t *testing.T) *ownRight {
	o := &ownRight{ehr: newEHR(t, fixtures().patients[physiology.SepticShock])}
	core, logs := observer.New(zap.DebugLevel)
	o.logs = logs
	o.clinic = open(t, func(d *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = o.ehr.URL+"/fhir", trust.NetworkLoopback
		client.FHIRAccess = trust.FHIRAccess{Mode: trust.AccessBackend, ClientID: "app-7"}
		d.Config.Deadline, d.Config.FHIRBudget = 30*time.Second, 20*time.Second
		d.Logger = zap.New(core)
		d.OwnAccess = map[string]OwnAccess{client.Name: func(context.Context) (fhir.Access, error) {
			o.asked.Add(1)
			if o.fails != nil {
				return fhir.Access{}, o.fails
			}
			return fhir.Access{Token: "our-own-token", Scope: "system/*.rs", Expires: time.Now().Add(time.Minute)}, nil
		}}
	})
	return o
}

// without changes a call to one without prefetch and without a token.
func (o *ownRight) without(b map[string]any) {
	delete(b, "prefetch")
	delete(b, "fhirAuthorization")
	b["fhirServer"] = o.ehr.URL + "/fhir"
}

func (o *ownRight) withToken(b map[string]any) {
	o.without(b)
	b["fhirAuthorization"] = map[string]any{"access_token": "user-token", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "cds"}
}

// wantTokens checks what the EHR was sent since the last time.
func (o *ownRight) wantTokens(t *testing.T, only string) {
	t.Helper()
	o.ehr.mu.Lock()
	defer o.ehr.mu.Unlock()
	for token := range o.ehr.tokens {
		if token != only {
			t.Errorf("the EHR was sent %q, want %q alone", token, only)
		}
	}
	if only != "" && o.ehr.tokens[only] == 0 {
		t.Errorf("the EHR was not sent %q", only)
	}
	clear(o.ehr.tokens)
}

func (o *ownRight) wantRight(t *testing.T, kind, right string) {
	t.Helper()
	records := o.records(kind)
	if got := records[len(records)-1].Request.FHIRAccess; got != right {
		t.Errorf("the record says the right was %q, want %q", got, right)
	}
}

func TestACallWithoutATokenIsReadByOurOwnRightWhereTheRegistrationSaysSo(t *testing.T) {
	o := openOwnRight(t)
	if cards := o.view(physiology.SepticShock, o.without).cards(); len(cards) != 1 {
		t.Errorf("%d cards", len(cards))
	}
	o.wantTokens(t, "Bearer our-own-token")
	o.wantRight(t, KindDecision, "backend")
	if r := o.view(physiology.SepticShock, func(b map[string]any) {
		o.without(b)
		delete(b, "fhirServer") // a client that names no server has one registered all the same
	}); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	o.wantTokens(t, "Bearer our-own-token")
	before := o.asked.Load()
	o.view(physiology.SepticShock, nil)
	if o.asked.Load() != before {
		t.Error("a token was asked for though the prefetch was complete")
	}
	o.wantTokens(t, "")
	o.wantSilence(t, "our-own-token")
}

// wantSilence demands that a secret is in no record and in no log line.
func (o *ownRight) wantSilence(t *testing.T, secret string) {
	t.Helper()
	for _, kind := range []string{KindDecision, KindFailure, KindRefusal} {
		for _, r := range o.records(kind) {
			if raw, err := json.Marshal(r); err != nil || strings.Contains(string(raw), secret) {
				t.Errorf("a record of kind %s shows the token (%v)", kind, err)
			}
		}
	}
	for _, line := range o.logs.All() {
		if text := line.Message + fmt.Sprint(line.ContextMap()); strings.Contains(text, secret) || strings.Contains(text, o.ehr.URL) {
			t.Errorf("a log line says too much: %s", text)
		}
	}
}

func TestATokenOfTheCallIsUsedAndNeverMadeUpForByOurOwn(t *testing.T) {
	o := openOwnRight(t)
	if cards := o.view(physiology.SepticShock, o.withToken).cards(); len(cards) != 1 {
		t.Errorf("%d cards", len(cards))
	}
	o.wantTokens(t, "Bearer user-token")
	o.wantRight(t, KindDecision, "fhirAuthorization")
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		o.ehr.mu.Lock()
		o.ehr.status = status
		o.ehr.mu.Unlock()
		o.wantRefusal(o.view(physiology.SepticShock, o.withToken), 412, KindFailure, "denied")
		o.wantTokens(t, "Bearer user-token")
	}
	o.wantRefusal(o.view(physiology.SepticShock, func(b map[string]any) {
		o.withToken(b)
		b["fhirAuthorization"].(map[string]any)["scope"] = "patient/Condition.rs"
	}), 412, KindFailure, "denied")
	o.wantTokens(t, "Bearer user-token")
	if o.asked.Load() != 0 {
		t.Error("our own token was asked for beside the call's")
	}
}

func TestACallIsRefusedWhenNoTokenOfOurOwnCanBeHad(t *testing.T) {
	o := openOwnRight(t)
	o.fails = errors.New("no access token for the FHIR server: refused by the token endpoint: 401 invalid_client")
	r := o.view(physiology.SepticShock, o.without)
	o.wantRefusal(r, 412, KindFailure, "unobtainable")
	o.wantTokens(t, "")
	if strings.Contains(string(r.body), "invalid_client") {
		t.Errorf("the client is told our troubles with its token endpoint: %s", r.body)
	}
	if n := o.logs.FilterMessage("no token of our own").Len(); n != 1 {
		t.Errorf("%d log lines say why", n)
	}
	if n := o.asked.Load(); n != 1 {
		t.Errorf("asked %d times in one call", n)
	}
}

func TestOurOwnRightNeedsARegistrationAndKeys(t *testing.T) {
	grant := func(context.Context) (fhir.Access, error) { return fhir.Access{}, nil }
	allowed := &trust.Client{Name: "a", FHIRAccess: trust.FHIRAccess{Mode: trust.AccessBackend}}
	not := &trust.Client{Name: "b", FHIRAccess: trust.FHIRAccess{Mode: trust.AccessToken}}
	for name, tc := range map[string]struct {
		own  map[string]OwnAccess
		says string
	}{
		"as registered":     {map[string]OwnAccess{"a": grant}, ""},
		"no keys":           {nil, "keys_file"},
		"a client without":  {map[string]OwnAccess{"a": grant, "b": grant}, `"b"`},
		"an unknown client": {map[string]OwnAccess{"a": grant, "c": grant}, `"c"`},
	} {
		err := checkOwnAccess([]*trust.Client{allowed, not}, tc.own)
		if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
}

func TestOurKeySetIsServedToEverybody(t *testing.T) {
	set := `{"keys":[]}`
	c := open(t, func(d *Deps, _ *trust.Client) { d.KeySet = func() []byte { return []byte(set) } })
	get := func(method, match string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, KeySetPath, nil)
		r.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		c.service.Handler().ServeHTTP(w, r)
		return w
	}
	first := get(http.MethodGet, "")
	etag := first.Header().Get("ETag")
	if first.Code != 200 || first.Body.String() != set || first.Header().Get("Content-Type") != "application/json" ||
		first.Header().Get("Cache-Control") != "public, max-age=300" || etag == "" {
		t.Errorf("%d %v %s", first.Code, first.Header(), first.Body)
	}
	if again := get(http.MethodGet, etag); again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("the same set again: %d", again.Code)
	}
	set = `{"keys":[{"kid":"new"}]}`
	if changed := get(http.MethodGet, etag); changed.Code != 200 || changed.Body.String() != set {
		t.Errorf("a new set: %d %s", changed.Code, changed.Body)
	}
	if head := get(http.MethodHead, ""); head.Code != 200 {
		t.Errorf("HEAD: %d", head.Code)
	}
	if post := get(http.MethodPost, ""); post.Code != 405 {
		t.Errorf("POST: %d", post.Code)
	}
}
