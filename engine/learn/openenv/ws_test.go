// SPDX-License-Identifier: Apache-2.0

package openenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestEveryFrameIsAnsweredAsTheProtocolSays(t *testing.T) {
	h := start(t, nil, 0)
	c := h.dial("/ws")
	step := func(data string) string { return `{"type":"step","data":` + data + `}` }
	for _, row := range []struct {
		name, frame, kind, code string
		loc                     string // of the first error of shape
	}{
		{"no JSON", `{"type":`, typeError, codeInvalidJSON, ""},
		{"two values", `{"type":"state"}{}`, typeError, codeInvalidJSON, ""},
		{"a key twice", `{"type":"state","type":"state"}`, typeError, codeInvalidJSON, ""},
		{"nothing", ``, typeError, codeInvalidJSON, ""},
		{"no type", `{}`, typeError, codeUnknownType, ""},
		{"an unknown type", `{"type":"dance"}`, typeError, codeUnknownType, ""},
		{"a type that is a number", `{"type":3}`, typeError, codeUnknownType, ""},
		{"a type that is spelt otherwise", `{"type":"RESET"}`, typeError, codeUnknownType, ""},
		{"a step before the reset", step(`{"message":"hm"}`), typeError, codeExecution, ""},
		{"the state before the reset", `{"type":"state"}`, typeState, "", ""},
		{"data with state", `{"type":"state","data":{}}`, typeError, codeValidation, "[data]"},
		{"a further key", `{"type":"reset","id":1}`, typeError, codeValidation, "[id]"},
		{"data that is a list", `{"type":"reset","data":[]}`, typeError, codeValidation, "[data]"},
		{"data that is null", `{"type":"reset","data":null}`, typeError, codeValidation, "[data]"},
		{"a step without data", `{"type":"step"}`, typeError, codeValidation, "[data]"},
		{"a seed that is a text", `{"type":"reset","data":{"seed":"7"}}`, typeError, codeValidation, "[seed]"},
		{"a seed below 0", `{"type":"reset","data":{"seed":-1}}`, typeError, codeValidation, "[seed]"},
		{"a fraction of a seed", `{"type":"reset","data":{"seed":1.5}}`, typeError, codeValidation, "[seed]"},
		{"an id that is a number", `{"type":"reset","data":{"episode_id":7}}`, typeError, codeValidation, "[episode_id]"},
		{"an id of 256 bytes", `{"type":"reset","data":{"episode_id":"` + strings.Repeat("x", 256) + `"}}`, typeError, codeValidation, "[episode_id]"},
		{"an unknown task", `{"type":"reset","data":{"task":"tonsillitis"}}`, typeError, codeExecution, ""},
		{"tools before the reset", step(`{"type":"list_tools"}`), typeObservation, "", ""},
		{"a reset without data", `{"type":"reset"}`, typeObservation, "", ""},
		{"a reset with nulls", `{"type":"reset","data":{"seed":null,"episode_id":null,"task":null}}`, typeObservation, "", ""},
		{"a reset with a column of a data set", `{"type":"reset","data":{"seed":7.0,"prompt":[{"role":"user"}]}}`, typeObservation, "", ""},
		{"a message", step(`{"message":"hm"}`), typeObservation, "", ""},
		{"a message with metadata", step(`{"message":"hm","metadata":{"a":1}}`), typeObservation, "", ""},
		{"a call outright", step(`{"message":"","tool":"simulation","arguments":{"actions":["[0,0]"]}}`), typeObservation, "", ""},
		{"a tool that is null", step(`{"message":"hm","tool":null,"arguments":null}`), typeObservation, "", ""},
		{"a tool action", step(`{"type":"call_tool","tool_name":"simulation","arguments":{"actions":["[0,0]"]}}`), typeObservation, "", ""},
		{"a bare call", step(`{"name":"simulation","arguments":{"actions":["[0,0]"]}}`), typeObservation, "", ""},
		{"bare arguments", step(`{"actions":["[0,0]"]}`), typeObservation, "", ""},
		{"bare arguments that cannot be", step(`{"vasopressor":9,"iv_fluid":"x"}`), typeObservation, "", ""},
		{"an empty action", step(`{}`), typeError, codeValidation, "[message]"},
		{"an unknown field", step(`{"message":"hm","x":1}`), typeError, codeValidation, "[x]"},
		{"only an unknown field", step(`{"foo":1}`), typeError, codeValidation, "[foo]"},
		{"a message that is a number", step(`{"message":5}`), typeError, codeValidation, "[message]"},
		{"a message that is null", step(`{"message":null}`), typeError, codeValidation, "[message]"},
		{"arguments that are a list", step(`{"message":"","tool":"simulation","arguments":[]}`), typeError, codeValidation, "[arguments]"},
		{"metadata that is a text", step(`{"message":"hm","metadata":"x"}`), typeError, codeValidation, "[metadata]"},
		{"a tool action of no kind", step(`{"type":"dance"}`), typeError, codeValidation, "[type]"},
		{"a tool action without a tool", step(`{"type":"call_tool"}`), typeError, codeValidation, "[tool_name]"},
		{"the next valid message", `{"type":"state"}`, typeState, "", ""},
	} {
		r := c.ask(row.frame)
		loc := ""
		if len(r.Data.Errors) > 0 {
			loc = fmt.Sprint(r.Data.Errors[0].Loc)
		}
		if r.Type != row.kind || r.Data.Code != row.code || loc != row.loc {
			t.Errorf("%s: %s %s %s (%s)", row.name, r.Type, r.Data.Code, loc, r.Data.Message)
		}
	}
}

