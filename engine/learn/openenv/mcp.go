// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: the JSON-RPC side of OpenEnv, over POST /mcp, the WebSocket /mcp and
// frames of type mcp: listing and calling the two tools, and sessions that live
// between HTTP requests. It is not the standard's streamable transport: there is
// no initialize.

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// Codes of JSON-RPC.
const (
	rpcParse    = -32700
	rpcRequest  = -32600
	rpcMethod   = -32601
	rpcParams   = -32602
	rpcInternal = -32603
	rpcServer   = -32000 // no room
)

// rpcResponse is one answer. Exactly one of Result and Error is there.
type rpcResponse struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// tool is one tool as it is listed. Both spellings of its schema are in use.
type tool map[string]any

type toolList struct {
	Tools []tool `json:"tools"`
}

// toolsOf lists the tools with the schema under the name given.
func toolsOf(schema string) []tool {
	var out []tool
	for _, t := range llm.Tools() {
		out = append(out, tool{"name": t.Name, "description": t.Description, schema: t.Parameters})
	}
	return out
}

// toolResult is the observation of a tool called through step.
type toolResult struct {
	environment.Observation
	ToolName string     `json:"tool_name"`
	Result   string     `json:"result"`
	Error    *toolError `json:"error"`
}

type toolError struct {
	Type    string `json:"error_type"`
	Message string `json:"message"`
}

// toolResultOf puts a tool's frame around an observation.
func toolResultOf(name string, e *envelope) toolResult {
	o, _ := e.Observation.(environment.Observation)
	out := toolResult{Observation: o, ToolName: bounded(name), Result: o.Message}
	switch e.Metadata.Fault {
	case "":
	case llm.CodeUnknownTool:
		out.Error = &toolError{"tool_not_found", o.Message}
	default:
		out.Error = &toolError{"invalid_args", o.Message}
	}
	return out
}

// rpcCall is what a request asks for.
type rpcCall struct {
	method  string
	name    string // of the tool
	args    string
	session string
}

// rpc answers one request. n is the session of a WebSocket, nil over HTTP.
func (s *Server) rpc(ctx context.Context, data []byte, n *session) rpcResponse {
	out := rpcResponse{Version: "2.0", ID: json.RawMessage("null")}
	call, id, fault := parseRPC(data)
	if id != nil {
		out.ID = id
	}
	if fault == nil {
		out.Result, fault = s.dispatch(ctx, call, n)
	}
	if fault != nil {
		out.Result, out.Error = nil, fault
	}
	return out
}

func refused(code int, message string) *rpcError { return &rpcError{Code: code, Message: message} }

// parseRPC reads a request strictly.
func parseRPC(data []byte) (c rpcCall, id json.RawMessage, fault *rpcError) {
	fields, err := object(data)
	var m *malformed
	switch {
	case errors.As(err, &m):
		return c, nil, refused(rpcParse, "Parse error")
	case err != nil:
		return c, nil, refused(rpcRequest, "Invalid request: not an object")
	}
	if raw, ok := fields["id"]; ok {
		if raw[0] != '"' && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') && string(raw) != "null" || len(raw) > maxEcho {
			return c, nil, refused(rpcRequest, "Invalid request: id must be a short text, an integer or null")
		}
		id = raw
	}
	var version string
	if json.Unmarshal(fields["jsonrpc"], &version) != nil || version != "2.0" {
		return c, id, refused(rpcRequest, `Invalid request: jsonrpc must be "2.0"`)
	}
	if json.Unmarshal(fields["method"], &c.method) != nil || c.method == "" {
		return c, id, refused(rpcRequest, "Invalid request: method is missing")
	}
	for _, key := range sortedKeys(fields) {
		switch key {
		case "jsonrpc", "id", "method", "params":
		default:
			return c, id, refused(rpcRequest, "Invalid request: "+quote(key)+" is no field of a request")
		}
	}
	raw, ok := fields["params"]
	if !ok {
		return c, id, nil
	}
	params, err := object(raw)
	if err != nil {
		return c, id, refused(rpcRequest, "Invalid request: params must be an object")
	}
	for key, to := range map[string]*string{"name": &c.name, "session_id": &c.session} {
		if raw, ok := params[key]; ok && string(raw) != "null" && json.Unmarshal(raw, to) != nil {
			return c, id, refused(rpcParams, "Invalid params: "+key+" must be a text")
		}
	}
	if raw, ok := params["arguments"]; ok && string(raw) != "null" {
		if _, err := object(raw); err != nil {
			return c, id, refused(rpcParams, "Invalid params: arguments must be an object")
		}
		c.args = string(raw)
	}
	return c, id, nil
}

