// SPDX-License-Identifier: Apache-2.0

package cohort

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: what a cohort keeps of a stay, what a file gives back, and how a
// damaged file ends.

var admitted = time.Date(2026, 2, 3, 7, 30, 0, 0, time.UTC)

// stay draws a chart with vitals, labs, an infusion and a bolus.
func stay(t *rapid.T, id string) *state.Chart {
	hours := rapid.IntRange(0, 14).Draw(t, "hours")
	c := &state.Chart{
		Person: state.Person{ID: "patient-" + id, Sex: rapid.SampledFrom([]string{"", "male", "female"}).Draw(t, "sex")},
		Stay: state.Stay{ID: "stay-" + id, ICU: true, ICUKnown: true, Start: admitted,
			End:          admitted.Add(time.Duration(hours) * time.Hour),
			OutcomeKnown: rapid.Bool().Draw(t, "known")},
	}
	if c.Stay.OutcomeKnown {
		c.Stay.DiedInHospital = rapid.Bool().Draw(t, "died")
	}
	if rapid.Bool().Draw(t, "born") {
		c.Person.BirthDate = time.Date(1950, 1, 2, 0, 0, 0, 0, time.UTC)
	}
	for range rapid.IntRange(0, 40).Draw(t, "n") {
		f := state.FeatureAt(rapid.IntRange(0, state.NumFeatures-1).Draw(t, "feature"))
		at := admitted.Add(time.Duration(rapid.IntRange(-300, 1600).Draw(t, "minute")) * time.Minute)
		c.Measurements = append(c.Measurements, state.Measurement{Concept: f.Name, Effective: at, Available: at,
			Value: rapid.Float64Range(f.Lo, f.Hi).Draw(t, "value"), Record: -1})
	}
	if rapid.Bool().Draw(t, "treated") {
		at := admitted.Add(90 * time.Minute)
		c.Administrations = append(c.Administrations,
			state.Administration{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, Form: state.FormInfusion,
				Start: at, Available: at, End: at.Add(5 * time.Hour), RateKnown: true, Rate: 0.1,
				RateUnit: state.UnitUgKgMin, DocumentedEveryMin: 60, Record: -1},
			state.Administration{Drug: "lactated ringer", Class: state.ClassCrystalloid, Form: state.FormBolus,
				Start: at, Available: at, End: at.Add(time.Hour), AmountMl: 500, MlKnown: true, Tonicity: 1, Record: -1})
	}
	return c
}

func rowsOf(t interface{ Fatal(...any) }, c *state.Chart) []Row {
	rows, err := Rows(c, "test", state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestFileGivesBackEveryRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []Row
		for i := range rapid.IntRange(0, 2).Draw(t, "stays") {
			rows = append(rows, rowsOf(t, stay(t, fmt.Sprint(i)))...)
		}
		var buf bytes.Buffer
		info, err := Encode(&buf, Seq(rows))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := Digest(Seq(rows)); err != nil || want != info.Digest || info.Rows != len(rows) {
			t.Fatalf("digest %s, want %s (%v)", info.Digest, want, err)
		}
		var got []Row
		err = decode(bytes.NewReader(buf.Bytes()), int64(buf.Len()), func(r Row) bool { got = append(got, r); return true })
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Fatalf("rows differ:\n%s", d)
		}
		for i := range got {
			tl, err := got[i].Timeline()
			if err != nil {
				t.Fatal(err)
			}
			again, err := tl.Canonical()
			if err != nil || !bytes.Equal(again, got[i].Canonical) {
				t.Fatalf("timeline of step %d changes when it is read back (%v)", got[i].Step, err)
			}
		}
	})
}

func TestRowEqualsTheLiveTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := stay(t, "a")
		for _, row := range rowsOf(t, c) {
			live, err := state.Build(c, row.At, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			want, err := live.Canonical()
			if err != nil || !bytes.Equal(want, row.Canonical) {
				t.Fatalf("step %d: row and live build differ (%v)", row.Step, err)
			}
		}
	})
}

