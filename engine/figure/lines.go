// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the line chart (a loss curve, a trend of several quantities) and
// the sparkline.

import "strconv"

// Series is one named line.
type Series struct {
	Name   string
	Points []Point
}

// Lines is a line chart.
type Lines struct {
	Title, Desc    string
	XLabel, YLabel string // with units
	Width, Height  int    // 0: defaults
	Series         []Series
	Goal           float64 // drawn as a line when GoalLabel is not empty
	GoalLabel      string
}

// SVG draws the chart.
func (l Lines) SVG() []byte {
	width, height := size(l.Width, l.Height)
	legend := 22 * ((len(l.Series) + 1) / 2)
	p := plot{left: 64, top: 30, right: float64(width - 16), bottom: float64(height - 46 - legend)}
	if p.bottom < p.top+40 {
		height += int(p.top + 40 - p.bottom)
		p.bottom = p.top + 40
	}
	for _, s := range l.Series {
		for _, q := range s.Points {
			if finite(q.X) && finite(q.Y) {
				p.x.include(q.X)
				p.y.include(q.Y)
			}
		}
	}
	empty := !p.y.set
	if l.GoalLabel != "" {
		p.y.include(l.Goal)
	}
	p.x, p.y = p.x.padded(0.02), p.y.padded(0.08)

	var c canvas
	c.open(width, height, l.Title, l.Desc)
	p.frame(&c, l.XLabel, l.YLabel)
	if empty {
		c.text((p.left+p.right)/2, (p.top+p.bottom)/2, "middle", "no data", "")
	}
	if l.GoalLabel != "" && finite(l.Goal) {
		y := p.py(l.Goal)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-width="1.2" stroke-dasharray="8 3"`)
		c.text(p.right, y-5, "end", l.GoalLabel, `font-size="12"`)
	}
	column := float64(width-int(p.left)-16) / 2
	for i, s := range l.Series {
		c.path(p.polyline(s.Points), `stroke="`+colour(i)+`" stroke-width="2"`+dashAttr(i))
		x := p.left + column*float64(i%2)
		y := p.bottom + 58 + 22*float64(i/2)
		c.line(x, y-4, x+26, y-4, `stroke="`+colour(i)+`" stroke-width="2.5"`+dashAttr(i))
		c.text(x+33, y, "start", s.Name, "")
	}
	return c.close()
}

// Spark is a small line without axes, for a table or a list.
type Spark struct {
	Title         string // said by a screen reader, e.g. "MAP, last 12 h"
	Width, Height int    // 0: 120 by 32
	Points        []Point
	Goal          float64
	GoalShown     bool
}

// SVG draws the sparkline. The description says first, last, lowest and
// highest value, which is what the eye takes from it.
func (s Spark) SVG() []byte {
	width, height := s.Width, s.Height
	if width <= 0 {
		width = 120
	}
	if height <= 0 {
		height = 32
	}
	p := plot{left: 3, top: 4, right: float64(width - 4), bottom: float64(height - 4)}
	var ends []Point
	for _, q := range s.Points {
		if finite(q.X) && finite(q.Y) {
			p.x.include(q.X)
			p.y.include(q.Y)
			ends = append(ends, q)
		}
	}
	desc := "no values"
	if len(ends) > 0 {
		desc = strconv.Itoa(len(ends)) + " values, first " + label(ends[0].Y) + ", last " + label(ends[len(ends)-1].Y) +
			", lowest " + label(p.y.lo) + ", highest " + label(p.y.hi)
	}
	if s.GoalShown {
		p.y.include(s.Goal)
	}
	p.x, p.y = p.x.padded(0), p.y.padded(0.05)
	if p.x.hi == p.x.lo {
		p.x.hi = p.x.lo + 1
	}
	var c canvas
	c.open(width, height, s.Title, desc)
	if s.GoalShown && finite(s.Goal) {
		y := p.py(s.Goal)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 3"`)
	}
	c.path(p.polyline(s.Points), `stroke="`+colour(0)+`" stroke-width="2" stroke-linejoin="round"`)
	if len(ends) > 0 {
		last := ends[len(ends)-1]
		c.raw(`<circle cx="` + num(p.px(last.X)) + `" cy="` + num(p.py(last.Y)) + `" r="2.8" fill="` + colour(0) + `"/>` + "\n")
	}
	return c.close()
}
