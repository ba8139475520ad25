// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// icuSepsisDir is the folder of the real tables, or the test is skipped.
func icuSepsisDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	if testing.Short() {
		t.Skip("reads 77 MB of tables")
	}
	return dir
}

func TestEvaluateICUSepsisRefusesWhatMakesNoSense(t *testing.T) {
	empty := t.TempDir()
	for name, test := range map[string]struct {
		args string
		code int
		says string
	}{
		"no tables":               {"", 2, "--tables"},
		"an empty folder":         {"--tables " + empty, 1, "transitionFunction.csv.gz"},
		"no stays":                {"--tables " + empty + " --episodes 0", 2, "--episodes wants 10"},
		"too few stays":           {"--tables " + empty + " --episodes 1000,9", 2, "--episodes wants 10"},
		"no stays by an empty":    {"--tables " + empty + " --episodes=", 2, "--episodes"},
		"no repetition":           {"--tables " + empty + " --repeat 0", 2, "--repeat"},
		"more networks than logs": {"--tables " + empty + " --deep-repeat 2", 2, "--deep-repeat"},
		"one object of two sizes": {"--tables " + empty + " --episodes 100,200 --json", 2, "one number"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(append([]string{"evaluate", "icu-sepsis"}, strings.Fields(test.args)...), strings.NewReader(""), &out, &errs)
			if code != test.code || !strings.Contains(errs.String(), test.says) || out.Len() > 0 {
				t.Errorf("exit %d, %q on stderr, %q on stdout", code, errs.String(), out.String())
			}
		})
	}
}

// TestEvaluateICUSepsisPrintsTheAgreedKeys runs the command: keys of design.md
// 8 and nothing but the object on stdout; then the document with its figures.
func TestEvaluateICUSepsisPrintsTheAgreedKeys(t *testing.T) {
	dir := icuSepsisDir(t)
	print := func(more ...string) string {
		var out, errs bytes.Buffer
		args := append([]string{"evaluate", "icu-sepsis", "--tables", dir, "--episodes", "60", "--seed", "7", "--methods", "random,most_frequent,persistence,ai_clinician,ours"}, more...)
		if code := run(args, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		if !strings.Contains(errs.String(), "seed 7: ours") {
			t.Errorf("no progress on stderr: %q", errs.String())
		}
		return out.String()
	}
	text := print("--json")
	var got struct {
		Episodes *int     `json:"episodes"`
		Seed     *uint64  `json:"seed"`
		Random   *float64 `json:"random_value"`
		Methods  []struct {
			Name      string   `json:"name"`
			Exact     *float64 `json:"exact_value"`
			Estimates map[string]struct {
				Value, Low, High, ESS *float64
				Covers                *bool
			} `json:"estimates"`
		} `json:"methods"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if *got.Episodes != 60 || *got.Seed != 7 || len(got.Methods) != 5 || got.Methods[4].Name != "ours" {
		t.Errorf("%+v", got)
	}
	for _, m := range got.Methods {
		if m.Exact == nil || *m.Exact < 0.7 || *m.Exact > 0.8752 {
			t.Errorf("%s: exact value %v", m.Name, m.Exact)
		}
		for _, name := range truthEstimators {
			e, ok := m.Estimates[name]
			if !ok || e.ESS == nil || e.Covers == nil || name == "fqe" && e.Value == nil {
				t.Errorf("%s: %s: %+v", m.Name, name, e)
			}
		}
	}
	figures := filepath.Join(t.TempDir(), "figures", "truth")
	page := print("--markdown", "--repeat", "2", "--figures", figures)
	for _, must := range []string{"# Where the truth is known", "| **ours** |", "figures/truth/icu-sepsis-value.svg"} {
		if !strings.Contains(page, must) {
			t.Errorf("the document has no %q", must)
		}
	}
	for _, name := range []string{"icu-sepsis-value.svg", "icu-sepsis-estimates.svg"} {
		if _, err := os.Stat(filepath.Join(figures, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestABarIsReachedByItsMeanAlone holds the last table to the numbers above it.
func TestABarIsReachedByItsMeanAlone(t *testing.T) {
	ours := func(episodes int, mean world.Number) *learn.TruthReport {
		return &learn.TruthReport{Episodes: episodes, Methods: []learn.TruthMethod{{Name: learn.TruthOurs, ExactValue: mean, SD: 0.01, Values: make([]world.Number, 4)}}}
	}
	d := truthDocument{reports: []*learn.TruthReport{ours(1000, 0.79499), ours(10000, 0.825), ours(30000, 0.8449), ours(77, 0.9)}}
	d.ours()
	page := d.String()
	for _, must := range []string{
		"| 1000 | 0.7950 | 0.0050 | 0.795 | no |",
		"| 10000 | 0.8250 | 0.0050 | 0.825, then 0.835 | the first |",
		"| 30000 | 0.8449 | 0.0050 | 0.845 | no |",
	} {
		if !strings.Contains(page, must) {
			t.Errorf("no line %q in\n%s", must, page)
		}
	}
	if strings.Contains(page, "| 77 |") {
		t.Error("a size without a bar has a line")
	}
}
