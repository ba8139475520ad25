// SPDX-License-Identifier: Apache-2.0

package world

// This file: scoring a model on samples that it never saw. Nothing is fitted
// here.

import (
	"math"
	"sort"
	"strconv"

	"gonum.org/v1/gonum/mathext"
)

// Scores are the measured properties of a model on one set of patients.
// Errors are standardised on the modelling scale and taken over observed
// entries only; a number that could not be measured is null.
type Scores struct {
	StateMAE       Number            `json:"state_mae"`
	PersistenceMAE Number            `json:"persistence_mae"`
	NewestMAE      Number            `json:"newest_reading_mae"` // persistence of the newest single reading instead of the newest step
	RidgeMAE       Number            `json:"ridge_mae"`
	NLL            Number            `json:"nll"` // of the standardised truth under the served distribution
	Interval80     Number            `json:"interval80_coverage"`
	Interval95     Number            `json:"interval95_coverage"`
	VentAUROC      Number            `json:"vent_auroc"`
	MortalityAUROC Number            `json:"mortality_auroc"` // death in hospital, at the landmark of 24 h
	MortalityAUPRC Number            `json:"mortality_auprc"`
	MortalityECE   Number            `json:"mortality_ece"`
	Vaso24hAUROC   Number            `json:"vaso24h_auroc"` // among those off vasopressors, at the landmark of 24 h
	RolloutMAE     [Horizon]Number   `json:"rollout_mae"`
	PersistRollout [Horizon]Number   `json:"persistence_rollout_mae"`
	BehaviourNLL   Number            `json:"behaviour_nll"`
	BehaviourTop1  Number            `json:"behaviour_top1"`
	FeatureMAE     map[string]Number `json:"feature_mae"`         // canonical units, next step
	FeaturePersist map[string]Number `json:"feature_persistence"` // the same for persistence
	FeatureCover80 map[string]Number `json:"feature_coverage80"`
	Patients       int               `json:"patients"`
	Stays          int               `json:"stays"`
	Steps          int               `json:"steps"`
	Entries        int               `json:"entries"` // observed next-step values
}

// Number is a float that is written as null when it was not measured.
type Number float64

// MarshalJSON writes null for what is not a finite number.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON reads null as not measured.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	*n = Number(v)
	return err
}

// landmarkHours is the time in the ICU at which outcome predictions are scored.
const landmarkHours = 24

// mean accumulates an average; without data it is not a number.
type mean struct{ sum, n float64 }

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }
func (m *mean) value() Number { return Number(m.sum / m.n) }

// score measures m on samples that trained nothing.
func (m *Model) score(samples []*sample) *Scores {
	s := &Scores{FeatureMAE: map[string]Number{}, FeaturePersist: map[string]Number{}, FeatureCover80: map[string]Number{}}
	t := &scorer{m: m}
	stays, patients := map[int]bool{}, map[string]bool{}
	for _, sm := range samples {
		stays[sm.stay], patients[sm.patient] = true, true
	}
	m.each(samples, t.add)
	s.Stays, s.Patients, s.Steps, s.Entries = len(stays), len(patients), len(samples), int(t.model[0].n)
	s.StateMAE, s.PersistenceMAE, s.RidgeMAE, s.NLL = t.model[0].value(), t.still[0].value(), t.ridge.value(), t.nll.value()
	s.NewestMAE = t.newest.value()
	s.Interval80, s.Interval95 = t.in80.value(), t.in95.value()
	for h := range Horizon {
		s.RolloutMAE[h], s.PersistRollout[h] = t.model[h].value(), t.still[h].value()
	}
	for f := range numF {
		name := string(features[f].Name)
		s.FeatureMAE[name], s.FeaturePersist[name], s.FeatureCover80[name] = t.own[f].value(), t.ownStill[f].value(), t.ownIn[f].value()
	}
	s.VentAUROC = auroc(t.chance[0], t.label[0])
	s.MortalityAUROC, s.MortalityAUPRC, s.MortalityECE = auroc(t.chance[1], t.label[1]), auprc(t.chance[1], t.label[1]), ece(t.chance[1], t.label[1])
	s.Vaso24hAUROC = auroc(t.chance[2], t.label[2])
	s.BehaviourNLL, s.BehaviourTop1 = t.pairNLL.value(), t.pairTop.value()
	return s
}

// scorer accumulates over samples.
type scorer struct {
	m                     *Model
	model, still          [Horizon]mean
	ridge, nll, newest    mean
	in80, in95            mean
	own, ownStill, ownIn  [numF]mean
	pairNLL, pairTop      mean
	chance                [3][]float64 // ventilation, death, vasopressor within 24 h
	label                 [3][]int8
	landmarked, landmark2 map[int]bool
}

// add scores one sample.
func (t *scorer) add(sm *sample, v *view) {
	s := v.under(&sm.ne, &sm.fluid, Horizon)
	for h := range Horizon {
		b := t.m.bands(h, &s)
		for f := range numF {
			y := sm.y[h*numF+f]
			if isNaN(y) {
				continue
			}
			z := float64(t.m.file.Scale.z(f, b[f].Median))
			last := float64(sm.x[f*perFeature+inLast])
			t.model[h].add(math.Abs(float64(y) - z))
			t.still[h].add(math.Abs(float64(y) - last))
			if h == 0 {
				t.next(f, float64(y), last, &s, b[f])
				t.newest.add(math.Abs(float64(y) - last - float64(sm.x[f*perFeature+inNewest])))
			}
		}
	}
	if sm.observedNext() {
		z := t.m.ridge.predict(sm)
		for f := range numF {
			if y := sm.y[f]; !isNaN(y) {
				t.ridge.add(math.Abs(float64(y) - z[f]))
			}
		}
	}
	t.outcomes(sm, v)
}

