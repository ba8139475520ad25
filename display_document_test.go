// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/display.md says what the program does: its codes, its bars,
// its files, and its commands, which are run.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/drift"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/configs"
)

func displayDocument(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", "display.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheDisplayDocumentNamesEveryCodeAndBar(t *testing.T) {
	text := displayDocument(t)
	words := []string{cdshooks.LoweredKilled, cdshooks.LoweredDrift, cdshooks.LoweredRole, validation.Schema}
	for _, code := range validation.Codes() {
		words = append(words, string(code))
	}
	for _, word := range words {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("it does not name %s", word)
		}
	}
	b := validation.DefaultBars()
	for _, row := range []string{
		fmt.Sprintf("| `min_patients` | %d |", b.MinPatients), fmt.Sprintf("| `min_decisions` | %d |", b.MinDecisions),
		fmt.Sprintf("| `coverage_low`, `coverage_high` | %g, %g |", b.CoverageLow, b.CoverageHigh), fmt.Sprintf("| `coverage_width` | %g |", b.CoverageWidth),
		fmt.Sprintf("| `vent_auroc` | %g |", b.VentAUROC), fmt.Sprintf("| `mortality_auroc` | %g |", b.MortalityAUROC), fmt.Sprintf("| `vaso24h_auroc` | %g |", b.Vaso24hAUROC),
		fmt.Sprintf("less than %g %% or more than %g %%, or that chances are off by more than %g points", 100-100*drift.MissHigh, 100-100*drift.MissLow, 100*drift.Tolerance),
	} {
		if !strings.Contains(text, row) {
			t.Errorf("it does not say %q", row)
		}
	}
}

func TestTheConfigurationOfTheDisplayDocumentIsOne(t *testing.T) {
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(displayDocument(t), -1)
	if len(found) != 2 {
		t.Fatalf("%d configurations", len(found))
	}
	for _, m := range found {
		cfg := defaultConfig()
		if err := configs.Decode([]byte(m[1]), &cfg); err != nil {
			t.Errorf("%v\n%s", err, m[1])
		}
	}
}

// TestEveryCommandOfTheDisplayDocumentRuns runs them in order. The cohort is of
// simulated patients, which nobody can sign for.
func TestEveryCommandOfTheDisplayDocumentRuns(t *testing.T) {
	longOnly(t)
	commands := shellLines(displayDocument(t))
	own := simulatedCohort(t, 8)
	h := newAuditHouse(t)
	config := site(t, h, oneClient)
	ran := map[string]bool{}
	t.Chdir(t.TempDir())
	for _, line := range commands {
		args, ok := strings.CutPrefix(line, "sepsisagent ")
		if !ok {
			t.Fatalf("%q is no command of ours", line)
		}
		args = strings.ReplaceAll(strings.ReplaceAll(args, "own.parquet", own), "site.yaml", config)
		r := sepsisagent(t, strings.Fields(args)...)
		if strings.Contains(args, "--cohort") {
			r.want(exitFailed).prints("not accepted: the cohort holds simulated patients only").says("nothing was signed")
		} else {
			r.want(exitOK)
		}
		ran[strings.Join(strings.Fields(line)[1:3], " ")] = true
	}
	for _, want := range []string{"model accept", "serve --config", "audit query"} {
		if !ran[want] {
			t.Errorf("no %q among %q", want, commands)
		}
	}
}
