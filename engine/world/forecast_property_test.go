// SPDX-License-Identifier: Apache-2.0

package world

// This file: what holds of every forecast, whatever the state: dose response,
// bounds, repetition, and that the future is not read.

import (
	"context"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// wantShape fails where more norepinephrine, held over the horizon beside so
// much fluid, lowers the forecast MAP of any step, or where an increment of
// dose raises it by more than the one before. Where the forecast lies at the
// lower end of what is possible it cannot bend the right way.
func wantShape(t fataler, m Forecaster, tl *state.Timeline, fluidMl float64) {
	r, err := respond(context.Background(), m, tl, doseGrid, fluidMl)
	if err != nil {
		t.Fatal(err)
	}
	for h := range Horizon {
		before := math.Inf(1)
		for i := 1; i < len(r.all); i++ {
			from, to := r.all[i-1].Steps[h].Band[mbp].Median, r.all[i].Steps[h].Band[mbp].Median
			if to < from-slackMmHg {
				t.Fatalf("step %d: MAP %v at %v ug/kg/min, %v at %v", h, from, doseGrid[i-1], to, doseGrid[i])
			}
			if from > features[mbp].ModelLo {
				if to-from > before+slackMmHg {
					t.Fatalf("step %d: the increment to %v ug/kg/min raises MAP by %v, the one before by %v", h, doseGrid[i], to-from, before)
				}
				before = to - from
			}
		}
	}
}

// fataler is a test of either kind.
type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func TestNorepinephrineRaisesForecastMAPByLessAndLessInEveryState(t *testing.T) {
	of(t, asked(t), func(t *testing.T, m *Model) {
		t.Run("of the generator, and of any timeline", func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				wantShape(t, m, drawState(t), rapid.Float64Range(0, 3000).Draw(t, "fluid"))
			})
		})
		t.Run("of real stays", func(t *testing.T) {
			for _, tl := range realStates(t) {
				wantShape(t, m, tl, 250)
			}
		})
	})
}

// Nothing may force fluid to look good: the committed weights forecast that a
// litre harms oxygenation in some states, and helps it in others.
func TestFluidMayDoHarm(t *testing.T) {
	m, err := committedOnce()
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	var states, lessPF, morePF, lessMAP, moreMAP int
	var worst float64
	rapid.Check(t, func(t *rapid.T) {
		p := drawPatient(t)
		now := Dose{NEUgKgMin: 0.1, FluidMl: 200}
		more := Dose{NEUgKgMin: 0.1, FluidMl: 1200}
		fc, err := m.Forecast(context.Background(), known(t, p.Course().Chart(), p.Now()), []Plan{held("as now", now), held("a litre more", more)}, 65)
		if err != nil {
			t.Fatal(err)
		}
		a, b := &fc[0].Steps[0].Band, &fc[1].Steps[0].Band
		change := pf(b) - pf(a)
		states++
		worst = math.Min(worst, change)
		lessPF, morePF = lessPF+int(indicator(change < -1)), morePF+int(indicator(change > 1))
		rise := b[mbp].Median - a[mbp].Median
		lessMAP, moreMAP = lessMAP+int(indicator(rise < 0)), moreMAP+int(indicator(rise > 0))
	})
	t.Logf("%d states of the generator: with a litre more, forecast P/F falls by more than 1 mmHg in %d (at worst by %.0f) and rises in %d; MAP falls in %d and rises in %d", states, lessPF, -worst, morePF, lessMAP, moreMAP)
	if lessPF == 0 || !testing.Short() && morePF == 0 {
		t.Error("a litre has the same effect on the forecast P/F in every state")
	}
	if moreMAP == 0 {
		t.Error("in no state does a litre raise the forecast MAP")
	}
}

// pf is the ratio of the forecast PaO2 (mmHg) and the inspired share of oxygen.
func pf(b *[numF]Band) float64 { return b[state.PaO2].Median / (b[state.FiO2].Median / 100) }

// forecasters are the native models and the reference networks they store.
func forecasters(t *testing.T) map[string]Forecaster {
	t.Helper()
	out := map[string]Forecaster{}
	for name, m := range asked(t) {
		out[name] = m
		if r, ok := m.Reference(); ok {
			out[name+", reference"] = r
		}
	}
	return out
}

// drawLongPlans draws plans over the whole horizon.
func drawLongPlans(t *rapid.T, n int) []Plan {
	plans := make([]Plan, n)
	for i := range plans {
		plans[i].Name = "any"
		for range Horizon {
			plans[i].Doses = append(plans[i].Doses, Dose{NEUgKgMin: rapid.Float64Range(0, 2).Draw(t, "ne"), FluidMl: rapid.Float64Range(0, 5000).Draw(t, "fluid")})
		}
	}
	return plans
}

