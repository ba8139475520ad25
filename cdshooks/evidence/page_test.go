// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the evidence page of one synthetic receipt, whole, and what holds
// for every page.

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// forecast is a course of MAP that rises by rise per step; the other quantities
// stay.
func forecast(fromMmHg, rise float64) world.Forecast {
	f := world.Forecast{Support: 0.21, Similar: 412, Disagreement: 1.4, OOD: 0.37}
	for k := range 3 {
		s := world.StepForecast{EndH: float64(4 * (k + 1)), PLactateFall: 0.6, PVent: 0.31}
		set := func(i int, median, spread float64) {
			s.Band[i] = world.Band{Median: median, Lo80: median - spread, Hi80: median + spread, Lo95: median - 1.6*spread, Hi95: median + 1.8*spread}
		}
		set(state.MeanBP, fromMmHg+rise*float64(k), 8+float64(k))
		set(state.Lactate, 3.1, 0.9)
		set(state.Urine, 120, 60)
		set(state.Creatinine, 1.91, 0.3)
		s.PMAPAtGoal = math.Min(0.95, math.Max(0.05, (s.Band[state.MeanBP].Median-50)/30))
		f.Steps = append(f.Steps, s)
	}
	return f
}

// example is septic shock on norepinephrine, with an arterial line and a cuff
// that agree, a converted creatinine, a carried lactate and gaps.
func example() Input {
	before := func(minutes int) time.Time { return at.Add(-time.Duration(minutes) * time.Minute) }
	reading := func(c state.Concept, v float64, unit, method string, minutes int, id string) state.Reading {
		return state.Reading{Concept: c, Value: v, Unit: unit, Method: method, At: before(minutes), Available: before(minutes), Received: number(v, 1) + " " + unit, RecordID: "Observation/" + id}
	}
	arterial, cuff := reading("meanbp", 58, "mm[Hg]", state.MethodArterial, 4, "map"), reading("meanbp", 61, "mm[Hg]", state.MethodCuff, 25, "cuff")
	low := reading("meanbp", 55, "mm[Hg]", state.MethodArterial, 31, "low")
	lactate, earlier := reading("lactate", 4.1, "mmol/L", "", 70, "lactate"), reading("lactate", 3.2, "mmol/L", "", 400, "earlier")
	creatinine := reading("creatinine", 1.9, "mg/dL", "", 300, "creatinine")
	creatinine.Received, creatinine.Conversion, creatinine.Available = "168 umol/L", "umol/L to mg/dL by 88.42", before(240)
	tl := &state.Timeline{At: at, Unit: "MICU", AgeYears: 68, AgeKnown: true, Sex: "female", Synthetic: true, HoursInICU: 19}
	for k := range state.MaxSteps {
		s := state.Step{End: at.Add(-time.Duration(state.StepHours*(state.MaxSteps-1-k)) * time.Hour), InStay: k >= 7, SOFA: state.SOFA{Total: 9, Scored: 6}}
		s.Start = s.End.Add(-state.StepHours * time.Hour)
		s.Value[state.MeanBP], s.Presence[state.MeanBP] = float64(78-4*(k-7)), state.Measured
		if k == 8 || k == 10 {
			s.Value[state.Lactate], s.Presence[state.Lactate] = 3.2+0.45*float64(k-8), state.Measured
		}
		s.Given = state.Exposure{VasoKnown: true, NEMeanUgKgMin: 0.02 * float64(k), NEMaxUgKgMin: 0.025 * float64(k), FluidKnown: k != 9, BolusMl: 250, MaintenanceMl: 300, CarrierMl: 40, FluidModelMl: 590, Levels: state.Levels{Vasopressor: 2, Fluid: 3}}
		tl.Steps = append(tl.Steps, s)
	}
	last := &tl.Steps[state.MaxSteps-1]
	last.Value[state.Lactate], last.Presence[state.Lactate], last.AgeH[state.Lactate] = 4.1, state.Carried, 1.2
	tl.Present = state.Present{
		Readings: map[string]state.Reading{"meanbp": arterial, "lactate": lactate, "creatinine": creatinine, "heart_rate": reading("heart_rate", 118, "/min", "", 4, "hr")},
		MAP:      state.Pressure{Newest: &arterial, ArterialNow: &arterial, CuffNow: &cuff, LastHourMin: &low, GoalMmHg: 65},
		Lactate:  state.Trend{Now: &lactate, Before: &earlier, Rising: true},
		Agents: []state.Agent{
			{Drug: "norepinephrine", Class: state.ClassVasopressor, State: state.AgentRunning, Rate: 9.6, RateUnit: state.UnitUgMin, RateUgKgMin: 0.12, NEUgKgMin: 0.12, ChartedAt: before(4), Received: "9.6 ug/min"},
			{Drug: "phenylephrine", Class: state.ClassVasopressor, State: state.AgentStopped, EndedAt: before(180), ChartedAt: before(240), Received: "40 ug/min"},
		},
		VasoKnown: true, NEUgKgMin: 0.12,
		Fluids: state.FluidBook{Known: true, Bolus3hMl: 500, Bolus24hMl: 1500, BolusStayMl: 1500, In24hMl: 2400, InStayMl: 2400, UrineKnown: true, Urine6hMl: 90, Urine24hMl: 700, BalanceMl: 1700, BalanceKnown: true},
		Weight: state.Weight{Kg: 80, Known: true, Source: "pump", BMI: 32},
		Sepsis: state.Sepsis{Suspected: true, Evidence: []string{"culture taken 2026-03-01T05:00:00Z"}, SOFA: 9, Met: true, Shock: true, ShockWhy: "vasopressor running and lactate 4.1 mmol/L"},
		Checks: []state.Check{
			{Key: state.CheckAdult, Result: state.CheckPresent, Evidence: "68 years"}, {Key: state.CheckDKA, Result: state.CheckNotChecked, Evidence: "no dated diagnosis charted"},
			{Key: state.CheckBurns, Result: state.CheckAbsent, Evidence: "problem list"},
		},
	}
	raise := &agent.VasopressorAdvice{Direction: agent.AdviceIncrease, Drug: "norepinephrine", GoalMmHg: 65, FromUgKgMin: 0.12, FirstStepUgKgMin: 0.03, ToUgKgMin: 0.15, CeilingUgKgMin: 0.5, RecheckMin: 15}
	bolus := &agent.FluidAdvice{BolusMl: 500, Kind: "balanced crystalloid", OverMin: 30, StopCriteria: []string{"MAP reaches 65 mmHg", "SpO2 falls by 3 %"}, MlPerKg: 6.3, WeightBasis: "pump weight 80 kg, BMI 32"}
	treat := policy.Verdict{
		ID: "V1", Pack: "ssc@2021.1", Text: "MAP 58 mmHg is below the goal of 65: start or raise a vasopressor.", Effect: policy.Penalty, Strength: "strong", Source: "SSC 2021 R9",
		Values: map[string]float64{"map_mmhg": 58, "map_goal_mmhg": 65}, Because: []policy.Because{{Expression: "map_mmhg < map_goal_mmhg", Holds: true, Values: "58 < 65"}},
		Opposes: []policy.Opposition{{Rule: "V2", Text: "Raise the pressure, but look for volume first."}},
	}
	volume := policy.Verdict{ID: "V2", Pack: "ssc@2021.1", Text: "Lactate 4.1 mmol/L is raised.", Effect: policy.Warning, Strength: "weak", Certain: "low", Source: "SSC 2021 R4", When: "forecast", Values: map[string]float64{"lactate_mmol_l": 4.1}}
	d := agent.Decision{
		Status: agent.Suggest, Advice: agent.Advice{Vasopressor: raise, Fluid: bolus, Recheck: []string{"repeat lactate in 2 h"}}, Proposer: "native", Actor: "9999aaaabbbb", Learned: &agent.Learned{LessVasopressor: 0.02, MoreVasopressor: 0.41, MoreFluid: 0.2},
		Rounds:  []agent.Round{{Asked: []string{"raise norepinephrine to 0.15 ug/kg/min", "1000 mL bolus"}, Best: "raise norepinephrine to 0.15 ug/kg/min", Value: -1.6, Why: "guideline moves"}},
		Hazards: []policy.Verdict{{ID: "V11", Text: "MAP 58 mmHg is below 65 on norepinephrine 0.12.", Effect: policy.Warning, Source: "Festor 2022 hazard A"}},
		Options: []agent.Option{
			{Role: agent.RoleCurrent, Forecast: forecast(57, 1), Value: -2.1, Verdicts: []policy.Verdict{treat}, Why: "value -2.10 against -1.40: simulated MAP below goal -0.50"},
			{Role: agent.RoleSuggested, Proposal: policy.Proposal{Name: "raise norepinephrine to 0.15 ug/kg/min and 500 mL bolus"}, Forecast: forecast(66, 2), Value: -1.4, Source: agent.SourceRefined},
			{Role: agent.RoleAlternative, Proposal: policy.Proposal{Name: "raise norepinephrine to 0.15 ug/kg/min"}, Forecast: forecast(64, 1.5), Value: -1.6, Why: "value -1.60 against -1.40: chance of MAP at goal -0.11"},
			{Role: agent.RoleConsidered, Proposal: policy.Proposal{Name: "1000 mL bolus", BolusMl: 1000}, Blocked: true, Why: "not permitted by L3: a bolus is 250 to 500 mL"},
		},
		Verdicts: []policy.Verdict{volume}, Explanation: []string{"MAP 58 mmHg (4 min old, arterial line) is below the goal of 65."},
		NotAssessed: []string{"dka: no dated diagnosis charted"}, Missing: []string{"albumin: never charted"},
	}
	r := &engine.Receipt{
		ID: "0192f0c0-0000-7000-8000-000000000001", At: at, Outcome: engine.Outcome{Decision: d, Show: true, Topic: engine.TopicVasopressor},
		Model:  world.Info{Kind: "native", Version: "1.0.0", Trained: "synthetic patients", Members: 5},
		Hashes: engine.Hashes{Build: "v0", Model: "0123456789abcdef", Rules: "aaaabbbbccccdddd", CodeMaps: "eeeeffff00001111", Config: "2222333344445555"},
		Gaps:   []state.Gap{{What: "cvp", Reason: "this hospital charts none here"}}, Tally: state.Tally{Read: 12, Used: 9, Ignored: 2, Rejected: 1},
		Rejects: []state.Reject{{Type: "Observation", Reason: "unit", Detail: "mmHg expected"}},
		Records: []state.Record{{Type: "Observation", ID: "map", Origin: state.Origin{Via: "prefetch", Key: "vitals"}}, {Type: "Observation", ID: "creatinine", Origin: state.Origin{Via: "fetch", Key: "labs"}}},
	}
	return Input{
		Receipt: r, Timeline: tl, Indicator: "warning", Void: at.Add(30 * time.Minute), Now: at.Add(5 * time.Minute), Zone: time.UTC, ReceiptURL: "h/receipt",
		Summary: "MAP 58, goal 65: consider raising norepinephrine from 0.12 to 0.15 ug/kg/min and one 500 mL bolus with stop criteria",
	}
}

