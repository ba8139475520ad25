// SPDX-License-Identifier: Apache-2.0

package main

// This file: synthetic patients through the commands: made, built into a
// cohort, trained on, decided for; and the same on real data where it is.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// testModel is the model that tests decide with: "" for the embedded one, or
// what SEPSISAGENT_FILES__MODEL names.
func testModel(t testing.TB) string {
	t.Helper()
	return os.Getenv("SEPSISAGENT_FILES__MODEL")
}

// syntheticFolder makes one export of synthetic patients for all tests.
var syntheticFolder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sepsisagent-test-")
	if err != nil {
		return "", err
	}
	var out, errs strings.Builder
	if code := runContext(testContext, []string{"cohort", "synth", "--patients", "12", "--seed", "3", "--out", filepath.Join(dir, "fhir")}, strings.NewReader(""), &out, &errs); code != exitOK {
		return "", os.ErrInvalid
	}
	return dir, nil
})

func synthetic(t *testing.T) string {
	t.Helper()
	dir, err := syntheticFolder()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "fhir")
}

func TestCohortSynthRepeatsItsBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; left out by -short")
	}
	again := filepath.Join(t.TempDir(), "fhir")
	sepsisagent(t, "cohort", "synth", "--patients", "12", "--seed", "3", "--out", again).want(exitOK).prints("Observation.ndjson.gz")
	files, err := filepath.Glob(filepath.Join(synthetic(t), "*"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		a, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, filepath.Base(f)))
		if err != nil || string(a) != string(b) {
			t.Errorf("%s differs, %v", filepath.Base(f), err)
		}
	}
	sepsisagent(t, "cohort", "synth", "--patients", "2", "--seed", "4", "--out", again).want(exitMisuse).says("already holds")
}

func TestCohortBuildReportsWhatItUnderstood(t *testing.T) {
	out := filepath.Join(t.TempDir(), "c.parquet")
	var raw map[string]json.RawMessage
	r := sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", out, "--json").want(exitOK).object(&raw)
	for _, key := range []string{"patients", "stays", "steps", "bytes", "seconds", "rejected", "coverage", "drugs"} {
		if raw[key] == nil {
			t.Errorf("no key %q", key)
		}
	}
	var report cohortReport
	r.object(&report)
	if report.Patients != 12 || report.Stays != 12 || report.Steps == 0 || report.Bytes == 0 {
		t.Errorf("%+v", report)
	}
	if report.Read != report.Used+report.Ignored+report.Rejected {
		t.Errorf("%d read, but %d used + %d ignored + %d rejected", report.Read, report.Used, report.Ignored, report.Rejected)
	}
	if len(report.Coverage) != 39 || report.Coverage["meanbp"] < 0.9 {
		t.Errorf("coverage %v", report.Coverage)
	}
	if report.Drugs.ByDrug["norepinephrine"].Understood == 0 || report.Drugs.Unknown != 0 {
		t.Errorf("drugs %+v", report.Drugs)
	}
	info, err := cohort.Stat(out)
	if err != nil || info.Rows != report.Steps || info.Digest != report.Digest {
		t.Errorf("file %+v, report %d rows, digest %s, %v", info, report.Steps, report.Digest, err)
	}
	sepsisagent(t, "cohort", "build", "--fhir", t.TempDir(), "--out", out).want(exitFailed).says("ndjson")
}

// TestCohortBuildNamesEveryBadLine: a bad line is skipped, and said by file and
// line, in text and in JSON; what it holds is said in neither.
func TestCohortBuildNamesEveryBadLine(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "c.parquet")
	// The byte order mark is no fault: without the Patient nothing would be read.
	for name, text := range map[string]string{
		"Patient.ndjson":     "\xef\xbb\xbf" + `{"resourceType":"Patient","id":"p1"}` + "\r\n",
		"Observation.ndjson": `{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/p1"},"code":{}}` + "\nMarie Curie\n\n[1]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var report cohortReport
	r := sepsisagent(t, "cohort", "build", "--fhir", dir, "--out", out, "--json").want(exitOK).says("no ICU stay")
	r.object(&report)
	want := []faultyLine{{"Observation.ndjson", 2, "broken JSON"}, {"Observation.ndjson", 4, "not a JSON object"}}
	if !slices.Equal(report.Sources[0].Faulty, want) || report.Rejected != 2 || report.Read != 4 || report.Used != 1 {
		t.Errorf("faulty %v, want %v; %d read, %d used, %d rejected, %v", report.Sources[0].Faulty, want, report.Read, report.Used, report.Rejected, report.Reasons)
	}
	text := sepsisagent(t, "cohort", "build", "--fhir", dir, "--out", out).want(exitOK).prints("Observation.ndjson:2", "broken JSON")
	if strings.Contains(text.out+text.errs, "Curie") {
		t.Error("the report says what the line held")
	}
}

