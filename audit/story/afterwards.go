// SPDX-License-Identifier: Apache-2.0

package story

// This file: what happened afterwards, as far as later receipts of the same
// patient say: what was ordered, what ran, how much was given, and which MAP came,
// beside what was suggested. That one followed the other is no claim that it
// followed from it.

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

const (
	// Window is how far after a decision later receipts are read.
	Window = 24 * time.Hour
	// maxLater bounds how many of them are, the earliest first.
	maxLater = 60
	// sameRateUgKgMin is how far apart two rates may be and still be one: pumps
	// and charts round.
	sameRateUgKgMin = 0.005
)

// What became of a suggestion.
const (
	Followed  = "as suggested" // the drug changed in the direction that was suggested
	Opposite  = "opposite"     // it changed in the other
	Unchanged = "unchanged"    // no later receipt shows a change
	Unknown   = "unknown"      // there is no later receipt that says
)

// Afterwards is what later receipts say.
type Afterwards struct {
	Receipts    int          `json:"receipts"` // later ones that were read
	Until       time.Time    `json:"until,omitzero"`
	Points      []Point      `json:"points"`
	Orders      []Ordered    `json:"orders"`
	Vasopressor *Vasopressor `json:"vasopressor,omitempty"` // what was suggested and what was given; nil: nothing was suggested
	Fluid       *Fluid       `json:"fluid,omitempty"`
}

// Point is the patient at one later call.
type Point struct {
	Receipt string    `json:"receipt"`
	At      time.Time `json:"at"`
	MAPMmHg *float64  `json:"mapMmHg,omitempty"` // newest then
	MAPAt   time.Time `json:"mapAt,omitzero"`
	Running []Agent   `json:"running,omitempty"`
	BolusMl *float64  `json:"bolusMl,omitempty"` // charted since the decision; absent where the ledger is not known
}

// Ordered is one order that was drafted later and asked about.
type Ordered struct {
	Receipt  string    `json:"receipt"`
	At       time.Time `json:"at"`
	Hook     string    `json:"hook"`
	Drug     string    `json:"drug"`
	Received string    `json:"received"`
	Severity string    `json:"severity,omitempty"` // of what was found about it
}

// Vasopressor is what was suggested of one drug and what the chart then says.
type Vasopressor struct {
	Drug           string    `json:"drug"`
	Direction      string    `json:"direction"`
	FromUgKgMin    float64   `json:"fromUgKgMin"`
	ToUgKgMin      float64   `json:"toUgKgMin"`
	ToUMin         float64   `json:"toUMin,omitempty"` // of vasopressin, U/min
	Became         string    `json:"became"`           // Followed, Opposite, Unchanged or Unknown
	GivenUgKgMin   float64   `json:"givenUgKgMin,omitempty"`
	GivenUMin      float64   `json:"givenUMin,omitempty"`
	Charted        time.Time `json:"charted,omitzero"`
	AfterMin       float64   `json:"afterMin,omitempty"`
	MAPBeforeMmHg  *float64  `json:"mapBeforeMmHg,omitempty"`
	MAPAfterMmHg   *float64  `json:"mapAfterMmHg,omitempty"` // first one measured after the change
	MAPAfterChange time.Time `json:"mapAfterAt,omitzero"`
}

// Fluid is the bolus that was suggested and what was charted as boluses since.
type Fluid struct {
	SuggestedMl float64  `json:"suggestedMl"`
	GivenMl     *float64 `json:"givenMl,omitempty"` // by the last later receipt; absent: not known
}

// later reads the receipts that came after.
func (s *Story) later(ctx context.Context, d Deps, rc *engine.Receipt) error {
	s.Afterwards = Afterwards{Points: []Point{}, Orders: []Ordered{}}
	then, _, err := timeline(d, rc)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	if s.Patient != "" {
		rows, _, err := d.Log.Page(ctx, audit.Filter{
			Kind: cdshooks.KindDecision, Client: s.Client, Patient: s.Patient, Since: s.Recorded.Add(1), Until: s.Recorded.Add(Window),
			OldestFirst: true, Limit: maxLater,
		}, 0)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := s.after(ctx, d, row.Index.ID, rc.At, then, seen); err != nil {
				return fmt.Errorf("later receipt %s: %w", row.Index.ID, err)
			}
		}
	}
	s.compare(rc.At, then, rc.Outcome.Decision.Advice)
	return nil
}

