// SPDX-License-Identifier: Apache-2.0

package console

// This file: alert burden and overrides over time: how many calls led to a card,
// and what became of the cards.

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/figure"
)

// span is a stretch of time in periods.
type span struct {
	Name, Words string
	each        time.Duration
	periods     int
}

var spans = []span{
	{"day", "24 hours, by hour", time.Hour, 24},
	{"week", "7 days, by day", 24 * time.Hour, 7},
	{"month", "28 days, by day", 24 * time.Hour, 28},
	{"quarter", "12 weeks, by week", 7 * 24 * time.Hour, 12},
}

type ratesView struct {
	Spans       []span
	Span, Words string
	Unit, Topic string
	Figures     []drawing
	Periods     []periodRow
	Groups      []cdshooks.Rate
	Reasons     []fact
}

type periodRow struct {
	When, Burden, Overridden string
	cdshooks.Period
}

// rates shows them.
func (c *Console) rates(ctx context.Context, v *visit) (answer, error) {
	if err := v.reader.May(access.Rates, ""); err != nil {
		return answer{}, err
	}
	values := v.r.URL.Query()
	chosen, filter, err := ratesAsked(values)
	v.reading.What = map[string]string{"span": chosen.Name, "unit": filter.Unit, "topic": filter.Topic}
	if err != nil {
		return answer{}, err
	}
	zone := c.Chart().Zone
	edges := edgesOf(c.Now().In(zone), chosen)
	periods, groups, err := cdshooks.Trend(ctx, c.Log, filter, edges)
	if err != nil {
		return answer{}, err
	}
	view := ratesView{Spans: spans, Span: chosen.Name, Words: chosen.Words, Unit: filter.Unit, Topic: filter.Topic, Figures: trendFigures(periods, chosen), Groups: groups}
	v.reading.Found = len(view.Groups)
	layout := "2006-01-02"
	if chosen.each < 24*time.Hour {
		layout = "2006-01-02 15:04"
	}
	reasons := map[string]int{}
	for _, p := range slices.Backward(periods) {
		view.Periods = append(view.Periods, periodRow{p.Since.In(zone).Format(layout), share(p.Shown, p.Calls), share(p.Overridden, p.Accepted+p.Overridden), p})
		for code, n := range p.OverrideReasons {
			reasons[code] += n
		}
	}
	for code, n := range reasons {
		view.Reasons = append(view.Reasons, fact{Label: code, Value: fmt.Sprint(n)})
	}
	slices.SortFunc(view.Reasons, func(a, b fact) int {
		return cmpOr(reasons[b.Label]-reasons[a.Label], a.Label, b.Label)
	})
	return c.shown(v, "rates.html", "Alert burden and overrides", "rates", view)
}

// cmpOr orders by a number, then by text.
func cmpOr(n int, a, b string) int {
	switch {
	case n != 0:
		return n
	case a < b:
		return -1
	}
	return 1
}

// ratesAsked reads the form. Errors: query.ErrQuestion.
func ratesAsked(values url.Values) (span, audit.Filter, error) {
	chosen := spans[1]
	for name, given := range values {
		if len(given) != 1 || name != "span" && name != "unit" && name != "topic" {
			return chosen, audit.Filter{}, fmt.Errorf("%w: %q is no parameter, or given twice", query.ErrQuestion, name)
		}
	}
	if name := values.Get("span"); name != "" {
		i := slices.IndexFunc(spans, func(s span) bool { return s.Name == name })
		if i < 0 {
			return chosen, audit.Filter{}, fmt.Errorf("%w: no span is called %q", query.ErrQuestion, name)
		}
		chosen = spans[i]
	}
	return chosen, audit.Filter{Unit: values.Get("unit"), Topic: values.Get("topic")}, nil
}

// edgesOf are the edges of the periods up to the end of the one that now is in.
func edgesOf(now time.Time, s span) []time.Time {
	end := now.Truncate(time.Hour).Add(time.Hour)
	days := int(s.each / (24 * time.Hour))
	if days > 0 {
		end = time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, now.Location())
	}
	edges := make([]time.Time, s.periods+1)
	for i := range edges {
		back := s.periods - i
		if days > 0 { // by the calendar: a day may have 23 or 25 hours
			edges[i] = end.AddDate(0, 0, -back*days)
		} else {
			edges[i] = end.Add(-time.Duration(back) * s.each)
		}
	}
	return edges
}

// share is a in 100 of b.
func share(a, b int) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(a)/float64(b))
}

// trendFigures draws the periods, the present one at 0.
func trendFigures(periods []cdshooks.Period, s span) []drawing {
	unit := "days"
	if s.each == time.Hour {
		unit = "hours"
	}
	x := func(i int) float64 {
		back := float64(i - len(periods) + 1)
		if unit == "days" {
			back *= s.each.Hours() / 24
		}
		return back
	}
	points := func(y func(cdshooks.Period) float64) []figure.Point {
		var out []figure.Point
		for i, p := range periods {
			out = append(out, figure.Point{X: x(i), Y: y(p)})
		}
		return out
	}
	percent := func(a, b int) float64 {
		if b == 0 {
			return math.NaN() // not drawn
		}
		return 100 * float64(a) / float64(b)
	}
	count := func(n func(cdshooks.Period) int) []figure.Point {
		return points(func(p cdshooks.Period) float64 { return float64(n(p)) })
	}
	all := []figure.Lines{
		{Title: "Calls and cards", Desc: "How many calls there were, and how many led to a card, by period.", YLabel: "calls", Series: []figure.Series{
			{Name: "calls", Points: count(func(p cdshooks.Period) int { return p.Calls })},
			{Name: "with a card", Points: count(func(p cdshooks.Period) int { return p.Shown })},
			{Name: "suppressed", Points: count(func(p cdshooks.Period) int { return p.Suppressed })},
			{Name: "abstained", Points: count(func(p cdshooks.Period) int { return p.Abstained })},
		}},
		{Title: "What became of the cards", Desc: "Calls with a card by what clinicians did, by period.", YLabel: "calls with a card", Series: []figure.Series{
			{Name: "accepted", Points: count(func(p cdshooks.Period) int { return p.Accepted })},
			{Name: "overridden", Points: count(func(p cdshooks.Period) int { return p.Overridden })},
			{Name: "unanswered", Points: count(func(p cdshooks.Period) int { return p.Unanswered })},
		}},
	}
	busy := 0
	for _, p := range periods {
		if p.Calls > 0 {
			busy++
		}
	}
	if busy > 1 { // one point is no trend
		all = append(all, figure.Lines{Title: "Shares", Desc: "Cards in 100 calls, and overrides in 100 cards with an answer, by period.", YLabel: "in 100", Series: []figure.Series{
			{Name: "cards, of calls", Points: points(func(p cdshooks.Period) float64 { return percent(p.Shown, p.Calls) })},
			{Name: "overridden, of answered", Points: points(func(p cdshooks.Period) float64 { return percent(p.Overridden, p.Accepted+p.Overridden) })},
		}})
	}
	var out []drawing
	for _, l := range all {
		l.XLabel, l.FromZero, l.Width = unit+" before now", true, 520
		for i := range l.Series {
			l.Series[i].Marks = true
		}
		out = append(out, drawing{l.Title, template.HTML(l.SVG())}) // figure escapes what it draws
	}
	return out
}

// drawing is a figure with its caption.
type drawing struct {
	Caption string
	SVG     template.HTML
}
