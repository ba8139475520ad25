// SPDX-License-Identifier: Apache-2.0

package nn

// This file: Layout, which divides one flat parameter slice into named
// tensors, and the dense layer built on it.

import (
	"math"
	"math/rand/v2"
)

// Layout names the tensors of one network within a flat slice.
type Layout struct {
	Spans []Span
	size  int
}

// Span is one tensor of a Layout.
type Span struct {
	Name       string
	Rows, Cols int
	Offset     int
	Decay      bool // subject to weight decay
}

// Add appends a tensor and returns where it lies.
func (l *Layout) Add(name string, rows, cols int, decay bool) Span {
	s := Span{Name: name, Rows: rows, Cols: cols, Offset: l.size, Decay: decay}
	l.Spans = append(l.Spans, s)
	l.size += rows * cols
	return s
}

// Size is the length of the flat slice.
func (l *Layout) Size() int { return l.size }

// In returns the tensor's own part of a flat slice.
func (s Span) In(flat []float32) []float32 { return flat[s.Offset : s.Offset+s.Rows*s.Cols] }

// Mat returns the tensor of a flat slice as a matrix sharing its memory.
func (s Span) Mat(flat []float32) *Mat { return &Mat{Rows: s.Rows, Cols: s.Cols, Data: s.In(flat)} }

// Dense is the layer y = x·W + b, with W stored in × out.
type Dense struct{ W, B Span }

// Dense appends a dense layer to the layout.
func (l *Layout) Dense(name string, in, out int) Dense {
	return Dense{W: l.Add(name+".weight", in, out, true), B: l.Add(name+".bias", 1, out, false)}
}

// Init draws W from a normal distribution of variance gain²/in; b is zero.
func (d Dense) Init(theta []float32, rng *rand.Rand, gain float64) {
	sd := gain / math.Sqrt(float64(d.W.Rows))
	w := d.W.In(theta)
	for i := range w {
		w[i] = float32(rng.NormFloat64() * sd)
	}
	clear(d.B.In(theta))
}

// InitUniform draws W and b evenly from ±1/√in, as PyTorch does for a Linear.
func (d Dense) InitUniform(theta []float32, rng *rand.Rand) {
	uniform(d.W.In(theta), d.W.Rows, rng)
	uniform(d.B.In(theta), d.W.Rows, rng)
}

// uniform draws values evenly from ±1/√n.
func uniform(v []float32, n int, rng *rand.Rand) {
	limit := 1 / math.Sqrt(float64(n))
	for i := range v {
		v[i] = float32((2*rng.Float64() - 1) * limit)
	}
}

// Forward sets y = x·W + b, rows × out of x rows × in.
func (d Dense) Forward(theta []float32, x, y *Mat) {
	w := Mat{Rows: d.W.Rows, Cols: d.W.Cols, Data: d.W.In(theta)}
	affine(y, x, &w, d.B.In(theta))
}

// Backward goes back through Forward from dy, rows × out: it adds the derivatives
// of W and b to grad, and sets dx, rows × in, when it is not nil, to that of the
// input.
func (d Dense) Backward(theta, grad []float32, x, dy, dx *Mat) {
	MatMulTransA(d.W.Mat(grad), x, dy, 1)
	AddRows(d.B.In(grad), dy)
	if dx != nil {
		MatMulTransB(dx, dy, d.W.Mat(theta), 0)
	}
}
