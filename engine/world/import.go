// SPDX-License-Identifier: Apache-2.0

package world

// This file: importing published weights. A folder as published holds
//
//	state_model_log.pt           the dynamics network (or .safetensors)
//	outcome.pt                   the outcome network (or .safetensors)
//	scaler_params_log.json       mean and standard deviation of each feature
//	episode_feature_config.json  names and order of every input
//
// Everything must be there and fit: names, shapes, types, counts, the order of
// the inputs. Nothing is guessed, and no code of a file is run.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Names of published files, without the ending of weights.
const (
	importDynamics = "state_model_log"
	importOutcome  = "outcome"
	importScaler   = "scaler_params_log.json"
	importFeatures = "episode_feature_config.json"
)

// ImportReference reads published weights from a folder. cfg gives the
// cut-points that label doses with the levels these networks know; the
// published ones are not known. Errors wrap ErrImport.
func ImportReference(fsys fs.FS, dir, version string, cfg state.Config) (*Reference, error) {
	r, err := importReference(fsys, dir, version, cfg)
	if err != nil && !errors.Is(err, ErrImport) {
		err = fmt.Errorf("%w: %w", ErrImport, err)
	}
	return r, err
}

func importReference(fsys fs.FS, dir, version string, cfg state.Config) (*Reference, error) {
	file := refFile{Schema: refSchema, Version: version, Outcome: outcome90Days,
		Cuts: refCuts{Vasopressor: cfg.VasopressorCuts, Fluid: cfg.FluidCuts}}
	for f := range numF {
		file.Width80[f], file.Width95[f] = normal80, normal95
		file.Features = append(file.Features, string(features[f].Name))
	}
	if err := file.Scale.read(fsys, dir); err != nil {
		return nil, err
	}
	dynamics, from1, err := importNetwork(fsys, dir, importDynamics, publishedDynamics())
	if err != nil {
		return nil, err
	}
	outcome, from2, err := importNetwork(fsys, dir, importOutcome, publishedOutcome())
	if err != nil {
		return nil, err
	}
	file.Origin = fmt.Sprintf("imported from %s and %s", from1, from2)
	if err := file.check(); err != nil {
		return nil, err
	}
	r := newReference(file, dynamics, outcome)
	_, weights, err := r.encode()
	if err != nil {
		return nil, err
	}
	r.describe(digest(weights))
	return r, nil
}

// importNetwork reads the weights of one network and says which file they
// came from.
func importNetwork(fsys fs.FS, dir, name string, net *refNet) (theta []float32, from string, err error) {
	var tensors []nn.Tensor
	content, err := readBounded(fsys, path.Join(dir, name+".pt"), maxArchive)
	if err == nil {
		from = name + ".pt"
		tensors, err = DecodeTorch(content)
	} else if errors.Is(err, fs.ErrNotExist) {
		from = name + ".safetensors"
		if content, err = readBounded(fsys, path.Join(dir, from), maxArchive); err != nil {
			return nil, from, fmt.Errorf("neither %s.pt nor %s can be read: %w", name, from, err)
		}
		tensors, _, err = nn.DecodeSafetensors(content)
	}
	if err != nil {
		return nil, from, fmt.Errorf("%s: %w", from, err)
	}
	if theta, err = net.adopt(tensors); err != nil {
		return nil, from, fmt.Errorf("%s: %w", from, err)
	}
	return theta, fmt.Sprintf("%s (SHA-256 %s)", from, digest(content)), nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, err
}

// torchNames pairs each tensor of the layout with its name in a published
// state dictionary. PyTorch stores matrices output first.
func (n *refNet) torchNames() map[string]nn.Span {
	out := map[string]nn.Span{}
	dense := map[string]nn.Dense{"static_embed": n.static, "act_embed": n.action}
	if n.dynamics {
		dense["vent_head.0"], dense["vent_head.2"] = n.head1, n.head2
		dense["trans_pre.0"], dense["mu_head"], dense["log_sigma_head"] = n.pre, n.mu, n.sigma
	} else {
		dense["outcome_head.0"], dense["outcome_head.3"] = n.head1, n.head2
	}
	for name, d := range dense {
		out[name+".weight"], out[name+".bias"] = d.W, d.B
	}
	for l, g := range n.gru {
		out[fmt.Sprint("gru.weight_ih_l", l)], out[fmt.Sprint("gru.bias_ih_l", l)] = g.Wx, g.Bx
		out[fmt.Sprint("gru.weight_hh_l", l)], out[fmt.Sprint("gru.bias_hh_l", l)] = g.Wh, g.Bh
	}
	return out
}

