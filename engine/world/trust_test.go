// SPDX-License-Identifier: Apache-2.0

package world

// This file: that effects and changes are taken as far as patients bear them
// out, that intervals have a floor, and that records alone are not believed.

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// effectRows makes values in which the first act does share of what is
// forecast, the second nothing, and the third is never forecast.
func effectRows(n int, share float64) (rows []effectRow) {
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range n {
		r := effectRow{stay: i / 10, weight: 1}
		r.part[actNE], r.part[actFluid] = rng.NormFloat64(), rng.NormFloat64()
		r.beyond = 0.3 + share*r.part[actNE] + rng.NormFloat64()
		rows = append(rows, r)
	}
	return rows
}

func TestAnEffectIsTakenAsFarAsPatientsBearItOut(t *testing.T) {
	for name, c := range map[string]struct {
		rows     []effectRow
		low, top float64
	}{
		"half of what was forecast":               {effectRows(4000, 0.5), 0.4, 0.6},
		"all of it":                               {effectRows(4000, 1), 0.9, 1},
		"more than was forecast counts as all":    {effectRows(4000, 2), 1, 1},
		"none":                                    {effectRows(4000, 0), 0, 0.001},
		"the opposite":                            {effectRows(4000, -1), 0, 0},
		"all of it, but in too few patients":      {effectRows(earnedFrom-1, 1), 0, 0},
		"a hundredth, lost in the patients' luck": {effectRows(400, 0.01), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			share := earnedShares(c.rows)
			if v := share[actNE]; !(v >= c.low && v <= c.top) {
				t.Errorf("share %v, want %v to %v", v, c.low, c.top)
			}
			if share[actFluid] > 0.1 || share[actShortfall] != 0 {
				t.Errorf("shares of what does nothing are %v and %v", share[actFluid], share[actShortfall])
			}
		})
	}
}

func TestAChangeThatFewPatientsBearOutLeavesTheLastValue(t *testing.T) {
	m := mustToy(t)
	for f := range numF {
		if s := m.file.Trust[f]; s < 0 || s > 1 {
			t.Errorf("%s: share %v", features[f].Name, s)
		}
	}
	// The toy never measures bilirubin.
	if s := m.file.Trust[state.Bilirubin]; s != 0 {
		t.Errorf("a change of what was never measured is trusted: %v", s)
	}
	for _, f := range []int{sbp, dbp, mbp} {
		if m.file.Earned[actNE][f] != 1 {
			t.Errorf("the effect of norepinephrine on %s is damped", features[f].Name)
		}
	}
}

func TestNoForecastIsSurerThanTheFloor(t *testing.T) {
	m := mustToy(t)
	c := toyCourse(900, 10, false, true)
	list := pointers(m.file.Scale.samples(&c, 0))
	m.each(list, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		for at, sigma := range s.sigma {
			if sigma < m.file.LeastSpread[at] {
				t.Fatalf("spread %v of %s is below %v", sigma, features[at%numF].Name, m.file.LeastSpread[at])
			}
		}
	})
}

func pointers(samples []sample) (out []*sample) {
	for i := range samples {
		out = append(out, &samples[i])
	}
	return out
}

func TestTheStretchOfFewPatientsIsTheUpperEndOfWhatTheyAllow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	stays := func(n int, wide float64) map[int][]float64 {
		out := map[int][]float64{}
		for i := range n {
			own := math.Exp(0.3 * rng.NormFloat64())
			for range 30 {
				out[i] = append(out[i], wide*own*math.Abs(rng.NormFloat64())/1.2816)
			}
		}
		return out
	}
	draw := func() *rand.Rand { return rand.New(rand.NewPCG(1, 80)) }
	many, few := upperStretch(stays(500, 1), draw()), 0.0
	const cohorts = 40
	for range cohorts {
		few += upperStretch(stays(5, 1), draw()) / cohorts
	}
	if !(few > many) || math.Abs(many-1) > 0.15 {
		t.Errorf("5 patients give %v, 500 give %v; want the fewer to give more, and the many about 1", few, many)
	}
	if v := upperStretch(nil, draw()); v != 1 {
		t.Errorf("nobody gives %v", v)
	}
}

func TestShortfallRisesAsPressureFallsBelowItsKnee(t *testing.T) {
	s := defaultScale()
	at := func(mmHg float64) float64 { return float64(s.shortfall(s.z(mbp, mmHg))) }
	if high, knee, low := at(100), at(65), at(45); !(high < 0.01 && knee > 0.3 && knee < 0.4 && math.Abs(low-2) < 0.05) {
		t.Errorf("at 100, 65 and 45 mmHg: %v, %v, %v", high, knee, low)
	}
}