func TestRowsTellTheFoldersTheyCameFrom(t *testing.T) {
	for _, tt := range []struct {
		name    string
		folders []string
		want    []string // nil: refused
	}{
		{"by their own names", []string{"/x/mimic", "/x/eicu/"}, []string{"mimic", "eicu"}},
		{"two hospitals whose exports are called alike", []string{"/north/fhir", "/south/fhir"}, []string{"fhir", "south/fhir"}},
		{"one folder twice", []string{"/north/fhir", "/north/../north/fhir"}, nil},
		{"three of one name and one parent name", []string{"/a/north/fhir", "/b/north/fhir", "/c/north/fhir"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sourceNames(tt.folders)
			if (err != nil) != (tt.want == nil) || err == nil && !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// syntheticPatients names those of synthetic.
func syntheticPatients(t *testing.T) []string {
	t.Helper()
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := fhir.NewMapper(maps).OpenFolder(t.Context(), synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	patients, err := folder.Patients()
	if err != nil {
		t.Fatal(err)
	}
	return patients
}

func TestDecideFormats(t *testing.T) {
	patients := syntheticPatients(t)
	if testing.Short() {
		patients = patients[:2]
	}
	h := newAuditHouse(t)
	for _, p := range patients {
		var d decisionObject
		sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", p, "--format", "json", "--audit", h.db, "--key", h.key).want(exitOK).object(&d)
		if d.Status == "" || d.Receipt == "" || d.At.IsZero() {
			t.Errorf("%s: %+v", p, d)
		}
		if stoodBy := d.Status == agent.Suggest || d.Status == agent.Affirm; stoodBy != (d.Levels.Vasopressor != nil && d.Levels.Fluid != nil) {
			t.Errorf("%s: %s with levels %+v: they must not look like advice", p, d.Status, d.Levels)
		}
	}
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", patients[0], "--explain").want(exitOK).prints("AS RECEIVED", "not validated for clinical use", "receipt")
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", patients[0], "--format", "card").want(exitOK).prints(`"cards"`)
	sepsisagent(t, "decide", "--fhir", synthetic(t)).want(exitMisuse).says(patients[0])
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", "nobody").want(exitFailed).says("nobody")
	sepsisagent(t, "decide", "--fhir", "/nonexistent", "--patient", "x").want(exitFailed)
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", "x", "--format", "fax").want(exitMisuse)
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", patients[0], "--at", "noon").want(exitMisuse).says("--at")
	sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", patients[0], "--at", "2026-03-01").want(exitMisuse).says("--at")
	var replay replaySummary
	sepsisagent(t, "audit", "replay", "--db", h.db, "--key", h.key, "--json").want(exitOK).object(&replay)
	if !replay.OK || replay.Same != len(patients) {
		t.Errorf("replay %+v", replay)
	}
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", h.public).want(exitOK)
}

func TestEvaluateStaysOnSyntheticPatients(t *testing.T) {
	if testing.Short() {
		t.Skip("decides for every stay twice")
	}
	var report staysReport
	sepsisagent(t, "evaluate", "stays", "--fhir", synthetic(t), "--json").want(exitOK).object(&report)
	if len(report.Sources) != 1 || report.Sources[0].Stays != 12 || total(report.Sources[0].Errors) != 0 {
		t.Errorf("%+v", report)
	}
	sepsisagent(t, "evaluate", "stays", "--fhir", synthetic(t), "--markdown").want(exitOK).prints("# Decisions on real stays", "| heart_rate |")
}

func TestNewestEventStaysWithinTheStay(t *testing.T) {
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	mapper := fhir.NewMapper(maps)
	folder, err := mapper.OpenFolder(t.Context(), synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	patients, err := folder.Patients()
	if err != nil {
		t.Fatal(err)
	}
	bag, err := folder.Bag(patients[0])
	if err != nil {
		t.Fatal(err)
	}
	chart, err := mapper.Chart(bag, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	at := newestEvent(chart)
	if at.Before(chart.Stay.Start) || !chart.Stay.End.IsZero() && at.After(chart.Stay.End) {
		t.Errorf("now is %s, the stay %s to %s", at, chart.Stay.Start, chart.Stay.End)
	}
	chart.Measurements, chart.Administrations = nil, nil
	if !newestEvent(chart).IsZero() {
		t.Error("an empty chart has a newest event")
	}
}

// TestRealStaysAreAllDecided runs every stay of the MIMIC demo through the
// whole path. What may differ with the model is not asserted; that nothing
// fails, and that not everything ends in abstention, is.
func TestRealStaysAreAllDecided(t *testing.T) {
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	dir := dataFolder(t, "mimic-iv-demo-fhir")
	var report staysReport
	sepsisagent(t, "evaluate", "stays", "--fhir", dir, "--json").want(exitOK).object(&report)
	s := report.Sources[0]
	if total(s.Errors) != 0 || s.Stays < 80 || s.Decisions < 200 {
		t.Errorf("%d stays, %d decisions, errors %v", s.Stays, s.Decisions, s.Errors)
	}
	at12 := s.Hours[1]
	if at12.Outcomes["suggest"]+at12.Outcomes["affirm"] == 0 {
		t.Errorf("at 12 h nothing but abstention: %v", at12.Outcomes)
	}
}
