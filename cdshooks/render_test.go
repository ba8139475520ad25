// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// forbidden are words that no card may use (design.md 5.10).
var forbidden = regexp.MustCompile(`(?i)\b(optimal|safe|safely|reduces death|mortality|adequately resuscitated|no sepsis|remaining)\b`)

// anyText draws text as a chart could hold it, plain or hostile.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{
			"<script>alert(1)</script>", "![x](http://evil.example/x.png)", "[click](javascript:alert(1))", "www.evil.example", "http://evil.example",
			"a | b\n| c", "**bold**", "`code`", "a\u202eb", "# h", "<!-- x -->", "&lt;b&gt;", "~~x~~", "a@evil.example", "\\<b>", strings.Repeat("x", 2000),
			"- [ ] task", "1. list", "> quote", "\x00\x1b[31m",
		}),
	)
}

// drawRendering draws a decision of any status with hostile texts and any
// sensible doses.
func drawRendering(rt *rapid.T) Rendering {
	at := clinicNow
	text := anyText()
	reading := func(c state.Concept) *state.Reading {
		return &state.Reading{Concept: c, Value: rapid.Float64Range(0, 300).Draw(rt, "value"), Unit: text.Draw(rt, "unit"), At: at.Add(-time.Hour), Method: text.Draw(rt, "method"), Received: text.Draw(rt, "received")}
	}
	tl := &state.Timeline{At: at, Present: state.Present{
		Readings: map[string]state.Reading{"heart_rate": *reading("heart_rate"), "creatinine": *reading("creatinine")},
		MAP:      state.Pressure{GoalMmHg: 65, Newest: reading("meanbp"), LastHourMin: reading("meanbp")},
		Lactate:  state.Trend{Now: reading("lactate"), Before: reading("lactate"), Rising: true},
		Agents: []state.Agent{
			{Drug: state.Drug(text.Draw(rt, "drug")), State: state.AgentRunning, RateUgKgMin: rapid.Float64Range(0, 2).Draw(rt, "rate"), RateUnit: state.UnitUgKgMin, ChartedAt: at},
			{Drug: "dopamine", State: state.AgentUnknownRate, Why: text.Draw(rt, "why")},
		},
		VasoWhy: text.Draw(rt, "vasowhy"), Fluids: state.FluidBook{Why: text.Draw(rt, "fluidwhy")},
		Weight: state.Weight{Conflict: text.Draw(rt, "conflict")},
		Sepsis: state.Sepsis{Suspected: true, Evidence: []string{text.Draw(rt, "evidence")}, Shock: true, ShockWhy: text.Draw(rt, "shock")},
	}}
	d := agent.Decision{
		Status:      rapid.SampledFrom([]agent.Status{agent.Suggest, agent.Affirm, agent.Abstain, agent.NotApplicable}).Draw(rt, "status"),
		Explanation: []string{text.Draw(rt, "explanation")}, Missing: []string{text.Draw(rt, "missing")}, NotAssessed: []string{text.Draw(rt, "na")},
		Verdicts: []policy.Verdict{{ID: text.Draw(rt, "rule"), Text: text.Draw(rt, "ruletext"), Effect: policy.Warning, Source: text.Draw(rt, "source"), Strength: "strong"}},
		Options:  []agent.Option{{Role: "current", Forecast: world.Forecast{Steps: []world.StepForecast{{EndH: 4}, {EndH: 8}, {EndH: 12}}}, Why: text.Draw(rt, "whynot")}},
	}
	if rapid.Bool().Draw(rt, "hazard") {
		d.Hazards = []policy.Verdict{{ID: "V11", Text: text.Draw(rt, "hazardtext"), Hazard: true}}
	}
	switch d.Status {
	case agent.Suggest:
		if rapid.Bool().Draw(rt, "vaso") {
			from := rapid.Float64Range(0, 0.5).Draw(rt, "from")
			d.Advice.Vasopressor = &agent.VasopressorAdvice{
				Direction: rapid.SampledFrom([]string{"start", "increase", "decrease", "stop", "hold", "add-vasopressin"}).Draw(rt, "direction"),
				Drug:      rapid.SampledFrom([]state.Drug{"norepinephrine", "epinephrine", "phenylephrine", "vasopressin", "angiotensin ii"}).Draw(rt, "which"),
				GoalMmHg:  65, FromUgKgMin: from, ToUgKgMin: from + 0.05, CeilingUgKgMin: 0.5, UMin: 0.03, RecheckMin: 15,
			}
		}
		if d.Advice.Vasopressor == nil || rapid.Bool().Draw(rt, "fluid") {
			d.Advice.Fluid = &agent.FluidAdvice{BolusMl: rapid.SampledFrom([]float64{250, 500}).Draw(rt, "ml"), Kind: "balanced crystalloid", OverMin: 30, StopCriteria: []string{"MAP at goal"}}
		}
	default:
		d.Reasons = []agent.Reason{{Code: "x", Text: text.Draw(rt, "reason")}}
	}
	return Rendering{
		ID: "id", Seed: rapid.Uint64().Draw(rt, "seed"), Display: rapid.SampledFrom([]string{"inform", "suggest"}).Draw(rt, "display"), Timeline: tl,
		Outcome:  engine.Outcome{Decision: d, Show: true, Topic: rapid.SampledFrom([]string{"vasopressor", "fluid", "hazard", "review", text.Draw(rt, "topic")}).Draw(rt, "t")},
		Model:    world.Info{Kind: "native", Version: "1.0.0", Hash: "abc", Trained: text.Draw(rt, "trained")},
		Settings: RenderSettings{SourceLabel: "SepsisAgent CDS", TopicSystem: "https://x.example/t", TimeZone: "Europe/Berlin", EvidenceURL: "https://x.example/e", PatientID: "p", Quirks: trust.Quirks{Drafts: true}},
	}
}

