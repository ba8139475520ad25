// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: a real ICU chart, whole and unfiltered, through the real server.
// The clinic's clock stands at a moment of the stay.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir"
)

// mimicFolder is the folder of the MIMIC-IV demo, or the test is skipped.
func mimicFolder(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "mimic-iv-demo-fhir")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no MIMIC-IV demo at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	return dir
}

// eachLine calls use with every line of the NDJSON files that match.
func eachLine(t *testing.T, pattern string, use func(line []byte)) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		zr, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(zr)
		lines.Buffer(make([]byte, 1<<20), 16<<20)
		for lines.Scan() {
			use(lines.Bytes())
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// realShock finds a patient on norepinephrine and a moment at which it runs.
func realShock(t *testing.T, dir string) (patientID string, at time.Time) {
	t.Helper()
	type row struct {
		Subject struct{ Reference string }
		Period  struct{ Start, End time.Time } `json:"effectivePeriod"`
	}
	runs := map[string]int{}
	moment := map[string]time.Time{}
	eachLine(t, filepath.Join(dir, "MimicMedicationAdministrationICU.ndjson.gz"), func(line []byte) {
		if !bytes.Contains(line, []byte(`"221906"`)) {
			return
		}
		var r row
		if json.Unmarshal(line, &r) != nil || r.Period.End.Sub(r.Period.Start) < time.Hour {
			return
		}
		id := strings.TrimPrefix(r.Subject.Reference, "Patient/")
		runs[id]++
		if r.Period.Start.After(moment[id]) {
			moment[id] = r.Period.Start
		}
	})
	for _, id := range sortedKeys(runs) {
		if runs[id] > runs[patientID] {
			patientID = id
		}
	}
	return patientID, moment[patientID].Add(30 * time.Minute)
}

func realChart(t *testing.T, dir, id string) map[string]json.RawMessage {
	t.Helper()
	entries := map[string][]any{}
	out := map[string]json.RawMessage{}
	mine, self := []byte(`"Patient/`+id+`"`), []byte(`"id":"`+id+`"`)
	eachLine(t, filepath.Join(dir, "*.ndjson.gz"), func(line []byte) {
		var kind string
		for _, k := range []string{"Observation", "MedicationAdministration", "MedicationRequest", "Medication", "Encounter", "Condition", "Procedure", "Patient"} {
			if bytes.Contains(line, []byte(`"resourceType":"`+k+`"`)) {
				kind = k
			}
		}
		line = bytes.Clone(line)
		switch {
		case kind == "Patient" && bytes.Contains(line, self):
			out[fhir.KeyPatient] = line
		case kind == "Medication":
			entries[fhir.KeyAdministrations] = append(entries[fhir.KeyAdministrations], map[string]any{"resource": json.RawMessage(line), "search": map[string]string{"mode": "include"}})
		case keyOf[kind] != "" && bytes.Contains(line, mine):
			entries[keyOf[kind]] = append(entries[keyOf[kind]], map[string]any{"resource": json.RawMessage(line)})
		}
	})
	for _, key := range append([]string{fhir.KeyLabs}, fhir.KeyEncounters, fhir.KeyVitals, fhir.KeyAdministrations, fhir.KeyOrders, fhir.KeyConditions, fhir.KeyProcedures) {
		if entries[key] == nil {
			entries[key] = []any{}
		}
		out[key] = bundle(entries[key])
	}
	return out
}

// realStay is that patient with the whole chart. Finding and reading it takes
// seconds, so it is done once.
func realStay(t *testing.T) (id string, at time.Time, chart map[string]json.RawMessage) {
	dir := mimicFolder(t)
	theStay.Do(func() {
		theStay.id, theStay.at = realShock(t, dir)
		theStay.chart = realChart(t, dir, theStay.id)
	})
	return theStay.id, theStay.at, maps.Clone(theStay.chart)
}

var theStay struct {
	sync.Once
	id    string
	at    time.Time
	chart map[string]json.RawMessage
}

func TestAWholeRealChartIsAnsweredRecordedAndReplayed(t *testing.T) {
	id, at, chart := realStay(t)
	c := open(t, nil)
	c.now = at.UTC()
	body := c.body(patient{id: id})
	body["prefetch"] = chart
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := c.post(servicePath, raw, nil)
	if r.status != 200 {
		t.Fatalf("%d %s: %s", r.status, r.body, last(c.records(KindFailure)))
	}
	took := time.Since(start)
	record := c.copied()
	stored, _ := EncodeRecord(record)
	o := record.Receipt.Outcome
	t.Logf("%d bytes, %d resources read, %d records kept, receipt of %d bytes, answered in %v: %s %v",
		len(raw), record.Receipt.Tally.Read, len(record.Receipt.Records), len(stored), took, o.Decision.Status, o.Decision.Reasons)
	for _, card := range r.cards() {
		t.Logf("%s: %s", card.Indicator, card.Summary)
	}
	tally := record.Receipt.Tally
	if tally.Read != tally.Used+tally.Ignored+tally.Rejected || tally.Used == 0 {
		t.Errorf("%+v", tally)
	}
	if report := c.replay(record, c.replayDeps()); !report.OK || !report.Decided {
		t.Errorf("%+v", report)
	}
}