func TestSixStepsAheadEveryForecastIsPossibleAndItsIntervalsAreNested(t *testing.T) {
	of(t, forecasters(t), func(t *testing.T, m Forecaster) {
		check := func(t fataler, tl *state.Timeline, plans []Plan) {
			fc, err := m.Forecast(context.Background(), tl, plans, 65)
			if err != nil {
				t.Fatal(err)
			}
			for i := range fc {
				if len(fc[i].Steps) != Horizon {
					t.Fatalf("%d steps", len(fc[i].Steps))
				}
				wantPossible(t, &fc[i])
			}
		}
		t.Run("of the generator, and of any timeline", func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { check(t, drawState(t), drawLongPlans(t, 2)) })
		})
		t.Run("of real stays", func(t *testing.T) {
			plans := []Plan{held("none", Dose{}), held("much", Dose{NEUgKgMin: 1, FluidMl: 3000})}
			for _, tl := range realStates(t) {
				check(t, tl, plans)
			}
		})
	})
}

// All plans of a question share their past, and the kernels work on many rows
// together. Neither shows: each plan has the bits it has alone, a longer plan
// begins with the shorter one's, and asking again gives the same.
func TestPlansAskedTogetherHaveTheBitsOfPlansAskedAlone(t *testing.T) {
	of(t, forecasters(t), func(t *testing.T, m Forecaster) {
		rapid.Check(t, func(t *rapid.T) {
			ask := func(tl *state.Timeline, plans ...Plan) []Forecast {
				fc, err := m.Forecast(context.Background(), tl, plans, 65)
				if err != nil {
					t.Fatal(err)
				}
				return fc
			}
			tl, plans := drawState(t), drawLongPlans(t, rapid.IntRange(2, 5).Draw(t, "plans"))
			together := ask(tl, plans...)
			if !reflect.DeepEqual(together, ask(tl, plans...)) {
				t.Fatal("asking again gives another answer")
			}
			steps := rapid.IntRange(1, Horizon).Draw(t, "steps")
			for i, p := range plans {
				if alone := ask(tl, p); !reflect.DeepEqual(alone[0], together[i]) {
					t.Fatalf("plan %d alone differs", i)
				}
				short := ask(tl, Plan{Name: p.Name, Doses: p.Doses[:steps]})
				if !reflect.DeepEqual(short[0].Steps, together[i].Steps[:steps]) {
					t.Fatalf("the first %d steps of plan %d differ", steps, i)
				}
			}
		})
	})
}

func TestAModelReadAgainForecastsTheSameBits(t *testing.T) {
	dir, first := t.TempDir(), mustToy(t)
	if err := first.Write(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		tl, plans := drawState(t), drawLongPlans(t, 3)
		a, err := first.Forecast(context.Background(), tl, plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		b, err := again.Forecast(context.Background(), tl, plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatal("forecasts differ")
		}
	})
}

// Whatever happens after T, and whatever was asked for before it and is known
// only later, changes no bit of a forecast made at T.
func TestAlteringWhatBecomesKnownAfterTChangesNothing(t *testing.T) {
	models := forecasters(t)
	altered := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawPatient(t)
		at := p.Now()
		p.Run(24, drawTreatment(t))
		chart, other := p.Course().Chart(), p.Course().Chart()
		alterAfter(other, at, rapid.Float64Range(1.1, 2).Draw(t, "factor"))
		altered += int(indicator(!reflect.DeepEqual(known(t, chart, p.Now()), known(t, other, p.Now()))))
		before, after := known(t, chart, at), known(t, other, at)
		plans := drawLongPlans(t, 2)
		for name, m := range models {
			a, err := m.Forecast(context.Background(), before, plans, 65)
			if err != nil {
				t.Fatal(err)
			}
			b, err := m.Forecast(context.Background(), after, plans, 65)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%s: what was not yet known at T changes the forecast", name)
			}
		}
	})
	if altered == 0 {
		t.Error("no chart was altered: the test shows nothing")
	}
}

// alterAfter falsifies everything of a chart that is not known at a time, the
// outcome included.
func alterAfter(c *state.Chart, at time.Time, factor float64) {
	for i := range c.Measurements {
		if m := &c.Measurements[i]; m.Available.After(at) {
			m.Value *= factor
		}
	}
	for i := range c.Administrations {
		if a := &c.Administrations[i]; a.Available.After(at) && a.Start.After(at) {
			a.Rate, a.AmountMl = a.Rate*factor, a.AmountMl*factor
		}
	}
	c.Stay.End = at.Add(time.Hour)
}