// next scores one observed value of the next step.
func (t *scorer) next(f int, y, last float64, s *spreadOf, b Band) {
	scale := &t.m.file.Scale
	truth := scale.value(f, y)
	t.own[f].add(math.Abs(truth - b.Median))
	t.ownStill[f].add(math.Abs(truth - scale.value(f, last)))
	in := t.m.inside(f, float32(y), b.Lo80, b.Hi80)
	t.in80.add(in)
	t.ownIn[f].add(in)
	t.in95.add(t.m.inside(f, float32(y), b.Lo95, b.Hi95))
	nu, unit := tailsOf(t.m.file.Width80[0][f], t.m.file.Width95[0][f])
	t.nll.add(studentNLL((y-s.mu[f])/(unit*s.sigma[f]), nu) + math.Log(unit*s.sigma[f]))
}

// outcomes scores the heads beside the features.
func (t *scorer) outcomes(sm *sample, v *view) {
	if t.landmarked == nil {
		t.landmarked, t.landmark2 = map[int]bool{}, map[int]bool{}
	}
	file := &t.m.file
	if sm.vent[0] != unknown {
		t.chance[0], t.label[0] = append(t.chance[0], file.VentScaling.chance(v.mean(outVent))), append(t.label[0], sm.vent[0])
	}
	if sm.hours >= landmarkHours-0.01 {
		if !t.landmarked[sm.stay] && sm.died != unknown {
			t.chance[1], t.label[1] = append(t.chance[1], file.DeathScaling.chance(v.mean(outDeath))), append(t.label[1], sm.died)
			t.landmarked[sm.stay] = true
		}
		if !t.landmark2[sm.stay] && sm.vaso24 != unknown {
			t.chance[2], t.label[2] = append(t.chance[2], file.VasoScaling.chance(v.mean(outVaso24))), append(t.label[2], sm.vaso24)
		}
		t.landmark2[sm.stay] = true
	}
	if p := single(sm.pairs); p >= 0 {
		b := t.m.behaviour(v)
		top, best := 0, 0.0
		for i := range numPairs {
			if q := b[i/5][i%5]; q > best {
				top, best = i, q
			}
		}
		hit := 0.0
		if top == p {
			hit = 1
		}
		t.pairTop.add(hit)
		t.pairNLL.add(-math.Log(b[p/5][p%5]))
	}
}

func (s *sample) observedNext() bool {
	for _, y := range s.y[:numF] {
		if !isNaN(y) {
			return true
		}
	}
	return false
}

// studentNLL is minus the log density of a standard Student t.
func studentNLL(r, nu float64) float64 {
	return 0.5*(nu+1)*math.Log1p(r*r/nu) + 0.5*math.Log(nu) + mathext.Lbeta(0.5, nu/2)
}

// ranked sorts labels by falling chance.
func ranked(chance []float64, label []int8) (order []int, ones int) {
	order = make([]int, len(chance))
	for i := range order {
		order[i] = i
		ones += int(label[i])
	}
	sort.SliceStable(order, func(i, j int) bool { return chance[order[i]] > chance[order[j]] })
	return order, ones
}

// auroc is the chance that a case is ranked above a non-case; ties count half.
func auroc(chance []float64, label []int8) Number {
	order, ones := ranked(chance, label)
	zeros := len(order) - ones
	if ones == 0 || zeros == 0 {
		return Number(math.NaN())
	}
	var area float64
	below := float64(zeros)
	for i := 0; i < len(order); {
		j, up, down := i, 0.0, 0.0
		for ; j < len(order) && chance[order[j]] == chance[order[i]]; j++ {
			if label[order[j]] == 1 {
				up++
			} else {
				down++
			}
		}
		area += up * (below - down + down/2)
		below -= down
		i = j
	}
	return Number(area / float64(ones) / float64(zeros))
}

// auprc is average precision.
func auprc(chance []float64, label []int8) Number {
	order, ones := ranked(chance, label)
	if ones == 0 || ones == len(order) {
		return Number(math.NaN())
	}
	var sum, hits float64
	for i := 0; i < len(order); {
		j, up := i, 0.0
		for ; j < len(order) && chance[order[j]] == chance[order[i]]; j++ {
			up += float64(label[order[j]])
		}
		hits += up
		sum += up * hits / float64(j)
		i = j
	}
	return Number(sum / float64(ones))
}

// ece is the expected calibration error over ten bins of equal width.
func ece(chance []float64, label []int8) Number {
	var p, y, n [10]float64
	for i, c := range chance {
		b := min(int(c*10), 9)
		p[b], y[b], n[b] = p[b]+c, y[b]+float64(label[i]), n[b]+1
	}
	var sum float64
	for b := range n {
		sum += math.Abs(p[b] - y[b])
	}
	return Number(sum / float64(len(chance)))
}
