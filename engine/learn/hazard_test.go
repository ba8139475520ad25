// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"math"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// all is a treatment of which everything is charted.
func all(ne, ml float64) Treatment {
	return Treatment{VasoKnown: true, FluidKnown: true, NEUgKgMin: ne, FluidMl: ml}
}

// at is a point with a MAP, on which the decision was made.
func at(mapMmHg float64, status agent.Status, asIs Treatment) Point {
	return Point{Patient: "a", MAPMmHg: mapMmHg, GoalMmHg: 65, CVPMmHg: math.NaN(), BalanceMl: math.NaN(), StepMAPMmHg: mapMmHg, LactateMmolL: math.NaN(), Status: status, AsIs: asIs, Advised: asIs}
}

func hazardOf(id string) *Festor {
	for _, f := range FestorHazards() {
		if f.ID == id {
			return &f
		}
	}
	return nil
}

func TestAHazardIsCountedInItsStateOnly(t *testing.T) {
	full := func(mapMmHg, cvp, balance float64) Point {
		p := at(mapMmHg, agent.Abstain, all(0, 0))
		p.CVPMmHg, p.BalanceMl = cvp, balance
		return p
	}
	nan := math.NaN()
	for _, test := range []struct {
		name string
		id   string
		p    Point
		want bool
	}{
		{"A begins below 55", "A", full(54.9, nan, nan), true},
		{"A does not hold at 55", "A", full(55, nan, nan), false},
		{"A needs a MAP", "A", full(nan, nan, nan), false},
		{"B begins above 95", "B", full(95.1, nan, nan), true},
		{"B does not hold at 95", "B", full(95, nan, nan), false},
		{"C holds at 55 with a CVP of 5", "C", full(55, 5, nan), true},
		{"C does not hold without a CVP", "C", full(50, nan, nan), false},
		{"C does not hold with a CVP of 6", "C", full(50, 6, nan), false},
		{"D holds at 75 with 10.1 L and a CVP of 15", "D", full(75, 15, 10100), true},
		{"D does not hold at 10 L", "D", full(75, 15, 10000), false},
		{"D does not hold without a balance", "D", full(75, 15, nan), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := hazardOf(test.id).AtRisk(&test.p); got != test.want {
				t.Errorf("at risk %v, want %v", got, test.want)
			}
		})
	}
}

func TestATreatmentIsTheHazardAsPublished(t *testing.T) {
	noFluidKnown, noVasoKnown := all(0, 0), all(0, 0)
	noFluidKnown.FluidKnown, noVasoKnown.VasoKnown = false, false
	running := all(0.1, 0)
	running.FluidKnown = false
	flowing := all(0, 400)
	flowing.VasoKnown = false
	for _, test := range []struct {
		name      string
		id        string
		t         Treatment
		in, known bool
	}{
		{"A: nothing at all", "A", all(0, 0), true, true},
		{"A: 80 mL in 4 h is still a trickle", "A", all(0, 80), true, true},
		{"A: 81 mL is not", "A", all(0, 81), false, true},
		{"A: a vasopressor is enough to know that it is not, fluid unknown", "A", running, false, true},
		{"A: fluid is enough to know that it is not, vasopressor unknown", "A", flowing, false, true},
		{"A: no vasopressor, fluid unknown", "A", noFluidKnown, true, false},
		{"A: no fluid, vasopressor unknown", "A", noVasoKnown, true, false},
		{"B: above 0.65", "B", all(0.66, 0), true, true},
		{"B: 0.65 is not above", "B", all(0.65, 0), false, true},
		{"B: unknown", "B", noVasoKnown, false, false},
		{"C: no fluid", "C", all(0.5, 0), true, true},
		{"C: any fluid", "C", all(0, 1), false, true},
		{"D: 960 mL in 4 h is 240 mL/h", "D", all(0, 960), false, true},
		{"D: more", "D", all(0, 961), true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, known := hazardOf(test.id).In(&test.t)
			if known != test.known || known && in != test.in {
				t.Errorf("in %v known %v, want %v %v", in, known, test.in, test.known)
			}
		})
	}
}

