// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the evidence as parts of another page, for readers of the log.

import "html/template"

// Parts are the pieces of an evidence page, escaped by its own templates. The
// page around them must carry Style.
type Parts struct {
	// Answer is what was decided: it has the page's h1.
	Answer template.HTML
	// Grounds are chart, forecasts, options, rules and limits: sections whose ids
	// are now, orders, forecast, weighed, rules, chart, unknown and with.
	Grounds template.HTML
	// Differs: the chart shown is not the one that was decided on, or there is none.
	Differs bool
}

// PartsOf writes the pieces.
func PartsOf(in Input) (Parts, error) {
	v := newView(in)
	answer, err := execute("answer", v)
	if err != nil {
		return Parts{}, err
	}
	grounds, err := execute("grounds", v)
	if err != nil {
		return Parts{}, err
	}
	// The bytes come from html/template and are safe where an element may stand.
	return Parts{Answer: template.HTML(answer), Grounds: template.HTML(grounds), Differs: v.Differs}, nil
}

// Style is the style sheet that the parts are written for.
func Style() string { return style }
