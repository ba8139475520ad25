// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestEverySimulatedTaskHasAStart(t *testing.T) {
	s := NewSynthetic(state.DefaultConfig())
	for _, task := range s.Tasks() {
		for seed := range uint64(3) {
			chart, at, err := s.Chart(seed, task)
			if err != nil {
				t.Errorf("%s seed %d: %v", task, seed, err)
				continue
			}
			tl, err := state.Build(chart, at, state.DefaultConfig())
			if err != nil || !fit(tl) {
				t.Errorf("%s seed %d: not fit: %v", task, seed, err)
			}
			if chart.Stay.OutcomeKnown || !chart.Stay.End.IsZero() {
				t.Errorf("%s seed %d: the chart tells how the stay ends", task, seed)
			}
		}
	}
	if _, _, err := s.Chart(1, "tonsillitis"); !errors.Is(err, ErrTask) {
		t.Errorf("an unknown task: %v", err)
	}
}

// recorded are the rows of some simulated stays, as a cohort file would give
// them.
func recorded(t testing.TB, stays int) (out []cohort.Row) {
	t.Helper()
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: stays, Seed: 5, Hours: 60})
	if err != nil {
		t.Fatal(err)
	}
	for c := range courses {
		rows, err := cohort.Rows(c.Chart(), "synthetic", state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rows...)
	}
	return out
}

// A chart put back from a timeline has to read like it, up to what 4-hour steps
// cannot hold.
func TestARecalledChartReadsLikeTheRecordedTimeline(t *testing.T) {
	compared := 0
	for _, row := range recorded(t, 12) {
		tl, err := row.Timeline()
		if err != nil {
			t.Fatal(err)
		}
		got, err := state.Build(recall(tl), tl.At, state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		for k := range tl.Steps {
			compareSteps(t, k, &tl.Steps[k], &got.Steps[k])
			compared++
		}
		compareExposure(t, &tl.Last().Given, &got.Last().Given)
		if a, b := tl.Present.Sepsis.Suspected, got.Present.Sepsis.Suspected; a != b {
			t.Errorf("infection suspected: %v, was %v", b, a)
		}
		if math.Abs(got.HoursInICU-tl.HoursInICU) > 1e-3 || got.AgeYears != tl.AgeYears || got.Sex != tl.Sex {
			t.Errorf("%v h, %v years, %s; was %v h, %v years, %s", got.HoursInICU, got.AgeYears, got.Sex, tl.HoursInICU, tl.AgeYears, tl.Sex)
		}
		if math.Abs(got.Present.NEUgKgMin-tl.Last().Given.NEEndUgKgMin) > 1e-9 {
			t.Errorf("norepinephrine equivalent now: %v, was %v at the end of the step", got.Present.NEUgKgMin, tl.Last().Given.NEEndUgKgMin)
		}
		if a, b := tl.Present.Weight, got.Present.Weight; a.Known && a.Source == state.WeightMeasured && a.Kg != b.Kg {
			t.Errorf("weight %v kg, was %v", b.Kg, a.Kg)
		}
	}
	if compared < 500 {
		t.Errorf("only %d steps were compared", compared)
	}
}

func compareSteps(t *testing.T, k int, want, got *state.Step) {
	t.Helper()
	for f := range state.NumFeatures {
		name := state.FeatureAt(f).Name
		if want.Presence[f] != state.Measured {
			continue
		}
		if got.Presence[f] != state.Measured || math.Abs(got.Value[f]-want.Value[f]) > 1e-9*math.Abs(want.Value[f])+1e-9 {
			t.Errorf("step %d %s: %v (%d), was %v", k, name, got.Value[f], got.Presence[f], want.Value[f])
		}
	}
	if want.VentKnown && want.Vent != got.Vent {
		t.Errorf("step %d: ventilated %v, was %v", k, got.Vent, want.Vent)
	}
}

func compareExposure(t *testing.T, want, got *state.Exposure) {
	t.Helper()
	if want.VasoKnown != got.VasoKnown || want.FluidKnown != got.FluidKnown || want.Levels != got.Levels {
		t.Errorf("exposure %+v, was %+v", got, want)
	}
	for _, n := range []struct {
		name      string
		got, want float64
	}{
		{"highest rate", got.NEMaxUgKgMin, want.NEMaxUgKgMin}, {"last rate", got.NEEndUgKgMin, want.NEEndUgKgMin},
		{"bolus", got.BolusMl, want.BolusMl}, {"maintenance", got.MaintenanceMl, want.MaintenanceMl}, {"model fluid", got.FluidModelMl, want.FluidModelMl},
	} {
		if math.Abs(n.got-n.want) > 1e-6 {
			t.Errorf("%s: %v, was %v", n.name, n.got, n.want)
		}
	}
}

func TestRecordedStartsAreTrainingPatientsAndNobodyByName(t *testing.T) {
	rows := recorded(t, 30)
	r, err := NewRecorded(state.DefaultConfig(), cohort.Seq(rows))
	if err != nil {
		t.Fatal(err)
	}
	training := map[string]bool{}
	for i := range rows {
		if rows[i].Part == cohort.Train {
			training[rows[i].Stay] = true
		}
	}
	if r.Stays() == 0 || r.Stays() > len(training) {
		t.Errorf("%d starts of %d training stays", r.Stays(), len(training))
	}
	v, err := shippedWith(DefaultConfig(), r)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(8) {
		e, err := v.Reset(t.Context(), seed, "")
		if err != nil {
			t.Fatal(err)
		}
		if e.Task() != TaskCohort {
			t.Errorf("the default task of recorded starts is %q", e.Task())
		}
		if text := canonical(t, e.Timeline()); strings.Contains(text, "syn-") {
			t.Errorf("seed %d: the state names the patient", seed)
		}
		prescribeSome(t, e, 0)
	}
	if _, err := v.Reset(t.Context(), 1, string(physiology.SepticShock)); err != nil {
		t.Errorf("a simulated task beside recorded ones: %v", err)
	}
}

func TestACohortWithoutAStartIsAnError(t *testing.T) {
	var rows []cohort.Row
	for _, row := range recorded(t, 20) {
		if row.Part != cohort.Train {
			rows = append(rows, row)
		}
	}
	if _, err := NewRecorded(state.DefaultConfig(), cohort.Seq(rows)); !errors.Is(err, ErrNoStart) {
		t.Errorf("no training patient: %v", err)
	}
}

// On the real cohort, where one has been built: SEPSISAGENT_COHORT names it.
func TestRecordedStaysOfARealCohortGoOn(t *testing.T) {
	file := os.Getenv("SEPSISAGENT_COHORT")
	if file == "" {
		t.Skip("SEPSISAGENT_COHORT names no cohort file")
	}
	r, err := NewRecorded(state.DefaultConfig(), cohort.Read(file))
	if err != nil {
		t.Fatal(err)
	}
	v, err := shippedWith(DefaultConfig(), r)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[End]int{}
	for seed := range uint64(60) {
		e, err := v.Reset(t.Context(), seed, TaskCohort)
		if err != nil {
			t.Fatal(err)
		}
		for k := 0; ; k++ {
			res := prescribeSome(t, e, k)
			inRange(t, res.Reward)
			if res.End != "" {
				ends[res.End]++
				break
			}
		}
	}
	t.Logf("%d stays to start from; ends of 60 episodes: %v", r.Stays(), ends)
}
