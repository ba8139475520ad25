// SPDX-License-Identifier: Apache-2.0

package world

// This file: importing published weights. The published ones are not here (they
// have no licence): files of the same names, shapes and order are made from a
// formula. tiny.pt comes from testdata/reference.py; whole archives are written
// by writeTorch, which shares no code with the reader.

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// publishedTensors are the tensors of one network in the order of its state
// dictionary, filled by the formula of testdata/reference.py.
func publishedTensors(dynamics bool) (ts []nn.Tensor) {
	add := func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		t := nn.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
		for i := range t.Data {
			k := float64(i % 101)
			t.Data[i] = float32(0.12 * math.Sin(1+0.7*float64(len(ts))+0.37*float64(i)+0.0013*k*k))
		}
		ts = append(ts, t)
	}
	linear := func(name string, out, in int) {
		add(name+".weight", out, in)
		add(name+".bias", out)
	}
	linear("static_embed", 32, 3)
	linear("act_embed", 32, 10)
	for l, in := range []int{141, 128} {
		add(fmt.Sprint("gru.weight_ih_l", l), 384, in)
		add(fmt.Sprint("gru.weight_hh_l", l), 384, 128)
		add(fmt.Sprint("gru.bias_ih_l", l), 384)
		add(fmt.Sprint("gru.bias_hh_l", l), 384)
	}
	if dynamics {
		linear("vent_head.0", 64, 128)
		linear("vent_head.2", 1, 64)
		linear("trans_pre.0", 128, 129)
		linear("mu_head", 39, 128)
		linear("log_sigma_head", 39, 128)
		return ts
	}
	linear("outcome_head.0", 64, 128)
	linear("outcome_head.3", 1, 64)
	return ts
}

// pickled writes pickles one instruction at a time.
type pickled struct{ bytes.Buffer }

func (p *pickled) text(s string) {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
}

func (p *pickled) number(n int) {
	p.WriteByte('J')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

func (p *pickled) numbers(ns []int) {
	p.WriteByte('(')
	for _, n := range ns {
		p.number(n)
	}
	p.WriteByte('t')
}

// tensor writes a tensor that fills storage key.
func (p *pickled) tensor(storage, key string, shape []int) {
	stride, count := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		stride[i] = count
		count *= shape[i]
	}
	p.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
	p.text("storage")
	p.WriteString("ctorch\n" + storage + "\n")
	p.text(key)
	p.text("cuda:0")
	p.number(count)
	p.WriteString("tQ")
	p.number(0)
	p.numbers(shape)
	p.numbers(stride)
	p.WriteString("\x89ccollections\nOrderedDict\n)RtR")
}

// stateDict pickles tensors, tensor i in storage i.
func stateDict(ts []nn.Tensor) []byte {
	var p pickled
	p.WriteString("\x80\x02ccollections\nOrderedDict\n)R(")
	for i, t := range ts {
		p.text(t.Name)
		p.tensor("FloatStorage", fmt.Sprint(i), t.Shape)
	}
	p.WriteString("u.")
	return p.Bytes()
}

