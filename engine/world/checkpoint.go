// SPDX-License-Identifier: Apache-2.0

package world

// This file: training that goes on after a kill. After every epoch the state
// of training is written beside the old one and takes its place, so that there
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

// running is a member in the middle of its training.
type running struct {
	Member               int
	Epoch, Step          int // epochs and optimiser steps made
	Theta, Average, Best []float32
	BestLoss             float64
	BestEpoch            int
	Order                []int
	Chance               []byte // state of the random source
	Optimiser            nn.AdamState
}

// checkpoint is all that training needs to go on.
type checkpoint struct {
	Key    string // what is trained on which data, by settings
	Done   [][]float32
	Curves []Progress
	Now    *running // nil between two members
}

// checkpointKey stands for everything that the weights follow from. A
// checkpoint of anything else is not taken up.
func checkpointKey(cfg TrainConfig, a Architecture, dataDigest string) string {
	cfg.Checkpoint = ""
	return fmt.Sprintf("%s %+v %+v %s", schema, cfg, a, dataDigest)
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
