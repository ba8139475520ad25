// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shockCase is a decision written by hand: shock on norepinephrine, a first
// step and a bolus suggested.
func shockCase() Rendering {
	at := time.Date(2026, 3, 1, 9, 14, 0, 0, time.UTC)
	reading := func(c state.Concept, v float64, unit, method string, minutes int) *state.Reading {
		return &state.Reading{Concept: c, Value: v, Unit: unit, Method: method, At: at.Add(-time.Duration(minutes) * time.Minute)}
	}
	tl := &state.Timeline{At: at, Present: state.Present{
		Readings: map[string]state.Reading{"heart_rate": *reading("heart_rate", 118, "/min", "", 4), "creatinine": *reading("creatinine", 1.9, "mg/dL", "", 300)},
		MAP:      state.Pressure{GoalMmHg: 65, Newest: reading("meanbp", 58, "mm[Hg]", "arterial", 4), LastHourMin: reading("meanbp", 55, "mm[Hg]", "arterial", 31)},
		Lactate:  state.Trend{Now: reading("lactate", 4.1, "mmol/L", "", 70), Before: reading("lactate", 3.2, "mmol/L", "", 400), Rising: true},
		Agents: []state.Agent{
			{Drug: "norepinephrine", State: state.AgentRunning, Rate: 9.6, RateUnit: state.UnitUgMin, RateUgKgMin: 0.12, ChartedAt: at.Add(-4 * time.Minute)},
			{Drug: "phenylephrine", State: state.AgentStopped, EndedAt: at.Add(-3 * time.Hour), ChartedAt: at.Add(-4 * time.Hour)},
		},
		VasoKnown: true, NEUgKgMin: 0.12,
		Fluids: state.FluidBook{Known: true, Bolus3hMl: 500, Bolus24hMl: 1500, In24hMl: 2400, UrineKnown: true, Urine6hMl: 90, Urine24hMl: 700},
		Weight: state.Weight{Kg: 80, Known: true, Source: "pump", BMI: 32},
		Sepsis: state.Sepsis{Suspected: true, Evidence: []string{"culture taken 2026-03-01T05:00:00Z"}, SOFA: 9, Met: true, Shock: true, ShockWhy: "vasopressor running and lactate 4.1 mmol/L"},
	}}
	forecast := func(mapMmHg float64) world.Forecast {
		f := world.Forecast{Support: 0.21, Similar: 412}
		for _, h := range []float64{4, 8, 12} {
			s := world.StepForecast{EndH: h, PMAPAtGoal: (mapMmHg - 50) / 20}
			s.Band[state.MeanBP] = world.Band{Median: mapMmHg, Lo80: mapMmHg - 7, Hi80: mapMmHg + 7}
			s.Band[state.Lactate] = world.Band{Median: 3.1, Lo80: 2, Hi80: 4.6}
			f.Steps = append(f.Steps, s)
		}
		return f
	}
	vaso := &agent.VasopressorAdvice{Direction: agent.AdviceIncrease, Drug: "norepinephrine", GoalMmHg: 65, FromUgKgMin: 0.12, FirstStepUgKgMin: 0.03, ToUgKgMin: 0.15, CeilingUgKgMin: 0.5, RecheckMin: 15}
	fluid := &agent.FluidAdvice{BolusMl: 500, Kind: "balanced crystalloid", OverMin: 30, StopCriteria: []string{"MAP reaches 65 mmHg", "SpO2 falls by 3 %"}, MlPerKg: 6.3, WeightBasis: "pump weight 80 kg, BMI 32"}
	d := agent.Decision{
		Status: agent.Suggest, Advice: agent.Advice{Vasopressor: vaso, Fluid: fluid, Recheck: []string{"repeat lactate in 2 h"}},
		Options: []agent.Option{
			{Role: "current", Forecast: forecast(59), Verdicts: []policy.Verdict{{ID: "V1", Text: "MAP 58 mmHg is below the goal of 65.", Effect: policy.Penalty}}},
			{Role: "suggested", Advice: agent.Advice{Vasopressor: vaso, Fluid: fluid}, Forecast: forecast(66), Value: 0.52},
			{Role: "alternative", Advice: agent.Advice{Vasopressor: vaso}, Forecast: forecast(64), Value: 0.41, Why: "value 0.41 against 0.52: MAP at goal -0.11"},
		},
		Verdicts:    []policy.Verdict{{ID: "V1", Text: "MAP 58 mmHg is < 65: treat.", Effect: policy.Warning, Strength: "strong", Source: "SSC 2021 R9"}},
		Conflicts:   []policy.Conflict{{Rules: [2]string{"V1", "V2"}, Text: "MAP is below the goal and within 60 to 65, which is suggested for this age."}},
		Explanation: []string{"Simulated gain of raise +0.51, mostly from: rules +0.30."},
		NotAssessed: []string{"burns: no dated diagnosis charted", "dka: no dated diagnosis charted"}, Missing: []string{"albumin: never charted"},
	}
	return Rendering{
		ID: "0192f0c0-0000-7000-8000-000000000001", Seed: 7, Display: trust.DisplaySuggest, Timeline: tl,
		Outcome:  engine.Outcome{Decision: d, Show: true, Topic: engine.TopicVasopressor},
		Model:    world.Info{Kind: "native", Version: "1.0.0", Hash: "0123456789abcdef", Trained: "synthetic patients"},
		Hashes:   engine.Hashes{Build: "v0", Rules: "aaaabbbbccccdddd", CodeMaps: "eeeeffff00001111", Config: "2222333344445555"},
		Settings: RenderSettings{SourceLabel: "SepsisAgent CDS", TopicSystem: "https://x.example/topics", TimeZone: "Europe/Berlin", EvidenceURL: "https://x.example/evidence/h"},
	}
}

func TestCardsMatchTheirGoldenFiles(t *testing.T) {
	suggest := shockCase()
	inform := shockCase()
	inform.Display = trust.DisplayInform
	hazard := shockCase()
	hazard.Outcome.Topic = engine.TopicHazard
	hazard.Timeline.Present.VasoKnown, hazard.Timeline.Present.VasoWhy, hazard.Timeline.Present.Agents = false, "a norepinephrine rate has no unit", nil
	hazard.Timeline.Present.MAP.Newest.Value = 48
	hazard.Outcome.Decision = agent.Decision{
		Status: agent.Abstain, Reasons: []agent.Reason{{Code: "vasopressor-unknown", Text: "the vasopressor exposure is unknown"}},
		Hazards: []policy.Verdict{{ID: "V11", Text: "MAP 48 mmHg is below 55 and no running vasopressor is charted.", Hazard: true, Source: "Festor 2022 hazard A"}},
	}
	drafts := shockCase()
	drafts.Outcome.Decision.Advice.Vasopressor = nil
	drafts.Settings.Quirks.Drafts, drafts.Settings.PatientID, drafts.Settings.Quirks.SelectionBehavior = true, "p1", SelectAny
	for name, r := range map[string]Rendering{"suggest": suggest, "inform": inform, "hazard": hazard, "draft-bolus": drafts} {
		response, err := Render(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, err := response.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name+".md", []byte(response.Cards[0].Detail+"\n"))
		response.Cards[0].Detail = "in " + name + ".md"
		card, _ := json.MarshalIndent(response, "", "  ")
		golden(t, name+".json", append(card, '\n'))
		if bytes.Contains(raw, []byte("\\u003c")) {
			t.Errorf("%s: HTML escapes in JSON", name)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "cards", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden file: %v (hint: run the test with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s changed; read it, then run with -update", name)
	}
}
