// SPDX-License-Identifier: Apache-2.0

// Package nn is the small numeric kit that the models are made of: float32
// matrices, dense and gated recurrent layers, activations, losses with their
// derivatives, Adam, and the safetensors file format.
//
// Every sum of a matrix product runs in one order whatever the processor and
// however many rows are computed together, so a result is the same alone, in a
// batch, on another machine, and with the assembly for AVX2 and AVX-512 or without
// it (build tag noasm). gonum's blas32 gives the same bits on amd64 and is tested
// against; it is 3 to 8 times slower.
//
// Parameters of one network live in one flat slice that a Layout divides into
// named tensors. Gradients are slices of the same length, so that shards of a
// batch can be worked on at the same time and summed in a fixed order: training
// gives the same bits whatever GOMAXPROCS is. Nothing here keeps state between
// calls or starts goroutines.
//
// It trusts its callers for shapes, where a wrong one panics with a message that
// starts with "nn:", and trusts no file: a bad one is an error.
package nn

import (
	"fmt"
	"sync"
)

// Mat is a dense row-major matrix: element (i, j) is Data[i*Cols+j].
type Mat struct {
	Rows, Cols int
	Data       []float32
}

// NewMat returns a zero matrix.
func NewMat(rows, cols int) *Mat {
	return &Mat{Rows: rows, Cols: cols, Data: make([]float32, rows*cols)}
}

// Row returns row i as a slice of the matrix's own memory.
func (m *Mat) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols] }

// Zero sets every element to 0.
func (m *Mat) Zero() { clear(m.Data) }

// Slice returns rows [from, to) as a matrix that shares m's memory.
func (m *Mat) Slice(from, to int) *Mat {
	return &Mat{Rows: to - from, Cols: m.Cols, Data: m.Data[from*m.Cols : to*m.Cols]}
}

// MatMul sets dst = beta·dst + a·b, with dst m × n, a m × k and b k × n.
func MatMul(dst, a, b *Mat, beta float32) {
	check("MatMul", a.Cols == b.Rows && dst.Rows == a.Rows && dst.Cols == b.Cols)
	dst.scale(beta)
	if dst.covers(a, b) {
		product(dst.Rows, dst.Cols, a.Cols, a.Data, a.Cols, 1, b.Data, b.Cols, dst.Data, dst.Cols)
	}
}

// MatMulTransA sets dst = beta·dst + aᵀ·b, with dst m × n, a k × m and b k × n.
func MatMulTransA(dst, a, b *Mat, beta float32) {
	check("MatMulTransA", a.Rows == b.Rows && dst.Rows == a.Cols && dst.Cols == b.Cols)
	dst.scale(beta)
	if dst.covers(a, b) {
		product(dst.Rows, dst.Cols, a.Rows, a.Data, 1, a.Cols, b.Data, b.Cols, dst.Data, dst.Cols)
	}
}

// MatMulTransB sets dst = beta·dst + a·bᵀ, with dst m × n, a m × k and b n × k. b
// is turned over into borrowed memory first; where one b meets many a, Transpose it once and use MatMul,
// which gives the same bits.
func MatMulTransB(dst, a, b *Mat, beta float32) {
	check("MatMulTransB", a.Cols == b.Cols && dst.Rows == a.Rows && dst.Cols == b.Rows)
	dst.scale(beta)
	if !dst.covers(a, b) {
		return
	}
	buf := scratch.Get().(*[]float32)
	if cap(*buf) < len(b.Data) {
		*buf = make([]float32, len(b.Data))
	}
	t := (*buf)[:len(b.Data)]
	transpose(t, b.Data, b.Rows, b.Cols)
	product(dst.Rows, dst.Cols, a.Cols, a.Data, a.Cols, 1, t, b.Rows, dst.Data, dst.Cols)
	scratch.Put(buf)
}

// scratch lends MatMulTransB memory; its contents mean nothing between calls.
var scratch = sync.Pool{New: func() any { return new([]float32) }}

// AddRows adds every row of m, in their order, to out, which is as long as a row.
func AddRows(out []float32, m *Mat) {
	check("AddRows", len(out) == m.Cols && len(m.Data) >= m.Rows*m.Cols)
	if len(out) > 0 && m.Rows > 0 {
		product(1, m.Cols, m.Rows, one[:], 0, 0, m.Data, m.Cols, out, m.Cols) // a row of ones, times m
	}
}

// one is what AddRows multiplies with, again and again.
var one = [1]float32{1}

// Transpose sets dst, n × m, to srcᵀ, with src m × n.
func Transpose(dst, src *Mat) {
	check("Transpose", dst.Rows == src.Cols && dst.Cols == src.Rows)
	transpose(dst.Data, src.Data, src.Rows, src.Cols)
}

// transpose works block by block: whole columns at a time would throw each line
// of dst out of the processor's cache before it is full.
func transpose(dst, src []float32, rows, cols int) {
	const block = 16 // values in a line of the cache
	for i0 := 0; i0 < rows; i0 += block {
		for j0 := 0; j0 < cols; j0 += block {
			for j := j0; j < min(j0+block, cols); j++ {
				out := dst[j*rows+i0 : j*rows+min(i0+block, rows)]
				for i := range out {
					out[i] = src[(i0+i)*cols+j]
				}
			}
		}
	}
}

// scale multiplies by beta; 0 clears whatever was there, also what is not
// finite.
func (m *Mat) scale(beta float32) {
	switch beta {
	case 0:
		clear(m.Data)
	case 1:
	default:
		for i := range m.Data {
			m.Data[i] *= beta
		}
	}
}

// covers reports whether there is anything to add, and panics where a matrix
// holds less memory than its shape says: the kernels trust it.
func (m *Mat) covers(a, b *Mat) bool {
	for _, x := range [...]*Mat{m, a, b} {
		if len(x.Data) < x.Rows*x.Cols {
			panic("nn: a matrix holds less than its shape says")
		}
	}
	return m.Rows > 0 && m.Cols > 0 && len(a.Data) > 0 && len(b.Data) > 0
}

// check panics on a shape error, which is a defect of the calling code.
func check(op string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("nn: %s: shapes do not match", op))
	}
}
