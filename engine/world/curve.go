// SPDX-License-Identifier: Apache-2.0

package world

// This file: the training curves as a small SVG with deterministic bytes.

import (
	"bytes"
	"fmt"
	"math"
)

// curve draws validation loss (solid) and training loss (dashed) by epoch, one
// pair of lines per member.
func (r *TrainingRecord) curve() []byte {
	const width, height, left, top, right, bottom = 720, 360, 70, 40, 20, 50
	lo, hi, last := math.Inf(1), math.Inf(-1), 1
	for _, p := range r.Curves {
		if p.Epoch == 0 && len(r.Curves) > 2 { // the first epoch would flatten the rest
			continue
		}
		for _, v := range []float64{p.TrainLoss, p.ValidationLoss} {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
		last = max(last, p.Epoch)
	}
	if !(hi > lo) {
		lo, hi = 0, 1
	}
	x := func(epoch int) float64 { return left + float64(width-left-right)*float64(epoch)/float64(last) }
	y := func(v float64) float64 {
		return top + float64(height-top-bottom)*(hi-clamp(v, lo, hi))/(hi-lo)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="13">`+"\n", width, height)
	b.WriteString("<title>Training curves of the world model</title>\n")
	b.WriteString("<desc>Log-likelihood loss per observed value by epoch, one colour per member: validation solid, training dashed. Lower is better.</desc>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15">Loss per observed value (validation solid, training dashed)</text>`+"\n", left)
	for i := range 5 {
		v := lo + (hi-lo)*float64(i)/4
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.3f</text>`+"\n", left, y(v), width-right, left-8, y(v)+4, v)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">epoch (1 to %d)</text>`+"\n", (left+width-right)/2, height-14, last+1)
	colours := []string{"#0b5fa5", "#b4451f", "#2a7f3f", "#7a3f9d", "#8a6d00"}
	for member := 0; ; member++ {
		var solid, dashed []byte
		for _, p := range r.Curves {
			if p.Member == member {
				solid = fmt.Appendf(solid, " %.1f,%.1f", x(p.Epoch), y(p.ValidationLoss))
				dashed = fmt.Appendf(dashed, " %.1f,%.1f", x(p.Epoch), y(p.TrainLoss))
			}
		}
		if solid == nil {
			break
		}
		c := colours[member%len(colours)]
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", c, solid[1:])
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-dasharray="4 3" points="%s"/>`+"\n", c, dashed[1:])
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
