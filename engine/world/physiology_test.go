// SPDX-License-Identifier: Apache-2.0

package world_test

// This file: the shipped weights against the only known counterfactual truth,
// the project's own simulator: the same simulated patient under two
// treatments.

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// shipped loads the committed model, or the one that SEPSISAGENT_MODEL names.
func shipped(t testing.TB) *world.Model {
	t.Helper()
	dir := os.Getenv("SEPSISAGENT_MODEL")
	if dir == "" {
		dir = "../../configs/model"
	}
	m, err := world.Load(os.DirFS(dir), ".")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no trained model in %s", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contrast is one simulated patient at one time, with two futures.
type contrast struct {
	timeline *state.Timeline
	plans    []world.Plan // first, second
	truth    [2]physiology.Course
}

// contrasts asks of many patients what happens in the next 4 h with more
// norepinephrine, or with a bolus, than without.
func contrasts(t testing.TB, patients int, more func(p *physiology.Patient, ne float64) (physiology.Treatment, world.Dose)) (out []contrast) {
	t.Helper()
	clinician, err := physiology.BehaviourClinician.Treatment()
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		patients /= 2
	}
	for i := range patients {
		p := physiology.New(uint64(500000+i), physiology.Mix)
		course := p.Run(float64(8+4*(i%6)), clinician)
		if course.Died() || len(course.Moments()) == 0 {
			continue
		}
		at := p.Now()
		tl, err := state.Build(course.Chart(), at, state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		now := course.Last().Given
		if now.VasopressinUMin+now.EpinephrineUgKgMin > 0 {
			continue // keep to one drug: doses below are norepinephrine
		}
		const maintenanceMlH = 50
		treatment, dose := more(p, now.NEUgKgMin)
		a, b := p.Contrast(4, physiology.Fixed(now.NEUgKgMin, maintenanceMlH), treatment)
		if a.Died() || b.Died() {
			continue
		}
		out = append(out, contrast{timeline: tl, truth: [2]physiology.Course{a, b}, plans: []world.Plan{
			{Name: "as now", Doses: []world.Dose{{NEUgKgMin: now.NEUgKgMin, FluidMl: 4 * maintenanceMlH}}},
			{Name: "more", Doses: []world.Dose{dose}}}})
	}
	return out
}

// On simulated patients whose counterfactual is known, norepinephrine raises
// the forecast pressure in at least 90 % of states, by about as much as it
// does in truth.
func TestNorepinephrineRaisesSimulatedPressure(t *testing.T) {
	m := shipped(t)
	const extra = 0.1
	var right, n, forecast, truth, off, moveError float64
	for _, c := range contrasts(t, 250, func(_ *physiology.Patient, ne float64) (physiology.Treatment, world.Dose) {
		return physiology.Fixed(ne+extra, 50), world.Dose{NEUgKgMin: ne + extra, FluidMl: 200}
	}) {
		fc, err := m.Forecast(context.Background(), c.timeline, c.plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		got := fc[1].Steps[0].Band[state.MeanBP].Median - fc[0].Steps[0].Band[state.MeanBP].Median
		want := c.truth[1].MeanMAP(4) - c.truth[0].MeanMAP(4)
		n++
		if got > 0 == (want > 0) {
			right++
		}
		forecast, truth, off, moveError = forecast+got, truth+want, off+math.Abs(got-want), moveError+math.Abs(want)
	}
	t.Logf("%v states: %.1f %% right direction; +%.1f ug/kg/min raises MAP by %.1f mmHg in the forecast, %.1f in truth; mean error of the difference %.1f mmHg (forecasting no effect: %.1f)",
		n, 100*right/n, extra, forecast/n, truth/n, off/n, moveError/n)
	if n < 50 || right < 0.9*n {
		t.Errorf("right direction in %v of %v states", right, n)
	}
	if off >= moveError {
		t.Error("the forecast difference is no better than none")
	}
}

// Fluid may do anything; the forecast must know the sign of its mean effect on
// pressure and urine, and must not call it always good.
func TestABolusHasAStateDependentEffect(t *testing.T) {
	m := shipped(t)
	var n, pressure, truth, worse float64
	for _, c := range contrasts(t, 250, func(p *physiology.Patient, ne float64) (physiology.Treatment, world.Dose) {
		step := len(p.Course().Moments())
		return physiology.Bolus(physiology.Fixed(ne, 50), step, 1000), world.Dose{NEUgKgMin: ne, FluidMl: 1200}
	}) {
		fc, err := m.Forecast(context.Background(), c.timeline, c.plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		n++
		pressure += fc[1].Steps[0].Band[state.MeanBP].Median - fc[0].Steps[0].Band[state.MeanBP].Median
		truth += c.truth[1].MeanMAP(4) - c.truth[0].MeanMAP(4)
		if fc[1].Steps[0].Band[state.PaO2].Median < fc[0].Steps[0].Band[state.PaO2].Median {
			worse++
		}
	}
	t.Logf("%v states: a litre moves MAP by %+.1f mmHg in the forecast, %+.1f in truth; PaO2 falls in the forecast in %.0f %%", n, pressure/n, truth/n, 100*worse/n)
	if worse == 0 {
		t.Error("fluid is forecast never to harm oxygenation")
	}
	if math.Signbit(pressure) != math.Signbit(truth) {
		t.Errorf("mean effect on MAP %+.2f, truth %+.2f", pressure/n, truth/n)
	}
}
