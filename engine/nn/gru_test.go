// SPDX-License-Identifier: Apache-2.0

package nn

// This file: the recurrent layer against its formula written out in float64,
// and its way back against finite differences.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// slowGRU is the formula at the top of gru.go, one number at a time.
func slowGRU(g GRU, theta []float32, x []float32, h []float64) []float64 {
	n := g.Hidden
	wx, bx, wh, bh := g.Wx.Mat(theta), g.Bx.In(theta), g.Wh.Mat(theta), g.Bh.In(theta)
	px, ph := make([]float64, 3*n), make([]float64, 3*n)
	for j := range 3 * n {
		px[j], ph[j] = float64(bx[j]), float64(bh[j])
		for i, v := range x {
			px[j] += float64(v) * float64(wx.Row(i)[j])
		}
		for i, v := range h {
			ph[j] += v * float64(wh.Row(i)[j])
		}
	}
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	out := make([]float64, n)
	for j := range n {
		r, z := sigmoid(px[j]+ph[j]), sigmoid(px[n+j]+ph[n+j])
		c := math.Tanh(px[2*n+j] + r*ph[2*n+j])
		out[j] = (1-z)*c + z*h[j]
	}
	return out
}

func TestGRUEqualsItsFormula(t *testing.T) {
	const rows, in, hidden, steps = 5, 7, 6, 4
	var l Layout
	g := l.GRU("g", in, hidden)
	rng := rand.New(rand.NewPCG(1, 1))
	theta := make([]float32, l.Size())
	g.Init(theta, rng)
	var h *Mat
	want := make([][]float64, rows)
	for i := range want {
		want[i] = make([]float64, hidden)
	}
	gx, gh := NewMat(rows, 3*hidden), NewMat(rows, 3*hidden)
	for range steps {
		x, s := scattered(rng, rows, in), NewGRUState(rows, hidden)
		g.Project(theta, x, gx)
		g.Recur(theta, h, gh)
		g.Step(s, gx, gh, h)
		for i := range rows {
			want[i] = slowGRU(g, theta, x.Row(i), want[i])
			for j, v := range s.H.Row(i) {
				if math.Abs(float64(v)-want[i][j]) > 1e-6 {
					t.Fatalf("row %d unit %d is %v, want %v", i, j, v, want[i][j])
				}
			}
		}
		h = s.H
	}
}

func TestOneSharedRowStandsForMany(t *testing.T) {
	const rows, hidden = 3, 9
	var l Layout
	g := l.GRU("g", 4, hidden)
	rng := rand.New(rand.NewPCG(2, 2))
	theta := make([]float32, l.Size())
	g.Init(theta, rng)
	gx, one, h := scattered(rng, rows, 3*hidden), scattered(rng, 1, 3*hidden), scattered(rng, 1, hidden)
	many, before := NewMat(rows, 3*hidden), NewMat(rows, hidden)
	repeat(many, one.Data)
	repeat(before, h.Data)
	a, b := NewGRUState(rows, hidden), NewGRUState(rows, hidden)
	g.Step(a, gx, one, h)
	g.Step(b, gx, many, before)
	for i, v := range a.H.Data {
		if v != b.H.Data[i] {
			t.Fatalf("unit %d: %v and %v", i, v, b.H.Data[i])
		}
	}
}

// Two steps, loss = weighted sum of the last state.
func TestGRUDerivativesEqualFiniteDifferences(t *testing.T) {
	const rows, in, hidden = 3, 4, 5
	var l Layout
	g := l.GRU("g", in, hidden)
	rng := rand.New(rand.NewPCG(3, 3))
	theta := make([]float32, l.Size())
	g.Init(theta, rng)
	x := []*Mat{scattered(rng, rows, in), scattered(rng, rows, in)}
	weight := scattered(rng, rows, hidden)
	forward := func() (s []*GRUState) {
		var h *Mat
		gx, gh := NewMat(rows, 3*hidden), NewMat(rows, 3*hidden)
		for _, xt := range x {
			st := NewGRUState(rows, hidden)
			g.Project(theta, xt, gx)
			g.Recur(theta, h, gh)
			g.Step(st, gx, gh, h)
			s, h = append(s, st), st.H
		}
		return s
	}
	loss := func() (sum float64) {
		s := forward()
		for i, v := range s[1].H.Data {
			sum += float64(v) * float64(weight.Data[i])
		}
		return sum
	}
	s := forward()
	grad := make([]float32, len(theta))
	dH := &Mat{Rows: rows, Cols: hidden, Data: append([]float32(nil), weight.Data...)}
	dGX, dGH, dX := NewMat(rows, 3*hidden), NewMat(rows, 3*hidden), NewMat(rows, in)
	g.StepBack(s[1], s[0].H, dH, dGX, dGH)
	g.ProjectBack(grad, x[1], dGX)
	g.RecurBack(grad, s[0].H, dGH)
	MatMulTransB(dH, dGH, g.Wh.Mat(theta), 1)
	g.StepBack(s[0], nil, dH, dGX, dGH)
	g.ProjectBack(grad, x[0], dGX)
	g.RecurBack(grad, NewMat(0, hidden), dGH)
	MatMulTransB(dX, dGX, g.Wx.Mat(theta), 0)
	compare := func(name string, at *float32, got float32) {
		const step = 1e-2
		old := *at
		*at = old + step
		up := loss()
		*at = old - step
		down := loss()
		*at = old
		if want := (up - down) / (2 * step); math.Abs(float64(got)-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s: derivative %v, finite difference %v", name, got, want)
		}
	}
	for i := range theta {
		compare(fmt.Sprint("parameter ", i), &theta[i], grad[i])
	}
	for i := range x[0].Data {
		compare(fmt.Sprint("input ", i), &x[0].Data[i], dX.Data[i])
	}
}
