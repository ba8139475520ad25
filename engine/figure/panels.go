// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the forecast of one quantity under several plans, one panel for
// each plan, all on the same axes. Fans on top of each other hide each other;
// beside each other they are told apart without any colour, on paper too.

import (
	"math"
	"strconv"
)

// Panels are the forecasts of one quantity. X is hours from now: history is at
// X <= 0, forecasts at X > 0. Every panel shows the same history.
type Panels struct {
	Title    string // of the quantity
	Unit     string
	Decimals int     // of the numbers written in a panel
	FromH    float64 // where the x axis begins, at most 0; older history is left out
	XStep    float64 // distance of the ticks on the x axis; 0: chosen
	Floor    float64 // the y axis goes no lower, whatever its padding
	History  []Point
	Newest   *Point // the newest single value, drawn as an open mark; History may hold means
	Plans    []Panel
	Goal     float64 // drawn as a line when GoalName is not empty
	GoalName string
}

// Panel is one plan.
type Panel struct {
	Name   string
	Desc   string // for those who do not see it
	Points []FanPoint
	// Against is a plan whose median is drawn for comparison, by its index; a
	// plan's own index, or one out of range, draws none.
	Against int
}

// Size of one panel, and the margins of its plot, in CSS pixels.
const (
	panelWidth, panelHeight = 320, 226
	panelLeft, panelRight   = 44, 12
	panelTop, panelBottom   = 48, 34
)

// panelColour stands out from white and from near-black by at least 3 to 1; a
// page with a dark scheme sets --fan to a lighter one.
const panelColour = "var(--fan, #2380c2)"

