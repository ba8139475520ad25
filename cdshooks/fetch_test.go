// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// manifestOf is the manifest in the newest receipt of a kind.
func manifestOf(t *testing.T, c *clinic, kind string) (fhir.Manifest, *Record) {
	t.Helper()
	list := c.records(kind)
	if len(list) == 0 {
		t.Fatalf("no %s is on record", kind)
	}
	r := list[len(list)-1]
	var m fhir.Manifest
	if err := json.Unmarshal(r.Request.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	return m, r
}

// firstPage makes a prefetched Bundle one page of several.
func firstPage(whole json.RawMessage, entries int, next string) json.RawMessage {
	var b struct {
		Entry []json.RawMessage `json:"entry"`
	}
	_ = json.Unmarshal(whole, &b)
	page, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "searchset",
		"link": []any{map[string]string{"relation": "next", "url": next}}, "entry": b.Entry[:min(entries, len(b.Entry))]})
	return page
}

func TestAPartialListOfAdministrationsIsAnUnknownExposureOnTheWayToTheCard(t *testing.T) {
	c := open(t, nil)
	r := c.view(physiology.SepticShock, func(b map[string]any) {
		p := b["prefetch"].(map[string]json.RawMessage)
		p[fhir.KeyAdministrations] = firstPage(p[fhir.KeyAdministrations], 1, "https://ehr.example.org/fhir?page=2")
	})
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	m, record := manifestOf(t, c, KindDecision)
	d := record.Receipt.Outcome.Decision
	reasons := ""
	for _, reason := range d.Reasons {
		reasons += reason.Code + " "
	}
	if d.Status != "abstain" || !strings.Contains(reasons, "vasopressor-unknown") {
		t.Errorf("%s because of %s", d.Status, reasons)
	}
	if d.Advice.Vasopressor != nil || d.Advice.Fluid != nil {
		t.Errorf("a dose on an exposure that is not known: %+v", d.Advice)
	}
	for _, p := range m.Parts {
		if p.Key == fhir.KeyAdministrations && (p.From != fhir.IsPartial || !strings.Contains(p.Why, "one page of several")) {
			t.Errorf("the receipt says %+v", p)
		}
	}
	if missing := strings.Join(d.Missing, "; "); !strings.Contains(missing, "one page of several") {
		t.Errorf("the card does not say why: %s", missing)
	}
	// The same data whole are decided.
	c.view(physiology.SepticShock, nil)
	if _, record = manifestOf(t, c, KindDecision); record.Receipt.Outcome.Decision.Status == "abstain" {
		t.Errorf("the whole list: %+v", record.Receipt.Outcome.Decision.Reasons)
	}
}

func TestTheRestOfAPrefetchedPageIsReadFromTheEHR(t *testing.T) {
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	c := open(t, func(d *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
		d.Config.Deadline = 30 * time.Second
		d.Config.FHIRBudget = 4 * time.Second
	})
	paged := func(b map[string]any) {
		allow(b, e, 300, "patient/*.rs")
		p := b["prefetch"].(map[string]json.RawMessage)
		p[fhir.KeyAdministrations] = firstPage(p[fhir.KeyAdministrations], 2, e.URL+"/fhir/MedicationAdministration?page=2")
	}
	c.view(physiology.SepticShock, paged)
	m, record := manifestOf(t, c, KindDecision)
	for _, p := range m.Parts {
		if p.Key == fhir.KeyAdministrations && (p.From != fhir.FromFetch || p.Prefetch != fhir.IsPartial || p.Pages != 2) {
			t.Errorf("%+v", p)
		}
	}
	if record.Receipt.Outcome.Decision.Status == "abstain" {
		t.Errorf("%+v", record.Receipt.Outcome.Decision.Reasons)
	}
}

// allow lets a call read from an EHR double.
func allow(b map[string]any, e *ehr, seconds int, scope string) {
	b["fhirServer"] = e.URL + "/fhir"
	b["fhirAuthorization"] = map[string]any{"access_token": "user-token", "token_type": "Bearer", "expires_in": seconds, "scope": scope,
		"subject": "cds", "patient": fixtures().patients[physiology.SepticShock].id}
}

