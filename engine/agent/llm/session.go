// SPDX-License-Identifier: Apache-2.0

package llm

// This file: one conversation. It runs the same over the endpoint and over a
// recorded transcript: only the model's messages differ in where they come
// from; what they are answered is worked out anew each time.

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sashabaranov/go-openai"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// voice says what the model says.
type voice interface {
	// begin makes ready for one conversation. end is called once with the fault
	// it ended with. A fault means that it must not be held.
	begin(ctx context.Context) (inner context.Context, end func(fault string), fault string)
	// next is the model's next message, or the fault that came in its place.
	next(ctx context.Context, request openai.ChatCompletionRequest) (*agent.Reply, string)
}

// playback repeats a recorded conversation.
type playback struct{ turns []agent.Turn }

func (*playback) begin(ctx context.Context) (context.Context, func(string), string) {
	return ctx, func(string) {}, ""
}

func (p *playback) next(context.Context, openai.ChatCompletionRequest) (*agent.Reply, string) {
	if len(p.turns) == 0 {
		return nil, FaultTranscript
	}
	turn := p.turns[0]
	p.turns = p.turns[1:]
	if turn.Reply == nil {
		if turn.Fault == "" {
			return nil, FaultTranscript
		}
		return nil, turn.Fault
	}
	return turn.Reply, ""
}

// session is one conversation under way.
type session struct {
	cfg        Config
	prompts    *prompts
	voice      voice
	x          *agent.Deliberation
	choices    []agent.Choice
	transcript *agent.Transcript
	tokens     int
}

// run holds the conversation and returns the levels prescribed, nil where it
// ended in a fault, which the transcript then names. An error means that ctx
// has ended or a prompt could not be written.
func (s *session) run(ctx context.Context) (*state.Levels, error) {
	inner, end, fault := s.voice.begin(ctx)
	if fault != "" {
		s.transcript.Turns = append(s.transcript.Turns, agent.Turn{Fault: fault})
		s.transcript.Fault = fault
		return nil, nil
	}
	defer func() { end(s.transcript.Fault) }()
	for round := range s.cfg.MaxRounds {
		if s.tokens >= s.cfg.MaxSessionTokens {
			s.transcript.Fault = FaultTokens
			return nil, nil
		}
		reply, fault := s.voice.next(inner, s.request())
		if err := ctx.Err(); err != nil {
			return nil, err // whoever asked is gone: there is nobody to fall back for
		}
		turn := agent.Turn{Reply: reply, Fault: fault}
		var levels *state.Levels
		if fault == "" {
			s.tokens += reply.Tokens
			if turn.Fault = faultOf(reply); turn.Fault == "" {
				var err error
				if turn.Answers, levels, err = s.answer(reply, s.cfg.MaxRounds-round-1); err != nil {
					return nil, err
				}
			}
		}
		s.transcript.Turns = append(s.transcript.Turns, turn)
		if turn.Fault != "" || levels != nil {
			s.transcript.Fault = turn.Fault
			return levels, nil
		}
	}
	s.transcript.Fault = FaultRounds
	return nil, nil
}

// faultOf is what is wrong with a whole message, empty when it can be answered.
func faultOf(r *agent.Reply) string {
	switch {
	case r.Finish == string(openai.FinishReasonLength):
		return FaultTruncated
	case r.Finish == string(openai.FinishReasonContentFilter) || r.Refusal != "":
		return FaultRefused
	case r.Finish != string(openai.FinishReasonStop) && r.Finish != string(openai.FinishReasonToolCalls):
		return FaultGarbled
	case len(r.Calls) > maxCalls:
		return FaultCalls
	case len(r.Calls) == 0 && strings.TrimSpace(r.Content) == "":
		return FaultEmpty
	}
	return ""
}

// answer answers every call of a message, in order. levels is not nil when the
// message prescribes.
func (s *session) answer(r *agent.Reply, left int) ([]string, *state.Levels, error) {
	if len(r.Calls) == 0 {
		text, err := s.prompts.remind(left)
		return []string{text}, nil, err
	}
	answers := make([]string, 0, len(r.Calls))
	for _, c := range r.Calls {
		text, levels, err := s.call(c, len(r.Calls) == 1, left)
		if err != nil {
			return nil, nil, err
		}
		answers = append(answers, text)
		if levels != nil {
			return answers, levels, nil
		}
	}
	return answers, nil, nil
}

