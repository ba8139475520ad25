// SPDX-License-Identifier: Apache-2.0

// Package figure draws the product's figures as SVG: the fan of a forecast,
// line charts and charts of named rows. The same input gives the same bytes on every machine, so that a
// figure can be part of a golden file or be rebuilt from a receipt.
//
// Figures carry a title and a description for screen readers, tell series
// apart by dash and label as well as by colour, use no script, style sheet or
// outside resource, and so pass a Content-Security-Policy that allows none.
// The package trusts nothing: all text is escaped, and a number that is not
// finite is left out of the drawing and never placed.
package figure

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// Point is one value at one place on the horizontal axis. A Y that is not
// finite interrupts the line.
type Point struct {
	X, Y float64
}

// Default size of a figure, in CSS pixels. An SVG scales to its container.
const (
	DefaultWidth  = 640
	DefaultHeight = 300
)

// palette holds the series colours, readable on white and on near-black. The
// first six are distinguishable with the common colour-vision deficiencies (after
// Okabe and Ito, with the yellow left out because it vanishes on white); the rest
// are for figures with more series, which no six colours can tell apart.
var palette = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a6a00",
	"#7b61ff", "#79b441", "#b3123f", "#858585", "#0fa3b1", "#a65a2a", "#b300b3"}

// dashes go with the palette, so that colour is never the only difference.
var dashes = []string{"", "7 4", "2 4", "10 4 2 4", "4 2", "1 3",
	"14 5", "8 2 2 2", "3 6", "6 2 1 2 1 2", "5 5", "12 3", "2 2"}

func colour(i int) string { return palette[i%len(palette)] }
func dash(i int) string   { return dashes[i%len(dashes)] }

// canvas collects the elements of one figure.
type canvas struct {
	buf bytes.Buffer
}

// open starts the figure. The ids of title and description are derived from
// their text, so that several figures can stand in one page.
func (c *canvas) open(width, height int, title, desc string) {
	c.openOn(width, height, title, desc, false)
}

// openOn is open, on a white sheet when paper is set.
func (c *canvas) openOn(width, height int, title, desc string, paper bool) {
	ink := ""
	if paper {
		ink = ` color="#1a1a1a"`
	}
	sum := sha256.Sum256([]byte(title + "\x00" + desc))
	id := "fig-" + hex.EncodeToString(sum[:5])
	c.raw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + strconv.Itoa(width) + ` ` + strconv.Itoa(height) +
		`" role="img" aria-labelledby="` + id + `-t ` + id + `-d" font-family="system-ui, sans-serif" font-size="13" fill="none"` + ink + `>` + "\n")
	c.raw(`<title id="` + id + `-t">` + escape(title) + `</title>` + "\n")
	c.raw(`<desc id="` + id + `-d">` + escape(desc) + `</desc>` + "\n")
	if paper {
		c.raw(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	}
}

func (c *canvas) close() []byte {
	c.raw("</svg>\n")
	return c.buf.Bytes()
}

func (c *canvas) raw(s string) { c.buf.WriteString(s) }

func (c *canvas) line(x1, y1, x2, y2 float64, attrs string) {
	c.raw(`<line x1="` + num(x1) + `" y1="` + num(y1) + `" x2="` + num(x2) + `" y2="` + num(y2) + `" ` + attrs + `/>` + "\n")
}

func (c *canvas) text(x, y float64, anchor, s, attrs string) {
	if attrs != "" {
		attrs = " " + attrs
	}
	c.raw(`<text x="` + num(x) + `" y="` + num(y) + `" text-anchor="` + anchor + `" fill="currentColor"` + attrs + `>` + escape(s) + `</text>` + "\n")
}

func (c *canvas) path(d, attrs string) {
	if d != "" {
		c.raw(`<path d="` + d + `" ` + attrs + `/>` + "\n")
	}
}

// num writes a coordinate with at most one decimal: enough for a screen, and
// free of last-bit differences between machines.
func num(v float64) string {
	s := strconv.FormatFloat(math.Round(v*10)/10, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

// escape makes text safe inside an element or an attribute. Characters that
// XML does not allow are dropped.
func escape(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF && r != 0xFFFD {
			return r
		}
		return -1
	}, s)
	return escaper.Replace(s)
}

// finite says that a number can be placed. Nothing charted at a bedside is
// larger than the bound, and below it axis arithmetic keeps its precision.
func finite(v float64) bool { return math.Abs(v) <= 1e12 }