func TestTheAccessTokenIsNowhereAfterTheCall(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger was asked, with %q", r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	var logged logBuffer
	c := open(t, func(d *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
		d.Config.Deadline, d.Config.FHIRBudget = 30*time.Second, 4*time.Second
		d.Logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &logged, zap.DebugLevel))
	})
	bare := func(b map[string]any) { delete(b, "prefetch"); allow(b, e, 300, "patient/*.rs") }
	c.view(physiology.SepticShock, bare)
	elsewhere := c.view(physiology.SepticShock, func(b map[string]any) {
		allow(b, e, 300, "patient/*.rs")
		p := b["prefetch"].(map[string]json.RawMessage)
		p[fhir.KeyVitals] = firstPage(p[fhir.KeyVitals], 1, stranger.URL+"/fhir/Observation?page=2")
	})
	c.wantRefusal(elsewhere, 412, KindFailure, "unobtainable")
	e.mu.Lock()
	e.status = 403
	e.mu.Unlock()
	denied := c.view(physiology.SepticShock, bare)
	c.wantRefusal(denied, 412, KindFailure, "denied")
	for where, text := range map[string][]byte{"answer": denied.body, "log": logged.bytes(), "metrics": c.get("/metrics").body, "another answer": elsewhere.body} {
		if bytes.Contains(text, []byte("user-token")) {
			t.Errorf("the token is in the %s", where)
		}
		if where != "answer" && bytes.Contains(text, []byte(fixtures().patients[physiology.SepticShock].id)) {
			t.Errorf("the patient is in the %s", where)
		}
	}
	for _, kind := range []string{KindDecision, KindFailure} {
		for _, r := range c.records(kind) {
			if raw, _ := json.Marshal(r); bytes.Contains(raw, []byte("user-token")) {
				t.Errorf("the token is in a receipt: %s", raw)
			}
		}
	}
	metrics := string(c.get("/metrics").body)
	for _, line := range []string{`sepsisagent_fhir_breaker_open{client="ehr"} 0`, `sepsisagent_fhir_requests_in_flight{client="ehr"} 0`, `sepsisagent_fhir_requests_total{client="ehr",kind="sent"}`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s among the metrics", line)
		}
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) Sync() error { return nil }

func (l *logBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.buf.Bytes())
}

func TestAScopeThatLeavesNecessaryDataOutIsNamedAndNobodyIsAsked(t *testing.T) {
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	c := open(t, func(_ *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
	})
	r := c.view(physiology.SepticShock, func(b map[string]any) {
		allow(b, e, 300, "patient/Patient.read launch")
		delete(b["prefetch"].(map[string]json.RawMessage), fhir.KeyVitals)
	})
	c.wantRefusal(r, 412, KindFailure, "denied")
	if !strings.Contains(string(r.body), "patient/Observation.rs") || e.asked != 0 {
		t.Errorf("asked %d times: %s", e.asked, r.body)
	}
}

func TestAnEHRThatIsDownIsLeftAloneAndTheCallerIsTold(t *testing.T) {
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	e.status = 503
	c := open(t, func(_ *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
	})
	bare := func(b map[string]any) { delete(b, "prefetch"); allow(b, e, 300, "patient/*.rs") }
	c.wantRefusal(c.view(physiology.SepticShock, bare), 412, KindFailure, "unobtainable")
	e.mu.Lock()
	before := e.asked
	e.mu.Unlock()
	r := c.view(physiology.SepticShock, bare)
	c.wantRefusal(r, 412, KindFailure, "unobtainable")
	if e.asked != before || !strings.Contains(string(r.body), "is not asked before") {
		t.Errorf("asked %d times more: %s", e.asked-before, r.body)
	}
	if s, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || s < 1 || s > 10 {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
	if st := c.service.FHIRStatus()["ehr"]; st.Breaker != fhir.BreakerOpen {
		t.Errorf("%+v", st)
	}
	if !strings.Contains(string(c.get("/metrics").body), `sepsisagent_fhir_breaker_open{client="ehr"} 1`) {
		t.Error("the metrics do not say so")
	}
	// Who prefetches everything does not need the EHR.
	if cards := c.view(physiology.SepticShock, func(b map[string]any) { b["fhirServer"] = e.URL + "/fhir" }).cards(); len(cards) == 0 {
		t.Error("no card with full prefetch")
	}
}

func TestKeysTypedInByHandAreNamedToWhoeverConnectsTheEHR(t *testing.T) {
	c := open(t, nil)
	r := c.view(physiology.SepticShock, func(b map[string]any) {
		p := b["prefetch"].(map[string]json.RawMessage)
		p["-vitals"] = p[fhir.KeyVitals]
		delete(p, fhir.KeyVitals)
	})
	c.wantRefusal(r, 412, KindFailure, "unobtainable")
	if !strings.Contains(string(r.body), "prefetch_keys") {
		t.Errorf("%s", r.body)
	}
	if m, _ := manifestOf(t, c, KindFailure); len(m.Undeclared) != 1 || m.Undeclared[0] != "-vitals" {
		t.Errorf("%+v", m)
	}
}

func TestWhatTheClientHasNoneOfIsNotSaidToBeMissing(t *testing.T) {
	c := open(t, nil)
	r := c.view(physiology.SepticShock, func(b map[string]any) {
		p := b["prefetch"].(map[string]json.RawMessage)
		p[fhir.KeyConditions] = json.RawMessage("null")
		delete(p, fhir.KeyVitals)
	})
	c.wantRefusal(r, 412, KindFailure, "unobtainable")
	if body := string(r.body); !strings.Contains(body, fhir.KeyVitals) || strings.Contains(body, fhir.KeyConditions) {
		t.Errorf("%s", body)
	}
}

func TestAPageSizeThatCannotBeIsRefused(t *testing.T) {
	for count, ok := range map[int]bool{0: true, 1000: true, -1: false, 1 << 20: false} {
		cfg := DefaultConfig()
		cfg.PublicURL, cfg.Prefetch.Count = "https://cds.example.org", count
		if err := cfg.Validate(); (err == nil) != ok || !ok && !strings.Contains(err.Error(), "prefetch.count") {
			t.Errorf("%d: %v", count, err)
		}
	}
}
