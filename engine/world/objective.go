// SPDX-License-Identifier: Apache-2.0

package world

// This file: what a member is trained to do well, and the derivatives of that
// by the outputs.

import (
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// degrees of freedom of the likelihood: heavy tails, so that one wild reading
// moves little.
const likelihoodNu = 4

// horizonWeight says how much each step counts in training; the next one most.
var horizonWeight = [Horizon]float32{1, 0.5, 0.4, 0.3, 0.3, 0.3}

// mix holds the weights of the parts of the objective.
type mix struct {
	synthetic  float32 // of simulated patients in everything but the effect part
	realEffect float32 // of real patients in the effect part; 0 keeps confounding out
	vent       float32
	usual      float32
	pairs      float32
	vaso24     float32
	unsigned   bool // norepinephrine may lower pressure, and no effect is damped
}

var defaultMix = mix{synthetic: 0.05, realEffect: 0, vent: 0.05, usual: 0.3, pairs: 0.05, vaso24: 0.01}

// tally sums the log-likelihood part over observed entries.
type tally struct{ loss, weight float64 }

// objective fills p.dOut and p.dGain and adds the memory's derivative to grad,
// for a batch already run forward. norm divides everything. It returns the
// likelihood part alone, which early stopping watches.
func (n *network) objective(theta, grad []float32, p *pass, batch []*sample, scale *Scale, w mix, norm float32) (sum tally) {
	p.dOut.Zero()
	p.dGain.Zero()
	for i, sm := range batch {
		weight := float32(1)
		if sm.synthetic {
			weight = w.synthetic
		}
		out, dOut := p.out.Row(i), p.dOut.Row(i)
		t := n.likelihood(theta, grad, p, i, sm, scale, w, norm)
		sum.loss, sum.weight = sum.loss+t.loss, sum.weight+t.weight
		heads(out, dOut, sm, w, 1/norm)
		for j := range dOut {
			dOut[j] *= weight
		}
	}
	return sum
}

// likelihood adds the derivatives of the features' log-likelihood for row i.
func (n *network) likelihood(theta, grad []float32, p *pass, i int, sm *sample, scale *Scale, w mix, norm float32) (sum tally) {
	out, dOut, gain, dGain := p.out.Row(i), p.dOut.Row(i), p.gain.Row(i), p.dGain.Row(i)
	effectWeight := w.realEffect
	if sm.synthetic {
		effectWeight = 1
	}
	dev := deviationOf(out, &sm.ne, &sm.fluid)
	n.addShortfall(&dev, theta, out, gain, sm.x, scale)
	memory, dMemory := n.memory.Mat(theta), n.memory.Mat(grad)
	for f := range numF {
		g := n.arch.gainsOf(f, gain, scale.SD[f])
		var drives, byMemory deviation
		var slopes [numActs]float32
		for act := range numActs {
			var m float32
			m, slopes[act] = memoryOf(memory.Row(act)[f])
			drives[act], byMemory[act] = drive(&dev[act], m)
		}
		for h := range Horizon {
			y := sm.y[h*numF+f]
			if isNaN(y) {
				continue
			}
			at := h*numF + f
			mu := sm.x[f*perFeature+inLast] + out[outChange+at]
			for act := range numActs {
				mu += g.value[act] * drives[act][h]
			}
			ls, slope := logScale(out[outSpread+at])
			loss, dMu, dLs := nn.StudentNLL(y, mu, ls, likelihoodNu)
			hw := horizonWeight[h]
			sum.loss += float64(hw * loss)
			sum.weight += float64(hw)
			k := hw / norm
			dOut[outChange+at] += k * dMu
			dOut[outSpread+at] += k * dLs * slope
			if e := effectWeight * k * dMu; e != 0 {
				for act := range numActs {
					dGain[act*numF+f] += e * drives[act][h] * g.slope[act]
					dMemory.Row(act)[f] += e * g.value[act] * byMemory[act][h] * slopes[act]
				}
			}
		}
	}
	return sum
}

// addShortfall adds to dev the want of perfusion under what was given beside
// that under usual care, by the member's own forecast of MAP. No derivative
// goes through it: what follows from pressure must not say what pressure is.
func (n *network) addShortfall(dev *deviation, theta, out, gain, x []float32, scale *Scale) {
	g := n.arch.gainsOf(mbp, gain, scale.SD[mbp])
	usual := x[mbp*perFeature+inLast]
	var drives deviation
	for act := range actShortfall {
		m, _ := memoryOf(n.memory.Mat(theta).Row(act)[mbp])
		drives[act], _ = drive(&dev[act], m)
	}
	for h := range Horizon {
		z := usual + out[outChange+h*numF+mbp]
		plan := z + g.value[actNE]*drives[actNE][h] + g.value[actFluid]*drives[actFluid][h]
		dev[actShortfall][h] = scale.shortfall(plan) - scale.shortfall(z)
	}
}

// heads adds the derivatives of the parts beside the likelihood. Their sums
// are divided by the number of likelihood entries too; entriesPerSample brings
// them back to a per-sample size.
func heads(out, dOut []float32, sm *sample, w mix, k float32) {
	const entriesPerSample = 40
	k *= entriesPerSample
	for h := range Horizon {
		if sm.vent[h] != unknown {
			_, dz := nn.LogisticNLL(out[outVent+h], float32(sm.vent[h]))
			dOut[outVent+h] += k * w.vent * horizonWeight[h] * dz
		}
		if v := sm.ne[h]; !isNaN(v) {
			dOut[outUsual+h] += k * w.usual * horizonWeight[h] * 2 * (out[outUsual+h] - v)
		}
		if v := sm.fluid[h]; !isNaN(v) {
			dOut[outUsual+Horizon+h] += k * w.usual * horizonWeight[h] * 2 * (out[outUsual+Horizon+h] - v)
		}
	}
	if sm.pairs != 0 {
		var allowed [numPairs]bool
		var dz [numPairs]float32
		for i := range allowed {
			allowed[i] = sm.pairs>>i&1 == 1
		}
		nn.SetNLL(dz[:], out[outPairs:outPairs+numPairs], allowed[:])
		for i, d := range dz {
			dOut[outPairs+i] += k * w.pairs * d
		}
	}
	if sm.vaso24 != unknown {
		_, dz := nn.LogisticNLL(out[outVaso24], float32(sm.vaso24))
		dOut[outVaso24] += k * w.vaso24 * dz
	}
}

// entries counts the weighted likelihood entries of a batch.
func entries(batch []*sample) float32 {
	var n float32
	for _, sm := range batch {
		for i, y := range sm.y {
			if !isNaN(y) {
				n += horizonWeight[i/numF]
			}
		}
	}
	return max(n, 1)
}
