// SPDX-License-Identifier: Apache-2.0

package export

// This file: a conversation as a line of either format.

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
)

// Roles of a turn.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
	roleTool      = "tool"
)

// turn is one message. An assistant's may make one call; a tool's answers the
// call before it.
type turn struct {
	role, text string
	tool       string // name of the tool that is called; empty: none
	arguments  string // JSON object
}

// talk is one example. Every message of the assistant is trained on.
type talk struct {
	turns []turn
	tools bool // the agent's tools are declared
}

type openAITool struct {
	Type     string   `json:"type"`
	Function llm.Tool `json:"function"`
}

func declared() (out []openAITool) {
	for _, t := range llm.Tools() {
		out = append(out, openAITool{"function", t})
	}
	return out
}

// render writes the line, without its end.
func (t *talk) render(f Format) ([]byte, error) {
	if f == MSSwift {
		return t.msSwift()
	}
	return t.openAI()
}

type openAIMessage struct {
	Role       string       `json:"role"`
	Content    *string      `json:"content,omitempty"`
	Weight     *int         `json:"weight,omitempty"`
	ToolCalls  []openAICall `json:"tool_calls,omitempty"`
	ToolCallID string       `json:"tool_call_id,omitempty"`
}

type openAICall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type openAILine struct {
	Messages []openAIMessage `json:"messages"`
	Tools    []openAITool    `json:"tools,omitempty"`
	Parallel *bool           `json:"parallel_tool_calls,omitempty"`
}

func (t *talk) openAI() ([]byte, error) {
	line, weight, parallel, calls := openAILine{}, 1, false, 0
	for i := range t.turns {
		x := &t.turns[i]
		m := openAIMessage{Role: x.role, Content: &x.text}
		switch x.role {
		case roleAssistant:
			m.Weight = &weight
			if x.tool != "" {
				calls++
				call := openAICall{ID: fmt.Sprintf("call_%d", calls), Type: "function"}
				call.Function.Name, call.Function.Arguments = x.tool, x.arguments
				m.ToolCalls = []openAICall{call}
			}
		case roleTool:
			m.ToolCallID = fmt.Sprintf("call_%d", calls)
		}
		line.Messages = append(line.Messages, m)
	}
	if t.tools {
		line.Tools, line.Parallel = declared(), &parallel
	}
	return encode(line)
}

type swiftMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Loss    *bool  `json:"loss,omitempty"`
}

type swiftLine struct {
	Tools    string         `json:"tools,omitempty"`
	Messages []swiftMessage `json:"messages"`
}

func (t *talk) msSwift() ([]byte, error) {
	line, loss := swiftLine{}, true
	if t.tools {
		list, err := encode(declared())
		if err != nil {
			return nil, err
		}
		line.Tools = string(list)
	}
	for _, x := range t.turns {
		switch x.role {
		case roleAssistant:
			// A call that follows is merged with this into one turn.
			if x.text != "" || x.tool == "" {
				line.Messages = append(line.Messages, swiftMessage{roleAssistant, x.text, &loss})
			}
			if x.tool != "" {
				call, err := encode(struct {
					Name      string          `json:"name"`
					Arguments json.RawMessage `json:"arguments"`
				}{x.tool, json.RawMessage(x.arguments)})
				if err != nil {
					return nil, err
				}
				line.Messages = append(line.Messages, swiftMessage{"tool_call", string(call), &loss})
			}
		case roleTool:
			line.Messages = append(line.Messages, swiftMessage{"tool_response", x.text, nil})
		default:
			line.Messages = append(line.Messages, swiftMessage{x.role, x.text, nil})
		}
	}
	return encode(line)
}

// encode writes JSON without a line end and with < and > as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
