// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: charts that a test writes on, and what the tests of design.md 5 ask
// of an outcome.

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ward is a chart that a test writes on.
type ward struct {
	*state.Chart
	display string
	role    string
	prior   []engine.Prior
}

func ago(minutes float64) time.Time { return now.Add(-time.Duration(minutes * float64(time.Minute))) }

// measure charts a value, minutes ago, as an arterial line would for pressures.
func (w *ward) measure(concept string, value, minutes float64, method string) {
	w.Measurements = append(w.Measurements, state.Measurement{Concept: state.Concept(concept), Value: value,
		Effective: ago(minutes), Available: ago(minutes), Method: method, Received: "as charted"})
}

// forget removes what was charted of a concept within the last hours.
func (w *ward) forget(concept string, hours float64) {
	w.Measurements = slices.DeleteFunc(w.Measurements, func(m state.Measurement) bool {
		return string(m.Concept) == concept && now.Sub(m.Effective).Hours() < hours
	})
}

// mapIs makes the pressure of the last two hours mmHg.
func (w *ward) mapIs(mmHg float64) {
	for _, c := range []string{"meanbp", "sysbp", "diabp"} {
		w.forget(c, 2)
	}
	for m := 5.; m < 120; m += 15 {
		w.measure("meanbp", mmHg, m, state.MethodArterial)
	}
}

// lactateIs charts two steady values.
func (w *ward) lactateIs(mmol float64) {
	w.forget("lactate", 48)
	w.measure("lactate", mmol, 300, "")
	w.measure("lactate", mmol, 40, "")
}

// without removes running drugs of a class.
func (w *ward) without(class state.Class) {
	w.Administrations = slices.DeleteFunc(w.Administrations, func(a state.Administration) bool { return a.Class == class })
}

// runs charts an infusion from minutes ago on, documented every everyMin.
func (w *ward) runs(drug state.Drug, class state.Class, rate float64, unit string, minutes, everyMin float64) {
	w.Administrations = append(w.Administrations, state.Administration{Drug: drug, Class: class, Form: state.FormInfusion, Start: ago(minutes), Available: ago(minutes),
		DocumentedEveryMin: everyMin, RateKnown: true, Rate: rate, RateUnit: unit, Received: "as charted"})
}

// norepinephrine is the only vasopressor, at one rate for the last six hours.
func (w *ward) norepinephrine(rate float64) {
	w.without(state.ClassVasopressor)
	w.runs(state.DrugNorepinephrine, state.ClassVasopressor, rate, state.UnitUgKgMin, 360, 60)
}

func (w *ward) condition(tag state.Tag, dated bool) {
	c := state.Condition{Tags: []state.Tag{tag}, Text: string(tag), Dated: dated}
	if dated {
		c.Onset, c.Available = ago(600), ago(600)
	}
	w.Conditions = append(w.Conditions, c)
}

// bedside writes on a copy of a demonstration patient's chart.
func bedside(t testing.TB, s physiology.Scenario, write func(w *ward)) *ward {
	t.Helper()
	c := *chart(t, s)
	c.Measurements, c.Administrations = slices.Clone(c.Measurements), slices.Clone(c.Administrations)
	c.Conditions, c.Orders = slices.Clone(c.Conditions), slices.Clone(c.Orders)
	c.Procedures, c.Gaps = slices.Clone(c.Procedures), slices.Clone(c.Gaps)
	w := &ward{Chart: &c, display: engine.DisplaySuggest}
	if write != nil {
		write(w)
	}
	slices.SortStableFunc(c.Measurements, func(a, b state.Measurement) int { return a.Effective.Compare(b.Effective) })
	slices.SortStableFunc(c.Administrations, func(a, b state.Administration) int { return a.Start.Compare(b.Start) })
	return w
}

// decideFor builds the timeline and decides as the binary does.
func (w *ward) decideFor(t testing.TB) (engine.Outcome, *state.Timeline) {
	t.Helper()
	tl, err := state.Build(w.Chart, now, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	o := outcome(t, decider(t, asTheBinary(t)), engine.Case{Timeline: tl, Now: now, Seed: 7, ID: "decision-1", Role: w.role,
		User: "Practitioner/1", Display: w.display, Prior: w.prior})
	return o, tl
}

// asTheBinary is the native agent with what the binary carries.
func asTheBinary(t testing.TB) engine.Agent {
	t.Helper()
	n, err := carried()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var carried = sync.OnceValues(func() (*agent.Native, error) {
	model, err := world.Load(configs.FS, "model")
	if err != nil {
		return nil, err
	}
	pack, err := policy.Load(configs.FS)
	if err != nil {
		return nil, err
	}
	n, err := agent.New(model, pack, agent.DefaultConfig())
	if err != nil {
		return nil, err
	}
	a, err := agent.OpenActor(configs.FS, "model", model)
	if err != nil {
		return nil, err
	}
	return n.With(a)
})

func reasoned(o *engine.Outcome, code string) bool {
	return slices.ContainsFunc(o.Decision.Reasons, func(r agent.Reason) bool { return r.Code == code })
}

func noDose(o *engine.Outcome) bool {
	return o.Decision.Advice.Vasopressor == nil && o.Decision.Advice.Fluid == nil
}

func abstains(code string) func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
	return func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
		if o.Decision.Status != agent.Abstain || !reasoned(&o, code) || !noDose(&o) {
			t.Errorf("%s %v, want to abstain for %s", o.Decision.Status, o.Decision.Reasons, code)
		}
	}
}

func doesNotApply(code string) func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
	return func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
		if o.Decision.Status != agent.NotApplicable || !reasoned(&o, code) || !noDose(&o) {
			t.Errorf("%s %v, want not applicable for %s", o.Decision.Status, o.Decision.Reasons, code)
		}
	}
}

func noVolume(t *testing.T, o engine.Outcome, _ *state.Timeline) {
	if o.Decision.Advice.Fluid != nil {
		t.Errorf("a volume number: %+v", o.Decision.Advice.Fluid)
	}
	for _, x := range o.Decision.Options {
		if x.Proposal.BolusMl > 0 && !x.Blocked {
			t.Errorf("%s is considered", x.Proposal.Name)
		}
	}
}
