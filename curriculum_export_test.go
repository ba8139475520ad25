// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum export` from a FHIR export to lines, and what no line
// may hold.

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/export"
)

// absolute is a year, a date or a time of day.
var absolute = regexp.MustCompile(`\b(19|20|21|22)\d{2}-\d{2}|\b\d{1,2}:\d{2}\b|\d{4}/\d{2}`)

// olderThan89 is an age that may identify a person.
var olderThan89 = regexp.MustCompile(`Age (9\d|1\d\d) years`)

func TestCurriculumExport(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a cohort and simulates for some seconds")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "c.parquet")
	sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", file).want(exitOK)
	rows, err := cohort.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ stage, format string }{{"1", "openai"}, {"1", "ms-swift"}, {"2", "openai"}, {"2", "ms-swift"}} {
		t.Run("stage "+c.stage+" "+c.format, func(t *testing.T) {
			run := func(name string) ([]byte, export.Summary) {
				out := filepath.Join(dir, name)
				r := sepsisagent(t, "curriculum", "export", "--stage", c.stage, "--cohort", file, "--format", c.format, "--times", "8", "--seed", "3", "--json", "--out", out).want(exitOK)
				var sum export.Summary
				if err := json.Unmarshal([]byte(r.out), &sum); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				sepsisagent(t, "curriculum", "export", "--check", out, "--format", c.format).want(exitOK).prints("lines of " + c.format)
				return data, sum
			}
			data, sum := run("a.jsonl")
			lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
			if len(lines) != sum.Lines || sum.Lines < export.LeastLines || len(sum.Kinds) == 0 {
				t.Fatalf("%d lines, told %+v", len(lines), sum)
			}
			schema := schemaOf(t, export.Format(c.format))
			for i, line := range lines {
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Errorf("line %d: %v", i+1, err)
				}
				if at := absolute.Find(line); at != nil {
					t.Errorf("line %d has the date or time %s", i+1, at)
				}
				if olderThan89.Match(line) {
					t.Errorf("line %d has an age over 89", i+1)
				}
				for k := range rows {
					for _, id := range []string{rows[k].Patient, rows[k].Stay, rows[k].Hospital, rows[k].Source} {
						if id != "" && bytes.Contains(line, []byte(id)) {
							t.Fatalf("line %d has an identifier", i+1)
						}
					}
				}
			}
			if c.format != "openai" {
				return
			}
			if again, _ := run("b.jsonl"); !bytes.Equal(data, again) {
				t.Error("the same arguments gave other bytes")
			}
		})
	}
}

func schemaOf(t *testing.T, f export.Format) *jsonschema.Schema {
	t.Helper()
	data, err := export.Schema(f)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("line.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("line.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCurriculumExportRefusesWhatItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "o.jsonl")
	sepsisagent(t, "curriculum", "export").want(exitMisuse).says("--stage")
	sepsisagent(t, "curriculum", "export", "--stage", "3", "--cohort", "x", "--format", "openai", "--out", out).want(exitMisuse).says("stage 3")
	sepsisagent(t, "curriculum", "export", "--stage", "1", "--cohort", "x", "--format", "csv", "--out", out).want(exitMisuse).says("csv")
	sepsisagent(t, "curriculum", "export", "--stage", "1", "--cohort", "x", "--format", "openai", "--split", "all", "--out", out).want(exitMisuse).says("validation")
	sepsisagent(t, "curriculum", "export", "--stage", "1", "--cohort", "/nonexistent.parquet", "--format", "openai", "--out", out).want(exitFailed).says("nonexistent.parquet")
	sepsisagent(t, "curriculum", "export", "--check", out).want(exitMisuse).says("--format")
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte(strings.Repeat("{}\n", 12)), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "curriculum", "export", "--check", bad, "--format", "openai").want(exitFailed).says("line 1")
	if left, _ := filepath.Glob(filepath.Join(dir, "*o.jsonl*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
