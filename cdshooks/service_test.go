// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestEachPatientGetsTheAnswerOfTheirState(t *testing.T) {
	c := open(t, nil)
	for _, want := range []struct {
		scenario physiology.Scenario
		status   agent.Status
		summary  []string // parts of the card's summary; none: no card
	}{
		{physiology.SepticShock, agent.Suggest, []string{"goal 65", "raising norepinephrine from ", " ug/kg/min"}},
		{physiology.RefractoryShock, agent.Suggest, []string{"adding vasopressin 0.03 U/min", "no norepinephrine increase"}},
		{physiology.Improving, agent.Suggest, []string{"lowering norepinephrine from "}},
		{physiology.PostOperative, agent.NotApplicable, nil},
		{physiology.MissingData, agent.Abstain, []string{"no MAP in the last 120 min: measure it now", "o dose"}},
	} {
		t.Run(string(want.scenario), func(t *testing.T) {
			c.t = t
			cards := c.view(want.scenario, nil).cards()
			records := c.records(KindDecision)
			r := records[len(records)-1]
			if got := r.Receipt.Outcome.Decision.Status; got != want.status {
				t.Fatalf("decision %s, want %s: %v", got, want.status, r.Receipt.Outcome.Decision.Reasons)
			}
			if want.summary == nil {
				if len(cards) != 0 || string(r.Response) != `{"cards":[]}` {
					t.Errorf("silence is an empty list of cards, and recorded: %s", r.Response)
				}
				return
			}
			if len(cards) != 1 {
				t.Fatalf("%d cards, want 1", len(cards))
			}
			checkShownCard(t, c, cards[0], r)
			if want.status == agent.Suggest {
				checkDoseCard(t, cards[0], r)
			} else {
				checkDoselessCard(t, cards[0], r)
			}
			for _, part := range want.summary {
				if !strings.Contains(cards[0].Summary, part) {
					t.Errorf("summary %q lacks %q", cards[0].Summary, part)
				}
			}
		})
	}
}

// checkShownCard checks what every card carries, and that its entry is found.
func checkShownCard(t *testing.T, c *clinic, card Card, r *Record) {
	t.Helper()
	hasAll(t, card.Detail, "As of 2026-03-01 09:00 UTC", "Void after 09:30", "verify pump", "Model persistence", "not validated for clinical use")
	var ext receiptExtension
	if err := json.Unmarshal(card.Extension[ReceiptExtension], &ext); err != nil || ext.ID != r.ID || ext.LeafHash == "" {
		t.Errorf("extension %s does not name receipt %s", card.Extension[ReceiptExtension], r.ID)
	}
	if strings.Contains(string(r.Response), ReceiptExtension) {
		t.Error("the leaf covers the card without the extension that names the leaf")
	}
	row, err := c.log.Get(context.Background(), r.ID)
	if err != nil || !row.Index.Shown || len(row.Index.Cards) != 1+len(card.Suggestions) || row.Index.Cards[0] != card.UUID ||
		row.Index.Patient == "" || row.Index.Model == "" || row.Index.HTTP != 200 || row.Index.Topic != card.Source.Topic.Code {
		t.Errorf("the entry cannot be found by its card, patient or model: %+v, %v", row.Index, err)
	}
	if strings.Contains(card.Links[0].URL, r.Request.Patient) {
		t.Error("a link names the patient")
	}
}

// checkDoseCard checks what a card with a dose carries beside that.
func checkDoseCard(t *testing.T, card Card, r *Record) {
	t.Helper()
	hasAll(t, card.Detail, "| Plan | Hours |", "**Current treatment**", "**Suggested**", "80 % interval", "MAP goal 65", "Recheck")
	if len(r.Index(time.Time{}).Drugs) == 0 {
		t.Error("the entry cannot be found by its drug")
	}
	if len(card.Suggestions) != 1 || len(card.Suggestions[0].Actions) != 0 || card.Suggestions[0].IsRecommended {
		t.Errorf("one suggestion, without orders, not preselected: %+v", card.Suggestions)
	}
}

