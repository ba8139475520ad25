// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: the curriculum on disk: a network with how it came to be, after
// every stage and, in stage III, every ten iterations, so that a training that was
// killed goes on where it was. The bytes are the same as of one that was not.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// Schema of curriculum.json.
const Schema = "sepsisagent.curriculum/1"

// Names of the files in a model folder.
const (
	RecordFile  = "curriculum.json"
	WeightsFile = "curriculum.safetensors"
)

// Record is curriculum.json.
type Record struct {
	Schema     string       `json:"schema"`
	World      string       `json:"world"`       // hash of the world model
	DataDigest string       `json:"data_digest"` // of the cohort
	Settings   Config       `json:"settings"`
	Train      []int        `json:"train_members"`
	Held       []int        `json:"held_members"`
	Stage      int          `json:"stage"`      // done
	Iterations int          `json:"iterations"` // of stage III, done
	Courses    int          `json:"courses"`    // of stage II, with anything to imitate
	Choices    int          `json:"choices"`    // imitated
	Scores     []StageScore `json:"scores"`
	References []Row        `json:"references,omitempty"`
	Curve      []Progress   `json:"curve"`
}

// StageScore is the network after one stage.
type StageScore struct {
	Stage int       `json:"stage"`
	Rows  []Row     `json:"rows"` // with and without the simulator, in both worlds
	IHM   Foresight `json:"in_hospital_mortality"`
	VR    Foresight `json:"vasopressor_24h"`
	Next  NextMAE   `json:"next_state_mae"`
}

// tensorNames are the weights, the optimiser's moments, and the weights that stage
// III is pulled to.
var tensorNames = []string{"theta", "adam.m", "adam.v", "anchor"}

// placeOf says how far a training is, for the weights to name.
func placeOf(r *Record) string { return fmt.Sprintf("stage %d, iteration %d", r.Stage, r.Iterations) }

// write keeps the network and the record; the record comes last, so that a folder
// with one is whole.
func (t *trainer) write(dir string, r *Record) error {
	s := t.learner.opt.State()
	var tensors []nn.Tensor
	for i, data := range [][]float32{t.learner.theta, s.M, s.V, t.anchor} {
		if data == nil {
			continue
		}
		tensors = append(tensors, nn.Tensor{Name: tensorNames[i], Shape: []int{len(data)}, Data: slices.Clone(data)})
	}
	weights, err := nn.EncodeSafetensors(tensors, map[string]string{"schema": Schema, "hidden": fmt.Sprint(t.learner.hidden), "adam.step": fmt.Sprint(s.Step), "at": placeOf(r)})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{WeightsFile, weights}, {RecordFile, append(text, '\n')}} {
		temp := filepath.Join(dir, "."+f.name)
		if err := os.WriteFile(temp, f.data, 0o644); err != nil {
			return err
		}
		if err := os.Rename(temp, filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	return nil
}

// Read reads the record in a folder; nil where there is none.
func Read(dir string) (*Record, error) {
	data, err := os.ReadFile(filepath.Join(dir, RecordFile))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCurriculum, RecordFile, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%w: %s has schema %.40q, want %q", ErrCurriculum, RecordFile, r.Schema, Schema)
	}
	return r, nil
}

// load takes the network of a folder up again.
func (t *trainer) load(dir string, r *Record) error {
	data, err := os.ReadFile(filepath.Join(dir, WeightsFile))
	if err != nil {
		return fmt.Errorf("%w: %w (hint: train the stage before first)", ErrCurriculum, err)
	}
	tensors, meta, err := nn.DecodeSafetensors(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCurriculum, WeightsFile, err)
	}
	if meta["at"] != placeOf(r) { // killed between the two files
		return fmt.Errorf("%w: %s is at %s, %s at %s (hint: begin with --stage 1)", ErrCurriculum, WeightsFile, meta["at"], RecordFile, placeOf(r))
	}
	l := &learner{net: agent.NewActorLearner(t.cfg.Imitation.Hidden), hidden: t.cfg.Imitation.Hidden}
	l.theta, l.grad = make([]float32, l.net.Layout.Size()), make([]float32, l.net.Layout.Size())
	l.opt = nn.NewAdam(len(l.theta), 0)
	s := nn.AdamState{M: make([]float32, len(l.theta)), V: make([]float32, len(l.theta))}
	if _, err := fmt.Sscan(meta["adam.step"], &s.Step); err != nil || s.Step < 0 {
		return fmt.Errorf("%w: %s does not say how far its optimiser is", ErrCurriculum, WeightsFile)
	}
	into := [][]float32{l.theta, s.M, s.V}
	if t.iteration > 0 {
		t.anchor = make([]float32, len(l.theta))
		into = append(into, t.anchor)
	}
	for i, into := range into {
		at := slices.IndexFunc(tensors, func(x nn.Tensor) bool { return x.Name == tensorNames[i] })
		if at < 0 || len(tensors[at].Data) != len(into) {
			return fmt.Errorf("%w: %s is not of a network %d wide", ErrCurriculum, WeightsFile, l.hidden)
		}
		copy(into, tensors[at].Data)
	}
	l.opt.Restore(s)
	t.learner = l
	return nil
}
