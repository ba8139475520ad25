// SPDX-License-Identifier: Apache-2.0

package physiology

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"pgregory.net/rapid"
)

// anyPatient is a patient of any scenario, treated as usual for some hours and
// still in the unit.
func anyPatient(t *rapid.T) *Patient {
	seed := rapid.Uint64().Draw(t, "seed")
	scenario := rapid.SampledFrom(append(Scenarios(), Mix)).Draw(t, "scenario")
	p := New(seed, scenario)
	p.Run(float64(rapid.IntRange(0, 30).Draw(t, "hours")), Func(clinician))
	if p.end != endOpen {
		t.Skip("the stay ended")
	}
	return p
}

// sweep gives the still-open patients of many seeds.
func sweep(n int, scenarios ...Scenario) []*Patient {
	if testing.Short() {
		n = n * 3 / 5
	}
	var out []*Patient
	for seed := range uint64(n) {
		p := New(seed, scenarios[int(seed)%len(scenarios)])
		p.Run(float64(seed%24), Func(clinician))
		if p.end == endOpen {
			out = append(out, p)
		}
	}
	return out
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	digest := func() [32]byte {
		var all []byte
		for _, s := range append(Scenarios(), Mix) {
			b, err := json.Marshal(New(42, s).Run(30, Func(randomised)).Chart())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return sha256.Sum256(all)
	}
	if first, again := digest(), digest(); first != again {
		t.Error("two runs of the same seeds differ")
	}
}

func TestACloneMeetsTheSameChance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPatient(t)
		a, b := p.Contrast(4, Fixed(0.1, 50), Fixed(0.1, 50))
		x, err := json.Marshal(a.Chart())
		if err != nil {
			t.Fatal(err)
		}
		y, err := json.Marshal(b.Chart())
		if err != nil {
			t.Fatal(err)
		}
		if string(x) != string(y) {
			t.Error("the same treatment of two clones gives different charts")
		}
	})
}

func TestBranchingLeavesTheOriginalAlone(t *testing.T) {
	p := New(7, SepticShock)
	p.Run(5, Func(clinician))
	before, steps := p.body, len(p.log)
	p.Clone().Run(10, Fixed(0.8, 500))
	if p.body != before || len(p.log) != steps {
		t.Error("running a clone changed the patient")
	}
}

func TestNorepinephrineRaisesMAP(t *testing.T) {
	up, n, sum := 0, 0, 0.0
	for _, p := range sweep(400, Mix, SepticShock, EarlySepsis, RefractoryShock) {
		now := p.doses.NEUgKgMin
		less, more := p.Contrast(4, Fixed(now, 50), Fixed(now+0.1, 50))
		d := more.MeanMAP(4) - less.MeanMAP(4)
		n++
		sum += d
		if d > 0 {
			up++
		}
	}
	if n < 150 || float64(up) < 0.95*float64(n) {
		t.Errorf("MAP rose in %d of %d states, want at least 95 %%", up, n)
	}
	if mean := sum / float64(n); mean < 4 || mean > 18 {
		t.Errorf("0.1 ug/kg/min raises MAP by %.1f mmHg on average, want 4 to 18", mean)
	}
}

func TestNorepinephrineSaturates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, tr := New(rapid.Uint64().Draw(t, "seed"), SepticShock), 0.0
		last, gain := b.body.tonePress(b.traits, Doses{}), math.Inf(1)
		for range 12 {
			tr += 0.2
			now := b.body.tonePress(b.traits, Doses{NEUgKgMin: tr})
			if now <= last || now-last >= gain {
				t.Fatalf("tone at %.1f ug/kg/min: gain %.4f after %.4f", tr, now-last, gain)
			}
			last, gain = now, now-last
		}
		if last > b.traits.neEmax {
			t.Fatalf("tone %.2f beyond the maximum %.2f", last, b.traits.neEmax)
		}
	})
}

func TestFluidRaisesMAPWhereVolumeIsLow(t *testing.T) {
	up, n := 0, 0
	for _, p := range sweep(500, EarlySepsis, SepticShock) {
		if p.body.s > 0.75 {
			continue
		}
		n++
		dry := Fixed(p.doses.NEUgKgMin, 0)
		none, bolus := p.Contrast(2, dry, Bolus(dry, len(p.log), 500))
		if bolus.MeanMAP(1) > none.MeanMAP(1) {
			up++
		}
	}
	if n < 20 || float64(up) < 0.95*float64(n) {
		t.Errorf("MAP rose in %d of %d hypovolaemic states, want at least 95 %%", up, n)
	}
}

