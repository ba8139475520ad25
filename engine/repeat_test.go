// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: when advice is not shown again, case by case.

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// priorOf is what the log has of an outcome.
func priorOf(id string, c engine.Case, o engine.Outcome) engine.Prior {
	return engine.Prior{ReceiptID: id, At: c.Now, User: c.User, Topic: o.Topic, Shown: o.Show, Evidence: o.Evidence}
}

// copied is a case whose timeline may be altered without altering another's.
func copied(c engine.Case) engine.Case {
	tl := *c.Timeline
	tl.Present.Agents = slices.Clone(tl.Present.Agents)
	if m := tl.Present.MAP.Newest; m != nil {
		newest := *m
		tl.Present.MAP.Newest = &newest
	}
	if l := tl.Present.Lactate.Now; l != nil {
		now := *l
		tl.Present.Lactate.Now = &now
	}
	c.Timeline, c.Prior = &tl, nil
	return c
}

// raise is a suggestion to raise norepinephrine, as the cases of this file get it.
func raise(change ...func(*agent.Decision)) agent.Decision {
	d := agent.Decision{Status: agent.Suggest, Advice: agent.Advice{Vasopressor: &agent.VasopressorAdvice{
		Direction: agent.AdviceIncrease, Drug: state.DrugNorepinephrine, FromUgKgMin: 0.14, FirstStepUgKgMin: 0.02, ToUgKgMin: 0.16,
	}}}
	for _, c := range change {
		c(&d)
	}
	return d
}

