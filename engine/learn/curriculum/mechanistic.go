// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: patients of the mechanistic simulator under a policy. They are what
// no network was trained on: their course comes from equations, and the agent
// sees of them what a hospital would chart, by the one way from chart to timeline.

import (
	"context"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Bounds of a mechanistic course.
const (
	mechanisticSteps = 12 // of four hours
	mechanisticAhead = 8. // hours under the simulator's clinician before it begins
	alive            = 0.8
	patientScale     = 30. // as environment has it
	momentH          = 5. / 60
	lowMmHg          = 65.
)

// mechanisticKinds are treated by turns.
var mechanisticKinds = []physiology.Scenario{
	physiology.EarlySepsis, physiology.SepticShock, physiology.RefractoryShock, physiology.FluidOverload, physiology.StableSepsis, physiology.Improving,
}

// mechanistic is one such patient.
type mechanistic struct {
	unit    *Unit
	seed    uint64
	patient *physiology.Patient
	others  physiology.Treatment // who gives all but norepinephrine and boluses
	step    int
	lowH    float64 // hours of true MAP below 65 mmHg since it began
	now     *environment.Episode
}

// admit is the patient of a seed; ok is false where nobody is left to treat when
// the treatment would begin.
func (u *Unit) admit(ctx context.Context, seed uint64) (m *mechanistic, ok bool, err error) {
	clinician, err := physiology.BehaviourClinician.Treatment()
	if err != nil {
		return nil, false, err
	}
	m = &mechanistic{unit: u, seed: seed, others: clinician, patient: physiology.New(chance(seed, 400).Uint64()>>16, mechanisticKinds[seed%uint64(len(mechanisticKinds))])}
	course := m.patient.Run(mechanisticAhead, clinician)
	if !course.Chart().Stay.End.IsZero() {
		return nil, false, nil
	}
	err = m.stand(ctx)
	return m, err == nil, err
}

// chartNow is where an episode starts that is only looked at.
type chartNow struct {
	chart *state.Chart
	at    time.Time
}

func (chartNow) Tasks() []string { return []string{"now"} }
func (c chartNow) Chart(uint64, string) (*state.Chart, time.Time, error) {
	return c.chart, c.at, nil
}

func (m *mechanistic) stand(ctx context.Context) error {
	deps := m.unit.Parts
	deps.Starts = chartNow{m.patient.Course().Chart(), m.patient.Now()}
	env, err := environment.New(environment.DefaultConfig(), deps)
	if err != nil {
		return err
	}
	m.now, err = env.Reset(ctx, m.seed, "now")
	return err
}

func (m *mechanistic) episode() *environment.Episode { return m.now }

func (m *mechanistic) give(ctx context.Context, pair int) (environment.Result, error) {
	options, err := m.now.Menu(ctx)
	if err != nil {
		return environment.Result{}, err
	}
	o := options[pair]
	if o.Blocked {
		return environment.Refuse(o), nil
	}
	return m.pass(ctx, o.Dose, environment.TreatmentReward(o))
}

func (m *mechanistic) keep(ctx context.Context) (environment.Result, error) {
	tl := m.now.Timeline()
	dose := world.Dose{NEUgKgMin: tl.Present.NEUgKgMin, FluidMl: agent.MaintenanceModelMl(tl)}
	return m.pass(ctx, dose, environment.SilenceReward(dose))
}

// pass lets four hours pass under a dose: its rate all the time, and what of its
// fluid is more than what runs as a bolus at once.
func (m *mechanistic) pass(ctx context.Context, dose world.Dose, reward environment.Reward) (environment.Result, error) {
	before, first := m.now.Timeline(), true
	bolusMl := dose.FluidMl - agent.MaintenanceModelMl(before)
	course := m.patient.Run(state.StepHours, physiology.Func(func(v physiology.Bedside) physiology.Doses {
		d := m.others.Next(v)
		d.NEUgKgMin, d.EpinephrineUgKgMin, d.PhenylephrineUgKgMin, d.DopamineUgKgMin, d.VasopressinUMin = dose.NEUgKgMin, 0, 0, 0, 0
		d.BolusMl, d.Discharge = 0, false
		if first {
			d.BolusMl, first = max(0, bolusMl), false
		}
		return d
	}))
	m.step++
	for _, x := range course.Moments() {
		if x.At.After(before.At) && x.MAPmmHg() < lowMmHg {
			m.lowH += momentH
		}
	}
	r := environment.Result{Reward: reward, Given: dose}
	if course.Died() {
		r.End = environment.EndDied
		return r, nil
	}
	if err := m.stand(ctx); err != nil {
		return r, err
	}
	r.Reward.Patient = environment.PatientReward(before.Last(), m.now.Timeline().Last()) / patientScale
	if m.step >= mechanisticSteps {
		r.End, r.Reward.Terminal = environment.EndLimit, alive
	}
	return r, nil
}
