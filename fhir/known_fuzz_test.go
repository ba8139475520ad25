// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: fuzzing of what is made of bytes from outside beyond one resource:
// whole folders, site code maps, times, and the timeline that a chart of
// hostile resources gives.

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// FuzzInstant holds the reading of times against each other: an instant is a
// moment that is known at once, and a date is over everywhere when it is known.
func FuzzInstant(f *testing.F) {
	for _, s := range []string{"2026-03-01T10:00:00Z", "2026-03-01T24:00:00+05:30", "2016-12-31T23:59:60Z", "2026-03-01", "2026-02", "2026", "", "2026-03-01T10:00:00",
		"2026-03-01T10:00Z", "0001-01-01T00:00:00Z", "2026-03-01T10:00:00.123456789-23:59", "9999-12-31T23:59:59Z", "2026-13-01", "T", "2026-03-01T+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := instant(text)
		if err == nil && (at.Location() != time.UTC || at.Year() < 1849 || at.Year() > 2301) {
			t.Fatalf("%q is %s", text, at)
		}
		from, known, mErr := knownBy(text)
		switch {
		case err == nil && (mErr != nil || !from.Equal(at) || !known.Equal(at)):
			t.Fatalf("%q: instant %s, known %s to %s, %v", text, at, from, known, mErr)
		case mErr == nil && known.Before(from):
			t.Fatalf("%q is known %s, before it can be: %s", text, known, from)
		case err != nil && mErr == nil && known.Sub(from) < 36*time.Hour:
			t.Fatalf("the date %q is over everywhere after %s", text, known.Sub(from))
		}
	})
}

// FuzzTimeline makes timelines of a chart with one hostile resource: nothing
// may fail, no number may be impossible, and nothing may be read that was not
// known at the time.
func FuzzTimeline(f *testing.F) {
	for _, s := range []string{observation("8867-4", valueIn("88", "/min")), observation("8478-0", valueIn("55", "mm[Hg]")), observation("9187-6", valueIn("300", "mL")),
		given(rx("7512"), bag4in250+rate("15", "ml/hr")), observation("2160-0", `"issued":"2026-03-01T11:20:00Z",`+valueIn("177", "umol/L")),
		`{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"A41.9"}]},"recordedDate":"2026-03-01"}`,
		`{"resourceType":"Procedure","id":"p","status":"in-progress","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"40617009"}]},"performedPeriod":{"start":"2026-03-01T09:00:00Z"}}`,
		`{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"20481"}]},"authoredOn":"2026-03-01T12:30:00Z"}`} {
		f.Add([]byte(s))
	}
	m, cfg := testMapper(f), state.DefaultConfig()
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := NewBag("p1")
		for _, r := range [][]byte{[]byte(testPatient), []byte(testEncounter), []byte(observation("8478-0", valueIn("62", "mm[Hg]"))), bytes.Clone(raw)} {
			_ = m.Add(b, r, state.Origin{Via: "folder"})
		}
		c, err := m.Chart(b, "", time.Time{})
		if errors.Is(err, ErrNoPatient) || errors.Is(err, ErrNoStay) {
			return // the resource was another Patient or Encounter
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{clock(9, 59), clock(10, 0), clock(12, 0), testNow, testNow.Add(48 * time.Hour)} {
			whole, err := state.Build(c, at, cfg)
			if err != nil {
				t.Fatal(err)
			}
			cut, err := state.Build(c.Known(at), at, cfg)
			if err != nil {
				t.Fatal(err)
			}
			a, errA := whole.Canonical()
			z, errZ := cut.Canonical()
			if errA != nil || errZ != nil {
				t.Fatal(errA, errZ)
			}
			if !bytes.Equal(a, z) {
				t.Fatalf("at %s the timeline reads what was not known", at)
			}
			for _, s := range whole.Steps {
				for i, v := range s.Value {
					if feat := state.FeatureAt(i); math.IsNaN(v) || s.Presence[i] != state.Missing && (v < feat.Lo || v > feat.Hi) {
						t.Fatalf("%s is %g", feat.Name, v)
					}
				}
			}
			if _, err := state.Explain(c, at, cfg); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzOpenFolder reads a folder with one hostile file, plain and gzipped: every
// line is counted once, and a file cut short is an error, never a short cohort.
func FuzzOpenFolder(f *testing.F) {
	for _, s := range []string{testPatient + "\n" + testEncounter + "\n" + observation("8867-4", valueIn("88", "/min")) + "\n", "\n\n{}\n[]\nnull\n", testPatient + "\r\n" + testPatient,
		`{"resourceType":"Patient","id":"../../x"}`, "\x1f\x8b\x08", "\xef\xbb\xbf" + testPatient, `{"resourceType":"Observation","subject":{"reference":"Patient/"}}`} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, data []byte, zipped bool) {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "Patient.ndjson"), []byte(testPatient+"\n"))
		path := filepath.Join(dir, "Other.ndjson")
		if zipped {
			path += ".gz"
			var buf bytes.Buffer
			w := gzip.NewWriter(&buf)
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			data = buf.Bytes()
		}
		writeFile(t, path, data)
		folder, err := m.OpenFolder(context.Background(), dir)
		if err != nil {
			return
		}
		defer folder.Close()
		patients, err := folder.Patients()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range patients {
			b, err := folder.Bag(id)
			if err != nil {
				t.Fatal(err)
			}
			c, err := m.Chart(b, "", time.Time{})
			if err != nil {
				if errors.Is(err, ErrNoPatient) {
					continue
				}
				t.Fatal(err)
			}
			if c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
				t.Fatalf("%+v", c.Tally)
			}
		}
	})
}

