// SPDX-License-Identifier: Apache-2.0

package world

// This file: one suite for every Forecaster, and what only the native model
// promises.

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// drawTimeline makes any timeline a chart could give, also absurd ones. What
// fills it follows from one drawn seed: shrinking a thousand values one by one
// would teach nothing.
func drawTimeline(t *rapid.T) *state.Timeline {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	charted := rapid.Float64Range(0, 1).Draw(t, "charted") // share of values that are there
	at := time.Date(2021, 5, 1, 12, 0, 0, 0, time.UTC)
	coin := func() bool { return rng.IntN(2) == 0 }
	tl := &state.Timeline{At: at, AgeKnown: coin(), AgeYears: 18 + 92*rng.Float64(), Synthetic: coin(),
		Sex: []string{"", "male", "female", "other"}[rng.IntN(4)], HoursInICU: 500 * rng.Float64()}
	for i := range state.MaxSteps {
		st := state.Step{End: at.Add(-time.Duration(4*(state.MaxSteps-1-i)) * time.Hour), InStay: coin(), VentKnown: coin(), Vent: coin()}
		for f := range st.Value {
			if rng.Float64() > charted {
				continue
			}
			c := state.FeatureAt(f)
			st.Presence[f] = state.Presence(1 + rng.IntN(2))
			st.Value[f] = []float64{c.Lo, c.Hi, c.Lo + (c.Hi-c.Lo)*rng.Float64()}[rng.IntN(3)]
			st.AgeH[f] = 4 * rng.Float64()
		}
		if st.Given.VasoKnown = coin(); st.Given.VasoKnown {
			ne := 3 * rng.Float64() * float64(rng.IntN(2))
			st.Given.NEMaxUgKgMin, st.Given.NEMeanUgKgMin, st.Given.NEEndUgKgMin = ne, ne, ne
		}
		if st.Given.FluidKnown = coin(); st.Given.FluidKnown {
			st.Given.FluidModelMl = 8000 * rng.Float64()
		}
		tl.Steps = append(tl.Steps, st)
	}
	return tl
}

func drawPlans(t *rapid.T) []Plan {
	steps := rapid.IntRange(1, Horizon).Draw(t, "steps")
	var plans []Plan
	for range rapid.IntRange(1, 4).Draw(t, "plans") {
		p := Plan{Name: "any"}
		for range steps {
			p.Doses = append(p.Doses, Dose{NEUgKgMin: rapid.Float64Range(0, 3).Draw(t, "ne"), FluidMl: rapid.Float64Range(0, 9000).Draw(t, "fluid")})
		}
		plans = append(plans, p)
	}
	return plans
}

// wantPossible fails when a forecast says something impossible.
func wantPossible(t fataler, fc *Forecast) {
	for h := range fc.Steps {
		st := &fc.Steps[h]
		if st.EndH != float64(4*(h+1)) {
			t.Fatalf("step %d ends at %v h", h, st.EndH)
		}
		for _, p := range []float64{st.PMAPAtGoal, st.PLactateFall, st.PVent, fc.Support, fc.OOD} {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("a chance of %v", p)
			}
		}
		for f := range st.Band {
			b, c := st.Band[f], state.FeatureAt(f)
			if !(c.ModelLo <= b.Lo95 && b.Lo95 <= b.Lo80 && b.Lo80 <= b.Median && b.Median <= b.Hi80 && b.Hi80 <= b.Hi95 && b.Hi95 <= c.ModelHi) {
				t.Fatalf("%s: band %+v is not nested inside %v..%v", c.Name, b, c.ModelLo, c.ModelHi)
			}
		}
		d, m, s := st.Band[dbp], st.Band[mbp], st.Band[sbp]
		for _, q := range [][3]float64{{d.Median, m.Median, s.Median}, {d.Lo80, m.Lo80, s.Lo80}, {d.Hi80, m.Hi80, s.Hi80}, {d.Lo95, m.Lo95, s.Lo95}, {d.Hi95, m.Hi95, s.Hi95}} {
			if q[0] > q[1] || q[1] > q[2] {
				t.Fatalf("pressures out of order: %v", q)
			}
		}
		for f := state.GCSEye; f <= state.GCSMotor; f++ {
			if v := st.Band[f].Median; v != math.Trunc(v) {
				t.Fatalf("coma score of %v", v)
			}
		}
	}
}

