// SPDX-License-Identifier: Apache-2.0

package world

// This file: a model of either kind on disk. Four files make one model:
//
//	weights.safetensors  the tensors; its metadata name the SHA-256 of model.json
//	model.json           everything else that forecasts depend on, and the training record
//	SHA256SUMS           the SHA-256 of both, in the form that sha256sum -c reads
//	MODEL_CARD.md        for people; written from model.json, never read
//
// The hash of the weights file therefore stands for the whole model.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Names of the files of a model folder.
const (
	weightsName = "weights.safetensors"
	modelName   = "model.json"
	sumsName    = "SHA256SUMS"
	cardName    = "MODEL_CARD.md"
)

// schema names the layout of model.json that this code reads.
const schema = "sepsisagent.world/3"

// ErrCorrupt: a model file is damaged, changed or incomplete. The error names
// the file. Get the folder again from where it was released, or train.
var ErrCorrupt = errors.New("model file is corrupt")

// modelFile is model.json.
type modelFile struct {
	Schema          string                  `json:"schema"`
	Version         string                  `json:"version"`
	Architecture    Architecture            `json:"architecture"`
	Members         int                     `json:"members"`
	Features        []string                `json:"features"`
	Scale           Scale                   `json:"scale"`
	VasopressorCuts [3]float64              `json:"vasopressor_cuts"`
	FluidCuts       [3]float64              `json:"fluid_cuts"`
	Width80         [Horizon][numF]float64  `json:"width80"`
	Width95         [Horizon][numF]float64  `json:"width95"`
	Persist80       [Horizon][numF]float64  `json:"persistence80"`
	Persist95       [Horizon][numF]float64  `json:"persistence95"`
	LeastSpread     [Horizon * numF]float64 `json:"least_spread"` // standard deviation at least, [step][feature]
	Stretch         [numDrives]float64      `json:"stretch"`      // of all widths, by what runs at T
	Trust           [numF]float64           `json:"trust"`        // share of the forecast change that validation bears out
	Earned          [numActs][numF]float64  `json:"earned"`       // the same of the effect of norepinephrine, fluid and shortfall
	VentScaling     logistic                `json:"vent_scaling"`
	VasoScaling     logistic                `json:"vaso24h_scaling"`
	FollowUp        *logistic               `json:"death_90d,omitempty"` // scales the logit of death in hospital; nil: too few people were followed
	PairTemperature float64                 `json:"pair_temperature"`
	Far             [strata][]float64       `json:"far"`
	Reference       *refFile                `json:"reference,omitempty"` // of the stored baseline
	Training        TrainingRecord          `json:"training"`
}

// config is the default configuration with the cut-points of training.
func (f *modelFile) config() state.Config {
	cfg := state.DefaultConfig()
	cfg.VasopressorCuts, cfg.FluidCuts = f.VasopressorCuts, f.FluidCuts
	return cfg
}

func (f *modelFile) levels(d Dose) state.Levels { return labels(f.config(), d) }

// Write stores the model in dir, which is made if needed. Each file is
// complete or absent; SHA256SUMS comes last.
func (m *Model) Write(dir string) error {
	js, weights, err := m.encode()
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return writeFolder(dir, js, weights, m.Card())
}

// writeFolder writes the four files.
func writeFolder(dir string, js, weights, card []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	sums := fmt.Appendf(nil, "%s  %s\n%s  %s\n", digest(weights), weightsName, digest(js), modelName)
	for _, f := range []struct {
		name string
		data []byte
	}{{weightsName, weights}, {modelName, js}, {cardName, card}, {sumsName, sums}} {
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name+".part", f.data, 0o644); err != nil {
			return fmt.Errorf("write model: %w", err)
		}
		if err := os.Rename(name+".part", name); err != nil {
			return fmt.Errorf("write model: %w", err)
		}
	}
	return nil
}

