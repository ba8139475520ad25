// SPDX-License-Identifier: Apache-2.0

package world

// This file: that training which was killed ends with the bytes of one that
// was not.

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// killedTraining names the checkpoint of a training that is to be killed.
const killedTraining = "SEPSISAGENT_TEST_KILLED_TRAINING"

// slowToy trains long enough to be killed on the way.
func slowToy(checkpoint string) TrainConfig {
	cfg := toyConfig()
	cfg.Members, cfg.Epochs, cfg.Checkpoint = 2, 4, checkpoint
	return cfg
}

func TestTrainingThatWasKilledEndsWithTheBytesOfOneThatWasNot(t *testing.T) {
	if name := os.Getenv(killedTraining); name != "" {
		cfg := slowToy(name)
		epochs := 0
		_, err := Train(context.Background(), cohort.Seq(toyRows(t)), cfg, func(Progress) {
			if epochs++; epochs == 6 {
				time.Sleep(time.Minute) // to be killed in the second epoch of the second member, before it is saved
			}
		})
		t.Fatalf("not killed: %v", err)
	}
	if testing.Short() {
		t.Skip("trains twice")
	}
	name := filepath.Join(t.TempDir(), "checkpoint")
	cmd := exec.Command(os.Args[0], "-test.run=^TestTrainingThatWasKilledEndsWithTheBytesOfOneThatWasNot$")
	cmd.Env = append(os.Environ(), killedTraining+"="+name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		if c, err := readCheckpoint(name, keyIn(name)); err == nil && len(c.Done) == 1 && c.Now != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	c, err := readCheckpoint(name, keyIn(name))
	if err != nil || len(c.Done) != 1 || c.Now == nil {
		t.Fatalf("the checkpoint is not of the second member: %+v, %v", c, err)
	}
	reported := 0
	resumed, err := Train(context.Background(), cohort.Seq(toyRows(t)), slowToy(name), func(Progress) { reported++ })
	if err != nil {
		t.Fatal(err)
	}
	whole := trainToy(t, slowToy(""))
	if reported >= len(whole.file.Training.Curves) {
		t.Errorf("the resumed training made all %d epochs again", reported)
	}
	for _, part := range []struct {
		name string
		of   func(*Model) []byte
	}{
		{"model.json", func(m *Model) []byte { js, _, _ := m.encode(); return js }},
		{"weights", func(m *Model) []byte { _, w, _ := m.encode(); return w }},
	} {
		if a, b := part.of(whole), part.of(resumed); len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %d and %d bytes", part.name, len(a), len(b))
		}
	}
}

// keyIn is the key that a training of slowToy looks for.
func keyIn(name string) string {
	cfg := slowToy(name)
	cfg.settle()
	digest, err := toyDigest()
	if err != nil {
		return err.Error()
	}
	return checkpointKey(cfg, newArchitecture(cfg.Hidden, cfg.Effect), digest)
}

func toyDigest() (string, error) {
	rows, err := toyRowsOnce()
	if err != nil {
		return "", err
	}
	return cohort.Digest(cohort.Seq(rows))
}

func TestACheckpointOfOtherSettingsOrWithDamageIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "checkpoint")
	if err := (&checkpoint{Key: "a", Done: [][]float32{{1, 2}}}).write(name); err != nil {
		t.Fatal(err)
	}
	if c, err := readCheckpoint(name, "a"); err != nil || len(c.Done) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := readCheckpoint(name, "b"); !errors.Is(err, ErrTraining) {
		t.Errorf("other settings: %v", err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{b[:len(b)-1], b[:3], append(bytes.Clone(b[:len(b)-1]), b[len(b)-1]^1)} {
		if err := os.WriteFile(name, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readCheckpoint(name, "a"); !errors.Is(err, ErrTraining) {
			t.Errorf("%d of %d bytes: %v", len(damaged), len(b), err)
		}
	}
}
