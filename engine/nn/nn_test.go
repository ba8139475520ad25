// SPDX-License-Identifier: Apache-2.0

package nn

// This file: products against naive loops, and every derivative against a
// central finite difference.

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func random(rng *rand.Rand, rows, cols int) *Mat {
	m := NewMat(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
	}
	return m
}

// naive is the product written the plain way, with optional transposes.
func naive(a, b *Mat, ta, tb bool) *Mat {
	at := func(m *Mat, i, j int, t bool) float64 {
		if t {
			i, j = j, i
		}
		return float64(m.Data[i*m.Cols+j])
	}
	dims := func(m *Mat, t bool) (int, int) {
		if t {
			return m.Cols, m.Rows
		}
		return m.Rows, m.Cols
	}
	rows, inner := dims(a, ta)
	_, cols := dims(b, tb)
	out := NewMat(rows, cols)
	for i := range rows {
		for j := range cols {
			var sum float64
			for k := range inner {
				sum += at(a, i, k, ta) * at(b, k, j, tb)
			}
			out.Data[i*cols+j] = float32(sum)
		}
	}
	return out
}

func wantClose(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); d > tol*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestProductsEqualTheNaiveLoop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {65, 70, 200}, {130, 40, 513}} {
		m, k, n := s[0], s[1], s[2]
		a, b := random(rng, m, k), random(rng, k, n)
		at, bt := random(rng, k, m), random(rng, n, k)
		dst := NewMat(m, n)
		MatMul(dst, a, b, 0)
		wantClose(t, "a·b", dst.Data, naive(a, b, false, false).Data, 1e-4)
		MatMulTransA(dst, at, b, 0)
		wantClose(t, "aᵀ·b", dst.Data, naive(at, b, true, false).Data, 1e-4)
		MatMulTransB(dst, a, bt, 0)
		wantClose(t, "a·bᵀ", dst.Data, naive(a, bt, false, true).Data, 1e-4)
	}
}

func TestARowDoesNotDependOnTheRowsComputedWithIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	a, b := random(rng, 150, 90), random(rng, 90, 300)
	all := NewMat(150, 300)
	MatMul(all, a, b, 0)
	one := NewMat(1, 300)
	for i := range a.Rows {
		MatMul(one, a.Slice(i, i+1), b, 0)
		for j, v := range one.Data {
			if v != all.Row(i)[j] {
				t.Fatalf("row %d differs in bits when computed alone", i)
			}
		}
	}
}

func TestWrongShapesPanicWithThePackageName(t *testing.T) {
	defer func() {
		if r := recover(); r != "nn: MatMul: shapes do not match" {
			t.Fatalf("panic was %v", r)
		}
	}()
	MatMul(NewMat(2, 2), NewMat(2, 3), NewMat(2, 2), 0)
}

// slope is the central finite difference of f at x.
func slope(f func(float32) float64, x float32) float64 {
	const h = 1e-2
	return (f(x+h) - f(x-h)) / (2 * h)
}

func TestLossDerivativesEqualFiniteDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := float32(rapid.Float64Range(-3, 3).Draw(t, "y"))
		mu := float32(rapid.Float64Range(-3, 3).Draw(t, "mu"))
		ls := float32(rapid.Float64Range(-1, 1).Draw(t, "logSigma"))
		close := func(what string, got float32, want float64) {
			if math.Abs(float64(got)-want) > 0.01*(1+math.Abs(want)) {
				t.Fatalf("%s: derivative %v, finite difference %v", what, got, want)
			}
		}
		_, dm, ds := StudentNLL(y, mu, ls, 4)
		close("student mu", dm, slope(func(v float32) float64 { l, _, _ := StudentNLL(y, v, ls, 4); return float64(l) }, mu))
		close("student sigma", ds, slope(func(v float32) float64 { l, _, _ := StudentNLL(y, mu, v, 4); return float64(l) }, ls))
		bit := float32(rapid.IntRange(0, 1).Draw(t, "bit"))
		_, dz := LogisticNLL(mu, bit)
		close("logistic", dz, slope(func(v float32) float64 { l, _ := LogisticNLL(v, bit); return float64(l) }, mu))
	})
}

func TestSetNLLDerivativeEqualsFiniteDifference(t *testing.T) {
	logits := []float32{0.3, -1, 2, 0.1}
	for _, allowed := range [][]bool{{true, false, false, false}, {false, true, false, true}, {true, true, true, true}} {
		dz, scratch := make([]float32, 4), make([]float32, 4)
		SetNLL(dz, logits, allowed)
		for i := range logits {
			want := slope(func(v float32) float64 {
				l := append([]float32(nil), logits...)
				l[i] = v
				return float64(SetNLL(scratch, l, allowed))
			}, logits[i])
			if math.Abs(float64(dz[i])-want) > 1e-3 {
				t.Errorf("allowed %v logit %d: %v, want %v", allowed, i, dz[i], want)
			}
		}
	}
}

