// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the line chart: series of points with optional ranges, and the
// diagonal on which a reliability diagram should lie.

import "math"

// Series is one line of a chart.
type Series struct {
	Name   string
	Points []Point
	// Low and High, when given, are the ends of a range drawn as a bar at each
	// point; an end that is not finite is left out.
	Low, High []float64
	Marks     bool // a dot at each point
	Bare      bool // no line between the points
	Like      int  // 1 more than the series whose colour it shares; 0: a colour of its own
}

// Lines is a line chart.
type Lines struct {
	Title, Desc    string
	XLabel, YLabel string // with units
	Width, Height  int    // 0: defaults
	XStep          float64
	Series         []Series
	Unit           bool // both axes are chances: 0 to 1, with the diagonal drawn
	FromZero       bool // the y axis begins at 0
	// Paper draws dark ink on a white sheet, for a file that stands alone: an
	// image in a page does not inherit the page's colours.
	Paper bool
}

// SVG draws the chart.
func (l Lines) SVG() []byte {
	width, height := size(l.Width, l.Height)
	rows := (len(l.Series) + 1) / 2
	height += 22*rows + 10
	p := plot{left: 60, top: 30, right: float64(width - 20), bottom: float64(height - 56 - 22*rows), xStep: l.XStep}
	if p.bottom < p.top+40 {
		height += int(p.top + 40 - p.bottom)
		p.bottom = p.top + 40
	}
	for _, s := range l.Series {
		for i, q := range s.Points {
			if !finite(q.X) || !finite(q.Y) {
				continue
			}
			p.x.include(q.X)
			p.y.include(q.Y)
			if lo, hi, ok := s.rangeAt(i); ok {
				p.y.include(lo)
				p.y.include(hi)
			}
		}
	}
	if l.FromZero {
		p.y.include(0)
	}
	p.x, p.y = p.x.padded(0.03), p.y.padded(0.08)
	if l.FromZero {
		p.y.lo = math.Max(p.y.lo, 0)
	}
	if l.Unit {
		p.x, p.y = extent{0, 1, true}, extent{0, 1, true}
	}
	var c canvas
	c.openOn(width, height, l.Title, l.Desc, l.Paper)
	p.frame(&c, l.XLabel, l.YLabel)
	if l.Unit {
		c.line(p.px(0), p.py(0), p.px(1), p.py(1), `stroke="currentColor" stroke-opacity="0.6" stroke-dasharray="5 4"`)
	}
	for i, s := range l.Series {
		p.series(&c, s, i)
	}
	column := (float64(width) - p.left - 16) / 2
	for i, s := range l.Series {
		x, y := p.left+column*float64(i%2), p.bottom+60+22*float64(i/2)
		ink := s.ink(i)
		if s.Bare {
			mark(&c, i, x+13, y-4, colour(ink))
		} else {
			c.line(x, y-4, x+26, y-4, `stroke="`+colour(ink)+`" stroke-width="2.5"`+dashAttr(i))
		}
		c.text(x+33, y, "start", s.Name, "")
	}
	return c.close()
}

// ink is the palette's colour of a series.
func (s Series) ink(i int) int {
	if s.Like > 0 {
		return s.Like - 1
	}
	return i
}

// rangeAt gives the range of point i.
func (s Series) rangeAt(i int) (lo, hi float64, ok bool) {
	if i >= len(s.Low) || i >= len(s.High) || !finite(s.Low[i]) || !finite(s.High[i]) {
		return 0, 0, false
	}
	return s.Low[i], s.High[i], true
}

func (p plot) series(c *canvas, s Series, i int) {
	ink := colour(s.ink(i))
	for k, q := range s.Points {
		if lo, hi, ok := s.rangeAt(k); ok && finite(q.X) && finite(q.Y) {
			c.line(p.px(q.X), p.py(lo), p.px(q.X), p.py(hi), `stroke="`+ink+`" stroke-width="1.6" stroke-opacity="0.7"`)
		}
	}
	if !s.Bare {
		c.path(p.polyline(s.Points), `stroke="`+ink+`" stroke-width="2"`+dashAttr(i))
	}
	for _, q := range s.Points {
		if (s.Marks || s.Bare) && finite(q.X) && finite(q.Y) {
			mark(c, i, p.px(q.X), p.py(q.Y), ink)
		}
	}
}

// mark draws a point, in a shape of its own for the first series.
func mark(c *canvas, i int, x, y float64, ink string) {
	switch i % 3 {
	case 0:
		c.raw(`<circle cx="` + num(x) + `" cy="` + num(y) + `" r="3.5" fill="` + ink + `"/>` + "\n")
	case 1:
		c.raw(`<rect x="` + num(x-3.2) + `" y="` + num(y-3.2) + `" width="6.4" height="6.4" fill="` + ink + `"/>` + "\n")
	default:
		c.path("M"+num(x)+" "+num(y-4.2)+"L"+num(x+4)+" "+num(y+3)+"L"+num(x-4)+" "+num(y+3)+"Z", `fill="`+ink+`"`)
	}
}
