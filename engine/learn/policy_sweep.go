// SPDX-License-Identifier: Apache-2.0

package learn

// This file: how many cards one user sees, and what that number buys: the
// decisions of every stay shown again under other repeat windows and other
// demands on the gain. The engine itself decides what is shown each time; only
// what the agent said is taken from before.

import (
	"context"
	"math"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// setting is one way to be asked for fewer cards.
type setting struct {
	windowMin float64 // of repeat suppression
	gain      float64 // least gain in value of a suggestion; hazards are never held back
	byGain    bool    // belongs to the sweep of the gain
}

// The settings swept. A user who looks every 4 h sees no repeat within the
// default window, so windows from 4 h on are what changes anything here.
var (
	sweptWindowsMin = []float64{0, 60, 241, 481, 721, 1440}
	sweptGains      = []float64{0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5}
)

func settings(windowMin float64) (out []setting) {
	for _, w := range sweptWindowsMin {
		out = append(out, setting{windowMin: w})
	}
	for _, g := range sweptGains {
		out = append(out, setting{windowMin: windowMin, gain: g, byGain: true})
	}
	return out
}

// recorded is an agent that says again what was said.
type recorded struct {
	decision agent.Decision
	model    world.Info
}

func (r *recorded) Decide(context.Context, *state.Timeline, uint64) (agent.Decision, error) {
	return r.decision, nil
}

func (r *recorded) Model() world.Info { return r.model }

// sweptStay is, per setting and point, whether a card came out.
type sweptStay struct {
	shown [][]bool // setting, then point that has a decision; the others are false
}

// replay shows one stay under every setting.
type replay struct {
	settings []setting
	agent    *recorded
	deciders []*engine.Decider
	prior    [][]engine.Prior
	swept    sweptStay
}

func newReplay(opts *PolicyOptions, settings []setting) (*replay, error) {
	r := &replay{settings: settings, agent: &recorded{model: opts.Model.Info()}, prior: make([][]engine.Prior, len(settings))}
	r.swept.shown = make([][]bool, len(settings))
	for _, s := range settings {
		cfg := opts.Engine
		cfg.RepeatWindowMin = s.windowMin
		d, err := engine.New(r.agent, opts.Hashes, cfg)
		if err != nil {
			return nil, err
		}
		r.deciders = append(r.deciders, d)
	}
	return r, nil
}

// step shows one decision under every setting.
func (r *replay) step(ctx context.Context, c engine.Case, made *engine.Outcome, p *Point) error {
	r.agent.decision = made.Decision
	hazard := len(made.Decision.Hazards) > 0
	for i, s := range r.settings {
		c.Prior = r.prior[i]
		out, err := r.deciders[i].Decide(ctx, c)
		if err != nil {
			return err
		}
		shown := out.Show && (hazard || p.Status != agent.Suggest || p.GainOver >= s.gain)
		r.prior[i] = append(r.prior[i], priorOf(&c, &out, shown))
		r.swept.shown[i] = append(r.swept.shown[i], shown)
	}
	return nil
}

// Burden is what one user who looks at every landmark time sees.
type Burden struct {
	PatientDays        float64      `json:"patient_days"`
	Cards              int          `json:"cards"`
	CardsPerPatientDay Estimate     `json:"cards_per_patient_day"`
	CardsPerView       Share        `json:"cards_per_view"`
	ByTopic            []TopicCount `json:"by_topic"`
	// Danger looks into the cards that show a danger, which are never held back
	// and so make most of the burden.
	Danger DangerCards `json:"danger"`
	// DaysWithout is the share of patient-days without any card.
	DaysWithout Share `json:"stay_days_without_a_card"`
}

// DangerCards are the cards that show a danger, by what they rest on. A card can
// count in several.
type DangerCards struct {
	Cards int `json:"cards"`
	// OldMAP: no MAP of the last two hours stands behind it.
	OldMAP Share `json:"map_older_than_2h"`
	// UnknownDose: vasopressors are not charted, so that none running is a guess.
	UnknownDose Share `json:"vasopressors_not_charted"`
	// Near: MAP is at most 5 mmHg below its goal.
	Near Share `json:"map_within_5_of_goal"`
	// Again: the card 4 h before showed a danger too.
	Again Share `json:"again_after_4h"`
	// Passed: the mean MAP of the following 4 h was at goal and no vasopressor
	// and no bolus was given: it went by itself, or the reading was wrong.
	Passed Share `json:"passed_untreated"`
	// ByRule counts each danger shown.
	ByRule map[string]int `json:"by_rule"`
}

// TopicCount is the cards of one topic.
type TopicCount struct {
	Topic string `json:"topic"`
	Cards int    `json:"cards"`
}

// Sweep is the cards at each setting with what they bought.
type Sweep struct {
	Gain   []SweepPoint `json:"gain"`
	Window []SweepPoint `json:"repeat_window"`
	// Depth asks what if a danger spoke only from so far below goal, with a MAP
	// of the last two hours. Rules are not changed by it: cards without advice
	// are taken out of those shown. A MAP below 55 mmHg always speaks.
	Depth []SweepPoint `json:"danger_depth"`
}

// SweepPoint is one setting.
type SweepPoint struct {
	GainAtLeast float64  `json:"gain_at_least"`
	WindowMin   float64  `json:"repeat_window_min"`
	DepthMmHg   float64  `json:"danger_from_mmhg_below_goal"`
	Cards       int      `json:"cards"`
	CardsPerDay Estimate `json:"cards_per_patient_day"`
	// Agreement is how often clinicians then went in the direction of a
	// vasopressor that a card had suggested, among cards that suggest one.
	Agreement Share `json:"direction_agreement"`
	// Hazards is how often a card was shown among states with a MAP below 55
	// mmHg and no vasopressor running.
	Hazards Share `json:"untreated_severe_hypotension_shown"`
	// Raises is how often a card to raise came before clinicians raised a
	// vasopressor, among the times they did so with MAP below goal.
	Raises Share `json:"raises_anticipated"`
	// Acted is how often any card was shown among the times that MAP was below
	// goal and clinicians then raised a vasopressor or gave a bolus.
	Acted Share `json:"treated_low_pressure_shown"`
}

// burden counts the cards of the default settings.
func (s *sample) burden() Burden {
	out := Burden{ByTopic: []TopicCount{}}
	num, den := make([]float64, len(s.patients)), make([]float64, len(s.patients))
	topics := map[string]int{}
	for i := range s.points {
		p := &s.points[i]
		den[s.of[i]] += state.StepHours / 24.
		out.PatientDays += state.StepHours / 24.
		if p.Shown {
			out.Cards++
			num[s.of[i]]++
			topics[p.Topic]++
		}
	}
	for _, t := range []string{engine.TopicHazard, engine.TopicVasopressor, engine.TopicFluid, engine.TopicReview} {
		out.ByTopic = append(out.ByTopic, TopicCount{t, topics[t]})
	}
	out.CardsPerPatientDay = s.ratio(num, den)
	out.CardsPerView = s.share(func(p *Point) (bool, bool) { return p.Shown, true })
	out.DaysWithout = s.quietDays()
	out.Danger = s.danger()
	return out
}

// danger looks into the cards that show one.
func (s *sample) danger() DangerCards {
	out := DangerCards{ByRule: map[string]int{}}
	again := map[*Point]bool{}
	for _, stay := range s.stays {
		for i := stay[0]; i < stay[1]; i++ {
			p := &s.points[i]
			if !p.endangered() {
				continue
			}
			out.Cards++
			for _, id := range p.Hazards {
				out.ByRule[id]++
			}
			again[p] = i > stay[0] && s.points[i-1].endangered()
		}
	}
	out.OldMAP = s.share(func(p *Point) (bool, bool) { return math.IsNaN(p.MAPMmHg), p.endangered() })
	out.UnknownDose = s.share(func(p *Point) (bool, bool) { return !p.AsIs.VasoKnown, p.endangered() })
	out.Near = s.share(func(p *Point) (bool, bool) { return belowGoal(p) && p.MAPMmHg >= p.GoalMmHg-nearMmHg, p.endangered() })
	out.Again = s.share(func(p *Point) (bool, bool) { return again[p], p.endangered() })
	out.Passed = s.share(func(p *Point) (bool, bool) {
		return p.leftAlone() && p.NextMAPMmHg >= p.GoalMmHg, p.endangered() && p.HasNext && p.Given.known() && !math.IsNaN(p.NextMAPMmHg)
	})
	return out
}

// nearMmHg below its goal, a MAP is within what a cuff and another cuff differ by.
const nearMmHg = 5

// endangered says that a card showed a danger.
func (p *Point) endangered() bool { return p.Shown && len(p.Hazards) > 0 }

// quietDays is the share of days of stays, begun days included, without a card.
func (s *sample) quietDays() Share {
	quiet := map[*Point]bool{} // the first point of a day stands for it
	for _, stay := range s.stays {
		var first *Point
		for i := stay[0]; i < stay[1]; i++ {
			p := &s.points[i]
			if first == nil || (p.Step-1)/6 != (first.Step-1)/6 {
				first = p
				quiet[first] = true
			}
			if p.Shown {
				quiet[first] = false
			}
		}
	}
	return s.share(func(p *Point) (bool, bool) { q, ok := quiet[p]; return q, ok })
}

// sweep counts every setting.
func (s *sample) sweep() Sweep {
	var out Sweep
	if len(s.swept) == 0 {
		return out
	}
	place := make(map[*Point]int, len(s.points))
	for i := range s.points {
		place[&s.points[i]] = i
	}
	all := settings(s.windowMin)
	for k, set := range all {
		shown := make([]bool, len(s.points))
		for n, stay := range s.stays {
			at := 0
			for i := stay[0]; i < stay[1]; i++ {
				if s.points[i].decided {
					shown[i] = s.swept[n].shown[k][at]
					at++
				}
			}
		}
		is := func(p *Point) bool { return shown[place[p]] }
		point := s.sweepPoint(set, is)
		if set.byGain {
			out.Gain = append(out.Gain, point)
		} else {
			out.Window = append(out.Window, point)
		}
	}
	for _, depth := range sweptDepthsMmHg {
		point := s.sweepPoint(setting{windowMin: s.windowMin}, func(p *Point) bool { return p.Shown && !p.shallow(depth) })
		point.DepthMmHg = depth
		out.Depth = append(out.Depth, point)
	}
	return out
}

// sweptDepthsMmHg are how far below goal a danger begins to speak.
var sweptDepthsMmHg = []float64{0, 1, 2, 3, 5, 7, 10}

// shallow says that a card holds no advice and a danger that is less than so
// deep below goal, or rests on an old MAP.
func (p *Point) shallow(depthMmHg float64) bool {
	if p.Speaks() || p.MAPMmHg < severeMmHg || depthMmHg == 0 {
		return false
	}
	return !(p.MAPMmHg <= p.GoalMmHg-depthMmHg) // NaN is shallow
}

func (s *sample) sweepPoint(set setting, shown func(*Point) bool) SweepPoint {
	out := SweepPoint{GainAtLeast: set.gain, WindowMin: set.windowMin}
	num, den := make([]float64, len(s.patients)), make([]float64, len(s.patients))
	for i := range s.points {
		den[s.of[i]] += state.StepHours / 24.
		if shown(&s.points[i]) {
			out.Cards++
			num[s.of[i]]++
		}
	}
	out.CardsPerDay = s.ratio(num, den)
	out.Agreement = s.share(func(p *Point) (bool, bool) {
		g, known := p.givenCourse()
		return g == p.Course, known && p.Status == agent.Suggest && p.Course != Hold && shown(p)
	})
	out.Hazards = s.share(func(p *Point) (bool, bool) { return shown(p), untreatedLow(p) })
	out.Raises = s.share(func(p *Point) (bool, bool) {
		g, known := p.givenCourse()
		return raisesAdvised(p) && shown(p), known && g == Raise && p.Applies() && belowGoal(p)
	})
	out.Acted = s.share(func(p *Point) (bool, bool) {
		g, known := p.givenCourse()
		acted := known && g == Raise || p.HasNext && p.Given.FluidKnown && p.Given.BolusMl >= givenBolusMl
		return shown(p), acted && p.Applies() && belowGoal(p)
	})
	return out
}
