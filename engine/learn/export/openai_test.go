// SPDX-License-Identifier: Apache-2.0

package export

import (
	"errors"
	"strings"
	"testing"
)

const good = `{"messages":[{"role":"user","content":"t=0"},{"role":"assistant","weight":0,"tool_calls":[{"id":"a","type":"function","function":{"name":"simulation","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"{}"},{"role":"assistant","weight":1,"content":"done"}],"tools":[{"type":"function","function":{"name":"simulation"}}]}`

func TestCheckOpenAI(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		ok             bool
	}{
		{"a trace whose calls are answered is taken", "", "", true},
		{"an unknown key is refused", `"role":"user"`, `"role":"user","name":"x"`, false},
		{"a key in another spelling is refused", `"messages"`, `"Messages"`, false},
		{"an answer to no call is refused", `"tool_call_id":"a"`, `"tool_call_id":"b"`, false},
		{"an unanswered call is refused", `{"role":"tool","tool_call_id":"a","content":"{}"},`, ``, false},
		{"arguments that are an object are refused", `"arguments":"{}"`, `"arguments":{}`, false},
		{"arguments that hold no object are refused", `"arguments":"{}"`, `"arguments":"[]"`, false},
		{"a tool that is not declared is refused", `"name":"simulation","arg`, `"name":"other","arg`, false},
		{"another weight is refused", `"weight":1`, `"weight":2`, false},
		{"a line that trains nothing is refused", `"weight":1`, `"weight":0`, false},
		{"null content without a call is refused", `"content":"done"`, `"content":null`, false},
		{"a role the model's template drops is refused", `"role":"user"`, `"role":"developer"`, false},
		{"a key that is there twice is refused", `"weight":1`, `"weight":1,"weight":1`, false},
		{"a key that is there twice in arguments is refused", `"arguments":"{}"`, `"arguments":"{\"a\":1,\"a\":2}"`, false},
		{"arguments that the declared schema does not take are refused", `"name":"simulation"}}]}`, `"name":"simulation","parameters":{"type":"object","required":["a"]}}}]}`, false},
		{"a trained call that stays open at the end is taken", `"weight":0,"tool_calls":[{"id":"a","type":"function","function":{"name":"simulation","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"{}"},{"role":"assistant","weight":1,"content":"done"}`, `"tool_calls":[{"id":"a","type":"function","function":{"name":"simulation","arguments":"{}"}}]}`, true},
		{"a weight that is written as a fraction is refused", `"weight":1`, `"weight":1.0`, false},
		{"a boolean that is none is refused", `"tools"`, `"parallel_tool_calls":0,"tools"`, false},
		{"a description that is no text is refused", `"name":"simulation"}}]}`, `"name":"simulation","description":1}}]}`, false},
		{"bytes that are no UTF-8 are refused", `t=0`, "\xff", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := strings.Replace(good, c.old, c.new, 1)
			if err := checker(t, OpenAI).Check([]byte(line)); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrLine) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// FuzzCheckOpenAI: no line makes the check panic or fail with another error.
func FuzzCheckOpenAI(f *testing.F) {
	f.Add([]byte(good))
	c := checker(f, OpenAI)
	f.Fuzz(func(t *testing.T, line []byte) {
		if err := c.Check(line); err != nil && !errors.Is(err, ErrLine) {
			t.Fatal(err)
		}
	})
}
