// SPDX-License-Identifier: Apache-2.0

package llm_test

// This file: every way in which an endpoint can fail, and that each ends in the
// native agent's own decision with the fault on it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// wantNative checks that d is the native decision of tl but for what is said
// about the model.
func wantNative(t testing.TB, tl *state.Timeline, d agent.Decision, fault string) {
	t.Helper()
	if d.Consulted == nil || d.Consulted.Outcome != agent.ConsultFallback || d.Consulted.Fault != fault {
		t.Fatalf("consulted %+v, want a fallback for %q", d.Consulted, fault)
	}
	if len(d.Explanation) == 0 || !strings.Contains(d.Explanation[0], "gave no usable answer ("+fault+")") {
		t.Errorf("the explanation does not begin with the fault: %q", d.Explanation)
	}
	d.Consulted, d.Explanation = nil, d.Explanation[1:]
	if want := encoded(t, deliberation(t, tl).Native()); encoded(t, d) != want {
		t.Errorf("not the native decision:\n%s\n%s", encoded(t, d), want)
	}
}

func message(finish, text string) step { return says(finish, map[string]any{"content": text}) }

func TestEveryFaultEndsInTheNativeDecision(t *testing.T) {
	good := prescribe(state.Levels{Vasopressor: 2, Fluid: 3})
	many := func(n int) step {
		var cs []call
		for range n {
			cs = append(cs, call{"simulation", `{"actions":["[2,3]"]}`})
		}
		return calls(cs...)
	}
	quick := func(c *llm.Config) { c.Timeout = 60 * time.Millisecond }
	for _, c := range []struct {
		name   string
		steps  []step
		config func(*llm.Config)
		fault  string
	}{
		{name: "an endpoint that never answers", steps: []step{hang}, config: quick, fault: llm.FaultLate},
		{name: "an answer that drips in byte by byte", steps: []step{drip}, config: quick, fault: llm.FaultLate},
		{name: "a good message and then silence", steps: []step{simulate(state.Levels{Vasopressor: 2, Fluid: 3}), hang}, config: quick, fault: llm.FaultLate},
		{name: "a bad request", steps: []step{raw(400, `{"error":{"message":"x"}}`)}, fault: "http-400"},
		{name: "a wrong key", steps: []step{raw(401, `{"error":{"message":"x"}}`)}, fault: "http-401"},
		{name: "an unknown model", steps: []step{raw(404, "")}, fault: "http-404"},
		{name: "a server that has had enough", steps: []step{raw(429, "slow down")}, fault: "http-429"},
		{name: "a broken server", steps: []step{raw(500, "<html>")}, fault: "http-500"},
		{name: "a server that is away", steps: []step{raw(503, "")}, fault: "http-503"},
		{name: "a redirect, which is not followed", steps: []step{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
		}}, fault: "http-307"},
		{name: "no content", steps: []step{raw(204, "")}, fault: llm.FaultGarbled},
		{name: "an answer that is no JSON", steps: []step{raw(200, "<html>hello</html>")}, fault: llm.FaultGarbled},
		{name: "an answer cut off in its middle", steps: []step{raw(200, `{"choices":[{"message":{"role":"assis`)}, fault: llm.FaultConnection},
		{name: "a connection that breaks", steps: []step{func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }}, fault: llm.FaultConnection},
		{name: "JSON of another kind", steps: []step{raw(200, `[1,2,3]`)}, fault: llm.FaultGarbled},
		{name: "an empty object", steps: []step{raw(200, `{}`)}, fault: llm.FaultEmpty},
		{name: "no choices", steps: []step{raw(200, `{"choices":[]}`)}, fault: llm.FaultEmpty},
		{name: "two choices", steps: []step{raw(200, `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},"finish_reason":"stop"}]}`)}, fault: llm.FaultGarbled},
		{name: "a message of another role", steps: []step{raw(200, `{"choices":[{"message":{"role":"system","content":"a"},"finish_reason":"stop"}]}`)}, fault: llm.FaultGarbled},
		{name: "a call of another kind", steps: []step{raw(200, `{"choices":[{"message":{"tool_calls":[{"type":"code","function":{"name":"prescription","arguments":"{}"}}]},"finish_reason":"stop"}]}`)}, fault: llm.FaultGarbled},
		{name: "arguments that are an object instead of text", steps: []step{raw(200, `{"choices":[{"message":{"tool_calls":[{"type":"function","function":{"name":"prescription","arguments":{"vasopressor":2,"iv_fluid":3}}}]},"finish_reason":"stop"}]}`)}, fault: llm.FaultGarbled},
		{name: "an empty message", steps: []step{message("stop", " \n ")}, fault: llm.FaultEmpty},
		{name: "a message that is not finished", steps: []step{message("", "hm")}, fault: llm.FaultGarbled},
		{name: "an unknown reason to finish", steps: []step{message("tired", "hm")}, fault: llm.FaultGarbled},
		{name: "a message cut off at its length", steps: []step{message("length", "I would")}, fault: llm.FaultTruncated},
		{name: "a message that a filter took", steps: []step{message("content_filter", "")}, fault: llm.FaultRefused},
		{name: "a refusal", steps: []step{says("stop", map[string]any{"refusal": "I cannot help"})}, fault: llm.FaultRefused},
		{name: "an answer of many megabytes", steps: []step{func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"choices":[{"message":{"content":"`)
			for range 64 {
				if _, err := w.Write(bytes.Repeat([]byte("a"), 64<<10)); err != nil {
					return
				}
			}
		}}, fault: llm.FaultTooLarge},
		{name: "a model that only talks", steps: []step{message("stop", "Give [2,4].")}, fault: llm.FaultRounds},
		{name: "a model that only simulates", steps: []step{many(1)}, fault: llm.FaultRounds},
		{name: "a model that insists on levels that are not to be had", steps: []step{prescribe(state.Levels{Vasopressor: 4, Fluid: 4})}, fault: llm.FaultRounds},
		{name: "a model that calls tools there are not", steps: []step{calls(call{"give_drug", `{"drug":"norepinephrine","dose":10}`})}, fault: llm.FaultRounds},
		{name: "a model that prescribes twice at once", steps: []step{calls(call{"prescription", `{"vasopressor":2,"iv_fluid":3}`}, call{"prescription", `{"vasopressor":2,"iv_fluid":4}`})}, fault: llm.FaultRounds},
		{name: "a model that writes levels as text", steps: []step{calls(call{"prescription", `{"vasopressor":"2","iv_fluid":"3"}`})}, fault: llm.FaultRounds},
		{name: "a message with many calls", steps: []step{many(9)}, fault: llm.FaultCalls},
		{name: "a model that uses up its tokens", steps: []step{many(1)}, config: func(c *llm.Config) { c.MaxSessionTokens, c.MaxRounds = 3000, 12 }, fault: llm.FaultTokens},
		{name: "an endpoint that must not be asked", steps: []step{good}, config: func(c *llm.Config) { c.Offline = true }, fault: llm.FaultOffline},
	} {
		t.Run("5.13 "+c.name, func(t *testing.T) {
			tl := timeline(t, physiology.SepticShock)
			server := serve(t, c.steps...)
			cfg := config(server.URL)
			if c.config != nil {
				c.config(&cfg)
			}
			a := newAgent(t, cfg)
			d, transcript := consult(t, a, tl, nil)
			wantNative(t, tl, d, c.fault)
			if transcript.Fault != c.fault {
				t.Errorf("the transcript says %q", transcript.Fault)
			}
			if n := a.Counts(); n.Asked != 1 || n.Fallback != 1 || (n.Late == 1) != (c.fault == llm.FaultLate) {
				t.Errorf("counts %+v", n)
			}
		})
	}
}

