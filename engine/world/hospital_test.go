// SPDX-License-Identifier: Apache-2.0

package world

// This file: that hospitals which are left out are left out, and that labels
// are what was measured.

import (
	"context"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestAModelKnowsNoPatientOfAHospitalThatIsLeftOut(t *testing.T) {
	cfg := toyConfig()
	cfg.Members, cfg.Epochs, cfg.LeaveOut = 1, 1, LeaveOut{Fold: 2, Of: 3}
	m := trainToy(t, cfg)
	out, in := map[string]bool{}, map[string]bool{}
	for _, r := range toyRows(t) {
		switch {
		case r.Synthetic:
		case cfg.LeaveOut.out(&r):
			out[r.Hospital] = true
			if m.file.Training.knows(r.Patient) {
				t.Errorf("%s of %s trained the model", r.Patient, r.Hospital)
			}
		case r.Part != cohort.Test:
			in[r.Hospital] = true
		}
	}
	if len(out) == 0 || len(in) == 0 {
		t.Fatalf("%d hospitals are out, %d in", len(out), len(in))
	}
	for h := range out {
		if m.file.Training.knowsHospital(h) {
			t.Errorf("hospital %s is said to be known", h)
		}
	}
	for h := range in {
		if !m.file.Training.knowsHospital(h) {
			t.Errorf("hospital %s is said to be new", h)
		}
	}
	if s := m.file.Training.TestHospitals; s == nil || s.Patients == 0 {
		t.Error("the hospitals that were left out have no scores")
	}
}

func TestEveryHospitalIsInOneFold(t *testing.T) {
	for i := range 200 {
		row := cohort.Row{Hospital: string(rune('a' + i))}
		folds := 0
		for k := 1; k <= 5; k++ {
			if (LeaveOut{Fold: k, Of: 5}).out(&row) {
				folds++
			}
		}
		if folds != 1 {
			t.Fatalf("hospital %d is in %d folds", i, folds)
		}
	}
}

func TestAFoldIsReadAsItIsWritten(t *testing.T) {
	for text, ok := range map[string]bool{"1/5": true, "5/5": true, "2/2": true, "0/5": false, "6/5": false, "1/1": false,
		"1": false, "": false, "1/5x": false, "01/5": false, "-1/5": false, "1/1001": false} {
		l, err := ParseLeaveOut(text)
		if (err == nil) != ok || ok && l.String() != text {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	if _, err := Train(context.Background(), cohort.Seq(toyRows(t)), TrainConfig{LeaveOut: LeaveOut{3, 2}}, nil); err == nil {
		t.Error("trained with fold 3 of 2")
	}
}

// A laboratory result that was still on its way when the step ended is a label
// of that step, but no input at its end.
func TestALateResultIsALabelAndNoInput(t *testing.T) {
	c := toyCourse(1, 6, false, false)
	for _, tl := range c.timelines {
		st := newest(tl)
		st.Presence[state.Creatinine] = state.Missing
	}
	const value = 3.5
	late := c.timelines[3] // at decision time 3 the result of step 2 has come
	late.Steps[len(late.Steps)-2].Value[state.Creatinine] = value
	late.Steps[len(late.Steps)-2].Presence[state.Creatinine] = state.Measured
	for i, tl := range c.timelines {
		for k := range tl.Steps {
			if i < 3 || i > 3 || k != len(tl.Steps)-2 {
				tl.Steps[k].Presence[state.Creatinine] = state.Missing
			}
		}
	}
	c.timelines = c.timelines[:4]
	scale := defaultScale()
	got := scale.samples(&c, 0)
	if y := got[1].y[state.Creatinine]; y != scale.z(state.Creatinine, value) {
		t.Errorf("the label is %v", y)
	}
	if got[2].x[state.Creatinine*perFeature+inKnown] != 0 {
		t.Error("the input knows what had not come yet")
	}
	c.timelines[2].At = c.timelines[2].At.Add(time.Minute)
	if y := scale.samples(&c, 0)[1].y[state.Creatinine]; !isNaN(y) {
		t.Errorf("a step of another time gave the label %v", y)
	}
}
