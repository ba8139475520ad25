// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// This file: the invariants of design.md 7 as properties over charts drawn to
// be awkward: events around T, late results, open and overlapping rows, equal
// times, unknown rates, several weights, values out of range.

func drawTime(t *rapid.T, label string) time.Time {
	// Coarse minutes make equal times likely; some lie far back, some after T.
	m := rapid.OneOf(rapid.IntRange(-180, 400), rapid.IntRange(-600, 6000), rapid.IntRange(4000, 60000)).Draw(t, label)
	return t0.Add(-time.Duration(m/10*10) * time.Minute)
}

func drawLater(t *rapid.T, at time.Time, label string) time.Time {
	return at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 10, 60, 300, 2000}).Draw(t, label)) * time.Minute)
}

var drawnConcepts = func() []Concept {
	var out []Concept
	for _, i := range []int{HeartRate, SysBP, DiaBP, MeanBP, MeanBP, MeanBP, GCSEye, GCSVerbal, GCSMotor, FiO2, PaO2, PaO2, Lactate, Lactate,
		Platelet, Bilirubin, Creatinine, Hemoglobin, Urine, Urine, BaseExcess} {
		out = append(out, catalogue[i].Name)
	}
	return append(out, ConceptWeight, ConceptWeight, ConceptHeight, ConceptUrineIrrig, ConceptOtherOutput, ConceptGCSTotal, ConceptMAPGoal, ConceptO2Device, ConceptO2Device, "no such concept")
}()

func drawMeasurement(t *rapid.T, record int) Measurement {
	c := rapid.SampledFrom(drawnConcepts).Draw(t, "concept")
	lo, hi, _, _ := Range(c)
	at := drawTime(t, "at")
	m := Measurement{Concept: c, Effective: at, Available: drawLater(t, at, "avail"), Record: record,
		Value:    lo + (hi-lo)*float64(rapid.IntRange(-1, 41).Draw(t, "value"))/40,
		Method:   rapid.SampledFrom([]string{"", MethodArterial, MethodArterial, MethodCuff, MethodHourlyMedian, MethodIntubated, MethodPumpWeight, MethodEstimated, MethodRoomAir}).Draw(t, "method"),
		Status:   rapid.SampledFrom([]string{"final", "final", "", "preliminary", "corrected"}).Draw(t, "status"),
		Received: "as received"}
	if c == catalogue[Urine].Name && rapid.Bool().Draw(t, "period") {
		m.End = drawLater(t, at, "end")
	}
	if rapid.IntRange(0, 40).Draw(t, "nan") == 0 {
		m.Value = math.NaN()
	}
	return m
}

func drawAdministration(t *rapid.T, record int) Administration {
	at := drawTime(t, "start")
	a := Administration{Start: at, Available: drawLater(t, at, "avail"), Record: record, RateKnown: rapid.IntRange(0, 9).Draw(t, "rk") > 0,
		Received: "row", DocumentedEveryMin: rapid.SampledFrom([]float64{0, 0, 60}).Draw(t, "doc")}
	if rapid.IntRange(0, 3).Draw(t, "closed") > 0 {
		a.End = drawLater(t, at, "end")
		if rapid.Bool().Draw(t, "endavail") {
			a.EndAvail = drawLater(t, a.End, "endavail")
		}
	}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0, 1:
		a.Class, a.Form = ClassVasopressor, FormInfusion
		a.Drug = rapid.SampledFrom([]Drug{DrugNorepinephrine, DrugNorepinephrine, DrugVasopressin, DrugDopamine, "terlipressin"}).Draw(t, "drug")
		a.RateUnit = rapid.SampledFrom([]string{UnitUgKgMin, UnitUgKgMin, UnitUgMin, UnitUMin, UnitMlH}).Draw(t, "unit")
		a.Rate = rapid.SampledFrom([]float64{0, 0.04, 0.1, 0.1, 0.3, 8}).Draw(t, "rate")
		if rapid.IntRange(0, 4).Draw(t, "dw") == 0 {
			a.DosingKg = rapid.SampledFrom([]float64{1, 70, 154.3}).Draw(t, "dosing")
		}
		if !a.RateKnown {
			a.Unknown = "rate without a unit"
		}
	case 2, 3:
		a.Class = rapid.SampledFrom([]Class{ClassCrystalloid, ClassCrystalloid, ClassColloid, ClassBlood, ClassCarrier}).Draw(t, "class")
		a.Drug, a.Tonicity = Drug("fluid "+string(a.Class)), 1
		a.Form = rapid.SampledFrom([]Form{FormBolus, FormInfusion}).Draw(t, "form")
		a.RateUnit, a.Rate = UnitMlH, rapid.SampledFrom([]float64{0, 75, 500}).Draw(t, "rate")
		a.RateKnown = a.RateKnown && rapid.Bool().Draw(t, "rated")
		if a.MlKnown = rapid.Bool().Draw(t, "mlknown"); a.MlKnown {
			a.AmountMl = rapid.SampledFrom([]float64{100, 250, 500, 1000}).Draw(t, "ml")
		}
	default:
		a.Class, a.Form, a.Drug = rapid.SampledFrom([]Class{ClassAntimicrobial, ClassInotrope, ClassOther}).Draw(t, "class"), FormInfusion, "drug"
	}
	return a
}

