// SPDX-License-Identifier: Apache-2.0

package llm_test

// This file: a scripted OpenAI-compatible server, and the simulated patients
// that the tests decide on.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var demo = sync.OnceValues(func() (map[physiology.Scenario]*state.Chart, error) {
	return physiology.DemoCharts(now)
})

func timeline(t testing.TB, s physiology.Scenario) *state.Timeline {
	t.Helper()
	charts, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	tl, err := state.Build(charts[s], now, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// known is persistence with a support that no rule blocks and a known effect:
// norepinephrine and volume raise MAP.
type known struct{ world.Persistence }

func (k known) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	out, err := k.Persistence.Forecast(ctx, tl, plans, goal)
	for i := range out {
		out[i].Support, out[i].OOD = 0.2, 0.4
		for s := range out[i].Steps {
			up := 40*(out[i].Plan.Doses[s].NEUgKgMin-plans[0].Doses[s].NEUgKgMin) + (out[i].Plan.Doses[0].FluidMl-plans[0].Doses[0].FluidMl)/200
			b := &out[i].Steps[s].Band[state.MeanBP]
			for _, v := range []*float64{&b.Lo95, &b.Lo80, &b.Median, &b.Hi80, &b.Hi95} {
				*v = max(25, min(180, *v+up))
			}
		}
	}
	return out, err
}

var pack = sync.OnceValues(func() (*policy.Pack, error) { return policy.Load(os.DirFS("../../../configs")) })

func native(t testing.TB) *agent.Native {
	t.Helper()
	rules, err := pack()
	if err != nil {
		t.Fatal(err)
	}
	n, err := agent.New(known{}, rules, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// script is a server that answers each request with the next of its steps, the
// last one for ever.
type script struct {
	t     testing.TB
	mu    sync.Mutex
	steps []step
	asked []openai.ChatCompletionRequest
	raw   [][]byte
	auth  []string
	*httptest.Server
}

type step func(w http.ResponseWriter, r *http.Request)

func serve(t testing.TB, steps ...step) *script {
	t.Helper()
	s := &script{t: t, steps: steps}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request openai.ChatCompletionRequest
	if err := json.Unmarshal(body, &request); err != nil {
		s.t.Errorf("the request is no chat completion request: %v", err)
	}
	s.mu.Lock()
	n := len(s.asked)
	s.asked, s.raw, s.auth = append(s.asked, request), append(s.raw, body), append(s.auth, r.Header.Get("Authorization"))
	s.mu.Unlock()
	if len(s.steps) > 0 {
		s.steps[min(n, len(s.steps)-1)](w, r)
	}
}

func (s *script) requests() []openai.ChatCompletionRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// says answers with a message and a finish reason.
func says(finish string, message map[string]any) step {
	return func(w http.ResponseWriter, _ *http.Request) {
		message["role"] = "assistant"
		json.NewEncoder(w).Encode(map[string]any{
			"id": "x", "object": "chat.completion", "model": "scripted-1",
			"choices": []any{map[string]any{"index": 0, "finish_reason": finish, "message": message}},
			"usage":   map[string]any{"prompt_tokens": 1500, "completion_tokens": 20, "total_tokens": 1520},
		})
	}
}

// call is one tool call as name and arguments.
type call [2]string

func calls(cs ...call) step {
	var out []any
	for i, c := range cs {
		out = append(out, map[string]any{"id": fmt.Sprintf("c%d", i), "type": "function", "function": map[string]any{"name": c[0], "arguments": c[1]}})
	}
	return says("tool_calls", map[string]any{"content": nil, "tool_calls": out})
}

func prescribe(l state.Levels) step {
	return calls(call{"prescription", fmt.Sprintf(`{"vasopressor":%d,"iv_fluid":%d}`, l.Vasopressor, l.Fluid)})
}

func simulate(l state.Levels) step {
	return calls(call{"simulation", fmt.Sprintf(`{"actions":["[%d,%d]"]}`, l.Vasopressor, l.Fluid)})
}

func raw(status int, body string) step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// hang says nothing until the client has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip sends a byte of white space now and then, for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			io.WriteString(w, " ")
			w.(http.Flusher).Flush()
		}
	}
}

// config is a quick configuration for the server.
func config(url string, change ...func(*llm.Config)) llm.Config {
	cfg := llm.DefaultConfig()
	cfg.BaseURL, cfg.Model, cfg.Timeout, cfg.Reserve = url, "test-model", 5*time.Second, 50*time.Millisecond
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

func newAgent(t testing.TB, cfg llm.Config, change ...func(*llm.Deps)) *llm.Agent {
	t.Helper()
	deps := llm.Deps{Native: native(t), State: state.DefaultConfig(), Prompts: os.DirFS("../../../configs")}
	for _, c := range change {
		c(&deps)
	}
	a, err := llm.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func consult(t testing.TB, a *llm.Agent, tl *state.Timeline, recorded *agent.Transcript) (agent.Decision, *agent.Transcript) {
	t.Helper()
	d, transcript, err := a.Consult(context.Background(), tl, 7, recorded)
	if err != nil {
		t.Fatal(err)
	}
	return d, transcript
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// deliberation is what there is to choose for a scenario.
func deliberation(t testing.TB, tl *state.Timeline) *agent.Deliberation {
	t.Helper()
	x, err := native(t).Deliberate(context.Background(), tl)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
