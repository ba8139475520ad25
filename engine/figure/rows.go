// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the row chart: one row per name, with one mark per series, read
// against lines that say where the marks should be.

// Row is one line of the chart.
type Row struct {
	Name   string
	Values []float64 // one per series; not finite: left out
	// Low and High are the ends of each value's interval; nil or not finite: none.
	Low, High []float64
}

// interval is that of one series.
func (r Row) interval(i int) (low, high float64, ok bool) {
	if i >= len(r.Low) || i >= len(r.High) || !finite(r.Low[i]) || !finite(r.High[i]) {
		return 0, 0, false
	}
	return r.Low[i], r.High[i], true
}

// height is that of one row: marks with intervals lie below each other, others
// on one line.
func (r Rows) height() (row, apart float64) {
	for _, one := range r.Rows {
		if one.Low != nil {
			const between = 8
			return between*float64(len(r.Series)) + 9, between
		}
	}
	return 17, 0
}

// Rows is a chart of named rows.
type Rows struct {
	Title, Desc string
	XLabel      string
	Series      []string
	Targets     []float64 // where the marks of each series should lie
	Rows        []Row
	Width       int  // 0: the default
	Paper       bool // see Lines
}

// SVG draws the chart. Its height follows from the number of rows.
func (r Rows) SVG() []byte {
	const labels = 222
	rowHeight, apart := r.height()
	width, _ := size(r.Width, 0)
	all := int(rowHeight) * len(r.Rows)
	height := 30 + all + 84
	p := plot{left: labels, top: 30, right: float64(width - 20), bottom: float64(30 + all + 4)}
	for _, row := range r.Rows {
		for i, v := range row.Values {
			p.x.include(v)
			if low, high, ok := row.interval(i); ok {
				p.x.include(low)
				p.x.include(high)
			}
		}
	}
	for _, v := range r.Targets {
		p.x.include(v)
	}
	p.x = p.x.padded(0.05)
	var c canvas
	c.openOn(width, height, r.Title, r.Desc, r.Paper)
	at, dec := p.x.ticks(8)
	for _, v := range at {
		c.line(p.px(v), p.top-6, p.px(v), p.bottom, `stroke="currentColor" stroke-opacity="0.13"`)
		c.text(p.px(v), p.bottom+16, "middle", signless(v, dec), "")
	}
	for i, v := range r.Targets {
		if finite(v) {
			c.line(p.px(v), p.top-6, p.px(v), p.bottom, `stroke="`+colour(i)+`" stroke-width="1.5" stroke-dasharray="6 3"`)
		}
	}
	for k, row := range r.Rows {
		y := p.top + rowHeight*(float64(k)+0.5)
		c.text(labels-8, y+4, "end", row.Name, `font-size="12"`)
		c.line(p.left, y, p.right, y, `stroke="currentColor" stroke-opacity="0.08"`)
		for i, v := range row.Values {
			at := y + apart*(float64(i)-float64(len(r.Series)-1)/2)
			if low, high, ok := row.interval(i); ok {
				c.line(p.px(low), at, p.px(high), at, `stroke="`+colour(i)+`" stroke-width="1.5"`)
			}
			if finite(v) {
				mark(&c, i, p.px(v), at, colour(i))
			}
		}
	}
	c.text((p.left+p.right)/2, p.bottom+36, "middle", r.XLabel, "")
	for i, name := range r.Series {
		x := p.left + float64(i)*(p.right-p.left)/float64(max(len(r.Series), 1))
		mark(&c, i, x, p.bottom+56, colour(i))
		c.text(x+10, p.bottom+60, "start", name, "")
	}
	return c.close()
}
