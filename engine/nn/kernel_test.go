// SPDX-License-Identifier: Apache-2.0

package nn

// This file: that the kernels are right: against gonum's BLAS, against
// themselves without assembly, whatever the shape, and that they allocate
// nothing.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"pgregory.net/rapid"
)

func scattered(rng *rand.Rand, rows, cols int) *Mat {
	m := NewMat(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
		if rng.IntN(8) == 0 {
			m.Data[i] = 0 // gonum leaves zeros out
		}
	}
	return m
}

func general(m *Mat) blas32.General {
	return blas32.General{Rows: m.Rows, Cols: m.Cols, Stride: m.Cols, Data: m.Data}
}

// agree compares with gonum: bit for bit where it has no fused multiply-add,
// that is on amd64; elsewhere to rounding.
func agree(got, want []float32) error {
	for i := range want {
		d := math.Abs(float64(got[i] - want[i]))
		if runtime.GOARCH == "amd64" && d != 0 || !(d <= 1e-4) {
			return fmt.Errorf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

func TestProductsEqualGonums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n, k := rapid.IntRange(1, 37).Draw(t, "m"), rapid.IntRange(1, 150).Draw(t, "n"), rapid.IntRange(1, 60).Draw(t, "k")
		beta := rapid.SampledFrom([]float32{0, 1, 0.5}).Draw(t, "beta")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		a, b, c := scattered(rng, m, k), scattered(rng, k, n), scattered(rng, m, n)
		want := append([]float32(nil), c.Data...)
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(a), general(b), beta, blas32.General{Rows: m, Cols: n, Stride: n, Data: want})
		for name, f := range map[string]func(dst *Mat){
			"MatMul": func(dst *Mat) { MatMul(dst, a, b, beta) },
			"MatMulTransA": func(dst *Mat) {
				at := NewMat(k, m)
				Transpose(at, a)
				MatMulTransA(dst, at, b, beta)
			},
			"MatMulTransB": func(dst *Mat) {
				bt := NewMat(n, k)
				Transpose(bt, b)
				MatMulTransB(dst, a, bt, beta)
			},
			"without AVX-512": func(dst *Mat) {
				defer narrowed()()
				MatMul(dst, a, b, beta)
			},
			"plain Go": func(dst *Mat) {
				dst.scale(beta)
				productGo(m, n, k, a.Data, k, 1, b.Data, n, dst.Data, n)
			},
		} {
			dst := &Mat{Rows: m, Cols: n, Data: append([]float32(nil), c.Data...)}
			f(dst)
			if err := agree(dst.Data, want); err != nil {
				t.Fatalf("%s %dx%d over %d: %v", name, m, n, k, err)
			}
		}
	})
}

// Going back through a step, and Adam, give the same bits with assembly and
// without, whatever the width, with a state before and without one.
func TestTrainingKernelsEqualThePlainLoops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		draw := func(n int) []float32 { return scattered(rng, 1, n).Data }
		gates, fresh, before, d := draw(3*n), draw(n), draw(n), draw(n)
		if rapid.Bool().Draw(t, "first step") {
			before = nil
		}
		var got, want [3][]float32 // d, dx, dp
		for _, to := range []*[3][]float32{&got, &want} {
			*to = [3][]float32{append([]float32(nil), d...), make([]float32, 3*n), make([]float32, 3*n)}
		}
		stepBack(n, gates, fresh, before, got[0], got[1], got[2])
		stepBackGo(0, n, gates, fresh, before, want[0], want[1], want[2])
		wantSame(t, "going back", got[:], want[:])

		theta, grad, m, v := draw(n), draw(n), draw(n), draw(n)
		for i := range v {
			v[i] *= v[i]
		}
		c := &adamConstants{rate: 1e-3, eps: 1e-8, keep1: 0.9, take1: 0.1, keep2: 0.999, take2: 0.001}
		clone := func() [][]float32 {
			return [][]float32{append([]float32(nil), theta...), append([]float32(nil), m...), append([]float32(nil), v...)}
		}
		a, b := clone(), clone()
		adam(a[0], grad, a[1], a[2], c)
		adamGo(b[0], grad, b[1], b[2], c)
		wantSame(t, "Adam", a, b)
	})
}

func wantSame(t *rapid.T, what string, got, want [][]float32) {
	for i := range want {
		for j, v := range want[i] {
			if math.Float32bits(got[i][j]) != math.Float32bits(v) {
				t.Fatalf("%s: slice %d, element %d is %v, the plain loop has %v", what, i, j, got[i][j], v)
			}
		}
	}
}