// followedToy makes stays of two sources: one follows everybody, the other
// knows of death only where it came in hospital.
func followedToy() (out []*sample) {
	rng := rand.New(rand.NewPCG(6, 6))
	for stay := range 400 {
		lactate := rng.NormFloat64()
		s := &sample{x: make([]float32, InputSize), stay: stay, hours: 24, about: &person{source: "followed", died90: 0}}
		s.x[state.Lactate*perFeature+inLast], s.x[state.Lactate*perFeature+inKnown] = float32(lactate), 1
		if rng.Float64() < 1/(1+math.Exp(2-1.5*lactate)) {
			s.died, s.about.died90 = 1, 1
		}
		if s.died == 0 && rng.IntN(6) == 0 {
			s.about.died90 = 1
		}
		if stay%2 == 1 {
			s.about = &person{source: "not followed", died90: unknown}
			if s.died == 1 {
				s.about.died90 = 1
			}
		}
		out = append(out, s)
	}
	return out
}

func TestDeathWithin90DaysIsLearnedOnlyWherePeopleAreFollowed(t *testing.T) {
	samples := followedToy()
	death, err := fitOutcome(samples)
	if err != nil {
		t.Fatal(err)
	}
	head, whom := fitFollowUp(samples, death)
	if head == nil || !slices.Equal(whom.Sources, []string{"followed"}) || whom.Stays != 200 {
		t.Fatalf("head %v, learned from %+v", head, whom)
	}
	var chance, died, n float64
	for _, s := range samples {
		if s.about.source == "followed" {
			chance, died, n = chance+head.chance(death.logit(s.x)), died+float64(s.about.died90), n+1
		}
	}
	if math.Abs(chance-died)/n > 0.03 {
		t.Errorf("mean chance %v, %v died", chance/n, died/n)
	}
	lost := slices.DeleteFunc(samples, func(s *sample) bool { return s.about.source == "followed" })
	if head, _ := fitFollowUp(lost, death); head != nil {
		t.Error("a head was learned from a source that knows only of its dead")
	}
}

// One patient whose lactate does not move, whatever the plan.
func TestWhatDoesNotComeTrueIsDampedAway(t *testing.T) {
	src := mustToy(t)
	m := &Model{net: src.net, members: src.members, atlas: src.atlas, ridge: src.ridge, death: src.death, reference: src.reference, file: src.file}
	for act := range numActs {
		m.file.Earned[act][state.Lactate] = 1
	}
	c := toyCourse(901, 10, true, false)
	p := Simulated{Timeline: c.timelines[8], Contrasts: []Contrast{{Question: "more", Plans: [2]Plan{held("a", Dose{}), held("b", Dose{NEUgKgMin: 0.3, FluidMl: 500})}}}}
	before := m.file.Earned[actNE][mbp]
	if err := m.damp(context.Background(), func(yield func(Simulated, error) bool) { yield(p, nil) }); err != nil {
		t.Fatal(err)
	}
	fc, err := m.Forecast(context.Background(), p.Timeline, p.Contrasts[0].Plans[:], 65)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fc[0].Steps[0].Band[state.Lactate].Median, fc[1].Steps[0].Band[state.Lactate].Median; math.Abs(a-b) > 0.05 {
		t.Errorf("lactate is forecast as %v and %v", a, b)
	}
	if m.file.Earned[actNE][mbp] != before {
		t.Error("the effect on pressure was damped")
	}
}

// The toy's records give more to those whose tone is low: a model that learns
// effects from them alone must come out below the one that learns from
// randomised patients.
func TestRecordsAloneUnderstateWhatNorepinephrineDoes(t *testing.T) {
	wantLearned(t)
	cfg := toyConfig()
	cfg.Members, cfg.Epochs = 1, 12
	patients := func(yield func(Simulated, error) bool) {
		for i := range uint64(10) {
			c := toyCourse(700+i, 10, true, true)
			s := Simulated{Timeline: c.timelines[8], NEUgKgMin: []float64{0, 0.3}, MAPmmHg: []float64{60, 84}}
			q := Contrast{Question: "more", Plans: [2]Plan{held("a", Dose{}), held("b", Dose{NEUgKgMin: 0.3})}}
			for h := range Horizon {
				q.Truth[1][h].MAPmmHg = toyGain * saturate(0.3, halfNEUgKgMin)
			}
			s.Contrasts = []Contrast{q}
			if !yield(s, nil) {
				return
			}
		}
	}
	study, err := StudyConfounding(context.Background(), cohort.Seq(toyRows(t)), cfg, patients, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(study.Variants) != 4 || study.Patients != 10 {
		t.Fatalf("%d variants, %d patients", len(study.Variants), study.Patients)
	}
	rise := map[string]float64{}
	for _, v := range study.Variants {
		for _, e := range v.Effects {
			if e.Feature == string(features[mbp].Name) {
				rise[v.Name] = float64(e.Forecast)
				t.Logf("%s: forecast %+.1f, truth %+.1f mmHg; %d of %d increments lower MAP in records", v.Name, float64(e.Forecast), float64(e.Truth), v.Shape.MAPFalls, v.Shape.Increments)
			}
		}
	}
	free, shipped := rise[study.Variants[1].Name], rise[study.Variants[3].Name]
	if !(free < shipped-5) || study.Variants[3].Shape.MAPFalls != 0 {
		t.Errorf("records alone %+.1f, randomised %+.1f mmHg", free, shipped)
	}
}
