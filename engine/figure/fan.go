// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the fan chart: what was measured before now, and what a model
// forecasts after it under each of a few plans, with intervals.

// FanPoint is the forecast of one quantity at one time. Lo95 and Hi95 may be
// left zero together, then only the 80 % interval is drawn.
type FanPoint struct {
	X                      float64
	Median                 float64
	Lo80, Hi80, Lo95, Hi95 float64
}

// FanPlan is one plan's forecast. Points start after now; the drawing joins
// them to the last measured value.
type FanPlan struct {
	Name   string
	Points []FanPoint
	Strong bool // drawn with its intervals filled; others get a line and bars
}

// Fan is a fan chart. X is hours from now: history is at X <= 0, forecasts at
// X > 0.
type Fan struct {
	Title, Desc    string
	XLabel, YLabel string  // with units, e.g. "MAP, mmHg"
	Width, Height  int     // 0: defaults
	XStep          float64 // distance of the ticks on the x axis; 0: chosen
	History        []Point
	HistoryLabel   string // of History in the legend; empty: "measured"
	Plans          []FanPlan
	Goal           float64 // drawn as a line when GoalLabel is not empty
	GoalLabel      string
	Paper          bool // see Lines
}

// SVG draws the chart.
func (f Fan) SVG() []byte {
	width, height := size(f.Width, f.Height)
	legend := 22 * ((len(f.Plans) + 2) / 2)
	p := plot{left: 56, top: 30, right: float64(width - 16), bottom: float64(height - 46 - legend)}
	if p.bottom < p.top+40 {
		height += int(p.top + 40 - p.bottom)
		p.bottom = p.top + 40
	}
	p.x.include(0)
	for _, q := range f.History {
		if finite(q.Y) {
			p.x.include(q.X)
			p.y.include(q.Y)
		}
	}
	for _, plan := range f.Plans {
		p.includeBand(plan.Points)
	}
	if f.GoalLabel != "" {
		p.y.include(f.Goal)
	}
	p.x, p.y = p.x.padded(0.03), p.y.padded(0.08)

	var c canvas
	c.openOn(width, height, f.Title, f.Desc, f.Paper)
	p.xStep = f.XStep
	p.frame(&c, f.XLabel, f.YLabel)
	now := p.px(0)
	c.line(now, p.top, now, p.bottom, `stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 3"`)
	c.text(now+4, p.top+11, "start", "now", `font-size="12"`)
	if f.GoalLabel != "" && finite(f.Goal) {
		y := p.py(f.Goal)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-width="1.2" stroke-dasharray="8 3"`)
		c.text(p.left+4, y-5, "start", f.GoalLabel, `font-size="12"`)
	}
	for i, plan := range f.Plans {
		if plan.Strong {
			p.fan(&c, i, plan, f.last())
		}
	}
	for i, plan := range f.Plans {
		p.median(&c, i, len(f.Plans), plan, f.last())
	}
	p.history(&c, f.History)
	f.legend(&c, p, width)
	return c.close()
}

func (q FanPoint) wide() bool {
	return q.Lo95 != 0 || q.Hi95 != 0
}

// last is the newest measured point, if there is one.
func (f Fan) last() *Point {
	for i := len(f.History) - 1; i >= 0; i-- {
		if finite(f.History[i].X) && finite(f.History[i].Y) {
			return &f.History[i]
		}
	}
	return nil
}

// fan fills the intervals of a plan, opening from the last measured value.
func (p plot) fan(c *canvas, i int, plan FanPlan, from *Point) {
	for _, wide := range []bool{true, false} {
		var up, down []Point
		if from != nil {
			up = append(up, *from)
		}
		for _, q := range plan.Points {
			lo, hi := q.Lo80, q.Hi80
			if wide {
				if !q.wide() {
					continue
				}
				lo, hi = q.Lo95, q.Hi95
			}
			if finite(q.X) && finite(lo) && finite(hi) {
				up = append(up, Point{q.X, hi})
				down = append([]Point{{q.X, lo}}, down...)
			}
		}
		if len(up) < 2 {
			continue
		}
		opacity := "0.26"
		if wide {
			opacity = "0.12"
		}
		c.path(p.polyline(append(up, down...))+"Z", `fill="`+colour(i)+`" fill-opacity="`+opacity+`"`)
	}
}

// includeBand makes room for the intervals of one plan.
func (p *plot) includeBand(points []FanPoint) {
	for _, q := range points {
		p.x.include(q.X)
		p.y.include(q.Median)
		p.y.include(q.Lo80)
		p.y.include(q.Hi80)
		if q.wide() {
			p.y.include(q.Lo95)
			p.y.include(q.Hi95)
		}
	}
}

func (p plot) median(c *canvas, i, of int, plan FanPlan, from *Point) {
	var line []Point
	if from != nil {
		line = append(line, *from)
	}
	shift := (float64(i) - float64(of-1)/2) * 5
	for _, q := range plan.Points {
		if !finite(q.X) || !finite(q.Median) {
			continue
		}
		line = append(line, Point{q.X, q.Median})
		x := p.px(q.X) + shift
		if finite(q.Lo80) && finite(q.Hi80) {
			c.line(x, p.py(q.Lo80), x, p.py(q.Hi80), `stroke="`+colour(i)+`" stroke-width="2" stroke-opacity="0.8"`)
		}
		c.raw(`<circle cx="` + num(x) + `" cy="` + num(p.py(q.Median)) + `" r="3.5" fill="` + colour(i) + `"/>` + "\n")
	}
	if len(line) < 2 {
		return
	}
	c.path(p.polyline(line), `stroke="`+colour(i)+`" stroke-width="2"`+dashAttr(i))
}

func (p plot) history(c *canvas, history []Point) {
	c.path(p.polyline(history), `stroke="currentColor" stroke-width="2"`)
	for _, q := range history {
		if finite(q.X) && finite(q.Y) {
			c.raw(`<circle cx="` + num(p.px(q.X)) + `" cy="` + num(p.py(q.Y)) + `" r="3" fill="currentColor"/>` + "\n")
		}
	}
}

// legend lists the measured line and the plans in two columns.
func (f Fan) legend(c *canvas, p plot, width int) {
	column := float64(width-int(p.left)-16) / 2
	put := func(n int, label, stroke, extra string) {
		x := p.left + column*float64(n%2)
		y := p.bottom + 58 + 22*float64(n/2)
		c.line(x, y-4, x+26, y-4, `stroke="`+stroke+`" stroke-width="2.5"`+extra)
		c.text(x+33, y, "start", label, "")
	}
	history := f.HistoryLabel
	if history == "" {
		history = "measured"
	}
	put(0, history, "currentColor", "")
	for i, plan := range f.Plans {
		put(i+1, plan.Name, colour(i), dashAttr(i))
	}
}

func dashAttr(i int) string {
	if dash(i) == "" {
		return ""
	}
	return ` stroke-dasharray="` + dash(i) + `"`
}

func size(width, height int) (int, int) {
	if width <= 0 {
		width = DefaultWidth
	}
	if height <= 0 {
		height = DefaultHeight
	}
	return max(width, 160), max(height, 80)
}