// call does one call. alone: it is the only one of its message.
func (s *session) call(c agent.Call, alone bool, left int) (string, *state.Levels, error) {
	refuse := func(cerr *CallError) (string, *state.Levels, error) {
		text, err := encode(map[string]*CallError{"error": cerr})
		return text, nil, err
	}
	switch c.Name {
	case toolSimulation:
		actions, cerr := parseSimulation(c.Arguments)
		if cerr != nil {
			return refuse(cerr)
		}
		text, err := s.simulate(actions, left)
		return text, nil, err
	case toolPrescription:
		levels, cerr := parsePrescription(c.Arguments)
		switch {
		case cerr != nil:
			return refuse(cerr)
		case !alone:
			return refuse(callError(CodeNotAlone, "prescribe in a message of its own, once"))
		case !slices.ContainsFunc(s.choices, func(c agent.Choice) bool { return c.Levels == levels }):
			return refuse(s.notAvailable(levels))
		}
		return "prescribed " + pairOf(levels), &levels, nil
	}
	return refuse(unknownTool(c.Name))
}

// simulate shows what was forecast for each action. The forecasts are those of
// the gated choices and of current treatment; nothing else is simulated.
func (s *session) simulate(actions []state.Levels, left int) (string, error) {
	var results []result
	for _, levels := range actions {
		i := slices.IndexFunc(s.choices, func(c agent.Choice) bool { return c.Levels == levels })
		r := result{Pair: pairOf(levels)}
		current, ok := s.x.Current()
		switch {
		case i >= 0:
			r.show(&s.choices[i], true)
		case ok && current.Levels == levels:
			r.show(&current, false)
		default:
			text, err := encode(s.notAvailable(levels))
			if err != nil {
				return "", err
			}
			r.Error = text
		}
		results = append(results, r)
	}
	return s.prompts.simulation(results, left)
}

// notAvailable says why a pair of levels cannot be chosen and which can.
func (s *session) notAvailable(levels state.Levels) *CallError {
	cerr := callError(CodeNotAvailable, "%s cannot be chosen: no proposed treatment has these levels", pairOf(levels))
	for _, r := range s.x.Refused() {
		if r.Levels == levels {
			cerr.Message = fmt.Sprintf("%s cannot be chosen: %s", pairOf(levels), refusedWords(r))
			break
		}
	}
	for _, c := range s.choices {
		cerr.Available = append(cerr.Available, pairOf(c.Levels))
	}
	return cerr
}

func refusedWords(r agent.Refused) string {
	if r.Rule == "" {
		return r.Why
	}
	return fmt.Sprintf("rule %s: %s", r.Rule, quoted(r.Why, 200))
}

// request is the whole conversation so far as the endpoint takes it. Calls get
// ids of our own: what an endpoint sends may be empty, doubled or hostile.
func (s *session) request() openai.ChatCompletionRequest {
	t := s.transcript
	messages := make([]openai.ChatCompletionMessage, 0, len(t.Opening)+4*len(t.Turns))
	for _, m := range t.Opening {
		messages = append(messages, openai.ChatCompletionMessage{Role: m.Role, Content: m.Content})
	}
	for i, turn := range t.Turns {
		said := openai.ChatCompletionMessage{Role: openai.ChatMessageRoleAssistant, Content: turn.Reply.Content}
		for k, c := range turn.Reply.Calls {
			arguments := c.Arguments
			if !json.Valid([]byte(arguments)) {
				arguments = "{}" // servers put arguments through a parser and fail on their own model's mistakes
			}
			said.ToolCalls = append(said.ToolCalls, openai.ToolCall{ID: callID(i, k), Type: openai.ToolTypeFunction, Function: openai.FunctionCall{Name: c.Name, Arguments: arguments}})
		}
		messages = append(messages, said)
		for k, text := range turn.Answers {
			if len(turn.Reply.Calls) == 0 {
				messages = append(messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleUser, Content: text})
				continue
			}
			messages = append(messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleTool, ToolCallID: callID(i, k), Content: text})
		}
	}
	return s.cfg.request(messages, t.Seed)
}

func callID(turn, call int) string { return fmt.Sprintf("call_%d_%d", turn+1, call+1) }

// request puts the settings around messages. The client leaves out a
// temperature of 0, which servers then read as 1; the smallest number above 0
// stands for it until the request goes out (endpoint.go). Sent as it is, it makes
// engines that divide by it sample from what is no number.
func (cfg Config) request(messages []openai.ChatCompletionMessage, seed int) openai.ChatCompletionRequest {
	temperature := float32(cfg.Temperature)
	if temperature == 0 {
		temperature = math.SmallestNonzeroFloat32
	}
	return openai.ChatCompletionRequest{
		Model: cfg.Model, Messages: messages, Tools: tools, ToolChoice: "auto", N: 1,
		MaxTokens:   cfg.MaxTokens, //lint:ignore SA1019 vLLM and llama.cpp know this name longer than its successor
		Temperature: temperature, TopP: float32(cfg.TopP), Seed: &seed,
	}
}

func encode(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("answer to a call: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