// archiveOf stores entries uncompressed below one root.
func archiveOf(t testing.TB, method uint16, entries ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e[0], Method: method})
		if err == nil {
			_, err = w.Write([]byte(e[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeTorch writes tensors as torch.save does.
func writeTorch(t testing.TB, ts []nn.Tensor) []byte {
	entries := [][2]string{{"m/data.pkl", string(stateDict(ts))}, {"m/version", "3\n"}}
	for i, x := range ts {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.LittleEndian, x.Data); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, [2]string{fmt.Sprint("m/data/", i), b.String()})
	}
	return archiveOf(t, zip.Store, entries...)
}

// publishedFolder is a folder as published, with weights from the formula.
func publishedFolder(t testing.TB) fstest.MapFS {
	t.Helper()
	var dynamic, masks, actions []string
	for f := range numF {
		dynamic = append(dynamic, string(features[f].Name))
		if f < refMasks {
			masks = append(masks, string(features[f].Name)+"_mask")
		}
	}
	for i := range refActions {
		actions = append(actions, fmt.Sprint("act_", i))
	}
	s, index := publishedRefScale(), state.Urine
	js := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return fstest.MapFS{
		"state_model_log.pt":          {Data: writeTorch(t, publishedTensors(true))},
		"outcome.pt":                  {Data: writeTorch(t, publishedTensors(false))},
		"scaler_params_log.json":      {Data: js(publishedScaler{Columns: dynamic, Mean: s.Mean[:], SD: s.SD[:], UrineLog: true, UrineIndex: &index})},
		"episode_feature_config.json": {Data: js(publishedFeatures{Dynamic: dynamic, Masks: masks, Static: []string{"age", "gender", "charlson_comorbidity_index"}, Actions: actions, StaticMean: []float64{63.76, 5.3}, StaticSD: []float64{16.1, 2.96}})},
	}
}

func TestTinyFileOfPythonIsRead(t *testing.T) {
	file, err := os.ReadFile("testdata/tiny.pt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeTorch(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []nn.Tensor{
		{Name: "whole", Shape: []int{2, 3}, Data: []float32{0, 0.125, 0.25, 0.375, 0.5, 0.625}},
		{Name: "bias", Shape: []int{4}, Data: []float32{-1, -2, -3, -4}},
		{Name: "first", Shape: []int{3, 4}, Data: []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{Name: "turned", Shape: []int{3, 4}, Data: []float32{12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v\nwant %v", got, want)
	}
}

// The imported networks against numbers that testdata/reference.py, which
// shares no code with them, computed with NumPy in float64. Tolerance: 1e-5,
// what float32 leaves after twelve steps.
func TestReferenceNetworksEqualAnIndependentImplementation(t *testing.T) {
	b, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Dynamics []struct {
			Real     int       `json:"real"`
			Mu       []float64 `json:"mu"`
			LogSigma []float64 `json:"log_sigma"`
			Vent     float64   `json:"vent_logit"`
		} `json:"dynamics"`
		Outcome []struct {
			Real  int     `json:"real"`
			Logit float64 `json:"logit"`
		} `json:"outcome"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	r, err := ImportReference(publishedFolder(t), ".", "1.0.0", state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got float32, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-5 {
			t.Errorf("%s is %v, NumPy has %v", what, got, want)
		}
	}
	pass := func(net *refNet, theta []float32, real int) *refPass {
		p := net.newPass(1, false)
		copy(p.static.Row(0), []float32{0.5, 1, 0})
		for s := net.steps - real; s < net.steps; s++ {
			for f := range numF {
				p.measured.Row(s)[f] = float32(1.5 * math.Sin(0.9*float64(s)+0.41*float64(f)))
				if f < refMasks && (f+s)%3 == 0 {
					p.measured.Row(s)[numF+f] = 1
				}
			}
			p.action.Row(s)[s%5], p.action.Row(s)[5+(2*s+1)%5] = 1, 1
		}
		net.forward(theta, p)
		return p
	}
	for _, w := range want.Dynamics {
		p := pass(publishedDynamics(), r.dynamics, w.Real)
		for f := range numF {
			near(fmt.Sprintf("mean %d of %d steps", f, w.Real), p.mu.Data[f], w.Mu[f])
			near(fmt.Sprintf("log-scale %d of %d steps", f, w.Real), p.sigma.Data[f], w.LogSigma[f])
		}
		near("ventilation", p.logit.Data[0], w.Vent)
	}
	for _, w := range want.Outcome {
		near(fmt.Sprintf("outcome of %d steps", w.Real), pass(publishedOutcome(), r.outcome, w.Real).logit.Data[0], w.Logit)
	}
}

func TestSafetensorsAndTorchFilesGiveTheSameModel(t *testing.T) {
	folder := publishedFolder(t)
	a, err := ImportReference(folder, ".", "1.0.0", state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, dynamics := range map[string]bool{"state_model_log": true, "outcome": false} {
		b, err := nn.EncodeSafetensors(publishedTensors(dynamics), map[string]string{"format": "pt"})
		if err != nil {
			t.Fatal(err)
		}
		delete(folder, name+".pt")
		folder[name+".safetensors"] = &fstest.MapFile{Data: b}
	}
	b, err := ImportReference(folder, ".", "1.0.0", state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a.dynamics, a.outcome) != fmt.Sprint(b.dynamics, b.outcome) {
		t.Error("weights differ")
	}
	if !strings.Contains(a.Info().Trained, "state_model_log.pt (SHA-256 ") || a.Info().Kind != "reference" {
		t.Errorf("%+v", a.Info())
	}
}

func TestWhatDoesNotFitIsNotImported(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	tensors := func(change func([]nn.Tensor) []nn.Tensor) func([]byte) []byte {
		return func([]byte) []byte { return writeTorch(t, change(publishedTensors(true))) }
	}
	for _, c := range []struct {
		name, file, want string
		change           func([]byte) []byte
	}{
		{"a file is missing", "outcome.pt", "neither outcome.pt nor outcome.safetensors", nil},
		{"the scaler is missing", "scaler_params_log.json", "scaler_params_log.json", nil},
		{"two features have changed places", "scaler_params_log.json", `dyn_cols: entry 1 is "diabp", want "sysbp"`, replace(`"sysbp","diabp"`, `"diabp","sysbp"`)},
		{"the masks are in another order", "episode_feature_config.json", "mask_cols: entry 0", replace(`"heart_rate_mask","sysbp_mask"`, `"sysbp_mask","heart_rate_mask"`)},
		{"fluid comes before vasopressor", "episode_feature_config.json", "act_onehot_cols", replace(`"act_0","act_1"`, `"act_1","act_0"`)},
		{"a static input is another one", "episode_feature_config.json", "static_cols: entry 2", replace("charlson_comorbidity_index", "elixhauser")},
		{"urine is not on the log scale", "scaler_params_log.json", "log1p", replace(`"urine_log_transform":true`, `"urine_log_transform":false`)},
		{"the urine index is missing", "scaler_params_log.json", "log1p", replace(`"urine_idx":38`, `"urine_idx":null`)},
		{"a standard deviation is zero", "scaler_params_log.json", "scale of heart_rate", replace("17.9", "0")},
		{"a standard deviation is negative", "scaler_params_log.json", "scale of heart_rate", replace("17.9", "-17.9")},
		{"a mean is missing", "scaler_params_log.json", "39 means", replace("[87.6,", "[")},
		{"a mean is no number", "scaler_params_log.json", "scaler_params_log.json", replace("[87.6,", "[NaN,")},
		{"an entry is unknown", "scaler_params_log.json", "unknown field", replace(`{"dyn_cols"`, `{"extra":1,"dyn_cols"`)},
		{"something follows the scaler", "scaler_params_log.json", "follows", func(b []byte) []byte { return append(b, "{}"...) }},
		{"the outcome's weights are in the dynamics' file", "state_model_log.pt", "outcome_head.0.weight", func([]byte) []byte { return writeTorch(t, publishedTensors(false)) }},
		{"a tensor is missing", "state_model_log.pt", "1 tensors of the published architecture are missing: log_sigma_head.bias", tensors(func(ts []nn.Tensor) []nn.Tensor { return ts[:len(ts)-1] })},
		{"a tensor is one too many", "state_model_log.pt", `"extra" is not one`, tensors(func(ts []nn.Tensor) []nn.Tensor {
			return append(ts, nn.Tensor{Name: "extra", Shape: []int{1}, Data: []float32{1}})
		})},
		{"a tensor is there twice", "state_model_log.pt", "given twice", tensors(func(ts []nn.Tensor) []nn.Tensor { return append(ts, ts[0]) })},
		{"a matrix is turned", "state_model_log.pt", "has shape [10 32]", tensors(func(ts []nn.Tensor) []nn.Tensor { ts[2].Shape = []int{10, 32}; return ts })},
		{"a matrix is flat", "state_model_log.pt", "has shape [96]", tensors(func(ts []nn.Tensor) []nn.Tensor { ts[0].Shape = []int{96}; return ts })},
		{"a weight is not a number", "state_model_log.pt", "mu_head.weight: value 7 is not finite", tensors(func(ts []nn.Tensor) []nn.Tensor {
			for _, x := range ts {
				if x.Name == "mu_head.weight" {
					x.Data[7] = float32(math.NaN())
				}
			}
			return ts
		})},
		{"a weight is infinite", "outcome.pt", "not finite", func([]byte) []byte {
			ts := publishedTensors(false)
			ts[3].Data[0] = float32(math.Inf(-1))
			return writeTorch(t, ts)
		}},
		{"a byte of a storage has changed", "state_model_log.pt", "checksum", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{"the file is cut short", "state_model_log.pt", "archive of torch.save", func(b []byte) []byte { return b[:len(b)/2] }},
		{"the file is empty", "state_model_log.pt", "archive of torch.save", func([]byte) []byte { return nil }},
		{"the safetensors are cut short", "state_model_log.safetensors", "safetensors", func([]byte) []byte { return []byte("\x08\x00\x00\x00\x00\x00\x00\x00{}") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := publishedFolder(t)
			if c.change == nil {
				delete(folder, c.file)
			} else {
				var old []byte
				if f := folder[c.file]; f != nil {
					old = bytes.Clone(f.Data)
				} else {
					delete(folder, strings.TrimSuffix(c.file, ".safetensors")+".pt")
				}
				folder[c.file] = &fstest.MapFile{Data: c.change(old)}
			}
			r, err := ImportReference(folder, ".", "1.0.0", state.DefaultConfig())
			if !errors.Is(err, ErrImport) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
			if r != nil {
				t.Error("there is a model beside the error")
			}
		})
	}
}

func TestAnImportedModelForecastsAndSurvivesItsFiles(t *testing.T) {
	r, err := ImportReference(publishedFolder(t), ".", "1.0.0", state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := LoadReference(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got.Info() != r.Info() {
		t.Errorf("%+v is read as %+v", r.Info(), got.Info())
	}
	fc, err := got.Forecast(t.Context(), toyCourse(2, 6, false, true).timelines[5], []Plan{{Doses: make([]Dose, 3)}}, 65)
	if err != nil || len(fc[0].Steps) != 3 {
		t.Fatalf("%v, %v", fc, err)
	}
	if _, err := Load(os.DirFS(dir), "."); !errors.Is(err, ErrKind) {
		t.Errorf("reading a reference model as a native one: %v", err)
	}
}
