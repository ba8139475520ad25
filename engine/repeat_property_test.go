// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: what must hold of cards that are not shown again, whatever was
// decided, said and clicked before.

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/policy"
)

// TestWhateverWentBeforeSuppressionHoldsItsRules draws earlier cards, users,
// patients, EHRs, feedback and clocks at will.
func TestWhateverWentBeforeSuppressionHoldsItsRules(t *testing.T) {
	base := copied(caseOf(t, physiology.SepticShock))
	decisions := []agent.Decision{
		raise(),
		raise(func(d *agent.Decision) { d.Advice.Vasopressor.FirstStepUgKgMin = 0.05 }),
		{Status: agent.Suggest, Advice: agent.Advice{Fluid: &agent.FluidAdvice{BolusMl: 500, StopCriteria: []string{"x"}}}},
		{Status: agent.Abstain, Reasons: []agent.Reason{{Code: agent.ReasonFluidUnknown}}},
		raise(func(d *agent.Decision) { d.Hazards = []policy.Verdict{{ID: "V11-ON", Hazard: true}} }),
	}
	cfg := engine.DefaultConfig()
	type setting struct {
		c engine.Case
		d int
	}
	settings := rapid.Custom(func(t *rapid.T) setting {
		c := copied(base)
		c.Client = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "client")
		c.User = rapid.SampledFrom([]string{"Practitioner/1", "Practitioner/2"}).Draw(t, "user")
		c.Timeline.PatientID = rapid.SampledFrom([]string{"p1", "p2"}).Draw(t, "patient")
		c.Display = rapid.SampledFrom([]string{engine.DisplaySilent, engine.DisplayInform, engine.DisplaySuggest, engine.DisplaySuggest}).Draw(t, "display")
		c.Timeline.Present.MAP.Newest.Value -= rapid.Float64Range(0, 8).Draw(t, "fall")
		c.Timeline.Present.Agents[0].RateUgKgMin += rapid.SampledFrom([]float64{0, 0.004, 0.01}).Draw(t, "rate")
		c.Now = now.Add(time.Duration(rapid.IntRange(-300, 30).Draw(t, "minutes")) * time.Minute)
		return setting{c, rapid.IntRange(0, len(decisions)-1).Draw(t, "decision")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		var log []engine.Prior
		cases := map[string]setting{}
		for i, s := range rapid.SliceOfN(settings, 0, 12).Draw(rt, "before") {
			id := fmt.Sprint("receipt-", i)
			p := priorOf(id, s.c, outcome(t, decider(t, canned{decision: decisions[s.d]}), s.c))
			p.Outcome = rapid.SampledFrom([]string{"", "", "accepted", engine.OutcomeOverridden}).Draw(rt, "feedback")
			log, cases[id] = append(log, p), s
		}
		s := settings.Draw(rt, "now")
		s.c.Now, s.c.Prior = now, log
		d := decider(t, canned{decision: decisions[s.d]})
		o := outcome(t, d, s.c)

		shuffled := s.c
		shuffled.Prior = rapid.Permutation(log).Draw(rt, "order")
		if again := outcome(t, d, shuffled); again.Show != o.Show || again.Suppressed != o.Suppressed || again.Refers != o.Refers {
			rt.Fatalf("the order of the log matters: %q by %q, then %q by %q", o.Suppressed, o.Refers, again.Suppressed, again.Refers)
		}
		if len(o.Decision.Hazards) > 0 && !o.Show && s.c.Display != engine.DisplaySilent {
			rt.Fatalf("a hazard was hidden: %q", o.Suppressed)
		}
		if o.Suppressed != engine.SuppressedRepeat && o.Suppressed != engine.SuppressedOverridden {
			if o.Refers != "" {
				rt.Fatalf("%q refers to %q", o.Suppressed, o.Refers)
			}
			return
		}
		i := slices.IndexFunc(log, func(p engine.Prior) bool { return p.ReceiptID == o.Refers })
		if i < 0 {
			rt.Fatalf("suppressed by %q, which is not in the log", o.Refers)
		}
		p, then := log[i], cases[o.Refers].c
		switch {
		case !p.Shown, p.At.After(now):
			rt.Fatal("silenced by what nobody has seen")
		case then.User != s.c.User, then.Client != s.c.Client, then.Timeline.PatientID != s.c.Timeline.PatientID:
			rt.Fatal("silenced across users, EHRs or patients")
		case p.Topic != o.Topic:
			rt.Fatal("silenced across topics")
		case math.Abs(then.Timeline.Present.MAP.Newest.Value-s.c.Timeline.Present.MAP.Newest.Value) > cfg.Unchanged.MAPMmHg+0.11:
			rt.Fatal("silenced although MAP has changed")
		case math.Abs(then.Timeline.Present.Agents[0].RateUgKgMin-s.c.Timeline.Present.Agents[0].RateUgKgMin) > cfg.Unchanged.RateUgKgMin+0.00011:
			rt.Fatal("silenced although a rate has changed")
		case o.Suppressed == engine.SuppressedOverridden && p.Outcome != engine.OutcomeOverridden:
			rt.Fatal("nobody overrode it")
		case o.Suppressed == engine.SuppressedRepeat && now.Sub(p.At).Minutes() >= cfg.RepeatWindowMin:
			rt.Fatal("silenced after the window")
		}
	})
}