func TestADeadEndpointEndsInTheNativeDecision(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	d, _ := consult(t, newAgent(t, config(server.URL)), tl, nil)
	wantNative(t, tl, d, llm.FaultConnection)
}

func TestAnEndpointWithAnUnknownCertificateIsNotTold(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	d, _ := consult(t, newAgent(t, config(server.URL)), tl, nil)
	wantNative(t, tl, d, llm.FaultConnection)
	if asked != 0 {
		t.Error("the prompt reached a server whose certificate nobody vouches for")
	}
}

// lateTransport answers well, but after the time is over and without a look at
// the context.
type lateTransport struct{ after time.Duration }

func (l lateTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, req.Body)
	req.Body.Close()
	time.Sleep(l.after)
	w := httptest.NewRecorder()
	prescribe(state.Levels{Vasopressor: 2, Fluid: 3})(w, req)
	return w.Result(), nil
}

func TestAGoodAnswerAfterTheDeadlineIsDiscardedAndCounted(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	a := newAgent(t, config("http://127.0.0.1:1", func(c *llm.Config) { c.Timeout = 50 * time.Millisecond }),
		func(d *llm.Deps) { d.Transport = lateTransport{150 * time.Millisecond} })
	t.Run("5.13 an answer after the deadline is discarded", func(t *testing.T) {
		d, _ := consult(t, a, tl, nil)
		wantNative(t, tl, d, llm.FaultLate)
		if n := a.Counts(); n.Late != 1 || n.Chosen != 0 {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestTheHooksDeadlineLeavesTimeForTheNativeAnswer(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	server := serve(t, hang)
	a := newAgent(t, config(server.URL, func(c *llm.Config) { c.Reserve = 10 * time.Second }))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+600*time.Millisecond)
	defer cancel()
	d, _, err := a.Consult(ctx, tl, 7, nil)
	if err != nil || ctx.Err() != nil {
		t.Fatalf("error %v, context %v: the reserve was spent", err, ctx.Err())
	}
	wantNative(t, tl, d, llm.FaultLate)

	short, cancel := context.WithTimeout(context.Background(), 5*time.Second) // less than the reserve
	defer cancel()
	d, _, err = a.Consult(short, tl, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantNative(t, tl, d, llm.FaultNoTime)
	if n := a.Counts(); n.Requests != 1 {
		t.Errorf("%d requests: one was sent without time for it", n.Requests)
	}
}

func TestWhoeverGoesAwayGetsNoDecision(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang(w, r)
	})
	a := newAgent(t, config(server.URL))
	if _, _, err := a.Consult(ctx, timeline(t, physiology.SepticShock), 7, nil); !errors.Is(err, context.Canceled) || !errors.Is(err, agent.ErrDecide) {
		t.Errorf("error %v", err)
	}
}

func TestAFailingEndpointIsLeftAloneAndTriedAgain(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	good := prescribe(deliberation(t, tl).Choices()[0].Levels)
	server := serve(t, raw(500, ""), raw(500, ""), good)
	a := newAgent(t, config(server.URL, func(c *llm.Config) { c.BreakerFailures, c.BreakerRest = 2, time.Second }))
	for i, fault := range []string{"http-500", "http-500", llm.FaultResting, llm.FaultResting, llm.FaultResting} {
		d, _ := consult(t, a, tl, nil)
		if d.Consulted.Fault != fault {
			t.Fatalf("decision %d: fault %q, want %q", i, d.Consulted.Fault, fault)
		}
	}
	if n := len(server.requests()); n != 2 {
		t.Fatalf("%d requests to an endpoint that fails", n)
	}
	time.Sleep(time.Second)
	for range 2 {
		if d, _ := consult(t, a, tl, nil); d.Consulted.Outcome != agent.ConsultChosen {
			t.Errorf("after its rest: %+v", d.Consulted)
		}
	}
}

func TestAModelThatIsWrongDoesNotRestTheEndpoint(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	server := serve(t, prescribe(state.Levels{Vasopressor: 4, Fluid: 0}))
	a := newAgent(t, config(server.URL, func(c *llm.Config) { c.BreakerFailures, c.MaxRounds = 1, 1 }))
	for range 3 {
		if d, _ := consult(t, a, tl, nil); d.Consulted.Fault != llm.FaultRounds {
			t.Errorf("fault %q", d.Consulted.Fault)
		}
	}
}

func TestMoreConversationsThanPlacesAreNotWaitedFor(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	arrived, release := make(chan struct{}), make(chan struct{})
	levels := deliberation(t, tl).Choices()[0].Levels
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		prescribe(levels)(w, r)
	})
	a := newAgent(t, config(server.URL, func(c *llm.Config) { c.MaxConcurrent = 1 }))
	var first agent.Decision
	var wg sync.WaitGroup
	wg.Go(func() { first, _, _ = a.Consult(context.Background(), tl, 7, nil) })
	<-arrived
	d, _ := consult(t, a, tl, nil)
	wantNative(t, tl, d, llm.FaultBusy)
	close(release)
	wg.Wait()
	if first.Consulted == nil || first.Consulted.Outcome != agent.ConsultChosen {
		t.Errorf("the one that had the place: %+v", first.Consulted)
	}
}