// dispatch does what a request asks for.
func (s *Server) dispatch(ctx context.Context, c rpcCall, n *session) (any, *rpcError) {
	switch c.method {
	case "tools/list":
		return toolList{toolsOf("inputSchema")}, nil
	case "tools/call":
		return s.callTool(ctx, c, n)
	case "openenv/session/create":
		if n != nil {
			return map[string]any{"session_id": n.id}, nil
		}
		made, err := s.openForHTTP()
		if err != nil {
			return nil, refused(rpcServer, err.Error())
		}
		return map[string]any{"session_id": made.id}, nil
	case "openenv/session/close":
		found, err := s.sessions.find(c.session)
		if err != nil {
			return nil, refused(rpcParams, err.Error())
		}
		if found == n || !s.sessions.close(found) {
			return map[string]any{"session_id": c.session, "closed": false, "closing": true}, nil
		}
		return map[string]any{"session_id": c.session, "closed": true}, nil
	}
	return nil, refused(rpcMethod, "Method not found: "+quote(c.method))
}

// openForHTTP makes a session that no connection holds; it lives until it is
// closed or idle.
func (s *Server) openForHTTP() (*session, error) {
	if s.ctx.Err() != nil {
		return nil, errors.New("the server is going down")
	}
	return s.sessions.open(s)
}

// callTool calls a tool in a session, or in one of its own that is thrown away.
func (s *Server) callTool(ctx context.Context, c rpcCall, n *session) (any, *rpcError) {
	if c.name == "" {
		return nil, refused(rpcParams, "Invalid params: name is missing")
	}
	if c.session != "" {
		found, err := s.sessions.find(c.session)
		if err != nil {
			return nil, refused(rpcParams, err.Error())
		}
		n = found
	}
	if n == nil {
		made, err := s.openForHTTP()
		if err != nil {
			return nil, refused(rpcServer, err.Error())
		}
		defer s.sessions.close(made)
		n = made
	}
	e, err := n.call(ctx, environment.Action{Tool: c.name, Arguments: c.args})
	if err != nil {
		return nil, refused(rpcInternal, err.Error())
	}
	o, _ := e.Observation.(environment.Observation)
	return map[string]any{
		"data": e, "isError": e.Metadata.Fault != "",
		"content": []map[string]string{{"type": "text", "text": o.Message}},
	}, nil
}

// mcpHTTP serves POST /mcp: whatever is asked, the status is 200.
func (s *Server) mcpHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFrame))
	if err != nil {
		writeJSON(w, http.StatusOK, rpcResponse{Version: "2.0", ID: json.RawMessage("null"), Error: refused(rpcParse, "the request is too large or broke off")})
		return
	}
	writeJSON(w, http.StatusOK, s.rpc(r.Context(), body, nil))
}

// mcpWS serves the WebSocket /mcp: each text frame is one request.
func (s *Server) mcpWS(w http.ResponseWriter, r *http.Request) {
	l := s.accept(w, r)
	if l == nil {
		return
	}
	n, release, err := s.hold("")
	if err != nil {
		_ = l.send(rpcResponse{Version: "2.0", ID: json.RawMessage("null"), Error: refused(rpcServer, err.Error())})
		l.refuse(err)
		return
	}
	l.serve(n, release, func(in inbound) bool {
		return in.text && l.send(s.rpc(context.Background(), in.data, n)) == nil
	})
}