func TestAnEnvelopeIsOneForEveryClient(t *testing.T) {
	h := start(t, nil, 0)
	c := h.dial("/ws")
	r := c.ask(`{"type":"reset","data":{"seed":4,"episode_id":"mine"}}`)
	if r.Data.Reward != nil || r.Data.Done || r.Data.Observation["instructions"] == nil || r.Data.Metadata["seed"] != 4. {
		t.Errorf("reset: %+v", r)
	}
	r = c.ask(`{"type":"step","data":{"message":"hm"}}`)
	if r.Data.Reward == nil || *r.Data.Reward >= 0 || r.Data.Done || r.Data.Observation["kind"] != "reminder" || r.Data.Observation["instructions"] != nil {
		t.Errorf("step: %+v", r)
	}
	parts, _ := r.Data.Metadata["reward_parts"].(map[string]any)
	sum := 0.
	for _, v := range parts {
		sum += v.(float64)
	}
	if len(parts) != 7 || sum != *r.Data.Reward || r.Data.Metadata["fault"] != "no-call" {
		t.Errorf("metadata: %+v", r.Data.Metadata)
	}
	for _, leak := range []string{"reward", "parts", "metadata", "done", "seed"} {
		if _, there := r.Data.Observation[leak]; there {
			t.Errorf("the observation tells %q", leak)
		}
	}
	r = c.ask(`{"type":"state"}`)
	if r.Data.EpisodeID == nil || *r.Data.EpisodeID != "mine" || r.Data.StepCount != 1 {
		t.Errorf("state: %+v", r.Data)
	}
	if r = c.ask(`{"type":"reset","data":{}}`); r.Data.Metadata["seed"] != 0. {
		t.Errorf("the first reset without a seed has seed %v", r.Data.Metadata["seed"])
	}
	if r = c.ask(`{"type":"state"}`); r.Data.StepCount != 0 || *r.Data.EpisodeID == "mine" {
		t.Errorf("state after the second reset: %+v", r.Data)
	}
}

// play plays one episode with fixed moves and returns every byte that came.
func play(c *client, seed int) []byte {
	c.t.Helper()
	var all bytes.Buffer
	ask := func(frame string) (r reply) {
		c.send(frame)
		data := c.receive()
		all.Write(data)
		if err := json.Unmarshal(data, &r); err != nil || r.Type == typeError {
			c.t.Fatalf("%v %s", err, data)
		}
		return r
	}
	r := ask(fmt.Sprintf(`{"type":"reset","data":{"seed":%d,"episode_id":"e"}}`, seed))
	for turn := 0; !r.Data.Done; turn++ {
		if turn > 200 {
			c.t.Fatal("the episode does not end")
		}
		r = ask(fmt.Sprintf(`{"type":"step","data":{"message":"{\"vasopressor\":%d,\"iv_fluid\":%d}"}}`, turn%4, (turn/2)%4))
		if r.Data.Reward == nil || !(*r.Data.Reward >= -1 && *r.Data.Reward <= 1) {
			c.t.Fatalf("reward %v", r.Data.Reward)
		}
	}
	ask(`{"type":"state"}`)
	return all.Bytes()
}

func TestTheSameSeedAndActionsGiveTheSameBytes(t *testing.T) {
	h := start(t, nil, 0)
	for seed := range 3 {
		if a, b := play(h.dial("/ws"), seed), play(h.dial("/ws"), seed); !bytes.Equal(a, b) {
			t.Errorf("seed %d differs", seed)
		}
	}
}

