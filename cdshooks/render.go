// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: Render, which turns a decision into the response of the call. It
// reads the decision, the timeline and recorded settings and nothing else, so
// that a replay renders the same bytes.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// CardValid is how long a card holds when nothing new is charted (design.md
// 5.10): after it the forecasts rest on values too old to act on.
const CardValid = 30 * time.Minute

// ReceiptExtension is the key of the card extension that names the receipt.
const ReceiptExtension = "io.github.sepsisagent.receipt"

// Rendering is all that a response is made of.
type Rendering struct {
	ID       string // decision id, recorded
	Seed     uint64 // recorded
	Display  string // display mode in force
	Timeline *state.Timeline
	Outcome  engine.Outcome
	Model    world.Info
	Hashes   engine.Hashes
	Settings RenderSettings
}

// RenderSettings are what a response depends on beside the decision. They are
// stored in the receipt.
type RenderSettings struct {
	SourceLabel string       `json:"sourceLabel"`
	SourceURL   string       `json:"sourceURL,omitempty"`
	TopicSystem string       `json:"topicSystem"`
	TimeZone    string       `json:"timeZone"`
	EvidenceURL string       `json:"evidenceURL,omitempty"` // where the link alone opens
	LaunchURL   string       `json:"launchURL,omitempty"`   // where the EHR launches, with AppContext
	AppContext  string       `json:"appContext,omitempty"`
	PatientID   string       `json:"patient,omitempty"` // subject of draft orders
	Quirks      trust.Quirks `json:"quirks"`
}

// topics are the words of each topic code. Codes are static: clients key
// override persistence and feedback on them.
var topics = map[string]string{
	engine.TopicVasopressor: "Vasopressor in septic shock",
	engine.TopicFluid:       "Fluid in sepsis",
	engine.TopicHazard:      "Hazard in sepsis",
	engine.TopicReview:      "Review of sepsis treatment",
	topicOrderVasopressor:   "Vasopressor order in sepsis",
	topicOrderFluid:         "Fluid order in sepsis",
}

// Render makes the response of a decision: one card when one is to be shown,
// none otherwise. Errors wrap ErrInvalid.
func Render(r Rendering) (Response, error) {
	none := Response{Cards: []Card{}}
	if r.Timeline == nil {
		return none, fmt.Errorf("%w: no timeline", ErrInvalid)
	}
	if !r.Outcome.Show || r.Display == trust.DisplaySilent {
		return none, nil
	}
	zone, err := time.LoadLocation(r.Settings.TimeZone)
	if err != nil {
		return none, fmt.Errorf("%w: time zone %q", ErrInvalid, r.Settings.TimeZone)
	}
	w := writer{Rendering: r, clock: clock{r.Timeline.At, zone}}
	if r.Outcome.Topic == engine.TopicOrder {
		out := Response{Cards: w.orderCards()}
		return out, out.Validate()
	}
	topic := topicCode(r.Outcome.Topic)
	card := Card{
		UUID:      cardID(r.ID, r.Seed, "card"),
		Summary:   w.summary(),
		Indicator: w.indicator(),
		Detail:    w.detail(),
		Source: Source{
			Label: r.Settings.SourceLabel, URL: r.Settings.SourceURL,
			Topic: &Coding{Code: topic, System: r.Settings.TopicSystem, Display: topicDisplay(topic)},
		},
		OverrideReasons: overrideReasons,
	}
	card.Links = r.Settings.links()
	if s := w.suggestions(); len(s) > 0 {
		card.Suggestions, card.SelectionBehavior = s, r.Settings.Quirks.SelectionBehavior
		if card.SelectionBehavior == "" {
			card.SelectionBehavior = SelectAtMostOne
		}
	}
	out := Response{Cards: []Card{card}}
	return out, out.Validate()
}

// writer holds one card while it is written.
type writer struct {
	Rendering
	clock
}

// dosing reports whether the card may carry a dose: the mode allows it and the
// decision suggests something.
func (w writer) dosing() bool {
	a := w.Outcome.Decision.Advice
	return w.Display == trust.DisplaySuggest && w.Outcome.Decision.Status == agent.Suggest && (a.Vasopressor != nil || a.Fluid != nil)
}

// withheld reports whether there is advice that this mode does not show. What
// speaks of the advice (explanation, rules on it) is then left out too, because
// it names the dose.
func (w writer) withheld() bool {
	return w.Outcome.Decision.Status == agent.Suggest && !w.dosing()
}

// indicator maps the decision to urgency: critical only where a life is in
// danger by the charted pressure itself.
func (w writer) indicator() string {
	p := w.Timeline.Present.MAP
	below := p.Newest != nil && p.Newest.Value < p.GoalMmHg
	switch {
	case len(w.Outcome.Decision.Hazards) > 0 && p.Newest != nil && p.Newest.Value < 50:
		return IndicatorCritical
	case len(w.Outcome.Decision.Hazards) > 0, w.Outcome.Decision.Status == agent.Suggest && below:
		return IndicatorWarning
	}
	return IndicatorInfo
}

// topicCode keeps the letters and digits of a topic; clients allow no others.
func topicCode(topic string) string {
	var out []byte
	for i := range len(topic) {
		if c := topic[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			out = append(out, c)
		}
	}
	if len(out) == 0 || len(out) > 100 {
		return engine.TopicReview
	}
	return string(out)
}

func topicDisplay(code string) string {
	if d, ok := topics[code]; ok {
		return d
	}
	return topics[engine.TopicReview]
}

// overrideReasons are taken from HL7's non-adherence reasons, worded for an ICU.
var overrideReasons = func() []Coding {
	const system = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
	return []Coding{
		{"action-completed", system, "Already done or under way"},
		{"cds-not-applicable", system, "Does not apply to this patient"},
		{"patient-contraindication", system, "Contraindicated in this patient"},
		{"recipient-disagrees-evidence", system, "I disagree with the reasoning or the evidence"},
		{"need-more-info", system, "I need more information first"},
		{"cds-suboptimal-context", system, "Wrong moment or wrong recipient"},
		{"patient-refuses", system, "Not in line with the patient's wishes"},
	}
}()

// cardID derives a UUID of version 4 form from the recorded id and seed of the
// decision. The seed is random, so that nobody can guess it from the id.
func cardID(id string, seed uint64, part string) string {
	var s [8]byte
	binary.BigEndian.PutUint64(s[:], seed)
	sum := sha256.Sum256([]byte("card\x00" + id + "\x00" + string(s[:]) + "\x00" + part))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
