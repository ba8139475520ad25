// SPDX-License-Identifier: Apache-2.0

package world

// This file: calibration on patients that trained nothing: interval widths
// (split conformal), probabilities (logistic scaling), and the sharpness of
// the behaviour model.

import (
	"math"
	"sort"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Half-widths in standard deviations before anything is known: those of a
// Student t with the likelihood's degrees of freedom.
const (
	freeWidth80 = 1.533
	freeWidth95 = 2.776
)

// shrinkage is how many residuals of its own a width needs to weigh as much
// as that of its step over all features.
const shrinkage = 60

// logistic maps a logit to a probability: 1/(1+exp(-(A·z+B))).
type logistic struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

func (l logistic) chance(z float64) float64 { return 1 / (1 + math.Exp(-(l.A*z + l.B))) }

// fitLogistic finds A and B by Newton's method. With fewer than ten of either
// outcome the logit is taken as it is. A negative slope, which would turn the
// ranking round, is refused likewise.
func fitLogistic(z []float64, y []int8) logistic {
	var ones int
	for _, v := range y {
		ones += int(v)
	}
	if ones < 10 || len(y)-ones < 10 {
		return logistic{A: 1}
	}
	l := logistic{A: 1}
	for range 30 {
		var ga, gb, haa, hab, hbb float64
		for i, v := range z {
			p := l.chance(v)
			d, w := p-float64(y[i]), p*(1-p)
			ga, gb = ga+d*v, gb+d
			haa, hab, hbb = haa+w*v*v, hab+w*v, hbb+w
		}
		haa, hbb = haa+1, hbb+1 // damping
		ga += l.A - 1
		det := haa*hbb - hab*hab
		if det < 1e-9 {
			break
		}
		l.A -= clamp((hbb*ga-hab*gb)/det, -1, 1)
		l.B -= clamp((haa*gb-hab*ga)/det, -1, 1)
	}
	if !(l.A > 0) || math.IsInf(l.A, 0) || math.IsNaN(l.B) {
		return logistic{A: 1}
	}
	return l
}

// calibrate fills the widths, scalings and temperature of m from samples that
// trained nothing. m must forecast with free widths before.
func (m *Model) calibrate(validation []*sample) {
	file := &m.file
	file.PairTemperature = 1
	m.trust(validation)
	m.floor(validation)
	file.VentScaling, file.VasoScaling = logistic{A: 1}, logistic{A: 1}
	var residuals [Horizon][numF][]float64
	var z [2][]float64
	var y [2][]int8
	var logits [][]float32
	var pairs []int
	m.each(validation, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		for h := range Horizon {
			for f := range numF {
				if t := sm.y[h*numF+f]; !isNaN(t) {
					at := h*numF + f
					residuals[h][f] = append(residuals[h][f], math.Abs(float64(t)-s.mu[at])/s.sigma[at])
				}
			}
		}
		for i, l := range []int8{sm.vent[0], sm.vaso24} {
			if l != unknown {
				z[i], y[i] = append(z[i], v.mean([]int{outVent, outVaso24}[i])), append(y[i], l)
			}
		}
		if p := single(sm.pairs); p >= 0 {
			pairs = append(pairs, p)
			mean := make([]float32, numPairs)
			for i := range mean {
				mean[i] = float32(v.mean(outPairs + i))
			}
			logits = append(logits, mean)
		}
	})
	for h := range Horizon {
		var all []float64
		for f := range numF {
			all = append(all, residuals[h][f]...)
		}
		wide80, wide95 := quantile(all, 0.8, freeWidth80), quantile(all, 0.95, freeWidth95)
		for f := range numF {
			n := float64(len(residuals[h][f]))
			own := n / (n + shrinkage)
			file.Width80[h][f] = own*quantile(residuals[h][f], 0.8, wide80) + (1-own)*wide80
			file.Width95[h][f] = own*quantile(residuals[h][f], 0.95, wide95) + (1-own)*wide95
			file.Width95[h][f] = math.Max(file.Width95[h][f], 1.1*file.Width80[h][f])
		}
	}
	file.VentScaling, file.VasoScaling = fitLogistic(z[0], y[0]), fitLogistic(z[1], y[1])
	file.PairTemperature = sharpness(logits, pairs)
	m.stretch(validation, m.file.Training.Config.Seed)
	m.trim(validation)
}

