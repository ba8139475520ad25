// SPDX-License-Identifier: Apache-2.0

package main

// This file: a fixed sample of the real data, and the golden file of what is
// derived from it: counts, fractions, quantiles and one digest per data set.
// No row, no patient and no hash of a patient is in it.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// sampleOneIn is which share of the patients is sampled: enough to see every
// kind of row, few enough for a test that always runs.
var sampleOneIn = map[string]uint32{"mimic-iv-demo-fhir": 9, "eicu-demo-fhir": 45}

// sampleFolder copies the resources of the sampled patients, and those of
// nobody, into a folder of their own.
func sampleFolder(t testing.TB, set string) string {
	t.Helper()
	dir := dataFolder(t, set)
	out := filepath.Join(t.TempDir(), set)
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", dir, files, err)
	}
	for _, path := range files {
		if err := sampleFile(path, filepath.Join(out, strings.TrimSuffix(filepath.Base(path), ".gz")), sampleOneIn[set]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func sampleFile(from, to string, oneIn uint32) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriter(out)
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(make([]byte, 1<<20), 64<<20)
	for lines.Scan() {
		if id := patientOf(lines.Bytes()); len(id) == 0 || sampled(id, oneIn) {
			w.Write(lines.Bytes())
			w.WriteByte('\n')
		}
	}
	return errors.Join(lines.Err(), w.Flush())
}

var patientID = regexp.MustCompile(`"id": ?"([^"]+)"`)

// patientOf finds the patient a line speaks of, nil for nobody.
func patientOf(line []byte) []byte {
	if i := bytes.Index(line, []byte(`"Patient/`)); i >= 0 {
		rest := line[i+len(`"Patient/`):]
		return rest[:bytes.IndexByte(rest, '"')]
	}
	if bytes.Contains(line, []byte(`"resourceType":"Patient"`)) || bytes.Contains(line, []byte(`"resourceType": "Patient"`)) {
		if m := patientID.FindSubmatch(line); m != nil {
			return m[1]
		}
	}
	return nil
}

func sampled(id []byte, oneIn uint32) bool {
	h := fnv.New32a()
	h.Write(id)
	return h.Sum32()%oneIn == 0
}

// realSample maps the first n sampled stays of a data set.
func realSample(t testing.TB, set string, n int) []*state.Chart {
	t.Helper()
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	mapper := fhir.NewMapper(maps)
	folder, err := mapper.OpenFolder(t.Context(), sampleFolder(t, set))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	var out []*state.Chart
	patients, err := folder.Patients()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range patients {
		bag, err := folder.Bag(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, stay := range mapper.Stays(bag) {
			if len(out) == n {
				return out
			}
			if !stay.ICU || stay.Start.IsZero() {
				continue
			}
			chart, err := mapper.Chart(bag, stay.ID, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, chart)
		}
	}
	return out
}

// derived is what the golden file keeps of one data set.
type derived struct {
	cohortCounts
	Digest  string                 `json:"digest"` // of all rows together
	Values  map[string]derivedSpan `json:"values"` // of measured values per feature
	SOFA    map[int]int            `json:"sofa"`   // rows by total
	Vaso    map[int]int            `json:"vasopressor_levels"`
	Fluid   map[int]int            `json:"fluid_levels"`
	Unknown map[string]int         `json:"rows_with_unknown"`
	Met     int                    `json:"rows_with_sepsis"`
}

// derivedSpan is the spread of one feature over all sampled rows.
type derivedSpan struct {
	N   int     `json:"n"`
	P5  float64 `json:"p5"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// TestRealDataDoNotDrift guards the mapping of real charts: any change of what
// is read, converted, binned or scored moves a number here.
func TestRealDataDoNotDrift(t *testing.T) {
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*derived{}
	for set := range sampleOneIn {
		out := filepath.Join(t.TempDir(), "rows.parquet")
		report, err := buildCohort(t.Context(), fhir.NewMapper(maps), cfg.State, []string{sampleFolder(t, set)}, out, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		got[set] = deriveFrom(t, report, out)
	}
	text, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "realdata.golden.json", string(text)+"\n")
}

func deriveFrom(t *testing.T, report *cohortReport, path string) *derived {
	t.Helper()
	d := &derived{cohortCounts: report.cohortCounts, Digest: report.Digest, Values: map[string]derivedSpan{}, SOFA: map[int]int{}, Vaso: map[int]int{}, Fluid: map[int]int{}, Unknown: map[string]int{}}
	for name, v := range d.Coverage {
		d.Coverage[name] = math.Round(v*1e4) / 1e4
	}
	values := make([][]float64, state.NumFeatures)
	for row, err := range cohort.Read(path) {
		if err != nil {
			t.Fatal(err)
		}
		for f := range values {
			if row.Presence[f] == state.Measured {
				values[f] = append(values[f], row.Value[f])
			}
		}
		d.SOFA[row.SOFA.Total]++
		if row.Given.VasoKnown {
			d.Vaso[row.Given.Levels.Vasopressor]++
		} else {
			d.Unknown["vasopressor"]++
		}
		if row.Given.FluidKnown {
			d.Fluid[row.Given.Levels.Fluid]++
		} else {
			d.Unknown["fluid"]++
		}
		tl, err := row.Timeline()
		if err != nil {
			t.Fatal(err)
		}
		if tl.Present.Sepsis.Met {
			d.Met++
		}
	}
	for f, list := range values {
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		at := func(q float64) float64 {
			v := list[int(q*float64(len(list)-1))]
			return math.Round(v*1e3) / 1e3
		}
		d.Values[string(state.FeatureAt(f).Name)] = derivedSpan{len(list), at(0.05), at(0.5), at(0.95)}
	}
	return d
}
