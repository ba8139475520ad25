// SPDX-License-Identifier: Apache-2.0

package main

// This file: that a curriculum is reported from the folder that holds it.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestACurriculumIsReportedFromTheFolderThatHoldsIt(t *testing.T) {
	dir, figures := t.TempDir(), t.TempDir()
	sepsisagent(t, "curriculum", "report").want(exitMisuse).says("--model")
	sepsisagent(t, "curriculum", "report", "--model", dir).want(exitFailed).says("train actor --curriculum")
	span := func(v float64) curriculum.Interval {
		return curriculum.Interval{Value: world.Number(v), Low: world.Number(v - 0.1), High: world.Number(v + 0.1)}
	}
	row := func(policy string, simulator bool, v float64) curriculum.Row {
		return curriculum.Row{Policy: policy, World: curriculum.WorldHeld, Simulator: simulator, Episodes: 3, Return: span(v), Earned: []world.Number{world.Number(v - 0.2), world.Number(v), world.Number(v + 0.2)}}
	}
	r := curriculum.Record{Schema: curriculum.Schema, World: "abc", Settings: curriculum.DefaultConfig(), Stage: 3,
		References: []curriculum.Row{row("what runs", false, 0.5)},
		Scores:     []curriculum.StageScore{{Stage: 3, Rows: []curriculum.Row{row("stage 3", false, 0.5), row("stage 3", true, 0.9)}}},
		Curve:      []curriculum.Progress{{Stage: 3, Done: 1, Of: 2, Return: 0.4, Looks: 1}, {Stage: 3, Done: 2, Of: 2, Return: 0.6, Looks: 2}}}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, curriculum.RecordFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
	out := sepsisagent(t, "curriculum", "report", "--model", dir, "--figures", figures).want(exitOK)
	for _, want := range []string{
		"| stage 3 | yes | 3 | 0.900 [0.800, 1.000] |",
		"| held-out members | stage 3 | no | not told apart, +0.000 [+0.000, +0.000] | – | – | – |",
		"| held-out members | stage 3 | yes | better, +0.400 [+0.400, +0.400] | – | – | better, +0.400 [+0.400, +0.400] |",
	} {
		out.prints(want)
	}
	if svg, err := os.ReadFile(filepath.Join(figures, "curriculum-practice.svg")); err != nil || !strings.Contains(string(svg), "iteration") {
		t.Errorf("%v", err)
	}
	sepsisagent(t, "curriculum", "report", "--model", dir, "--json").want(exitOK).prints(`"in_hospital_mortality"`)
}
