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

	"github.com/sepsisagent/sepsisagent/audit"
)

// Counts is a log whose entries can be counted. sqllog.Log is one.
type Counts interface {
	// EachCounted calls each with all entries that match, in the order of the log,
	// but for those whose shape is not wanted. What each is given is valid until it
	// returns; its Shape stays.
	EachCounted(ctx context.Context, f audit.Filter, wants func(s *audit.Shape, shown bool) bool, each func(*audit.Counted)) error
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
	groups  []Rate
	named   map[[4]string]int32    // groups by topic, unit, role and model
	group   map[*audit.Shape]int32 // of what was met, which is faster than its words
	periods []Period               // none: they are not asked for
	now     int32                  // the period of the decision before
	from    int64                  // of it, ns
	to      int64
	calls   *shownCalls
	words   []word
}

func newBurden(periods []Period) *burden {
	return &burden{groups: []Rate{}, named: map[[4]string]int32{}, group: map[*audit.Shape]int32{}, periods: periods, calls: newShownCalls()}
}

// word is the last that was said of one card of a call.
type word struct {
	id, card audit.Ref
	said     *audit.Shape
	before   int32 // 1 + the number of the word on another card of the call; 0: none
}

// count walks the log from the filter's beginning on: feedback comes when it will,
// and after what it is about, or it is an orphan and refers to nothing.
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
	wants := func(s *audit.Shape, shown bool) bool {
		return s.Kind == KindFeedback || selected(s, shown) && (shown || len(b.periods) > 0)
	}
	err := log.EachCounted(ctx, walked, wants, func(c *audit.Counted) {
		switch {
		case c.Kind == KindFeedback:
			b.hear(c)
		case c.TimeNs < until:
			b.decision(c)
		}
	})
	if err != nil {
		return fmt.Errorf("count feedback: %w", err)
	}
	b.calls.each(b.answer)
	return nil
}

func (b *burden) decision(c *audit.Counted) {
	call := shownCall{}
	if len(b.periods) > 0 {
		call.period = b.period(c)
	}
	if !c.Shown {
		return
	}
	call.group = b.groupOf(c.Shape)
	b.groups[call.group].Shown++
	b.calls.add(c.ID, call)
}

func (b *burden) groupOf(s *audit.Shape) int32 {
	if n, ok := b.group[s]; ok {
		return n
	}
	key := [4]string{s.Topic, s.Unit, s.UserType, s.Model}
	n, ok := b.named[key]
	if !ok {
		n = int32(len(b.groups))
		b.named[key] = n
		b.groups = append(b.groups, Rate{Topic: key[0], Unit: key[1], Role: key[2], Model: key[3]})
	}
	if len(b.group) >= 4096 { // those of blocks long past
		clear(b.group)
	}
	b.group[s] = n
	return n
}

// hear keeps the last word on each card of a call that is counted. Ids begin with
// the time of the outcome.
func (b *burden) hear(c *audit.Counted) {
	if c.Refers == (audit.Ref{}) || c.Card == (audit.Ref{}) {
		return
	}
	call := b.calls.find(c.Refers)
	if call == nil {
		return
	}
	for at := call.words; at > 0; {
		w := &b.words[at-1]
		if w.card != c.Card {
			at = w.before
			continue
		}
		if c.ID.Compare(w.id) > 0 {
			w.id, w.said = c.ID, c.Shape
		}
		return
	}
	b.words = append(b.words, word{c.ID, c.Card, c.Shape, call.words})
	call.words = int32(len(b.words))
}

// answer counts what was said of the cards of a call.
func (b *burden) answer(call *shownCall) {
	if call.words == 0 {
		return
	}
	counted := []*Rate{&b.groups[call.group]}
	if len(b.periods) > 0 {
		counted = append(counted, &b.periods[call.period].Rate)
	}
	overridden := false
	for at := call.words; at > 0; at = b.words[at-1].before {
		said := b.words[at-1].said
		if said.Outcome != OutcomeOverridden {
			continue
		}
		overridden = true
		for _, rate := range counted {
			rate.because(said.Reasons)
		}
	}
	for _, rate := range counted {
		rate.answered(overridden)
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
	out := b.groups
	for i := range out {
		g := &out[i]
		g.Unanswered = g.Shown - g.Accepted - g.Overridden
		if n := g.Accepted + g.Overridden; n > 0 {
			accepted, overridden := float64(g.Accepted)/float64(n), float64(g.Overridden)/float64(n)
			g.AcceptedShare, g.OverriddenShare = &accepted, &overridden
		}
	}
	slices.SortFunc(out, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Model, b.Model))
	})
	return out
}