func TestFluidHarmsOxygenationWhereOverloaded(t *testing.T) {
	flood := map[float64]float64{}
	for h := 0.0; h < 24; h += 2 {
		flood[h] = 1000
	}
	worse, n := 0, 0
	for seed := range uint64(120) {
		p := New(seed, FluidOverload)
		p.Run(24, titrate(65, 0.4, 100, flood))
		if p.end != endOpen || p.body.interstitialMl < 4000 {
			continue
		}
		n++
		hold := Fixed(p.doses.NEUgKgMin, 0)
		none, bolus := p.Contrast(6, hold, Bolus(hold, len(p.log), 1000))
		if pf(bolus) < pf(none) {
			worse++
		}
	}
	if n < 30 || float64(worse) < 0.95*float64(n) {
		t.Errorf("P/F fell in %d of %d overloaded states, want at least 95 %%", worse, n)
	}
}

// pf is P/F at the end of a course.
func pf(c Course) float64 {
	tr := c.Last().Truth()
	return 100 * tr["pao2"] / tr["fio2"]
}

func TestNothingImpossibleIsSimulated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom(append(Scenarios(), Mix)).Draw(t, "scenario"))
		wild := Func(func(v Bedside) Doses {
			r := dice(v.Seed, "wild", v.Step/12)
			return Doses{
				NEUgKgMin: 2 * r.Float64() * r.Float64(), EpinephrineUgKgMin: r.Float64() * r.Float64() * 0.5,
				VasopressinUMin: 0.06 * r.Float64(), MaintenanceMlH: 600 * r.Float64(), BolusMl: 400 * math.Floor(r.Float64()*1.2),
				Antibiotic: v.AntibioticDue, Diuretic: r.Float64() < 0.05,
			}
		})
		c := p.Run(48, wild)
		for _, m := range c.Moments() {
			tr := m.Truth()
			if !(tr["diabp"] <= tr["meanbp"] && tr["meanbp"] <= tr["sysbp"]) {
				t.Fatalf("DBP %.1f, MAP %.1f, SBP %.1f out of order", tr["diabp"], tr["meanbp"], tr["sysbp"])
			}
		}
		checkChart(t, c.Chart())
	})
}

// fataler is *testing.T and *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

// checkChart holds every charted value to the catalogue and every time to order.
func checkChart(t fataler, c *state.Chart) {
	for _, m := range c.Measurements {
		if f, ok := state.Lookup(m.Concept); ok && (m.Value < f.Lo || m.Value > f.Hi || math.IsNaN(m.Value)) {
			t.Fatalf("%s %v outside %v..%v", m.Concept, m.Value, f.Lo, f.Hi)
		}
		if m.Available.Before(m.Effective) {
			t.Fatalf("%s known before it was measured", m.Concept)
		}
		if m.Record < 0 || m.Record >= len(c.Records) {
			t.Fatalf("%s points at record %d of %d", m.Concept, m.Record, len(c.Records))
		}
	}
	for _, a := range c.Administrations {
		if a.Rate < 0 || a.AmountMl < 0 || !a.End.IsZero() && a.End.Before(a.Start) {
			t.Fatalf("impossible administration %+v", a)
		}
	}
	ids := map[string]bool{}
	for _, r := range c.Records {
		if ids[r.Type+"/"+r.ID] {
			t.Fatalf("record id %s twice", r.ID)
		}
		ids[r.Type+"/"+r.ID] = true
	}
}

func TestAllFeaturesAreCharted(t *testing.T) {
	seen := map[state.Concept]bool{}
	for seed := range uint64(6) {
		for _, m := range New(seed, SepticShock).Run(36, Func(clinician)).Chart().Measurements {
			seen[m.Concept] = true
		}
	}
	for _, f := range state.Catalogue() {
		if !seen[f.Name] {
			t.Errorf("%s is never charted", f.Name)
		}
	}
}

func TestMovingACourseInTimeChangesNothingElse(t *testing.T) {
	c := New(3, SepticShock).Run(12, Func(clinician))
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	a, b := c.Chart(), c.EndAt(at).Chart()
	if got := c.EndAt(at).Until(); !got.Equal(at) {
		t.Fatalf("ends at %v, want %v", got, at)
	}
	shift := at.Sub(c.Until())
	if len(a.Measurements) != len(b.Measurements) || len(a.Administrations) != len(b.Administrations) {
		t.Fatal("another number of events")
	}
	for i := range a.Measurements {
		if a.Measurements[i].Value != b.Measurements[i].Value || !a.Measurements[i].Effective.Add(shift).Equal(b.Measurements[i].Effective) {
			t.Fatalf("event %d differs by more than time", i)
		}
	}
}