// readFolder reads what writeFolder wrote, and returns it once every hash is
// the right one: model.json, the tensors, and the hash that stands for both.
func readFolder(fsys fs.FS, dir string) (js []byte, tensors []nn.Tensor, hash string, err error) {
	content := map[string][]byte{}
	for _, name := range []string{sumsName, weightsName, modelName} {
		if content[name], err = fs.ReadFile(fsys, path.Join(dir, name)); err != nil {
			return nil, nil, "", fmt.Errorf("load model (hint: make one with `train world` or `model import`, or name its folder with --model): %w", err)
		}
	}
	js, hash = content[modelName], digest(content[weightsName])
	for name, sum := range map[string]string{weightsName: hash, modelName: digest(js)} {
		if !strings.Contains("\n"+string(content[sumsName]), "\n"+sum+"  "+name+"\n") {
			return nil, nil, "", fmt.Errorf("%w: %s does not have the SHA-256 that %s names", ErrCorrupt, name, sumsName)
		}
	}
	tensors, meta, err := nn.DecodeSafetensors(content[weightsName])
	if err != nil {
		return nil, nil, "", fmt.Errorf("%w: %s: %w", ErrCorrupt, weightsName, err)
	}
	if meta[modelName] != digest(js) {
		return nil, nil, "", fmt.Errorf("%w: %s does not belong to %s", ErrCorrupt, modelName, weightsName)
	}
	return js, tensors, hash, nil
}

// strictly decodes model.json into to; a key that to does not have is an error.
func strictly(js []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(js))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, modelName, err)
	}
	return nil
}

// encode returns model.json and the weights file.
func (m *Model) encode() (js, weights []byte, err error) {
	js, err = json.MarshalIndent(&m.file, "", " ")
	if err != nil {
		return nil, nil, err
	}
	js = append(js, '\n')
	weights, err = nn.EncodeSafetensors(m.tensors(), map[string]string{modelName: digest(js), "schema": schema})
	return js, weights, err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// tensors lists the model's tensors in a fixed order.
func (m *Model) tensors() []nn.Tensor {
	var ts []nn.Tensor
	for k, theta := range m.members {
		for _, s := range m.net.layout.Spans {
			ts = append(ts, nn.Tensor{Name: fmt.Sprintf("member%d.%s", k, s.Name), Shape: []int{s.Rows, s.Cols}, Data: s.In(theta)})
		}
	}
	n := len(m.atlas.centres)
	centres, real, all := make([]float32, 0, n*contextSize), make([]float32, 0, n*numPairs), make([]float32, 0, n*numPairs)
	for i := range n {
		centres = append(centres, m.atlas.centres[i]...)
		real = append(real, m.atlas.real[i][:]...)
		all = append(all, m.atlas.all[i][:]...)
	}
	if m.reference != nil {
		ts = append(ts, m.reference.tensors(referencePrefix)...)
	}
	return append(ts,
		nn.Tensor{Name: "atlas.centres", Shape: []int{n, contextSize}, Data: centres},
		nn.Tensor{Name: "atlas.real", Shape: []int{n, numPairs}, Data: real},
		nn.Tensor{Name: "atlas.all", Shape: []int{n, numPairs}, Data: all},
		nn.Tensor{Name: "atlas.steps", Shape: []int{n}, Data: m.atlas.realSteps},
		nn.Tensor{Name: "ridge.weight", Shape: []int{ridgeInputs, numF}, Data: m.ridge.weight.Data},
		m.death.tensor())
}

// Load reads a model folder and verifies every hash and shape before it uses
// anything. A damaged file gives an error that wraps ErrCorrupt and names it.
func Load(fsys fs.FS, dir string) (*Model, error) {
	js, tensors, hash, err := readFolder(fsys, dir)
	if err != nil {
		return nil, err
	}
	if kind, err := kindIn(fsys, dir); err == nil && kind != kindNative {
		return nil, fmt.Errorf("%w: the folder holds a model of kind %s (hint: give a native one, made by `train world`)", ErrKind, kind)
	}
	m := &Model{}
	if err := strictly(js, &m.file); err != nil {
		return nil, err
	}
	if err := m.file.check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, modelName, err)
	}
	if err := m.adopt(tensors); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, weightsName, err)
	}
	m.describe(hash)
	return m, nil
}

// describe fills Info.
func (m *Model) describe(hash string) {
	m.info = Info{Kind: "native", Version: m.file.Version, Hash: hash, Trained: m.file.Training.sources(), Members: m.file.Members}
}

