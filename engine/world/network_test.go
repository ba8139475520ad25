// SPDX-License-Identifier: Apache-2.0

package world

// This file: the forward pass against numbers that testdata/forward.py, which
// shares no code with it, computed with NumPy.

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

func TestForwardPassEqualsAnIndependentImplementation(t *testing.T) {
	b, err := os.ReadFile("testdata/forward.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Mu       []float64 `json:"mu"`
		LogScale []float64 `json:"log_scale"`
		Heads    []float64 `json:"heads"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	wave := func(v []float32, size, phase float64) {
		for i := range v {
			v[i] = float32(size * math.Sin(0.37*float64(i)+phase))
		}
	}
	m := &Model{net: newNetwork(newArchitecture(5, 4))}
	for f := range numF {
		m.file.Scale.SD[f] = 10
	}
	m.file.Scale.Mean[mbp] = 70
	m.freeWidths()
	theta, x := make([]float32, m.net.layout.Size()), make([]float32, InputSize)
	wave(theta, 0.3, 1)
	wave(x, 1, 2)
	m.members = [][]float32{theta}
	v := m.look(m.newWorkspace(1), [][]float32{x}, Horizon)[0]
	doses := make([]Dose, Horizon)
	for h := range doses {
		doses[h] = Dose{NEUgKgMin: 0.05 * float64(h+1), FluidMl: 250 * float64(h)}
	}
	ne, fluid := saturateCourse(doses)
	fluid[3] = nan32
	s := v.under(&ne, &fluid, Horizon)
	for i := range want.Mu {
		if math.Abs(s.mu[i]-want.Mu[i]) > 1e-4*(1+math.Abs(want.Mu[i])) {
			t.Fatalf("mean %d is %v, NumPy has %v", i, s.mu[i], want.Mu[i])
		}
		if got := math.Log(s.sigma[i]); math.Abs(got-want.LogScale[i]) > 1e-4*(1+math.Abs(want.LogScale[i])) {
			t.Fatalf("log-scale %d is %v, NumPy has %v", i, got, want.LogScale[i])
		}
	}
	for i, w := range want.Heads {
		if got := float64(v.out[0][outVent+i]); math.Abs(got-w) > 1e-4*(1+math.Abs(w)) {
			t.Fatalf("head output %d is %v, NumPy has %v", i, got, w)
		}
	}
}