// wellFormed fails on a page whose elements do not nest, whose ids repeat or
// whose links lead to no place in it.
func wellFormed(t testing.TB, page []byte) {
	t.Helper()
	ids, links := map[string]int{}, []string{}
	z := html.NewTokenizer(bytes.NewReader(page))
	var open []string
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		for _, a := range token.Attr {
			if a.Key == "id" {
				ids[a.Val]++
			}
			if a.Key == "href" && strings.HasPrefix(a.Val, "#") {
				links = append(links, a.Val[1:])
			}
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("<%s> has %s", token.Data, a.Key)
			}
		}
		switch {
		case kind == html.StartTagToken && token.Data != "meta" && token.Data != "br":
			open = append(open, token.Data)
		case kind == html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	for _, l := range links {
		if ids[l] == 0 {
			t.Errorf("a link leads to #%s, which is nowhere", l)
		}
	}
}

func TestTheEvidencePageMatchesItsGoldenFile(t *testing.T) {
	page, err := Evidence(example())
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, page)
	path := filepath.Join("testdata", "evidence.html")
	if *update {
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden file: %v (run the test with -update)", err)
	}
	if !bytes.Equal(page, want) {
		t.Errorf("%s changed; look at it in a browser, then run with -update", path)
	}
}

func TestThePageHoldsWhatWasUsedAndHow(t *testing.T) {
	page, err := Evidence(example())
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"the as-of time":                      "As of <time datetime=\"2026-03-01T09:00:00Z\"><b>09:00 UTC, 1 Mar 2026</b>",
		"the void time":                       "void after <b>09:30</b>",
		"the source of the pressure":          "MAP, arterial line",
		"a converted value as received":       "168 umol/L (umol/L to mg/dL by 88.42)",
		"when a result could be known":        "<td>05:00</td>",
		"a carried value with its age":        "4.1 (carried, 1.2 h old)",
		"a feature that is missing":           "missing: too old to carry",
		"the charted rate beside its weight":  "9.6 ug/min = 0.12 ug/kg/min at 80.0 kg",
		"when an agent was charted":           "08:56 (4 min before)",
		"a stopped agent":                     "stopped at 06:00 (3.0 h before)",
		"a ledger in real mL":                 "500 mL in 3 h, 1500 mL in 24 h",
		"a rule's sub-expression":             "<code>map_mmhg &lt; map_goal_mmhg</code> true: 58 &lt; 65",
		"a rule that spoke of another option": "On: current treatment, unchanged",
		"two rules in conflict":               "Raise the pressure, but look for volume first.",
		"why an option was rejected":          "not permitted by L3",
		"similar patients":                    "similar 4-h steps in the training data: 412, 412, 412",
		"how strange the state is":            "stranger than 37 %",
		"a time inside a text":                "culture taken 05:00",
		"what was not checked":                "not checked</span></td><td>no dated diagnosis charted",
		"how a value came":                    "Observation, fetch labs",
		"a chance":                            "Mean MAP at goal 65 or above",
	} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %s: %q", what, want)
		}
	}
	for _, never := range []string{"optimal", "reduces death", "adequately resuscitated", "no sepsis", "ortality", "NaN"} {
		if bytes.Contains(page, []byte(never)) {
			t.Errorf("the page says %q", never)
		}
	}
}

