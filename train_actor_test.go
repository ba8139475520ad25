// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train actor` as a command, what `model info` says of an actor, and
// that a folder whose actor belongs to another model is not decided with.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
)

// modelCopy is the embedded model folder on disk; names are left out.
func modelCopy(t *testing.T, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := configs.FS.ReadDir("model")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := configs.FS.ReadFile("model/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range without {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTrainActorSaysWhatItNeeds(t *testing.T) {
	sepsisagent(t, "train", "actor").want(exitMisuse).says("--cohort")
	sepsisagent(t, "train", "actor", "--cohort", "none.parquet", "--world", t.TempDir(), "--out", t.TempDir()).want(exitFailed).says("train world")
	sepsisagent(t, "train", "actor", "--stage", "4", "--cohort", "none.parquet", "--world", t.TempDir(), "--out", t.TempDir()).want(exitMisuse).says("1, 2 or 3")
	sepsisagent(t, "train", "actor", "--curriculum", "--seed", "65536", "--cohort", "none.parquet", "--world", t.TempDir(), "--out", t.TempDir()).want(exitMisuse).says("65535 at most")
	if err := copyModel(modelCopy(t), modelCopy(t)); err != nil {
		t.Errorf("a folder that holds this very model: %v", err)
	}
	other := modelCopy(t)
	if err := os.WriteFile(filepath.Join(other, "model.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyModel(modelCopy(t), other); err == nil || !strings.Contains(err.Error(), "already holds a model") {
		t.Errorf("a model is written over: %v", err)
	}
}

func TestACopiedModelWithoutItsActorCanBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := copyModel(modelCopy(t), dir); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "model", "info", "--model", dir).want(exitOK).prints("guideline moves alone")
}

func TestAModelFolderIsDecidedWithByItsOwnActorOrByNone(t *testing.T) {
	bundle := filepath.Join("testdata", "explain", "bundle.json")
	decide := func(dir string) ran {
		return sepsisagent(t, "decide", "--fhir", bundle, "--at", "2026-03-01T20:00:00Z", "--explain", "--model", dir)
	}
	decide(modelCopy(t)).want(exitOK)
	none := modelCopy(t, "actor.safetensors")
	decide(none).want(exitFailed).says("actor.safetensors is gone")
	sums := filepath.Join(none, "SHA256SUMS")
	listed, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	world, _, _ := strings.Cut(string(listed), "\n")
	for line := range strings.Lines(string(listed)) {
		if !strings.Contains(line, "actor.") && !strings.HasPrefix(line, world) {
			world += "\n" + line
		}
	}
	if err := os.WriteFile(sums, []byte(world), 0o644); err != nil {
		t.Fatal(err)
	}
	decide(none).want(exitOK)
	sepsisagent(t, "model", "info", "--model", none).want(exitOK).prints("guideline moves alone")

	damaged := modelCopy(t)
	name := filepath.Join(damaged, "actor.json")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(data, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	decide(damaged).want(exitFailed).says("actor")
}
