// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: what a policy is worth in the simulated unit, on members of the
// ensemble that trained nothing and on the mechanistic simulator, with and without
// the simulator at hand, and how safe it is there.

import (
	"context"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Interval is a number with its 95 % interval over resampled patients.
type Interval struct {
	Value world.Number `json:"value"`
	Low   world.Number `json:"low"`
	High  world.Number `json:"high"`
}

// The worlds that a policy is scored in.
const (
	WorldHeld        = "held-out members"
	WorldMechanistic = "mechanistic simulator"
)

// Row is one policy in one world.
type Row struct {
	Policy    string   `json:"policy"`
	World     string   `json:"world"`
	Simulator bool     `json:"simulator"`
	Episodes  int      `json:"episodes"`
	Return    Interval `json:"return"`      // of an episode, at most 1
	Survival  Interval `json:"survival"`    // percent alive at the end
	Published Interval `json:"published"`   // percent of prescriptions that break neither G1 nor G2
	Rules     Interval `json:"rules"`       // percent that no rule advises against
	Under     Interval `json:"under"`       // percent of prescriptions in Festor hazards A or C
	Over      Interval `json:"over"`        // and in B or D
	Looks     Interval `json:"simulated"`   // pairs simulated per decision
	Turned    Interval `json:"turned"`      // percent of decisions whose prescription is another than before looking
	LowHours  Interval `json:"low_hours"`   // hours of MAP below 65 mmHg per patient
	Paid      Interval `json:"paid"`        // for looking, part of the return
	Refused   int      `json:"not_treated"` // decisions that ended without a prescription

	// Earned are the returns by start, the same starts in the same order in all
	// rows of a world, NaN where nobody could be admitted.
	Earned []world.Number `json:"returns"`
}

// Against is the mean difference of the returns of two rows, patient by patient,
// with its interval: what overlapping intervals of the two cannot tell. ok is false
// where the rows are not of the same starts.
func (r Row) Against(other Row, seed uint64) (diff Interval, ok bool) {
	if r.World != other.World || len(r.Earned) == 0 || len(r.Earned) != len(other.Earned) {
		return Interval{}, false
	}
	var by []float64
	for i, v := range r.Earned {
		a, b := float64(v), float64(other.Earned[i])
		if math.IsNaN(a) != math.IsNaN(b) {
			return Interval{}, false
		}
		if !math.IsNaN(a) {
			by = append(by, a-b)
		}
	}
	return bootstrap(len(by), seed, func(weight func(int) float64) float64 {
		top, bottom := 0., 0.
		for i, v := range by {
			top, bottom = top+weight(i)*v, bottom+weight(i)
		}
		return top / bottom
	}), len(by) > 0
}

// tally is what one patient adds to a row.
type tally struct {
	earned, alive, lowH, paid            float64
	given, published, clean, under, over float64
	decisions, looks, turned             float64
}

// person is a policy that is scored: doctors of one episode each, so that chance
// is of the episode.
type person struct {
	name      string
	simulator bool
	doctor    func(seed uint64) doctor
}

// score treats the patients of the seeds in one world.
func (t *trainer) score(ctx context.Context, in string, p person) (Row, error) {
	tallies := make([]*tally, t.cfg.Scored)
	err := t.each(ctx, len(tallies), func(i int) error {
		seed := t.seed(4, i)
		b, ok, err := t.bedOf(ctx, in, seed)
		if err != nil || !ok {
			return err
		}
		tallies[i] = &tally{}
		out, err := treat(ctx, b, p.doctor(seed), func(d *decision, pair int, e *environment.Episode) error {
			return t.note(ctx, tallies[i], d, pair, e)
		})
		if err != nil {
			return err
		}
		for _, r := range out.earned {
			tallies[i].earned += r
		}
		for _, c := range out.choices {
			tallies[i].paid -= c.reward
		}
		tallies[i].decisions = float64(len(out.earned))
		if out.end != environment.EndDied {
			tallies[i].alive = 1
		}
		if m, ok := b.(*mechanistic); ok {
			tallies[i].lowH = m.lowH
		} else {
			tallies[i].lowH = lowHours(b.episode().Timeline(), len(out.earned))
		}
		return nil
	}, nil)
	if err != nil {
		return Row{}, err
	}
	earned := returnsOf(tallies)
	out := t.row(in, p, slices.DeleteFunc(tallies, func(x *tally) bool { return x == nil }))
	out.Earned = earned
	return out, nil
}

// returnsOf are the returns by start.
func returnsOf(tallies []*tally) []world.Number {
	out := make([]world.Number, len(tallies))
	for i, x := range tallies {
		if out[i] = world.Number(math.NaN()); x != nil {
			out[i] = world.Number(x.earned)
		}
	}
	return out
}

// lowHours are those of the last steps of 4 h whose mean MAP is below 65 mmHg.
func lowHours(tl *state.Timeline, steps int) (h float64) {
	for _, s := range tl.Steps[max(0, len(tl.Steps)-steps):] {
		if s.Presence[state.MeanBP] != state.Missing && s.Value[state.MeanBP] < lowMmHg {
			h += state.StepHours
		}
	}
	return h
}

func (t *trainer) bedOf(ctx context.Context, world string, seed uint64) (bed, bool, error) {
	if world == WorldMechanistic {
		m, ok, err := t.unit.admit(ctx, seed)
		return m, ok, err
	}
	e, err := t.unit.Held.Reset(ctx, seed, environment.TaskSynthetic)
	return simulated{e}, err == nil, err
}

// note counts one prescription.
func (t *trainer) note(ctx context.Context, x *tally, d *decision, pair int, e *environment.Episode) error {
	tl := e.Timeline()
	options, err := e.Look(ctx, environment.LevelsOf(pair))
	if err != nil {
		return err
	}
	x.given++
	if !slices.ContainsFunc(penalties(options[0]), func(v float64) bool { return v > 0 }) {
		x.clean++
	}
	value := func(f int) float64 {
		if tl.Last().Presence[f] == state.Missing {
			return math.NaN()
		}
		return tl.Last().Value[f]
	}
	levels := environment.LevelsOf(pair)
	if !learn.BreaksPublished(levels, agent.LevelsNow(t.unit.State, tl).Vasopressor, value(state.MeanBP), value(state.Lactate)) {
		x.published++
	}
	at := learn.Point{MAPMmHg: math.NaN(), CVPMmHg: math.NaN(), BalanceMl: math.NaN()}
	if f := tl.Present.Fluids; f.Known {
		at.BalanceMl = f.BalanceMl
	}
	if m := tl.Present.MAP.Newest; m != nil {
		at.MAPMmHg = m.Value
	}
	if c, ok := tl.Present.Readings[string(state.ConceptCVP)]; ok {
		at.CVPMmHg = c.Value
	}
	for _, h := range learn.FestorHazards() {
		if !h.AtRisk(&at) || !h.Levels(levels) {
			continue
		}
		if h.ID == "A" || h.ID == "C" {
			x.under++
		} else {
			x.over++
		}
	}
	x.looks += float64(d.looks)
	if d.alone >= 0 && d.alone != d.pair {
		x.turned++
	}
	return nil
}

// resamples of the patients behind an interval.
const resamples = 500

// row sums tallies up, with intervals over resampled patients.
func (t *trainer) row(world string, p person, tallies []*tally) Row {
	interval := func(of, per func(x *tally) float64, scale float64) Interval {
		return bootstrap(len(tallies), t.cfg.Imitation.Seed, func(weight func(int) float64) float64 {
			top, bottom := 0., 0.
			for i, x := range tallies {
				top, bottom = top+weight(i)*of(x), bottom+weight(i)*per(x)
			}
			return scale * top / bottom
		})
	}
	one := func(*tally) float64 { return 1 }
	given := func(x *tally) float64 { return x.given }
	out := Row{Policy: p.name, World: world, Simulator: p.simulator, Episodes: len(tallies),
		Return:    interval(func(x *tally) float64 { return x.earned }, one, 1),
		Survival:  interval(func(x *tally) float64 { return x.alive }, one, 100),
		Published: interval(func(x *tally) float64 { return x.published }, given, 100),
		Rules:     interval(func(x *tally) float64 { return x.clean }, given, 100),
		Under:     interval(func(x *tally) float64 { return x.under }, given, 100),
		Over:      interval(func(x *tally) float64 { return x.over }, given, 100),
		Looks:     interval(func(x *tally) float64 { return x.looks }, given, 1),
		LowHours:  interval(func(x *tally) float64 { return x.lowH }, one, 1),
		Paid:      interval(func(x *tally) float64 { return x.paid }, one, 1),
		Turned:    interval(func(x *tally) float64 { return x.turned }, given, 100),
	}
	for _, x := range tallies {
		out.Refused += int(x.decisions - x.given)
	}
	return out
}

// bootstrap is a statistic of n things with its percentile interval, each thing
// weighed by how often it was drawn.
func bootstrap(n int, seed uint64, of func(weight func(int) float64) float64) Interval {
	out := Interval{Value: world.Number(of(func(int) float64 { return 1 })), Low: world.Number(math.NaN()), High: world.Number(math.NaN())}
	if n == 0 {
		return out
	}
	rng, weights := chance(seed, 300), make([]float64, n)
	var drawn []float64
	for range resamples {
		clear(weights)
		for range n {
			weights[rng.IntN(n)]++
		}
		if v := of(func(i int) float64 { return weights[i] }); !math.IsNaN(v) && !math.IsInf(v, 0) {
			drawn = append(drawn, v)
		}
	}
	if slices.Sort(drawn); len(drawn) >= resamples/2 {
		out.Low, out.High = world.Number(drawn[len(drawn)*25/1000]), world.Number(drawn[len(drawn)*975/1000])
	}
	return out
}

// fixed is a doctor who names a pair without deliberation; where rules block it,
// the nearest that is open.
func (u *Unit) fixed(pair func(ctx context.Context, e *environment.Episode) (int, error)) doctor {
	return doctor{decide: func(ctx context.Context, e *environment.Episode) (*decision, bool, error) {
		want, err := pair(ctx, e)
		if err != nil {
			return nil, false, err
		}
		if o, err := e.Look(ctx, environment.LevelsOf(want)); err != nil || !o[0].Blocked {
			return &decision{pair: want, alone: -1}, err == nil, err
		}
		menu, err := e.Menu(ctx)
		if err != nil {
			return nil, false, err
		}
		best, far := -1, math.Inf(1)
		for p, o := range menu {
			dv, df := float64(p/5-want/5), float64(p%5-want%5)
			if d := dv*dv + df*df; !o.Blocked && d < far {
				best, far = p, d
			}
		}
		return &decision{pair: best, alone: -1}, best >= 0, nil
	}}
}

// running is the pair that runs.
func (u *Unit) running(_ context.Context, e *environment.Episode) (int, error) {
	l := agent.LevelsNow(u.State, e.Timeline())
	return 5*l.Vasopressor + l.Fluid, nil
}

// references are policies that nothing here was trained to.
func (t *trainer) references() []person {
	unit := t.unit
	out := []person{
		{"no drug, no fluid", false, func(uint64) doctor {
			return unit.fixed(func(context.Context, *environment.Episode) (int, error) { return 0, nil })
		}},
		{"what runs", false, func(uint64) doctor { return unit.fixed(unit.running) }},
		{"usual care", false, func(seed uint64) doctor {
			return unit.fixed(func(_ context.Context, e *environment.Episode) (int, error) {
				b, err := unit.Model.Behaviour(e.Timeline())
				if err != nil {
					return 0, err
				}
				var p [agent.ActorPairs]float32
				for i := range p {
					p[i] = float32(b[i/5][i%5])
				}
				return drawn(chance(seed, uint64(e.Timeline().At.Unix())))(p[:]), nil
			})
		}},
		{"planner (teacher)", true, func(uint64) doctor {
			return doctor{decide: func(ctx context.Context, e *environment.Episode) (*decision, bool, error) {
				d, _, ok, err := unit.teach(ctx, e, t.cfg.Looks)
				if err == nil && !ok { // all it looked at is blocked
					return unit.fixed(unit.running).decide(ctx, e)
				}
				return d, ok, err
			}}
		}},
	}
	if unit.Service != nil {
		name := "the service, without a learned proposer"
		if unit.Service.Actor() != nil {
			name = "the service"
		}
		out = append(out, person{name, true, func(uint64) doctor { return unit.fixed(unit.served) }})
	}
	return out
}

// served is the pair of what the service suggests, of what runs where it affirms
// that or says nothing. It looks at its own options, which cost nothing here.
func (u *Unit) served(ctx context.Context, e *environment.Episode) (int, error) {
	d, err := u.Service.Decide(ctx, e.Timeline(), 1)
	if err != nil {
		return 0, err
	}
	l := learn.AdvisedLevels(&d)
	return 5*l.Vasopressor + l.Fluid, nil
}