// trim rescales all widths together so that the bands as served (rounded
// scores, ordered pressures, ends of ranges) cover 80 % and 95 % in patients
// without a vasopressor: those with one have their own stretch.
func (m *Model) trim(validation []*sample) {
	if most := keep(validation, func(s *sample) bool { return m.file.drives(s.x) == runsNone }); len(most) > 0 {
		validation = most
	}
	base80, base95 := m.file.Width80, m.file.Width95
	for _, target := range []struct {
		want  float64
		outer bool
	}{{0.8, false}, {0.95, true}} {
		lo, hi := 0.5, 1.5
		for range 12 {
			mid := (lo + hi) / 2
			for h := range Horizon {
				for f := range numF {
					if target.outer {
						m.file.Width95[h][f] = math.Max(base95[h][f]*mid, 1.02*m.file.Width80[h][f])
					} else {
						m.file.Width80[h][f] = base80[h][f] * mid
					}
				}
			}
			in80, in95, n := m.coverage(validation)
			if n == 0 {
				return
			}
			got := in80
			if target.outer {
				got = in95
			}
			if got < target.want {
				lo = mid
			} else {
				hi = mid
			}
		}
	}
}

// coverage is the share of next-step truths inside the served bands.
func (m *Model) coverage(samples []*sample) (in80, in95, n float64) {
	m.each(samples, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, 1)
		b := m.bands(0, &s)
		for f := range numF {
			if y := sm.y[f]; !isNaN(y) {
				n++
				in80 += m.file.Scale.inside(f, y, b[f].Lo80, b[f].Hi80)
				in95 += m.file.Scale.inside(f, y, b[f].Lo95, b[f].Hi95)
			}
		}
	})
	return in80 / math.Max(n, 1), in95 / math.Max(n, 1), n
}

// bands are the served bands of step h.
func (m *Model) bands(h int, s *spreadOf) (b [state.NumFeatures]Band) {
	for f := range numF {
		b[f] = m.band(f, h, s)
	}
	project(&b)
	return b
}

// inside is 1 when the standardised truth lies within lo..hi (canonical units).
func (s *Scale) inside(f int, z float32, lo, hi float64) float64 {
	const slack = 1e-4 // float32 of the standardised truth
	if float64(z) >= float64(s.z(f, lo))-slack && float64(z) <= float64(s.z(f, hi))+slack {
		return 1
	}
	return 0
}

// each looks at samples in batches, in order. A view is valid until f returns.
func (m *Model) each(samples []*sample, f func(*sample, *view)) {
	w := m.newWorkspace(min(shardSize, len(samples)))
	rows := make([][]float32, 0, shardSize)
	for i := 0; i < len(samples); i += shardSize {
		part := samples[i:min(i+shardSize, len(samples))]
		rows = rows[:0]
		for _, sm := range part {
			rows = append(rows, sm.x)
		}
		for j, v := range m.look(w, rows, Horizon) {
			f(part[j], v)
		}
	}
}

// mean is the members' mean of one output.
func (v *view) mean(at int) float64 {
	var sum float64
	for _, out := range v.out {
		sum += float64(out[at])
	}
	return sum / float64(len(v.out))
}

// quantile is the conformal quantile: the ceil((n+1)q)-th smallest value, or
// otherwise where there are too few.
func quantile(v []float64, q, otherwise float64) float64 {
	k := int(math.Ceil(float64(len(v)+1)*q)) - 1
	if k < 0 || k >= len(v) {
		return otherwise
	}
	sort.Float64s(v)
	return v[k]
}

// sharpness is the temperature under which the pairs that were given are most
// likely.
func sharpness(logits [][]float32, pairs []int) float64 {
	best, least := 1.0, math.Inf(1)
	p := make([]float32, numPairs)
	for _, t := range []float64{0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 2.5, 3} {
		var sum float64
		for i, l := range logits {
			nn.Softmax(p, l, float32(t))
			sum -= math.Log(math.Max(float64(p[pairs[i]]), 1e-9))
		}
		if sum < least {
			best, least = t, sum
		}
	}
	return best
}
