// SPDX-License-Identifier: Apache-2.0

package offline

// This file: fitted policies in two files, safetensors for the numbers and JSON
// for the rest, so that a model folder carries its baselines and an evaluation
// fits nothing. Reading is strict and allocates no more than the files' size
// bounds.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// Names of the two files in a model folder.
const (
	WeightsFile = "baselines.safetensors"
	RecordFile  = "baselines.json"
)

const fileSchema = "sepsisagent-baselines-1"

// ErrFile means that files hold no sound policies. Nothing of them may be used.
var ErrFile = errors.New("no sound file of learnt policies")

// Bounds of what is read.
const (
	maxInputs   = 1 << 16
	maxActions  = 1 << 10
	maxPolicies = 64
)

// document is the JSON file.
type document struct {
	Schema string `json:"schema"`
	// Bound is what the policies' features come from, such as the hash of a
	// world model that encodes them.
	Bound    string   `json:"bound"`
	Policies []Record `json:"policies"`
}

// tensor is a matrix of a policy.
type tensor struct {
	name       string
	rows, cols int
	data       []float32
}

// Encode returns the bytes of the weights file and of the record. bound says
// what features come from, and Decode gives it back. No method may come twice.
func Encode(bound string, policies []*Fitted) (weights, record []byte, err error) {
	doc := document{Schema: fileSchema, Bound: bound, Policies: []Record{}}
	var all []nn.Tensor
	for _, f := range policies {
		doc.Policies = append(doc.Policies, f.Record)
		for _, t := range f.policy.tensors() {
			all = append(all, nn.Tensor{Name: string(f.Method) + "." + t.name, Shape: []int{t.rows, t.cols}, Data: t.data})
		}
	}
	if err := doc.check(); err != nil {
		return nil, nil, err
	}
	if record, err = json.MarshalIndent(doc, "", " "); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	record = append(record, '\n')
	if weights, err = nn.EncodeSafetensors(all, map[string]string{"schema": fileSchema, RecordFile: sumOf(record)}); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return weights, record, nil
}

// Decode reads policies from the bytes of the two files, and what they are bound
// to; that this is what the caller encodes with is for the caller to check. An
// error wraps ErrFile.
func Decode(weights, record []byte) (bound string, policies []*Fitted, err error) {
	tensors, meta, err := nn.DecodeSafetensors(weights)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s: %w", ErrFile, WeightsFile, err)
	}
	if meta["schema"] != fileSchema || meta[RecordFile] != sumOf(record) {
		return "", nil, fmt.Errorf("%w: %s does not belong to %s (hint: copy both from where they were written)", ErrFile, RecordFile, WeightsFile)
	}
	var doc document
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return "", nil, fmt.Errorf("%w: %s: %w", ErrFile, RecordFile, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", nil, fmt.Errorf("%w: %s: something follows the record", ErrFile, RecordFile)
	}
	if err := doc.check(); err != nil {
		return "", nil, err
	}
	r := reader{left: map[string]nn.Tensor{}}
	for _, t := range tensors {
		r.left[t.Name] = t
	}
	for _, rec := range doc.Policies {
		f := &Fitted{Record: rec}
		if f.policy, err = r.policy(&f.Record); err != nil {
			return "", nil, fmt.Errorf("%w: %s: %w", ErrFile, rec.Method, err)
		}
		policies = append(policies, f)
	}
	if len(r.left) > 0 {
		return "", nil, fmt.Errorf("%w: %d tensors that no policy reads", ErrFile, len(r.left))
	}
	return doc.Bound, policies, nil
}

