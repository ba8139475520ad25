// SPDX-License-Identifier: Apache-2.0

package figure

// This file: the row chart: one row per name, with one mark per series, read
// against lines that say where the marks should be.

// Row is one line of the chart.
type Row struct {
	Name   string
	Values []float64 // one per series; not finite: left out
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
	const rowHeight, labels = 17, 222
	width, _ := size(r.Width, 0)
	height := 30 + rowHeight*len(r.Rows) + 84
	p := plot{left: labels, top: 30, right: float64(width - 20), bottom: float64(30 + rowHeight*len(r.Rows) + 4)}
	for _, row := range r.Rows {
		for _, v := range row.Values {
			p.x.include(v)
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
			if finite(v) {
				mark(&c, i, p.px(v), y, colour(i))
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