var doseWords = regexp.MustCompile(`[0-9]|mL|U/min|ug/kg/min`)

func TestWhateverIsDecidedAndChartedTheCardKeepsTheContract(t *testing.T) {
	gfm := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	rapid.Check(t, func(rt *rapid.T) {
		r := drawRendering(rt)
		response, err := Render(r)
		if err != nil {
			rt.Fatalf("not rendered: %v", err)
		}
		if _, err := response.Encode(); err != nil {
			rt.Fatalf("not sendable: %v", err)
		}
		card := response.Cards[0]
		checkSummaryIsWhole(rt, r, card.Summary)
		var page bytes.Buffer
		if err := gfm.Convert([]byte(card.Detail), &page); err != nil {
			rt.Fatal(err)
		}
		for _, tag := range regexp.MustCompile(`</?([a-zA-Z0-9!]+)`).FindAllStringSubmatch(page.String(), -1) {
			switch strings.ToLower(tag[1]) {
			case "p", "ul", "li", "strong", "em", "table", "thead", "tbody", "tr", "th", "td":
			default:
				rt.Fatalf("chart text became <%s>:\n%s", tag[1], card.Detail)
			}
		}
		again, err := Render(r)
		a, _ := json.Marshal(response)
		b, _ := json.Marshal(again)
		if err != nil || !bytes.Equal(a, b) {
			rt.Fatal("two renderings of one decision differ")
		}
		for _, s := range card.Suggestions {
			for _, action := range s.Actions {
				if strings.Contains(string(action.Resource), "epinephrine") || strings.Contains(string(action.Resource), "vasopressin") {
					rt.Fatalf("a draft of a vasoactive drug: %s", action.Resource)
				}
			}
		}
	})
}

// checkSummaryIsWhole checks that doses are in the summary whole or not at all.
func checkSummaryIsWhole(rt *rapid.T, r Rendering, summary string) {
	a := r.Outcome.Decision.Advice
	if r.Display != trust.DisplaySuggest || r.Outcome.Decision.Status != agent.Suggest {
		if strings.Contains(summary, "onsider") && doseWords.MatchString(strings.Split(summary, "onsider")[1]) {
			rt.Fatalf("a dose in mode %s: %q", r.Display, summary)
		}
		return
	}
	if v := a.Vasopressor; v != nil && !strings.Contains(summary, vasopressorWords(v)) {
		rt.Fatalf("the dose was cut: %q", summary)
	}
	if f := a.Fluid; f != nil && !strings.Contains(summary, fluidWords(f)) {
		rt.Fatalf("the bolus was cut: %q", summary)
	}
}

func TestNoCardUsesAForbiddenWord(t *testing.T) {
	c := open(t, nil)
	for s := range fixtures().patients {
		for _, card := range c.view(s, nil).cards() {
			raw, _ := json.Marshal(card)
			if hit := forbidden.Find(raw); hit != nil {
				t.Errorf("%s: the card says %q", s, hit)
			}
		}
	}
}