func TestWithoutASuggestionNoDoseIsPrinted(t *testing.T) {
	for _, status := range []agent.Status{agent.Abstain, agent.Affirm, agent.NotApplicable} {
		in := example()
		d := &in.Receipt.Outcome.Decision
		d.Status, d.Advice, d.Explanation = status, agent.Advice{}, nil
		d.Options[1].Role = agent.RoleConsidered
		in.Summary = "No advice"
		page, err := Evidence(in)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, page)
		for _, dose := range []string{"0.15 ug/kg/min", "1000 mL bolus", ", Alternative</title>"} {
			if bytes.Contains(page, []byte(dose)) {
				t.Errorf("%s: the page holds %q", status, dose)
			}
		}
	}
}

// Whatever a chart or a decision holds, a page comes of it that is whole and
// runs nothing.
func TestEveryReceiptHasAPage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := example()
		text := rapid.SampledFrom([]string{evil, "", "\x00\ufffd", "</style><script>x</script>", "{{.}}", "&amp;"})
		value := rapid.SampledFrom([]float64{0, -1, 1e300, math.NaN(), math.Inf(1), 0.5, 3})
		in.Summary, in.Indicator, in.Unseen = text.Draw(rt, "summary"), text.Draw(rt, "indicator"), text.Draw(rt, "unseen")
		in.Withheld, in.Differs = rapid.Bool().Draw(rt, "withheld"), rapid.Bool().Draw(rt, "differs")
		d := &in.Receipt.Outcome.Decision
		d.Status = rapid.SampledFrom([]agent.Status{agent.Suggest, agent.Affirm, agent.Abstain, agent.NotApplicable, "later"}).Draw(rt, "status")
		for i := range d.Options {
			d.Options[i].Value, d.Options[i].Forecast.Support = value.Draw(rt, "value"), value.Draw(rt, "support")
			for k := range d.Options[i].Forecast.Steps {
				d.Options[i].Forecast.Steps[k].Band[state.MeanBP].Median = value.Draw(rt, "median")
				d.Options[i].Forecast.Steps[k].Band[state.Lactate].Hi95 = value.Draw(rt, "high")
			}
		}
		d.Verdicts[0].Values = map[string]float64{text.Draw(rt, "fact"): value.Draw(rt, "fact value")}
		d.Verdicts[0].Because = []policy.Because{{Expression: text.Draw(rt, "expression"), Values: text.Draw(rt, "values")}}
		d.Options = d.Options[:rapid.IntRange(0, len(d.Options)).Draw(rt, "options")]
		switch rapid.IntRange(0, 3).Draw(rt, "chart") {
		case 0:
			in.Timeline = nil
		case 1:
			in.Timeline = &state.Timeline{At: at}
		case 2:
			in.Timeline.Present.Agents[0].Drug, in.Timeline.Present.MAP.Newest = state.Drug(text.Draw(rt, "drug")), nil
		}
		page, err := Evidence(in)
		if err != nil {
			rt.Fatal(err)
		}
		wellFormed(t, page)
		if bytes.Contains(page, []byte("<script")) || bytes.Contains(page, []byte("<img")) || bytes.Contains(page, []byte("ZgotmplZ")) {
			rt.Fatal("the page runs what it was given")
		}
	})
}

func BenchmarkEvidence(b *testing.B) {
	in := example()
	for b.Loop() {
		if _, err := Evidence(in); err != nil {
			b.Fatal(err)
		}
	}
}
