// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what another model would have said: the recorded decisions made
// again with it, as counts of what changed and a few examples. It holds ids of
// receipts and nothing about a patient, so that it can be shown and signed for.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// StudySchema names the form of a Study.
const StudySchema = "sepsisagent.replay/1"

// MaxExamples bounds how many changed decisions a study shows.
const MaxExamples = 20

// Said is what a decision comes to for whoever reads the card.
type Said struct {
	Status      string   `json:"status"`
	Topic       string   `json:"topic"`
	Shown       bool     `json:"shown"`
	Vasopressor string   `json:"vasopressor"` // level 0 to 4 of a suggestion or affirmation, else "none"
	Fluid       string   `json:"fluid"`       // likewise
	Advice      string   `json:"advice"`      // drug, direction and next rate, bolus; "none"
	Hazards     string   `json:"hazards"`     // ids of rules, or "none"
	Blocked     string   `json:"blocked"`     // ids of rules that forbade an option, or "none"
	Orders      string   `json:"orders"`      // ids of rules that spoke of drafted orders, or "none"
	ToUgKgMin   *float64 `json:"toUgKgMin,omitempty"`
}

// said reads an outcome.
func said(o engine.Outcome) *Said {
	d := o.Decision
	s := &Said{Status: string(d.Status), Topic: o.Topic, Shown: o.Show, Vasopressor: "none", Fluid: "none", Advice: "none"}
	if d.Status == agent.Suggest || d.Status == agent.Affirm {
		s.Vasopressor, s.Fluid = fmt.Sprint(d.Levels.Vasopressor), fmt.Sprint(d.Levels.Fluid)
	}
	var advice []string
	if v := d.Advice.Vasopressor; v != nil {
		advice = append(advice, v.Direction+" "+string(v.Drug))
		if v.Drug != state.DrugVasopressin {
			s.ToUgKgMin = &v.ToUgKgMin
		}
	}
	if f := d.Advice.Fluid; f != nil {
		advice = append(advice, number(f.BolusMl, 0)+" mL "+f.Kind)
	}
	if len(advice) > 0 {
		s.Advice = strings.Join(advice, ", ")
	}
	var hazards, forbid, orders []string
	for _, v := range d.Hazards {
		hazards = append(hazards, v.ID)
	}
	verdicts := slices.Clone(d.Verdicts)
	for _, option := range d.Options {
		verdicts = append(verdicts, option.Verdicts...)
	}
	for _, v := range verdicts {
		if v.Effect == policy.Block {
			forbid = append(forbid, v.ID)
		}
	}
	for _, order := range o.Orders {
		for _, f := range order.Findings {
			orders = append(orders, f.Rule.ID)
		}
	}
	s.Hazards, s.Blocked, s.Orders = idsOrNone(hazards), idsOrNone(forbid), idsOrNone(orders)
	return s
}

func idsOrNone(ids []string) string { return cmp.Or(strings.Join(unique(ids), " "), "none") }

// fields are what is compared, by name.
func (s *Said) fields() [][2]string {
	return [][2]string{
		{"status", s.Status}, {"topic", s.Topic}, {"shown", fmt.Sprint(s.Shown)}, {"vasopressor level", s.Vasopressor}, {"fluid level", s.Fluid},
		{"advice", s.Advice}, {"hazards", s.Hazards}, {"blocked", s.Blocked}, {"orders", s.Orders},
	}
}

// Shift counts decisions that said one thing and would now say another.
type Shift struct {
	What  string `json:"what"`
	Was   string `json:"was"`
	Now   string `json:"now"`
	Count int    `json:"count"`
}

// StudyExample is one decision that changed.
type StudyExample struct {
	ID  string `json:"id"`
	Was *Said  `json:"was"`
	Now *Said  `json:"now"`
}

// Study is the comparison. Replayed = Identical + Alike + Changed + Unmade.
type Study struct {
	Schema    string         `json:"schema"`
	With      engine.Hashes  `json:"with"`     // what the decisions were made with again
	Replayed  int            `json:"replayed"` // decisions
	Identical int            `json:"identical"`
	Alike     int            `json:"alike"`   // other numbers, and the same said
	Changed   int            `json:"changed"` // something else said
	Unmade    int            `json:"unmade"`  // no decision could be made again
	ByField   map[string]int `json:"byField"` // how many changed in each, by name of a field
	Shifts    []Shift        `json:"shifts"`  // by field, most frequent first
	// Rates compares the next rate of vasopressors where both advise one of the
	// same drug, ug/kg/min.
	Rates    RateChange     `json:"rates"`
	Examples []StudyExample `json:"examples"` // the first MaxExamples that changed
}

// RateChange is how far advised rates moved, now minus was, ug/kg/min.
type RateChange struct {
	Both    int     `json:"both"` // decisions where both advise a rate
	Higher  int     `json:"higher"`
	Lower   int     `json:"lower"`
	Largest float64 `json:"largest"` // by magnitude, signed
}

// NewStudy is a study with nothing in it yet.
func NewStudy(with engine.Hashes) *Study {
	return &Study{Schema: StudySchema, With: with, ByField: map[string]int{}, Shifts: []Shift{}, Examples: []StudyExample{}}
}

// Add counts one replay. Calls that ended before a decision are not counted.
func (s *Study) Add(r ReplayReport) {
	if !r.Decided {
		return
	}
	s.Replayed++
	switch {
	case r.Now == nil:
		s.Unmade++
		return
	case r.OK:
		s.Identical++
		return
	}
	s.rates(r.Was, r.Now)
	changed := false
	now := r.Now.fields()
	for i, was := range r.Was.fields() {
		if was[1] == now[i][1] {
			continue
		}
		changed = true
		s.ByField[was[0]]++
		s.shift(was[0], was[1], now[i][1])
	}
	if !changed {
		s.Alike++
		return
	}
	s.Changed++
	if len(s.Examples) < MaxExamples {
		s.Examples = append(s.Examples, StudyExample{r.ID, r.Was, r.Now})
	}
}

func (s *Study) rates(was, now *Said) {
	if was.ToUgKgMin == nil || now.ToUgKgMin == nil || was.Advice != now.Advice {
		return
	}
	s.Rates.Both++
	d := *now.ToUgKgMin - *was.ToUgKgMin
	switch {
	case d > 0:
		s.Rates.Higher++
	case d < 0:
		s.Rates.Lower++
	}
	if max(d, -d) > max(s.Rates.Largest, -s.Rates.Largest) {
		s.Rates.Largest = d
	}
}

func (s *Study) shift(what, was, now string) {
	for i := range s.Shifts {
		if x := &s.Shifts[i]; x.What == what && x.Was == was && x.Now == now {
			x.Count++
			return
		}
	}
	s.Shifts = append(s.Shifts, Shift{what, was, now, 1})
}

// Sort puts the shifts in their order.
func (s *Study) Sort() {
	slices.SortFunc(s.Shifts, func(a, b Shift) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Now, b.Now))
	})
}
