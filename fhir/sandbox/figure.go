// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the sparkline of the list and the trend beside the card, drawn on
// the server as SVG. Colours are classes of the style sheet.

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// point is a value at hours before now (negative).
type point struct{ h, v float64 }

// mapPoints lists MAP over the last hours, from the line where there is one.
func mapPoints(c *state.Chart, now time.Time, hours float64) []point {
	var line, cuff []point
	for _, m := range c.Measurements {
		h := -now.Sub(m.Effective).Hours()
		if m.Concept != "meanbp" || h < -hours || m.Available.After(now) {
			continue
		}
		if m.Method == state.MethodCuff {
			cuff = append(cuff, point{h, m.Value})
		} else {
			line = append(line, point{h, m.Value})
		}
	}
	if len(line) == 0 {
		return cuff
	}
	var before []point
	for _, p := range cuff {
		if p.h < line[0].h {
			before = append(before, p)
		}
	}
	return append(before, line...)
}

// nePoints is the norepinephrine rate as steps over the last hours.
func nePoints(c *state.Chart, now time.Time, hours float64) []point {
	out := []point{{-hours, 0}}
	last := -hours
	for _, a := range c.Administrations {
		if a.Drug != "norepinephrine" || a.RateUnit != state.UnitUgKgMin {
			continue
		}
		from, to := -now.Sub(a.Start).Hours(), 0.0
		if !a.End.IsZero() {
			to = -now.Sub(a.End).Hours()
		}
		if to <= -hours {
			continue
		}
		from = max(from, -hours)
		if from > last+0.01 {
			out = append(out, point{last, 0}, point{from, 0})
		}
		out = append(out, point{from, a.Rate}, point{to, a.Rate})
		last = to
	}
	if last < -0.01 {
		out = append(out, point{last, 0}, point{0, 0})
	}
	return out
}

// frame maps points into a box.
type frame struct {
	x, y, w, h     float64
	hours          float64
	bottom, height float64 // value at the lower edge, and range
}

func (f frame) at(p point) (x, y float64) {
	v := min(max(p.v, f.bottom), f.bottom+f.height)
	return f.x + f.w*(1+p.h/f.hours), f.y + f.h*(1-(v-f.bottom)/f.height)
}

func (f frame) path(ps []point) string {
	var b strings.Builder
	for i, p := range ps {
		x, y := f.at(p)
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", letter, x, y)
	}
	return b.String()
}

// area closes a path down to the lower edge.
func (f frame) area(ps []point) string {
	if len(ps) == 0 {
		return ""
	}
	x0, _ := f.at(ps[0])
	x1, _ := f.at(ps[len(ps)-1])
	return fmt.Sprintf("%sL%.1f %.1fL%.1f %.1fZ", f.path(ps), x1, f.y+f.h, x0, f.y+f.h)
}

func highest(ps []point, atLeast float64) float64 {
	top := atLeast
	for _, p := range ps {
		top = max(top, p.v)
	}
	return top
}

// sparkline is MAP over norepinephrine, twelve hours, without axes.
func sparkline(c *state.Chart, now time.Time) template.HTML {
	const hours = 12
	pressure, ne := mapPoints(c, now, hours), nePoints(c, now, hours)
	top, low := frame{2, 4, 214, 50, hours, 45, 50}, frame{2, 60, 214, 18, hours, 0, highest(ne, 0.2)}
	_, goal := top.at(point{0, 65})
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 220 80" role="img" aria-label="%s">`, trendText(pressure, ne, hours))
	fmt.Fprintf(&b, `<line class="goal" x1="2" x2="218" y1="%.1f" y2="%.1f"/>`, goal, goal)
	fmt.Fprintf(&b, `<path class="ne" d="%s"/><path class="map" d="%s"/>`, low.area(ne), top.path(pressure))
	if n := len(pressure); n > 0 {
		x, y := top.at(pressure[n-1])
		class := "dot"
		if pressure[n-1].v < 65 {
			class = "dot low"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"/>`, class, x, y)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // made of numbers and fixed words only
}

// trend is MAP and norepinephrine with axes, as far back as the stay goes, a day
// at most.
func trend(c *state.Chart, now time.Time) template.HTML {
	hours := 24.0
	if stay := now.Sub(c.Stay.Start).Hours(); stay < hours {
		hours = max(4, stay)
	}
	pressure, ne := mapPoints(c, now, hours), nePoints(c, now, hours)
	upper, lower := frame{46, 26, 384, 150, hours, 40, 70}, frame{46, 216, 384, 66, hours, 0, highest(ne, 0.2) * 1.1}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="trend" viewBox="0 0 452 312" role="img" aria-label="%s">`, trendText(pressure, ne, hours))
	b.WriteString(`<text class="head" x="46" y="16">MAP, mmHg</text><text class="head" x="46" y="206">Norepinephrine, µg/kg/min</text>`)
	for _, v := range []float64{40, 65, 90, 110} {
		_, y := upper.at(point{0, v})
		class := "grid"
		if v == 65 {
			class = "goal"
		}
		fmt.Fprintf(&b, `<line class="%s" x1="46" x2="430" y1="%.1f" y2="%.1f"/><text class="tick end" x="40" y="%.1f">%.0f</text>`, class, y, y, y+5, v)
	}
	peak := highest(ne, 0.2)
	for _, v := range []float64{0, peak} {
		_, y := lower.at(point{0, v})
		fmt.Fprintf(&b, `<line class="grid" x1="46" x2="430" y1="%.1f" y2="%.1f"/><text class="tick end" x="40" y="%.1f">%.2g</text>`, y, y, y+5, v)
	}
	fmt.Fprintf(&b, `<path class="ne" d="%s"/><path class="map" d="%s"/>`, lower.area(ne), upper.path(pressure))
	for _, p := range pressure {
		x, y := upper.at(p)
		class := "dot"
		if p.v < 65 {
			class = "dot low"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="2.6"/>`, class, x, y)
	}
	every := 1.0
	if hours > 8 {
		every = 4
	}
	for h := 0.0; h >= -hours+0.01; h -= every {
		x, _ := upper.at(point{h, 0})
		label := fmt.Sprintf("%.0f h", h)
		if h == 0 {
			label = "now"
		}
		fmt.Fprintf(&b, `<text class="tick mid" x="%.1f" y="304">%s</text>`, x, label)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // made of numbers and fixed words only
}

// trendText says the figure in words.
func trendText(pressure, ne []point, hours float64) string {
	if len(pressure) == 0 {
		return fmt.Sprintf("No MAP charted in the last %.0f hours", hours)
	}
	first, last := pressure[0], pressure[len(pressure)-1]
	words := fmt.Sprintf("MAP from %.0f to %.0f mmHg over the last %.0f hours", first.v, last.v, hours)
	if rate := ne[len(ne)-1].v; rate > 0 {
		return fmt.Sprintf("%s; norepinephrine now %.2f", words, rate)
	}
	return words + "; no norepinephrine now"
}
