// SPDX-License-Identifier: Apache-2.0

package world

// This file: evaluation of cohorts that are not like the one of training:
// without outcomes, with one class, of one patient, of nobody, of elsewhere.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// strangers are some of the toy cohort's rows as other people of another
// hospital.
func strangers(t *testing.T, change func(*cohort.Row)) []cohort.Row {
	t.Helper()
	rows := slices.Clone(toyRows(t)[:20*strangerPatients()]) // every other one simulated
	for i := range rows {
		r := &rows[i]
		r.Patient, r.Stay, r.Source, r.Hospital = "new-"+r.Patient, "new-"+r.Stay, "elsewhere", "Organization/new"
		r.AgeYears, r.AgeKnown, r.Sex = 70, true, "female"
		change(r)
	}
	return rows
}

// strangerPatients is how many of them are real.
func strangerPatients() int {
	if testing.Short() {
		return 10
	}
	return 25
}

func evaluate(t *testing.T, rows []cohort.Row) *Evaluation {
	t.Helper()
	e, err := Evaluate(context.Background(), cohort.Seq(rows), mustToy(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	return e
}

func TestAnyCohortCanBeScored(t *testing.T) {
	for _, c := range []struct {
		name                          string
		change                        func(*cohort.Row)
		auroc, deaths, landmark90, ok bool
	}{
		{"other hospitals and outcomes", func(*cohort.Row) {}, true, true, false, true},
		{"no outcomes", func(r *cohort.Row) { r.OutcomeKnown = false }, false, false, false, true},
		{"everybody lives", func(r *cohort.Row) { r.DiedInHospital = false }, false, false, false, true},
		{"everybody dies", func(r *cohort.Row) { r.DiedInHospital = true }, false, true, false, true},
		{"90-day death is known", func(r *cohort.Row) { r.Died90dKnown, r.DiedWithin90d = true, r.DiedInHospital }, true, true, true, true},
		{"no hospital, age or sex", func(r *cohort.Row) { r.Hospital, r.Sex, r.AgeKnown = "", "", false }, true, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := evaluate(t, strangers(t, c.change))
			if e.LeftOut != 0 || e.Patients != strangerPatients() || e.Steps == 0 || !e.StateMAE.known() || !e.PersistenceMAE.known() || !e.RidgeMAE.known() {
				t.Errorf("left out %d, %d patients, error %v", e.LeftOut, e.Patients, e.StateMAE)
			}
			if e.MortalityAUROC.known() != c.auroc || e.Deaths > 0 != c.deaths || len(e.Landmarks90) > 0 != c.landmark90 {
				t.Errorf("AUROC %v, %d deaths, 90-day %v", e.MortalityAUROC, e.Deaths, e.Landmarks90)
			}
			if e.Synthetic == nil || e.Synthetic.Patients != strangerPatients() {
				t.Error("simulated patients do not stand apart")
			}
		})
	}
}

func TestOnePatientIsScoredWithoutIntervals(t *testing.T) {
	rows := strangers(t, func(r *cohort.Row) { r.Synthetic = false })
	var one []cohort.Row
	for _, r := range rows {
		if r.Patient == rows[0].Patient {
			one = append(one, r)
		}
	}
	for _, n := range []int{1, 2, len(one)} {
		e := evaluate(t, one[:n])
		if e.Patients != 1 || e.Stays != 1 || e.Steps != n || e.StateMAE.known() != (n > 1) || e.Bootstrap["state_mae"].Low.known() {
			t.Errorf("%d rows: %d patients, %d steps, error %v, interval %v", n, e.Patients, e.Steps, e.StateMAE, e.Bootstrap["state_mae"])
		}
	}
}

func TestACohortOfNobodyIsAnError(t *testing.T) {
	_, err := Evaluate(context.Background(), cohort.Seq(nil), mustToy(t))
	if !errors.Is(err, ErrEmptyCohort) {
		t.Fatal(err)
	}
}

// The numbers follow from their definition, worked out here from the model's
// public forecasts.
func TestScoresAreThoseOfTheServedForecasts(t *testing.T) {
	m := mustToy(t)
	rows := strangers(t, func(r *cohort.Row) { r.Synthetic = false })[:40]
	e := evaluate(t, rows)
	var off, n, in80 float64
	for group, err := range cohort.ByStay(cohort.Seq(rows)) {
		if err != nil {
			t.Fatal(err)
		}
		for k := 0; k+1 < len(group); k++ {
			tl, err := group[k].Timeline()
			if err != nil {
				t.Fatal(err)
			}
			given := group[k+1].Given
			fc, err := m.Forecast(context.Background(), tl, []Plan{{Name: "given", Doses: []Dose{{NEUgKgMin: given.NEMeanUgKgMin, FluidMl: given.FluidModelMl}}}}, 65)
			if err != nil {
				t.Fatal(err)
			}
			b := fc[0].Steps[0].Band[mbp]
			truth := group[k+1].Value[mbp]
			off, n = off+math.Abs(truth-b.Median), n+1
			in80 += indicator(truth >= b.Lo80-0.01 && truth <= b.Hi80+0.01)
		}
	}
	if got := float64(e.FeatureMAE["meanbp"]); math.Abs(got-off/n) > 1e-3 || e.FeatureEntries["meanbp"] != int(n) {
		t.Errorf("MAP error %v of %d, by hand %v of %v", got, e.FeatureEntries["meanbp"], off/n, n)
	}
	if got := float64(e.FeatureCover80["meanbp"]); math.Abs(got-in80/n) > 1e-9 {
		t.Errorf("MAP coverage %v, by hand %v", got, in80/n)
	}
}

func TestScoringIsDeterministicAndGroupsAddUp(t *testing.T) {
	i := 0
	rows := strangers(t, func(r *cohort.Row) {
		r.Synthetic, r.Sex = false, []string{"female", "male"}[len(r.Patient)%2]
		r.Hospital = fmt.Sprint("Organization/", i/250)
		i++
	})
	a, b := evaluate(t, rows), evaluate(t, rows)
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil || string(x) != string(y) {
		t.Fatalf("two evaluations differ (%v)", err)
	}
	patients, entries := map[string]int{}, map[string]int{}
	for _, g := range a.Groups {
		patients[g.By], entries[g.By] = patients[g.By]+g.Patients, entries[g.By]+g.Entries
	}
	for _, by := range []string{"source", "sex", "age"} {
		if patients[by] != a.Patients || entries[by] != a.Entries {
			t.Errorf("by %s: %d patients and %d entries of %d and %d", by, patients[by], entries[by], a.Patients, a.Entries)
		}
	}
	var strata [2]int
	for k, s := range a.Strata {
		strata[k/4] += s.Entries
	}
	if strata[0] != a.Entries || strata[1] != a.Entries {
		t.Errorf("strata hold %v entries of %d", strata, a.Entries)
	}
}

func TestNorepinephrineOnlyRaisesPressureAndByLessAndLess(t *testing.T) {
	e := evaluate(t, strangers(t, func(r *cohort.Row) { r.Synthetic = false }))
	if s := e.Shape; s == nil || s.States < 2*strangerPatients() || s.MAPFalls != 0 || s.NotSaturating != 0 || s.RiseMmHg <= 0 || len(s.Curves) != 3 {
		t.Errorf("shape of the dose response: %+v", s)
	}
}

// The published architecture is scored by the same measures, on the scale of
// the model that lends it its atlas; what it does not say stays unmeasured.
func TestTheReferenceKindIsScored(t *testing.T) {
	r, ok := mustToy(t).Reference()
	if !ok {
		t.Skip("the toy model stores no reference network")
	}
	rows := strangers(t, func(r *cohort.Row) { r.Synthetic = false })
	e, err := Evaluate(context.Background(), cohort.Seq(rows), r)
	if err != nil {
		t.Fatal(err)
	}
	if !e.StateMAE.known() || !e.VentAUROC.known() || !e.Interval80.known() || e.NLL.known() || e.Vaso24hAUROC.known() || e.BehaviourNLL.known() {
		t.Errorf("error %v, ventilation %v, coverage %v, likelihood %v, vasopressor %v, behaviour %v", e.StateMAE, e.VentAUROC, e.Interval80, e.NLL, e.Vaso24hAUROC, e.BehaviourNLL)
	}
	if native := evaluate(t, rows); native.PersistenceMAE != e.PersistenceMAE || native.Entries != e.Entries {
		t.Errorf("persistence is %v for one kind and %v for the other", native.PersistenceMAE, e.PersistenceMAE)
	}
	if _, err := Evaluate(context.Background(), cohort.Seq(rows), Persistence{}); !errors.Is(err, ErrNotScored) {
		t.Errorf("persistence: %v", err)
	}
}