func (d *document) check() error {
	if d.Schema != fileSchema {
		return fmt.Errorf("%w: schema %q; this build reads %q", ErrFile, d.Schema, fileSchema)
	}
	if len(d.Policies) > maxPolicies {
		return fmt.Errorf("%w: %d policies, at most %d", ErrFile, len(d.Policies), maxPolicies)
	}
	for i := range d.Policies {
		r := &d.Policies[i]
		for _, before := range d.Policies[:i] {
			if before.Method == r.Method {
				return fmt.Errorf("%w: %s comes twice", ErrFile, r.Method)
			}
		}
		if !slices.Contains(Methods, r.Method) {
			return fmt.Errorf("%w: %w: %q", ErrFile, ErrMethod, r.Method)
		}
		if err := r.Config.validate(r.Method); err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		if r.Inputs < 1 || r.Inputs > maxInputs || r.Actions < 2 || r.Actions > maxActions || r.States < 0 || r.Clusters < 0 || r.Episodes < 0 || r.Steps < 0 {
			return fmt.Errorf("%w: %s: %d features, %d actions, %d states, %d clusters, %d steps of %d stays", ErrFile, r.Method, r.Inputs, r.Actions, r.States, r.Clusters, r.Steps, r.Episodes)
		}
	}
	return nil
}

// reader takes tensors by name and shape, each once.
type reader struct{ left map[string]nn.Tensor }

func (r *reader) take(method Method, name string, rows, cols int) ([]float32, error) {
	full := string(method) + "." + name
	t, ok := r.left[full]
	if !ok || len(t.Shape) != 2 || t.Shape[0] != rows || t.Shape[1] != cols {
		return nil, fmt.Errorf("tensor %s is missing or has another shape", full)
	}
	delete(r.left, full)
	return t.Data, nil
}

// policy rebuilds one policy of its record and tensors.
func (r *reader) policy(rec *Record) (interface {
	Policy
	tensors() []tensor
}, error) {
	switch {
	case rec.Method.deep():
		return r.deep(rec)
	case rec.Method == AIClinician:
		return r.table(rec)
	}
	p, err := r.take(rec.Method, "probabilities", 1, rec.Actions)
	if err != nil {
		return nil, err
	}
	f := &fixedPolicy{persists: rec.Method == Persistence}
	sum := 0.0
	for _, v := range p {
		if v < 0 {
			return nil, errors.New("a probability is negative")
		}
		sum += float64(v)
	}
	if math.Abs(sum-1) > 1e-5 {
		return nil, fmt.Errorf("probabilities add up to %v", sum)
	}
	for _, v := range p {
		f.p = append(f.p, float64(v)/sum)
	}
	return f, nil
}

func (f *fixedPolicy) tensors() []tensor {
	t := tensor{name: "probabilities", rows: 1, cols: len(f.p)}
	for _, v := range f.p {
		t.data = append(t.data, float32(v))
	}
	return []tensor{t}
}

func (r *reader) scale(rec *Record) (s *scale, err error) {
	s = &scale{}
	if s.mean, err = r.take(rec.Method, "mean", 1, rec.Inputs); err != nil {
		return nil, err
	}
	if s.sd, err = r.take(rec.Method, "sd", 1, rec.Inputs); err != nil {
		return nil, err
	}
	for _, v := range s.sd {
		if !(v > 0) {
			return nil, errors.New("a standard deviation is not above 0")
		}
	}
	return s, nil
}

func (s *scale) tensors() []tensor {
	return []tensor{{"mean", 1, len(s.mean), s.mean}, {"sd", 1, len(s.sd), s.sd}}
}

func (r *reader) deep(rec *Record) (_ *deepPolicy, err error) {
	p := &deepPolicy{method: rec.Method, cfg: &rec.Config, inputs: rec.Inputs, actions: rec.Actions}
	if p.scale, err = r.scale(rec); err != nil {
		return nil, err
	}
	p.layout, p.nets = shape(rec.Method, &rec.Config, rec.Inputs, rec.Actions)
	parts := make([][]float32, len(p.layout.Spans))
	for i, s := range p.layout.Spans {
		if parts[i], err = r.take(rec.Method, s.Name, s.Rows, s.Cols); err != nil {
			return nil, err
		}
	}
	p.theta = slices.Concat(parts...)
	return p, nil
}

func (p *deepPolicy) tensors() []tensor {
	out := p.scale.tensors()
	for _, s := range p.layout.Spans {
		out = append(out, tensor{s.Name, s.Rows, s.Cols, s.In(p.theta)})
	}
	return out
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
