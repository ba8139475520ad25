// SPDX-License-Identifier: Apache-2.0

package export

// This file: stage 2, how to decide: our planner's decision at a recorded state
// as a trace of calls. It is played in an episode, whose words the answers are.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Kinds of trace, as they are counted.
const (
	TraceChange = "change of treatment"
	TraceKeep   = "current treatment kept"
)

// Why a state gives no trace, as it is counted.
const (
	LeftUnfit    = "no episode may start there"
	LeftSilent   = "the planner has no answer"
	LeftBlocked  = "a rule blocks the answer"
	LeftWithin   = "the planner's change is smaller than a level"
	LeftUnshown  = "another pair looks better in what is shown"
	LeftOutcome  = "the patient is worse or dead after four hours"
	LeftQuestion = "the record answers no question"
)

var errLeft = errors.New("no example")

// left is the error of a state that gives no example.
type left string

func (l left) Error() string        { return string(l) }
func (l left) Is(target error) bool { return target == errLeft }

// trace is the example of one decision time. It ends with a prescription that
// no rule blocks, of a pair that by what was simulated is not worth leaving for
// another: none is better by the gain that the planner wants of a change. The
// error is a left where there is none.
func (x *exporter) trace(ctx context.Context, seed uint64, recorded *state.Timeline) ([]example, error) {
	e, err := x.env.From(seed, recorded)
	if err != nil {
		return nil, err
	}
	d, err := x.native.Decide(ctx, e.Timeline(), seed)
	if err != nil {
		return nil, err
	}
	answer := d.Levels
	switch d.Status {
	case agent.Suggest:
		if answer == d.LevelsNow {
			return nil, left(LeftWithin)
		}
	case agent.Affirm:
		answer = d.LevelsNow
	default:
		return nil, left(LeftSilent)
	}
	first, second := looks(&d, answer)
	opening, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	t := talk{tools: true, turns: []turn{
		{role: roleSystem, text: opening.Observation.Instructions}, {role: roleUser, text: opening.Observation.Message},
	}}
	say := func(words, tool string, arguments any) (environment.Turn, error) {
		data, err := json.Marshal(arguments)
		if err != nil {
			return environment.Turn{}, err
		}
		t.turns = append(t.turns, turn{role: roleAssistant, text: words, tool: tool, arguments: string(data)})
		return e.Act(ctx, environment.Action{Tool: tool, Arguments: string(data)})
	}
	words := fmt.Sprintf("%s Current treatment is %s. In question: %s.", standing(e.Timeline()), llm.Pair(d.LevelsNow), pairs(first))
	var seen []state.Levels
	for _, call := range [][]state.Levels{first, second} {
		if len(call) == 0 {
			continue
		}
		if len(seen) > 0 {
			best, err := bestOf(ctx, e, seen)
			if err != nil {
				return nil, err
			}
			words = fmt.Sprintf("So far %s looks best. Around it: %s.", bestWords(best), pairs(call))
		}
		got, err := say(words, llm.ToolSimulation, map[string][]string{"actions": texts(call)})
		if err != nil {
			return nil, err
		}
		t.turns = append(t.turns, turn{role: roleTool, text: got.Observation.Message})
		seen = append(seen, call...)
	}
	best, err := bestOf(ctx, e, seen)
	if err != nil {
		return nil, err
	}
	shown, err := e.Look(ctx, answer)
	switch {
	case err != nil:
		return nil, err
	case best == nil || shown[0].Blocked:
		return nil, left(LeftBlocked)
	case best.Value-shown[0].Value >= x.minGain:
		return nil, left(LeftUnshown)
	}
	before := *e.Timeline().Last()
	got, err := say(reasons(shown[0], answer == d.LevelsNow), llm.ToolPrescription, map[string]int{"vasopressor": answer.Vasopressor, "iv_fluid": answer.Fluid})
	switch {
	case err != nil:
		return nil, err
	case got.Fault != "":
		return nil, left(LeftBlocked)
	case got.End == environment.EndDied || environment.PatientReward(&before, e.Timeline().Last()) < 0:
		return nil, left(LeftOutcome)
	}
	kind := TraceChange
	if answer == d.LevelsNow {
		kind = TraceKeep
	}
	return []example{{kind, t}}, nil
}

// looks are the pairs of two simulations: what the planner had in question, with
// what runs and its answer, then what lies next to its answer.
func looks(d *agent.Decision, answer state.Levels) (first, second []state.Levels) {
	add := func(to *[]state.Levels, l state.Levels) {
		if len(*to) < llm.MaxActions && !slices.Contains(first, l) && !slices.Contains(second, l) {
			*to = append(*to, l)
		}
	}
	add(&first, d.LevelsNow)
	for i := range d.Options {
		add(&first, d.Options[i].Proposal.LevelsNext)
	}
	around := []state.Levels{answer}
	for _, by := range []int{-1, 1} {
		around = append(around, state.Levels{Vasopressor: answer.Vasopressor + by, Fluid: answer.Fluid}, state.Levels{Vasopressor: answer.Vasopressor, Fluid: answer.Fluid + by})
	}
	for _, l := range around {
		if l.Vasopressor >= 0 && l.Vasopressor <= 4 && l.Fluid >= 0 && l.Fluid <= 4 {
			add(&second, l)
		}
	}
	return first, second
}

// bestOf is the open option of the highest risk-adjusted value; nil where all
// are blocked. What comes first wins a tie.
func bestOf(ctx context.Context, e *environment.Episode, of []state.Levels) (best *environment.Option, err error) {
	options, err := e.Look(ctx, of...)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		if !o.Blocked && (best == nil || o.Value > best.Value) {
			best = o
		}
	}
	return best, nil
}

// standing says why anything is in question at all.
func standing(tl *state.Timeline) string {
	p := &tl.Present.MAP
	if p.Newest == nil {
		return "No pressure is charted."
	}
	return fmt.Sprintf("Mean arterial pressure is %.0f mmHg, goal %.0f.", p.Newest.Value, p.GoalMmHg)
}

func bestWords(o *environment.Option) string {
	if o == nil {
		return "nothing that may be chosen"
	}
	return llm.Pair(o.Levels)
}

// reasons are the numbers that the answer stands on.
func reasons(o *environment.Option, keep bool) string {
	step := &o.Forecast.Steps[0]
	b := step.Band[state.MeanBP]
	what := "is chosen; nothing simulated is enough better to choose it instead"
	if keep {
		what = "is current treatment and is kept; nothing simulated is enough better to change it"
	}
	return fmt.Sprintf("%s %s. Simulated mean arterial pressure in 4 h: %.0f mmHg (80 %% interval %.0f to %.0f).", llm.Pair(o.Levels), what, b.Median, b.Lo80, b.Hi80)
}

func texts(of []state.Levels) (out []string) {
	for _, l := range of {
		out = append(out, llm.Pair(l))
	}
	return out
}

func pairs(of []state.Levels) string { return strings.Join(texts(of), ", ") }
