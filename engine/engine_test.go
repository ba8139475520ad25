// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: what is done about a decision: shown or not, suppressed or not,
// and refused when it breaks an invariant.

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var demo = sync.OnceValues(func() (map[physiology.Scenario]*state.Chart, error) {
	return physiology.DemoCharts(now)
})

func chart(t testing.TB, s physiology.Scenario) *state.Chart {
	t.Helper()
	charts, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	return charts[s]
}

func caseOf(t testing.TB, s physiology.Scenario) engine.Case {
	t.Helper()
	tl, err := state.Build(chart(t, s), now, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return engine.Case{Timeline: tl, Now: now, Seed: 7, ID: "decision-1", User: "Practitioner/1", Display: engine.DisplaySuggest}
}

var hashes = engine.Hashes{Build: "b", Model: "m", Rules: "r", CodeMaps: "c", Config: "f"}

// canned answers every timeline with one decision.
type canned struct {
	decision agent.Decision
	err      error
}

func (c canned) Decide(context.Context, *state.Timeline, uint64) (agent.Decision, error) {
	return c.decision, c.err
}
func (canned) Model() world.Info { return world.Info{Kind: "persistence"} }

func decider(t testing.TB, a engine.Agent, change ...func(*engine.Config)) *engine.Decider {
	t.Helper()
	cfg := engine.DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	d, err := engine.New(a, hashes, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func native(t testing.TB) engine.Agent {
	t.Helper()
	pack, err := policy.Load(os.DirFS("../configs"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := agent.New(world.Persistence{}, pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func outcome(t testing.TB, d *engine.Decider, c engine.Case) engine.Outcome {
	t.Helper()
	o, err := d.Decide(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWhatIsShownByStatusAndDisplayMode(t *testing.T) {
	hazard := []policy.Verdict{{ID: "V11", Hazard: true}}
	reason := []agent.Reason{{Code: agent.ReasonFluidUnknown}}
	bolus := agent.Advice{Fluid: &agent.FluidAdvice{BolusMl: 500, StopCriteria: []string{"x"}}}
	for _, c := range []struct {
		name     string
		display  string
		decision agent.Decision
		cfg      func(*engine.Config)
		role     string
		show     bool
		why      string
	}{
		{name: "a suggestion is shown", display: "suggest", decision: agent.Decision{Status: agent.Suggest, Advice: bolus}, show: true},
		{name: "in inform mode too, without its dose", display: "inform", decision: agent.Decision{Status: agent.Suggest, Advice: bolus}, show: true},
		{name: "silent shows nothing and says so", display: "silent", decision: agent.Decision{Status: agent.Suggest, Advice: bolus}, why: engine.SuppressedSilent},
		{name: "silent hides hazards and says so", display: "silent", decision: agent.Decision{Status: agent.Abstain, Reasons: reason, Hazards: hazard}, why: engine.SuppressedSilent},
		{name: "an abstention with danger is shown", display: "suggest", decision: agent.Decision{Status: agent.Abstain, Reasons: reason, Hazards: hazard}, show: true},
		{name: "an abstention without danger is not", display: "suggest", decision: agent.Decision{Status: agent.Abstain, Reasons: reason}},
		{name: "an abstention where a site asks for it", display: "suggest", decision: agent.Decision{Status: agent.Abstain, Reasons: reason}, cfg: func(c *engine.Config) { c.ShowAbstain = true }, show: true},
		{name: "not applicable is silent", display: "suggest", decision: agent.Decision{Status: agent.NotApplicable, Reasons: reason}},
		{name: "a role that is not listed sees nothing", display: "suggest", decision: agent.Decision{Status: agent.Suggest, Advice: bolus}, cfg: func(c *engine.Config) { c.Roles = []string{"physician"} }, role: "clerk", why: engine.SuppressedRole},
		{name: "a listed role does", display: "suggest", decision: agent.Decision{Status: agent.Suggest, Advice: bolus}, cfg: func(c *engine.Config) { c.Roles = []string{"physician"} }, role: "physician", show: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cs := caseOf(t, physiology.SepticShock)
			cs.Display, cs.Role = c.display, c.role
			if c.cfg == nil {
				c.cfg = func(*engine.Config) {}
			}
			o := outcome(t, decider(t, canned{decision: c.decision}, c.cfg), cs)
			if o.Show != c.show || o.Suppressed != c.why {
				t.Errorf("show %v, suppressed %q; want %v, %q", o.Show, o.Suppressed, c.show, c.why)
			}
		})
	}
}

func TestAffirmIsSilentByDefault(t *testing.T) {
	c := caseOf(t, physiology.SepticShock)
	newest := *c.Timeline.Present.MAP.Newest
	newest.Value = 70
	c.Timeline.Present.MAP.Newest = &newest
	if o := outcome(t, decider(t, canned{decision: agent.Decision{Status: agent.Affirm}}), c); o.Show {
		t.Error("affirming showed a card")
	}
}

func TestADecisionThatBreaksAnInvariantIsRefused(t *testing.T) {
	vaso := func(v agent.VasopressorAdvice) agent.Decision {
		return agent.Decision{Status: agent.Suggest, Advice: agent.Advice{Vasopressor: &v}}
	}
	fluid := func(ml float64, stop ...string) agent.Decision {
		return agent.Decision{Status: agent.Suggest, Advice: agent.Advice{Fluid: &agent.FluidAdvice{BolusMl: ml, StopCriteria: stop}}}
	}
	for name, d := range map[string]agent.Decision{
		"no status":                        {},
		"suggest without advice":           {Status: agent.Suggest},
		"affirm below goal":                {Status: agent.Affirm},
		"abstain without a reason":         {Status: agent.Abstain},
		"not applicable with a dose":       {Status: agent.NotApplicable, Reasons: []agent.Reason{{Code: "x"}}, Advice: agent.Advice{Fluid: &agent.FluidAdvice{BolusMl: 250}}},
		"a first step of 0.2":              vaso(agent.VasopressorAdvice{Direction: "increase", FirstStepUgKgMin: 0.2, ToUgKgMin: 0.3}),
		"a step that is not a number":      vaso(agent.VasopressorAdvice{Direction: "increase", FirstStepUgKgMin: math.NaN()}),
		"above the ceiling":                vaso(agent.VasopressorAdvice{Direction: "increase", FirstStepUgKgMin: 0.05, ToUgKgMin: 0.6}),
		"a litre":                          fluid(1000, "stop"),
		"a bolus that is not a number":     fluid(math.NaN(), "stop"),
		"a bolus without stop criteria":    fluid(500),
		"a status that nobody knows":       {Status: "maybe"},
		"an explanation with nothing else": {Explanation: []string{"x"}},
	} {
		if _, err := decider(t, canned{decision: d}).Decide(context.Background(), caseOf(t, physiology.SepticShock)); !errors.Is(err, engine.ErrUnsound) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTrap1AFaultIsAnErrorAndNeverADose(t *testing.T) {
	boom := errors.New("boom")
	if o, err := decider(t, canned{err: boom}).Decide(context.Background(), caseOf(t, physiology.SepticShock)); !errors.Is(err, boom) || o.Show {
		t.Errorf("outcome %+v, error %v", o, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := decider(t, native(t)).Decide(ctx, caseOf(t, physiology.SepticShock)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for name, change := range map[string]func(*engine.Case){
		"no timeline":     func(c *engine.Case) { c.Timeline = nil },
		"no time":         func(c *engine.Case) { c.Now = time.Time{} },
		"no id":           func(c *engine.Case) { c.ID = "" },
		"no display mode": func(c *engine.Case) { c.Display = "" },
	} {
		c := caseOf(t, physiology.SepticShock)
		change(&c)
		if _, err := decider(t, native(t)).Decide(context.Background(), c); !errors.Is(err, engine.ErrCase) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTheSameCaseGivesTheSameBytesAndSurvivesJSON(t *testing.T) {
	d := decider(t, native(t))
	c := caseOf(t, physiology.SepticShock)
	c.Prior = []engine.Prior{{ReceiptID: "r", At: now.Add(-time.Hour), User: "u", Topic: "fluid"}}
	want, err := json.Marshal(outcome(t, d, c))
	if err != nil {
		t.Fatal(err)
	}
	wire, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back engine.Case
	if err := json.Unmarshal(wire, &back); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := json.Marshal(outcome(t, d, back))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatal("a case that went through JSON is decided otherwise")
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for name, change := range map[string]func(*engine.Config){
		"a negative window":          func(c *engine.Config) { c.RepeatWindowMin = -1 },
		"a window that is no number": func(c *engine.Config) { c.RepeatWindowMin = math.NaN() },
		"an empty role":              func(c *engine.Config) { c.Roles = []string{""} },
		"a MAP that never changes":   func(c *engine.Config) { c.Unchanged.MAPMmHg = 11 },
		"a rate below nothing":       func(c *engine.Config) { c.Unchanged.RateUgKgMin = -0.001 },
		"a bolus that is no number":  func(c *engine.Config) { c.Unchanged.BolusMl = math.NaN() },
	} {
		cfg := engine.DefaultConfig()
		change(&cfg)
		if _, err := engine.New(canned{}, hashes, cfg); !errors.Is(err, engine.ErrConfig) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := engine.New(nil, hashes, engine.DefaultConfig()); !errors.Is(err, engine.ErrConfig) {
		t.Errorf("no agent: %v", err)
	}
}
