// SPDX-License-Identifier: Apache-2.0

package world

// This file: a model folder is read only when every byte is as written.

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := mustToy(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAWrittenModelForecastsTheSameBits(t *testing.T) {
	m := mustToy(t)
	again, err := Load(os.DirFS(written(t)), ".")
	if err != nil {
		t.Fatal(err)
	}
	if again.Info() != m.Info() {
		t.Fatalf("info %+v, want %+v", again.Info(), m.Info())
	}
	c := toyCourse(5, 9, false, true)
	plans := []Plan{{"x", []Dose{{0.1, 200}, {0.2, 0}}}}
	a, err := m.Forecast(context.Background(), c.timelines[8], plans, 65)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Forecast(context.Background(), c.timelines[8], plans, 65)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatal("forecasts differ after reading back")
	}
	if !reflect.DeepEqual(again.Persistence().Info(), m.Persistence().Info()) {
		t.Fatal("the baseline differs after reading back")
	}
}

func TestAFlippedByteIsFoundAndTheFileNamed(t *testing.T) {
	dir := written(t)
	for _, name := range []string{weightsName, modelName} {
		good, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, len(good) / 3, len(good) - 2} {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if err := os.WriteFile(filepath.Join(dir, name), bad, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(os.DirFS(dir), ".")
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s with byte %d changed: %v", name, at, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(os.DirFS(dir), "."); err != nil {
		t.Fatalf("mended again: %v", err)
	}
}

func TestFilesOfTwoModelsDoNotMix(t *testing.T) {
	cfg := toyConfig()
	cfg.Members, cfg.Epochs, cfg.Seed = 1, 1, 5
	other := trainToy(t, cfg)
	dir := written(t)
	js, _, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(dir, weightsName))
	if err != nil {
		t.Fatal(err)
	}
	// Both files are sound by themselves and the sums agree with both.
	sums := digest(own) + "  " + weightsName + "\n" + digest(js) + "  " + modelName + "\n"
	for name, b := range map[string][]byte{modelName: js, sumsName: []byte(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(os.DirFS(dir), "."); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "does not belong") {
		t.Fatalf("error %v", err)
	}
}

func TestAMissingModelSaysWhatToDo(t *testing.T) {
	if _, err := Load(os.DirFS(t.TempDir()), "."); err == nil || !strings.Contains(err.Error(), "train world") {
		t.Fatalf("error %v", err)
	}
}

func TestEvaluateLeavesOutEveryPatientTheModelHasSeen(t *testing.T) {
	m, rows := mustToy(t), toyRows(t)
	e, err := Evaluate(context.Background(), cohort.Seq(rows), m)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	fresh := map[string]bool{}
	for _, r := range rows {
		if r.Part == cohort.Test {
			fresh[r.Patient] = true
		} else {
			seen[r.Patient] = true
		}
	}
	if e.LeftOut != len(seen) {
		t.Errorf("%d stays left out, want %d", e.LeftOut, len(seen))
	}
	if e.Synthetic == nil || e.Stays+e.Synthetic.Stays != len(fresh) {
		t.Errorf("%d real and %v simulated stays scored, want %d in all", e.Stays, e.Synthetic, len(fresh))
	}
	if e.StateMAE != m.file.Training.Test.StateMAE {
		t.Errorf("state_mae %v, the training record says %v", e.StateMAE, m.file.Training.Test.StateMAE)
	}
	if e.ModelHash != m.Info().Hash || len(e.DataDigest) != 64 {
		t.Errorf("hashes %q %q", e.ModelHash, e.DataDigest)
	}
	var old []cohort.Row
	for _, r := range rows {
		if r.Part != cohort.Test {
			old = append(old, r)
		}
	}
	if _, err := Evaluate(context.Background(), cohort.Seq(old), m); !errors.Is(err, ErrNothingToEvaluate) {
		t.Errorf("a cohort of known patients: %v", err)
	}
}

func TestTheCardSaysWhatTheModelIsNot(t *testing.T) {
	card := string(mustToy(t).Card())
	for _, want := range []string{"Not validated for clinical use", "toy", "Data digest", "| next-state MAE |"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card does not say %q", want)
		}
	}
}
