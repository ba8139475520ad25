// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how often cards were accepted and overridden, by topic, unit,
// role and model, counted from the log's index. No body is read, so no comment
// and no chart is.

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Counts is a log whose entries can be counted. sqllog.Log is one.
type Counts interface {
	// EachCounted calls each with all entries that match, in no order. What each
	// is given is valid until it returns.
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
	b := burden{groups: map[[4]string]*Rate{}, of: map[audit.Ref]shownIn{}}
	if err := b.count(ctx, log, filter); err != nil {
		return nil, err
	}
	return b.rates(), nil
}

// burden counts decisions and what was said of their cards, in one walk.
type burden struct {
	groups  map[[4]string]*Rate
	periods []Period // none: they are not asked for
	of      map[audit.Ref]shownIn
	said    []word
}

// shownIn is where a decision with a card is counted.
type shownIn struct {
	group  *Rate
	period *Period // nil: periods are not asked for
}

// word is one item of feedback.
type word struct {
	id, decision, card audit.Ref
	overridden         bool
	reasons            []string
}

// count walks the log from the filter's beginning on: feedback comes when it will.
func (b *burden) count(ctx context.Context, log Counts, filter audit.Filter) error {
	filter.Kind, filter.Shown = KindDecision, nil
	selected, ok := filter.Counts()
	if !ok {
		return fmt.Errorf("%w: rates cannot be told apart by this", audit.ErrInvalid)
	}
	walked := audit.Filter{Client: filter.Client, Since: filter.Since}
	err := log.EachCounted(ctx, walked, func(c *audit.Counted) {
		switch {
		case c.Kind == KindFeedback && c.Refers != audit.Ref{} && c.Card != audit.Ref{}: // else an orphan
			b.said = append(b.said, word{c.ID, c.Refers, c.Card, c.Outcome == OutcomeOverridden, c.Reasons})
		case selected(c.Shape, c.Shown) && (filter.Until.IsZero() || c.TimeNs < filter.Until.UnixNano()):
			b.decision(c)
		}
	})
	if err != nil {
		return fmt.Errorf("count feedback: %w", err)
	}
	for decision, words := range b.lastWords() {
		in := b.of[decision]
		in.group.count(words)
		if in.period != nil {
			in.period.count(words)
		}
	}
	return nil
}

func (b *burden) decision(c *audit.Counted) {
	var in shownIn
	if len(b.periods) > 0 {
		in.period = b.period(c)
	}
	if !c.Shown {
		return
	}
	key := [4]string{c.Topic, c.Unit, c.UserType, c.Model}
	if in.group = b.groups[key]; in.group == nil {
		in.group = &Rate{Topic: key[0], Unit: key[1], Role: key[2], Model: key[3]}
		b.groups[key] = in.group
	}
	in.group.Shown++
	b.of[c.ID] = in
}

// lastWords gives the last word on each card of the decisions that are counted, by
// decision. Ids begin with the time of the outcome.
func (b *burden) lastWords() map[audit.Ref][]word {
	last := map[[2]audit.Ref]word{}
	for _, w := range b.said {
		if _, counted := b.of[w.decision]; !counted {
			continue
		}
		key := [2]audit.Ref{w.decision, w.card}
		if old, ok := last[key]; !ok || w.id.Compare(old.id) > 0 {
			last[key] = w
		}
	}
	out := make(map[audit.Ref][]word, len(last))
	for _, w := range last {
		out[w.decision] = append(out[w.decision], w)
	}
	return out
}

// count adds what was said of the cards of one call.
func (g *Rate) count(words []word) {
	overridden := false
	for _, w := range words {
		if !w.overridden {
			continue
		}
		overridden = true
		for _, code := range w.reasons {
			if g.OverrideReasons == nil {
				g.OverrideReasons = map[string]int{}
			}
			g.OverrideReasons[code]++
		}
	}
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
