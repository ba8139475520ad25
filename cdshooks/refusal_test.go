// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestRequestsThatBreakTheContractAreRefusedWithAReceipt(t *testing.T) {
	c := open(t, nil)
	with := func(path string, v any) func(map[string]any) {
		return func(b map[string]any) {
			at := b
			parts := strings.Split(path, ".")
			for _, p := range parts[:len(parts)-1] {
				if at[p] == nil {
					at[p] = map[string]any{}
				}
				at = at[p].(map[string]any)
			}
			if v == nil {
				delete(at, parts[len(parts)-1])
				return
			}
			at[parts[len(parts)-1]] = v
		}
	}
	auth := func(change map[string]any) func(map[string]any) {
		return func(b map[string]any) {
			a := map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "Observation.Read (Labs) (R4)", "subject": "x"}
			for k, v := range change {
				a[k] = v
			}
			b["fhirAuthorization"] = a
		}
	}
	for _, w := range []struct {
		name   string
		change func(map[string]any)
		reason string
	}{
		{"no hook", with("hook", nil), "bad-request"},
		{"another hook", with("hook", "order-sign"), "wrong-hook"},
		{"hook is a number", with("hook", 5), "bad-request"},
		{"no hookInstance", with("hookInstance", nil), "bad-request"},
		{"hookInstance as urn", with("hookInstance", "urn:uuid:d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"), "bad-request"},
		{"hookInstance without hyphens", with("hookInstance", "d1577c69dfbe44adba6d3e05e953b2ea"), "bad-request"},
		{"hookInstance in braces", with("hookInstance", "{d1577c69-dfbe-44ad-ba6d-3e05e953b2ea}"), "bad-request"},
		{"no context", with("context", nil), "bad-request"},
		{"context is a list", with("context", []any{}), "bad-request"},
		{"no userId", with("context.userId", nil), "bad-request"},
		{"userId without type", with("context.userId", "dr-1"), "bad-request"},
		{"userId of an unknown type", with("context.userId", "Device/1"), "bad-request"},
		{"no patientId", with("context.patientId", nil), "bad-request"},
		{"patientId with a type", with("context.patientId", "Patient/1"), "bad-request"},
		{"patientId with a path", with("context.patientId", "../1"), "bad-request"},
		{"patientId of 600 characters", with("context.patientId", strings.Repeat("a", 600)), "bad-request"},
		{"encounterId with a type", with("context.encounterId", "Encounter/1"), "bad-request"},
		{"fhirServer that is not registered", with("fhirServer", "https://other.example.org/fhir"), "wrong-server"},
		{"fhirServer with a query", with("fhirServer", "https://ehr.example.org/fhir?x=1"), "bad-request"},
		{"fhirServer that is no URL", with("fhirServer", "file:///etc/passwd"), "bad-request"},
		{"token of type bearer in lower case", auth(map[string]any{"token_type": "bearer"}), "bad-request"},
		{"token without expiry", auth(map[string]any{"expires_in": nil}), "bad-request"},
		{"token expiry with a fraction", auth(map[string]any{"expires_in": 1.5}), "bad-request"},
		{"token with a line break", auth(map[string]any{"access_token": "a\r\nX: y"}), "bad-request"},
		{"token of another patient", auth(map[string]any{"patient": "someone-else"}), "wrong-patient"},
		{"prefetch is a list", with("prefetch", []any{}), "bad-request"},
		{"data of another patient", func(b map[string]any) {
			b["prefetch"].(map[string]json.RawMessage)["vitals"] = fixtures().patients[physiology.Improving].prefetch()["vitals"]
		}, "wrong-patient"},
	} {
		t.Run(w.name, func(t *testing.T) {
			c.t = t
			c.wantRefusal(c.view(physiology.SepticShock, w.change), http.StatusBadRequest, KindRefusal, w.reason)
		})
	}
}

