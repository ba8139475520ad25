// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: that whoever chooses among the choices of a deliberation keeps the
// bounds of the design, and that choosing changes nothing for the next.

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

func jsonOf(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryChoiceKeepsTheBoundsOfTheDesign(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		n, err := agent.New(drawModel(rt), pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		x, err := n.Deliberate(context.Background(), tl)
		if err != nil {
			rt.Fatal(err)
		}
		native := x.Native()
		if native.Status != agent.Suggest && native.Status != agent.Affirm {
			if len(x.Choices()) != 0 {
				rt.Fatalf("%s with %d choices", native.Status, len(x.Choices()))
			}
			return
		}
		if len(x.Choices()) == 0 {
			rt.Fatalf("%s without a choice", native.Status)
		}
		below := tl.Present.MAP.Newest.Value < tl.Present.MAP.GoalMmHg
		nexts := map[float64]bool{}
		for _, c := range x.Choices() {
			d, err := x.Choose(c.Levels, "test")
			if err != nil {
				rt.Fatal(err)
			}
			if d.Status != agent.Suggest && d.Status != agent.Affirm || d.Proposer != "test" {
				rt.Fatalf("choice %v ends in %s", c, d.Status)
			}
			if d.Status == agent.Affirm && below {
				rt.Fatal("affirmed below goal")
			}
			if slices.ContainsFunc(d.Verdicts, func(v policy.Verdict) bool { return v.Effect == policy.Block }) {
				rt.Fatalf("choice %v is blocked", c)
			}
			o := d.Options[0] // current treatment comes first
			if i := slices.IndexFunc(d.Options, func(o agent.Option) bool { return o.Role == agent.RoleSuggested }); i >= 0 {
				o = d.Options[i]
			}
			if o.Proposal.Raises() && !below || o.Blocked {
				rt.Fatalf("choice %v: %+v with MAP at goal: %v", c, o.Proposal, !below)
			}
			if v := d.Advice.Vasopressor; v != nil && !(math.Abs(v.FirstStepUgKgMin) <= policy.MaxFirstStepUgKgMin+1e-6) {
				rt.Fatalf("first step %g", v.FirstStepUgKgMin)
			}
			nexts[o.Proposal.NENextUgKgMin] = true
		}
		if below && len(nexts) != 1 {
			rt.Fatalf("below goal the choices differ in vasopressor: %v", nexts)
		}
		if jsonOf(rt, x.Native()) != jsonOf(rt, native) {
			rt.Fatal("choosing changed the native decision")
		}
		if d, err := n.Decide(context.Background(), tl, 0); err != nil || jsonOf(rt, d) != jsonOf(rt, native) {
			rt.Fatalf("Decide does not give the deliberation's native decision: %v", err)
		}
	})
}

func TestLevelsThatStandForNoChoiceAreAnError(t *testing.T) {
	x, err := native(t, effective()).Deliberate(context.Background(), timeline(t, physiology.SepticShock))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []state.Levels{{Vasopressor: 0, Fluid: 0}, {Vasopressor: 4, Fluid: 4}, {Vasopressor: -1, Fluid: 9}} {
		if d, err := x.Choose(l, "test"); !errors.Is(err, agent.ErrNoChoice) || d.Status != "" {
			t.Errorf("%v: %v, %v", l, d.Status, err)
		}
	}
	if len(x.Refused()) == 0 || x.Refused()[0].Why == "" {
		t.Error("nothing says why current treatment is no choice below goal")
	}
}