// checkDoselessCard checks a danger that is shown without a dose: nothing in it
// can be taken for one, and nothing can be accepted.
func checkDoselessCard(t *testing.T, card Card, r *Record) {
	t.Helper()
	for _, part := range []string{"| Plan | Hours |", "**Suggested**", "80 % interval", "Recheck"} {
		if strings.Contains(card.Detail, part) {
			t.Errorf("detail of a card without a dose has %q:\n%s", part, card.Detail)
		}
	}
	hasAll(t, card.Detail, "This warning carries no dose. Assess the patient.")
	if len(card.Suggestions) != 0 || len(r.Index(time.Time{}).Drugs) != 0 || card.Indicator == IndicatorInfo {
		t.Errorf("a warning, without a suggestion or a drug: %+v, %v", card, r.Index(time.Time{}).Drugs)
	}
}

func hasAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("lacks %q:\n%s", part, text)
		}
	}
}

func TestDisplayModesDecideWhatIsShown(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "stop")
	for _, m := range []struct {
		name   string
		change func(*Deps, *trust.Client)
		body   func(map[string]any)
		mode   string
	}{
		{"silent is the default", func(_ *Deps, c *trust.Client) { c.Display = "" }, nil, trust.DisplaySilent},
		{"inform shows no dose", func(_ *Deps, c *trust.Client) { c.Display = trust.DisplayInform }, nil, trust.DisplayInform},
		{"suggest without a local validation falls back to inform", func(d *Deps, _ *trust.Client) { d.Validated = nil }, nil, trust.DisplayInform},
		{"suggest with an expired validation falls back to inform", func(d *Deps, _ *trust.Client) {
			d.Validated = func(time.Time) validation.Standing {
				return validation.Standing{Code: validation.Expired, Why: "it expired"}
			}
		}, nil, trust.DisplayInform},
		{"the unit's own mode wins", func(_ *Deps, c *trust.Client) {
			c.DisplayByUnit = map[string]string{"": trust.DisplaySilent, "ICU": trust.DisplaySilent, "MICU": trust.DisplaySilent, "Medical ICU": trust.DisplaySilent}
			c.Display = trust.DisplaySilent
		}, nil, trust.DisplaySilent},
		{"the kill switch silences all", func(d *Deps, _ *trust.Client) {
			d.Config.KillSwitchFile = stop
			if err := os.WriteFile(stop, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, trust.DisplaySilent},
		{"a patient looking at their own chart sees nothing", nil, func(b map[string]any) {
			b["context"].(map[string]any)["userId"] = "Patient/p1"
		}, trust.DisplaySilent},
	} {
		t.Run(m.name, func(t *testing.T) {
			c := open(t, m.change)
			cards := c.view(physiology.SepticShock, m.body).cards()
			r := c.records(KindDecision)[0]
			if r.Display.Mode != m.mode {
				t.Fatalf("mode %+v, want %s", r.Display, m.mode)
			}
			if r.Receipt.Outcome.Decision.Status != agent.Suggest {
				t.Fatalf("silent modes decide all the same: %s", r.Receipt.Outcome.Decision.Status)
			}
			if m.mode == trust.DisplaySilent {
				if len(cards) != 0 {
					t.Errorf("a card was shown: %s", cards[0].Summary)
				}
				return
			}
			for _, card := range cards {
				next := rate(r.Receipt.Outcome.Decision.Advice.Vasopressor.ToUgKgMin) + " ug/kg/min"
				page := c.get(strings.TrimPrefix(card.Links[0].URL, c.service.Config.PublicURL))
				for _, text := range []string{card.Summary, card.Detail, string(page.body)} {
					if strings.Contains(text, next) || strings.Contains(text, "uggested</strong>") || strings.Contains(text, "raising") || strings.Contains(text, "increase norepinephrine") {
						t.Errorf("a dose is shown in mode inform:\n%s", text)
					}
				}
				if len(card.Suggestions) != 0 {
					t.Error("a suggestion is shown in mode inform")
				}
			}
		})
	}
}

func TestRepeatsAreSuppressedUntilTheWindowEndsAndFeedbackIsHeeded(t *testing.T) {
	c := open(t, nil)
	first := c.view(physiology.SepticShock, nil).cards()
	if len(first) != 1 {
		t.Fatal("no card to begin with")
	}
	if again := c.view(physiology.SepticShock, nil).cards(); len(again) != 0 {
		t.Error("the same advice is shown twice to one user")
	}
	records := c.records(KindDecision)
	if len(records) != 2 || records[1].Receipt.Outcome.Suppressed == "" {
		t.Error("the suppression left no receipt")
	}
	other := c.view(physiology.SepticShock, func(b map[string]any) { b["context"].(map[string]any)["userId"] = "Practitioner/dr-2" }).cards()
	if len(other) != 1 {
		t.Error("another user has not seen it yet")
	}
}

func TestAClientThatTriesAgainGetsItsCardAgain(t *testing.T) {
	c := open(t, nil)
	instance := func(b map[string]any) { b["hookInstance"] = "D1577C69-DFBE-44AD-BA6D-3E05E953B2EA" }
	for range 2 {
		if len(c.view(physiology.SepticShock, instance).cards()) != 1 {
			t.Error("the same hook instance is no repeat")
		}
	}
}

func TestDiscoveryIsDeterministicAndFollowsTheContract(t *testing.T) {
	c := open(t, nil)
	a, b := c.get("/cds-services"), c.get("/cds-services")
	if a.status != 200 || string(a.body) != string(b.body) || a.header.Get("ETag") == "" || a.header.Get("ETag") != b.header.Get("ETag") {
		t.Errorf("two answers differ: %s", a.body)
	}
	var doc struct {
		Services []map[string]any `json:"services"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Services) != 3 {
		t.Fatalf("%v: %d services", err, len(doc.Services))
	}
	for i, want := range [][2]string{{"patient-view", "sepsis-treatment"}, {"order-select", "sepsis-order-select"}, {"order-sign", "sepsis-order-sign"}} {
		if s := doc.Services[i]; s["hook"] != want[0] || s["id"] != want[1] || s["prefetch"] == nil {
			t.Errorf("service %d is %v for %v", i, s["id"], s["hook"])
		}
	}
	var tree any
	_ = json.Unmarshal(a.body, &tree)
	if err := blank("", tree, nil); err != nil {
		t.Error(err)
	}
	req, _ := http.NewRequest(http.MethodGet, c.server.URL+"/cds-services", nil)
	req.Header.Set("If-None-Match", a.header.Get("ETag"))
	if r := c.do(req); r.status != http.StatusNotModified {
		t.Errorf("status %d for a known ETag", r.status)
	}
}

func TestBrowsersOfRegisteredOriginsMayCall(t *testing.T) {
	c := open(t, func(_ *Deps, client *trust.Client) { client.Origins = []string{"https://ehr.example.org"} })
	for _, path := range []string{"/cds-services", servicePath, servicePath + "/feedback"} {
		for origin, allowed := range map[string]string{"https://ehr.example.org": "https://ehr.example.org", "https://evil.example.org": "", "null": ""} {
			req, _ := http.NewRequest(http.MethodOptions, c.server.URL+path, nil)
			req.Header.Set("Origin", origin)
			req.Header.Set("Access-Control-Request-Method", "POST")
			r := c.do(req)
			if r.status != http.StatusNoContent || r.header.Get("Access-Control-Allow-Origin") != allowed {
				t.Errorf("%s from %s: %d, %v", path, origin, r.status, r.header)
			}
			if allowed != "" && !strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("%s: %v", path, r.header)
			}
			if !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Origin") || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", path, r.header)
			}
		}
	}
}

func TestEveryAnswerCarriesSecurityHeadersAndNoPatientInMetrics(t *testing.T) {
	c := open(t, nil)
	r := c.view(physiology.SepticShock, nil)
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Strict-Transport-Security": "max-age=31536000", "Content-Type": "application/json; charset=utf-8",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	m := c.get("/metrics")
	if m.status != 200 || !strings.Contains(string(m.body), "sepsisagent_decisions_total") {
		t.Fatalf("metrics: %d", m.status)
	}
	for _, secret := range []string{fixtures().patients[physiology.SepticShock].id, "dr-1", "eyJ"} {
		if strings.Contains(string(m.body), secret) {
			t.Errorf("metrics hold %q", secret)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/nothing": 404, "/model-card": 404} {
		if r := c.get(path); r.status != want {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}
