// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// This file: what is read of running drugs, pressure, fluids and weight.

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func agentOf(t *testing.T, tl *Timeline, drug Drug) Agent {
	t.Helper()
	for _, a := range tl.Present.Agents {
		if a.Drug == drug {
			return a
		}
	}
	t.Fatalf("no agent %s in %+v", drug, tl.Present.Agents)
	return Agent{}
}

func TestAgentsAtT(t *testing.T) {
	unconfirmed := func(a Administration) Administration { a.DocumentedEveryMin = 0; return a }
	ne := func(rate, from, to float64) Administration {
		return infusion(DrugNorepinephrine, rate, UnitUgKgMin, from, to)
	}
	for _, tc := range []struct {
		name   string
		rows   []Administration
		state  string
		ne     float64
		known  bool
		ageMin float64
		ended  time.Time
	}{
		{"a row that covers T is documented at its last confirmed hour",
			[]Administration{ne(0.12, 5.5, -3)}, AgentRunning, 0.12, true, 30, time.Time{}},
		{"without confirmation it is documented at its start",
			[]Administration{unconfirmed(ne(0.12, 1.5, open))}, AgentRunning, 0.12, true, 90, time.Time{}},
		{"more than two hours without documentation is unknown",
			[]Administration{unconfirmed(ne(0.12, 2.1, open))}, AgentUndocumented, 0, false, 126, time.Time{}},
		{"exactly two hours is still believed",
			[]Administration{unconfirmed(ne(0.12, 2, open))}, AgentRunning, 0.12, true, 120, time.Time{}},
		{"a charted end shows its time",
			[]Administration{ne(0.12, 5, 1)}, AgentStopped, 0, true, 60, ago(1)},
		{"successive rows are one running drug",
			[]Administration{ne(0.2, 5, 1), ne(0.1, 1, open)}, AgentRunning, 0.1, true, 0, time.Time{}},
		{"a later open row replaces an earlier open one",
			[]Administration{unconfirmed(ne(0.2, 1.5, open)), unconfirmed(ne(0.1, 1, open))}, AgentRunning, 0.1, true, 60, time.Time{}},
		{"two lines of one drug add up",
			[]Administration{ne(0.2, 5, -2), ne(0.1, 3, -1)}, AgentRunning, 0.3, true, 0, time.Time{}},
		{"an exact repeat is one line",
			[]Administration{ne(0.2, 5, open), ne(0.2, 5, open)}, AgentRunning, 0.2, true, 0, time.Time{}},
		{"an unknown rate is unknown, not zero",
			[]Administration{func() Administration {
				a := ne(0, 1, open)
				a.RateKnown, a.Unknown = false, "rate has no unit"
				return a
			}()}, AgentUnknownRate, 0, false, 0, time.Time{}},
		{"an mL/h rate without a concentration is unknown",
			[]Administration{infusion(DrugNorepinephrine, 10, UnitMlH, 1, open)}, AgentUnknownRate, 0, false, 0, time.Time{}},
		{"a rate of zero is stopped, however long ago it was charted",
			[]Administration{unconfirmed(ne(0, 6, open))}, AgentStopped, 0, true, 360, ago(6)},
		{"push doses are no infusion and map to no level",
			[]Administration{ne(0.1, 3, open), {Drug: DrugNorepinephrine, Class: ClassVasopressor, Form: FormPush, Start: ago(0.5), Available: ago(0.5), Record: -1}},
			AgentRunning, 0.1, true, 0, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Administrations = tc.rows
			tl := mustBuild(t, c)
			a := agentOf(t, tl, DrugNorepinephrine)
			if a.State != tc.state || !near(tl.Present.NEUgKgMin, tc.ne) || tl.Present.VasoKnown != tc.known ||
				!near(a.AgeMin, tc.ageMin) || !a.EndedAt.Equal(tc.ended) {
				t.Errorf("agent %+v, ne %v, known %v", a, tl.Present.NEUgKgMin, tl.Present.VasoKnown)
			}
		})
	}
}