func TestSixtyFourSessionsAtOnceAndTheNextIsRefused(t *testing.T) {
	h := start(t, func(c *Config) { c.Sessions = 64 }, 0)
	clients := make([]*client, 64)
	for i := range clients {
		clients[i] = h.dial("/ws")
		clients[i].send(`{"type":"reset","data":{"seed":1}}`)
	}
	first := make([][]byte, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			first[i] = c.receive()
			c.send(`{"type":"step","data":{"message":"{\"actions\":[\"[1,1]\"]}"}}`)
			first[i] = append(first[i], c.receive()...)
		})
	}
	wg.Wait()
	for i := range first {
		if !bytes.Equal(first[i], first[0]) {
			t.Fatalf("session %d is told something else", i)
		}
	}
	late := h.dial("/ws")
	var r reply
	if err := json.Unmarshal(late.receive(), &r); err != nil || r.Type != typeError || r.Data.Code != codeCapacity || r.Data.Active != 64 || r.Data.Max != 64 {
		t.Errorf("one too many: %+v", r)
	}
	late.closed()
	clients[0].send(`{"type":"close"}`)
	clients[0].closed()
	for h.server.Active() == 64 {
		time.Sleep(time.Millisecond)
	}
	if r := h.dial("/ws").ask(`{"type":"reset"}`); r.Type != typeObservation {
		t.Errorf("a session that is free again: %+v", r)
	}
}

func TestWhatIsNoMessageEndsTheSession(t *testing.T) {
	h := start(t, nil, 0)
	for name, send := range map[string]func(*client) error{
		"a list": func(c *client) error { return c.conn.Write(context.Background(), websocket.MessageText, []byte(`[1]`)) },
		"a word": func(c *client) error { return c.conn.Write(context.Background(), websocket.MessageText, []byte(`"x"`)) },
		"a blob": func(c *client) error {
			return c.conn.Write(context.Background(), websocket.MessageBinary, []byte(`{}`))
		},
		"nothing": func(c *client) error {
			return c.conn.Write(context.Background(), websocket.MessageText, []byte(`null`))
		},
	} {
		c := h.dial("/ws")
		if err := send(c); err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := json.Unmarshal(c.receive(), &r); err != nil || r.Data.Code != codeSession {
			t.Errorf("%s: %+v", name, r)
		}
		c.closed()
	}
	c := h.dial("/ws")
	c.send(`{"type":"step","data":{"message":"` + strings.Repeat("x", maxFrame) + `"}}`)
	if status := c.closed(); status != websocket.StatusMessageTooBig {
		t.Errorf("a message of more than 1 MiB: %v", status)
	}
}

func TestASessionMadeOverHTTPCanBeHeldByAWebSocket(t *testing.T) {
	h := start(t, nil, 0)
	id := h.rpc(`{"jsonrpc":"2.0","id":1,"method":"openenv/session/create"}`).Result["session_id"].(string)
	c := h.dial("/ws?session_id=" + id)
	c.ask(`{"type":"reset","data":{"seed":1,"episode_id":"held"}}`)
	for _, path := range []string{"/ws?session_id=" + id, "/ws?session_id=nobody"} {
		late := h.dial(path)
		var r reply
		if err := json.Unmarshal(late.receive(), &r); err != nil || r.Data.Code != codeSession {
			t.Errorf("%s: %+v", path, r)
		}
		late.closed()
	}
	if r := h.rpc(`{"jsonrpc":"2.0","method":"openenv/session/close","params":{"session_id":"` + id + `"}}`); r.Result["closed"] != false || r.Result["closing"] != true {
		t.Errorf("closing what a WebSocket holds: %+v", r)
	}
	c.send(`{"type":"close"}`)
	c.closed()
	for h.server.Active() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"type":"reset","data":{"seed":1,"episode_id":"e","task":"synthetic"}}`, `{"type":"step","data":{"message":"hm","metadata":{}}}`,
		`{"type":"step","data":{"type":"call_tool","tool_name":"simulation","arguments":{}}}`, `{"type":"state"}`, `{"type":"mcp","data":{"jsonrpc":"2.0","method":"tools/list"}}`,
		`{"type":"step","data":{"name":"x","arguments":"{}"}}`, `{"type":"reset","data":{"seed":1e400}}`, `{"a":{"b":[{}]},"type":null}`,
	} {
		f.Add([]byte(s))
	}
	codes := []string{codeInvalidJSON, codeUnknownType, codeValidation, codeExecution}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := parseFrame(data)
		if err == nil {
			switch frame.Type {
			case typeReset:
				_, err = parseReset(frame.Data)
			case typeStep:
				_, err = parseAction(frame.Data)
			case typeMCP:
				if _, id, fault := parseRPC(frame.RPC); fault != nil && (fault.Message == "" || len(id) > maxEcho) {
					t.Errorf("%+v %s", fault, id)
				}
			}
		}
		if err == nil {
			return
		}
		out, encodeErr := json.Marshal(errorOf(err))
		if encodeErr != nil {
			t.Fatalf("the error cannot be written: %v", encodeErr)
		}
		var r reply
		if json.Unmarshal(out, &r) != nil || !slices.Contains(codes, r.Data.Code) || r.Data.Message == "" {
			t.Errorf("%s", out)
		}
		if len(out) > 4096+40*len(r.Data.Errors)*maxEcho {
			t.Errorf("%d bytes are sent back", len(out))
		}
	})
}