func TestRowsCoverTheStayButNotMoreThanSevenDays(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hours float64
		want  int
	}{
		{"a stay shorter than a step has no row", 3.9, 0},
		{"a stay of exactly one step has one", 4, 1},
		{"the last incomplete step is left out", 11.9, 2},
		{"a long stay ends after 42 steps", 400, 42},
	} {
		c := &state.Chart{Stay: state.Stay{ID: "s", Start: admitted, End: admitted.Add(time.Duration(tc.hours * float64(time.Hour)))}}
		rows := rowsOf(t, c)
		if len(rows) != tc.want {
			t.Errorf("%s: %d rows, want %d", tc.name, len(rows), tc.want)
		}
		for i, r := range rows {
			if r.Step != i+1 || !r.At.Equal(admitted.Add(time.Duration(i+1)*4*time.Hour)) {
				t.Errorf("%s: row %d is step %d at %s", tc.name, i, r.Step, r.At)
			}
			if next, ok := Next(rows, i); ok != (i+1 < len(rows)) || ok && next.Step != r.Step+1 {
				t.Errorf("%s: next of row %d", tc.name, i)
			}
		}
	}
	if _, err := Rows(&state.Chart{}, "test", state.DefaultConfig()); !errors.Is(err, ErrNoStay) {
		t.Errorf("a chart without admission gives %v, want ErrNoStay", err)
	}
}

func TestByStayGroups(t *testing.T) {
	a := Row{Stay: "a", Step: 1}
	rows := []Row{a, {Stay: "a", Step: 2}, {Stay: "b", Step: 1}, a}
	var sizes []int
	for group, err := range ByStay(Seq(rows)) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(group))
	}
	if d := cmp.Diff([]int{2, 1, 1}, sizes); d != "" {
		t.Error(d)
	}
}

// sample is a small file and the place it was written to.
func sample(t *testing.T) (path string, content []byte) {
	t.Helper()
	var rows []Row
	for i := range 3 {
		rows = append(rows, rowsOf(t, rapid.Custom(func(rt *rapid.T) *state.Chart {
			c := stay(rt, fmt.Sprint(i))
			c.Stay.End = admitted.Add(40 * time.Hour)
			return c
		}).Example(i))...)
	}
	path = filepath.Join(t.TempDir(), "cohort.parquet")
	if _, err := Write(path, Seq(rows)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestDamagedFileIsAnError(t *testing.T) {
	path, content := sample(t)
	if rows, err := ReadAll(path); err != nil || len(rows) != 30 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	damage := map[string][]byte{
		"an empty file":              {},
		"a truncated file":           content[:len(content)/2],
		"a file without its footer":  content[:len(content)-9],
		"a file that is not Parquet": []byte("patient,stay\n1,2\n"),
	}
	flips := 60
	if testing.Short() {
		flips = 12
	}
	for i := range flips {
		at := i * len(content) / flips
		flipped := bytes.Clone(content)
		flipped[at] ^= 0x10
		damage[fmt.Sprintf("a flipped bit at byte %d", at)] = flipped
	}
	for name, b := range damage {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := ReadAll(path)
		if err == nil {
			// A bit that Parquet does not read (padding, statistics) may flip
			// unseen; the content must then be what was written.
			want, _ := Digest(Seq(rows))
			if info, _ := Stat(path); info.Digest != want || len(rows) != 30 {
				t.Errorf("%s: read %d rows without error", name, len(rows))
			}
			continue
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v does not wrap ErrCorrupt", name, err)
		}
	}
}

func TestWriteLeavesNothingBehindOnError(t *testing.T) {
	dir := t.TempDir()
	boom := errors.New("source broke")
	_, err := Write(filepath.Join(dir, "c.parquet"), func(yield func(Row, error) bool) { yield(Row{}, boom) })
	if !errors.Is(err, boom) {
		t.Fatalf("error %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left (%v)", len(left), err)
	}
}

func TestSplitIsByPatientAndAboutSeventyFifteenFifteen(t *testing.T) {
	n := map[Split]int{}
	for i := range 20000 {
		id := fmt.Sprintf("patient-%d", i)
		first, again := Part(id), Part(id)
		if first != again {
			t.Fatal("split changes")
		}
		n[first]++
	}
	for part, want := range map[Split]int{Train: 14000, Val: 3000, Test: 3000} {
		if d := n[part] - want; d < -400 || d > 400 {
			t.Errorf("%s: %d patients, want about %d", part, n[part], want)
		}
	}
	// The split is part of every published number: it must never move.
	for id, want := range map[string]Split{"patient-0": Train, "patient-1": Test, "patient-4": Test, "patient-10": Val} {
		if got := Part(id); got != want {
			t.Errorf("patient %s is in %s, want %s", id, got, want)
		}
	}
	if got := PatientHash("patient-0"); got != "4edffd92e172bbed" {
		t.Errorf("patient hash %s has moved", got)
	}
}
