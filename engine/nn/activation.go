// SPDX-License-Identifier: Apache-2.0

package nn

// This file: activations and dropout, each with its derivative.

import (
	"math"
	"math/rand/v2"
)

// Sigmoid is 1/(1+e^-x).
func Sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// Tanh is the hyperbolic tangent.
func Tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }

// SiLU sets y = x·sigmoid(x) element by element. y may be x only where the
// input is not needed for the derivative.
func SiLU(y, x *Mat) {
	check("SiLU", len(x.Data) == len(y.Data))
	for i, v := range x.Data {
		y.Data[i] = v * Sigmoid(v)
	}
}

// SiLUBackward sets dx from the layer's input x and the derivative dy of its
// output. dx may be dy.
func SiLUBackward(dx, x, dy *Mat) {
	check("SiLUBackward", len(x.Data) == len(dy.Data) && len(dx.Data) == len(x.Data))
	for i, v := range x.Data {
		s := Sigmoid(v)
		dx.Data[i] = dy.Data[i] * (s + v*s*(1-s))
	}
}

// TanhAll sets y = tanh(x) element by element; y may be x.
func TanhAll(y, x *Mat) {
	check("TanhAll", len(x.Data) == len(y.Data))
	for i, v := range x.Data {
		y.Data[i] = Tanh(v)
	}
}

// TanhBackward sets dx from the layer's output y and its derivative dy. dx may
// be dy.
func TanhBackward(dx, y, dy *Mat) {
	check("TanhBackward", len(y.Data) == len(dy.Data) && len(dx.Data) == len(y.Data))
	for i, v := range y.Data {
		dx.Data[i] = dy.Data[i] * (1 - v*v)
	}
}

// ReLU sets y = max(x, 0) element by element; y may be x.
func ReLU(y, x *Mat) {
	check("ReLU", len(y.Data) == len(x.Data))
	for i, v := range x.Data {
		y.Data[i] = max(v, 0) // what is not a number stays so
	}
}

// ReLUBackward sets dx from the layer's output y and its derivative dy. dx may
// be dy.
func ReLUBackward(dx, y, dy *Mat) {
	check("ReLUBackward", len(y.Data) == len(dy.Data) && len(dx.Data) == len(y.Data))
	for i, v := range y.Data {
		b := int32(math.Float32bits(v))
		on := uint32((-b &^ b) >> 31) // all ones where v is above 0: a branch would be foreseen half the time
		dx.Data[i] = math.Float32frombits(math.Float32bits(dy.Data[i]) & on)
	}
}

// DropoutMask fills mask with 0 (probability p, below 1) or 1/(1-p), so that the
// expectation of mask·x is x. It takes one number of rng per element.
func DropoutMask(mask *Mat, p float64, rng *rand.Rand) {
	const bits = 53 // as Float64 draws them, compared without a branch that nobody can foresee
	keep := math.Float32bits(float32(1 / (1 - p)))
	least := int64(math.Ceil(p * (1 << bits)))
	for i := range mask.Data {
		drop := (int64(rng.Uint64()<<(64-bits)>>(64-bits)) - least) >> 63 // all ones below least, else none
		mask.Data[i] = math.Float32frombits(keep &^ uint32(drop))
	}
}

// Scale multiplies x by mask element by element, in place. It is dropout's
// forward pass and its derivative.
func Scale(x, mask *Mat) {
	check("Scale", len(x.Data) == len(mask.Data))
	for i, m := range mask.Data {
		x.Data[i] *= m
	}
}