func TestAdviceIsNotRepeatedOnUnchangedEvidence(t *testing.T) {
	const client = "ehr"
	base := caseOf(t, physiology.SepticShock)
	base.Client = client
	running := func(c *engine.Case) *state.Agent { return &c.Timeline.Present.Agents[0] }
	override := func(p *engine.Prior, _ *engine.Case) { p.Outcome = engine.OutcomeOverridden }
	type change func(p *engine.Prior, c *engine.Case)
	both := func(list ...change) change {
		return func(p *engine.Prior, c *engine.Case) {
			for _, f := range list {
				f(p, c)
			}
		}
	}
	hoursAgo := func(h float64) change {
		return func(p *engine.Prior, c *engine.Case) { p.At = c.Now.Add(-time.Duration(h * float64(time.Hour))) }
	}
	mapBy := func(mmHg float64) change {
		return func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.MAP.Newest.Value += mmHg }
	}
	rateBy := func(d float64) change { return func(_ *engine.Prior, c *engine.Case) { running(c).RateUgKgMin += d } }
	for _, x := range []struct {
		name   string
		change change
		now    agent.Decision // decided now; the card was raise()
		why    string
	}{
		{name: "the same within the hour", change: hoursAgo(0.5), why: engine.SuppressedRepeat},
		{name: "the same at the same moment", change: hoursAgo(0), why: engine.SuppressedRepeat},
		{name: "the window ends after an hour", change: hoursAgo(1)},
		{name: "a card of a clock that was set back", change: hoursAgo(-0.1)},
		{name: "another user sees it", change: func(p *engine.Prior, _ *engine.Case) { p.User = "Practitioner/2" }},
		{name: "another user sees it after an override too", change: both(override, func(p *engine.Prior, _ *engine.Case) { p.User = "Practitioner/2" })},
		{name: "another topic does not silence it", change: both(override, func(p *engine.Prior, _ *engine.Case) { p.Topic = engine.TopicFluid })},
		{name: "what was not shown silences nothing", change: both(override, func(p *engine.Prior, _ *engine.Case) { p.Shown = false })},
		{name: "an accepted card silences like any other", change: func(p *engine.Prior, _ *engine.Case) { p.Outcome = "accepted" }, why: engine.SuppressedRepeat},
		{name: "nor for longer", change: both(hoursAgo(2), func(p *engine.Prior, _ *engine.Case) { p.Outcome = "accepted" })},

		{name: "MAP lower by the tolerance", change: mapBy(-5), why: engine.SuppressedRepeat},
		{name: "MAP higher by the tolerance", change: mapBy(5), why: engine.SuppressedRepeat},
		{name: "MAP lower by more", change: mapBy(-5.1)},
		{name: "MAP higher by more", change: mapBy(5.1)},
		{name: "the same rate by another weight", change: rateBy(0.004), why: engine.SuppressedRepeat},
		{name: "a rate that was titrated", change: rateBy(0.01)},
		{name: "a drug that was stopped", change: func(_ *engine.Prior, c *engine.Case) { running(c).State = state.AgentStopped }},
		{name: "a rate that nobody documents any more", change: func(_ *engine.Prior, c *engine.Case) { running(c).State = state.AgentUndocumented }},
		{name: "another drug", change: func(_ *engine.Prior, c *engine.Case) {
			c.Timeline.Present.Agents = append(c.Timeline.Present.Agents, state.Agent{Drug: state.DrugVasopressin, State: state.AgentRunning, Rate: 0.03, RateUnit: state.UnitUMin})
		}},
		{name: "a drug that ended long ago drops out of the chart", change: func(_ *engine.Prior, c *engine.Case) {
			c.Timeline.Present.Agents = append(c.Timeline.Present.Agents, state.Agent{Drug: state.DrugDopamine, State: state.AgentStopped})
		}, why: engine.SuppressedRepeat},
		{name: "a new lactate of the same value", change: func(_ *engine.Prior, c *engine.Case) {
			c.Timeline.Present.Lactate.Now.At = c.Timeline.Present.Lactate.Now.At.Add(time.Hour)
		}},
		{name: "a lactate that was corrected", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.Lactate.Now.Value += 0.1 }},
		{name: "a bolus that was given", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.Fluids.Bolus3hMl += 250 }},
		{name: "a flush", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.Fluids.Bolus3hMl += 10 }, why: engine.SuppressedRepeat},
		{name: "fluid that is not known any more", change: func(_ *engine.Prior, c *engine.Case) {
			c.Timeline.Present.Fluids.Known = !c.Timeline.Present.Fluids.Known
		}},
		{name: "vasopressors that are not known any more", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.VasoKnown = !c.Timeline.Present.VasoKnown }},
		{name: "another goal", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.Present.MAP.GoalMmHg = 70 }},
		{name: "another patient", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.PatientID = "another" }},
		{name: "another stay", change: func(_ *engine.Prior, c *engine.Case) { c.Timeline.StayID = "another" }},
		{name: "the same ids in another EHR", change: func(_ *engine.Prior, c *engine.Case) { c.Client = "another" }},
		{name: "a card that had no dose, where doses are shown now", change: func(_ *engine.Prior, c *engine.Case) { c.Display = engine.DisplayInform }},
		{name: "evidence of a form that nobody knows", change: func(p *engine.Prior, _ *engine.Case) { p.Evidence = "1/" + p.Evidence[2:] }},
		{name: "evidence that was damaged", change: func(p *engine.Prior, _ *engine.Case) { p.Evidence += ",x" }},
		{name: "evidence that lacks a rate", change: func(p *engine.Prior, _ *engine.Case) { p.Evidence = p.Evidence[:strings.LastIndex(p.Evidence, "/")+1] }},
		{name: "no evidence at all", change: both(override, func(p *engine.Prior, _ *engine.Case) { p.Evidence = "" })},

		{name: "advice of a larger step", now: raise(func(d *agent.Decision) { d.Advice.Vasopressor.FirstStepUgKgMin = 0.05 })},
		{name: "advice of the other direction", now: raise(func(d *agent.Decision) {
			d.Advice.Vasopressor.Direction, d.Advice.Vasopressor.FirstStepUgKgMin = agent.AdviceDecrease, -0.02
		})},
		{name: "advice with a bolus beside it", now: raise(func(d *agent.Decision) {
			d.Advice.Fluid = &agent.FluidAdvice{BolusMl: 500, StopCriteria: []string{"x"}}
		})},
		{name: "a rule that warns now", now: raise(func(d *agent.Decision) {
			d.Verdicts = []policy.Verdict{{ID: "V9", Effect: policy.Warning, When: "present"}}
		})},
		{name: "a warning of a simulated future comes and goes", now: raise(func(d *agent.Decision) {
			d.Verdicts = []policy.Verdict{{ID: "V9", Effect: policy.Warning, When: "forecast"}}
		}), why: engine.SuppressedRepeat},

		{name: "an override silences beyond the hour", change: both(override, hoursAgo(5)), why: engine.SuppressedOverridden},
		{name: "and within it", change: override, why: engine.SuppressedOverridden},
		{name: "and other advice on the same topic", change: override, now: raise(func(d *agent.Decision) { d.Advice.Vasopressor.FirstStepUgKgMin = 0.05 }), why: engine.SuppressedOverridden},
		{name: "until the evidence changes", change: both(override, mapBy(-6))},
		{name: "or a rule speaks that blocks", change: override, now: raise(func(d *agent.Decision) {
			d.Verdicts = []policy.Verdict{{ID: "V6", Effect: policy.Block, When: "forecast"}}
		})},
		{name: "or a danger is named", change: override, now: raise(func(d *agent.Decision) {
			d.Hazards = []policy.Verdict{{ID: "V11-ON", Effect: policy.Warning, Hazard: true}}
		})},
	} {
		t.Run(x.name, func(t *testing.T) {
			first := outcome(t, decider(t, canned{decision: raise()}), copied(base))
			if !first.Show || first.Refers != "" {
				t.Fatalf("the card was not shown: %q", first.Suppressed)
			}
			c, p := copied(base), priorOf("card-1", base, first)
			if x.change != nil {
				x.change(&p, &c)
			}
			c.Prior = []engine.Prior{p}
			if x.now.Status == "" {
				x.now = raise()
			}
			o := outcome(t, decider(t, canned{decision: x.now}), c)
			wantRefers := ""
			if x.why != "" {
				wantRefers = "card-1"
			}
			if o.Suppressed != x.why || o.Show != (x.why == "") || o.Refers != wantRefers {
				t.Errorf("show %v, suppressed %q by %q, want %q by %q", o.Show, o.Suppressed, o.Refers, x.why, wantRefers)
			}
		})
	}
}