func TestNorepinephrineEquivalentsByHand(t *testing.T) {
	cfg := DefaultConfig()
	for _, tc := range []struct {
		drug Drug
		rate float64
		unit string
		kg   float64
		want float64
	}{
		{DrugNorepinephrine, 0.12, UnitUgKgMin, 0, 0.12},
		{DrugNorepinephrine, 12, UnitUgMin, 80, 0.15},
		{DrugEpinephrine, 0.05, UnitUgKgMin, 0, 0.05},
		{DrugDopamine, 10, UnitUgKgMin, 0, 0.1},
		{DrugPhenylephrine, 100, UnitUgMin, 100, 0.1},
		{DrugVasopressin, 0.04, UnitUMin, 0, 0.1},
		{DrugAngiotensinII, 0.02, UnitUgKgMin, 0, 0.2},
	} {
		got, why := cfg.NEOf(tc.drug, tc.rate, tc.unit, tc.kg)
		if why != "" || !near(got, tc.want) {
			t.Errorf("%s %v %s: %v (%s), want %v", tc.drug, tc.rate, tc.unit, got, why, tc.want)
		}
	}
	for _, bad := range []struct {
		drug Drug
		rate float64
		unit string
	}{{"terlipressin", 1, UnitUgKgMin}, {DrugNorepinephrine, math.NaN(), UnitUgKgMin}, {DrugNorepinephrine, -1, UnitUgKgMin},
		{DrugNorepinephrine, 4, UnitUgMin}, {DrugVasopressin, 2, UnitUgKgMin}, {DrugNorepinephrine, 1, "mg/h"}} {
		if ne, why := cfg.NEOf(bad.drug, bad.rate, bad.unit, 0); why == "" {
			t.Errorf("%+v was read as %v", bad, ne)
		}
	}
}

func TestExposureInAStep(t *testing.T) {
	c := icuChart()
	c.Administrations = []Administration{
		infusion(DrugNorepinephrine, 0.4, UnitUgKgMin, 4, 3),
		infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 3, 1),
		infusion(DrugVasopressin, 0.04, UnitUMin, 2, open),
	}
	e := mustBuild(t, c).Last().Given
	// 0.4 for 1 h, 0.1 for 1 h, 0.1 + 0.1 for 1 h, 0.1 for 1 h.
	if !e.VasoKnown || !near(e.NEMaxUgKgMin, 0.4) || !near(e.NEMeanUgKgMin, (0.4+0.1+0.2+0.1)/4) || !near(e.NEEndUgKgMin, 0.1) || e.Levels.Vasopressor != 3 {
		t.Errorf("exposure %+v", e)
	}
}

func TestUnknownRateMakesOnlyItsStepsUnknown(t *testing.T) {
	c := icuChart()
	bad := infusion(DrugNorepinephrine, 0, UnitUgKgMin, 11, 9)
	bad.RateKnown, bad.Unknown = false, "rate has no unit"
	c.Administrations = []Administration{bad, infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 3, open)}
	tl := mustBuild(t, c)
	for k, want := range map[int]bool{MaxSteps - 1: true, MaxSteps - 2: true, MaxSteps - 3: false, MaxSteps - 4: true} {
		if tl.Steps[k].Given.VasoKnown != want {
			t.Errorf("step %d: vasopressor known %v, want %v", k, tl.Steps[k].Given.VasoKnown, want)
		}
	}
	if !tl.Present.VasoKnown {
		t.Errorf("the present is known: %s", tl.Present.VasoWhy)
	}
}

