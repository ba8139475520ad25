// SPDX-License-Identifier: Apache-2.0

package agent

// This file: an actor on disk, beside the world model it belongs to:
//
//	actor.safetensors  the tensors; its metadata name the SHA-256 of actor.json
//	actor.json         the shape, the world model's hash, and the training record
//	ACTOR_CARD.md      for people; written from actor.json, never read
//
// SHA256SUMS of the folder names the first two. The hash of the weights file
// therefore stands for the whole actor.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Names of an actor's files in a model folder.
const (
	ActorWeights = "actor.safetensors"
	ActorFile    = "actor.json"
	ActorCard    = "ACTOR_CARD.md"
	sumsFile     = "SHA256SUMS"
)

const actorSchema = "sepsisagent.actor/1"

// ActorRecord is actor.json: the shape, and how the actor came to be.
type ActorRecord struct {
	Schema string `json:"schema"`
	World  string `json:"world"`  // SHA-256 of the world model's weights
	Inputs int    `json:"inputs"` // length of its encoding
	Hidden int    `json:"hidden"`
	// Members are networks whose probabilities are averaged.
	Members         int             `json:"members"`
	VasopressorCuts [3]float64      `json:"vasopressor_cuts"`
	FluidCuts       [3]float64      `json:"fluid_cuts"`
	Method          string          `json:"method"`
	Settings        json.RawMessage `json:"settings"`
	DataDigest      string          `json:"data_digest"` // of the cohort
	Patients        []string        `json:"patients"`    // hashes of those who trained or stopped it, sorted
	Steps           int             `json:"steps"`       // decision times trained on
	Validation      ActorScore      `json:"validation"`
	Test            ActorScore      `json:"test"`
}

// ActorScore says how an actor does on real patients against the levels that
// clinicians gave next, beside the world model's calibrated behaviour model.
type ActorScore struct {
	Patients         int     `json:"patients"`
	Steps            int     `json:"steps"`              // with both levels known
	LogLoss          float64 `json:"log_loss"`           // of the actor, nats per step, lower is better
	BehaviourLogLoss float64 `json:"behaviour_log_loss"` // of the behaviour model on the same steps
	Agreement        float64 `json:"agreement"`          // share of steps in which the likeliest pair was given
	BehaviourAgree   float64 `json:"behaviour_agreement"`
	KL               float64 `json:"kl"` // mean KL(behaviour || actor), nats
	// Gain is by how much better than expected the 12 hours after a step went
	// where the actor gives what was done more weight than clinicians do, minus
	// where it gives it less; in standard deviations. It is an association in
	// records, not an effect of treatment.
	Gain float64 `json:"advantage_where_favoured"`
}

// OpenActor reads the actor of a model folder for the world model in it. It is
// nil without an error where the folder holds none: a folder whose list of files
// names one that is gone is damaged. The error wraps ErrActor.
func OpenActor(fsys fs.FS, dir string, encoder Encoder) (*Actor, error) {
	weights, err := fs.ReadFile(fsys, path.Join(dir, ActorWeights))
	if errors.Is(err, fs.ErrNotExist) {
		if sums, _ := fs.ReadFile(fsys, path.Join(dir, sumsFile)); bytes.Contains(sums, []byte("  "+ActorWeights+"\n")) {
			return nil, fmt.Errorf("%w: %s is gone, but %s names it (hint: copy the folder again; to go without, take it out of %s)", ErrActor, ActorWeights, sumsFile, sumsFile)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrActor, err)
	}
	js, err := fs.ReadFile(fsys, path.Join(dir, ActorFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w (hint: copy the folder again)", ErrActor, err)
	}
	a, err := NewActor(weights, js, encoder)
	if err != nil {
		return nil, err
	}
	sums, err := fs.ReadFile(fsys, path.Join(dir, sumsFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrActor, err)
	}
	for name, b := range map[string][]byte{ActorWeights: weights, ActorFile: js} {
		if !strings.Contains("\n"+string(sums), "\n"+sumOf(b)+"  "+name+"\n") {
			return nil, fmt.Errorf("%w: %s does not have the SHA-256 that %s names (hint: `train actor` writes it)", ErrActor, name, sumsFile)
		}
	}
	return a, nil
}

// NewActor reads an actor from the bytes of its two files and checks every hash
// and shape before it uses anything. The error wraps ErrActor.
func NewActor(weights, js []byte, encoder Encoder) (*Actor, error) {
	tensors, meta, err := nn.DecodeSafetensors(weights)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrActor, ActorWeights, err)
	}
	if meta[ActorFile] != sumOf(js) {
		return nil, fmt.Errorf("%w: %s does not belong to %s (hint: copy both from where `train actor` wrote them)", ErrActor, ActorFile, ActorWeights)
	}
	a := &Actor{encoder: encoder, hash: sumOf(weights)}
	dec := json.NewDecoder(bytes.NewReader(js))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a.record); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrActor, ActorFile, err)
	}
	if err := a.record.check(); err != nil {
		return nil, err
	}
	if given := encoder.Info().Hash; a.record.World != given {
		return nil, foreign(a.record.World, given)
	}
	a.net = NewActorNetwork(a.record.Hidden)
	byName := map[string]nn.Tensor{}
	for _, t := range tensors {
		byName[t.Name] = t
	}
	for m := range a.record.Members {
		theta := make([]float32, a.net.Layout.Size())
		for _, s := range a.net.Layout.Spans {
			name := tensorName(m, s.Name)
			t, ok := byName[name]
			if !ok || len(t.Shape) != 2 || t.Shape[0] != s.Rows || t.Shape[1] != s.Cols {
				return nil, fmt.Errorf("%w: tensor %s is missing or has another shape", ErrActor, name)
			}
			for _, v := range t.Data {
				if !finite(float64(v)) {
					return nil, fmt.Errorf("%w: tensor %s holds what is no number", ErrActor, name)
				}
			}
			copy(s.In(theta), t.Data)
			delete(byName, name)
		}
		a.members = append(a.members, theta)
	}
	if len(byName) > 0 {
		return nil, fmt.Errorf("%w: %d tensors that no part of it reads", ErrActor, len(byName))
	}
	return a, nil
}