// A clinician who declined to wean at MAP 67 is told at MAP 64, although MAP
// moved by less than the tolerance.
func TestAnOverrideAboveGoalDoesNotSilenceAdviceBelowIt(t *testing.T) {
	above := copied(caseOf(t, physiology.SepticShock))
	above.Timeline.Present.MAP.GoalMmHg, above.Timeline.Present.MAP.Newest.Value = 65, 67
	lower := raise(func(d *agent.Decision) {
		d.Advice.Vasopressor.Direction, d.Advice.Vasopressor.FirstStepUgKgMin = agent.AdviceDecrease, -0.02
	})
	p := priorOf("card-1", above, outcome(t, decider(t, canned{decision: lower}), above))
	p.Outcome = engine.OutcomeOverridden
	below := copied(above)
	below.Timeline.Present.MAP.Newest.Value = 64
	below.Prior = []engine.Prior{p}
	if o := outcome(t, decider(t, canned{decision: raise()}), below); !o.Show {
		t.Errorf("a raise below goal is silent: %s by %s", o.Suppressed, o.Refers)
	}
}

func TestOfSeveralCardsTheNewestStandsAndAnOverriddenOneBeforeAll(t *testing.T) {
	d := decider(t, canned{decision: raise()})
	c := copied(caseOf(t, physiology.SepticShock))
	card := func(id string, minutesAgo int, said string) engine.Prior {
		p := priorOf(id, c, engine.Outcome{Topic: engine.TopicVasopressor, Show: true})
		p.Evidence = outcome(t, d, c).Evidence
		p.At, p.Outcome = c.Now.Add(-time.Duration(minutesAgo)*time.Minute), said
		return p
	}
	for name, x := range map[string]struct {
		prior []engine.Prior
		want  string
	}{
		"the newest":                       {[]engine.Prior{card("a", 20, ""), card("c", 30, ""), card("b", 10, "")}, "b"},
		"of one moment the last by id":     {[]engine.Prior{card("b", 10, ""), card("a", 10, "")}, "b"},
		"an overridden one before newer":   {[]engine.Prior{card("a", 200, engine.OutcomeOverridden), card("b", 10, "")}, "a"},
		"of overridden ones the newest":    {[]engine.Prior{card("a", 200, engine.OutcomeOverridden), card("b", 90, engine.OutcomeOverridden)}, "b"},
		"what does not silence is no card": {[]engine.Prior{card("a", 50, ""), card("z", 70, "")}, "a"},
	} {
		for range 2 {
			c.Prior = x.prior
			if o := outcome(t, d, c); o.Refers != x.want {
				t.Errorf("%s: %q stands, want %q", name, o.Refers, x.want)
			}
			slices.Reverse(x.prior)
		}
	}
}

