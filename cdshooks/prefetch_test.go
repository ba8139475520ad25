// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

const outcomeResource = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}`

func TestEveryStateOfAPrefetchKeyIsToldApart(t *testing.T) {
	c := open(t, nil)
	key := func(name, value string) func(map[string]any) {
		return func(b map[string]any) {
			p := b["prefetch"].(map[string]json.RawMessage)
			if value == "" {
				delete(p, name)
			} else {
				p[name] = json.RawMessage(value)
			}
		}
	}
	for _, w := range []struct {
		name   string
		change func(map[string]any)
		status int
		from   string // in the manifest, of the key named by the case
		key    string
	}{
		{"a necessary key is absent", key(fhir.KeyVitals, ""), 412, "absent", fhir.KeyVitals},
		{"the patient is absent", key(fhir.KeyPatient, ""), 412, "absent", fhir.KeyPatient},
		{"the patient is null", key(fhir.KeyPatient, "null"), 412, "null", fhir.KeyPatient},
		{"a key that is not necessary is absent", key(fhir.KeyProcedures, ""), 200, "absent", fhir.KeyProcedures},
		{"null: the client has none", key(fhir.KeyLabs, "null"), 200, "null", fhir.KeyLabs},
		{"an empty Bundle: the client has none", key(fhir.KeyLabs, `{"resourceType":"Bundle","type":"searchset","total":0}`), 200, "empty", fhir.KeyLabs},
		{"Epic's remark in a Bundle without results", key(fhir.KeyLabs, `{"resourceType":"Bundle","type":"searchset","total":0,"entry":[{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-found"}]},"search":{"mode":"outcome"}}]}`), 200, "empty", fhir.KeyLabs},
		{"OperationOutcome where data belong", key(fhir.KeyVitals, outcomeResource), 412, "failed", fhir.KeyVitals},
		{"a failure inside a Bundle", key(fhir.KeyVitals, `{"resourceType":"Bundle","entry":[{"resource":`+outcomeResource+`}]}`), 412, "failed", fhir.KeyVitals},
		{"one page of several", key(fhir.KeyVitals, `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://ehr.example.org/fhir?page=2"}],"entry":[]}`), 412, "partial", fhir.KeyVitals},
		{"another resource than the template asks for", key(fhir.KeyVitals, `{"resourceType":"Patient","id":"x"}`), 412, "wrong-type", fhir.KeyVitals},
		{"a string", key(fhir.KeyVitals, `"x"`), 412, "wrong-type", fhir.KeyVitals},
	} {
		t.Run(w.name, func(t *testing.T) {
			c.t = t
			r := c.view(physiology.SepticShock, w.change)
			kind := KindDecision
			if w.status != 200 {
				kind = KindFailure
				c.wantRefusal(r, w.status, kind, "unobtainable")
				if !strings.Contains(string(r.body), w.key) {
					t.Errorf("the client is not told which key: %s", r.body)
				}
			} else if r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			records := c.records(kind)
			var m fhir.Manifest
			if err := json.Unmarshal(records[len(records)-1].Request.Manifest, &m); err != nil {
				t.Fatal(err)
			}
			for _, p := range m.Parts {
				if p.Key == w.key && string(p.From) != w.from {
					t.Errorf("the receipt says %s came by %s, want %s", p.Key, p.From, w.from)
				}
			}
		})
	}
}

// ehr is a FHIR server that knows one patient and counts who asked how.
type ehr struct {
	*httptest.Server
	mu     sync.Mutex
	tokens map[string]int
	asked  int
	status int
	delay  time.Duration
}

func newEHR(t *testing.T, p patient) *ehr {
	e := &ehr{tokens: map[string]int{}, status: 200}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // a server sees that the other side is gone only once it has read the body
		e.mu.Lock()
		e.asked++
		e.tokens[r.Header.Get("Authorization")]++
		status, delay := e.status, e.delay
		e.mu.Unlock()
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
		if status != 200 {
			w.WriteHeader(status)
			return
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/fhir/"), "/")
		if kind == "Patient" {
			w.Write(p.prefetch()[fhir.KeyPatient])
			return
		}
		if strings.Contains(r.URL.RawQuery+r.FormValue("code"), "2524-7") && kind == "Observation" {
			w.Write(bundle(nil)) // labs: all came with the vitals
			return
		}
		w.Write(p.prefetch()[keyOf[strings.TrimSuffix(kind, "/_search")]])
	}))
	t.Cleanup(e.Close)
	return e
}

func TestMissingDataAreFetchedFromTheRegisteredServerWithThisCallsToken(t *testing.T) {
	t.Parallel() // the budget of a slow server is waited for beside other waits
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	c := open(t, func(d *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
		d.Config.Deadline = 30 * time.Second
		d.Config.FHIRBudget = 4 * time.Second
	})
	bare := func(b map[string]any) {
		delete(b, "prefetch")
		b["fhirServer"] = e.URL + "/fhir"
		b["fhirAuthorization"] = map[string]any{"access_token": "user-token", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "cds", "patient": fixtures().patients[physiology.SepticShock].id}
	}
	if cards := c.view(physiology.SepticShock, bare).cards(); len(cards) != 1 {
		t.Errorf("%d cards: %s", len(cards), last(c.records(KindDecision)))
	}
	e.mu.Lock()
	if len(e.tokens) != 1 || e.tokens["Bearer user-token"] == 0 {
		t.Errorf("tokens sent: %v", e.tokens)
	}
	before := e.asked
	e.mu.Unlock()
	raw, _ := json.Marshal(c.records(KindDecision)[0])
	if strings.Contains(string(raw), "user-token") {
		t.Error("the access token is in the receipt")
	}

	noToken := func(b map[string]any) { bare(b); delete(b, "fhirAuthorization") }
	c.wantRefusal(c.view(physiology.SepticShock, noToken), 412, KindFailure, "unobtainable")
	if e.asked != before {
		t.Error("the EHR was asked without a token")
	}
	elsewhere := func(b map[string]any) { bare(b); b["fhirServer"] = "http://169.254.169.254/fhir" }
	c.wantRefusal(c.view(physiology.SepticShock, elsewhere), 400, KindRefusal, "wrong-server")

	for status, reason := range map[int]string{401: "denied", 403: "denied", 500: "unobtainable", 302: "unobtainable"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			c.t = t
			e.mu.Lock()
			e.status = status
			e.mu.Unlock()
			c.wantRefusal(c.view(physiology.SepticShock, bare), 412, KindFailure, reason)
		})
	}
	t.Run("slow", func(t *testing.T) {
		c.t = t
		e.mu.Lock()
		e.status, e.delay = 200, 10*time.Second
		e.mu.Unlock()
		c.wantRefusal(c.view(physiology.SepticShock, bare), 412, KindFailure, "unobtainable")
	})
}

func TestAClientsOwnKeyNamesAreUnderstood(t *testing.T) {
	c := open(t, func(_ *Deps, client *trust.Client) {
		client.Quirks.PrefetchKeys = map[string]string{"-patient": fhir.KeyPatient, "obs": fhir.KeyVitals}
		client.Quirks.SelectionBehavior = SelectAny
	})
	cards := c.view(physiology.SepticShock, func(b map[string]any) {
		p := b["prefetch"].(map[string]json.RawMessage)
		p["-patient"], p["obs"] = p[fhir.KeyPatient], p[fhir.KeyVitals]
		delete(p, fhir.KeyPatient)
		delete(p, fhir.KeyVitals)
	}).cards()
	if len(cards) != 1 || cards[0].SelectionBehavior != SelectAny {
		t.Errorf("%+v", cards)
	}
}
