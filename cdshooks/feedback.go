// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the wire form of feedback: what clinicians did with cards that
// the service sent earlier, several cards and hook instances in one body.

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sepsisagent/sepsisagent/engine"
)

// The outcomes of a card.
const (
	OutcomeAccepted   = "accepted"
	OutcomeOverridden = engine.OutcomeOverridden
)

// Limits of a feedback body.
const (
	MaxFeedback     = 500  // cards in one body
	MaxCommentRunes = 2000 // code points of a user's comment; more is cut, and said to be
)

// Feedback is what happened to one card. Comment is a clinician's free text
// and may name a patient: it goes into the receipt and nowhere else.
type Feedback struct {
	Card                string    `json:"card"` // opaque: not every client returns our UUID form
	Outcome             string    `json:"outcome"`
	AcceptedSuggestions []string  `json:"acceptedSuggestions,omitempty"`
	Reason              *Coding   `json:"reason,omitempty"`
	Comment             string    `json:"comment,omitempty"`
	CommentCut          bool      `json:"commentCut,omitempty"`
	At                  time.Time `json:"at"`
	Extension           object    `json:"extension,omitempty"`
}

// DecodeFeedback reads and validates a feedback body. One wrong item refuses
// the whole body, so that a client never believes half of it was kept.
func DecodeFeedback(body []byte) ([]Feedback, error) {
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	o, err := members(body)
	if err != nil {
		return nil, explain(ErrBadRequest, "the body is not an object with a feedback array.")
	}
	items, err := o.list("feedback")
	if err != nil || len(items) == 0 {
		return nil, explain(ErrBadRequest, "feedback is not an array with at least one item.")
	}
	if len(items) > MaxFeedback {
		return nil, explain(ErrBadRequest, fmt.Sprintf("feedback has more than %d items.", MaxFeedback))
	}
	out := make([]Feedback, 0, len(items))
	for i, raw := range items {
		f, err := decodeFeedbackItem(raw)
		if err != nil {
			return nil, explain(ErrBadRequest, fmt.Sprintf("feedback[%d]: %s", i, wordsOf(err)))
		}
		out = append(out, f)
	}
	return out, nil
}

// wordsOf is the text of an error that holds member names only.
func wordsOf(err error) string {
	return strings.TrimPrefix(err.Error(), ErrBadRequest.Error()+": ") + "."
}

func decodeFeedbackItem(raw json.RawMessage) (Feedback, error) {
	var f Feedback
	o, err := members(raw)
	if err != nil {
		return f, fmt.Errorf("%w: it is not an object", ErrBadRequest)
	}
	at := ""
	if err := o.texts(map[string]*string{"card": &f.Card, "outcome": &f.Outcome, "outcomeTimestamp": &at}); err != nil {
		return f, err
	}
	if f.Card == "" || len(f.Card) > maxID {
		return f, fmt.Errorf("%w: card is missing or too long", ErrBadRequest)
	}
	if f.At, err = time.Parse(time.RFC3339, at); err != nil {
		return f, fmt.Errorf("%w: outcomeTimestamp is not an RFC 3339 time", ErrBadRequest)
	}
	f.At = f.At.UTC()
	extension, err := o.child("extension")
	if err != nil {
		return f, err
	}
	f.Extension = bounded(extension)
	switch f.Outcome {
	case OutcomeAccepted:
		return f, f.decodeAccepted(o)
	case OutcomeOverridden:
		return f, f.decodeOverride(o)
	}
	return f, fmt.Errorf("%w: outcome is neither accepted nor overridden", ErrBadRequest)
}

func (f *Feedback) decodeAccepted(o object) error {
	list, err := o.list("acceptedSuggestions")
	if err != nil {
		return err
	}
	for _, raw := range list {
		s, err := members(raw)
		if err != nil {
			return fmt.Errorf("%w: acceptedSuggestions holds something that is not an object", ErrBadRequest)
		}
		id, err := s.text("id")
		if err != nil || id == "" || len(id) > maxID {
			return fmt.Errorf("%w: acceptedSuggestions holds an item without id", ErrBadRequest)
		}
		f.AcceptedSuggestions = append(f.AcceptedSuggestions, id)
	}
	if len(f.AcceptedSuggestions) == 0 {
		return fmt.Errorf("%w: acceptedSuggestions is missing or empty", ErrBadRequest)
	}
	return nil
}

// decodeOverride reads the reason of an override. The contract calls the
// member overrideReason; Epic documents overrideReasons, holding one object or
// an array. Any of the three is taken, and none at all is valid.
func (f *Feedback) decodeOverride(o object) error {
	raw, ok := o["overrideReason"]
	if !ok || !o.has("overrideReason") {
		raw = o["overrideReasons"]
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if raw[0] == '[' {
		list, err := elements(raw)
		if err != nil || len(list) == 0 {
			return err
		}
		raw = list[0]
	}
	r, err := members(raw)
	if err != nil {
		return fmt.Errorf("%w: overrideReason is not an object", ErrBadRequest)
	}
	if f.Comment, err = r.text("userComment"); err != nil {
		return err
	}
	if utf8.RuneCountInString(f.Comment) > MaxCommentRunes {
		f.Comment, f.CommentCut = string([]rune(f.Comment)[:MaxCommentRunes]), true
	}
	reason, err := r.child("reason")
	if err != nil {
		return err
	}
	if reason == nil && r.has("code") {
		reason = r // a bare Coding where the object with reason belongs
	}
	if reason == nil {
		return nil
	}
	f.Reason = &Coding{}
	if err := reason.texts(map[string]*string{"code": &f.Reason.Code, "system": &f.Reason.System, "display": &f.Reason.Display}); err != nil {
		return err
	}
	if f.Reason.Code == "" || len(f.Reason.Code)+len(f.Reason.System)+len(f.Reason.Display) > 4*maxID {
		return fmt.Errorf("%w: overrideReason.reason has no code or is too long", ErrBadRequest)
	}
	return nil
}