func drawTags(t *rapid.T) []Tag {
	return []Tag{rapid.SampledFrom([]Tag{TagSepsis, TagInfection, TagESRD, TagCirrhosis, TagBleeding, TagPregnancy, TagCulture,
		TagVentInvasive, TagVentInvasive, TagECMO, TagProcedureNow, TagDialysis, TagComfortCare, TagDNR}).Draw(t, "tag")}
}

// drawChart draws a chart. Most of what it draws is before T.
func drawChart(t *rapid.T) *Chart {
	c := &Chart{Person: Person{ID: "p", BirthDate: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}, Stay: Stay{ID: "s", ICU: true, ICUKnown: true}}
	if rapid.IntRange(0, 9).Draw(t, "admitted") > 0 {
		c.Stay.Start = ago(float64(rapid.SampledFrom([]int{2, 10, 30, 60, 400}).Draw(t, "stay")))
	}
	records := rapid.Bool().Draw(t, "records")
	record := func() int {
		if !records {
			return rapid.IntRange(-1, 3).Draw(t, "rec")
		}
		c.Records = append(c.Records, Record{Type: "Observation", ID: strconv.Itoa(len(c.Records) * 7 % 100)})
		return len(c.Records) - 1
	}
	for range rapid.IntRange(0, 60).Draw(t, "measurements") {
		c.Measurements = append(c.Measurements, drawMeasurement(t, record()))
	}
	for range rapid.IntRange(0, 14).Draw(t, "administrations") {
		c.Administrations = append(c.Administrations, drawAdministration(t, record()))
	}
	for range rapid.IntRange(0, 3).Draw(t, "conditions") {
		at := drawTime(t, "onset")
		x := Condition{Tags: drawTags(t), Text: "condition", Onset: at, Available: drawLater(t, at, "avail"), Dated: rapid.Bool().Draw(t, "dated"), Record: record()}
		if rapid.IntRange(0, 3).Draw(t, "abated") == 0 {
			x.Abated = drawLater(t, at, "abated")
		}
		c.Conditions = append(c.Conditions, x)
	}
	for range rapid.IntRange(0, 3).Draw(t, "procedures") {
		at := drawTime(t, "proc")
		p := Procedure{Tags: drawTags(t), Text: "procedure", Start: at, Available: drawLater(t, at, "avail"), Record: record()}
		if rapid.Bool().Draw(t, "over") {
			p.End = drawLater(t, at, "end")
			p.EndAvail = drawLater(t, p.End, "endavail")
		}
		c.Procedures = append(c.Procedures, p)
	}
	for range rapid.IntRange(0, 3).Draw(t, "orders") {
		at := drawTime(t, "order")
		o := Order{Tags: drawTags(t), Text: "order", Start: at, Available: drawLater(t, at, "avail"), Record: record()}
		if rapid.Bool().Draw(t, "goal") {
			o.Concept, o.Value = ConceptMAPGoal, rapid.SampledFrom([]float64{30, 60, 70, 75}).Draw(t, "mmhg")
		} else if rapid.Bool().Draw(t, "abx") {
			o.Class, o.Drug = ClassAntimicrobial, "vancomycin"
		}
		c.Orders = append(c.Orders, o)
	}
	for _, what := range []string{GapVasopressor, GapFluid, GapConditions, GapProcedures, GapOrders} {
		if rapid.IntRange(0, 11).Draw(t, "gap") == 0 {
			c.Gaps = append(c.Gaps, Gap{What: what, Reason: "not charted here"})
		}
	}
	return c
}

func canonical(t *rapid.T, c *Chart) []byte {
	tl, err := Build(c, t0, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	b, err := tl.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantSame(t *rapid.T, what string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Fatalf("%s:\n%s", what, cmp.Diff(string(want), string(got)))
	}
}

func TestTimelineOfAllEqualsTimelineOfWhatWasKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChart(t)
		wantSame(t, "known at T changes bytes", canonical(t, c), canonical(t, c.Known(t0)))
	})
}

func TestTrimChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChart(t)
		trimmed := c.Trim(t0, DefaultConfig())
		wantSame(t, "trim changes bytes", canonical(t, c), canonical(t, trimmed))
		wantSame(t, "trimming twice changes bytes", canonical(t, c), canonical(t, trimmed.Trim(t0, DefaultConfig())))
		for i := range trimmed.Measurements {
			m := &trimmed.Measurements[i]
			if m.Available.After(t0) || m.Effective.After(t0) {
				t.Fatalf("trim keeps %+v", m)
			}
		}
	})
}

func TestTrap5WhatComesAfterTChangesNoByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChart(t)
		want := canonical(t, c)
		later := t0.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "later")) * time.Minute)
		for i := range c.Measurements {
			if m := &c.Measurements[i]; m.Available.After(t0) || m.Effective.After(t0) {
				m.Value, m.Method, m.Received = 42, MethodArterial, "altered"
			}
		}
		for i := range c.Administrations {
			a := &c.Administrations[i]
			switch {
			case a.Available.After(t0) || a.Start.After(t0):
				a.Rate, a.RateKnown, a.Drug, a.AmountMl = 9, true, DrugNorepinephrine, 1
			case a.End.IsZero() || a.End.After(t0) || a.EndAvail.After(t0):
				if !a.End.IsZero() && !a.EndAvail.After(t0) || a.End.IsZero() {
					a.End = later
				}
				a.EndAvail = later.Add(time.Hour)
				if a.Form == FormInfusion {
					a.AmountMl, a.MlKnown = 12345, true
				}
			}
		}
		c.Measurements = append(c.Measurements, Measurement{Concept: "lactate", Value: 9, Effective: ago(1), Available: later, Record: -1})
		c.Administrations = append(c.Administrations, Administration{Drug: DrugNorepinephrine, Class: ClassVasopressor, Form: FormInfusion,
			Start: later, Available: later, RateKnown: true, Rate: 1, RateUnit: UnitUgKgMin, Record: -1})
		c.Conditions = append(c.Conditions, Condition{Tags: []Tag{TagSepsis, TagBleeding}, Record: -1},
			Condition{Tags: []Tag{TagSepsis}, Dated: true, Onset: ago(3), Available: later, Record: -1})
		c.Procedures = append(c.Procedures, Procedure{Tags: []Tag{TagECMO}, Start: later, Available: later, Record: -1})
		c.Orders = append(c.Orders, Order{Tags: []Tag{TagComfortCare}, Start: ago(1), Available: later, Record: -1})
		c.Stay.End, c.Stay.DiedInHospital, c.Stay.OutcomeKnown, c.Stay.DeathTime = later, true, true, later
		wantSame(t, "the future changes bytes", want, canonical(t, c))
	})
}

func TestOrderAndRepetitionChangeNoByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChart(t)
		want := canonical(t, c)
		again := *c
		again.Measurements = append(slices.Clone(c.Measurements), c.Measurements...)
		again.Administrations = append(slices.Clone(c.Administrations), c.Administrations...)
		again.Conditions = append(slices.Clone(c.Conditions), c.Conditions...)
		again.Procedures = append(slices.Clone(c.Procedures), c.Procedures...)
		again.Orders = append(slices.Clone(c.Orders), c.Orders...)
		again.Gaps = append(slices.Clone(c.Gaps), c.Gaps...)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		shuffle(r, again.Measurements)
		shuffle(r, again.Administrations)
		shuffle(r, again.Conditions)
		shuffle(r, again.Procedures)
		shuffle(r, again.Orders)
		shuffle(r, again.Gaps)
		wantSame(t, "order or repetition changes bytes", want, canonical(t, &again))
	})
}

func shuffle[E any](r *rand.Rand, s []E) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func TestTimelineIsAlwaysWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl, err := Build(drawChart(t), t0, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		for k := range tl.Steps {
			s := &tl.Steps[k]
			if want := t0.Add(-time.Duration(MaxSteps-1-k) * StepHours * time.Hour); !s.End.Equal(want) {
				t.Fatalf("step %d ends %s, want %s", k, s.End, want)
			}
			for f := range NumFeatures {
				feat := FeatureAt(f)
				switch s.Presence[f] {
				case Missing:
					if s.Value[f] != 0 || s.AgeH[f] != 0 {
						t.Fatalf("missing %s has value %v", feat.Name, s.Value[f])
					}
				case Carried:
					if s.AgeH[f] > feat.HoldHours || s.AgeH[f] < StepHours {
						t.Fatalf("%s is carried at age %v h", feat.Name, s.AgeH[f])
					}
				case Measured:
					if s.AgeH[f] < 0 || s.AgeH[f] >= StepHours {
						t.Fatalf("%s is measured at age %v h", feat.Name, s.AgeH[f])
					}
				}
				if s.Presence[f] != Missing && !within(s.Value[f], feat.Lo, feat.Hi) {
					t.Fatalf("%s is %v", feat.Name, s.Value[f])
				}
			}
			e := s.Given
			if e.NEMaxUgKgMin < e.NEEndUgKgMin-1e-9 || e.NEMaxUgKgMin < e.NEMeanUgKgMin-1e-9 || e.NEMeanUgKgMin < 0 {
				t.Fatalf("exposure %+v", e)
			}
			if sum := max(0, s.SOFA.Resp) + max(0, s.SOFA.Coag) + max(0, s.SOFA.Liver) + max(0, s.SOFA.Cardio) + max(0, s.SOFA.CNS) + max(0, s.SOFA.Renal); sum != s.SOFA.Total {
				t.Fatalf("SOFA %+v does not add up", s.SOFA)
			}
		}
		if n := len(tl.Present.Checks); n != 23 {
			t.Fatalf("%d checks, want all 23", n)
		}
	})
}
