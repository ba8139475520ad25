// SPDX-License-Identifier: Apache-2.0

package world

// This file: a toy hospital for tests. Pressure falls with illness and rises
// with norepinephrine; doses are random, so the effect can be learned.

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// toyGain is what norepinephrine does to the toy's MAP: mmHg between no dose
// and an unlimited one.
const toyGain = 40

// toyCourse makes one stay of n decision times. confounded: sicker patients
// get more, as in real records.
func toyCourse(seed uint64, n int, synthetic, confounded bool) course {
	rng := rand.New(rand.NewPCG(seed, 7))
	cfg := state.DefaultConfig()
	c := course{patient: fmt.Sprint("p", seed), stay: fmt.Sprint("s", seed), synthetic: synthetic, died: int8(rng.IntN(2))}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	tone, lactate := 60+8*rng.NormFloat64(), 1+3*rng.Float64()
	var steps []state.Step
	dose := 0.0
	for k := range n {
		switch {
		case confounded:
			dose = math.Max(0, (70-tone)/60+0.03*rng.NormFloat64())
		case rng.IntN(2) == 0:
			dose = 0.5 * rng.Float64()
		case rng.IntN(3) == 0:
			dose = 0
		}
		fluid := 800 * rng.Float64() * float64(rng.IntN(2))
		tone = 62 + 0.8*(tone-62) + 4*rng.NormFloat64()
		lactate = math.Max(0.4, lactate*math.Exp(-0.05+0.15*rng.NormFloat64()))
		st := state.Step{Start: start.Add(time.Duration(4*k-4) * time.Hour), End: start.Add(time.Duration(4*k) * time.Hour),
			InStay: true, VentKnown: true, Vent: seed%3 == 0,
			Given: state.Exposure{VasoKnown: true, NEMaxUgKgMin: dose, NEMeanUgKgMin: dose, NEEndUgKgMin: dose,
				FluidKnown: true, FluidModelMl: fluid, Levels: cfg.LevelsOf(dose, fluid)}}
		set := func(f int, v float64) { st.Value[f], st.Presence[f] = v, state.Measured }
		m := tone + toyGain*saturate(dose, halfNEUgKgMin)
		set(state.MeanBP, m)
		set(state.SysBP, m+35+2*rng.NormFloat64())
		set(state.DiaBP, m-16+2*rng.NormFloat64())
		set(state.HeartRate, 95+6*rng.NormFloat64())
		set(state.SpO2, 96+rng.Float64()*3)
		set(state.Urine, 120+60*rng.Float64())
		if k%2 == 0 {
			set(state.Lactate, lactate)
			set(state.Creatinine, 1+0.5*rng.Float64())
			set(state.GCSMotor, float64(1+rng.IntN(6)))
		}
		steps = append(steps, st)
		tl := &state.Timeline{At: st.End, PatientID: c.patient, StayID: c.stay, AgeYears: 60, AgeKnown: true,
			Sex: "female", Synthetic: synthetic, HoursInICU: float64(4 * k)}
		for i := range state.MaxSteps {
			if j := k - (state.MaxSteps - 1 - i); j >= 0 {
				tl.Steps = append(tl.Steps, steps[j])
			} else {
				tl.Steps = append(tl.Steps, state.Step{Start: st.End.Add(-time.Duration(4*(state.MaxSteps-i)) * time.Hour)})
			}
		}
		c.timelines = append(c.timelines, tl)
	}
	return c
}

// toyRows is a small cohort: real patients are confounded, simulated ones are
// randomised.
func toyRows(t testing.TB) []cohort.Row {
	t.Helper()
	rows, err := toyRowsOnce()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

var toyRowsOnce = sync.OnceValues(func() (rows []cohort.Row, err error) {
	for i := range uint64(150) {
		c := toyCourse(i, 10, i%2 == 0, i%2 == 1)
		for k, tl := range c.timelines {
			js, err := tl.Canonical()
			if err != nil {
				return nil, err
			}
			st := newest(tl)
			rows = append(rows, cohort.Row{Source: "toy", Patient: c.patient, Hospital: fmt.Sprint("h", i%9), Stay: c.stay, Step: k + 1, At: tl.At,
				Hours: tl.HoursInICU, Synthetic: c.synthetic, Value: st.Value, Presence: st.Presence, AgeH: st.AgeH,
				Given: st.Given, Vent: st.Vent, VentKnown: true, DiedInHospital: c.died == 1, OutcomeKnown: true,
				Part: cohort.Part(c.patient), Canonical: js})
		}
	}
	return rows, nil
})

func trainToy(t testing.TB, cfg TrainConfig) *Model {
	t.Helper()
	m, err := Train(context.Background(), cohort.Seq(toyRows(t)), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// toyConfig trains in about a second. With -short it trains less, which is
// enough for everything but the tests of how well it learned (wantLearned).
func toyConfig() TrainConfig {
	cfg := DefaultTrainConfig()
	cfg.Members, cfg.Hidden, cfg.Effect, cfg.Centres, cfg.WeightDecay, cfg.LearningRate = 2, 24, 8, 16, 0.03, 2e-3
	cfg.Epochs, cfg.Reference.Epochs = 40, 1
	if testing.Short() {
		cfg.Epochs = 2
	}
	return cfg
}

// wantLearned skips a test that needs the fully trained toy model.
func wantLearned(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the toy model is not fully trained with -short")
	}
}

var (
	toyOnce  sync.Once
	toyModel *Model
)

// mustToy gives a model that is trained once for all tests of the package.
func mustToy(t testing.TB) *Model {
	t.Helper()
	toyOnce.Do(func() { toyModel = trainToy(t, toyConfig()) })
	if toyModel == nil {
		t.Fatal("the toy model could not be trained")
	}
	return toyModel
}
