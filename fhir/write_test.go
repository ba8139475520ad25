// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"pgregory.net/rapid"
)

// syntheticChart is a chart of a drawn course.
func syntheticChart(t *rapid.T, hours float64) *state.Chart {
	seed := rapid.Uint64Range(1, 1<<40).Draw(t, "seed")
	scenario := rapid.SampledFrom(append(physiology.Scenarios(), physiology.Mix)).Draw(t, "scenario")
	treatment, err := physiology.BehaviourRandomised.Treatment()
	if err != nil {
		t.Fatal(err)
	}
	return physiology.New(seed, scenario).Run(hours, treatment).Chart()
}

func TestWrittenResourcesHoldNothingEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chart := syntheticChart(t, 9)
		resources, err := Write(chart, StyleOf(rapid.Uint64().Draw(t, "style")))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, raw := range resources {
			var v map[string]any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("%v in %s", err, raw)
			}
			if path := emptyPath(v); path != "" {
				t.Fatalf("%s is empty in %s", path, raw)
			}
			key := v["resourceType"].(string) + "/" + v["id"].(string)
			if seen[key] || len(v["id"].(string)) > 64 {
				t.Fatalf("bad or repeated id %s", key)
			}
			seen[key] = true
			if v["resourceType"] == "MedicationAdministration" && (v["medicationReference"] == nil) == (v["medicationCodeableConcept"] == nil) {
				t.Fatalf("not exactly one medication[x] in %s", raw)
			}
			if !bytes.Contains(raw, []byte(`"HTEST"`)) {
				t.Fatalf("not tagged as synthetic: %s", raw)
			}
		}
	})
}

// emptyPath finds a null, "", [] or {}.
func emptyPath(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case string:
		if x == "" {
			return `""`
		}
	case []any:
		if len(x) == 0 {
			return "[]"
		}
		for _, e := range x {
			if p := emptyPath(e); p != "" {
				return p
			}
		}
	case map[string]any:
		if len(x) == 0 {
			return "{}"
		}
		for k, e := range x {
			if p := emptyPath(e); p != "" {
				return k + "." + p
			}
		}
	}
	return ""
}

// throughFHIR writes a chart and reads it again with the mapper.
func throughFHIR(t *rapid.T, chart *state.Chart, style Style) *state.Chart {
	codeMaps, err := testMaps()
	if err != nil {
		t.Fatal(err)
	}
	resources, err := Write(chart, style)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMapper(codeMaps)
	bag := NewBag(chart.Person.ID)
	for _, raw := range resources {
		if err := m.Add(bag, raw, state.Origin{Via: "bundle"}); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
	}
	back, err := m.Chart(bag, chart.Stay.ID, chart.Stay.Start.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestRoundTripKeepsEveryValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chart := syntheticChart(t, 14)
		style := StyleOf(rapid.Uint64().Draw(t, "style"))
		back := throughFHIR(t, chart, style)
		if len(back.Rejects) > 0 {
			t.Fatalf("rejected: %+v", back.Rejects[0])
		}
		sameMeasurements(t, chart, back)
		sameAdministrations(t, chart, back)
		if !back.Person.Synthetic || back.Stay.ID != chart.Stay.ID || !back.Stay.ICU || !back.Stay.Start.Equal(chart.Stay.Start) {
			t.Fatalf("person %+v, stay %+v", back.Person, back.Stay)
		}
		if len(back.Conditions) < countTagged(chart.Conditions) {
			t.Fatalf("%d conditions of %d", len(back.Conditions), len(chart.Conditions))
		}
	})
}

func countTagged(cs []state.Condition) int {
	n := 0
	for _, c := range cs {
		if len(c.Tags) > 0 {
			n++
		}
	}
	return n
}

type measured struct {
	concept state.Concept
	at      int64
	method  string
}

