// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var at = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestAHandleOpensItsReceiptUntilItExpires(t *testing.T) {
	s := NewSeal([]byte("key"))
	id := uuid.NewString()
	h, err := s.Handle(id, at)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(h, at); err != nil || got != id {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.Open(h, at.Add(2*time.Minute)); !errors.Is(err, ErrHandle) {
		t.Errorf("expired: %v", err)
	}
	if _, err := NewSeal([]byte("other")).Open(h, at); !errors.Is(err, ErrHandle) {
		t.Errorf("another key: %v", err)
	}
	if strings.Contains(h, id) {
		t.Error("the handle shows the receipt id")
	}
	if _, err := s.Handle("not a uuid", at); !errors.Is(err, ErrHandle) {
		t.Error(err)
	}
}

func TestNoAlteredHandleOpens(t *testing.T) {
	s := NewSeal([]byte("key"))
	h, _ := s.Handle(uuid.NewString(), at)
	rapid.Check(t, func(rt *rapid.T) {
		b := []byte(h)
		i := rapid.IntRange(0, len(b)-1).Draw(rt, "place")
		c := rapid.Byte().Draw(rt, "byte")
		if b[i] == c {
			return
		}
		b[i] = c
		if _, err := s.Open(string(b), at); !errors.Is(err, ErrHandle) {
			rt.Fatalf("opened %q", b)
		}
	})
}

func FuzzOpen(f *testing.F) {
	s := NewSeal([]byte("key"))
	f.Add("")
	f.Add(strings.Repeat("A", 48))
	f.Fuzz(func(t *testing.T, h string) {
		if _, err := s.Open(h, at); !errors.Is(err, ErrHandle) {
			t.Fatalf("opened %q", h)
		}
	})
}

const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

func input() Input {
	reading := state.Reading{Concept: "meanbp", Value: 58, Unit: evil, Method: evil, Received: evil, Conversion: evil, At: at.Add(-time.Hour), RecordID: "Observation/1"}
	tl := &state.Timeline{At: at, Steps: []state.Step{{InStay: true, End: at}}, Gaps: []state.Gap{{What: evil, Reason: evil}}}
	tl.Present = state.Present{
		Readings: map[string]state.Reading{"meanbp": reading, evil: reading}, MAP: state.Pressure{Newest: &reading, GoalMmHg: 65},
		Agents: []state.Agent{{Drug: evil, State: state.AgentRunning, Received: evil, RateUgKgMin: 0.1}}, VasoWhy: evil,
	}
	step := world.StepForecast{EndH: 4}
	d := agent.Decision{
		Status: agent.Suggest, Explanation: []string{evil}, Missing: []string{evil}, NotAssessed: []string{evil},
		Reasons: []agent.Reason{{Code: "x", Text: evil}}, Hazards: []policy.Verdict{{ID: evil, Text: evil, Source: evil}},
		Verdicts: []policy.Verdict{{ID: evil, Text: evil, Effect: policy.Warning, Values: map[string]float64{evil: 1}}},
		Options: []agent.Option{
			{Role: "current", Proposal: policy.Proposal{Name: evil}, Forecast: world.Forecast{Steps: []world.StepForecast{step}}},
			{Role: "suggested", Proposal: policy.Proposal{Name: "raise to 0.177"}, Forecast: world.Forecast{Steps: []world.StepForecast{step}}, Why: evil},
		},
	}
	r := &engine.Receipt{
		ID: "id", At: at, Person: state.Person{ID: "patient-secret"}, Outcome: engine.Outcome{Decision: d}, Model: world.Info{Trained: evil},
		Records: []state.Record{{Type: "Observation", ID: "1", Patient: "Patient/patient-secret", Origin: state.Origin{Via: "prefetch", Key: evil}}},
		Rejects: []state.Reject{{Type: evil, Reason: evil, Detail: evil}},
	}
	return Input{Receipt: r, Timeline: tl, Summary: evil, Indicator: "warning", Void: at.Add(30 * time.Minute), Now: at, Zone: time.UTC, ReceiptURL: "h/receipt"}
}

func TestHostileChartTextStaysTextAndNoPatientIsNamed(t *testing.T) {
	page, err := Evidence(input())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "patient-secret", "http://e", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if n := bytes.Count(page, []byte("&lt;script&gt;")); n < 15 {
		t.Errorf("only %d of the hostile texts are shown", n)
	}
}

func TestValuesCarryTheirUnitAndTheirSource(t *testing.T) {
	in := input()
	in.Timeline.Present.Readings = map[string]state.Reading{
		"sysbp":          {Concept: "sysbp", Value: 90, Unit: "mm[Hg]", At: at, RecordID: "Observation/1#component[0]"},
		"output_4hourly": {Concept: "output_4hourly", Value: 15, Unit: "mL", At: at, RecordID: "Observation/2"},
	}
	in.Receipt.Records[0].Origin.Key = "vitals"
	in.Receipt.Outcome.Decision.Verdicts[0].Values = map[string]float64{"lactate_age_h": 4.335, "fluid_rate_ml_h": 20, "steps_at_goal": 3}
	page, err := Evidence(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<dt>Fluid rate</dt><dd>20 mL/h</dd>", "<dt>Lactate age</dt><dd>4.335 h</dd>", "<dt>Steps at goal</dt><dd>3</dd>", "15 mL<", "Urine, last entry", "Observation, prefetch vitals"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestAPageInAModeWithoutDosesShowsNone(t *testing.T) {
	in := input()
	in.Withheld = true
	page, err := Evidence(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"0.177", "suggested"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestAReceiptOfARefusalIsAPageToo(t *testing.T) {
	page, err := Receipt(ReceiptInput{Record: audit.Record{Row: audit.Row{Leaf: 3, LeafHash: "h", Index: audit.Index{ID: "id", Kind: "refusal", Time: at}}}, Zone: time.UTC})
	if err != nil || !bytes.Contains(page, []byte("Entry 3 of the log")) || bytes.Contains(page, []byte("What was read")) {
		t.Errorf("%s %v", page, err)
	}
	page, err = Receipt(ReceiptInput{Zone: time.UTC, Sources: []Source{{"vitals", "partial", 7, "more than <b>40</b> pages"}}})
	if err != nil || !bytes.Contains(page, []byte(`<th scope="row">vitals</th><td>partial</td><td class="n">7</td><td>more than &lt;b&gt;40`)) {
		t.Errorf("%s %v", page, err)
	}
}

func TestThePolicyAllowsTheOneStyleSheetOnly(t *testing.T) {
	if !strings.HasPrefix(ContentSecurityPolicy(), "default-src 'none'; style-src 'sha256-") || strings.Contains(ContentSecurityPolicy(), "unsafe") {
		t.Error(ContentSecurityPolicy())
	}
	page, err := Evidence(input())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), ` style="`) || strings.Count(string(page), "<style>") != 1 {
		t.Error("the page needs more than its style sheet")
	}
}
