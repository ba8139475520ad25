// SPDX-License-Identifier: Apache-2.0

package state

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// This file: rows of one drug that overlap, infusions nobody can name, and the
// tables of equivalence.

func TestOverlappingRowsOfOneDrug(t *testing.T) {
	minutes := func(m float64) float64 { return m / 60 }
	ne := func(rate, from, to float64) Administration {
		return infusion(DrugNorepinephrine, rate, UnitUgKgMin, from, to)
	}
	for _, tc := range []struct {
		name       string
		rows       []Administration
		ne, neMost float64 // at T, and the highest of the last step
	}{
		{"edges crossed by ten minutes are one rate change",
			[]Administration{ne(0.40, 3, 2-minutes(10)), ne(0.42, 2, open)}, 0.42, 0.42},
		{"edges crossed by fifteen minutes still are",
			[]Administration{ne(0.40, 3, 2-minutes(15)), ne(0.42, 2, open)}, 0.42, 0.42},
		{"an overlap of sixteen minutes is two lines",
			[]Administration{ne(0.40, 3, 2-minutes(16)), ne(0.42, 2, open)}, 0.42, 0.82},
		{"two lines add up for as long as both run",
			[]Administration{ne(0.2, 3, open), ne(0.1, 1, open)}, 0.3, 0.3},
		{"a rate set ten minutes ago replaces the one before it",
			[]Administration{ne(0.2, 3, open), ne(0.1, minutes(10), open)}, 0.1, 0.2},
		{"the pump's record and the nurse's of one infusion are one line",
			[]Administration{ne(0.2, 3, open), func() Administration { a := ne(0.2, 3, 1); a.MlPerH = 15; return a }()}, 0.2, 0.2},
		{"two lines that start together at different rates add up",
			[]Administration{ne(0.2, 3, open), ne(0.1, 3, open)}, 0.3, 0.3},
		{"a short row within a long one is a second line",
			[]Administration{ne(0.2, 3, 1), ne(0.1, 2, 2-minutes(10))}, 0, 0.3},
		{"other drugs do not replace each other",
			[]Administration{ne(0.2, 3, 2-minutes(10)), infusion(DrugEpinephrine, 0.1, UnitUgKgMin, 2, open)}, 0.1, 0.3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Administrations = tc.rows
			tl := mustBuild(t, c)
			if got := tl.Last().Given.NEMaxUgKgMin; !near(tl.Present.NEUgKgMin, tc.ne) || !near(got, tc.neMost) {
				t.Errorf("runs %v, highest %v, want %v and %v", tl.Present.NEUgKgMin, got, tc.ne, tc.neMost)
			}
		})
	}
}

func TestOneInfusionChartedInTwoUnitsIsNotCountedTwice(t *testing.T) {
	for _, second := range []float64{8, 16} { // ug/min: the same rate at 80 kg, and another
		c := icuChart()
		c.Measurements = []Measurement{measure("meanbp", 70, 1, ""), measure(ConceptWeight, 80, 5, "")}
		c.Administrations = []Administration{infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 3, open), infusion(DrugNorepinephrine, second, UnitUgMin, 3, open)}
		tl := mustBuild(t, c)
		agents := tl.Present.Agents
		if tl.Present.VasoKnown || tl.Last().Given.VasoKnown || len(agents) == 0 || agents[0].State != AgentUnknownRate || agents[0].Why != "charted twice in different units" {
			t.Errorf("%g ug/min beside 0.1 ug/kg/min: known %v, %+v", second, tl.Present.VasoKnown, agents)
		}
	}
}

func TestAnUnidentifiedInfusionMakesBothUnknownWhileItRuns(t *testing.T) {
	what := func(from, to float64) Administration {
		return Administration{Drug: "unidentified medication", Class: ClassUnidentified, Form: FormInfusion, Start: ago(from), Available: ago(from),
			End: ago(to), EndAvail: ago(to), Unknown: "medication not identified", MlPerH: 50, Ledger: LedgerMaintenance, Record: -1}
	}
	c := icuChart()
	c.Measurements = []Measurement{measure("meanbp", 80, 1, "")}
	c.Administrations = []Administration{what(7, 5)}
	tl := mustBuild(t, c)
	for k, known := range map[int]bool{MaxSteps - 1: true, MaxSteps - 2: false, MaxSteps - 3: true} {
		if g := tl.Steps[k].Given; g.VasoKnown != known || g.FluidKnown != known {
			t.Errorf("step %d: %+v, want known %v", k, g, known)
		}
	}
	if !tl.Present.VasoKnown || tl.Present.Fluids.Known || !near(tl.Present.Fluids.In24hMl, 100) {
		t.Errorf("present %v, fluids %+v", tl.Present.VasoKnown, tl.Present.Fluids)
	}
	if got := tl.Last().SOFA.Cardio; got != -1 {
		t.Errorf("cardiovascular SOFA %d: something may have held the pressure of 80", got)
	}
}

