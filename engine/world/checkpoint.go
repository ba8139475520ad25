// SPDX-License-Identifier: Apache-2.0

package world

// This file: training that goes on after a kill, of either kind. After every
// epoch the state of training is written beside the old one and takes its place, so that there
// always is a whole one. What a resumed training ends with is, to the bit,
// what one that was never stopped ends with.

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// running is a network in the middle of its training.
type running struct {
	Member               int
	Epoch, Step          int       // epochs and optimiser steps made
	Theta, Average, Best []float32 // Average: of native members
	BestLoss             float64
	BestEpoch            int
	Order                []int
	Chance               []byte // state of the random source
	Optimiser            nn.AdamState
}

// checkpoint is all that training needs to go on.
type checkpoint struct {
	Key    string      // what is trained on which data, by settings
	Done   [][]float32 // the networks that are trained: a native model's members, then its baseline
	Curves []Progress  // of all of them
	Now    *running    // nil between two networks
}

// keeper trains one network after the other and keeps the state of it.
type keeper struct {
	at     *checkpoint
	file   string // empty: nothing is kept
	report func(Progress)
}

// newKeeper goes on from the checkpoint in file where there is one. report may
// be nil.
func newKeeper(file, key string, report func(Progress)) (*keeper, error) {
	at, err := readCheckpoint(file, key)
	return &keeper{at: at, file: file, report: report}, err
}

// network gives the weights of network number i: those that are kept, or what
// fit ends with. fit gets the state to go on from, nil at the start.
func (k *keeper) network(i int, fit func(now *running) ([]float32, error)) ([]float32, error) {
	if i < len(k.at.Done) {
		return k.at.Done[i], nil
	}
	theta, err := fit(k.at.Now)
	if err != nil {
		return nil, err
	}
	k.at.Done = append(k.at.Done, theta)
	return theta, k.save(nil)
}

// epoch notes an epoch and tells whoever watches.
func (k *keeper) epoch(p Progress) {
	k.at.Curves = append(k.at.Curves, p)
	if k.report != nil {
		k.report(p)
	}
}

// save is called after every epoch.
func (k *keeper) save(now *running) error {
	k.at.Now = now
	return k.at.write(k.file)
}

// curves are the epochs of the model itself, or those of its baseline.
func (k *keeper) curves(baseline bool) (out []Progress) {
	for _, p := range k.at.Curves {
		if p.Baseline == baseline {
			out = append(out, p)
		}
	}
	return out
}

// checkpointKey stands for everything that the weights follow from. A
// checkpoint of anything else is not taken up.
func checkpointKey(cfg TrainConfig, a Architecture, dataDigest string) string {
	cfg.Checkpoint = ""
	return fmt.Sprintf("%s %+v %+v %s", schema, cfg, a, dataDigest)
}

// refCheckpointKey is checkpointKey for the reference kind.
func refCheckpointKey(cfg TrainConfig, ref RefConfig, dataDigest string) string {
	cfg.Checkpoint, cfg.Reference = "", ref
	return fmt.Sprintf("%s %+v %s", refSchema, cfg, dataDigest)
}

// write replaces the file name; an empty name writes nothing.
func (c *checkpoint) write(name string) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	b.Write(make([]byte, sha256.Size))
	if err := gob.NewEncoder(&b).Encode(c); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	sum := sha256.Sum256(b.Bytes()[sha256.Size:])
	copy(b.Bytes(), sum[:])
	if err := os.WriteFile(name+".part", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if err := os.Rename(name+".part", name); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// readCheckpoint returns the checkpoint in the file name if there is one. A
// damaged one, and one of other data or settings, is an error: it may be
// somebody's work of hours.
func readCheckpoint(name, key string) (*checkpoint, error) {
	fresh := &checkpoint{Key: key}
	if name == "" {
		return fresh, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	var c checkpoint
	if len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b) {
		return nil, fmt.Errorf("%w: checkpoint %s is damaged (hint: remove it to train from the start)", ErrTraining, name)
	}
	if err := gob.NewDecoder(bytes.NewReader(b[sha256.Size:])).Decode(&c); err != nil {
		return nil, fmt.Errorf("%w: checkpoint %s (hint: remove it to train from the start): %w", ErrTraining, name, err)
	}
	if c.Key != key {
		return nil, fmt.Errorf("%w: checkpoint %s is of other data or settings (hint: train with those, or remove it)", ErrTraining, name)
	}
	return &c, nil
}
