// SPDX-License-Identifier: Apache-2.0

package openenv

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func (h *host) request(method, path, body string) (int, []byte) {
	h.t.Helper()
	r, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, data
}

func TestEveryRouteAnswersAsTheProtocolSays(t *testing.T) {
	h := start(t, func(c *Config) { c.Version = "test" }, 0)
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		holds                    string
	}{
		{"health", "GET", "/health", "", 200, `{"status":"healthy"}`},
		{"metadata", "GET", "/metadata", "", 200, `"version":"test"`},
		{"metadata that are not known", "GET", "/metadata", "", 200, `"readme_content":null`},
		{"schema", "GET", "/schema", "", 200, `"observation"`},
		{"openapi", "GET", "/openapi.json", "", 200, `"/reset"`},
		{"state", "GET", "/state", "", 200, `"episode_id":null,"step_count":0`},
		{"reset without a body", "POST", "/reset", "", 200, `"reward":null,"done":false`},
		{"reset with a seed", "POST", "/reset", `{"seed":3,"task":"septic-shock","more":1}`, 200, `"seed":3,"task":"septic-shock"`},
		{"reset with a bad seed", "POST", "/reset", `{"seed":"x"}`, 422, `"loc":["body","seed"]`},
		{"reset with a list", "POST", "/reset", `[]`, 422, `"loc":["body"]`},
		{"reset with no JSON", "POST", "/reset", `{`, 422, `"json_invalid"`},
		{"reset of no task", "POST", "/reset", `{"task":"x"}`, 500, `"detail"`},
		{"step", "POST", "/step", `{"action":{"message":"hm"},"seed":1,"timeout_s":3,"request_id":"r"}`, 200, `"kind":"reminder"`},
		{"step without an action", "POST", "/step", `{}`, 422, `"loc":["body","action"]`},
		{"step without a body", "POST", "/step", ``, 422, `"json_invalid"`},
		{"step with a bad action", "POST", "/step", `{"action":{"kind":1}}`, 422, `"loc":["kind"]`},
		{"step with no time", "POST", "/step", `{"action":{"message":"hm"},"timeout_s":0}`, 422, `"timeout_s"`},
		{"a body of more than 1 MiB", "POST", "/step", `{"action":{"message":"` + strings.Repeat("x", maxFrame) + `"}}`, 422, `"detail"`},
		{"environments", "GET", "/list_environments", "", 200, `["sepsis_icu"]`},
		{"splits", "GET", "/SEPSIS_ICU/splits", "", 200, `{"name":"train","type":"train"}`},
		{"splits of another", "GET", "/chess/splits", "", 404, `"detail"`},
		{"a task", "POST", "/sepsis_icu/task", `{"split":"test","index":2}`, 200, `"seed":12884901890`},
		{"a task that there is none of", "POST", "/sepsis_icu/task", `{"split":"test","index":1024}`, 400, `"detail"`},
		{"a task without an index", "POST", "/sepsis_icu/task", `{"split":"test"}`, 400, `"detail"`},
		{"a range", "POST", "/sepsis_icu/task_range", `{"split":"train","start":1022,"stop":null}`, 200, `"seed":4294968319`},
		{"how many", "POST", "/sepsis_icu/num_tasks", `{"split":"validation"}`, 200, `{"num_tasks":1024}`},
		{"all", "POST", "/sepsis_icu/tasks", `{"split":"train"}`, 200, `"env_name":"sepsis_icu"`},
		{"no split", "POST", "/sepsis_icu/tasks", `{}`, 422, `"loc":["body","split"]`},
		{"an unknown split", "POST", "/sepsis_icu/tasks", `{"split":"dev"}`, 400, `"detail"`},
		{"another method", "GET", "/reset", "", 405, ""},
		{"no such route", "GET", "/nothing", "", 404, ""},
		{"no upgrade", "GET", "/ws", "", 426, ""},
	} {
		status, data := h.request(row.method, row.path, row.body)
		if status != row.status || !strings.Contains(string(data), row.holds) {
			t.Errorf("%s: %d %.300s", row.name, status, data)
		}
	}
	if n := h.server.Active(); n != 0 {
		t.Errorf("%d sessions are left of requests", n)
	}
}

type rpcReply struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  map[string]any  `json:"result"`
	Error   *rpcError       `json:"error"`
}

func (h *host) rpc(body string) (r rpcReply) {
	h.t.Helper()
	status, data := h.request("POST", "/mcp", body)
	if err := json.Unmarshal(data, &r); err != nil || status != 200 || r.Version != "2.0" || (r.Error == nil) == (r.Result == nil) {
		h.t.Fatalf("%d %v %s", status, err, data)
	}
	return r
}