// TestWhateverIsAnsweredTheDecisionIsAChoiceOrTheNativeOne lets the endpoint
// answer anything at all.
func TestWhateverIsAnsweredTheDecisionIsAChoiceOrTheNativeOne(t *testing.T) {
	scenarios := []physiology.Scenario{physiology.SepticShock, physiology.EarlySepsis, physiology.Improving}
	rapid.Check(t, func(rt *rapid.T) {
		tl := timeline(t, rapid.SampledFrom(scenarios).Draw(rt, "scenario"))
		server := serve(t, rapid.SliceOfN(rapid.Custom(anyStep), 1, 6).Draw(rt, "steps")...)
		defer server.Close()
		a := newAgent(t, config(server.URL))
		defer a.Close()
		d, transcript, err := a.Consult(context.Background(), tl, 7, nil)
		if err != nil {
			rt.Fatal(err)
		}
		x := deliberation(t, tl)
		var want agent.Decision
		if d.Consulted.Outcome == agent.ConsultChosen {
			if want, err = x.Choose(d.Levels, llm.Proposer); err != nil {
				rt.Fatalf("levels %v: %v", d.Levels, err)
			}
		} else {
			want = x.Native()
		}
		again, _ := consult(t, a, tl, transcript)
		if encoded(t, again) != encoded(t, d) {
			rt.Fatal("the replay differs")
		}
		d.Consulted, d.Explanation = nil, d.Explanation[1:]
		if encoded(t, d) != encoded(t, want) {
			rt.Fatalf("neither a choice nor the native decision:\n%s\n%s", encoded(t, d), encoded(t, want))
		}
	})
}