// check refuses a model that this code does not compute.
func (f *modelFile) check() error {
	if f.Schema != schema {
		return fmt.Errorf("schema %q; this build reads %q", f.Schema, schema)
	}
	a := f.Architecture
	if a != newArchitecture(a.Hidden, a.Effect) || a.Hidden < 1 || a.Hidden > 4096 || a.Effect < 1 || a.Effect > 4096 {
		return fmt.Errorf("architecture %+v is not one this build computes", a)
	}
	if f.Members < 1 || f.Members > 64 || len(f.Features) != numF {
		return fmt.Errorf("%d members, %d features", f.Members, len(f.Features))
	}
	for i, name := range f.Features {
		if name != string(features[i].Name) {
			return fmt.Errorf("feature %d is %q; this build has %q", i, name, features[i].Name)
		}
	}
	for i := range numF {
		for h := range Horizon {
			for _, w := range [][2]float64{{f.Width80[h][i], f.Width95[h][i]}, {f.Persist80[h][i], f.Persist95[h][i]}} {
				if !(w[0] > 0) || !(w[1] >= w[0]) || math.IsInf(w[1], 0) {
					return fmt.Errorf("interval widths of %s are not positive and nested", f.Features[i])
				}
			}
		}
		if !(f.Scale.SD[i] > 0) || math.IsInf(f.Scale.SD[i], 0) || math.IsNaN(f.Scale.Mean[i]) {
			return fmt.Errorf("scale of %s", f.Features[i])
		}
	}
	for i := range numF {
		for _, share := range []float64{f.Trust[i], f.Earned[actNE][i], f.Earned[actFluid][i], f.Earned[actShortfall][i]} {
			if !(share >= 0 && share <= 1) {
				return fmt.Errorf("a share of the change of %s is not in 0..1", f.Features[i])
			}
		}
		for h := range Horizon {
			if v := f.LeastSpread[h*numF+i]; !(v >= 0) || math.IsInf(v, 0) {
				return fmt.Errorf("the least spread of %s", f.Features[i])
			}
		}
	}
	for _, v := range f.Stretch {
		if !(v > 0) || math.IsInf(v, 0) {
			return errors.New("a stretch of the intervals is not positive")
		}
	}
	if h := f.FollowUp; h != nil && (!(h.A > 0) || math.IsInf(h.A+h.B, 0) || math.IsNaN(h.B)) {
		return errors.New("the head of death within 90 days is not a number")
	}
	if !(f.PairTemperature > 0) || !(f.VentScaling.A > 0) || !(f.VasoScaling.A > 0) {
		return errors.New("a calibration is not positive")
	}
	return f.config().Validate()
}

// adopt takes the tensors, each by name and shape, none left over.
func (m *Model) adopt(tensors []nn.Tensor) error {
	steps := slices.IndexFunc(tensors, func(t nn.Tensor) bool { return t.Name == "atlas.steps" })
	if steps < 0 {
		return errors.New("tensor atlas.steps is missing")
	}
	take, rest := hand(tensors)
	m.net = newNetwork(m.file.Architecture)
	for k := range m.file.Members {
		theta := make([]float32, m.net.layout.Size())
		for _, s := range m.net.layout.Spans {
			data, err := take(fmt.Sprintf("member%d.%s", k, s.Name), s.Rows, s.Cols)
			if err != nil {
				return err
			}
			copy(s.In(theta), data)
		}
		m.members = append(m.members, theta)
	}
	if err := m.adoptAtlas(tensors[steps].Shape, take); err != nil {
		return err
	}
	w, err := take("ridge.weight", ridgeInputs, numF)
	if err != nil {
		return err
	}
	m.ridge = &ridge{weight: &nn.Mat{Rows: ridgeInputs, Cols: numF, Data: w}}
	if w, err = take(outcomeTensor, 1+outcomeSize); err != nil {
		return err
	}
	m.death = &outcome{weight: w}
	if m.file.Reference != nil {
		if m.reference, err = restoreReference(*m.file.Reference, referencePrefix, take); err != nil {
			return fmt.Errorf("stored reference: %w", err)
		}
	}
	if n := rest(); n > 0 {
		return fmt.Errorf("%d tensors that no part of the model reads", n)
	}
	return nil
}

func (m *Model) adoptAtlas(shape []int, take func(string, ...int) ([]float32, error)) error {
	if len(shape) != 1 {
		return errors.New("tensor atlas.steps has the wrong rank")
	}
	n := shape[0]
	a := &atlas{far: m.file.Far}
	centres, err := take("atlas.centres", n, contextSize)
	if err != nil {
		return err
	}
	real, err := take("atlas.real", n, numPairs)
	if err != nil {
		return err
	}
	all, err := take("atlas.all", n, numPairs)
	if err != nil {
		return err
	}
	if a.realSteps, err = take("atlas.steps", n); err != nil {
		return err
	}
	for i := range n {
		a.centres = append(a.centres, centres[i*contextSize:(i+1)*contextSize])
		a.real = append(a.real, [numPairs]float32(real[i*numPairs:]))
		a.all = append(a.all, [numPairs]float32(all[i*numPairs:]))
	}
	m.atlas = a
	return nil
}
