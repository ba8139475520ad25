// SPDX-License-Identifier: Apache-2.0

package main

// This file: simulated patients whose other futures are known, for measuring
// what a model says treatment changes.

import (
	"context"
	"iter"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// maintenanceMlH runs under every plan.
const maintenanceMlH = 50

// cardPatients is how many simulated patients are asked for the model card.
const cardPatients = 200

// dampPatients are the simulated patients that damp the effects of a model in
// training, and dampSeed keeps them apart from those it is measured on.
const (
	dampPatients = 150
	dampSeed     = 1_000_003
)

// counterfactualDoses are the norepinephrine rates of the dose response.
var counterfactualDoses = []float64{0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}

// dampedBy are the patients that damp the effects of a model in training.
func dampedBy(ctx context.Context, seed uint64, cfg state.Config) iter.Seq2[world.Simulated, error] {
	return counterfactuals(ctx, dampPatients, seed+dampSeed, cfg)
}

// counterfactuals simulates n patients under clinicians for 8 to 28 h and then
// lets each have several futures. Those who get another vasopressor beside
// norepinephrine are passed over: plans speak of norepinephrine alone. No
// patient of a training cohort is among them: seeds are drawn apart.
func counterfactuals(ctx context.Context, n int, seed uint64, cfg state.Config) iter.Seq2[world.Simulated, error] {
	return func(yield func(world.Simulated, error) bool) {
		clinician, err := physiology.BehaviourClinician.Treatment()
		for i, made := 0, 0; made < n && i < 4*n && err == nil; i++ {
			if err = ctx.Err(); err != nil {
				break
			}
			p := physiology.New(seed<<32|1<<31|uint64(i), physiology.Mix)
			course := p.Run(float64(8+4*(i%6)), clinician)
			now := course.Last().Given
			if course.Died() || len(course.Moments()) == 0 || now.NEEquivalent() != now.NEUgKgMin {
				continue
			}
			var s world.Simulated
			if s, err = simulated(p, now.NEUgKgMin, course, cfg); err != nil {
				break
			}
			made++
			if !yield(s, nil) {
				return
			}
		}
		if err != nil {
			yield(world.Simulated{}, err)
		}
	}
}

// simulated asks of one patient what other doses would have done.
func simulated(p *physiology.Patient, ne float64, course physiology.Course, cfg state.Config) (world.Simulated, error) {
	tl, err := state.Build(course.Chart(), p.Now(), cfg)
	if err != nil {
		return world.Simulated{}, err
	}
	step := len(course.Moments())
	asNow, fixed := futures(p, physiology.Fixed(ne, maintenanceMlH)), func(ne float64) physiology.Treatment { return physiology.Fixed(ne, maintenanceMlH) }
	s := world.Simulated{Timeline: tl, FluidMl: state.StepHours * maintenanceMlH, NEUgKgMin: counterfactualDoses}
	ask := func(question string, t physiology.Treatment, neUgKgMin, bolusMl float64) {
		first, second := heldPlan("as now", ne), heldPlan(question, neUgKgMin)
		second.Doses[0].FluidMl += bolusMl
		s.Contrasts = append(s.Contrasts, world.Contrast{Question: question, Plans: [2]world.Plan{first, second},
			Truth: [2][world.Horizon]world.Outcome{asNow, futures(p, t)}})
	}
	ask("norepinephrine +0.1 ug/kg/min", fixed(ne+0.1), ne+0.1, 0)
	ask("a bolus of 500 mL", physiology.Bolus(fixed(ne), step, 500), ne, 500)
	ask("a bolus of 1000 mL", physiology.Bolus(fixed(ne), step, 1000), ne, 1000)
	if ne > 0 {
		ask("norepinephrine stopped", fixed(0), 0, 0)
	}
	for _, dose := range counterfactualDoses {
		s.MAPmmHg = append(s.MAPmmHg, p.Clone().Run(state.StepHours, fixed(dose)).MeanMAP(state.StepHours))
	}
	return s, nil
}

func heldPlan(name string, neUgKgMin float64) world.Plan {
	p := world.Plan{Name: name}
	for range world.Horizon {
		p.Doses = append(p.Doses, world.Dose{NEUgKgMin: neUgKgMin, FluidMl: state.StepHours * maintenanceMlH})
	}
	return p
}

// futures runs a copy of the patient over the horizon. Steps that death cuts
// short are not numbers.
func futures(p *physiology.Patient, t physiology.Treatment) (out [world.Horizon]world.Outcome) {
	const everyMin, stepMin = 15, 5
	begun := len(p.Course().Moments())
	log := p.Clone().Run(world.Horizon*state.StepHours, t).Moments()[begun:]
	const perStep = state.StepHours * 60 / stepMin
	for h := range out {
		if len(log) < (h+1)*perStep {
			nan := math.NaN()
			out[h] = world.Outcome{MAPmmHg: nan, LactateMmolL: nan, UrineMl: nan}
			continue
		}
		var n float64
		for i := h * perStep; i < (h+1)*perStep; i += everyMin / stepMin {
			truth := log[i].Truth()
			n++
			out[h].MAPmmHg += (log[i].MAPmmHg() - out[h].MAPmmHg) / n
			out[h].LactateMmolL += (truth[state.Concept("lactate")] - out[h].LactateMmolL) / n
			out[h].UrineMl += (truth[state.Concept("output_4hourly")] - out[h].UrineMl) / n
		}
	}
	return out
}