func TestADriftAddsUpAgainstTheCardThatWasShown(t *testing.T) {
	d := decider(t, canned{decision: raise()})
	c := copied(caseOf(t, physiology.SepticShock))
	var log []engine.Prior
	var shownAt []float64
	for i := range 12 { // one mmHg a minute
		c = copied(c)
		c.Prior = slices.Clone(log)
		o := outcome(t, d, c)
		if o.Show {
			shownAt = append(shownAt, c.Timeline.Present.MAP.Newest.Value)
		}
		log = append(log, priorOf(fmt.Sprint(i), c, o))
		c.Now = c.Now.Add(time.Minute)
		c.Timeline.Present.MAP.Newest.Value--
	}
	if len(shownAt) != 2 || math.Abs(shownAt[0]-shownAt[1]-6) > 1e-9 {
		t.Errorf("shown at MAP %v: a fall by more than 5 mmHg since the card shows again, and only that", shownAt)
	}
}

func TestSuppressionDoesNotProlongTheWindow(t *testing.T) {
	d := decider(t, canned{decision: raise()})
	c := copied(caseOf(t, physiology.SepticShock))
	var log []engine.Prior
	shown := 0
	for i := range 13 { // every ten minutes for two hours
		c.Prior = slices.Clone(log)
		o := outcome(t, d, c)
		if o.Show {
			shown++
		} else if o.Refers != fmt.Sprint(i/6*6) {
			t.Errorf("call %d refers to %q", i, o.Refers)
		}
		log = append(log, priorOf(fmt.Sprint(i), c, o))
		c.Now = c.Now.Add(10 * time.Minute)
	}
	if shown != 3 {
		t.Errorf("shown %d times in two hours, want 3", shown)
	}
}

func TestARepeatWindowOfNothingNeverSuppressesARepeat(t *testing.T) {
	d := decider(t, canned{decision: raise()}, func(c *engine.Config) { c.RepeatWindowMin = 0 })
	c := copied(caseOf(t, physiology.SepticShock))
	p := priorOf("1", c, outcome(t, d, c))
	c.Prior = []engine.Prior{p}
	if o := outcome(t, d, c); !o.Show {
		t.Errorf("suppressed as %q", o.Suppressed)
	}
	c.Prior[0].Outcome = engine.OutcomeOverridden
	if o := outcome(t, d, c); o.Suppressed != engine.SuppressedOverridden {
		t.Errorf("an override is heeded without a window too: %q", o.Suppressed)
	}
}

func TestHazardsAreNeverSuppressed(t *testing.T) {
	d := decider(t, native(t))
	c := caseOf(t, physiology.EarlySepsis)
	first := outcome(t, d, c)
	if len(first.Decision.Hazards) == 0 {
		t.Fatal("the patient has no hazard")
	}
	p := priorOf("1", c, first)
	p.Outcome = engine.OutcomeOverridden
	c.Prior = []engine.Prior{p}
	if o := outcome(t, d, c); !o.Show {
		t.Errorf("a hazard was suppressed: %q", o.Suppressed)
	}
}

// TestModesAndRolesComeBeforeRepeats: a receipt names the gate that kept the card
// back, and what a gate kept back was not shown to anybody.
func TestModesAndRolesComeBeforeRepeats(t *testing.T) {
	c := copied(caseOf(t, physiology.SepticShock))
	for name, gate := range map[string]struct {
		close func(*engine.Case)
		why   string
	}{
		"silent": {func(c *engine.Case) { c.Display = engine.DisplaySilent }, engine.SuppressedSilent},
		"role":   {func(c *engine.Case) { c.Role = "clerk" }, engine.SuppressedRole},
	} {
		d := decider(t, canned{decision: raise()}, func(c *engine.Config) { c.Roles = []string{"physician"} })
		open := copied(c)
		open.Role = "physician"
		shown := priorOf("1", open, outcome(t, d, open))
		closed := copied(open)
		gate.close(&closed)
		closed.Prior = []engine.Prior{shown}
		kept := outcome(t, d, closed)
		if kept.Suppressed != gate.why || kept.Refers != "" {
			t.Errorf("%s: suppressed as %q by %q", name, kept.Suppressed, kept.Refers)
		}
		again := copied(open)
		again.Prior = []engine.Prior{priorOf("2", closed, kept)}
		if o := outcome(t, d, again); !o.Show {
			t.Errorf("%s: a card that nobody saw silenced another: %q", name, o.Suppressed)
		}
	}
}
