// SPDX-License-Identifier: Apache-2.0

// Package story tells what one recorded call was about, for whoever reviews an
// adverse event: what was known when, what was proposed and why each option was
// chosen or not, what was returned to whom, what the user did, and what the chart
// says was given afterwards.
//
// It trusts the receipts it is given, whose bytes the log vouches for, and maps
// their charts by the code of a live call. What came after is read from later
// receipts of the same patient: where no later call was made, it knows nothing,
// and says so.
package story

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Deps are what a story is told from.
type Deps struct {
	Log    query.Log
	Charts cdshooks.Remapper
	State  state.Config
}

// Story is one recorded call.
type Story struct {
	ID        string    `json:"id"`
	Leaf      int64     `json:"leaf"`
	Kind      string    `json:"kind"`
	Recorded  time.Time `json:"recorded"`
	Client    string    `json:"client,omitempty"`
	Service   string    `json:"service,omitempty"`
	Clinician string    `json:"clinician,omitempty"`
	Role      string    `json:"role,omitempty"` // type of the FHIR resource that the user is
	Patient   string    `json:"patient,omitempty"`
	Encounter string    `json:"encounter,omitempty"`
	Unit      string    `json:"unit,omitempty"`
	HTTP      int       `json:"http,omitempty"`
	Failure   string    `json:"failure,omitempty"` // stable word of a refusal or failure

	At      time.Time      `json:"at,omitzero"` // decision time: nothing later was known
	Hashes  *engine.Hashes `json:"hashes,omitempty"`
	Model   string         `json:"model,omitempty"` // kind and version
	Status  string         `json:"status,omitempty"`
	Reasons []agent.Reason `json:"reasons,omitempty"`
	Chooser string         `json:"chooser,omitempty"` // native or llm

	Known   []Value `json:"known,omitempty"`   // newest values, as they were used
	Running []Agent `json:"running,omitempty"` // vasoactive drugs as they stood
	Later   []Late  `json:"later,omitempty"`   // was true at At, and could be known only afterwards

	Hazards []policy.Verdict `json:"hazards,omitempty"`
	Rules   []policy.Verdict `json:"rules,omitempty"`
	Options []Option         `json:"options,omitempty"`
	Advice  *agent.Advice    `json:"advice,omitempty"`

	Display    *cdshooks.DisplayChoice `json:"display,omitempty"`
	Suppressed string                  `json:"suppressed,omitempty"` // why no card was shown, where it was because of an earlier one
	SilencedBy string                  `json:"silencedBy,omitempty"` // the receipt of that card
	Cards      []Card                  `json:"cards"`                // as they were returned
	Feedback   []Said                  `json:"feedback"`
	Afterwards Afterwards              `json:"afterwards"`
	ReadBy     []ReadBy                `json:"readBy"`
}

// Value is one value that the decision could read.
type Value struct {
	What      string    `json:"what"`
	Value     float64   `json:"value"`
	Unit      string    `json:"unit"`
	Received  string    `json:"received"`  // as charted
	Measured  time.Time `json:"measured"`  // when it was true
	Available time.Time `json:"available"` // when it could first be known
	AgeMin    float64   `json:"ageMin"`    // at the decision
	Resource  string    `json:"resource,omitempty"`
}

// Agent is one vasoactive drug at one time.
type Agent struct {
	Drug        string    `json:"drug"`
	State       string    `json:"state"` // running, stopped, or why it is unknown
	RateUgKgMin float64   `json:"rateUgKgMin,omitempty"`
	Rate        float64   `json:"rate,omitempty"`
	RateUnit    string    `json:"rateUnit,omitempty"`
	Charted     time.Time `json:"charted"`
}

// Late is a value or a drug that was there at the decision and in nobody's chart yet.
type Late struct {
	What      string    `json:"what"`
	Received  string    `json:"received"`
	True      time.Time `json:"true"`
	Available time.Time `json:"available"`
	SeenIn    string    `json:"seenIn"` // the receipt that first holds it
}

// Option is one course that was weighed.
type Option struct {
	Role      string           `json:"role"`
	Source    string           `json:"source"`
	Drug      string           `json:"drug,omitempty"`
	Direction string           `json:"direction,omitempty"`
	BolusMl   float64          `json:"bolusMl,omitempty"`
	Levels    state.Levels     `json:"levels"`
	Value     float64          `json:"value"`
	Blocked   bool             `json:"blocked"`
	Why       string           `json:"why,omitempty"` // why not chosen
	Rules     []policy.Verdict `json:"rules,omitempty"`
}

// Card is a card as it was returned.
type Card struct {
	UUID        string   `json:"uuid"`
	Indicator   string   `json:"indicator"`
	Summary     string   `json:"summary"`
	Detail      string   `json:"detail,omitempty"`
	Suggestions []string `json:"suggestions,omitempty"`
}

// Said is what a user did with a card.
type Said struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"` // as the client says
	Clinician string    `json:"clinician,omitempty"`
	Card      string    `json:"card"`
	Outcome   string    `json:"outcome"`
	Reason    string    `json:"reason,omitempty"`
	Comment   string    `json:"comment,omitempty"`
}

// ReadBy is somebody who read this entry.
type ReadBy struct {
	At   time.Time `json:"at"`
	User string    `json:"user,omitempty"`
	Via  string    `json:"via"`
}