func TestAnInfusionThatNobodyEndedIsNotRunningForEver(t *testing.T) {
	c := icuChart()
	c.Stay.Start = ago(47)
	forgotten := infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 40, open)
	forgotten.DocumentedEveryMin = 0
	bag := fluidRow(ClassCrystalloid, FormBolus, 0, 0, 30, open)
	c.Administrations = []Administration{forgotten, bag}
	tl := mustBuild(t, c)
	if len(tl.Present.Agents) != 0 || !tl.Present.VasoKnown || !tl.Last().Given.VasoKnown {
		t.Errorf("silent for 40 h, yet %+v", tl.Present.Agents)
	}
	if s := tl.Steps[MaxSteps-8]; s.Given.VasoKnown { // 32 to 28 h ago
		t.Error("the day after its last documentation is unknown")
	}
	if !tl.Present.Fluids.Known || tl.Present.Fluids.BalanceKnown || !tl.Last().Given.FluidKnown {
		t.Errorf("a bolus of unknown volume 30 h ago: %+v", tl.Present.Fluids)
	}
}

func TestAGapIsNotZero(t *testing.T) {
	c := icuChart()
	c.Gaps = []Gap{{GapVasopressor, "no infusions charted at this hospital"}, {GapFluid, "no intake charted"}}
	tl := mustBuild(t, c)
	if tl.Last().Given.VasoKnown || tl.Last().Given.FluidKnown || tl.Present.VasoKnown || tl.Present.Fluids.Known || tl.Present.VasoWhy == "" {
		t.Errorf("gaps read as zero: %+v", tl.Present)
	}
}

func fluidRow(class Class, form Form, ml, rate float64, from, to float64) Administration {
	a := Administration{Drug: "lactated ringer", Class: class, Form: form, Start: ago(from), Available: ago(from), Tonicity: 1,
		AmountMl: ml, MlKnown: ml > 0, RateKnown: rate > 0, Rate: rate, Record: -1}
	if rate > 0 {
		a.RateUnit = UnitMlH
	}
	if to != open {
		a.End, a.EndAvail = ago(to), ago(to)
	}
	return a
}

func TestFluidsOfTheLastStep(t *testing.T) {
	hypertonic := fluidRow(ClassCrystalloid, FormBolus, 100, 0, 1, 1)
	hypertonic.Tonicity = 3
	for _, tc := range []struct {
		name                     string
		row                      Administration
		bolus, maint, blood, mdl float64
		known                    bool
	}{
		{"a bolus inside the step counts whole", fluidRow(ClassCrystalloid, FormBolus, 500, 0, 2, 1), 500, 0, 0, 500, true},
		{"a bolus across the start counts by time", fluidRow(ClassCrystalloid, FormBolus, 500, 0, 5, 3), 250, 0, 0, 250, true},
		{"a bolus at one instant counts at it", fluidRow(ClassCrystalloid, FormBolus, 500, 0, 3.9, 3.9), 500, 0, 0, 500, true},
		{"at the very start of the step it belongs to the step before", fluidRow(ClassCrystalloid, FormBolus, 500, 0, 4, 4), 0, 0, 0, 0, true},
		{"an infusion that runs on is cut at T", fluidRow(ClassCrystalloid, FormInfusion, 0, 100, 2, -5), 0, 200, 0, 200, true},
		{"its charted total is about the future and is not read", fluidRow(ClassCrystalloid, FormInfusion, 700, 100, 2, -5), 0, 200, 0, 200, true},
		{"an open infusion without a rate is unknown", fluidRow(ClassCrystalloid, FormInfusion, 700, 0, 2, -5), 0, 0, 0, 0, false},
		{"a bolus without an end counts as hung", fluidRow(ClassCrystalloid, FormBolus, 500, 0, 0.5, open), 500, 0, 0, 500, true},
		{"tonicity changes the model's input only", hypertonic, 100, 0, 0, 300, true},
		{"a volume that is not charted is unknown", fluidRow(ClassCrystalloid, FormBolus, 0, 0, 2, 1), 0, 0, 0, 0, false},
		{"blood has its own account", fluidRow(ClassBlood, FormBolus, 350, 0, 3, 1), 0, 0, 350, 350, true},
		{"an infusion nobody documented for a shift is unknown", fluidRow(ClassCrystalloid, FormInfusion, 0, 100, 9, open), 0, 400, 0, 400, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Administrations = []Administration{tc.row}
			e := mustBuild(t, c).Last().Given
			if !near(e.BolusMl, tc.bolus) || !near(e.MaintenanceMl, tc.maint) || !near(e.BloodMl, tc.blood) || !near(e.FluidModelMl, tc.mdl) || e.FluidKnown != tc.known {
				t.Errorf("exposure %+v", e)
			}
		})
	}
}

