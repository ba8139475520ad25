// SPDX-License-Identifier: Apache-2.0

package openenv

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

var shipped = sync.OnceValues(func() (*environment.Environment, error) {
	model, err := world.Load(configs.FS, "model")
	if err != nil {
		return nil, err
	}
	rules, err := policy.Load(configs.FS)
	if err != nil {
		return nil, err
	}
	native, err := agent.New(model, rules, agent.DefaultConfig())
	if err != nil {
		return nil, err
	}
	prompts, err := llm.LoadPrompts(configs.FS)
	if err != nil {
		return nil, err
	}
	dynamics := make([]world.Forecaster, model.Info().Members)
	for k := range dynamics {
		if dynamics[k], err = model.Only(k); err != nil {
			return nil, err
		}
	}
	return environment.New(environment.DefaultConfig(), environment.Deps{
		State: state.DefaultConfig(), Dynamics: dynamics, Lens: model, Death: model.DeathInHospital,
		Judge: rules, Native: native, Prompts: prompts, Starts: environment.NewSynthetic(state.DefaultConfig()),
	})
})

// host is a server under test.
type host struct {
	t      testing.TB
	server *Server
	url    string
}

func start(t testing.TB, change func(*Config), sweep time.Duration) *host {
	t.Helper()
	env, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s, err := newServer(cfg, env, sweep)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		web.Close()
	})
	return &host{t, s, web.URL}
}

// client is one WebSocket.
type client struct {
	t    testing.TB
	conn *websocket.Conn
}

func (h *host) dial(path string) *client {
	h.t.Helper()
	conn, _, err := websocket.Dial(context.Background(), "ws"+strings.TrimPrefix(h.url, "http")+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(8 << 20)
	h.t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{h.t, conn}
}

// reply is one frame of ours, as a client reads it.
type reply struct {
	Type string `json:"type"`
	Data struct {
		Observation map[string]any `json:"observation"`
		Reward      *float64       `json:"reward"`
		Done        bool           `json:"done"`
		Metadata    map[string]any `json:"metadata"`
		Code        string         `json:"code"`
		Message     string         `json:"message"`
		Errors      []issue        `json:"errors"`
		Active      int            `json:"active_sessions"`
		Max         int            `json:"max_sessions"`
		EpisodeID   *string        `json:"episode_id"`
		StepCount   int            `json:"step_count"`
	} `json:"data"`
}

func (c *client) send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

func (c *client) ask(text string) (r reply) {
	c.t.Helper()
	c.send(text)
	data := c.receive()
	if err := json.Unmarshal(data, &r); err != nil {
		c.t.Fatalf("%v: %s", err, data)
	}
	return r
}

// closed waits for the server to end the connection, and says how.
func (c *client) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		_, _, err := c.conn.Read(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			c.t.Fatal("the connection is not ended")
		}
		return websocket.CloseStatus(err)
	}
}

func TestAServerOutOfBoundsIsRefused(t *testing.T) {
	env, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{{}, {Sessions: mostSessions + 1}, {Sessions: 1, Idle: -1}} {
		if _, err := New(cfg, env); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if _, err := New(DefaultConfig(), nil); !errors.Is(err, ErrConfig) {
		t.Errorf("no environment: %v", err)
	}
}

func TestOnlyLoopbackNamesAreAnsweredOnLoopback(t *testing.T) {
	h := start(t, nil, 0)
	for name, want := range map[string]int{"localhost:8000": 200, "127.0.0.1": 200, "[::1]:8000": 200, "evil.example": 421, "127.0.0.1.evil.example:8000": 421} {
		r, err := http.NewRequest("GET", h.url+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = name
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", name, resp.StatusCode, want)
		}
	}
}

func TestBrowsersOfOtherOriginsAreRefused(t *testing.T) {
	h := start(t, nil, 0)
	for origin, ok := range map[string]bool{"": true, h.url: true, "https://evil.example": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(h.url, "http")+"/ws", &websocket.DialOptions{HTTPHeader: header})
		if (err == nil) != ok {
			t.Errorf("Origin %q: %v", origin, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
}

func TestIdleSessionsAreClosedAndBusyOnesAreNot(t *testing.T) {
	h := start(t, func(c *Config) { c.Idle = 400 * time.Millisecond }, 20*time.Millisecond)
	idle, busy := h.dial("/ws"), h.dial("/ws")
	busy.ask(`{"type":"reset","data":{"seed":1}}`)
	gone := make(chan websocket.StatusCode, 1)
	go func() { gone <- idle.closed() }()
	for {
		select {
		case status := <-gone:
			if status != websocket.StatusGoingAway {
				t.Errorf("the idle session ends with %v", status)
			}
			if r := busy.ask(`{"type":"state"}`); r.Type != typeState {
				t.Errorf("the busy session: %+v", r)
			}
			return
		case <-time.After(50 * time.Millisecond):
			busy.ask(`{"type":"state"}`)
		}
	}
}

func TestPingsAreAnsweredWhileAStepRuns(t *testing.T) {
	h := start(t, nil, 0)
	c := h.dial("/ws")
	c.ask(`{"type":"reset","data":{"seed":1}}`)
	for range cap(h.server.compute) { // every core is taken: the next step waits
		h.server.compute <- struct{}{}
	}
	c.send(`{"type":"step","data":{"message":"hm"}}`)
	answered := make(chan []byte, 1)
	go func() { // pongs are seen while reading
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, data, err := c.conn.Read(ctx)
		if err != nil {
			data = []byte(err.Error())
		}
		answered <- data
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.conn.Ping(ctx); err != nil {
		t.Errorf("no pong: %v", err)
	}
	select {
	case data := <-answered:
		t.Errorf("the step did not wait: %s", data)
	default:
	}
	for range cap(h.server.compute) {
		<-h.server.compute
	}
	if data := <-answered; !strings.Contains(string(data), `"observation"`) {
		t.Errorf("the step after it: %s", data)
	}
}

func TestShutdownAnswersWhatIsUnderWayAndSaysGoodbye(t *testing.T) {
	h := start(t, nil, 0)
	working, waiting := h.dial("/ws"), h.dial("/ws")
	working.ask(`{"type":"reset","data":{"seed":1}}`)
	waiting.ask(`{"type":"reset","data":{"seed":2}}`)
	for range cap(h.server.compute) {
		h.server.compute <- struct{}{}
	}
	working.send(`{"type":"step","data":{"message":"hm"}}`)
	for h.server.sessions.busy() == 0 {
		time.Sleep(time.Millisecond)
	}
	done := make(chan error, 1)
	go func() { done <- h.server.Shutdown(context.Background()) }()
	if status := waiting.closed(); status != websocket.StatusGoingAway {
		t.Errorf("who waits is told %v", status)
	}
	for range cap(h.server.compute) {
		<-h.server.compute
	}
	if data := working.receive(); !strings.Contains(string(data), `"observation"`) {
		t.Errorf("the step under way: %s", data)
	}
	if status := working.closed(); status != websocket.StatusGoingAway {
		t.Errorf("who worked is told %v", status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := h.server.Active(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if _, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(h.url, "http")+"/ws", nil); err == nil || resp.StatusCode != 503 {
		t.Errorf("a session after the end: %v", err)
	}
}

// busy is how many operations are under way.
func (t *sessions) busy() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byID {
		n += s.busy
	}
	return n
}