func TestTolerableRequestsAreAnswered(t *testing.T) {
	c := open(t, nil)
	for name, change := range map[string]func(map[string]any){
		"unknown members and extensions at every level": func(b map[string]any) {
			b["extension"] = map[string]any{"com.epic.cdshooks.request.bpa-trigger-action": "5"}
			b["x"] = 1
			b["context"].(map[string]any)["y"] = []int{1}
			b["context"].(map[string]any)["draftOrders"] = []int{1} // of another hook
		},
		"no fhirServer":                  func(b map[string]any) { delete(b, "fhirServer") },
		"fhirServer with trailing slash": func(b map[string]any) { b["fhirServer"] = "https://ehr.example.org/fhir/" },
		"null where a member is absent":  func(b map[string]any) { b["fhirAuthorization"] = nil },
		"hookInstance in upper case":     func(b map[string]any) { b["hookInstance"] = "D1577C69-DFBE-44AD-BA6D-3E05E953B2EB" },
		"an empty encounterId":           func(b map[string]any) { b["context"].(map[string]any)["encounterId"] = "" },
		"a prefetch key nobody asked for": func(b map[string]any) {
			b["prefetch"].(map[string]json.RawMessage)["zzz"] = json.RawMessage(`{"resourceType":"Basic","id":"b"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if r := c.view(physiology.SepticShock, change); r.status != 200 {
				t.Errorf("%d %s %s", r.status, r.body, last(c.records(KindRefusal)))
			}
		})
	}
	epic := c.records(KindDecision)
	found := false
	for _, r := range epic {
		found = found || string(r.Request.Extension["com.epic.cdshooks.request.bpa-trigger-action"]) == `"5"`
	}
	if !found {
		t.Error("the client's extension is not kept for the receipt")
	}
}

func TestBodiesThatAreNotOneJSONValueAreRefused(t *testing.T) {
	c := open(t, nil)
	good, _ := json.Marshal(c.body(fixtures().patients[physiology.PostOperative]))
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	for name, body := range map[string]string{
		"empty":                    "",
		"cut short":                string(good[:len(good)-10]),
		"two values":               string(good) + "{}",
		"a member named twice":     `{"hook":"patient-view","hook":"order-sign"}`,
		"named twice by an escape": `{"hook":"patient-view","\u0068ook":"order-sign"}`,
		"nested 200 deep":          `{"context":` + deep + `}`,
		"not UTF-8":                "{\"hook\":\"\xff\"}",
		"a comment":                `{"hook":"x"} // y`,
		"a number like 01":         `{"n":01}`,
		"NaN":                      `{"n":NaN}`,
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.wantRefusal(c.post(servicePath, []byte(body), nil), http.StatusBadRequest, KindRefusal, "not-json")
		})
	}
	c.wantRefusal(c.post(servicePath, []byte(`[]`), nil), http.StatusBadRequest, KindRefusal, "bad-request")
	other := strings.Replace(string(good), `"hook":`, `"HOOK":`, 1)
	c.wantRefusal(c.post(servicePath, []byte(other), nil), http.StatusBadRequest, KindRefusal, "bad-request") // names are matched exactly
}

func TestCallersWithoutAGoodTokenAreToldNothing(t *testing.T) {
	c := open(t, nil)
	good, _ := json.Marshal(c.body(fixtures().patients[physiology.SepticShock]))
	used := c.token(servicePath)
	if r := c.post(servicePath, good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+used) }); r.status != 200 {
		t.Fatal(r.status)
	}
	for name, w := range map[string]struct {
		change func(*http.Request)
		reason string
	}{
		"none":                 {func(r *http.Request) { r.Header.Del("Authorization") }, "unauthorized-no-token"},
		"nonsense":             {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x.y.z") }, "unauthorized-malformed"},
		"for another endpoint": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.token("/cds-services")) }, "unauthorized-audience"},
		"used before":          {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+used) }, "unauthorized-replay"},
		"for a forged host": {func(r *http.Request) {
			r.Host = "evil.example.org"
			r.Header.Set("X-Forwarded-Host", "evil.example.org")
			r.Header.Set("Authorization", "Bearer "+c.token("/x"))
		}, "unauthorized-audience"},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.wantRefusal(c.post(servicePath, good, w.change), http.StatusUnauthorized, KindRefusal, w.reason)
		})
	}
	for _, r := range c.records(KindRefusal) {
		raw, _ := json.Marshal(r)
		if bytes.Contains(raw, []byte("eyJ")) {
			t.Error("a token is in a receipt")
		}
	}
}

