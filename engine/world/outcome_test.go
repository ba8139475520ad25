// SPDX-License-Identifier: Apache-2.0

package world

// This file: that the outcome model finds what kills the toy's patients, and
// that long stays do not speak louder than short ones.

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// outcomeToy makes stays whose chance of death rises with lactate. Where
// longDie, those who die stay ten times as long.
func outcomeToy(n int, longDie bool) (out []*sample) {
	rng := rand.New(rand.NewPCG(4, 4))
	for stay := range n {
		lactate := rng.NormFloat64()
		s := &sample{x: make([]float32, InputSize), stay: stay, hours: 24}
		s.x[state.Lactate*perFeature+inLast], s.x[state.Lactate*perFeature+inKnown] = float32(lactate), 1
		if rng.Float64() < 1/(1+math.Exp(2-1.5*lactate)) {
			s.died = 1
		}
		times := 1
		if longDie && s.died == 1 {
			times = 10
		}
		for range times {
			out = append(out, s)
		}
	}
	return out
}

func TestTheOutcomeModelFindsWhatKills(t *testing.T) {
	o, err := fitOutcome(outcomeToy(3000, false))
	if err != nil {
		t.Fatal(err)
	}
	var c calls
	var mean, deaths float64
	test := outcomeToy(6000, false)[3000:]
	for _, s := range test {
		p := logistic{A: 1}.chance(o.logit(s.x))
		c = append(c, call{p, s.died == 1, s.stay})
		mean, deaths = mean+p/float64(len(test)), deaths+float64(s.died)/float64(len(test))
	}
	c.sort()
	if a := c.auroc(once); !(a > 0.8) {
		t.Errorf("AUROC %v", a)
	}
	if math.Abs(mean-deaths) > 0.02 {
		t.Errorf("mean chance %v, %v died", mean, deaths)
	}
	if e := c.ece(once); !(e < 0.03) {
		t.Errorf("ECE %v", e)
	}
}

func TestAStayCountsOnceHoweverLongItWas(t *testing.T) {
	short, err := fitOutcome(outcomeToy(500, false))
	if err != nil {
		t.Fatal(err)
	}
	long, err := fitOutcome(outcomeToy(500, true))
	if err != nil {
		t.Fatal(err)
	}
	for i := range short.weight {
		if math.Abs(float64(short.weight[i]-long.weight[i])) > 1e-4 {
			t.Fatalf("weight %d is %v and %v", i, short.weight[i], long.weight[i])
		}
	}
}

func TestTooFewDeathsGiveEveryoneTheSameChance(t *testing.T) {
	some := outcomeToy(500, false)
	some = slices.DeleteFunc(some, func(s *sample) bool { return s.died == 1 && s.stay > 40 })
	o, err := fitOutcome(some)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := o.logit(some[0].x), o.logit(some[1].x); a != b || !(a < -2) {
		t.Errorf("logits %v and %v", a, b)
	}
	if _, err := fitOutcome(nil); err != nil {
		t.Errorf("nobody: %v", err)
	}
}

func TestCrossValidationForecastsEachHospitalWithoutIt(t *testing.T) {
	if testing.Short() {
		t.Skip("trains three times")
	}
	cfg := toyConfig()
	cfg.Members, cfg.Epochs = 1, 3
	rows := toyRows(t)
	cv, err := CrossValidate(context.Background(), cohort.Seq(rows), cfg, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]bool{}
	for _, r := range rows {
		if !r.Synthetic {
			real[r.Patient] = true
		}
	}
	folds := 0
	for _, f := range cv.Folds {
		folds += f.Patients
	}
	if cv.Patients != len(real) || folds != len(real) || cv.LeftOut != 0 {
		t.Errorf("%d patients pooled, %d in folds, %d left out; want %d", cv.Patients, folds, cv.LeftOut, len(real))
	}
	again, err := CrossValidate(context.Background(), cohort.Seq(rows), cfg, 3, nil)
	if err != nil || again.StateMAE != cv.StateMAE || !(cv.StateMAE > 0) {
		t.Errorf("error %v, then %v, %v", cv.StateMAE, again.StateMAE, err)
	}
	if _, err := CrossValidate(context.Background(), cohort.Seq(rows), cfg, 1, nil); !errors.Is(err, ErrTraining) {
		t.Errorf("one fold: %v", err)
	}
}