func TestFluidsOfAllStepsAddUpToWhatWasGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := icuChart()
		c.Stay.Start = ago(60)
		want := 0.0
		for i := range rapid.IntRange(1, 8).Draw(t, "n") {
			ml := float64(rapid.IntRange(1, 1000).Draw(t, "ml"))
			from := rapid.Float64Range(1, 47).Draw(t, "from")
			a := fluidRow(ClassCrystalloid, FormBolus, ml, 0, from, rapid.Float64Range(0, from).Draw(t, "to"))
			a.Drug = Drug(fmt.Sprintf("fluid %d", i)) // equal rows would be one row told twice
			want += ml
			c.Administrations = append(c.Administrations, a)
		}
		tl, err := Build(c, t0, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		got := 0.0
		for _, s := range tl.Steps {
			got += s.Given.BolusMl
		}
		if math.Abs(got-want) > 1e-6 || math.Abs(tl.Present.Fluids.BolusStayMl-want) > 1e-6 {
			t.Fatalf("steps add up to %v, stay to %v, given %v", got, tl.Present.Fluids.BolusStayMl, want)
		}
	})
}

func TestUrine(t *testing.T) {
	c := icuChart()
	c.Measurements = []Measurement{
		measure("output_4hourly", 100, 1, ""), measure("output_4hourly", 150, 3, ""), measure(ConceptUrineIrrig, 60, 2, ""),
		measure("output_4hourly", 0, 6, ""),
	}
	tl := mustBuild(t, c)
	if s := tl.Last(); s.Presence[Urine] != Measured || s.Value[Urine] != 190 {
		t.Errorf("last step %v, want 250 less 60 of irrigant", s.Value[Urine])
	}
	if s := tl.Steps[MaxSteps-2]; s.Presence[Urine] != Measured || s.Value[Urine] != 0 {
		t.Errorf("a charted zero is a value: presence %d", s.Presence[Urine])
	}
	if s := tl.Steps[MaxSteps-3]; s.Presence[Urine] != Missing {
		t.Errorf("no charted urine is not zero: presence %d", s.Presence[Urine])
	}
	if f := tl.Present.Fluids; !f.UrineKnown || f.Urine6hMl != 190 || f.Urine24hMl != 190 {
		t.Errorf("book %+v", f)
	}
}