func TestStatusesOfTheHTTPFrame(t *testing.T) {
	c := open(t, func(d *Deps, client *trust.Client) {
		d.Config.MaxBodyBytes = 1 << 20
		client.Services = []string{ServiceID}
	})
	good, _ := json.Marshal(c.body(fixtures().patients[physiology.PostOperative]))
	c.wantRefusal(c.post("/cds-services/other", good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.token(servicePath)) }), 404, KindRefusal, "no-service")
	for name, kind := range map[string]string{"text": "text/plain", "none": "", "latin1": "application/json; charset=latin1", "fhir": "application/fhir+json"} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.wantRefusal(c.post(servicePath, good, func(r *http.Request) { r.Header.Set("Content-Type", kind) }), 415, KindRefusal, "media-type")
		})
	}
	c.wantRefusal(c.post(servicePath, good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, KindRefusal, "media-type")
	if r := c.post(servicePath, good, func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; Charset=UTF-8") }); r.status != 200 {
		t.Errorf("%d for a media type in capitals", r.status)
	}
	big := append(append([]byte(`{"x":"`), bytes.Repeat([]byte("a"), 2<<20)...), `"}`...)
	c.wantRefusal(c.post(servicePath, big, nil), 413, KindRefusal, "too-large")
	c.wantRefusal(c.post(servicePath, big, func(r *http.Request) { r.ContentLength = -1 }), 413, KindRefusal, "too-large")
	r := c.get(servicePath)
	c.wantRefusal(r, 405, KindRefusal, "method")
	if !strings.Contains(r.header.Get("Allow"), "POST") {
		t.Errorf("GET: Allow %q", r.header.Get("Allow"))
	}
	for _, path := range []string{servicePath + "/", "/cds-services/a/b/c"} {
		before := len(c.records(KindRefusal))
		c.wantRefusal(c.post(path, good, nil), 404, KindRefusal, "no-service")
		if n := len(c.records(KindRefusal)) - before; n != 1 {
			t.Errorf("%s left %d receipts", path, n)
		}
	}
	head, err := http.Head(c.server.URL + "/cds-services")
	if err != nil || head.StatusCode != 200 {
		t.Errorf("HEAD of the discovery document: %v, %v", head, err)
	}

	closed := open(t, func(_ *Deps, client *trust.Client) { client.Services = []string{"something-else"} })
	closed.wantRefusal(closed.post(servicePath, good, nil), 403, KindRefusal, "forbidden")
}

// fault is a chart source or decider that misbehaves.
type faulty struct {
	Charts
	Decider
	gather func(context.Context) error
	decide func(context.Context) error
}

func (f faulty) Gather(ctx context.Context, q ChartQuery) (*state.Chart, json.RawMessage, error) {
	if f.gather != nil {
		if err := f.gather(ctx); err != nil {
			return nil, nil, err
		}
	}
	return f.Charts.Gather(ctx, q)
}

func (f faulty) Decide(ctx context.Context, c engine.Case) (engine.Outcome, error) {
	if f.decide != nil {
		if err := f.decide(ctx); err != nil {
			return engine.Outcome{}, err
		}
	}
	return f.Decider.Decide(ctx, c)
}