func tensorName(member int, span string) string { return fmt.Sprintf("member%d.%s", member, span) }

func (r *ActorRecord) check() error {
	switch {
	case r.Schema != actorSchema:
		return fmt.Errorf("%w: schema %q; this build reads %q", ErrActor, r.Schema, actorSchema)
	case r.Inputs != world.InputSize:
		return fmt.Errorf("%w: it reads %d inputs; this build encodes %d", ErrActor, r.Inputs, world.InputSize)
	case r.Hidden < 1 || r.Hidden > 4096 || r.Members < 1 || r.Members > 64:
		return fmt.Errorf("%w: %d members of width %d", ErrActor, r.Members, r.Hidden)
	}
	return nil
}

// sameLevels reports whether levels mean to the agent what they meant in training.
func (r *ActorRecord) sameLevels(cfg state.Config) bool {
	return r.VasopressorCuts == cfg.VasopressorCuts && r.FluidCuts == cfg.FluidCuts
}

// EncodeActor returns the bytes of the weights file and of actor.json. Schema and
// Inputs of the record are filled in.
func EncodeActor(record ActorRecord, members [][]float32) (weights, js []byte, err error) {
	record.Schema, record.Inputs, record.Members = actorSchema, world.InputSize, len(members)
	if js, err = json.MarshalIndent(record, "", " "); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrActor, err)
	}
	js = append(js, '\n')
	net := NewActorNetwork(record.Hidden)
	var tensors []nn.Tensor
	for m, theta := range members {
		for _, s := range net.Layout.Spans {
			tensors = append(tensors, nn.Tensor{Name: tensorName(m, s.Name), Shape: []int{s.Rows, s.Cols}, Data: s.In(theta)})
		}
	}
	weights, err = nn.EncodeSafetensors(tensors, map[string]string{"schema": actorSchema, ActorFile: sumOf(js)})
	return weights, js, err
}

// WriteActor stores an actor's files in a model folder and names them in its
// SHA256SUMS, which comes last. Each file is complete or absent.
func WriteActor(dir string, weights, js []byte, card []byte) error {
	sums, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return fmt.Errorf("%w: the folder holds no model: %w", ErrActor, err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(sums)) {
		if !strings.HasSuffix(line, "  "+ActorWeights+"\n") && !strings.HasSuffix(line, "  "+ActorFile+"\n") {
			lines.WriteString(line)
		}
	}
	fmt.Fprintf(&lines, "%s  %s\n%s  %s\n", sumOf(weights), ActorWeights, sumOf(js), ActorFile)
	for _, f := range []struct {
		name string
		data []byte
	}{{ActorWeights, weights}, {ActorFile, js}, {ActorCard, card}, {sumsFile, []byte(lines.String())}} {
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name+".part", f.data, 0o644); err != nil {
			return fmt.Errorf("write actor: %w", err)
		}
		if err := os.Rename(name+".part", name); err != nil {
			return fmt.Errorf("write actor: %w", err)
		}
	}
	return nil
}

// Card describes the actor for people, from its record alone.
func (r *ActorRecord) Card() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Actor card\n\nGenerated from `%s`. Every number below was measured by `train actor`.\n\n", ActorFile)
	fmt.Fprintf(&b, "A learned policy that proposes treatment to the agent. It decides nothing: what it proposes is a bounded move that rules judge and the world model simulates. It belongs to world model `%.12s`.\n\n", r.World)
	fmt.Fprintf(&b, "Method: %s.\n\nTrained on %d decision times; %d patients trained or stopped it, all of them patients of the world model's own split. A higher arterial pressure can only turn it towards less vasopressor, whatever its weights are.\n\n", r.Method, r.Steps, len(r.Patients))
	b.WriteString("| against the levels clinicians gave next | validation | test |\n|---|---|---|\n")
	row := func(name string, of func(*ActorScore) string) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, of(&r.Validation), of(&r.Test))
	}
	row("patients, steps", func(s *ActorScore) string { return fmt.Sprintf("%d, %d", s.Patients, s.Steps) })
	number := func(of func(*ActorScore) float64) func(*ActorScore) string {
		return func(s *ActorScore) string { return fmt.Sprintf("%.3f", of(s)) }
	}
	row("log-loss of the actor", number(func(s *ActorScore) float64 { return s.LogLoss }))
	row("log-loss of the behaviour model", number(func(s *ActorScore) float64 { return s.BehaviourLogLoss }))
	row("likeliest pair was given, actor", number(func(s *ActorScore) float64 { return s.Agreement }))
	row("likeliest pair was given, behaviour model", number(func(s *ActorScore) float64 { return s.BehaviourAgree }))
	row("KL from the behaviour model", number(func(s *ActorScore) float64 { return s.KL }))
	row("advantage where it favours what was done, SD", number(func(s *ActorScore) float64 { return s.Gain }))
	b.WriteString("\nThe advantage is an association in records, not an effect of treatment: who gets more vasopressor is sicker in ways no chart shows.\n")
	return b.Bytes()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