// SVG draws the panel of plan i.
func (f Panels) SVG(i int) []byte {
	p := f.plot()
	plan := f.Plans[i]
	var c canvas
	c.open(panelWidth, panelHeight, f.Title+", "+plan.Name, plan.Desc)
	c.text(2, 14, "start", plan.Name, `font-weight="600" font-size="14"`)
	c.text(2, 32, "start", f.atTheEnd(plan), "")
	p.panelFrame(&c, f.XStep)
	p.bands(&c, plan.Points, f.last())
	if f.GoalName != "" && finite(f.Goal) {
		y := p.py(f.Goal)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-width="1.2" stroke-dasharray="8 3"`)
		beside := -5.0
		if f.inTheWay(p) {
			beside = 14
		}
		c.text(p.left+4, y+beside, "start", f.GoalName, `font-size="12"`)
	}
	if j := plan.Against; j != i && j >= 0 && j < len(f.Plans) {
		c.path(p.polyline(medians(f.Plans[j].Points, f.last())), `stroke="currentColor" stroke-width="1.6" stroke-dasharray="2 3"`)
	}
	c.path(p.polyline(medians(plan.Points, f.last())), `stroke="`+panelColour+`" stroke-width="2.6"`)
	for _, q := range plan.Points {
		if finite(q.X) && finite(q.Median) {
			c.raw(`<circle cx="` + num(p.px(q.X)) + `" cy="` + num(p.py(q.Median)) + `" r="3.6" fill="` + panelColour + `"/>` + "\n")
		}
	}
	p.history(&c, f.shown())
	if q := f.Newest; q != nil && finite(q.X) && finite(q.Y) && q.X >= f.FromH {
		c.raw(`<rect x="` + num(p.px(q.X)-4.5) + `" y="` + num(p.py(q.Y)-4.5) + `" width="9" height="9" stroke="currentColor" stroke-width="2"/>` + "\n")
	}
	return c.close()
}

// atTheEnd writes the last forecast of a plan: what a reader looks for first.
func (f Panels) atTheEnd(plan Panel) string {
	for k := len(plan.Points) - 1; k >= 0; k-- {
		if q := plan.Points[k]; finite(q.X) && finite(q.Median) && finite(q.Lo80) && finite(q.Hi80) {
			write := func(v float64) string { return strconv.FormatFloat(v, 'f', f.Decimals, 64) }
			return "at " + num(q.X) + " h: " + write(q.Median) + " (" + write(q.Lo80) + " to " + write(q.Hi80) + ") " + f.Unit
		}
	}
	return "no forecast"
}

// plot is the plotting area that all panels share.
func (f Panels) plot() plot {
	p := plot{left: panelLeft, right: panelWidth - panelRight, top: panelTop, bottom: panelHeight - panelBottom}
	p.x.include(math.Min(f.FromH, 0))
	p.x.include(0)
	for _, q := range f.shown() {
		p.y.include(q.Y)
	}
	if f.Newest != nil && f.Newest.X >= f.FromH {
		p.y.include(f.Newest.Y)
	}
	for _, plan := range f.Plans {
		p.includeBand(plan.Points)
	}
	if f.GoalName != "" {
		p.y.include(f.Goal)
	}
	low := p.y.lo
	p.x, p.y = p.x.padded(0.03), p.y.padded(0.08)
	if low >= f.Floor {
		p.y.lo = math.Max(p.y.lo, f.Floor)
	}
	return p
}

// shown is the history that the x axis has room for.
func (f Panels) shown() []Point {
	var out []Point
	for _, q := range f.History {
		if finite(q.X) && q.X >= f.FromH {
			out = append(out, q)
		}
	}
	return out
}

// inTheWay reports whether the history begins so close above the goal that the
// goal's name would stand on it.
func (f Panels) inTheWay(p plot) bool {
	for _, q := range f.shown() {
		if finite(q.Y) {
			return q.Y >= f.Goal && p.py(f.Goal)-p.py(q.Y) < 24
		}
	}
	return false
}

// last is the newest history value that is shown, if there is one.
func (f Panels) last() *Point { return Fan{History: f.shown()}.last() }

func medians(points []FanPoint, from *Point) []Point {
	var line []Point
	if from != nil {
		line = append(line, *from)
	}
	for _, q := range points {
		line = append(line, Point{q.X, q.Median})
	}
	return line
}

// panelFrame draws grid, ticks and the line of now. The y axis has few ticks: a
// panel is small.
func (p plot) panelFrame(c *canvas, xStep float64) {
	at, decimals := p.y.ticks(4)
	for _, v := range at {
		y := p.py(v)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-opacity="0.15"`)
		c.text(p.left-6, y+4, "end", signless(v, decimals), "")
	}
	at, decimals = p.x.ticks(6)
	if xStep > 0 && (p.x.hi-p.x.lo)/xStep <= 12 {
		at, decimals = nil, 0
		for k := math.Ceil(p.x.lo / xStep); k*xStep <= p.x.hi; k++ {
			at = append(at, k*xStep)
		}
	}
	for _, v := range at {
		label := "now"
		if v != 0 {
			label = signless(v, decimals)
		}
		if v > 0 {
			label = "+" + label
		}
		c.line(p.px(v), p.bottom, p.px(v), p.bottom+4, `stroke="currentColor" stroke-opacity="0.6"`)
		c.text(p.px(v), p.bottom+18, "middle", label, "")
	}
	c.line(p.left, p.bottom, p.right, p.bottom, `stroke="currentColor" stroke-opacity="0.6"`)
	c.line(p.px(0), p.top, p.px(0), p.bottom, `stroke="currentColor" stroke-opacity="0.6" stroke-dasharray="3 3"`)
}

// bands fills the intervals of a plan, opening from the last history value. The
// 95 % interval has an outline too, because light fills vanish in print.
func (p plot) bands(c *canvas, points []FanPoint, from *Point) {
	for _, wide := range []bool{true, false} {
		var up, down []Point
		if from != nil {
			up = append(up, *from)
		}
		for _, q := range points {
			lo, hi := q.Lo80, q.Hi80
			if wide {
				lo, hi = q.Lo95, q.Hi95
			}
			if wide && !q.wide() || !finite(q.X) || !finite(lo) || !finite(hi) {
				continue
			}
			up, down = append(up, Point{q.X, hi}), append(down, Point{q.X, lo})
		}
		if len(down) == 0 {
			continue
		}
		for k := len(down) - 1; k >= 0; k-- {
			up = append(up, down[k])
		}
		style := ` fill-opacity="0.34"`
		if wide {
			style = ` fill-opacity="0.14" stroke="` + panelColour + `" stroke-opacity="0.7" stroke-width="1"`
		}
		c.path(p.polyline(up)+"Z", `fill="`+panelColour+`"`+style)
	}
}