// adopt takes the tensors of a published state dictionary, each by name and
// shape, none missing and none left over.
func (n *refNet) adopt(tensors []nn.Tensor) ([]float32, error) {
	spans, theta := n.torchNames(), make([]float32, n.layout.Size())
	for _, t := range tensors {
		s, ok := spans[t.Name]
		if !ok {
			return nil, fmt.Errorf("tensor %q is not one of the published architecture, or is there twice", t.Name)
		}
		delete(spans, t.Name)
		want := []int{s.Cols, s.Rows}
		if s.Rows == 1 { // a bias
			want = want[:1]
		}
		if !slices.Equal(t.Shape, want) {
			return nil, fmt.Errorf("tensor %q has shape %v; the published architecture has %v", t.Name, t.Shape, want)
		}
		nn.Transpose(s.Mat(theta), &nn.Mat{Rows: s.Cols, Cols: s.Rows, Data: t.Data})
	}
	if len(spans) > 0 {
		return nil, fmt.Errorf("%d tensors of the published architecture are missing: %s", len(spans), strings.Join(slices.Sorted(maps.Keys(spans)), ", "))
	}
	return theta, nil
}

// publishedScaler is scaler_params_log.json. The clips are published but not
// applied when predicting; the derived columns are no inputs.
type publishedScaler struct {
	Columns       []string           `json:"dyn_cols"`
	Mean          []float64          `json:"dyn_mean"`
	SD            []float64          `json:"dyn_std"`
	ClipLow       map[string]float64 `json:"clip_q_low"`
	ClipHigh      map[string]float64 `json:"clip_q_high"`
	Derived       []string           `json:"derived_cols"`
	DerivedScales map[string]float64 `json:"derived_scales"`
	UrineLog      bool               `json:"urine_log_transform"`
	UrineIndex    *int               `json:"urine_idx"`
}

// publishedFeatures is episode_feature_config.json.
type publishedFeatures struct {
	Dynamic    []string  `json:"dynamic_cols"`
	Masks      []string  `json:"mask_cols"`
	Static     []string  `json:"static_cols"`
	Actions    []string  `json:"act_onehot_cols"`
	Derived    []string  `json:"derived_cols"`
	StaticMean []float64 `json:"static_scaler_mean"`
	StaticSD   []float64 `json:"static_scaler_std"`
}

// read takes the scale from the two JSON files and refuses inputs in another
// order than the networks read them here.
func (s *refScale) read(fsys fs.FS, dir string) error {
	var scaler publishedScaler
	if err := strictJSON(fsys, path.Join(dir, importScaler), &scaler); err != nil {
		return err
	}
	var inputs publishedFeatures
	if err := strictJSON(fsys, path.Join(dir, importFeatures), &inputs); err != nil {
		return err
	}
	var dynamic, masks, actions []string
	for f := range numF {
		name := string(features[f].Name)
		dynamic = append(dynamic, name)
		if f < refMasks {
			masks = append(masks, name+"_mask")
		}
	}
	for i := range refActions {
		actions = append(actions, fmt.Sprint("act_", i))
	}
	for _, c := range []struct {
		file, what string
		got, want  []string
	}{
		{importScaler, "dyn_cols", scaler.Columns, dynamic},
		{importFeatures, "dynamic_cols", inputs.Dynamic, dynamic},
		{importFeatures, "mask_cols", inputs.Masks, masks},
		{importFeatures, "static_cols", inputs.Static, []string{"age", "gender", "charlson_comorbidity_index"}},
		{importFeatures, "act_onehot_cols", inputs.Actions, actions},
	} {
		if err := sameOrder(c.got, c.want); err != nil {
			return fmt.Errorf("%s: %s: %w", c.file, c.what, err)
		}
	}
	if len(scaler.Mean) != numF || len(scaler.SD) != numF || len(inputs.StaticMean) != 2 || len(inputs.StaticSD) != 2 {
		return fmt.Errorf("%s, %s: want %d means and standard deviations of features and 2 of age and comorbidity", importScaler, importFeatures, numF)
	}
	if !scaler.UrineLog || scaler.UrineIndex == nil || *scaler.UrineIndex != urineColumn {
		return fmt.Errorf("%s: urine must be on the log1p scale at index %d", importScaler, urineColumn)
	}
	copy(s.Mean[:], scaler.Mean)
	copy(s.SD[:], scaler.SD)
	s.AgeMean, s.CharlsonMean = inputs.StaticMean[0], inputs.StaticMean[1]
	s.AgeSD, s.CharlsonSD = inputs.StaticSD[0], inputs.StaticSD[1]
	if err := s.check(); err != nil {
		return fmt.Errorf("%s, %s: %w", importScaler, importFeatures, err)
	}
	return nil
}

// sameOrder names the first difference of two lists.
func sameOrder(got, want []string) error {
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			found := "nothing"
			if i < len(got) {
				found = fmt.Sprintf("%q", got[i])
			}
			return fmt.Errorf("entry %d is %s, want %q", i, found, w)
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("entry %d, %q, is one too many", len(want), got[len(want)])
	}
	return nil
}

// strictJSON reads one object and nothing else.
func strictJSON(fsys fs.FS, name string, into any) error {
	b, err := readBounded(fsys, name, maxPickle)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path.Base(name), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%s: something follows the object", path.Base(name))
	}
	return nil
}
