// SPDX-License-Identifier: Apache-2.0

package world

// This file: a reference model on disk, in a folder like a native model's
// (files.go); the schema in model.json tells the kinds apart. A native model stores its
// baseline as tensors and a section of its own files through the same code.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// refSchema names the layout of a reference model's model.json.
const refSchema = "sepsisagent.reference/1"

// ErrKind: the model is sound, but of a kind that cannot do what is asked.
var ErrKind = errors.New("another kind of model is needed")

// Stored is a model that was read from a folder.
type Stored interface {
	Forecaster
	Card() []byte // for people, as Markdown
}

// Open reads a model folder of either kind. Errors are those of Load and
// LoadReference.
func Open(fsys fs.FS, dir string) (Stored, error) {
	kind, err := kindIn(fsys, dir)
	if err != nil {
		return nil, err
	}
	if kind == kindReference {
		return LoadReference(fsys, dir)
	}
	return Load(fsys, dir)
}

const (
	kindNative    = "native"
	kindReference = "reference"
)

// kindIn reads which kind of model a folder holds, without checking it.
func kindIn(fsys fs.FS, dir string) (string, error) {
	js, err := fs.ReadFile(fsys, path.Join(dir, modelName))
	if err != nil {
		return "", fmt.Errorf("load model (hint: train one with `train world`, or name its folder with --model): %w", err)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(js, &head); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrCorrupt, modelName, err)
	}
	if head.Schema == refSchema {
		return kindReference, nil
	}
	return kindNative, nil
}

// Write stores the model in dir as a native one is stored.
func (r *Reference) Write(dir string) error {
	js, weights, err := r.encode()
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return writeFolder(dir, js, weights, r.Card())
}

// encode returns model.json and the weights file.
func (r *Reference) encode() (js, weights []byte, err error) {
	js, err = json.MarshalIndent(&r.file, "", " ")
	if err != nil {
		return nil, nil, err
	}
	js = append(js, '\n')
	weights, err = nn.EncodeSafetensors(r.tensors(""), map[string]string{modelName: digest(js), "schema": refSchema})
	return js, weights, err
}

// tensors lists the networks' tensors in a fixed order; prefix comes before
// every name.
func (r *Reference) tensors(prefix string) (ts []nn.Tensor) {
	for _, n := range r.networks() {
		for _, s := range n.net.layout.Spans {
			ts = append(ts, nn.Tensor{Name: prefix + n.name + "." + s.Name, Shape: []int{s.Rows, s.Cols}, Data: s.In(n.theta)})
		}
	}
	return ts
}

type namedNet struct {
	name  string
	net   *refNet
	theta []float32
}

func (r *Reference) networks() []namedNet {
	out := []namedNet{{"dynamics", publishedDynamics(), r.dynamics}}
	if r.outcome != nil {
		out = append(out, namedNet{"outcome", publishedOutcome(), r.outcome})
	}
	return out
}

// restoreReference makes a model of its description and tensors. take hands
// out a tensor by name and shape, or says what is wrong with it.
func restoreReference(file refFile, prefix string, take func(name string, shape ...int) ([]float32, error)) (*Reference, error) {
	if err := file.check(); err != nil {
		return nil, err
	}
	load := func(name string, net *refNet) ([]float32, error) {
		theta := make([]float32, net.layout.Size())
		for _, s := range net.layout.Spans {
			data, err := take(prefix+name+"."+s.Name, s.Rows, s.Cols)
			if err != nil {
				return nil, err
			}
			copy(s.In(theta), data)
		}
		return theta, nil
	}
	dynamics, err := load("dynamics", publishedDynamics())
	if err != nil {
		return nil, err
	}
	var outcome []float32
	if file.Outcome != "" {
		if outcome, err = load("outcome", publishedOutcome()); err != nil {
			return nil, err
		}
	}
	return newReference(file, dynamics, outcome), nil
}

// check refuses a model that this code does not compute.
func (f *refFile) check() error {
	if f.Schema != refSchema {
		return fmt.Errorf("schema %q; this build reads %q", f.Schema, refSchema)
	}
	if len(f.Features) != numF {
		return fmt.Errorf("%d features; want %d", len(f.Features), numF)
	}
	for i, name := range f.Features {
		if name != string(features[i].Name) {
			return fmt.Errorf("feature %d is %q; this build has %q", i, name, features[i].Name)
		}
		if w := [2]float64{f.Width80[i], f.Width95[i]}; !(w[0] > 0) || !(w[1] >= w[0]) || math.IsInf(w[1], 0) {
			return fmt.Errorf("interval widths of %s are not positive and nested", name)
		}
	}
	if f.Outcome != "" && f.Outcome != outcomeInHospital && f.Outcome != outcome90Days {
		return fmt.Errorf("outcome %q is not one this build knows", f.Outcome)
	}
	if err := f.Scale.check(); err != nil {
		return err
	}
	r := Reference{file: *f}
	return r.config().Validate()
}

// LoadReference reads a reference model's folder and verifies every hash and
// shape before it uses anything. A damaged file gives an error that wraps
// ErrCorrupt and names it.
func LoadReference(fsys fs.FS, dir string) (*Reference, error) {
	js, tensors, hash, err := readFolder(fsys, dir)
	if err != nil {
		return nil, err
	}
	var file refFile
	if err := strictly(js, &file); err != nil {
		return nil, err
	}
	take, rest := hand(tensors)
	r, err := restoreReference(file, "", take)
	if err == nil && rest() > 0 {
		err = fmt.Errorf("%d tensors that no part of the model reads", rest())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	r.describe(hash)
	return r, nil
}

// hand gives tensors out by name and shape, each once; rest counts those left.
func hand(tensors []nn.Tensor) (take func(string, ...int) ([]float32, error), rest func() int) {
	byName := map[string]nn.Tensor{}
	for _, t := range tensors {
		byName[t.Name] = t
	}
	take = func(name string, shape ...int) ([]float32, error) {
		t, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("tensor %s is missing", name)
		}
		if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
			return nil, fmt.Errorf("tensor %s has shape %v, want %v", name, t.Shape, shape)
		}
		delete(byName, name)
		return t.Data, nil
	}
	return take, func() int { return len(byName) }
}

// describe fills Info.
func (r *Reference) describe(hash string) {
	r.info = Info{Kind: kindReference, Version: r.file.Version, Hash: hash, Trained: r.file.Origin, Members: 1}
}

// Card describes the model for people, as Markdown.
func (r *Reference) Card() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Clinical World Model, kind reference, version %s\n\n", r.file.Version)
	fmt.Fprintf(&b, "Architecture: that of arXiv 2605.14723: a recurrent network of two layers for the next 4-hour state (%d parameters)", refDynamicsSize)
	if r.outcome != nil {
		fmt.Fprintf(&b, " and one for %s (%d parameters)", r.file.Outcome, refOutcomeSize)
	}
	fmt.Fprintf(&b, ".\n\nOrigin of the weights: %s.\n\n", r.file.Origin)
	if r.file.Training == nil {
		b.WriteString("These weights were imported. Which patients trained them is not known, so evaluating them on patients of the same hospitals may flatter them. Their licence is their owner's.\n\n")
	}
	b.WriteString("Limits: the model has no behaviour model of its own; alone it gives every plan a support of 0, and the agent abstains.\n" +
		"Its action effects are associations in records, where the sicker get more. It has one network, so no disagreement is measured.\n")
	return b.Bytes()
}