func TestEveryTableIsOnItsOwn(t *testing.T) {
	for table, want := range map[string]map[Drug]float64{
		NEGoradia2021:    {DrugNorepinephrine: 1, DrugDopamine: 0.01, DrugPhenylephrine: 0.1, DrugMetaraminol: 0.125, DrugAngiotensinII: 10},
		NEKomorowski2018: {DrugNorepinephrine: 1, DrugDopamine: 0.01, DrugPhenylephrine: 0.45},
		NEKotani2023:     {DrugNorepinephrine: 1, DrugDopamine: 0.01, DrugPhenylephrine: 0.06, DrugAngiotensinII: 2.5, DrugTerlipressin: 10},
	} {
		cfg := DefaultConfig()
		cfg.NETable = table
		if err := cfg.Validate(); err != nil || NESource(table) == "" {
			t.Fatalf("%s: %v", table, err)
		}
		for _, d := range []Drug{DrugNorepinephrine, DrugEpinephrine, DrugDopamine, DrugPhenylephrine, DrugMetaraminol, DrugAngiotensinII, DrugTerlipressin} {
			ne, why := cfg.NEOf(d, 1, UnitUgKgMin, 0)
			if factor, listed := want[d]; listed && (why != "" || !near(ne, factor)) || !listed && d != DrugEpinephrine && why == "" {
				t.Errorf("%s, %s: %v, %q", table, d, ne, why)
			}
		}
	}
	cfg := DefaultConfig()
	cfg.NEFactors = map[Drug]NEFactor{DrugTerlipressin: {UnitUgKgMin, 10}, DrugPhenylephrine: {UnitUgKgMin, 0.06}}
	if ne, why := cfg.NEOf(DrugTerlipressin, 0.02, UnitUgKgMin, 0); why != "" || !near(ne, 0.2) {
		t.Errorf("a site's own factor: %v, %q", ne, why)
	}
	if ne, _ := cfg.NEOf(DrugPhenylephrine, 1, UnitUgKgMin, 0); !near(ne, 0.06) {
		t.Errorf("a site's factor goes before the table's: %v", ne)
	}
}

// TestKeptRatesByBruteForce compares the rate kept up for an hour with what
// trying every five minutes finds.
func TestKeptRatesByBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := instant(rapid.SampledFrom([]int{0, 20, 60, 90}).Draw(t, "hold")) * minute
		var doses []dose
		for range rapid.IntRange(0, 6).Draw(t, "doses") {
			from := instant(rapid.IntRange(-30, 58).Draw(t, "from")) * 5 * minute
			doses = append(doses, dose{from: from, to: from + instant(rapid.IntRange(0, 40).Draw(t, "length"))*5*minute,
				drug: DrugNorepinephrine, ugKnown: true, ugKgMin: rapid.SampledFrom([]float64{0.05, 0.1, 0.4}).Draw(t, "rate")})
		}
		want := 0.0
		for end := 5 * minute; end <= stepLen; end += 5 * minute {
			lowest := 9.0
			for at := end - max(hold, 5*minute); at < end; at += 5 * minute {
				sum := 0.0
				for i := range doses {
					if doses[i].from <= at && doses[i].to >= at+5*minute {
						sum += doses[i].ugKgMin
					}
				}
				lowest = min(lowest, sum)
			}
			want = max(want, lowest)
		}
		if got, _ := keptIn(plateausOf(doses, DrugNorepinephrine), 0, stepLen, hold); !near(got, want) {
			t.Fatalf("%v, brute force %v, of %+v", got, want, doses)
		}
	})
}

func TestAPumpThatWasNeverStoppedIsBelievedForTwoHours(t *testing.T) {
	for h, known := range map[float64]bool{1.9: true, 2.1: false} {
		c := icuChart()
		a := infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, h, open)
		a.DocumentedEveryMin = 0
		c.Administrations = []Administration{a}
		if p := mustBuild(t, c).Present; p.VasoKnown != known || known && !near(p.NEUgKgMin, 0.1) {
			t.Errorf("%v after %v", p.VasoKnown, time.Duration(h*float64(time.Hour)))
		}
	}
}
