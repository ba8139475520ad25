// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: writing GitHub Flavored Markdown that cannot be anything else.
// Text from the chart is escaped so that it shows as it was charted and can
// neither mark up the card nor reach a client that renders HTML. Numbers are
// written as a prescription wants them: a zero before the point, none after
// the last digit, and a minus sign only where one is meant.

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxChartText is the longest text from a chart shown in one place. Doses are
// never shown from chart text but from the numbers that were computed with.
const maxChartText = 600

var markdownEscaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `{`, `\{`, `}`, `\}`, `[`, `\[`, `]`, `\]`,
	`#`, `\#`, `|`, `\|`, `~`, `\~`, `!`, `\!`, `@`, `\@`,
	`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`,
	`://`, `:\//`, `www.`, `www\.`, `WWW.`, `WWW\.`,
)

// escape makes text from anywhere plain: one line, no control, format or
// bidirectional characters, no markup, no automatic links.
func escape(s string) string {
	s = markdownEscaper.Replace(plain(s))
	s = listStart.ReplaceAllString(s, `$1\$2$3`)
	return ruleStart.ReplaceAllString(s, `\$1$2`)
}

// Beginnings that would make a list or a rule of text that stands first in a
// line or in a list item.
var (
	listStart = regexp.MustCompile(`^(\d+)([.)])(\s|$)`)
	ruleStart = regexp.MustCompile(`^([-+=])([^0-9A-Za-z]|$)`)
)

// plain makes text one line of visible characters of bounded length.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unseen(r):
			return -1
		}
		return r
	}, s)
	s = longDecimals.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), rounded)
	if runes := []rune(s); len(runes) > maxChartText {
		return string(runes[:maxChartText]) + " …"
	}
	return s
}

// unseen reports characters that show nothing, or turn what stands beside them.
func unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

// longDecimals finds words that hold a number as arithmetic leaves it and
// nobody charts it: five decimals and more. Strengths in drug names have fewer.
var longDecimals = regexp.MustCompile(`[\w.]*\d\.\d{5,}[\w.]*`)

// rounded writes such a number with three decimals, or two significant digits
// where that would be nothing; what is no plain number stays. The full text is
// in the receipt.
func rounded(word string) string {
	text := strings.TrimSuffix(word, ".")
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || v == 0:
		return word
	case v < 0.001:
		return strconv.FormatFloat(v, 'f', 1-int(math.Floor(math.Log10(v))), 64) + word[len(text):]
	}
	return number(v, 3) + word[len(text):]
}

// number writes v with at most the given decimals and without trailing zeros.
func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "unknown"
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// rate writes a weight-based rate. Three decimals are a thousandth of a
// ug/kg/min; a running rate below that shows as "below 0.001", never as 0.
func rate(ugKgMin float64) string {
	if ugKgMin > 0 && ugKgMin < 0.0005 {
		return "below 0.001"
	}
	return number(ugKgMin, 3)
}

// percent writes a probability. 0 % and 100 % are never shown of a forecast.
func percent(p float64) string {
	switch {
	case math.IsNaN(p):
		return "unknown"
	case p < 0.01:
		return "under 1 %"
	case p > 0.99:
		return "over 99 %"
	}
	return number(100*p, 0) + " %"
}

// clock writes times of one card: the hour and minute, with the day when it is
// not the day of the decision.
type clock struct {
	at   time.Time
	zone *time.Location
}

func (c clock) time(t time.Time) string {
	t, at := t.In(c.zone), c.at.In(c.zone)
	if t.Year() == at.Year() && t.YearDay() == at.YearDay() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// instants are the UTC times that texts from other rooms carry.
var instants = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// localTimes writes the UTC times in a text as the card writes times.
func (c clock) localTimes(s string) string {
	return instants.ReplaceAllStringFunc(s, func(text string) string {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return text
		}
		return c.time(t)
	})
}

func (c clock) full(t time.Time) string { return t.In(c.zone).Format("2006-01-02 15:04 MST") }

// age writes how old a value is at the decision.
func (c clock) age(t time.Time) string { return age(c.at.Sub(t)) }

func age(d time.Duration) string {
	minutes := int(math.Floor(d.Minutes() + 0.5))
	switch {
	case minutes < 1:
		return "now"
	case minutes < 120:
		return strconv.Itoa(minutes) + " min ago"
	case minutes < 48*60:
		return number(math.Floor(d.Hours()*10)/10, 1) + " h ago"
	}
	return strconv.Itoa(minutes/(24*60)) + " days ago"
}

// page collects the parts of a card's detail.
type page struct {
	buf strings.Builder
}

// heading begins a part. Parts are told apart by bold lines and not by
// markdown headings, which clients show larger than the card's summary.
func (p *page) heading(s string) {
	p.gap()
	p.buf.WriteString("**" + s + "**\n\n")
}

func (p *page) paragraph(s string) {
	p.gap()
	p.buf.WriteString(s + "\n")
}

func (p *page) item(s string) { p.buf.WriteString("- " + s + "\n") }

// items lists texts from other rooms; empty ones say nothing and are left out.
func (p *page) items(list []string) {
	for _, s := range list {
		if s = escape(s); s != "" {
			p.item(s)
		}
	}
}

func (p *page) gap() {
	if p.buf.Len() > 0 && !strings.HasSuffix(p.buf.String(), "\n\n") {
		p.buf.WriteString("\n")
	}
}

// table writes a GFM table. Cells are already escaped.
func (p *page) table(head []string, rows [][]string) {
	p.gap()
	p.buf.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat(" --- |", len(head)) + "\n")
	for _, r := range rows {
		p.buf.WriteString("| " + strings.Join(r, " | ") + " |\n")
	}
}

func (p *page) String() string { return strings.TrimRight(p.buf.String(), "\n") }
