// SPDX-License-Identifier: Apache-2.0

package llm

// This file: what a language model is shown and how its calls are read, for
// those who train or examine one (engine/learn). What is trained on is what is
// served: the templates, the tools and the reading of arguments are those of a
// consultation.

import (
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Menu is what there is to choose from at one decision time. Names are ours;
// the reasons of what is refused may be texts of rules, and are shown quoted.
type Menu struct {
	Now     state.Levels // current treatment
	Choices []Item
	Refused []agent.Refused
}

// Item is one treatment that may be chosen.
type Item struct {
	Levels state.Levels
	Name   string
}

// menuOf is the menu of a consultation.
func menuOf(x *agent.Deliberation) Menu {
	m := Menu{Now: x.Native().LevelsNow, Refused: x.Refused()}
	for _, c := range x.Choices() {
		m.Choices = append(m.Choices, Item{c.Levels, c.Name})
	}
	return m
}

// Prompts writes what a language model is told. It is immutable.
type Prompts struct{ prompts *prompts }

// LoadPrompts reads prompts/*.tmpl. The error wraps ErrConfig.
func LoadPrompts(fsys fs.FS) (*Prompts, error) {
	p, err := loadPrompts(fsys)
	if err != nil {
		return nil, err
	}
	return &Prompts{p}, nil
}

// Hash is the SHA-256 over the names and bytes of the templates.
func (p *Prompts) Hash() string { return p.prompts.hash }

// System is the system message: what the task is, in at most so many messages
// of the model for each prescription, and how often it prescribes. The task of a
// consultation ends with the first.
func (p *Prompts) System(rounds, prescriptions int) (string, error) {
	return p.prompts.system(rounds, prescriptions)
}

// Chart is the patient and the menu, in numbers. Nothing of the chart's text,
// names, identifiers or dates is in it.
func (p *Prompts) Chart(tl *state.Timeline, m Menu, cfg state.Config) (string, error) {
	return p.prompts.write("chart.tmpl", chartOf(tl, m, cfg))
}

// Simulated is one answer to one action of a simulation call: a future, or why
// there is none.
type Simulated struct {
	Levels state.Levels
	Choice *agent.Choice // nil: Error says why
	Open   bool          // it may be prescribed
	Error  *CallError
}

// Simulation is the answer to a simulation call. left is how many messages the
// model has left.
func (p *Prompts) Simulation(of []Simulated, left int) (string, error) {
	var results []result
	for _, s := range of {
		r := result{Pair: pairOf(s.Levels)}
		if s.Choice != nil {
			r.show(s.Choice, s.Open)
		} else {
			text, err := encode(s.Error)
			if err != nil {
				return "", err
			}
			r.Error = text
		}
		results = append(results, r)
	}
	return p.prompts.simulation(results, left)
}

// Remind is the answer to a message without a tool call.
func (p *Prompts) Remind(left int) (string, error) { return p.prompts.remind(left) }

// Names of the tools, and how many actions one simulation takes.
const (
	ToolSimulation   = toolSimulation
	ToolPrescription = toolPrescription
	MaxActions       = maxActions
)

// Tool describes a tool: what a consultation tells the endpoint of it.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"` // JSON Schema of the arguments
}

// Tools lists the two tools, simulation first.
func Tools() []Tool {
	out := make([]Tool, 0, len(tools))
	for _, t := range tools {
		schema, _ := t.Function.Parameters.(json.RawMessage)
		out = append(out, Tool{t.Function.Name, t.Function.Description, schema})
	}
	return out
}

// ParseCall reads one call strictly. actions is what simulation asks for;
// prescription gives one. Anything else is the error that the model is told.
func ParseCall(name, arguments string) (actions []state.Levels, cerr *CallError) {
	switch name {
	case toolSimulation:
		return parseSimulation(arguments)
	case toolPrescription:
		levels, cerr := parsePrescription(arguments)
		if cerr != nil {
			return nil, cerr
		}
		return []state.Levels{levels}, nil
	}
	return nil, unknownTool(name)
}

func unknownTool(name string) *CallError {
	return callError(CodeUnknownTool, "%s is no tool: there are %s and %s", argument(name), toolSimulation, toolPrescription)
}

// RefusedWords says why a treatment may not be chosen; a rule's text is quoted.
func RefusedWords(r agent.Refused) string { return refusedWords(r) }

// Pair writes levels as the tools take them: "[vasopressor,iv_fluid]".
func Pair(l state.Levels) string { return pairOf(l) }

// Refuse makes the answer to a call that cannot be done.
func Refuse(cerr *CallError) string {
	text, err := encode(map[string]*CallError{"error": cerr})
	if err != nil {
		return fmt.Sprintf(`{"error":{"code":%q}}`, cerr.Code) // strings always encode
	}
	return text
}