func TestPressure(t *testing.T) {
	mapAt := func(v, h float64, method string) Measurement { return measure("meanbp", v, h, method) }
	for _, tc := range []struct {
		name                       string
		m                          []Measurement
		newest, low                float64
		method                     string
		disagree, outlier, derived bool
	}{
		{name: "the line goes before a newer cuff", m: []Measurement{mapAt(60, 0.5, MethodArterial), mapAt(66, 0.1, MethodCuff)},
			newest: 60, low: 60, method: MethodArterial},
		{name: "a line silent for an hour does not", m: []Measurement{mapAt(60, 1.2, MethodArterial), mapAt(66, 0.1, MethodCuff)},
			newest: 66, low: 66, method: MethodCuff},
		{name: "line and cuff more than 10 mmHg apart must be confirmed", m: []Measurement{mapAt(58, 0.2, MethodArterial), mapAt(70, 0.4, MethodCuff)},
			newest: 58, low: 58, method: MethodArterial, disagree: true},
		{name: "ten apart is not more than ten", m: []Measurement{mapAt(60, 0.2, MethodArterial), mapAt(70, 0.4, MethodCuff)},
			newest: 60, low: 60, method: MethodArterial},
		{name: "an hour apart they cannot be compared", m: []Measurement{mapAt(50, 0.1, MethodArterial), mapAt(70, 1.1, MethodCuff)},
			newest: 50, low: 50, method: MethodArterial},
		{name: "the last-hour minimum is of the same source", m: []Measurement{mapAt(70, 0.1, MethodArterial), mapAt(61, 0.8, MethodArterial), mapAt(40, 0.7, MethodCuff), mapAt(30, 1, MethodArterial)},
			newest: 70, low: 61, method: MethodArterial},
		{name: "one value far off steady neighbours must be confirmed", m: []Measurement{mapAt(40, 0.1, MethodArterial), mapAt(72, 0.4, MethodArterial), mapAt(74, 0.8, MethodArterial)},
			newest: 40, low: 40, method: MethodArterial, outlier: true},
		{name: "a source that is not named is compared with the cuff too", m: []Measurement{mapAt(62, 0.05, ""), mapAt(75, 0.1, MethodCuff)},
			newest: 62, low: 62, disagree: true},
		{name: "the newest of a slow rise is no outlier", m: []Measurement{mapAt(92, 0.1, MethodCuff), mapAt(75, 1.1, MethodCuff), mapAt(65, 2.1, MethodCuff), mapAt(60, 3, MethodCuff)},
			newest: 92, low: 92, method: MethodCuff},
		{name: "a jump that another source confirms is no lone value", m: []Measurement{mapAt(40, 0.1, MethodArterial), mapAt(44, 0.2, MethodCuff), mapAt(72, 0.4, MethodArterial), mapAt(74, 0.8, MethodArterial)},
			newest: 40, low: 40, method: MethodArterial},
		{name: "a jump that another source contradicts is both", m: []Measurement{mapAt(40, 0.1, MethodArterial), mapAt(70, 0.2, MethodCuff), mapAt(72, 0.4, MethodArterial), mapAt(74, 0.8, MethodArterial)},
			newest: 40, low: 40, method: MethodArterial, disagree: true, outlier: true},
		{name: "a fall that goes on is no outlier", m: []Measurement{mapAt(45, 0.1, MethodArterial), mapAt(55, 0.4, MethodArterial), mapAt(74, 0.8, MethodArterial)},
			newest: 45, low: 45, method: MethodArterial},
		{name: "without a mean pressure it is computed and says so", m: []Measurement{measure("sysbp", 90, 0.2, MethodCuff), measure("diabp", 60, 0.2, MethodCuff)},
			newest: 70, low: 70, method: MethodCuff, derived: true},
		{name: "a charted mean pressure is never replaced by a computed one", m: []Measurement{mapAt(66, 0.5, MethodArterial), measure("sysbp", 90, 0.2, MethodCuff), measure("diabp", 60, 0.2, MethodCuff)},
			newest: 66, low: 66, method: MethodArterial},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Measurements = tc.m
			p := mustBuild(t, c).Present.MAP
			if p.Newest == nil || p.LastHourMin == nil {
				t.Fatalf("no pressure: %+v", p)
			}
			if p.Newest.Value != tc.newest || p.LastHourMin.Value != tc.low || p.Newest.Method != tc.method ||
				p.Disagree != tc.disagree || p.LoneOutlier != tc.outlier || p.Derived != tc.derived {
				t.Errorf("newest %v (%s), low %v, disagree %v, outlier %v, derived %v", p.Newest.Value, p.Newest.Method, p.LastHourMin.Value, p.Disagree, p.LoneOutlier, p.Derived)
			}
		})
	}
}

