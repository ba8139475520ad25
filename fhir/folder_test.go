// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func line(s string) string { return strings.Join(strings.Fields(s), " ") + "\n" }

func TestAFolderIsReadPatientByPatient(t *testing.T) {
	dir := t.TempDir()
	other := strings.NewReplacer("p1", "p2", `"o1"`, `"o9"`, `"e1"`, `"e2"`)
	writeFile(t, filepath.Join(dir, "b.ndjson"), []byte(line(observation("8867-4", valueIn("88", "/min")))+"{broken\n\n"+line(other.Replace(observation("8867-4", valueIn("70", "/min"))))+
		line(observation("99999-9", valueIn("1", "1")))+line(`{"resourceType":"Practitioner","id":"d1"}`)))
	writeFile(t, filepath.Join(dir, "a.ndjson.gz"), gzipped(t, line(testPatient)+line(testEncounter)+line(other.Replace(testPatient))+line(other.Replace(testEncounter))))
	m := testMapper(t)
	f, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.Patients(); err != nil || fmt.Sprint(got) != "[p1 p2]" || f.CountPatients() != 2 {
		t.Fatalf("patients %s of %d, %v", got, f.CountPatients(), err)
	}
	if len(f.Rejects) != 1 || f.Rejects[0].Reason != faultBroken || f.Rejects[0].Origin.Key != "b.ndjson" || f.Rejects[0].Origin.Line != 2 {
		t.Errorf("rejects %+v", f.Rejects)
	}
	read := f.Read.Read
	err = f.Each(context.Background(), func(b *Bag) error {
		c, err := m.Chart(b, "", time.Time{})
		if err != nil {
			return err
		}
		read += c.Tally.Read
		if len(c.Measurements) != 1 || c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
			t.Errorf("%s: %+v", c.Person.ID, c.Tally)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read != 9 {
		t.Errorf("%d lines counted of 9", read)
	}
}

func TestATruncatedGzipFailsTheFolder(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString(line(testPatient))
	for i := range 2000 {
		text.WriteString(line(strings.Replace(observation("8867-4", valueIn(fmt.Sprint(60+i%60), "/min")), `"o1"`, fmt.Sprintf(`"o%d"`, i), 1)))
	}
	whole := gzipped(t, text.String())
	for _, keep := range []int{0, 5, len(whole) / 2, len(whole) - 4} {
		writeFile(t, filepath.Join(dir, "Observation.ndjson.gz"), whole[:keep])
		_, err := testMapper(t).OpenFolder(context.Background(), dir)
		if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "Observation.ndjson.gz") {
			t.Errorf("%d bytes of %d: %v", keep, len(whole), err)
		}
	}
}

func TestAFolderWithoutAnExportSaysSo(t *testing.T) {
	if _, err := testMapper(t).OpenFolder(context.Background(), t.TempDir()); !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), "hint") {
		t.Errorf("got %v", err)
	}
}

func TestAHospitalThatChartsNoInfusionsIsAGap(t *testing.T) {
	dir := t.TempDir()
	stay := func(p, org string) string {
		return line(strings.NewReplacer("p1", p, `"e1"`, `"e-`+p+`"`, `"status"`, `"serviceProvider":{"reference":"Organization/`+org+`"},"status"`).Replace(testEncounter)) +
			line(strings.Replace(testPatient, "p1", p, 1))
	}
	drip := strings.Replace(given(rx("8782"), rate("20", "mcg/kg/min")), `"subject"`, `"context":{"reference":"Encounter/e-p1"},"subject"`, 1)
	writeFile(t, filepath.Join(dir, "x.ndjson"), []byte(stay("p1", "A")+stay("p2", "B")+line(drip)))
	m := testMapper(t)
	f, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[string]string{"p1": "fluid", "p2": "vasopressor fluid"}
	for p, gaps := range want {
		b, err := f.Bag(p)
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.Chart(b, "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range c.Gaps {
			if g.What == "vasopressor" || g.What == "fluid" {
				got = append(got, g.What)
			}
		}
		if strings.Join(got, " ") != gaps {
			t.Errorf("%s: gaps %v, want %s", p, got, gaps)
		}
	}
}

