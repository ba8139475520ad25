// SPDX-License-Identifier: Apache-2.0

package offline_test

// This file: that fitted policies come back from their files as they were, and
// that nothing else does.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// tiny are settings for tests of form, not of worth.
func tiny(method offline.Method) offline.Config {
	cfg := quick(method)
	cfg.Hidden, cfg.Updates, cfg.Streams = 4, 40, min(cfg.Streams, 3)
	return cfg
}

// everyPolicy fits every method, and AI Clinician on clusters.
func everyPolicy(t testing.TB, named bool) []*offline.Fitted {
	t.Helper()
	d := corridor(6, []float64{0.4, 0.3, 0.3}, named)
	d.Episodes = d.Episodes[:200]
	var out []*offline.Fitted
	for _, method := range offline.Methods {
		f, err := offline.Fit(context.Background(), d, method, tiny(method), nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func encode(t testing.TB, policies []*offline.Fitted) (weights, record []byte) {
	t.Helper()
	weights, record, err := offline.Encode("the encoder's hash", policies)
	if err != nil {
		t.Fatal(err)
	}
	return weights, record
}

func TestPoliciesComeBackFromTheirFiles(t *testing.T) {
	for _, named := range []bool{true, false} {
		fitted := everyPolicy(t, named)
		weights, record := encode(t, fitted)
		bound, got, err := offline.Decode(weights, record)
		if err != nil {
			t.Fatal(err)
		}
		if bound != "the encoder's hash" || len(got) != len(fitted) {
			t.Fatalf("%d policies came back, bound to %q", len(got), bound)
		}
		for i, f := range got {
			if f.Record != fitted[i].Record {
				t.Errorf("%s: the record is %+v, was %+v", f.Method, f.Record, fitted[i].Record)
			}
			want, have := probabilities(t, fitted[i], allCells()), probabilities(t, f, allCells())
			for cell := range want {
				for a := range want[cell] {
					if math.Abs(want[cell][a]-have[cell][a]) > 1e-7 {
						t.Errorf("%s: in cell %d it decides %v, did %v", f.Method, cell, have[cell], want[cell])
					}
				}
			}
		}
		again, record2 := encode(t, got)
		if !bytes.Equal(weights, again) || !bytes.Equal(record, record2) {
			t.Error("writing what was read gives other bytes")
		}
	}
}

func TestFitsAreTheSameBytesAgainAndOnOneProcessor(t *testing.T) {
	first, _ := encode(t, everyPolicy(t, false))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	second, _ := encode(t, everyPolicy(t, false))
	if !bytes.Equal(first, second) {
		t.Error("the same fit gives other bytes at GOMAXPROCS 1")
	}
	runtime.GOMAXPROCS(2)
	if third, _ := encode(t, everyPolicy(t, false)); !bytes.Equal(first, third) {
		t.Error("the same fit gives other bytes at GOMAXPROCS 2")
	}
}

// bind makes weights that name a record, whatever it holds.
func bind(weights, record []byte) ([]byte, error) {
	tensors, meta, err := nn.DecodeSafetensors(weights)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(record)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[offline.RecordFile] = hex.EncodeToString(sum[:])
	return nn.EncodeSafetensors(tensors, meta)
}

func TestFilesThatAreNotSound(t *testing.T) {
	weights, record := encode(t, everyPolicy(t, false))
	for _, c := range []struct {
		name, old, new string
	}{
		{"another schema", "sepsisagent-baselines-1", "sepsisagent-baselines-2"},
		{"a method twice", `"method": "random"`, `"method": "no_action"`},
		{"a method that nobody knows", `"method": "random"`, `"method": "magic"`},
		{"a key that nobody reads", `"bound"`, `"bund"`},
		{"more features than tensors have", `"inputs": 5`, `"inputs": 6`},
		{"features without end", `"inputs": 5`, `"inputs": 70000`},
		{"more actions than tensors have", `"actions": 3`, `"actions": 4`},
		{"another width", `"hidden": 4`, `"hidden": 5`},
		{"no width", `"hidden": 4`, `"hidden": 0`},
		{"a number of steps below 0", `"steps": `, `"steps": -`},
		{"states beside clusters", `"states": 0`, `"states": 5`},
		{"something after the end", "}\n", "}\n{}"},
	} {
		at := strings.LastIndex(string(record), c.old)
		if at < 0 {
			t.Fatalf("%s: the record has no %s", c.name, c.old)
		}
		bad := []byte(string(record[:at]) + c.new + string(record[at+len(c.old):]))
		if c.name == "a method that nobody knows" || c.name == "states beside clusters" || c.name == "another width" || c.name == "more actions than tensors have" {
			bad = bytes.ReplaceAll(record, []byte(c.old), []byte(c.new))
		}
		rebound, err := bind(weights, bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := offline.Decode(rebound, bad); !errors.Is(err, offline.ErrFile) {
			t.Errorf("%s: %v, want an error", c.name, err)
		}
		if _, _, err := offline.Decode(weights, bad); !errors.Is(err, offline.ErrFile) {
			t.Errorf("%s: a record that the weights do not name: %v, want an error", c.name, err)
		}
	}
	// A tensor too many, one too few, and numbers that no policy has.
	tensors, meta, err := nn.DecodeSafetensors(weights)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(name string, f func(tt []nn.Tensor) []nn.Tensor) {
		var copied []nn.Tensor
		for _, x := range tensors {
			copied = append(copied, nn.Tensor{Name: x.Name, Shape: x.Shape, Data: slices.Clone(x.Data)})
		}
		file, err := nn.EncodeSafetensors(f(copied), meta)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := offline.Decode(file, record); !errors.Is(err, offline.ErrFile) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	set := func(tensor string, v float32) func([]nn.Tensor) []nn.Tensor {
		return func(tt []nn.Tensor) []nn.Tensor {
			for i := range tt {
				if tt[i].Name == tensor {
					tt[i].Data[0] = v
					return tt
				}
			}
			t.Fatalf("no tensor %s", tensor)
			return nil
		}
	}
	edit("a tensor too many", func(tt []nn.Tensor) []nn.Tensor {
		return append(tt, nn.Tensor{Name: "extra", Shape: []int{1}, Data: []float32{1}})
	})
	edit("a tensor too few", func(tt []nn.Tensor) []nn.Tensor { return tt[1:] })
	edit("a spread of 0", set("cql.sd", 0))
	edit("an action that there is not", set("ai_clinician.action", 3))
	edit("half an action", set("ai_clinician.action", 0.5))
	edit("probabilities above 1", set("random.probabilities", 0.9))
	edit("a probability below 0", set("random.probabilities", -0.1))
}

func FuzzDecode(f *testing.F) {
	for _, p := range everyPolicy(f, false) { // one each: a mutation soon reaches what matters
		switch p.Method {
		case offline.Persistence, offline.AIClinician, offline.Clinician, offline.BCQ:
			weights, record := encode(f, []*offline.Fitted{p})
			f.Add(weights, record)
		}
	}
	f.Fuzz(func(t *testing.T, weights, record []byte) {
		read := func(weights []byte) {
			_, policies, err := offline.Decode(weights, record)
			if err != nil {
				if !errors.Is(err, offline.ErrFile) {
					t.Fatalf("an error of another kind: %v", err)
				}
				return
			}
			for _, p := range policies {
				o := offline.Observation{Features: make([]float32, p.Inputs), Previous: offline.NoAction}
				got, err := p.Probabilities([]offline.Observation{o})
				if err != nil {
					continue // such as a state that it has no row for
				}
				sum := 0.0
				for _, v := range got[0] {
					sum += v
				}
				if !(math.Abs(sum-1) < 1e-6) {
					t.Fatalf("%s: probabilities add up to %v", p.Method, sum)
				}
			}
		}
		read(weights)
		if rebound, err := bind(weights, record); err == nil {
			read(rebound)
		}
	})
}

func TestPoliciesStayWithinWhatIsAllowed(t *testing.T) {
	fitted := everyPolicy(t, false)
	rapid.Check(t, func(t *rapid.T) {
		var seen []offline.Observation
		for range rapid.IntRange(1, 5).Draw(t, "observations") {
			o := offline.Observation{State: offline.NoState, Previous: rapid.IntRange(-1, 2).Draw(t, "previous")}
			for range cells {
				o.Features = append(o.Features, rapid.Float32Range(-1e6, 1e6).Draw(t, "feature"))
			}
			if rapid.Bool().Draw(t, "masked") {
				o.Allowed = rapid.SliceOfN(rapid.Bool(), 3, 3).Draw(t, "allowed")
				o.Allowed[rapid.IntRange(0, 2).Draw(t, "one")] = true
			}
			seen = append(seen, o)
		}
		for _, f := range fitted {
			together, err := f.Probabilities(seen)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range together {
				sum := 0.0
				for a, v := range p {
					if sum += v; v < 0 || v > 0 && seen[i].Allowed != nil && !seen[i].Allowed[a] {
						t.Fatalf("%s gives action %d of %v probability %v", f.Method, a, seen[i].Allowed, v)
					}
				}
				if math.Abs(sum-1) > 1e-9 {
					t.Fatalf("%s: probabilities add up to %v", f.Method, sum)
				}
				alone, err := f.Probabilities(seen[i : i+1])
				if err != nil || !slices.Equal(alone[0], p) {
					t.Fatalf("%s decides %v alone and %v together (%v)", f.Method, alone, p, err)
				}
			}
		}
	})
}

func TestObservationsThatNoPolicyReads(t *testing.T) {
	nan := float32(math.NaN())
	for _, named := range []bool{true, false} {
		for _, f := range everyPolicy(t, named) {
			for name, change := range map[string]func(*offline.Observation){
				"no action is allowed":         func(o *offline.Observation) { o.Allowed = make([]bool, 3) },
				"marks for other actions":      func(o *offline.Observation) { o.Allowed = make([]bool, 2) },
				"a previous action of another": func(o *offline.Observation) { o.Previous = 3 },
				"a feature that is no number":  func(o *offline.Observation) { o.Features[1] = nan },
			} {
				o := inCell(1)
				change(&o)
				if _, err := f.Probabilities([]offline.Observation{o}); !errors.Is(err, offline.ErrObservation) {
					t.Errorf("%s: %s: %v, want an error", f.Method, name, err)
				}
			}
		}
	}
}

func TestDatasetsAndSettingsThatAreNotSound(t *testing.T) {
	for name, change := range map[string]func(*offline.Dataset){
		"no steps":              func(d *offline.Dataset) { d.Episodes = nil },
		"a stay of nobody":      func(d *offline.Dataset) { d.Episodes[2].Patient = "" },
		"one action":            func(d *offline.Dataset) { d.Actions = 1 },
		"too few features":      func(d *offline.Dataset) { d.Inputs++ },
		"a state that is not":   func(d *offline.Dataset) { d.States = 2 },
		"an action that is not": func(d *offline.Dataset) { d.Episodes[3].Steps[0].Action = 3 },
		"an action not allowed": func(d *offline.Dataset) {
			s := &d.Episodes[3].Steps[0]
			s.Allowed = make([]bool, 3)
			s.Allowed[(s.Action+1)%3] = true
		},
		"a reward without end":     func(d *offline.Dataset) { d.Episodes[3].Steps[0].Reward = math.Inf(1) },
		"a score without end":      func(d *offline.Dataset) { d.Episodes[3].Steps[0].SOFA = math.Inf(1) },
		"a feature that is no one": func(d *offline.Dataset) { d.Episodes[3].Steps[0].Features[0] = float32(math.NaN()) },
	} {
		d := corridor(7, []float64{0.4, 0.3, 0.3}, true)
		change(d)
		if _, err := offline.Fit(context.Background(), d, offline.Random, offline.Defaults(offline.Random), nil); !errors.Is(err, offline.ErrDataset) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	d := corridor(8, []float64{0.4, 0.3, 0.3}, true)
	for name, change := range map[string]func(*offline.Config){
		"no discount":        func(c *offline.Config) { c.Discount = 0 },
		"a discount above 1": func(c *offline.Config) { c.Discount = 1.01 },
		"no width":           func(c *offline.Config) { c.Hidden = 0 },
		"no updates":         func(c *offline.Config) { c.Updates = 0 },
		"no learning rate":   func(c *offline.Config) { c.LearningRate = math.NaN() },
		"an expectile of 1":  func(c *offline.Config) { c.Expectile = 1 },
		"endless sharpness":  func(c *offline.Config) { c.Sharpness = math.Inf(1) },
	} {
		cfg := offline.Defaults(offline.IQL)
		change(&cfg)
		if _, err := offline.Fit(context.Background(), d, offline.IQL, cfg, nil); !errors.Is(err, offline.ErrMethod) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	if _, err := offline.Fit(context.Background(), d, "magic", offline.Config{Discount: 1}, nil); !errors.Is(err, offline.ErrMethod) {
		t.Errorf("an unknown method: %v, want an error", err)
	}
}
