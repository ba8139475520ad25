// SPDX-License-Identifier: Apache-2.0

package environment

// This file: an episode in words. An agent sends messages; each is answered with
// an observation and the parts of a reward. The words are those that a language
// model is served with.

import (
	"context"
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Kinds of observation.
const (
	KindChart      = "chart"      // a state: at the start, and after four hours
	KindSimulation = "simulation" // answers to simulation calls
	KindRefused    = "refused"    // a call that could not be done, and why
	KindReminder   = "reminder"   // the message held no call
	KindEnd        = "end"
)

// Observation is what an agent is told. Nothing in it tells rewards, chances of
// death or what is to come.
type Observation struct {
	Message string `json:"message"` // the text to go on from
	// Instructions is the system message, with the first observation only.
	Instructions string `json:"instructions,omitempty"`
	Kind         string `json:"kind"`
	Step         int    `json:"step"`          // prescriptions given
	StepsLeft    int    `json:"steps_left"`    // at most
	MessagesLeft int    `json:"messages_left"` // before four hours pass under current treatment
}

// Turn is the answer to one message.
type Turn struct {
	Observation Observation
	Reward      Reward
	End         End    // empty while the episode goes on
	Fault       string // code of what was wrong with the message; empty: nothing
}

// Open is the first observation.
func (e *Episode) Open(ctx context.Context) (Turn, error) {
	system, err := e.env.deps.Prompts.System(e.env.cfg.Messages, e.env.cfg.Steps)
	if err != nil {
		return Turn{}, err
	}
	text, err := e.chartText(ctx)
	if err != nil {
		return Turn{}, err
	}
	o := e.observe(KindChart, text)
	o.Instructions = system
	return Turn{Observation: o}, nil
}

func (e *Episode) observe(kind, text string) Observation {
	return Observation{
		Message: text, Kind: kind, Step: e.step,
		StepsLeft: e.env.cfg.Steps - e.step, MessagesLeft: e.env.cfg.Messages - e.messages,
	}
}

// chartText is the present state with its menu.
func (e *Episode) chartText(ctx context.Context) (string, error) {
	options, err := e.Menu(ctx)
	if err != nil {
		return "", err
	}
	m, rules := llm.Menu{Now: agent.LevelsNow(e.env.deps.State, e.tl)}, map[string]string{}
	for _, o := range options {
		if !o.Blocked {
			m.Choices = append(m.Choices, llm.Item{Levels: o.Levels, Name: o.Proposal.Name})
			continue
		}
		// A rule's text is told once: it is long, and of one state.
		r := o.refused()
		if first, told := rules[r.Rule]; told {
			r.Why = "as for " + first
		} else {
			rules[r.Rule] = llm.Pair(o.Levels)
		}
		m.Refused = append(m.Refused, r)
	}
	return e.env.deps.Prompts.Chart(e.tl, m, e.env.deps.State)
}

// refused says which rule blocks first.
func (o *Option) refused() agent.Refused {
	r := agent.Refused{Levels: o.Levels, Name: o.Proposal.Name}
	for _, v := range o.Verdicts {
		if v.Effect == policy.Block {
			r.Rule, r.Why = v.ID, v.Text
			break
		}
	}
	return r
}

// turn is the answer to one message as it comes about.
type turn struct {
	Turn
	texts []string
	valid bool // some call was valid
	given bool // four hours have passed
}

// Act answers one message. The only errors are those of the models, the rules
// and the context: whatever the agent has said is answered with an observation.
// A message to an ended episode is told so and earns nothing.
func (e *Episode) Act(ctx context.Context, a Action) (Turn, error) {
	if e.end != "" {
		return Turn{Observation: e.observe(KindEnd, endWords(e.end)), End: e.end}, nil
	}
	if _, err := e.Menu(ctx); err != nil { // before anything is counted
		return Turn{}, err
	}
	before := *e
	t, err := e.act(ctx, a)
	if err != nil {
		*e = before
		return Turn{}, err
	}
	return t, nil
}

func (e *Episode) act(ctx context.Context, a Action) (Turn, error) {
	e.messages++
	t := &turn{}
	calls, fault := a.calls()
	switch {
	case fault != nil:
		t.refuse(fault)
	case len(calls) == 0:
		text, err := e.env.deps.Prompts.Remind(e.left())
		if err != nil {
			return Turn{}, err
		}
		t.say(KindReminder, text)
		t.Fault = faultNoCall
	}
	for _, c := range calls {
		if err := e.call(ctx, t, c, len(calls) == 1); err != nil {
			return Turn{}, err
		}
	}
	if t.Fault != "" && t.Reward.Rule == 0 {
		t.Reward.Invalid -= invalidCost
	}
	e.useless++
	if t.valid {
		e.useless = 0
	}
	if err := e.goOn(ctx, t); err != nil {
		return Turn{}, err
	}
	t.End = e.end
	t.Observation = e.observe(t.Observation.Kind, strings.Join(t.texts, "\n\n"))
	return t.Turn, nil
}

func (e *Episode) left() int { return e.env.cfg.Messages - e.messages }

func (t *turn) say(kind, text string) {
	t.Observation.Kind = kind
	t.texts = append(t.texts, text)
}

func (t *turn) refuse(cerr *llm.CallError) {
	t.say(KindRefused, llm.Refuse(cerr))
	t.Fault = cerr.Code
}

// call does one call of a message.
func (e *Episode) call(ctx context.Context, t *turn, c Call, alone bool) error {
	levels, cerr := llm.ParseCall(c.Name, c.Arguments)
	switch {
	case cerr != nil:
		t.refuse(cerr)
		return nil
	case c.Name == llm.ToolPrescription && !alone:
		t.refuse(&llm.CallError{Code: llm.CodeNotAlone, Message: "prescribe in a message of its own, once"})
		return nil
	}
	t.valid = true
	options, err := e.Look(ctx, levels...)
	if err != nil {
		return err
	}
	if c.Name == llm.ToolSimulation {
		t.Reward.Simulation += SimulationReward(len(options)).Simulation
		text, err := e.env.deps.Prompts.Simulation(shown(options), e.left())
		if err != nil {
			return err
		}
		t.say(KindSimulation, text)
		return nil
	}
	r, err := e.Prescribe(ctx, levels[0])
	if err != nil {
		return err
	}
	t.Reward = add(t.Reward, r.Reward)
	if len(r.Blocked) > 0 {
		t.refuse(&llm.CallError{Code: llm.CodeNotAvailable, Message: fmt.Sprintf("%s cannot be chosen: %s", llm.Pair(levels[0]), llm.RefusedWords(options[0].refused()))})
		return nil
	}
	t.given = true
	t.say(KindChart, "prescribed "+llm.Pair(levels[0]))
	return nil
}

func shown(options []*Option) []llm.Simulated {
	out := make([]llm.Simulated, len(options))
	for i, o := range options {
		c := &agent.Choice{Levels: o.Levels, Name: o.Proposal.Name, Current: o.Levels == o.Proposal.LevelsNow, Forecast: o.Forecast, Value: o.Value}
		for _, v := range o.Verdicts {
			if v.Effect == policy.Warning || v.Effect == policy.Penalty {
				c.Warnings = append(c.Warnings, v)
			}
		}
		out[i] = llm.Simulated{Levels: o.Levels, Choice: c, Open: !o.Blocked}
	}
	return out
}

// goOn ends the episode, lets time pass where nobody prescribes, and shows the
// next state.
func (e *Episode) goOn(ctx context.Context, t *turn) error {
	switch {
	case e.end != "":
	case e.useless >= e.env.cfg.Useless:
		e.Abandon()
	case !t.given && e.left() <= 0:
		r, err := e.Keep(ctx)
		if err != nil {
			return err
		}
		t.Reward, t.given = add(t.Reward, r.Reward), true
		t.say(KindChart, "No treatment was prescribed in time: current treatment is kept.")
	}
	if e.end != "" {
		t.say(KindEnd, endWords(e.end))
		return nil
	}
	if !t.given {
		return nil
	}
	text, err := e.chartText(ctx)
	if err != nil {
		return err
	}
	t.say(KindChart, "Four hours later:\n\n"+text)
	return nil
}

// add sums two rewards part by part.
func add(a, b Reward) Reward {
	return Reward{
		Patient: a.Patient + b.Patient, Terminal: a.Terminal + b.Terminal, Rule: a.Rule + b.Rule, Guideline: a.Guideline + b.Guideline,
		Simulation: a.Simulation + b.Simulation, Invalid: a.Invalid + b.Invalid, Burden: a.Burden + b.Burden,
	}
}

func endWords(end End) string {
	switch end {
	case EndDied:
		return "The episode has ended: the patient died."
	case EndDischarged:
		return "The episode has ended: the patient is well enough to leave intensive care."
	case EndLimit:
		return "The episode has ended: the patient is alive when the time is over."
	}
	return "The episode has ended: too many messages without a valid call."
}
