// SPDX-License-Identifier: Apache-2.0

package nn

// This file: one layer of gated recurrent units (Cho et al. 2014) in PyTorch's
// form, so that weights trained there fit: gates in the order reset, update,
// new, and the recurrent bias of the new gate inside the reset's product:
//
//	r = σ(x·Wr + br + h·Ur + cr)
//	z = σ(x·Wz + bz + h·Uz + cz)
//	n = tanh(x·Wn + bn + r ∘ (h·Un + cn))
//	h' = (1 - z) ∘ n + z ∘ h
//
// The part that reads x does not wait for the part that reads h: Project works
// on all steps of a sequence together, and a value that many sequences share is
// projected once.

import "math/rand/v2"

// GRU is one recurrent layer. Its matrices are stored in × 3·hidden (PyTorch
// stores 3·hidden × in), columns in the order of the gates.
type GRU struct {
	Hidden int
	Wx, Bx Span // reads the input
	Wh, Bh Span // reads the state before
}

// GRU appends a recurrent layer to the layout.
func (l *Layout) GRU(name string, in, hidden int) GRU {
	return GRU{Hidden: hidden,
		Wx: l.Add(name+".weight_x", in, 3*hidden, true), Bx: l.Add(name+".bias_x", 1, 3*hidden, false),
		Wh: l.Add(name+".weight_h", hidden, 3*hidden, true), Bh: l.Add(name+".bias_h", 1, 3*hidden, false)}
}

// Init draws every parameter evenly from ±1/√hidden, as PyTorch does.
func (g GRU) Init(theta []float32, rng *rand.Rand) {
	for _, s := range []Span{g.Wx, g.Bx, g.Wh, g.Bh} {
		uniform(s.In(theta), g.Hidden, rng)
	}
}

// GRUState is what one step of one layer leaves behind: the state after it and
// what the way back needs.
type GRUState struct {
	H     *Mat // state after the step, rows × hidden
	Gates *Mat // r, z and n, rows × 3·hidden
	New   *Mat // h·Un + cn, rows × hidden
}

// NewGRUState returns memory for a step of rows sequences.
func NewGRUState(rows, hidden int) *GRUState {
	return &GRUState{H: NewMat(rows, hidden), Gates: NewMat(rows, 3*hidden), New: NewMat(rows, hidden)}
}

// Project sets gx = x·Wx + bx, rows × 3·hidden of x rows × in: any number of rows
// of any steps.
func (g GRU) Project(theta []float32, x, gx *Mat) {
	w := Mat{Rows: g.Wx.Rows, Cols: g.Wx.Cols, Data: g.Wx.In(theta)}
	affine(gx, x, &w, g.Bx.In(theta))
}

// Recur sets gh = h·Wh + bh, rows × 3·hidden of h rows × hidden. A nil h is the
// zero state.
func (g GRU) Recur(theta []float32, h, gh *Mat) {
	if h == nil {
		repeat(gh, g.Bh.In(theta))
		return
	}
	w := Mat{Rows: g.Wh.Rows, Cols: g.Wh.Cols, Data: g.Wh.In(theta)}
	affine(gh, h, &w, g.Bh.In(theta))
}

// Step fills s from the two projections and the state before (nil: zero). gx,
// gh and h may have one row where s has many: it then stands for all of them.
func (g GRU) Step(s *GRUState, gx, gh, h *Mat) {
	n := g.Hidden
	check("GRU.Step", gx.Cols == 3*n && gh.Cols == 3*n && s.Gates.Cols == 3*n)
	for i := range s.H.Rows {
		gates, fresh, x, p := s.Gates.Row(i), s.New.Row(i), shared(gx, i), shared(gh, i)
		copy(fresh, p[2*n:])
		sum(gates[:2*n], x[:2*n], p[:2*n])
		fastSigmoid(gates[:2*n], gates[:2*n])
		mulAdd(gates[2*n:], gates[:n], fresh, x[2*n:])
		fastTanh(gates[2*n:], gates[2*n:])
		if h == nil {
			blend(s.H.Row(i), gates[n:2*n], gates[2*n:], nil)
		} else {
			blend(s.H.Row(i), gates[n:2*n], gates[2*n:], shared(h, i))
		}
	}
}

// shared is row i, or the only row.
func shared(m *Mat, i int) []float32 {
	if m.Rows == 1 {
		i = 0
	}
	return m.Row(i)
}

func sum(out, a, b []float32) {
	a, b = a[:len(out)], b[:len(out)]
	for i := range out {
		out[i] = a[i] + b[i]
	}
}

// mulAdd sets out = a∘b + c.
func mulAdd(out, a, b, c []float32) {
	a, b, c = a[:len(out)], b[:len(out)], c[:len(out)]
	for i := range out {
		out[i] = float32(a[i]*b[i]) + c[i]
	}
}

// blend sets out = (1-z)∘n + z∘h.
func blend(out, z, n, h []float32) {
	z, n = z[:len(out)], n[:len(out)]
	if h == nil {
		for i := range out {
			out[i] = float32((1 - z[i]) * n[i])
		}
		return
	}
	h = h[:len(out)]
	for i := range out {
		out[i] = float32((1-z[i])*n[i]) + float32(z[i]*h[i])
	}
}

// StepBack goes back through Step. On entry dH is the derivative of the state
// after; on return dH holds what of it went straight to the state before
// (z∘dH), and dGX and dGH, rows × 3·hidden, the derivatives of the two projections.
// h is the state before, as Step had it but with all rows. What the state before
// receives through gh is the caller's to add: dGH·Whᵀ.
func (g GRU) StepBack(s *GRUState, h, dH, dGX, dGH *Mat) {
	n := g.Hidden
	check("GRU.StepBack", s.Gates.Cols == 3*n && dH.Rows == s.H.Rows && dGX.Cols == 3*n && dGH.Cols == 3*n && (h == nil || h.Rows == s.H.Rows))
	for i := range s.H.Rows {
		var before []float32
		if h != nil {
			before = h.Row(i)
		}
		stepBack(n, s.Gates.Row(i), s.New.Row(i), before, dH.Row(i), dGX.Row(i), dGH.Row(i))
	}
}

// ProjectBack adds to grad the derivatives of Wx and bx that dGX, as many rows as
// the inputs x, leaves.
func (g GRU) ProjectBack(grad []float32, x, dGX *Mat) {
	MatMulTransA(g.Wx.Mat(grad), x, dGX, 1)
	AddRows(g.Bx.In(grad), dGX)
}

// RecurBack adds to grad the derivatives of Wh and bh that dGH leaves. Its last
// rows belong to the states before the step in h; rows before those had the zero
// state. The steps of a sequence, one after the other, are one call.
func (g GRU) RecurBack(grad []float32, h, dGH *Mat) {
	check("GRU.RecurBack", h.Rows <= dGH.Rows)
	MatMulTransA(g.Wh.Mat(grad), h, dGH.Slice(dGH.Rows-h.Rows, dGH.Rows), 1)
	AddRows(g.Bh.In(grad), dGH)
}

// repeat sets every row of m to row.
func repeat(m *Mat, row []float32) {
	for i := range m.Rows {
		copy(m.Row(i), row)
	}
}

// affine sets y = x·w + b.
func affine(y, x, w *Mat, b []float32) {
	repeat(y, b)
	MatMul(y, x, w, 1)
}
