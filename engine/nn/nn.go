// SPDX-License-Identifier: Apache-2.0

// Package nn is the small numeric kit that the models are made of: float32
// matrices on gonum's BLAS, dense layers, activations, losses with their
// derivatives, Adam, and the safetensors file format.
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

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
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

// general describes a window of m to BLAS.
func (m *Mat) general(row, rows, col, cols int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: m.Cols, Data: m.Data[row*m.Cols+col:]}
}

// gonum splits a product into goroutines once its output has four blocks of
// 64×64. Products are cut into panels below that size: the caller decides what
// runs at the same time, and a row's result does not depend on how many rows
// are computed with it.
const (
	panelRows = 64
	panelCols = 192
)

// panels calls f for each output window that gonum computes in one goroutine.
func panels(rows, cols int, f func(row, rows, col, cols int)) {
	for i := 0; i < rows; i += panelRows {
		for j := 0; j < cols; j += panelCols {
			f(i, min(panelRows, rows-i), j, min(panelCols, cols-j))
		}
	}
}

// MatMul sets dst = beta·dst + a·b.
func MatMul(dst, a, b *Mat, beta float32) {
	check("MatMul", a.Cols == b.Rows && dst.Rows == a.Rows && dst.Cols == b.Cols)
	panels(dst.Rows, dst.Cols, func(i, m, j, n int) {
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1,
			a.general(i, m, 0, a.Cols), b.general(0, b.Rows, j, n), beta, dst.general(i, m, j, n))
	})
}

// MatMulTransA sets dst = beta·dst + aᵀ·b.
func MatMulTransA(dst, a, b *Mat, beta float32) {
	check("MatMulTransA", a.Rows == b.Rows && dst.Rows == a.Cols && dst.Cols == b.Cols)
	panels(dst.Rows, dst.Cols, func(i, m, j, n int) {
		blas32.Gemm(blas.Trans, blas.NoTrans, 1,
			a.general(0, a.Rows, i, m), b.general(0, b.Rows, j, n), beta, dst.general(i, m, j, n))
	})
}

// MatMulTransB sets dst = beta·dst + a·bᵀ.
func MatMulTransB(dst, a, b *Mat, beta float32) {
	check("MatMulTransB", a.Cols == b.Cols && dst.Rows == a.Rows && dst.Cols == b.Rows)
	panels(dst.Rows, dst.Cols, func(i, m, j, n int) {
		blas32.Gemm(blas.NoTrans, blas.Trans, 1,
			a.general(i, m, 0, a.Cols), b.general(j, n, 0, b.Cols), beta, dst.general(i, m, j, n))
	})
}

// check panics on a shape error, which is a defect of the calling code.
func check(op string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("nn: %s: shapes do not match", op))
	}
}