func TestJSONRPCRefusesWhatIsNone(t *testing.T) {
	h := start(t, nil, 0)
	for _, row := range []struct {
		name, body string
		code       int
	}{
		{"nothing", ``, rpcParse},
		{"no JSON", `{`, rpcParse},
		{"a list", `[]`, rpcRequest},
		{"an empty request", `{}`, rpcRequest},
		{"version 1", `{"jsonrpc":"1.0","method":"tools/list"}`, rpcRequest},
		{"no method", `{"jsonrpc":"2.0"}`, rpcRequest},
		{"params that are null", `{"jsonrpc":"2.0","method":"tools/list","params":null}`, rpcRequest},
		{"an id that is an object", `{"jsonrpc":"2.0","method":"tools/list","id":{}}`, rpcRequest},
		{"a further field", `{"jsonrpc":"2.0","method":"tools/list","x":1}`, rpcRequest},
		{"an unknown method", `{"jsonrpc":"2.0","method":"initialize"}`, rpcMethod},
		{"no tool", `{"jsonrpc":"2.0","method":"tools/call"}`, rpcParams},
		{"a name that is a number", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":1}}`, rpcParams},
		{"arguments that are a list", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"simulation","arguments":[]}}`, rpcParams},
		{"an unknown session", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"simulation","session_id":"x"}}`, rpcParams},
		{"a session that there is none of", `{"jsonrpc":"2.0","method":"openenv/session/close","params":{"session_id":"x"}}`, rpcParams},
	} {
		if r := h.rpc(row.body); r.Error == nil || r.Error.Code != row.code || r.Error.Message == "" {
			t.Errorf("%s: %+v", row.name, r.Error)
		}
	}
}

func TestAnEpisodeOverJSONRPC(t *testing.T) {
	h := start(t, func(c *Config) { c.Sessions = 1; c.Seed = 40 }, 0)
	tools, _ := h.rpc(`{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{}}`).Result["tools"].([]any)
	if len(tools) != 2 || tools[0].(map[string]any)["inputSchema"] == nil {
		t.Errorf("tools: %v", tools)
	}
	made := h.rpc(`{"jsonrpc":"2.0","id":"a","method":"openenv/session/create"}`)
	id, _ := made.Result["session_id"].(string)
	if string(made.ID) != `"a"` || id == "" {
		t.Errorf("%+v", made)
	}
	if r := h.rpc(`{"jsonrpc":"2.0","method":"openenv/session/create"}`); r.Error == nil || r.Error.Code != rpcServer {
		t.Errorf("one session too many: %+v", r)
	}
	call := `{"jsonrpc":"2.0","method":"tools/call","params":{"session_id":"` + id + `","name":"simulation","arguments":{"actions":["[1,1]"]}}}`
	r := h.rpc(call)
	data, _ := r.Result["data"].(map[string]any)
	if r.Result["isError"] != false || data["reward"] == nil || data["metadata"].(map[string]any)["seed"] != 40. {
		t.Errorf("%+v", r)
	}
	r = h.rpc(strings.Replace(call, `"simulation"`, `"dialysis"`, 1))
	if r.Result["isError"] != true {
		t.Errorf("a tool that there is none of: %+v", r)
	}
	if r := h.rpc(`{"jsonrpc":"2.0","method":"openenv/session/close","params":{"session_id":"` + id + `"}}`); r.Result["closed"] != true {
		t.Errorf("%+v", r)
	}
	if h.server.Active() != 0 {
		t.Error("the session is left")
	}
	if r := h.rpc(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"simulation","arguments":{"actions":["[1,1]"]}}}`); r.Error != nil || h.server.Active() != 0 {
		t.Errorf("a call without a session: %+v", r)
	}
}

func TestJSONRPCOverAWebSocket(t *testing.T) {
	h := start(t, nil, 0)
	for _, path := range []string{"/mcp", "/ws"} {
		c := h.dial(path)
		ask := func(request string) (r rpcReply) {
			if path == "/ws" {
				request = `{"type":"mcp","data":` + request + `}`
			}
			c.send(request)
			data := c.receive()
			if path == "/ws" {
				var outer struct{ Data json.RawMessage }
				if err := json.Unmarshal(data, &outer); err != nil {
					t.Fatal(err)
				}
				data = outer.Data
			}
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatalf("%v %s", err, data)
			}
			return r
		}
		if r := ask(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"simulation","arguments":{"actions":["[1,1]"]}}}`); r.Result["data"] == nil || string(r.ID) != "1" {
			t.Errorf("%s: %+v", path, r)
		}
		if r := ask(`{"jsonrpc":"2.0","id":2,"method":"nothing"}`); r.Error == nil || r.Error.Code != rpcMethod {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// Every key of every answer is in the schema that is published for it.
func TestAnswersHoldOnlyWhatTheirSchemaNames(t *testing.T) {
	h := start(t, nil, 0)
	var published map[string]struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(schemas, &published); err != nil {
		t.Fatal(err)
	}
	c := h.dial("/ws")
	for _, frame := range []string{
		`{"type":"step","data":{"type":"list_tools"}}`, `{"type":"reset"}`, `{"type":"step","data":{"message":"hm"}}`,
		`{"type":"step","data":{"type":"call_tool","tool_name":"simulation","arguments":{"actions":["[0,0]"]}}}`, `{"type":"step","data":{"type":"call_tool","tool_name":"x"}}`,
	} {
		for key := range c.ask(frame).Data.Observation {
			if _, ok := published["observation"].Properties[key]; !ok {
				t.Errorf("%s: the observation has %q", frame, key)
			}
		}
	}
	c.send(`{"type":"state"}`)
	var r struct{ Data map[string]any }
	if err := json.Unmarshal(c.receive(), &r); err != nil {
		t.Fatal(err)
	}
	for key := range r.Data {
		if _, ok := published["state"].Properties[key]; !ok {
			t.Errorf("the state has %q", key)
		}
	}
	if len(r.Data) != len(published["state"].Properties) {
		t.Errorf("the state has %d fields, the schema %d", len(r.Data), len(published["state"].Properties))
	}
}
