// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how often cards were accepted and overridden, by topic, unit,
// role and model, counted from the log's index. No body is read, so no comment
// and no chart is.

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Counts is a log whose entries can be counted. sqllog.Log is one.
type Counts interface {
	// EachCounted calls each with all entries that match, in no order. What each
	// is given is valid until it returns; its Shape stays.
	EachCounted(ctx context.Context, f audit.Filter, each func(*audit.Counted)) error
}

// Rate counts the calls of one group in which a card was shown. A call without
// feedback is unanswered, which is no rejection: clients never report a card
// that was ignored. Of feedback told several times the last word counts, by the
// time of the outcome. Accepted + Overridden + Unanswered = Shown.
type Rate struct {
	Topic string `json:"topic"`
	Unit  string `json:"unit"`  // hospital unit; "" where the chart names none
	Role  string `json:"role"`  // type of the FHIR resource that the user is, e.g. Practitioner
	Model string `json:"model"` // hash of the model that decided

	Shown      int `json:"shown"`
	Accepted   int `json:"accepted"`
	Overridden int `json:"overridden"`
	Unanswered int `json:"unanswered"`

	// Shares of the calls with feedback, 0 to 1; absent where there was none.
	AcceptedShare   *float64 `json:"acceptedShare,omitempty"`
	OverriddenShare *float64 `json:"overriddenShare,omitempty"`

	OverrideReasons map[string]int `json:"overrideReasons,omitempty"` // by code
}

// Rates counts the decisions that filter selects and the feedback on them,
// whenever it came. Kind, Shown, Limit, After and the order are its own. A call
// with several cards is overridden if any of them was. Of a filter's fields it
// takes those that audit.Filter.Counts does. Errors: audit.ErrInvalid.
func Rates(ctx context.Context, log Counts, filter audit.Filter) ([]Rate, error) {
	b := newBurden(nil)
	if err := b.count(ctx, log, filter); err != nil {
		return nil, err
	}
	return b.rates(), nil
}

// burden counts decisions and what was said of their cards, in one walk.
type burden struct {
	groups  map[[4]string]*Rate
	group   map[*audit.Shape]*Rate // of what was met, which is faster than its words
	periods []Period               // none: they are not asked for
	now     *Period                // that of the decision before
	from    int64                  // of it, ns
	to      int64
	shown   shownCalls
	calls   [][]shownCall // those of shown; a full part is never copied
	early   []earlyWord
}

func newBurden(periods []Period) *burden {
	return &burden{groups: map[[4]string]*Rate{}, group: map[*audit.Shape]*Rate{}, periods: periods,
		shown: shownCalls{map[uuid.UUID]*shownCall{}, map[string]*shownCall{}}}
}

// shownCalls finds calls by their ids, nearly all of which are UUIDs.
type shownCalls struct {
	byUUID map[uuid.UUID]*shownCall
	byText map[string]*shownCall
}

func (s shownCalls) of(id audit.Ref) *shownCall {
	if id.Text == "" {
		return s.byUUID[id.UUID]
	}
	return s.byText[id.Text]
}

func (s shownCalls) put(id audit.Ref, c *shownCall) {
	if id.Text == "" {
		s.byUUID[id.UUID] = c
	} else {
		s.byText[id.Text] = c
	}
}

// shownCall is a call with a card: where it is counted, and the last words on its
// cards, of which there is mostly one.
type shownCall struct {
	group  *Rate
	period *Period // nil: periods are not asked for
	said   bool
	first  word
	more   []word
}

// word is one item of feedback.
type word struct {
	id, card audit.Ref
	said     *audit.Shape
}

// earlyWord is one that came before the call it is about, or is about none that is
// counted.
type earlyWord struct {
	decision audit.Ref
	word
}

// partOfCalls is how many calls lie together.
const partOfCalls = 1024