// after reads one later receipt.
func (s *Story) after(ctx context.Context, d Deps, id string, at time.Time, then *state.Timeline, seen map[string]bool) error {
	stored, err := d.Log.Get(ctx, id)
	if err != nil {
		return err
	}
	r, err := cdshooks.DecodeRecord(stored.Body)
	if err != nil {
		return err
	}
	rc := r.Receipt
	if rc == nil || rc.At.Before(at) {
		return nil
	}
	tl, chart, err := timeline(d, rc)
	if err != nil {
		return err
	}
	a := &s.Afterwards
	a.Receipts++
	a.Until = rc.At
	s.late(id, at, chart, seen)
	p := Point{Receipt: id, At: rc.At, Running: agentsOf(tl)}
	if x, ok := mapOf(tl); ok {
		p.MAPMmHg, p.MAPAt = &x.Value, x.At
	}
	if was, is := then.Present.Fluids, tl.Present.Fluids; was.Known && is.Known && is.BolusStayMl >= was.BolusStayMl {
		ml := is.BolusStayMl - was.BolusStayMl
		p.BolusMl = &ml
	}
	a.Points = append(a.Points, p)
	for _, o := range rc.Outcome.Orders {
		if o.Draft.Selected {
			a.Orders = append(a.Orders, Ordered{id, rc.At, rc.Case.Ordering.Hook, string(o.Draft.Drug), o.Draft.Received, string(o.Severity())})
		}
	}
	return nil
}

func mapOf(tl *state.Timeline) (state.Reading, bool) {
	x, ok := tl.Present.Readings["meanbp"]
	return x, ok
}

// late notes what a later chart holds of the time before the decision that could
// not be known then.
func (s *Story) late(id string, at time.Time, chart *state.Chart, seen map[string]bool) {
	note := func(what, received string, was, available time.Time) {
		key := fmt.Sprint(what, received, was.UnixNano())
		if was.After(at) || !available.After(at) || seen[key] {
			return
		}
		seen[key] = true
		s.Later = append(s.Later, Late{what, received, was, available, id})
	}
	for _, m := range chart.Measurements {
		note(string(m.Concept), m.Received, m.Effective, m.Available)
	}
	for _, a := range chart.Administrations {
		note(string(a.Drug), a.Received, a.Start, a.Available)
	}
}

// compare holds what was suggested against what later receipts say.
func (s *Story) compare(at time.Time, then *state.Timeline, advice agent.Advice) {
	a := &s.Afterwards
	if f := advice.Fluid; f != nil {
		a.Fluid = &Fluid{SuggestedMl: f.BolusMl}
		for _, p := range a.Points {
			if p.BolusMl != nil {
				a.Fluid.GivenMl = p.BolusMl
			}
		}
	}
	v := advice.Vasopressor
	if v == nil {
		return
	}
	x := &Vasopressor{Drug: string(v.Drug), Direction: v.Direction, FromUgKgMin: v.FromUgKgMin, ToUgKgMin: v.ToUgKgMin, ToUMin: v.UMin, Became: Unknown}
	a.Vasopressor = x
	if m, ok := mapOf(then); ok {
		x.MAPBeforeMmHg = &m.Value
	}
	wanted := v.ToUgKgMin - v.FromUgKgMin
	if v.UMin > 0 {
		wanted = v.UMin
	}
	was := rateOf(agentsOf(then), x.Drug)
	for _, p := range a.Points {
		now := rateOf(p.Running, x.Drug)
		if now == nil || !p.At.After(at) {
			continue
		}
		if x.Became == Unknown {
			x.Became = Unchanged
		}
		before := 0.0
		if was != nil {
			before = was.amount
		}
		change := now.amount - before
		if x.Became == Unchanged && math.Abs(change) > sameRateUgKgMin && now.charted.After(at) {
			x.Became = Opposite
			if change*wanted > 0 {
				x.Became = Followed
			}
			if v.UMin > 0 {
				x.GivenUMin = now.amount
			}
			x.GivenUgKgMin, x.Charted, x.AfterMin = now.perKg, now.charted, now.charted.Sub(at).Minutes()
		}
		if !x.Charted.IsZero() && x.MAPAfterMmHg == nil && p.MAPMmHg != nil && p.MAPAt.After(x.Charted) {
			x.MAPAfterMmHg, x.MAPAfterChange = p.MAPMmHg, p.MAPAt
		}
	}
	if x.Became == Unchanged && math.Abs(wanted) <= sameRateUgKgMin {
		x.Became = Followed // to go on as it was
	}
}

type rate struct {
	amount  float64 // in ug/kg/min where that is known, else in the chart's unit
	perKg   float64
	charted time.Time
}

// rateOf is the rate of a drug; a drug that is not listed among known ones does not
// run. nil: nobody can tell.
func rateOf(agents []Agent, drug string) *rate {
	for _, a := range agents {
		if a.Drug != drug {
			continue
		}
		switch {
		case a.State == state.AgentStopped:
			return &rate{charted: a.Charted}
		case a.State != state.AgentRunning:
			return nil
		case a.RateUgKgMin > 0:
			return &rate{a.RateUgKgMin, a.RateUgKgMin, a.Charted}
		}
		return &rate{amount: a.Rate, charted: a.Charted}
	}
	return &rate{}
}
