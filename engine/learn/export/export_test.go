// SPDX-License-Identifier: Apache-2.0

package export

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func checker(t testing.TB, f Format) *Checker {
	t.Helper()
	c, err := NewChecker(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAFileIsCheckedAsAWhole(t *testing.T) {
	if n, err := CheckFile(OpenAI, strings.NewReader(strings.Repeat(good+"\n", 10))); err != nil || n.Lines != 10 || n.Bytes != int64(10*(len(good)+1)) {
		t.Errorf("ten lines: %+v %v", n, err)
	}
	if _, err := CheckFile(OpenAI, strings.NewReader(strings.Repeat(good+"\n", 9))); !errors.Is(err, ErrFile) {
		t.Errorf("nine lines: %v", err)
	}
	if _, err := CheckFile(OpenAI, strings.NewReader(good+"\n\n")); !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("an empty line: %v", err)
	}
	long := strings.Replace(good, "t=0", strings.Repeat("a", MostTokens*bytesPerToken), 1)
	if _, err := CheckFile(OpenAI, strings.NewReader(long+"\n"+strings.Repeat(good+"\n", 9))); !errors.Is(err, ErrFile) {
		t.Errorf("a line of too many tokens: %v", err)
	}
	if _, err := CheckFile(OpenAI, strings.NewReader(strings.Repeat("a", mostLineBytes+10))); !errors.Is(err, ErrLine) {
		t.Errorf("a line without an end: %v", err)
	}
	if _, err := CheckFile("other", strings.NewReader(good)); !errors.Is(err, ErrLine) {
		t.Errorf("another format: %v", err)
	}
}

func TestASchemaThatRefersElsewhereIsNotFetched(t *testing.T) {
	file := t.TempDir() + "/s.json"
	if err := os.WriteFile(file, []byte(`true`), 0o600); err != nil {
		t.Fatal(err)
	}
	line := strings.Replace(good, `"name":"simulation"}}]}`, `"name":"simulation","parameters":{"$ref":"file://`+file+`"}}}]}`, 1)
	if err := checker(t, OpenAI).Check([]byte(line)); !errors.Is(err, ErrLine) {
		t.Errorf("got %v", err)
	}
}

const swift = `{"tools":"[{\"type\":\"function\",\"function\":{\"name\":\"prescription\",\"parameters\":{\"type\":\"object\",\"properties\":{\"iv_fluid\":{\"type\":\"integer\"}},\"required\":[\"iv_fluid\"]}}}]","messages":[{"role":"system","content":"s"},{"role":"user","content":"t=0"},{"role":"assistant","content":"hm","loss":true},{"role":"tool_call","content":"{\"name\":\"prescription\",\"arguments\":{\"iv_fluid\":1}}"},{"role":"tool_response","content":"{}"},{"role":"assistant","content":"done"}]}`

func TestCheckMSSwift(t *testing.T) {
	const call, answer = `{"role":"tool_call","content":"{\"name\":\"prescription\",\"arguments\":{\"iv_fluid\":1}}"},`, `{"role":"tool_response","content":"{}"},`
	for _, c := range []struct {
		name, old, new string
		ok             bool
	}{
		{"a trace whose calls are answered is taken", "", "", true},
		{"two calls at once with two answers are taken", call + answer, call + call + answer + answer, true},
		{"a trace that ends with a call is taken", `,{"role":"tool_response","content":"{}"},{"role":"assistant","content":"done"}`, "", true},
		{"two calls with one answer are refused", call, call + call, false},
		{"an answer to no call is refused", call, "", false},
		{"an unknown key is refused", `"loss":true`, `"weight":1`, false},
		{"a key that is there twice is refused", `"loss":true`, `"loss":true,"loss":true`, false},
		{"a key that is there twice in a call is refused", `{\"iv_fluid\":1}`, `{\"iv_fluid\":1,\"iv_fluid\":2}`, false},
		{"tools that are a list are refused", `"tools":"[`, `"tools":["`, false},
		{"arguments that the schema does not take are refused", `\"iv_fluid\":1`, `\"iv_fluid\":\"1\"`, false},
		{"arguments that are a text are refused", `{\"iv_fluid\":1}`, `\"{}\"`, false},
		{"a missing argument is refused", `\"iv_fluid\":1`, ``, false},
		{"a tool that is not declared is refused", `{\"name\":\"prescription\",\"arg`, `{\"name\":\"other\",\"arg`, false},
		{"null content is refused", `"content":"hm"`, `"content":null`, false},
		{"loss of the user is refused", `"content":"t=0"`, `"content":"t=0","loss":true`, false},
		{"a later system message is refused", `"role":"user"`, `"role":"system"`, false},
		{"a last message that is not the model's is refused", `"role":"assistant","content":"done"`, `"role":"user","content":"done"`, false},
		{"a second value is refused", `"done"}]}`, `"done"}]}{}`, false},
		{"bytes that are no UTF-8 are refused", `t=0`, "\xff", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := strings.Replace(swift, c.old, c.new, 1)
			if c.old != "" && line == swift {
				t.Fatal("the case changes nothing")
			}
			if err := checker(t, MSSwift).Check([]byte(line)); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrLine) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// FuzzCheckMSSwift: no line makes the check panic or fail with another error.
func FuzzCheckMSSwift(f *testing.F) {
	f.Add([]byte(swift))
	c := checker(f, MSSwift)
	f.Fuzz(func(t *testing.T, line []byte) {
		if err := c.Check(line); err != nil && !errors.Is(err, ErrLine) {
			t.Fatal(err)
		}
	})
}
