// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train baselines` as a command.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestTrainBaselinesSaysWhatItNeeds(t *testing.T) {
	sepsisagent(t, "train", "baselines").want(exitMisuse).says("--cohort")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir(), "--methods", "magic").want(exitMisuse).says("ai_clinician")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir(), "--methods", "bc,bc").want(exitMisuse).says("each once")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", t.TempDir(), "--out", t.TempDir()).want(exitFailed).says("train world")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir()).want(exitFailed).says("none.parquet")
}

func TestModelInfoNamesBaselinesAndRefusesForeignOnes(t *testing.T) {
	dir := modelCopy(t)
	model, err := loadModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := &offline.Dataset{Inputs: world.InputSize, Actions: learn.Actions, Episodes: []offline.Episode{{Patient: "a", Steps: []offline.Step{
		{Observation: offline.Observation{Features: make([]float32, world.InputSize), State: offline.NoState, Previous: offline.NoAction}, Action: 2},
	}}}}
	fitted, err := offline.Fit(t.Context(), data, offline.MostFrequent, offline.Defaults(offline.MostFrequent), nil)
	if err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "model", "info", "--model", dir).want(exitOK)
	if err := learn.WriteBaselines(dir, []*offline.Fitted{fitted}, model); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "model", "info", "--model", dir).want(exitOK).prints("most_frequent")
	if err := os.Remove(filepath.Join(dir, offline.WeightsFile)); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "model", "info", "--model", dir).want(exitFailed).says("baselines.safetensors is gone")
}