// A product must not read or write outside its matrices: what lies around
// them is not a number, and must still be so afterwards.
func TestProductsStayInsideTheirMatrices(t *testing.T) {
	guard := func(rng *rand.Rand, rows, cols int) (*Mat, []float32) {
		const edge = 32
		all := make([]float32, rows*cols+2*edge)
		for i := range all {
			all[i] = float32(math.NaN())
		}
		m := &Mat{Rows: rows, Cols: cols, Data: all[edge : edge+rows*cols : edge+rows*cols]}
		copy(m.Data, scattered(rng, rows, cols).Data)
		return m, all
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range []int{1, 2, 3, 4, 5, 7, 8, 9, 13, 17} {
		for n := 1; n <= 80; n++ {
			a, _ := guard(rng, m, 5)
			b, _ := guard(rng, 5, n)
			c, around := guard(rng, m, n)
			MatMul(c, a, b, 0)
			for i, v := range around {
				inside := i >= 32 && i < len(around)-32
				if inside == math.IsNaN(float64(v)) {
					t.Fatalf("%dx%d: place %d of the memory around is %v", m, n, i-32, v)
				}
			}
		}
	}
}

func TestARowIsTheSameAloneAndInABatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	a, b := scattered(rng, 27, 130), scattered(rng, 130, 117)
	all, one := NewMat(27, 117), NewMat(1, 117)
	MatMul(all, a, b, 0)
	for i := range a.Rows {
		MatMul(one, a.Slice(i, i+1), b, 0)
		for j, v := range one.Data {
			if math.Float32bits(v) != math.Float32bits(all.Row(i)[j]) {
				t.Fatalf("row %d column %d: %v alone, %v in the batch", i, j, v, all.Row(i)[j])
			}
		}
	}
}

func TestLogisticsAreCloseToTheTruthAndEqualWithoutAssembly(t *testing.T) {
	var x []float32
	for v := float32(-100); v <= 100; v += 0.0137 {
		x = append(x, v)
	}
	x = append(x, 0, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-30, -1e-30, 3e38)
	for _, f := range []struct {
		name  string
		all   func(y, x []float32)
		c     *logisticConstants
		truth func(float64) float64
		limit float64
	}{
		{"sigmoid", fastSigmoid, sigmoidConstants, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }, 2e-7},
		{"tanh", fastTanh, tanhConstants, math.Tanh, 3e-7},
	} {
		got, plain := make([]float32, len(x)), make([]float32, len(x))
		f.all(got, x)
		logisticGo(plain, x, f.c)
		for i, v := range x {
			if math.Float32bits(got[i]) != math.Float32bits(plain[i]) && !math.IsNaN(float64(v)) {
				t.Fatalf("%s(%v) is %v, without assembly %v", f.name, v, got[i], plain[i])
			}
			if want := f.truth(float64(v)); !(math.Abs(float64(got[i])-want) <= f.limit) && !(math.IsNaN(want) && math.IsNaN(float64(got[i]))) {
				t.Fatalf("%s(%v) is %v, want %v", f.name, v, got[i], want)
			}
		}
	}
}

func TestProductsAllocateNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	a, b, c, d := scattered(rng, 25, 128), scattered(rng, 128, 390), NewMat(25, 390), NewMat(128, 390)
	MatMulTransB(a, c, b, 0) // fills the pool
	for name, f := range map[string]func(){
		"MatMul": func() { MatMul(c, a, b, 1) }, "MatMulTransA": func() { MatMulTransA(d, a, c, 1) },
		"fastSigmoid": func() { fastSigmoid(c.Data, c.Data) },
	} {
		if n := testing.AllocsPerRun(20, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkMatMul(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, m := range []int{1, 25, 256} {
		x, w, y := scattered(rng, m, 128), scattered(rng, 128, 384), NewMat(m, 384)
		report := func(b *testing.B) {
			b.ReportMetric(2*float64(m)*128*384*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		}
		b.Run(fmt.Sprintf("%dx128x384", m), func(b *testing.B) {
			for b.Loop() {
				MatMul(y, x, w, 0)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("%dx128x384 in plain Go", m), func(b *testing.B) {
			for b.Loop() {
				clear(y.Data)
				productGo(m, 384, 128, x.Data, 128, 1, w.Data, 384, y.Data, 384)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("%dx128x384 with gonum", m), func(b *testing.B) {
			for b.Loop() {
				blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(x), general(w), 0, general(y))
			}
			report(b)
		})
	}
}

func BenchmarkSigmoid(b *testing.B) {
	x := scattered(rand.New(rand.NewPCG(9, 9)), 1, 3200)
	y := NewMat(1, 3200)
	b.Run("3200", func(b *testing.B) {
		for b.Loop() {
			fastSigmoid(y.Data, x.Data)
		}
	})
	b.Run("3200 in plain Go", func(b *testing.B) {
		for b.Loop() {
			logisticGo(y.Data, x.Data, sigmoidConstants)
		}
	})
}
