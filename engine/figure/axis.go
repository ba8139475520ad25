// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the plotting area: extents, round ticks, frame and axis labels.

import (
	"math"
	"strconv"
)

// extent is a closed range of values that is always usable as an axis.
type extent struct {
	lo, hi float64
	set    bool
}

func (e *extent) include(v float64) {
	if !finite(v) {
		return
	}
	if !e.set {
		e.lo, e.hi, e.set = v, v, true
		return
	}
	e.lo, e.hi = math.Min(e.lo, v), math.Max(e.hi, v)
}

// padded widens the extent by a share of its length, and gives a flat or empty
// one a length.
func (e extent) padded(share float64) extent {
	if !e.set {
		return extent{0, 1, true}
	}
	span := e.hi - e.lo
	if span == 0 || !finite(span) {
		span = math.Max(math.Abs(e.hi), 1)
	}
	return extent{e.lo - span*share, e.hi + span*share, true}
}

// ticks returns at most limit+1 round numbers inside the extent (steps of 1, 2
// or 5 times a power of ten) and the decimals needed to print them.
func (e extent) ticks(limit int) (at []float64, decimals int) {
	span := e.hi - e.lo
	if !(span > 0) || !finite(span) || limit < 1 {
		return nil, 0
	}
	raw := span / float64(limit)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw {
			step = m * power
			break
		}
	}
	if !(step > 0) {
		return nil, 0
	}
	decimals = max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	first := math.Ceil(e.lo/step - 1e-9)
	for i := 0; i <= limit; i++ {
		v := (first + float64(i)) * step
		if v > e.hi+step*1e-9 {
			break
		}
		at = append(at, v)
	}
	return at, min(decimals, 6)
}

// plot maps data to the rectangle that is left for it.
type plot struct {
	left, top, right, bottom float64
	x, y                     extent
	xStep                    float64 // distance of x ticks; 0: round numbers
}

func (p plot) px(x float64) float64 {
	return p.left + (x-p.x.lo)/(p.x.hi-p.x.lo)*(p.right-p.left)
}

func (p plot) py(y float64) float64 {
	v := p.bottom - (y-p.y.lo)/(p.y.hi-p.y.lo)*(p.bottom-p.top)
	return math.Min(math.Max(v, p.top-1), p.bottom+1)
}

// frame draws grid, ticks and the two axis labels.
func (p plot) frame(c *canvas, xLabel, yLabel string) {
	at, dec := p.y.ticks(5)
	for _, v := range at {
		y := p.py(v)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-opacity="0.15"`)
		c.text(p.left-6, y+4, "end", strconv.FormatFloat(v+0, 'f', dec, 64), "")
	}
	at, dec = p.x.ticks(8)
	if p.xStep > 0 && (p.x.hi-p.x.lo)/p.xStep <= 24 {
		at, dec = nil, 0
		for k := math.Ceil(p.x.lo / p.xStep); k*p.xStep <= p.x.hi; k++ {
			at = append(at, k*p.xStep)
		}
	}
	for _, v := range at {
		x := p.px(v)
		c.line(x, p.bottom, x, p.bottom+4, `stroke="currentColor" stroke-opacity="0.6"`)
		c.text(x, p.bottom+18, "middle", signless(v, dec), "")
	}
	c.line(p.left, p.bottom, p.right, p.bottom, `stroke="currentColor" stroke-opacity="0.6"`)
	c.text((p.left+p.right)/2, p.bottom+36, "middle", xLabel, "")
	c.text(p.left, p.top-10, "start", yLabel, `font-weight="600"`)
}

func signless(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if v == 0 {
		return "0"
	}
	return s
}

// polyline is the path of a line with gaps where a value is not finite.
func (p plot) polyline(points []Point) string {
	var d []byte
	pen := false
	for _, q := range points {
		if !finite(q.X) || !finite(q.Y) {
			pen = false
			continue
		}
		if pen {
			d = append(d, 'L')
		} else {
			d = append(d, 'M')
			pen = true
		}
		d = append(d, num(p.px(q.X))...)
		d = append(d, ' ')
		d = append(d, num(p.py(q.Y))...)
	}
	return string(d)
}