// count walks the log from the filter's beginning on: feedback comes when it will.
func (b *burden) count(ctx context.Context, log Counts, filter audit.Filter) error {
	filter.Kind, filter.Shown = KindDecision, nil
	selected, ok := filter.Counts()
	if !ok {
		return fmt.Errorf("%w: rates cannot be told apart by this", audit.ErrInvalid)
	}
	until := int64(math.MaxInt64)
	if !filter.Until.IsZero() {
		until = filter.Until.UnixNano()
	}
	walked := audit.Filter{Client: filter.Client, Since: filter.Since}
	err := log.EachCounted(ctx, walked, func(c *audit.Counted) {
		switch {
		case c.Kind == KindFeedback && c.Refers != audit.Ref{} && c.Card != audit.Ref{}: // else an orphan
			w := word{c.ID, c.Card, c.Shape}
			if call := b.shown.of(c.Refers); call != nil {
				call.hear(w)
			} else {
				b.early = append(b.early, earlyWord{c.Refers, w})
			}
		case c.TimeNs < until && selected(c.Shape, c.Shown):
			b.decision(c)
		}
	})
	if err != nil {
		return fmt.Errorf("count feedback: %w", err)
	}
	for _, w := range b.early {
		if call := b.shown.of(w.decision); call != nil {
			call.hear(w.word)
		}
	}
	for _, part := range b.calls {
		for i := range part {
			part[i].count()
		}
	}
	return nil
}

func (b *burden) decision(c *audit.Counted) {
	var period *Period
	if len(b.periods) > 0 {
		period = b.period(c)
	}
	if !c.Shown {
		return
	}
	group := b.group[c.Shape]
	if group == nil {
		group = b.groupOf(c.Shape)
		b.group[c.Shape] = group
	}
	group.Shown++
	last := len(b.calls) - 1
	if last < 0 || len(b.calls[last]) == partOfCalls {
		b.calls, last = append(b.calls, make([]shownCall, 0, partOfCalls)), last+1
	}
	b.calls[last] = append(b.calls[last], shownCall{group: group, period: period})
	b.shown.put(c.ID, &b.calls[last][len(b.calls[last])-1])
}

func (b *burden) groupOf(s *audit.Shape) *Rate {
	key := [4]string{s.Topic, s.Unit, s.UserType, s.Model}
	group := b.groups[key]
	if group == nil {
		group = &Rate{Topic: key[0], Unit: key[1], Role: key[2], Model: key[3]}
		b.groups[key] = group
	}
	return group
}

// hear keeps the last word on each card. Ids begin with the time of the outcome.
func (c *shownCall) hear(w word) {
	if !c.said {
		c.said, c.first = true, w
		return
	}
	at := &c.first
	for i := range c.more {
		if at.card == w.card {
			break
		}
		at = &c.more[i]
	}
	switch {
	case at.card != w.card:
		c.more = append(c.more, w)
	case w.id.Compare(at.id) > 0:
		*at = w
	}
}

// count adds what was said of the cards of the call, where it is counted.
func (c *shownCall) count() {
	if !c.said {
		return
	}
	overridden := false
	for _, w := range append(c.more, c.first) {
		if w.said.Outcome != OutcomeOverridden {
			continue
		}
		overridden = true
		c.group.because(w.said.Reasons)
		if c.period != nil {
			c.period.because(w.said.Reasons)
		}
	}
	c.group.answered(overridden)
	if c.period != nil {
		c.period.answered(overridden)
	}
}

func (g *Rate) because(codes []string) {
	for _, code := range codes {
		if g.OverrideReasons == nil {
			g.OverrideReasons = map[string]int{}
		}
		g.OverrideReasons[code]++
	}
}

func (g *Rate) answered(overridden bool) {
	if overridden {
		g.Overridden++
	} else {
		g.Accepted++
	}
}

// rates are the groups, sorted.
func (b *burden) rates() []Rate {
	out := make([]Rate, 0, len(b.groups))
	for _, g := range b.groups {
		g.Unanswered = g.Shown - g.Accepted - g.Overridden
		if n := g.Accepted + g.Overridden; n > 0 {
			accepted, overridden := float64(g.Accepted)/float64(n), float64(g.Overridden)/float64(n)
			g.AcceptedShare, g.OverriddenShare = &accepted, &overridden
		}
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Model, b.Model))
	})
	return out
}
