// SPDX-License-Identifier: Apache-2.0

package nn

// This file: losses of one prediction, each with its derivatives. Callers skip
// what was not observed; a masked loss is a sum over what remains.

import "math"

// StudentNLL is the negative log-likelihood of y under a Student t
// distribution with nu degrees of freedom, location mu and scale
// exp(logSigma), without the constant. Its tails let a wild reading happen
// without dragging the location after it.
func StudentNLL(y, mu, logSigma, nu float32) (loss, dMu, dLogSigma float32) {
	inv := float32(math.Exp(-float64(logSigma)))
	r := (y - mu) * inv
	q := r * r / nu
	w := (nu + 1) / (nu * (1 + q)) // weight of this residual
	return 0.5*(nu+1)*float32(math.Log1p(float64(q))) + logSigma, -w * r * inv, 1 - w*r*r
}

// GaussianNLL is the negative log-likelihood of y under a normal distribution
// with mean mu and standard deviation exp(logSigma), without the constant.
func GaussianNLL(y, mu, logSigma float32) (loss, dMu, dLogSigma float32) {
	inv := float32(math.Exp(-float64(logSigma)))
	r := (y - mu) * inv
	return 0.5*r*r + logSigma, -r * inv, 1 - r*r
}

// LogisticNLL is the cross-entropy of a binary outcome (y in 0..1) under the
// logit z.
func LogisticNLL(z, y float32) (loss, dZ float32) {
	zf := float64(z)
	return float32(math.Max(zf, 0) - zf*float64(y) + math.Log1p(math.Exp(-math.Abs(zf)))), Sigmoid(z) - y
}

// Softmax sets p to the softmax of logits divided by temperature.
func Softmax(p, logits []float32, temperature float32) {
	top := logits[0]
	for _, v := range logits {
		top = max(top, v)
	}
	var sum float64
	for i, v := range logits {
		e := math.Exp(float64((v - top) / temperature))
		p[i] = float32(e)
		sum += e
	}
	for i := range p {
		p[i] = float32(float64(p[i]) / sum)
	}
}

// SetNLL is the negative log of the softmax probability that the class lies in
// the set allowed: cross-entropy when the set has one member, and the right
// marginal when only part of a joint label is known. dz receives the
// derivative by the logits.
func SetNLL(dz, logits []float32, allowed []bool) (loss float32) {
	check("SetNLL", len(dz) == len(logits) && len(allowed) == len(logits))
	Softmax(dz, logits, 1)
	var in float64
	for i, ok := range allowed {
		if ok {
			in += float64(dz[i])
		}
	}
	in = math.Max(in, 1e-12)
	for i, ok := range allowed {
		if ok {
			dz[i] -= float32(float64(dz[i]) / in)
		}
	}
	return float32(-math.Log(in))
}
