// SPDX-License-Identifier: Apache-2.0

package export

// This file: the feedback data of 45 CFR 170.315(b)(11)(ii)(C), as a table: for
// every card that was shown the intervention, the action taken, the user
// feedback, the user, the date and the location.

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// unreported is the action of a card that no client reported on. It is no
// rejection: cards that are ignored are never reported.
const unreported = "not reported"

var hti1Columns = []string{"intervention", "action_taken", "user_feedback", "user", "date", "location",
	"topic", "card", "suggestions_accepted", "action_date", "encounter", "client", "decision", "feedback", "model", "rules_hash"}

// shownCard is a card with what became of it.
type shownCard struct {
	of       Event // the decision; without body
	card     string
	summary  string
	labels   map[string]string // of suggestions, by uuid
	feedback *Event
}

// writeHTI1 joins cards and feedback, in the order in which cards were shown.
// Of feedback told several times the last word counts. Feedback on a card that
// is not among the events is a row of its own.
func writeHTI1(w io.Writer, events iter.Seq2[Event, error]) (int, error) {
	var cards []*shownCard
	known := map[[2]string]*shownCard{} // client, card
	var feedback []Event
	for e, err := range events {
		switch {
		case err != nil:
			return 0, err
		case e.Index.Kind == cdshooks.KindDecision && e.Index.Shown:
			shown, err := cardsOf(e)
			if err != nil {
				return 0, err
			}
			for _, c := range shown {
				known[[2]string{e.Index.Client, c.card}] = c
			}
			cards = append(cards, shown...)
		case e.Index.Kind == cdshooks.KindFeedback && len(e.Index.Cards) > 0:
			feedback = append(feedback, e)
		}
	}
	for _, f := range feedback {
		key := [2]string{f.Index.Client, f.Index.Cards[0]}
		c := known[key]
		if c == nil {
			c = &shownCard{of: f, card: f.Index.Cards[0]}
			known[key] = c
			cards = append(cards, c)
		}
		if c.feedback == nil || f.Index.ID > c.feedback.Index.ID { // ids begin with the time of the outcome
			c.feedback = &f
		}
	}
	out := csv.NewWriter(w)
	if err := out.Write(hti1Columns); err != nil {
		return 0, err
	}
	for _, c := range cards {
		cells := c.cells()
		for i := range cells {
			cells[i] = harmless(cells[i])
		}
		if err := out.Write(cells); err != nil {
			return 0, err
		}
	}
	out.Flush()
	return len(cards), out.Error()
}

// cardsOf are the cards that a decision returned. Where the body is gone, its
// cards have no summary, and which of the ids are suggestions is not known.
func cardsOf(e Event) ([]*shownCard, error) {
	call := e.Call
	e.Body, e.Salt, e.Call = nil, nil, nil // all of them wait in memory
	if call == nil {
		return []*shownCard{{of: e, card: strings.Join(e.Index.Cards, " ")}}, nil
	}
	var sent cdshooks.Response
	if err := json.Unmarshal(call.Response, &sent); err != nil {
		return nil, fmt.Errorf("%w: record %d: its response: %w", ErrBody, e.Leaf, err)
	}
	var out []*shownCard
	for _, c := range sent.Cards {
		s := &shownCard{of: e, card: c.UUID, summary: c.Summary, labels: map[string]string{}}
		for _, g := range c.Suggestions {
			s.labels[g.UUID] = g.Label
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *shownCard) cells() []string {
	x := c.of.Index
	intervention := c.summary
	if intervention == "" {
		intervention = "a card whose text is not in this export"
	}
	action, said, accepted, when, id := unreported, "", "", "", ""
	if c.feedback != nil {
		action, id = c.feedback.Index.Outcome, c.feedback.Index.ID
		said = strings.Join(c.feedback.Index.Reasons, " ")
		if call := c.feedback.Call; call != nil && call.Feedback != nil {
			f := call.Feedback
			said = feedbackWords(f)
			when = f.At.UTC().Format(time.RFC3339)
			for _, s := range f.AcceptedSuggestions {
				if label := c.labels[s]; label != "" {
					s = label
				}
				accepted = strings.TrimPrefix(accepted+"; "+s, "; ")
			}
		}
	}
	return []string{intervention, action, said, x.User, x.Time.UTC().Format(time.RFC3339), x.Unit,
		x.Topic, c.card, accepted, when, x.Encounter, x.Client, decisionOf(c), id, x.Model, x.RulesHash}
}

// decisionOf is the record of the card; of an orphan what it refers to, if
// anything.
func decisionOf(c *shownCard) string {
	if c.of.Index.Kind == cdshooks.KindDecision {
		return c.of.Index.ID
	}
	return c.of.Index.Refers
}

// feedbackWords are what a user said: the reason chosen, and free text.
func feedbackWords(f *cdshooks.Feedback) string {
	var words []string
	if f.Reason != nil {
		words = append(words, f.Reason.Code)
		if f.Reason.Display != "" {
			words[0] = f.Reason.Display + " (" + f.Reason.Code + ")"
		}
	}
	words = append(words, f.Comment)
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ": ")
}
