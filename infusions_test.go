// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// This file: what a hospital does not chart, or charts so that nobody can read
// it, ends in an abstention that says so. The same patients that get advice
// from a whole chart get none once their infusions are unknown.

// altered copies a folder of NDJSON with the administrations changed; change
// returns nil to leave the whole file out.
func altered(t *testing.T, from string, change func([]byte) []byte) string {
	t.Helper()
	to := t.TempDir()
	files, err := filepath.Glob(filepath.Join(from, "*.ndjson.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(f) == "MedicationAdministration.ndjson.gz" {
			if data = change(unzipped(t, data)); data == nil {
				continue
			}
			data = zipped(t, data)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(f)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func unzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var (
	rateUnits = regexp.MustCompile(`("rateQuantity":\{"value":[0-9.eE+-]+)[^}]*\}`)
	drugNames = regexp.MustCompile(`"medicationCodeableConcept":\{.*?\}\]?(,"text":"[^"]*")?\}`)
)

func TestInfusionsNobodyCanReadEndInAnAbstention(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; left out by -short")
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := fhir.NewMapper(maps).OpenFolder(t.Context(), synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	patients, err := folder.Patients()
	folder.Close()
	if err != nil {
		t.Fatal(err)
	}
	type chart struct{ name, dir, why string }
	charts := []chart{
		{"a hospital that charts no administrations", altered(t, synthetic(t), func([]byte) []byte { return nil }), "no MedicationAdministration was supplied"},
		{"rates without their units", altered(t, synthetic(t), func(b []byte) []byte { return rateUnits.ReplaceAll(b, []byte("$1}")) }), "rate without a unit"},
		{"a pharmacy whose codes no map knows", altered(t, synthetic(t), func(b []byte) []byte {
			return drugNames.ReplaceAll(b, []byte(`"medicationCodeableConcept":{"coding":[{"system":"urn:our-pharmacy","code":"4711"}]}`))
		}), "medication not identified"},
	}
	decide := func(dir, patient string) (d decisionObject) {
		sepsisagent(t, "decide", "--fhir", dir, "--patient", patient, "--format", "json").want(exitOK).object(&d)
		return d
	}
	advised := 0
	for _, p := range patients {
		whole := decide(synthetic(t), p)
		if whole.Status != agent.Suggest && whole.Status != agent.Affirm || whole.Levels.Vasopressor == nil || *whole.Levels.Vasopressor == 0 {
			continue
		}
		if advised++; advised > 2 {
			break
		}
		for _, c := range charts {
			d := decide(c.dir, p)
			said := false
			for _, r := range d.Reasons {
				said = said || r.Code == agent.ReasonVasopressorUnknown && strings.Contains(r.Text, c.why)
			}
			if d.Status != agent.Abstain || !said || d.Levels.Vasopressor != nil {
				t.Errorf("%s: %s, was %s; reasons %+v", c.name, d.Status, whole.Status, d.Reasons)
			}
		}
	}
	if advised == 0 {
		t.Fatal("nobody gets advice about vasopressors from a whole chart")
	}
}