func TestFaultsEndInAnErrorWithAReceiptAndNeverInSilence(t *testing.T) {
	untilDone := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, w := range map[string]struct {
		gather, decide func(context.Context) error
		status         int
		reason         string
	}{
		"necessary data cannot be had":       {func(context.Context) error { return fmt.Errorf("x: %w", ErrUnobtainable) }, nil, 412, "unobtainable"},
		"the FHIR server denies them":        {func(context.Context) error { return ErrDenied }, nil, 412, "denied"},
		"the FHIR server is too slow":        {func(context.Context) error { return fmt.Errorf("%w: %w", ErrUnobtainable, context.DeadlineExceeded) }, nil, 412, "unobtainable"},
		"the deadline passes while fetching": {untilDone, nil, 503, "deadline"},
		"the deadline passes while deciding": {nil, untilDone, 503, "deadline"},
		"the decider fails":                  {nil, func(context.Context) error { return errors.New("NaN for patient seventeen") }, 500, "internal"},
		"the decider panics":                 {nil, func(context.Context) error { panic("patient seventeen") }, 500, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // deadlines are waited for side by side
			c := open(t, func(d *Deps, _ *trust.Client) {
				d.Config.Deadline = time.Minute
				if w.reason == "deadline" {
					d.Config.Deadline = 2 * time.Second // every other step must fit, on a slow machine too
				}
				f := faulty{d.Charts, d.Decider, w.gather, w.decide}
				d.Charts, d.Decider = f, f
			})
			r := c.view(physiology.SepticShock, nil)
			c.wantRefusal(r, w.status, KindFailure, w.reason)
			if bytes.Contains(r.body, []byte("seventeen")) || bytes.Contains(r.body, []byte("goroutine")) {
				t.Errorf("an error's own text left the service: %s", r.body)
			}
			if w.status == 503 && r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

// lateDecider decides, but only when the deadline has passed.
type lateDecider struct{ Decider }

func (d lateDecider) Decide(ctx context.Context, c engine.Case) (engine.Outcome, error) {
	out, err := d.Decider.Decide(ctx, c)
	<-ctx.Done()
	return out, err
}

func TestADecisionThatComesLateIsNotGiven(t *testing.T) {
	t.Parallel()
	c := open(t, func(d *Deps, _ *trust.Client) {
		d.Config.Deadline = time.Second
		d.Decider = lateDecider{d.Decider}
	})
	c.wantRefusal(c.view(physiology.SepticShock, nil), 503, KindFailure, "deadline")
	if n := len(c.records(KindDecision)); n != 0 {
		t.Errorf("%d decisions are on record", n)
	}
}

// fullLog is a log that cannot store anything.
type fullLog struct{ Log }

func (fullLog) Append(context.Context, audit.Entry) (audit.Appended, error) {
	return audit.Appended{}, errors.New("database or disk is full")
}

func TestWhatCannotBeRecordedIsNotAnswered(t *testing.T) {
	c := open(t, func(d *Deps, _ *trust.Client) { d.Log = fullLog{d.Log} })
	r := c.view(physiology.SepticShock, nil)
	if r.status != 500 || bytes.Contains(r.body, []byte("cards")) || bytes.Contains(r.body, []byte("disk")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	refused := c.post(servicePath, []byte("{"), func(r *http.Request) { r.Header.Del("Authorization") })
	if refused.status != 500 {
		t.Errorf("%d for a refusal that could not be recorded", refused.status)
	}
}

func TestOneClientCannotSpeakOfAnothersCards(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.SepticShock, nil).cards()[0]
	if owner, err := c.service.cardOwner(context.Background(), "another-client", ServiceID, card.UUID); err != nil || owner != nil {
		t.Errorf("%+v %v", owner, err)
	}
	if owner, err := c.service.cardOwner(context.Background(), "ehr", ServiceID, card.UUID); err != nil || owner == nil {
		t.Errorf("its own client cannot find it: %v", err)
	}
	prior, err := c.service.prior(context.Background(), clinicNow, &RequestMeta{
		Service: ServiceID, Client: "another-client", User: "Practitioner/dr-1", Patient: fixtures().patients[physiology.SepticShock].id})
	if err != nil || len(prior) != 0 {
		t.Errorf("%+v %v", prior, err)
	}
}
