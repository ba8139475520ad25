// SPDX-License-Identifier: Apache-2.0

package llm_test

// This file: any tool call at all, played back as a recorded message so that
// no server is needed.

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func FuzzCall(f *testing.F) {
	for _, c := range []call{
		{"prescription", `{"vasopressor":2,"iv_fluid":3}`},
		{"prescription", `{"vasopressor":2.0,"iv_fluid":3}`},
		{"prescription", `{"vasopressor":2,"iv_fluid":3,"iv_fluid":4}`},
		{"prescription", `{"Vasopressor":2,"iv_fluid":3}`},
		{"prescription", `{"vasopressor":"2","iv_fluid":null}`},
		{"prescription", `{"vasopressor":-0,"iv_fluid":1e0}`},
		{"simulation", `{"actions":["[2,3]",{"vasopressor":2,"iv_fluid":4}]}`},
		{"simulation", `{"actions":["[ 2 , 3 ]","[2,3","(2,3)","[02,3]"]}`},
		{"simulation", `{"actions":[]}`},
		{"simulation", `{"actions":"[2,3]","dose":10}`},
		{"other", "\xff"},
	} {
		f.Add(c[0], c[1])
	}
	tl := timeline(f, physiology.SepticShock)
	choices := deliberation(f, tl).Choices()
	a := newAgent(f, config("http://127.0.0.1:1", func(c *llm.Config) { c.Offline = true }))
	f.Fuzz(func(t *testing.T, name, arguments string) {
		d, transcript := consult(t, a, tl, &agent.Transcript{Turns: []agent.Turn{
			{Reply: &agent.Reply{Finish: "tool_calls", Calls: []agent.Call{{Name: name, Arguments: arguments}}}},
		}})
		if answers := transcript.Turns[0].Answers; len(answers) != 1 || answers[0] == "" {
			t.Fatalf("the call was answered %q", answers)
		}
		if d.Consulted.Outcome != agent.ConsultChosen {
			return
		}
		// What was taken for a prescription must be one to any reader of JSON.
		var got map[string]any
		if err := json.Unmarshal([]byte(arguments), &got); err != nil || name != "prescription" || len(got) != 2 {
			t.Fatalf("%s(%s) was taken for a prescription", name, arguments)
		}
		levels := state.Levels{Vasopressor: int(got["vasopressor"].(float64)), Fluid: int(got["iv_fluid"].(float64))}
		if levels != d.Levels || !slices.ContainsFunc(choices, func(c agent.Choice) bool { return c.Levels == levels }) {
			t.Fatalf("%s became %v", arguments, d.Levels)
		}
	})
}

func TestArgumentsAreReadWithoutCoercion(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	a := newAgent(t, config("http://127.0.0.1:1", func(c *llm.Config) { c.Offline = true }))
	for _, c := range []struct {
		name, tool, arguments, code string
	}{
		{"a level as text", "prescription", `{"vasopressor":"2","iv_fluid":3}`, llm.CodeWrongType},
		{"a level with a fraction", "prescription", `{"vasopressor":2.0,"iv_fluid":3}`, llm.CodeWrongType},
		{"a level with an exponent", "prescription", `{"vasopressor":2e0,"iv_fluid":3}`, llm.CodeWrongType},
		{"a level that is true", "prescription", `{"vasopressor":true,"iv_fluid":3}`, llm.CodeWrongType},
		{"a level that is null", "prescription", `{"vasopressor":null,"iv_fluid":3}`, llm.CodeWrongType},
		{"a level below the range", "prescription", `{"vasopressor":-1,"iv_fluid":3}`, llm.CodeOutOfRange},
		{"a level above the range", "prescription", `{"vasopressor":2,"iv_fluid":5}`, llm.CodeOutOfRange},
		{"a level left out", "prescription", `{"vasopressor":2}`, llm.CodeMissingArgument},
		{"no arguments", "prescription", ``, llm.CodeInvalidJSON},
		{"an argument too many", "prescription", `{"vasopressor":2,"iv_fluid":3,"dose":1}`, llm.CodeUnknownArgument},
		{"an argument in capitals", "prescription", `{"Vasopressor":2,"iv_fluid":3}`, llm.CodeUnknownArgument},
		{"an argument twice", "prescription", `{"vasopressor":2,"vasopressor":2,"iv_fluid":3}`, llm.CodeDuplicateArgument},
		{"something after the object", "prescription", `{"vasopressor":2,"iv_fluid":3}{}`, llm.CodeInvalidJSON},
		{"a list instead of an object", "prescription", `[2,3]`, llm.CodeInvalidJSON},
		{"four actions", "simulation", `{"actions":["[2,3]","[2,3]","[2,3]","[2,3]"]}`, llm.CodeTooManyActions},
		{"no action", "simulation", `{"actions":[]}`, llm.CodeNoActions},
		{"actions as text", "simulation", `{"actions":"[2,3]"}`, llm.CodeWrongType},
		{"actions that are null", "simulation", `{"actions":null}`, llm.CodeWrongType},
		{"an action as a list", "simulation", `{"actions":[[2,3]]}`, llm.CodeWrongType},
		{"an action in round brackets", "simulation", `{"actions":["(2,3)"]}`, llm.CodeWrongType},
		{"an action with a leading zero", "simulation", `{"actions":["[02,3]"]}`, llm.CodeWrongType},
		{"an action out of range", "simulation", `{"actions":["[2,9]"]}`, llm.CodeOutOfRange},
		{"an action object with another key", "simulation", `{"actions":[{"vasopressor":2,"fluid":3}]}`, llm.CodeUnknownArgument},
		{"another tool", "exec", `{}`, llm.CodeUnknownTool},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, transcript := consult(t, a, tl, &agent.Transcript{Turns: []agent.Turn{
				{Reply: &agent.Reply{Finish: "tool_calls", Calls: []agent.Call{{Name: c.tool, Arguments: c.arguments}}}},
			}})
			var got struct {
				Error llm.CallError `json:"error"`
			}
			if err := json.Unmarshal([]byte(transcript.Turns[0].Answers[0]), &got); err != nil || got.Error.Code != c.code {
				t.Errorf("answer %q, want %s", transcript.Turns[0].Answers[0], c.code)
			}
			if d.Consulted.Outcome != agent.ConsultFallback {
				t.Errorf("outcome %s", d.Consulted.Outcome)
			}
		})
	}
	for _, arguments := range []string{`{"actions":["[2,3]"]}`, `{"actions":["[2, 3]"]}`, ` {"actions": [{"iv_fluid": 3, "vasopressor": 2}]} `} {
		_, transcript := consult(t, a, tl, &agent.Transcript{Turns: []agent.Turn{
			{Reply: &agent.Reply{Finish: "stop", Calls: []agent.Call{{Name: "simulation", Arguments: arguments}}}},
		}})
		if answer := transcript.Turns[0].Answers[0]; answer[:2] != "##" {
			t.Errorf("%s is answered %q", arguments, answer)
		}
	}
}