// testForecaster is the suite that every implementation passes.
func testForecaster(t *testing.T, fc Forecaster) {
	ctx := context.Background()
	c := toyCourse(1, 9, false, true)
	tl := c.timelines[8]
	t.Run("traps 3 and 4: nothing impossible or inconsistent comes out of any timeline", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			out, err := fc.Forecast(ctx, drawTimeline(t), drawPlans(t), rapid.Float64Range(40, 100).Draw(t, "goal"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range out {
				wantPossible(t, &out[i])
			}
		})
	})
	t.Run("behaviour is a probability over pairs of levels", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p, err := fc.Behaviour(drawTimeline(t))
			if err != nil {
				t.Fatal(err)
			}
			var sum float64
			for _, row := range p {
				for _, v := range row {
					if !(v > 0) {
						t.Fatalf("a chance of %v", v)
					}
					sum += v
				}
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("chances sum to %v", sum)
			}
		})
	})
	t.Run("the same question has the same answer, whatever is asked with it", func(t *testing.T) {
		plans := []Plan{{"a", []Dose{{0.1, 0}, {0.1, 0}}}, {"b", []Dose{{0.2, 500}, {0, 0}}}}
		both, err := fc.Forecast(ctx, tl, plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		one, err := fc.Forecast(ctx, tl, plans[1:], 65)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(one[0], both[1]) {
			t.Fatal("a plan's forecast depends on the plans beside it")
		}
	})
	t.Run("trap 13: it looks several steps ahead, and a shorter plan is the beginning of a longer one", func(t *testing.T) {
		long, err := fc.Forecast(ctx, tl, []Plan{{"x", []Dose{{0.1, 100}, {0.2, 0}, {0.3, 0}}}}, 65)
		if err != nil {
			t.Fatal(err)
		}
		short, err := fc.Forecast(ctx, tl, []Plan{{"x", []Dose{{0.1, 100}}}}, 65)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(short[0].Steps[0], long[0].Steps[0]) {
			t.Fatal("later doses change the first step")
		}
	})
	t.Run("traps 2 and 12: bad plans, and plans beyond the horizon, are refused and not mended", func(t *testing.T) {
		for name, plans := range map[string][]Plan{
			"none":           nil,
			"no steps":       {{"x", nil}},
			"too long":       {{"x", make([]Dose, Horizon+1)}},
			"unequal length": {{"x", make([]Dose, 2)}, {"y", make([]Dose, 1)}},
			"negative":       {{"x", []Dose{{-0.1, 0}}}},
			"not a number":   {{"x", []Dose{{0, math.NaN()}}}},
			"infinite":       {{"x", []Dose{{math.Inf(1), 0}}}},
		} {
			if _, err := fc.Forecast(ctx, tl, plans, 65); !errors.Is(err, ErrPlans) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		for _, bad := range []*state.Timeline{nil, {}} {
			if _, err := fc.Forecast(ctx, bad, []Plan{{"x", make([]Dose, 1)}}, 65); !errors.Is(err, ErrTimeline) {
				t.Errorf("empty timeline: error %v", err)
			}
			if _, err := fc.Behaviour(bad); !errors.Is(err, ErrTimeline) {
				t.Errorf("empty timeline: error %v", err)
			}
		}
	})
	t.Run("a cancelled question is not answered", func(t *testing.T) {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := fc.Forecast(gone, tl, []Plan{{"x", make([]Dose, 1)}}, 65); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("it says what it is", func(t *testing.T) {
		if i := fc.Info(); i.Kind == "" || len(i.Hash) != 64 || i.Members < 1 {
			t.Fatalf("info %+v", i)
		}
	})
}

func TestNativeModelIsAForecaster(t *testing.T) { testForecaster(t, mustToy(t)) }

func TestPersistenceIsAForecaster(t *testing.T) { testForecaster(t, Persistence{}) }

func TestTrainedPersistenceIsAForecaster(t *testing.T) { testForecaster(t, mustToy(t).Persistence()) }

// More norepinephrine in any step never lowers a pressure in any step.
func TestNorepinephrineNeverLowersForecastPressure(t *testing.T) {
	m := mustToy(t)
	rapid.Check(t, func(t *rapid.T) {
		tl := drawTimeline(t)
		less := drawPlans(t)[0]
		more := Plan{Name: "more", Doses: append([]Dose(nil), less.Doses...)}
		k := rapid.IntRange(0, len(more.Doses)-1).Draw(t, "step")
		more.Doses[k].NEUgKgMin += rapid.Float64Range(0.01, 1).Draw(t, "extra")
		out, err := m.Forecast(context.Background(), tl, []Plan{less, more}, 65)
		if err != nil {
			t.Fatal(err)
		}
		for h := range out[0].Steps {
			for _, f := range []int{dbp, mbp, sbp} {
				if a, b := out[0].Steps[h].Band[f].Median, out[1].Steps[h].Band[f].Median; b < a-1e-4 {
					t.Fatalf("step %d %s: %v with more, %v with less", h, state.FeatureAt(f).Name, b, a)
				}
			}
		}
	})
}

// The toy's real patients are treated when they are sick, so a plain fit finds
// too small an effect; the randomised ones show it as it is.
func TestTheEffectOfNorepinephrineIsLearnedDespiteConfounding(t *testing.T) {
	wantLearned(t)
	m := mustToy(t)
	var got, want, n float64
	for seed := range uint64(20) {
		c := toyCourse(900+seed, 9, false, true)
		out, err := m.Forecast(context.Background(), c.timelines[8], []Plan{{"none", []Dose{{0, 0}}}, {"some", []Dose{{0.3, 0}}}}, 65)
		if err != nil {
			t.Fatal(err)
		}
		got += out[1].Steps[0].Band[mbp].Median - out[0].Steps[0].Band[mbp].Median
		want += toyGain * saturate(0.3, halfNEUgKgMin)
		n++
	}
	t.Logf("effect of 0.3 ug/kg/min on MAP: %.1f mmHg forecast, %.1f true", got/n, want/n)
	if got/n < 0.6*want/n || got/n > 1.4*want/n {
		t.Errorf("effect is %.1f mmHg, truth %.1f", got/n, want/n)
	}
}

func TestPersistenceForecastsTheLastValueWhateverThePlan(t *testing.T) {
	c := toyCourse(1, 9, false, true)
	tl := c.timelines[8]
	out, err := Persistence{}.Forecast(context.Background(), tl, []Plan{{"none", []Dose{{0, 0}}}, {"much", []Dose{{2, 3000}}}}, 65)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(out[0].Steps, out[1].Steps) {
		t.Error("the plan changes a persistence forecast")
	}
	if got, want := out[0].Steps[0].Band[mbp].Median, tl.Steps[11].Value[mbp]; math.Abs(got-want) > 1e-3 {
		t.Errorf("MAP forecast %v, last value %v", got, want)
	}
}

func BenchmarkForecast12PlansOf6Steps(b *testing.B) {
	m := mustToy(b)
	c := toyCourse(1, 9, false, true)
	var plans []Plan
	for i := range 12 {
		p := Plan{Name: "x"}
		for range Horizon {
			p.Doses = append(p.Doses, Dose{NEUgKgMin: 0.02 * float64(i), FluidMl: 100})
		}
		plans = append(plans, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Forecast(context.Background(), c.timelines[8], plans, 65); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAForecastAllocatesNothingButItsAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the race detector, whose runs are short, drops lent memory at random")
	}
	m := mustToy(t)
	c := toyCourse(3, 12, false, true)
	var plans []Plan
	for i := range 25 {
		plans = append(plans, Plan{Name: "any", Doses: []Dose{{NEUgKgMin: 0.02 * float64(i)}, {}, {}, {}, {}, {FluidMl: 100}}})
	}
	got := testing.AllocsPerRun(50, func() {
		if _, err := m.Forecast(context.Background(), c.timelines[11], plans, 65); err != nil {
			t.Fatal(err)
		}
	})
	if got > 4 { // the list of forecasts and their steps; more after a collection of lent memory
		t.Errorf("%v allocations", got)
	}
}
