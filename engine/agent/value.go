// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the value of a simulated treatment. Every part but the burdens is
// about the simulated patient, so that giving less is never punished as such;
// spread counts against a plan, within a patient (the lower quantile) and between
// the networks of the ensemble, so that a gain must outlast its own uncertainty. All parts are at most 0 and are kept beside their sum.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Names of the parts of a value.
const (
	partPressure    = "pressure"
	partAtGoal      = "at_goal"
	partExcess      = "excess"
	partLactate     = "lactate"
	partUrine       = "urine"
	partOrgans      = "organs"
	partRisk        = "risk"
	partApart       = "disagreement"
	partVasopressor = "vasopressor_burden"
	partVolume      = "volume_burden"
	partRarity      = "rarity"
	partPenalty     = "rule_penalty"
)

// parts in the order in which they are summed, so that the sum is one number.
var partNames = []string{
	partPressure, partAtGoal, partExcess, partLactate, partUrine, partOrgans,
	partRisk, partApart, partVasopressor, partVolume, partRarity, partPenalty,
}

const (
	// discount makes later steps, which are forecast less well, count less.
	discount = 0.8
	// excessMmHg above goal is where more pressure stops being a benefit.
	excessMmHg = 20
	// urineMlKgH is the usual lower limit of urine output in adults.
	urineMlKgH = 0.5
	// nominalKg stands in the urine target where no weight is sound. It only
	// scales a part of the value and is never printed.
	nominalKg = 75
	// raisedLactate is the threshold of Sepsis-3, mmol/L.
	raisedLactate = 2
	// usualSupport is the share of clinicians above which a treatment is not rare.
	usualSupport = 0.1
)

// value weighs one simulated option.
func (n *Native) value(tl *state.Timeline, o *option) (float64, map[string]float64) {
	w := n.cfg.Weights
	goal := tl.Present.MAP.GoalMmHg
	parts := map[string]float64{}
	weight, total := 1.0, 0.0
	for k := range o.Forecast.Steps {
		total += weight
		step := &o.Forecast.Steps[k]
		pressure := step.Band[state.MeanBP]
		below := func(v float64) float64 { return math.Max(0, goal-v) / 10 }
		parts[partPressure] -= weight * w.Pressure * expect(pressure, below)
		parts[partAtGoal] -= weight * w.AtGoal * (1 - step.PMAPAtGoal)
		parts[partExcess] -= weight * w.Excess * expect(pressure, func(v float64) float64 { return math.Max(0, v-goal-excessMmHg) / 20 })
		parts[partRisk] -= weight * w.Risk * math.Max(0, below(pressure.Lo80)-below(pressure.Median))
		if observed(tl, state.Lactate) {
			parts[partLactate] -= weight * w.Lactate * expect(step.Band[state.Lactate], func(v float64) float64 { return math.Max(0, v-raisedLactate) / 2 })
		}
		if observed(tl, state.Urine) {
			target := urineMlKgH * state.StepHours * scoringKg(tl)
			parts[partUrine] -= weight * w.Urine * expect(step.Band[state.Urine], func(v float64) float64 { return math.Max(0, target-v) / target })
		}
		parts[partOrgans] -= weight * w.Organs * organs(tl, step) / 4
		weight *= discount
	}
	for _, name := range partNames {
		if total > 0 && parts[name] != 0 {
			parts[name] /= total
		}
	}
	parts[partApart] = -w.Disagreement * o.Forecast.Disagreement / 10
	parts[partVasopressor] = -w.Vasopressor * meanNE(o.plan) / 0.1
	parts[partVolume] = -w.Volume * o.Proposal.BolusMl / 500
	if !o.current() {
		rare := math.Log10(usualSupport / math.Max(o.Forecast.Support, 1e-4))
		parts[partRarity] = -w.Rarity * math.Max(0, rare)
	}
	for _, v := range o.Verdicts {
		parts[partPenalty] -= v.Penalty
	}
	sum := 0.0
	for _, name := range partNames {
		v, ok := parts[name]
		if !ok || v == 0 {
			delete(parts, name) // and no negative zero in the receipt
			continue
		}
		sum += v
	}
	return sum, parts
}

// expect is the mean of f over the forecast distribution, by the five known
// quantiles, each standing for the probability nearest to it.
func expect(b world.Band, f func(float64) float64) float64 {
	return 0.0625*f(b.Lo95) + 0.2375*f(b.Lo80) + 0.4*f(b.Median) + 0.2375*f(b.Hi80) + 0.0625*f(b.Hi95)
}

// organs is SOFA without its cardiovascular part, with straight lines between
// its thresholds so that a small improvement is seen, over the organs whose
// inputs were observed. 0 is well, 4 per organ is worst.
func organs(tl *state.Timeline, step *world.StepForecast) float64 {
	m := func(f int) float64 { return step.Band[f].Median }
	sum := 0.0
	if observed(tl, state.PaO2) && observed(tl, state.FiO2) && m(state.FiO2) > 0 {
		sum += ramp(-m(state.PaO2)/m(state.FiO2)*100, -400, -300, -200, -100)
	}
	if observed(tl, state.Creatinine) {
		sum += ramp(m(state.Creatinine), 1.2, 2, 3.5, 5)
	}
	if observed(tl, state.Bilirubin) {
		sum += ramp(m(state.Bilirubin), 1.2, 2, 6, 12)
	}
	if observed(tl, state.Platelet) {
		sum += ramp(-m(state.Platelet), -150, -100, -50, -20)
	}
	if observed(tl, state.GCSEye) && observed(tl, state.GCSVerbal) && observed(tl, state.GCSMotor) {
		sum += ramp(-(m(state.GCSEye) + m(state.GCSVerbal) + m(state.GCSMotor)), -14, -12, -9, -5)
	}
	return sum
}

// ramp rises from 0 at one threshold-width before the first threshold through
// 1, 2, 3 to 4 at the four thresholds.
func ramp(v, one, two, three, four float64) float64 {
	points := [5]float64{one - (two - one), one, two, three, four}
	if v <= points[0] {
		return 0
	}
	for i := 1; i < len(points); i++ {
		if v < points[i] {
			return float64(i-1) + (v-points[i-1])/(points[i]-points[i-1])
		}
	}
	return 4
}

// observed reports whether the feature was measured or carried at T: what was
// never seen is simulated, but does not decide.
func observed(tl *state.Timeline, feature int) bool {
	return len(tl.Steps) > 0 && tl.Steps[len(tl.Steps)-1].Presence[feature] != state.Missing
}

func scoringKg(tl *state.Timeline) float64 {
	if w := tl.Present.Weight; w.Known && w.Conflict == "" && w.Kg > 0 {
		return w.Kg
	}
	return nominalKg
}

func meanNE(p world.Plan) float64 {
	sum := 0.0
	for _, d := range p.Doses {
		sum += d.NEUgKgMin
	}
	return sum / float64(max(1, len(p.Doses)))
}
