// SPDX-License-Identifier: Apache-2.0

package agent

// This file: where a decision's time goes. Times are never part of a decision:
// they go to whoever asked for them, beside the bytes.

import (
	"context"
	"time"
)

// Span is how long one part of a decision took, over all its rounds.
type Span struct {
	Name string
	Took time.Duration
	N    int // how often
}

// Names of the spans of the native agent.
const (
	SpanRules    = "rules"    // judging the chart, proposals and forecasts
	SpanForecast = "forecast" // the ensemble on all plans of a round
	SpanPropose  = "propose"  // behaviour model and actor
)

// Spans collects spans of one decision. It serves one goroutine.
type Spans struct{ list []Span }

type spansKey struct{}

// WithSpans returns a context in which decisions add their spans to s.
func WithSpans(ctx context.Context, s *Spans) context.Context {
	return context.WithValue(ctx, spansKey{}, s)
}

// All lists the spans in the order of their first beginning.
func (s *Spans) All() []Span { return s.list }

// Add takes the time of a part since it began.
func (s *Spans) Add(name string, began time.Time) {
	if s == nil {
		return
	}
	took := time.Since(began)
	for i := range s.list {
		if s.list[i].Name == name {
			s.list[i].Took += took
			s.list[i].N++
			return
		}
	}
	s.list = append(s.list, Span{Name: name, Took: took, N: 1})
}

// spansOf is nil where nobody asked.
func spansOf(ctx context.Context) *Spans {
	s, _ := ctx.Value(spansKey{}).(*Spans)
	return s
}
