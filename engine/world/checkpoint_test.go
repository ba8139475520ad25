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

// The environment of a training that is to be killed: its checkpoint, and which
// of killings it is.
const (
	killedTraining = "SEPSISAGENT_TEST_KILLED_TRAINING"
	killedAt       = "SEPSISAGENT_TEST_KILLED_AT"
)

// encoder is a trained model of either kind.
type encoder interface {
	encode() (js, weights []byte, err error)
}

// killings are moments at which training is killed: when the second epoch of a
// network was made and is not yet saved.
var killings = []struct {
	name     string
	networks int // that are trained by then
	baseline bool
	train    func(ctx context.Context, checkpoint string, report func(Progress)) (encoder, error)
	key      func() (string, error)
}{
	{name: "a native model in its second member", networks: 1, train: trainSlowly, key: slowKey},
	{name: "a native model in its baseline", networks: 2, baseline: true, train: trainSlowly, key: slowKey},
	{name: "a reference model in its outcome network", networks: 1, train: trainReferenceSlowly, key: func() (string, error) {
		cfg := slowToy("")
		digest, err := toyDigest()
		return refCheckpointKey(cfg, cfg.Reference, digest), err
	}},
}

// slowToy trains long enough to be killed on the way.
func slowToy(checkpoint string) TrainConfig {
	cfg := toyConfig()
	cfg.Members, cfg.Epochs, cfg.Checkpoint, cfg.Reference.Epochs = 2, 2, checkpoint, 2
	return cfg
}

func slowKey() (string, error) {
	cfg := slowToy("")
	cfg.settle()
	digest, err := toyDigest()
	return checkpointKey(cfg, newArchitecture(cfg.Hidden, cfg.Effect), digest), err
}

func trainSlowly(ctx context.Context, checkpoint string, report func(Progress)) (encoder, error) {
	rows, err := toyRowsOnce()
	if err != nil {
		return nil, err
	}
	return Train(ctx, cohort.Seq(rows), slowToy(checkpoint), report)
}

func trainReferenceSlowly(ctx context.Context, checkpoint string, report func(Progress)) (encoder, error) {
	rows, err := toyRowsOnce()
	if err != nil {
		return nil, err
	}
	cfg := slowToy(checkpoint)
	return TrainReference(ctx, cohort.Seq(rows), cfg, cfg.Reference, report)
}

// TestATrainingToBeKilled is what the test below starts and kills.
func TestATrainingToBeKilled(t *testing.T) {
	file := os.Getenv(killedTraining)
	if file == "" {
		t.Skip("run by TestTrainingThatWasKilledEndsWithTheBytesOfOneThatWasNot")
	}
	for _, k := range killings {
		if k.name != os.Getenv(killedAt) {
			continue
		}
		_, err := k.train(context.Background(), file, func(p Progress) {
			if p.Baseline == k.baseline && (p.Member == 1 || p.Baseline) && p.Epoch == 1 {
				time.Sleep(time.Minute) // to be killed
			}
		})
		t.Fatalf("not killed: %v", err)
	}
}

func TestTrainingThatWasKilledEndsWithTheBytesOfOneThatWasNot(t *testing.T) {
	if testing.Short() {
		t.Skip("trains twice")
	}
	for _, k := range killings {
		t.Run(k.name, func(t *testing.T) {
			file, key := filepath.Join(t.TempDir(), "checkpoint"), ""
			var err error
			if key, err = k.key(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestATrainingToBeKilled$")
			cmd.Env = append(os.Environ(), killedTraining+"="+file, killedAt+"="+k.name)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for range 3000 { // as long as it waits to be killed
				if c, err := readCheckpoint(file, key); err == nil && len(c.Done) == k.networks && c.Now != nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			c, err := readCheckpoint(file, key)
			if err != nil || len(c.Done) != k.networks || c.Now == nil || c.Now.Epoch != 1 {
				t.Fatalf("the checkpoint is not of the first epoch of network %d: %v", k.networks, err)
			}
			var again, all int
			resumed, err := k.train(context.Background(), file, func(Progress) { again++ })
			if err != nil {
				t.Fatal(err)
			}
			whole, err := k.train(context.Background(), "", func(Progress) { all++ })
			if err != nil {
				t.Fatal(err)
			}
			if again+len(c.Curves) != all {
				t.Errorf("%d epochs were kept and %d made, of %d", len(c.Curves), again, all)
			}
			aJS, aWeights, err := whole.encode()
			if err != nil {
				t.Fatal(err)
			}
			bJS, bWeights, err := resumed.encode()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(aJS, bJS) || !bytes.Equal(aWeights, bWeights) {
				t.Error("the resumed training ends with other bytes")
			}
		})
	}
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