// subset links some files of a data set into a folder of their own.
func subset(t *testing.T, dir string, files ...string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range files {
		from, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(from, filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// vasopressorRows counts infusion rows of vasopressors and inotropes, known
// and not, in a folder.
func vasopressorRows(t *testing.T, dir string) (known, not map[state.Drug]int, why map[string]int) {
	t.Helper()
	m := testMapper(t)
	f, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	known, not, why = map[state.Drug]int{}, map[state.Drug]int{}, map[string]int{}
	err = f.Each(context.Background(), func(b *Bag) error {
		c, err := m.Chart(b, "", time.Time{})
		if err != nil {
			return err
		}
		for i := range c.Administrations {
			switch a := &c.Administrations[i]; {
			case a.Class != state.ClassVasopressor && a.Class != state.ClassInotrope:
			case a.RateKnown:
				known[a.Drug]++
			default:
				not[a.Drug]++
				why[a.Unknown]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return known, not, why
}

func TestVasopressorRowsUnderstoodInRealData(t *testing.T) {
	tests := []struct {
		set   string
		files []string
		known string
		not   string
		why   string
	}{
		{"mimic-iv-demo-fhir", []string{"MimicPatient.ndjson.gz", "MimicEncounterICU.ndjson.gz", "MimicMedicationAdministrationICU.ndjson.gz"},
			"map[dobutamine:17 dopamine:3 epinephrine:33 milrinone:12 norepinephrine:531 phenylephrine:331 vasopressin:28]",
			"map[norepinephrine:1]", "map[rate beyond what is plausible:1]"},
		{"eicu-demo-fhir", []string{"Patient.ndjson.gz", "Encounter.ndjson.gz", "MedicationAdministration.ndjson.gz"},
			"map[dobutamine:89 dopamine:103 epinephrine:8 milrinone:9 norepinephrine:1329 phenylephrine:147 vasopressin:131]",
			"map[dobutamine:12 dopamine:127 epinephrine:40 milrinone:56 norepinephrine:1325 phenylephrine:169 vasopressin:260]",
			"map[rate beyond what is plausible:6 rate without a unit:243 volume rate without a concentration:1740]"},
	}
	for _, tt := range tests {
		t.Run(tt.set, func(t *testing.T) {
			dir := realData(t, tt.set)
			known, not, why := vasopressorRows(t, subset(t, dir, tt.files...))
			for _, c := range []struct{ what, got, want string }{
				{"understood", fmt.Sprint(known), tt.known}, {"not understood", fmt.Sprint(not), tt.not}, {"because", fmt.Sprint(why), tt.why},
			} {
				if c.got != c.want {
					t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
				}
			}
		})
	}
}

func TestEveryLineOfARealFolderIsCountedOnce(t *testing.T) {
	dir := subset(t, realData(t, "mimic-iv-demo-fhir"), "MimicPatient.ndjson.gz", "MimicEncounter.ndjson.gz", "MimicEncounterICU.ndjson.gz",
		"MimicLocation.ndjson.gz", "MimicObservationLabevents.ndjson.gz", "MimicObservationOutputevents.ndjson.gz", "MimicCondition.ndjson.gz")
	m := testMapper(t)
	f, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, stays, arterial, venous := f.Read.Read, 0, 0, 0
	err = f.Each(context.Background(), func(b *Bag) error {
		for _, s := range m.Stays(b) {
			if s.ICU && !s.Start.IsZero() && s.Hospital != "" && s.Unit != "" {
				stays++
			}
		}
		c, err := m.Chart(b, "", time.Time{})
		if err != nil {
			return err
		}
		if c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
			t.Errorf("tally does not sum: %+v", c.Tally)
		}
		sum += c.Tally.Read
		for i := range c.Measurements {
			switch x := &c.Measurements[i]; {
			case x.Available.Before(x.Effective):
				t.Errorf("%s known before it was measured", x.Concept)
			case x.Concept == "pao2" && x.Method == state.MethodArterial:
				arterial++
			case x.Concept == "pao2":
				venous++
			}
		}
		for i := range c.Conditions {
			if c.Conditions[i].Dated {
				t.Errorf("billing diagnoses have no date in MIMIC")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum != 67+200+86+31+80088+4690+3270 || stays != 86 {
		t.Errorf("%d lines, %d ICU stays", sum, stays)
	}
	if arterial == 0 || venous == 0 {
		t.Errorf("%d arterial and %d other gases: the specimen rows were not read", arterial, venous)
	}
}