// FuzzCutGzip cuts a gzipped file at any byte: what is left must be an error.
func FuzzCutGzip(f *testing.F) {
	f.Add(uint(1))
	f.Add(uint(30))
	f.Add(uint(1 << 20))
	m := testMapper(f)
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write([]byte(testPatient + "\n" + testEncounter + "\n" + observation("8867-4", valueIn("88", "/min")) + "\n"))
	_ = w.Close()
	f.Fuzz(func(t *testing.T, cut uint) {
		n := int(cut % uint(buf.Len()))
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "All.ndjson.gz"), buf.Bytes()[:n])
		folder, err := m.OpenFolder(context.Background(), dir)
		if err == nil {
			folder.Close()
			t.Fatalf("%d of %d bytes were read as a whole file", n, buf.Len())
		}
	})
}

// FuzzLoadCodeMaps reads a hostile site file: it is refused as ErrCodeMap, or
// what it says can be used.
func FuzzLoadCodeMaps(f *testing.F) {
	for _, s := range []string{"version: 1\nname: site\n", "version: 1\nname: site\nsystems: {gluc: ['urn:hospital:lab']}\nobservations: [{concept: glucose, lag: lab, assumeUnit: mg/dL, codes: {gluc: [GLUC7]}}]\n",
		"version: 1\nname: x\nlagMinutes: {lab: .inf}\n", "version: 1\nname: x\nsourceLagMinutes: {loinc: {lab: 1}}\n", "version: 2\n", "a: [", "&a [*a]", "version: 1\nname: x\ndrugs: [{drug: x, class: vasopressor, dose: mass, codes: {rxnorm: ['1']}}]\n"} {
		f.Add([]byte(s))
	}
	fsys := configs.FS
	path := filepath.Join(f.TempDir(), "site.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		maps, err := LoadCodeMaps(fsys, path)
		if err != nil {
			if !errors.Is(err, ErrCodeMap) {
				t.Fatal(err)
			}
			return
		}
		m := NewMapper(maps)
		c := chartOf(t, m, observation("8867-4", valueIn("88", "/min")), given(rx("7512"), bag4in250+rate("15", "ml/hr")))
		for i := range c.Measurements {
			if v := &c.Measurements[i]; v.Available.Before(v.Effective) {
				t.Fatalf("known before it was measured: %+v", v)
			}
		}
	})
}