func TestNumbersAreWrittenAsAPrescriptionWantsThem(t *testing.T) {
	for want, got := range map[string]string{
		"0.1": rate(0.1), "0.125": rate(0.125), "0.12": rate(0.1200001), "below 0.001": rate(0.0002), "0": rate(0), "1.5": rate(1.5),
		"500": number(500, 1), "-0.5": number(-0.5, 1), "unknown": number(nan(), 1), "under 1 %": percent(0.001), "over 99 %": percent(0.9999), "43 %": percent(0.43),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for text, want := range map[string]string{
		"norepinephrine 0.12020498252240941 mcg/kg/min": "norepinephrine 0.12 mcg/kg/min", "at 27.4769999999.": "at 27.477.", "0.000012345678 mg": "0.000012 mg",
		"digoxin 0.0625 MG": "digoxin 0.0625 MG", "1.2.840.123456": "1.2.840.123456", "0.00000": "0.00000",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if s := fit(strings.Repeat("a", 140), strings.Repeat("b", 139)); s[0] != 'b' {
		t.Error("139 code points fit, 140 do not")
	}
	if s := number(-0.01, 1); s != "0" {
		t.Errorf("%q", s)
	}
}

func nan() float64 { z := 0.0; return z / z }

func TestAPressureThatIsNotOfTheLastHourCarriesItsTime(t *testing.T) {
	r := shockCase()
	r.Timeline.Present.MAP.Newest.At = r.Timeline.At.Add(-90 * time.Minute)
	out, err := Render(r)
	if err != nil || !strings.HasPrefix(out.Cards[0].Summary, "MAP 58 at 08:44, goal 65: consider raising norepinephrine") {
		t.Errorf("%v, %v", out.Cards, err)
	}
	r.Outcome.Decision = agent.Decision{Status: agent.Abstain, Hazards: []policy.Verdict{{
		ID: "H", Text: "MAP 58 mmHg is below the goal of 65 and neither a running vasopressor nor a bolus in the last 3 h is charted.", Hazard: true}}}
	out, err = Render(r)
	if err != nil || !strings.HasSuffix(out.Cards[0].Summary, "is charted. MAP at 08:44; no dose") {
		t.Errorf("%v, %v", out.Cards, err)
	}
}

func TestResponsesThatBreakTheContractAreNotSent(t *testing.T) {
	good := func() Response {
		return Response{Cards: []Card{{
			UUID: cardID("a", 1, "card"), Summary: "s", Indicator: "info",
			Source:      Source{Label: "l", Topic: &Coding{Code: "t", System: "s"}},
			Suggestions: []Suggestion{{Label: "l", UUID: cardID("a", 1, "s")}}, SelectionBehavior: SelectAtMostOne,
			Links: []Link{{Label: "l", URL: "https://x.example/", Type: "absolute"}},
		}}}
	}
	if _, err := good().Encode(); err != nil {
		t.Fatal(err)
	}
	if body, err := (Response{}).Encode(); err != nil || string(body) != `{"cards":[]}` {
		t.Errorf("%s %v", body, err)
	}
	for name, change := range map[string]func(*Card){
		"a summary of 140":                   func(c *Card) { c.Summary = strings.Repeat("ä", 140) },
		"a summary with line break":          func(c *Card) { c.Summary = "a\nb" },
		"an empty summary":                   func(c *Card) { c.Summary = " " },
		"hard-stop":                          func(c *Card) { c.Indicator = "hard-stop" },
		"HTML in detail":                     func(c *Card) { c.Detail = "a <b>x</b>" },
		"an image in detail":                 func(c *Card) { c.Detail = "![x](y)" },
		"no source label":                    func(c *Card) { c.Source.Label = "" },
		"no topic":                           func(c *Card) { c.Source.Topic = nil },
		"a topic with a hyphen":              func(c *Card) { c.Source.Topic.Code = "a-b" },
		"a relative source url":              func(c *Card) { c.Source.URL = "/x" },
		"no uuid":                            func(c *Card) { c.UUID = "" },
		"one uuid twice":                     func(c *Card) { c.Suggestions[0].UUID = c.UUID },
		"no selectionBehavior":               func(c *Card) { c.SelectionBehavior = "" },
		"a behaviour without suggestions":    func(c *Card) { c.Suggestions = nil },
		"an unknown behaviour":               func(c *Card) { c.SelectionBehavior = "all" },
		"a suggestion without label":         func(c *Card) { c.Suggestions[0].Label = "" },
		"a javascript link":                  func(c *Card) { c.Links[0].URL = "javascript:alert(1)" },
		"a link without type":                func(c *Card) { c.Links[0].Type = "" },
		"an override without display":        func(c *Card) { c.OverrideReasons = []Coding{{Code: "a", System: "b"}} },
		"an extension key that is no domain": func(c *Card) { c.Extension = map[string]json.RawMessage{"x": json.RawMessage("1")} },
		"an empty object":                    func(c *Card) { c.Extension = map[string]json.RawMessage{"a.b": json.RawMessage("{}")} },
		"a null":                             func(c *Card) { c.Extension = map[string]json.RawMessage{"a.b": json.RawMessage("null")} },
		"an action of type CREATE":           func(c *Card) { c.Suggestions[0].Actions = []Action{{Type: "CREATE", Description: "d"}} },
		"a stringified resource": func(c *Card) {
			c.Suggestions[0].Actions = []Action{{Type: "create", Description: "d", Resource: json.RawMessage(`"{}"`)}}
		},
		"two recommended": func(c *Card) {
			c.Suggestions = []Suggestion{{Label: "a", UUID: cardID("a", 1, "x"), IsRecommended: true}, {Label: "b", UUID: cardID("a", 1, "y"), IsRecommended: true}}
		},
	} {
		r := good()
		change(&r.Cards[0])
		if _, err := r.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryFaultHasAStatusAndWords(t *testing.T) {
	for _, f := range faults {
		got := faultOf(fmt.Errorf("x: %w", f.is))
		if got.status == 0 || got.reason == "" || got.issue == "" {
			t.Errorf("%v", f.is)
		}
		if body := outcomeBody(f.is, "r"); (body == nil) != (got.status == 401) {
			t.Errorf("%v: %s", f.is, body)
		}
	}
	if f := faultOf(errors.New("anything else")); f.status != 500 {
		t.Errorf("%+v", f)
	}
}