func TestGoal(t *testing.T) {
	c := icuChart()
	if p := mustBuild(t, c).Present.MAP; p.GoalMmHg != 65 || p.GoalOrdered {
		t.Errorf("default goal %+v", p)
	}
	c.Orders = []Order{{Concept: ConceptMAPGoal, Value: 75, Start: ago(5), Available: ago(5)}, {Concept: ConceptMAPGoal, Value: 70, Start: ago(2), Available: ago(2)},
		{Concept: ConceptMAPGoal, Value: 20, Start: ago(1), Available: ago(1)}}
	if p := mustBuild(t, c).Present.MAP; p.GoalMmHg != 70 || !p.GoalOrdered {
		t.Errorf("the newest plausible order is 70: %v", p.GoalMmHg)
	}
}

func TestWeight(t *testing.T) {
	pump := infusion(DrugNorepinephrine, 8, UnitUgMin, 1, open)
	pump.DosingKg = 80
	for _, tc := range []struct {
		name     string
		m        []Measurement
		a        []Administration
		kg       float64
		source   string
		conflict string
	}{
		{"nothing charted is unknown", nil, nil, 0, "", ""},
		{"the pump goes before the scales", []Measurement{measure(ConceptWeight, 85, 3, "")}, []Administration{pump}, 80, WeightFromPump, ""},
		{"the scales go before an estimate", []Measurement{measure(ConceptWeight, 85, 9, ""), measure(ConceptWeight, 80, 3, MethodEstimated)}, nil, 85, WeightMeasured, ""},
		{"more than 15 % apart is a conflict", []Measurement{measure(ConceptWeight, 100, 3, "")}, []Administration{pump}, 80, WeightFromPump, "differ by more"},
		{"pounds charted as kilograms are a conflict", []Measurement{measure(ConceptWeight, 80*2.2046, 3, "")}, []Administration{pump}, 80, WeightFromPump, "pounds"},
		{"also between two measured weights", []Measurement{measure(ConceptWeight, 70, 30, ""), measure(ConceptWeight, 154.3, 3, "")}, nil, 154.3, WeightMeasured, "pounds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Measurements, c.Administrations = tc.m, tc.a
			w := mustBuild(t, c).Present.Weight
			if w.Kg != tc.kg || w.Source != tc.source || (tc.conflict == "") != (w.Conflict == "") || !strings.Contains(w.Conflict, tc.conflict) {
				t.Errorf("%+v", w)
			}
		})
	}
	c := icuChart()
	c.Measurements = []Measurement{measure(ConceptWeight, 98, 3, ""), measure(ConceptHeight, 175, 3, "")}
	if w := mustBuild(t, c).Present.Weight; !near(w.BMI, 32) {
		t.Errorf("BMI %v, want 32", w.BMI)
	}
}

func TestTrendsNeedAMeaningfulDifference(t *testing.T) {
	for _, tc := range []struct {
		before, now     float64
		rising, falling bool
	}{{2, 2.2, false, false}, {2, 2.3, true, false}, {4, 3.7, false, false}, {4, 3.6, false, true},
		{0.9, 1.2, false, false}, {0.9, 1.5, true, false}, {1.9, 2.2, true, false}, {2.1, 1.7, false, true}} {
		c := icuChart()
		c.Measurements = []Measurement{measure("lactate", tc.before, 5, ""), measure("lactate", tc.now, 1, ""), measure("lactate", 9, 1.5, "")}
		if tr := mustBuild(t, c).Present.Lactate; tr.Rising != tc.rising || tr.Falling != tc.falling {
			t.Errorf("%v then %v: rising %v, falling %v", tc.before, tc.now, tr.Rising, tr.Falling)
		}
	}
}

func TestStepsAtGoal(t *testing.T) {
	c := icuChart()
	for _, m := range []struct{ v, h float64 }{{70, 1}, {66, 5}, {60, 9}, {80, 13}} {
		c.Measurements = append(c.Measurements, measure("meanbp", m.v, m.h, MethodArterial))
	}
	if n := mustBuild(t, c).Present.StepsAtGoal; n != 2 {
		t.Errorf("%d steps at goal, want 2", n)
	}
}
