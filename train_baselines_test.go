// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train baselines` as a command.

import "testing"

func TestTrainBaselinesSaysWhatItNeeds(t *testing.T) {
	sepsisagent(t, "train", "baselines").want(exitMisuse).says("--cohort")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir(), "--methods", "magic").want(exitMisuse).says("ai_clinician")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir(), "--methods", "bc,bc").want(exitMisuse).says("each once")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", t.TempDir(), "--out", t.TempDir()).want(exitFailed).says("train world")
	sepsisagent(t, "train", "baselines", "--cohort", "none.parquet", "--world", modelCopy(t), "--out", t.TempDir()).want(exitFailed).says("none.parquet")
}
