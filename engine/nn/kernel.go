// SPDX-License-Identifier: Apache-2.0

package nn

// This file: what the kernels compute, in plain Go. The assembly of
// kernel_amd64.s gives the same bits, and so does every other processor: each
// output is summed in one order, and every product is rounded before it is
// added (the conversions to float32 forbid a fused multiply-add). A forecast
// is therefore the same wherever it is computed, and whatever else is computed
// with it.

import "math"

// productGo adds a·b to c, where element (i, l) of a lies at i*ai + l*al.
func productGo(m, n, k int, a []float32, ai, al int, b []float32, ldb int, c []float32, ldc int) {
	for i := range m {
		out := c[i*ldc : i*ldc+n]
		l := 0
		for ; l+4 <= k; l += 4 { // four terms a round: each output is read and written once for all
			a0, a1, a2, a3 := a[i*ai+l*al], a[i*ai+(l+1)*al], a[i*ai+(l+2)*al], a[i*ai+(l+3)*al]
			b0, b1 := b[l*ldb:][:len(out)], b[(l+1)*ldb:][:len(out)]
			b2, b3 := b[(l+2)*ldb:][:len(out)], b[(l+3)*ldb:][:len(out)]
			for j, v := range out {
				v += float32(a0 * b0[j])
				v += float32(a1 * b1[j])
				v += float32(a2 * b2[j])
				v += float32(a3 * b3[j])
				out[j] = v
			}
		}
		for ; l < k; l++ {
			v, row := a[i*ai+l*al], b[l*ldb:][:len(out)]
			for j := range out {
				out[j] += float32(v * row[j])
			}
		}
	}
}

// logisticConstants are the numbers of logisticOf, in the order the assembly
// reads them. The polynomial is the Taylor series of e^x to the sixth power,
// good to 1.2e-7 on |x| <= ln(2)/2.
type logisticConstants struct {
	slope, scale, shift  float32
	lowest, highest      float32
	log2e, magic         float32
	ln2High, ln2Low, one float32
	c6, c5, c4, c3, c2   float32
}

func newLogistic(slope, scale, shift float32) *logisticConstants {
	const high = 355.0 / 512 // ln 2 to nine bits: times a whole number it is exact
	return &logisticConstants{slope: slope, scale: scale, shift: shift, lowest: -87, highest: 87,
		log2e: math.Log2E, magic: 3 << 22, ln2High: high, ln2Low: math.Ln2 - high, one: 1,
		c6: 1.0 / 720, c5: 1.0 / 120, c4: 1.0 / 24, c3: 1.0 / 6, c2: 1.0 / 2}
}

var (
	sigmoidConstants = newLogistic(-1, 1, 0)
	tanhConstants    = newLogistic(-2, 2, -1) // tanh(x) = 2·sigmoid(2x) - 1
)

// logisticOf is scale / (1 + e^(slope·x)) + shift: e^v is split into a power of
// two, made by shifting bits, and a polynomial of the rest.
func logisticOf(x float32, c *logisticConstants) float32 {
	v := float32(c.slope * x)
	if v < c.lowest {
		v = c.lowest
	}
	if v > c.highest {
		v = c.highest
	}
	k := float32(v*c.log2e) + c.magic // the sum's last bits hold the nearest whole number
	whole := k - c.magic
	r := v - float32(whole*c.ln2High)
	r -= float32(whole * c.ln2Low)
	p := float32(c.c6*r) + c.c5
	p = float32(p*r) + c.c4
	p = float32(p*r) + c.c3
	p = float32(p*r) + c.c2
	p = float32(p*r) + c.one
	p = float32(p*r) + c.one
	e := float32(p * math.Float32frombits(math.Float32bits(k)<<23+math.Float32bits(1)))
	return float32(c.scale/(e+c.one)) + c.shift
}

func logisticGo(y, x []float32, c *logisticConstants) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = logisticOf(v, c)
	}
}

// fastSigmoid sets y = 1/(1+e^-x) element by element, to 2e-7; y may be x.
func fastSigmoid(y, x []float32) {
	check("fastSigmoid", len(x) == len(y))
	logistic(y, x, sigmoidConstants)
}

// fastTanh sets y = tanh(x) element by element, to 3e-7; y may be x.
func fastTanh(y, x []float32) {
	check("fastTanh", len(x) == len(y))
	logistic(y, x, tanhConstants)
}

// stepBackGo goes back through one row of a recurrent step of n units, from
// unit from on: see GRU.StepBack. A nil before is the zero state.
func stepBackGo(from, n int, gates, fresh, before, d, dx, dp []float32) {
	for j := from; j < n; j++ {
		r, z, c := gates[j], gates[n+j], gates[2*n+j]
		var h float32
		if before != nil {
			h = before[j]
		}
		dc := d[j] * (1 - z) * (1 - float32(c*c))
		dr := dc * fresh[j] * r * (1 - r)
		dz := d[j] * (h - c) * z * (1 - z)
		dx[j], dx[n+j], dx[2*n+j] = dr, dz, dc
		dp[j], dp[n+j], dp[2*n+j] = dr, dz, dc*r
		d[j] *= z
	}
}

// adamConstants are the numbers of one step of Adam, in the order the assembly
// reads them.
type adamConstants struct {
	rate, eps                  float64
	keep1, take1, keep2, take2 float32 // of the moments: what stays, and what of the gradient is added
}

// adamGo moves theta by one step and brings the moments up to date.
func adamGo(theta, grad, m, v []float32, c *adamConstants) {
	theta, m, v = theta[:len(grad)], m[:len(grad)], v[:len(grad)]
	for i, g := range grad {
		m[i] = float32(c.keep1*m[i]) + float32(c.take1*g)
		v[i] = float32(c.keep2*v[i]) + float32(c.take2*g*g)
		theta[i] -= float32(float64(c.rate*float64(m[i])) / (math.Sqrt(float64(v[i])) + c.eps))
	}
}