// A two-layer network with both activations and dropout; its loss is the sum
// of squares of its output.
func TestLayerDerivativesEqualFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var l Layout
	first, second := l.Dense("first", 4, 6), l.Dense("second", 6, 3)
	theta := make([]float32, l.Size())
	first.Init(theta, rng, 1)
	second.Init(theta, rng, 1)
	x, mask := random(rng, 5, 4), NewMat(5, 6)
	DropoutMask(mask, 0.3, rng)
	h, a, y := NewMat(5, 6), NewMat(5, 6), NewMat(5, 3)
	loss := func() float64 {
		first.Forward(theta, x, h)
		SiLU(a, h)
		Scale(a, mask)
		second.Forward(theta, a, y)
		TanhAll(y, y)
		var sum float64
		for _, v := range y.Data {
			sum += float64(v) * float64(v)
		}
		return sum
	}
	loss()
	dy, da, dx := NewMat(5, 3), NewMat(5, 6), NewMat(5, 4)
	for i, v := range y.Data {
		dy.Data[i] = 2 * v
	}
	grad := make([]float32, l.Size())
	TanhBackward(dy, y, dy)
	second.Backward(theta, grad, a, dy, da)
	Scale(da, mask)
	SiLUBackward(da, h, da)
	first.Backward(theta, grad, x, da, dx)
	compare := func(what string, p []float32, g []float32) {
		for i := range p {
			keep := p[i]
			want := slope(func(v float32) float64 { p[i] = v; return loss() }, keep)
			p[i] = keep
			if math.Abs(float64(g[i])-want) > 5e-3*(1+math.Abs(want)) {
				t.Fatalf("%s %d: derivative %v, finite difference %v", what, i, g[i], want)
			}
		}
	}
	compare("parameter", theta, grad)
	compare("input", x.Data, dx.Data)
}

func TestAdamFindsTheMinimumOfABowl(t *testing.T) {
	var l Layout
	s := l.Add("w", 1, 3, false)
	theta, grad := []float32{3, -2, 1}, make([]float32, 3)
	opt := NewAdam(l.Size(), 0)
	for range 2000 {
		for i, v := range s.In(theta) {
			grad[i] = 2 * (v - float32(i))
		}
		opt.Step(&l, theta, grad, 0.01)
	}
	wantClose(t, "minimum", theta, []float32{0, 1, 2}, 1e-2)
}

func TestWeightDecayTouchesOnlyTheSpansThatAskForIt(t *testing.T) {
	var l Layout
	l.Add("w", 1, 1, true)
	l.Add("b", 1, 1, false)
	theta := []float32{1, 1}
	NewAdam(2, 0.5).Step(&l, theta, []float32{0, 0}, 0.1)
	if theta[0] >= 1 || theta[1] != 1 {
		t.Fatalf("after one step without gradient: %v", theta)
	}
}

func TestClipNormKeepsDirectionAndReportsTheNorm(t *testing.T) {
	g := []float32{3, 4}
	if n := ClipNorm(g, 1); n != 5 {
		t.Fatalf("norm %v, want 5", n)
	}
	wantClose(t, "clipped", g, []float32{0.6, 0.8}, 1e-6)
}

func TestReLULetsThroughWhatIsAboveZero(t *testing.T) {
	x := &Mat{Rows: 1, Cols: 6, Data: []float32{-2, float32(math.Copysign(0, -1)), 0, 1e-40, 3, float32(math.Inf(1))}}
	y, dy, dx := NewMat(1, 6), &Mat{Rows: 1, Cols: 6, Data: []float32{1, 2, 3, 4, 5, 6}}, NewMat(1, 6)
	ReLU(y, x)
	ReLUBackward(dx, y, dy)
	for i, want := range []float32{0, 0, 0, 1e-40, 3, float32(math.Inf(1))} {
		if y.Data[i] != want {
			t.Errorf("ReLU(%v) is %v", x.Data[i], y.Data[i])
		}
		if d := dx.Data[i]; want > 0 && d != dy.Data[i] || want == 0 && d != 0 {
			t.Errorf("at %v the derivative is %v", x.Data[i], d)
		}
	}
	x.Data[0] = float32(math.NaN())
	if ReLU(y, x); !math.IsNaN(float64(y.Data[0])) {
		t.Error("what is not a number became one")
	}
}