// points makes a sample of which every patient is another.
func points(of ...Point) *sample {
	s := &sample{resamples: 200}
	for i, p := range of {
		p.Patient = string(rune('a' + i))
		s.add(&stayResult{points: []Point{p}})
	}
	s.seal()
	return s
}

func TestHazardsAreCountedForUsAndForCliniciansInTheSameStates(t *testing.T) {
	untreated, treated := all(0, 0), all(0.05, 0)
	suggested := at(50, agent.Suggest, untreated)
	suggested.Advised = treated
	suggested.HasNext, suggested.Given = true, untreated // clinicians gave nothing
	warned := at(50, agent.Abstain, untreated)
	warned.Shown, warned.Hazards = true, []string{"V11"}
	warned.HasNext, warned.Given = true, treated
	silent := at(50, agent.Abstain, untreated)
	affirmed := at(50, agent.Affirm, untreated)
	unknown := at(50, agent.Abstain, Treatment{})
	already := at(50, agent.Abstain, treated)
	elsewhere := at(50, agent.NotApplicable, untreated)
	well := at(80, agent.Abstain, untreated)
	got := points(suggested, warned, silent, affirmed, unknown, already, elsewhere, well).countHazard(*hazardOf("A"))
	if got.Count != 2 || got.AtRisk != 5 {
		t.Errorf("ours %d of %d, want 2 (silent, affirmed) of 5", got.Count, got.AtRisk)
	}
	if got.Advised != 1 || got.Silent != 1 || got.Warned != 1 || got.Treated != 2 || got.Unknown != 1 {
		t.Errorf("parts %+v", got)
	}
	if got.Advised+got.Silent+got.Warned+got.Treated != got.AtRisk {
		t.Error("the parts are not the whole")
	}
	if got.Clinician.Count != 1 || got.Clinician.Of != 2 {
		t.Errorf("clinicians %d of %d, want 1 of 2", got.Clinician.Count, got.Clinician.Of)
	}
}

func TestGuidelineMetricsAreThePublishedOnes(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name            string
		p               prescribed
		breaks1, break2 bool
	}{
		{"low MAP with nothing breaks G1", prescribed{mapMmHg: 64, lactate: nan}, true, false},
		{"raised lactate with nothing breaks G1", prescribed{mapMmHg: 70, lactate: 2.1}, true, false},
		{"neither known breaks nothing", prescribed{mapMmHg: nan, lactate: nan}, false, false},
		{"low MAP with fluid keeps G1", prescribed{mapMmHg: 50, lactate: nan, levels: state.Levels{Fluid: 1}}, false, false},
		{"low MAP with a vasopressor keeps G1", prescribed{mapMmHg: 50, lactate: nan, levels: state.Levels{Vasopressor: 1}}, false, false},
		{"a rise at 65 breaks G2", prescribed{mapMmHg: 65, lactate: nan, hasBefore: true, before: 1, levels: state.Levels{Vasopressor: 2}}, false, true},
		{"the same level at 65 keeps G2", prescribed{mapMmHg: 65, lactate: nan, hasBefore: true, before: 2, levels: state.Levels{Vasopressor: 2}}, false, false},
		{"a rise below 65 keeps G2", prescribed{mapMmHg: 64, lactate: nan, hasBefore: true, before: 1, levels: state.Levels{Vasopressor: 2}}, false, false},
		{"G2 is not asked without a level before", prescribed{mapMmHg: 90, lactate: nan, levels: state.Levels{Vasopressor: 2}}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if a, b := test.p.breaksG1(), test.p.breaksG2(); a != test.breaks1 || b != test.break2 {
				t.Errorf("breaks %v %v, want %v %v", a, b, test.breaks1, test.break2)
			}
		})
	}
}