// sameMeasurements compares value by value, within half of the last digit that
// was written in the coarser of the two units.
func sameMeasurements(t *rapid.T, want, got *state.Chart) {
	index := map[measured][]state.Measurement{}
	for _, m := range got.Measurements {
		k := measured{m.Concept, m.Effective.Unix(), m.Method}
		index[k] = append(index[k], m)
	}
	for _, m := range want.Measurements {
		k := measured{m.Concept, m.Effective.Unix(), m.Method}
		found := false
		for _, g := range index[k] {
			row := writtenAs[m.Concept]
			half := 0.51 * math.Pow(10, -float64(row.unit.decimals))
			if row.si != nil {
				half = math.Max(half, 0.51*math.Pow(10, -float64(row.si.decimals))/row.si.scale)
			}
			found = found || math.Abs(g.Value-m.Value) <= half && g.Available.Equal(m.Available)
		}
		if !found {
			t.Fatalf("%s %v (%s) at %v came back as %+v", m.Concept, m.Value, m.Method, m.Effective, index[k])
		}
	}
	if len(got.Measurements) != len(want.Measurements) {
		t.Fatalf("%d measurements became %d", len(want.Measurements), len(got.Measurements))
	}
}

func sameAdministrations(t *rapid.T, want, got *state.Chart) {
	type key struct {
		drug  state.Drug
		start int64
		form  state.Form
	}
	index := map[key]state.Administration{}
	for _, a := range got.Administrations {
		index[key{a.Drug, a.Start.Unix(), a.Form}] = a
	}
	for _, a := range want.Administrations {
		g, ok := index[key{a.Drug, a.Start.Unix(), a.Form}]
		if a.Class == state.ClassOther {
			continue
		}
		if !ok || g.Class != a.Class || !g.End.Equal(a.End) {
			t.Fatalf("%s %s from %v came back as %+v", a.Drug, a.Form, a.Start, g)
		}
		if a.MlKnown && (!g.MlKnown || math.Abs(a.AmountMl-g.AmountMl) > 0.06) {
			t.Fatalf("%s: %v mL came back as %+v", a.Drug, a.AmountMl, g)
		}
		if a.Class != state.ClassVasopressor {
			continue
		}
		rate := g.Rate
		if g.RateUnit == state.UnitUgMin {
			rate /= a.DosingKg
		}
		if !g.RateKnown || math.Abs(rate-a.Rate) > 0.0006+0.002*a.Rate {
			t.Fatalf("%s %v %s came back as %v %s (%s): %s", a.Drug, a.Rate, a.RateUnit, g.Rate, g.RateUnit, g.Unknown, g.Received)
		}
	}
}

func TestWriteFolderRepeatsItsBytes(t *testing.T) {
	write := func() map[string][]byte {
		dir := t.TempDir()
		rows, err := WriteFolder(dir, charts(t, 3), HospitalStyle)
		if err != nil {
			t.Fatal(err)
		}
		if rows["Patient"] != 3 || rows["Encounter"] != 3 || rows["Observation"] == 0 {
			t.Fatalf("rows %v", rows)
		}
		files := map[string][]byte{}
		for kind := range rows {
			b, err := os.ReadFile(filepath.Join(dir, kind+".ndjson.gz"))
			if err != nil {
				t.Fatal(err)
			}
			files[kind] = b
		}
		return files
	}
	a, b := write(), write()
	for _, kind := range slices.Sorted(maps.Keys(a)) {
		if !bytes.Equal(a[kind], b[kind]) {
			t.Errorf("%s differs between two runs", kind)
		}
	}
}

func charts(t *testing.T, n int) iter.Seq[*state.Chart] {
	seq, err := physiology.Cohort(physiology.CohortConfig{Patients: n, Seed: 9, Hours: 12})
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*state.Chart) bool) {
		for c := range seq {
			if !yield(c.Chart()) {
				return
			}
		}
	}
}

func TestAConceptWithoutACodeIsAnError(t *testing.T) {
	_, err := Write(&state.Chart{Measurements: []state.Measurement{{Concept: "mood"}}}, Style{})
	if !errors.Is(err, ErrNotWritable) {
		t.Errorf("error %v", err)
	}
}
