// SPDX-License-Identifier: Apache-2.0

package world

// This file: that the card is complete: 31 attributes, none silent, the
// measured ones out of a site's reach, and failures where there are some.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// hti1 are the attributes of 45 CFR 170.315(b)(11)(iv)(B), counted by category.
var hti1 = []struct {
	category string
	n        int
}{
	{"Details and output", 4}, {"Purpose", 4}, {"Cautioned out-of-scope use", 2}, {"Development and input features", 4},
	{"Fairness in development", 2}, {"External validation", 4}, {"Quantitative performance", 5}, {"Ongoing maintenance", 4}, {"Update and revalidation", 2},
}

func TestTheCardHasAll31SourceAttributes(t *testing.T) {
	m := mustToy(t)
	all := m.Attributes(nil)
	if len(all) != 31 {
		t.Fatalf("%d attributes, want 31", len(all))
	}
	counted := map[string]int{}
	card := string(m.Card())
	for i, a := range all {
		counted[a.Category]++
		if a.ID != i+1 || a.Name == "" || len(a.Value) < 10 {
			t.Errorf("attribute %d is %+v", i+1, a)
		}
		if !strings.Contains(card, fmt.Sprintf("\n%d. **%s**: %s", a.ID, a.Name, a.Value)) {
			t.Errorf("the card does not show attribute %d", a.ID)
		}
	}
	for _, c := range hti1 {
		if counted[c.category] != c.n {
			t.Errorf("%d attributes of %q, want %d", counted[c.category], c.category, c.n)
		}
	}
}

func TestMeasuredAttributesHoldTheNumbersOfTheTest(t *testing.T) {
	m := mustToy(t)
	r := m.Record()
	for id, want := range map[int]string{13: "sex unknown: ", 21: shown(r.Test.StateMAE), 22: "sex unknown (n="} {
		if got := m.Attributes(nil)[id-1].Value; !strings.Contains(got, want) {
			t.Errorf("attribute %d does not say %q: %s", id, want, got)
		}
	}
}

func TestASiteFillsInWhatOnlyItKnows(t *testing.T) {
	m := mustToy(t)
	site := SiteAttributes{1: "Example Hospital, cds@example.org", 27: "AUROC 0.81 in 2,400 patients of 2026"}
	if err := site.Validate(); err != nil {
		t.Fatal(err)
	}
	all := m.Attributes(site)
	if all[0].Value != site[1] || all[0].BySite || all[1].BySite != true {
		t.Errorf("attributes 1 and 2: %+v %+v", all[0], all[1])
	}
	if card := string(m.CardOf(site)); !strings.Contains(card, "Example Hospital") {
		t.Error("the card does not show what the site says")
	}
	for name, bad := range map[string]SiteAttributes{
		"a measured one": {21: "AUROC 0.99"}, "no such number": {32: "x"}, "zero": {0: "x"}, "an empty text": {1: " "}} {
		if err := bad.Validate(); !errors.Is(err, ErrSiteAttribute) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := m.Attributes(SiteAttributes{21: "a better one"})[20]; strings.Contains(got.Value, "a better one") {
		t.Error("a measured attribute was written over")
	}
}

func TestFailuresAreComputed(t *testing.T) {
	s := &Scores{FeatureMAE: map[string]Number{"lactate": 1, "meanbp": 4, "albumin": 1}, FeaturePersist: map[string]Number{"lactate": 0.9, "meanbp": 5, "albumin": 2},
		FeatureCover80: map[string]Number{"lactate": 0.8, "meanbp": 0.7, "albumin": 0.5}, FeatureEntries: map[string]int{"lactate": 500, "meanbp": 500, "albumin": 20},
		Strata: []Stratum{{Name: "no vasopressor", Entries: 900, StateMAE: 1, Persistence: 2, Interval80: 0.8}, {Name: "vasopressor level 3 or 4", Entries: 200, StateMAE: 2, Persistence: 1, Interval80: 0.6}},
		Groups: []Group{{By: "sex", Name: "female", MAERange: Interval{0.1, 0.2}, Improvement: -0.1, Interval80: 0.7, Range80: Interval{0.6, 0.75}}}}
	text := strings.Join(s.Failures(), "\n")
	for _, want := range []string{"Lactate (1.000 against 0.900)", "Mean arterial pressure (0.700)", "Albumin (20)", "steps with vasopressor level 3 or 4 (2.000", "steps with vasopressor level 3 or 4 (0.600)", "sex female"} {
		if !strings.Contains(text, want) {
			t.Errorf("failures do not name %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Albumin (1") || strings.Contains(text, "no vasopressor") {
		t.Errorf("what is not judged, or fine, is named:\n%s", text)
	}
	e := &Effects{Effects: []Effect{{Question: "q", Feature: "lactate", Hours: 4, Error: 2, NoEffect: 1}, {Question: "q", Feature: "meanbp", Hours: 4, Error: 1, NoEffect: 2, Notable: 20, RightSign: 1}}}
	if got := strings.Join(e.Failures(), ""); !strings.Contains(got, `lactate under "q"`) || strings.Contains(got, "arterial") {
		t.Errorf("failures of effects: %s", got)
	}
}

// A world in which a dose does exactly what the toy model forecasts has no
// error, and one in which it does the opposite has every sign wrong.
func TestEffectsAreMeasuredAgainstTheTruthTheyAreGiven(t *testing.T) {
	m := mustToy(t)
	for _, c := range []struct {
		name        string
		factor      float64
		right, over float64
	}{{"the forecast comes true", 1, 1, 0}, {"the opposite comes true", -1, 0, 2}} {
		t.Run(c.name, func(t *testing.T) {
			e, err := MeasureEffects(context.Background(), m, func(yield func(Simulated, error) bool) {
				for i := range uint64(5) {
					course := toyCourse(900+i, 8, true, false)
					s := Simulated{Timeline: course.timelines[6], NEUgKgMin: []float64{0, 0.2}, MAPmmHg: []float64{60, 70}}
					q := Contrast{Question: "more", Plans: [2]Plan{held("none", Dose{}), held("more", Dose{NEUgKgMin: 0.3})}}
					fc, err := m.Forecast(context.Background(), s.Timeline, q.Plans[:], 65)
					if err != nil {
						t.Fatal(err)
					}
					for h := range Horizon {
						a, b := &fc[0].Steps[h].Band, &fc[1].Steps[h].Band
						q.Truth[1][h] = Outcome{MAPmmHg: c.factor * (b[mbp].Median - a[mbp].Median), LactateMmolL: math.NaN()}
					}
					s.Contrasts = []Contrast{q}
					if !yield(s, nil) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(e.Effects, func(f Effect) bool { return f.Feature == "meanbp" && f.Hours == 4 })
			f := e.Effects[i]
			if f.States != 5 || float64(f.RightSign) != c.right || math.Abs(float64(f.Error)-c.over*float64(f.NoEffect)) > 1e-9 {
				t.Errorf("%+v", f)
			}
			j := slices.IndexFunc(e.Effects, func(f Effect) bool { return f.Feature == "lactate" && f.Hours == 4 })
			if e.Effects[j].States != 0 || e.Effects[j].Truth.known() {
				t.Errorf("a truth that is not known was counted: %+v", e.Effects[j])
			}
		})
	}
	if _, err := MeasureEffects(context.Background(), m, func(func(Simulated, error) bool) {}); !errors.Is(err, ErrNoContrast) {
		t.Errorf("nobody to ask: %v", err)
	}
}