func TestCohort(t *testing.T) {
	seq, err := Cohort(CohortConfig{Patients: 60, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	n, septic, ids := 0, 0, map[string]bool{}
	for c := range seq {
		n++
		if c.Septic() {
			septic++
		}
		ids[c.PersonID()] = true
		ch := c.Chart()
		checkChart(t, ch)
		if !ch.Person.Synthetic || !ch.Stay.OutcomeKnown || ch.Stay.DiedInHospital != c.Died() {
			t.Fatalf("person %+v, stay %+v", ch.Person, ch.Stay)
		}
	}
	if n != 60 || len(ids) != 60 || septic < 20 || septic > 45 {
		t.Errorf("%d stays, %d people, %d septic", n, len(ids), septic)
	}
	for name, cfg := range map[string]CohortConfig{
		"no patients":       {},
		"negative hours":    {Patients: 1, Hours: -1},
		"unknown behaviour": {Patients: 1, Behaviour: "guess"},
	} {
		if _, err := Cohort(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSickerPatientsGetMoreAndRandomisedOnesDoNot(t *testing.T) {
	// Correlation of the norepinephrine in a 4-hour block with inflammation at
	// its start: clinicians treat illness, chance does not look.
	corr := func(t Treatment) float64 {
		var x, y []float64
		for seed := range uint64(60) {
			log := New(seed, Mix).Run(48, t).Moments()
			for i := 4 * stepsPerHour; i+stepsPerHour < len(log); i += 4 * stepsPerHour {
				x = append(x, log[i-1].body.inflammation)
				y = append(y, log[i+stepsPerHour-1].Given.NEUgKgMin)
			}
		}
		return correlation(x, y)
	}
	c, r := corr(Func(clinician)), corr(Func(randomised))
	if c < 0.3 || r > c/2 {
		t.Errorf("correlation of dose with inflammation: clinician %.2f, randomised %.2f", c, r)
	}
}

func correlation(x, y []float64) float64 {
	var mx, my, sxy, sxx, syy float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		sxy, sxx, syy = sxy+(x[i]-mx)*(y[i]-my), sxx+(x[i]-mx)*(x[i]-mx), syy+(y[i]-my)*(y[i]-my)
	}
	return sxy / math.Sqrt(sxx*syy)
}

func TestDemonstrationPatientsTellTheirStories(t *testing.T) {
	now := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)
	patients, err := Demo(now)
	if err != nil {
		t.Fatal(err)
	}
	if len(patients) != len(Scenarios()) {
		t.Fatalf("%d patients", len(patients))
	}
	for _, p := range patients {
		t.Run(string(p.Scenario), func(t *testing.T) {
			c := p.Course.Chart()
			newest := map[state.Concept]time.Time{}
			for _, m := range c.Measurements {
				if !m.Available.After(now) && m.Effective.After(newest[m.Concept]) {
					newest[m.Concept] = m.Effective
				}
			}
			missing := p.Scenario == MissingData
			if age := now.Sub(newest["meanbp"]); (age <= 10*time.Minute) == missing {
				t.Errorf("newest MAP is %v old", age)
			}
			if _, ok := newest["lactate"]; ok == missing && p.Course.Septic() {
				t.Errorf("lactate charted: %v", ok)
			}
			if _, ok := newest[state.ConceptWeight]; ok == missing {
				t.Errorf("weight charted: %v", ok)
			}
			antibiotic := false
			for _, a := range c.Administrations {
				antibiotic = antibiotic || a.Class == state.ClassAntimicrobial
				if a.End.IsZero() && now.Sub(a.Start) > 65*time.Minute {
					t.Errorf("%s documented %v ago", a.Drug, now.Sub(a.Start))
				}
			}
			if antibiotic != p.Course.Septic() {
				t.Errorf("antibiotic %v, septic %v", antibiotic, p.Course.Septic())
			}
		})
	}
}

func ExamplePatient_Contrast() {
	p := New(11, SepticShock)
	p.Run(6, Func(clinician))
	without, with := p.Contrast(4, Fixed(0, 50), Fixed(0.2, 50))
	fmt.Println(with.MeanMAP(4) > without.MeanMAP(4))
	// Output: true
}