// anyStep draws an answer: often nearly right, sometimes anything.
func anyStep(t *rapid.T) step {
	anyCall := rapid.Custom(func(t *rapid.T) call {
		arguments := rapid.OneOf(
			rapid.Map(rapid.SliceOfN(rapid.IntRange(-1, 5), 2, 2), func(v []int) string {
				return fmt.Sprintf(`{"vasopressor":%d,"iv_fluid":%d}`, v[0], v[1])
			}),
			rapid.Map(rapid.SliceOfN(rapid.IntRange(-1, 5), 2, 2), func(v []int) string { return fmt.Sprintf(`{"actions":["[%d,%d]"]}`, v[0], v[1]) }),
			rapid.SampledFrom([]string{`{}`, `null`, `{"vasopressor":2.0,"iv_fluid":3}`, `{"vasopressor":2,"iv_fluid":3,"iv_fluid":4}`, `{"Vasopressor":2,"iv_fluid":3}`, `{"vasopressor":2,"iv_fluid":3} x`}),
			rapid.String(),
		).Draw(t, "arguments")
		return call{rapid.SampledFrom([]string{"prescription", "prescription", "simulation", "Prescription", "", "exec"}).Draw(t, "name"), arguments}
	})
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return raw(rapid.IntRange(200, 599).Draw(t, "status"), rapid.String().Draw(t, "body"))
	case 1:
		return message(rapid.SampledFrom([]string{"stop", "length", "tool_calls", ""}).Draw(t, "finish"), rapid.String().Draw(t, "text"))
	case 2:
		body, _ := json.Marshal(map[string]any{"choices": rapid.SampledFrom([]any{nil, 1, []any{nil}, []any{map[string]any{}}, "x"}).Draw(t, "choices")})
		return raw(200, string(body))
	}
	return calls(rapid.SliceOfN(anyCall, 0, 3).Draw(t, "calls")...)
}