// Tell tells the story of an entry that a call left. Errors: those of the log, and
// cdshooks.ErrRecord for an entry that is no call's.
func Tell(ctx context.Context, d Deps, id string) (*Story, error) {
	stored, err := d.Log.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := cdshooks.DecodeRecord(stored.Body)
	if err != nil {
		return nil, fmt.Errorf("story of %s: %w", id, err)
	}
	ix := stored.Index
	s := &Story{
		ID: ix.ID, Leaf: stored.Leaf, Kind: ix.Kind, Recorded: ix.Time, Client: ix.Client, Service: ix.Service, Clinician: ix.User,
		Patient: ix.Patient, Encounter: ix.Encounter, Unit: ix.Unit, HTTP: ix.HTTP, Failure: r.Reason, Display: r.Display,
		Cards: cardsOf(r.Response), Feedback: []Said{}, ReadBy: []ReadBy{},
	}
	if r.Receipt != nil {
		if err := s.decided(d, r.Receipt); err != nil {
			return nil, fmt.Errorf("story of %s: %w", id, err)
		}
	}
	if err := s.about(ctx, d.Log); err != nil {
		return nil, fmt.Errorf("story of %s: %w", id, err)
	}
	if r.Receipt != nil {
		if err := s.later(ctx, d, r.Receipt); err != nil {
			return nil, fmt.Errorf("story of %s: %w", id, err)
		}
	}
	return s, nil
}

// decided tells the decision itself.
func (s *Story) decided(d Deps, rc *engine.Receipt) error {
	tl, _, err := timeline(d, rc)
	if err != nil {
		return err
	}
	dec := rc.Outcome.Decision
	s.At, s.Hashes, s.Model, s.Role = rc.At, &rc.Hashes, rc.Model.Kind+" "+rc.Model.Version, rc.Case.Role
	s.Status, s.Reasons, s.Chooser, s.Hazards, s.Rules = string(dec.Status), dec.Reasons, dec.Proposer, dec.Hazards, dec.Verdicts
	s.Suppressed, s.SilencedBy = rc.Outcome.Suppressed, rc.Outcome.Refers
	if dec.Advice.Vasopressor != nil || dec.Advice.Fluid != nil || len(dec.Advice.Recheck) > 0 {
		s.Advice = &dec.Advice
	}
	for name, x := range tl.Present.Readings {
		s.Known = append(s.Known, Value{name, x.Value, x.Unit, x.Received, x.At, x.Available, x.AgeMin, x.RecordID})
	}
	slices.SortFunc(s.Known, func(a, b Value) int { return cmp.Compare(a.What, b.What) })
	s.Running = agentsOf(tl)
	for _, o := range dec.Options {
		s.Options = append(s.Options, Option{
			Role: o.Role, Source: o.Source, Drug: string(o.Proposal.Drug), Direction: o.Proposal.Direction, BolusMl: o.Proposal.BolusMl,
			Levels: o.Proposal.LevelsNext, Value: o.Value, Blocked: o.Blocked, Why: o.Why, Rules: o.Verdicts,
		})
	}
	return nil
}

// timeline makes chart and timeline of a receipt again.
func timeline(d Deps, rc *engine.Receipt) (*state.Timeline, *state.Chart, error) {
	chart, err := d.Charts.Remap(rc.Person, rc.Stay, rc.Gaps, rc.Records)
	if err != nil {
		return nil, nil, fmt.Errorf("map the stored records: %w", err)
	}
	tl, err := state.Build(chart, rc.At, d.State)
	return tl, chart, err
}

func agentsOf(tl *state.Timeline) []Agent {
	var out []Agent
	for _, a := range tl.Present.Agents {
		standing := a.State
		if a.Why != "" {
			standing += ": " + a.Why
		}
		out = append(out, Agent{string(a.Drug), standing, a.RateUgKgMin, a.Rate, a.RateUnit, a.ChartedAt})
	}
	return out
}

func cardsOf(response []byte) []Card {
	out := []Card{}
	var sent cdshooks.Response
	if json.Unmarshal(response, &sent) != nil {
		return out
	}
	for _, c := range sent.Cards {
		card := Card{UUID: c.UUID, Indicator: c.Indicator, Summary: c.Summary, Detail: c.Detail}
		for _, x := range c.Suggestions {
			card.Suggestions = append(card.Suggestions, x.Label)
		}
		out = append(out, card)
	}
	return out
}

// about reads what was said of the entry, and who read it.
func (s *Story) about(ctx context.Context, log query.Log) error {
	for f := (audit.Filter{Refers: s.ID, OldestFirst: true, Limit: audit.MaxLimit}); ; {
		rows, more, err := log.Page(ctx, f, 0)
		if err != nil {
			return err
		}
		for _, row := range rows {
			ix := row.Index
			switch ix.Kind {
			case cdshooks.KindRead:
				s.ReadBy = append(s.ReadBy, ReadBy{ix.Time, ix.User, ix.Service})
			case cdshooks.KindFeedback:
				said, err := feedback(ctx, log, ix)
				if err != nil {
					return err
				}
				s.Feedback = append(s.Feedback, said)
			}
		}
		if more == nil {
			return nil
		}
		f.After = more
	}
}

func feedback(ctx context.Context, log query.Log, ix audit.Index) (Said, error) {
	said := Said{ID: ix.ID, At: ix.Time, Clinician: ix.User, Outcome: ix.Outcome}
	if len(ix.Cards) > 0 {
		said.Card = ix.Cards[0]
	}
	stored, err := log.Get(ctx, ix.ID)
	if err != nil {
		return said, err
	}
	r, err := cdshooks.DecodeRecord(stored.Body)
	if err != nil || r.Feedback == nil {
		return said, nil // of another form: the index is what there is
	}
	said.At, said.Comment = r.Feedback.At, r.Feedback.Comment
	if r.Feedback.Reason != nil {
		said.Reason = cmp.Or(r.Feedback.Reason.Display, r.Feedback.Reason.Code)
	}
	return said, nil
}
