// SPDX-License-Identifier: Apache-2.0

// Package openenv serves the simulated unit of package environment over the
// OpenEnv wire: WebSocket sessions, each one episode at a time, with HTTP and an
// MCP-like JSON-RPC beside them. Training engines (TRL, ms-swift, verifiers)
// speak it.
//
// One connection is one session and holds one episode. Sessions are bounded:
// where there is no room a client is told so at once (CAPACITY_REACHED) and
// never left waiting. Sessions that nobody uses are closed. What an agent does
// wrongly is an observation; only what breaks the protocol is an error frame, and
// the next valid message works again.
//
// The package trusts the environment it is given. It does not trust whoever
// connects: frames are bounded and read strictly, browsers of other origins are
// refused, and nothing a client sends is echoed at length. It knows no users: it
// belongs on loopback or in a cluster's own network, and whoever reaches it may
// take up its sessions and read the simulated patients.
package openenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// ErrConfig is wrapped by every error of New.
var ErrConfig = errors.New("environment server")

// Config bounds a server. Start from DefaultConfig.
type Config struct {
	// Sessions is how many episodes are held at once. Default 64. A trainer
	// needs one per rollout of a generation batch.
	Sessions int
	// Idle is how long a session may be unused before it is closed. Default 1 h,
	// longer than an optimiser's step; 0: for ever.
	Idle time.Duration
	// Seed is that of the first reset that names none; the next take the next
	// numbers. Default 0.
	Seed uint64
	// Version of the build, for /metadata.
	Version string
	// AnyHost accepts requests under any Host name. Without it a request must
	// name a loopback address, so that no web page can reach a server on loopback
	// by a name of its own.
	AnyHost bool
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config { return Config{Sessions: 64, Idle: time.Hour} }

// Bounds.
const (
	mostSessions = 4096
	maxFrame     = 1 << 20 // bytes of one message or body
	writeTimeout = 30 * time.Second
	leastSweep   = 5 * time.Second // between two looks for idle sessions
)

// Server serves episodes. Make one with New and end it with Shutdown.
type Server struct {
	cfg      Config
	env      *environment.Environment
	sessions *sessions
	mux      *http.ServeMux
	compute  chan struct{} // one place per core: more at once would only be slower
	seeds    atomic.Uint64 // resets without a seed so far

	ctx   context.Context // ends when the server drains
	drain context.CancelFunc
	mu    sync.Mutex
	ended bool
	work  sync.WaitGroup // connections and the reaper
}

// New makes a server and starts its reaper. The error wraps ErrConfig.
func New(cfg Config, env *environment.Environment) (*Server, error) { return newServer(cfg, env, 0) }

// newServer is New with another time between two looks for idle sessions.
func newServer(cfg Config, env *environment.Environment, sweep time.Duration) (*Server, error) {
	switch {
	case env == nil:
		return nil, fmt.Errorf("%w: an environment is required", ErrConfig)
	case cfg.Sessions < 1 || cfg.Sessions > mostSessions:
		return nil, fmt.Errorf("%w: %d sessions: want 1 to %d", ErrConfig, cfg.Sessions, mostSessions)
	case cfg.Idle < 0:
		return nil, fmt.Errorf("%w: idle time %v is negative", ErrConfig, cfg.Idle)
	}
	s := &Server{cfg: cfg, env: env, sessions: newSessions(cfg.Sessions), compute: make(chan struct{}, runtime.GOMAXPROCS(0))}
	s.ctx, s.drain = context.WithCancel(context.Background())
	s.routes()
	if cfg.Idle > 0 {
		if sweep == 0 {
			sweep = max(cfg.Idle/4, leastSweep)
		}
		s.work.Add(1)
		go s.reap(sweep)
	}
	return s, nil
}

// reap closes idle sessions until the server ends.
func (s *Server) reap(every time.Duration) {
	defer s.work.Done()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.sessions.expire(now.Add(-s.cfg.Idle))
		}
	}
}

// Shutdown takes no more sessions, lets every message under way be answered,
// says goodbye to all clients, and returns when the last is gone or ctx has
// ended. The HTTP server around it is the caller's to shut down.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.drain()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.work.Wait()
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		s.sessions.abort()
		<-gone
		return ctx.Err()
	}
}

// enter counts a connection in; false once the server drains.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.work.Add(1)
	return true
}

// Active is how many sessions there are.
func (s *Server) Active() int { return s.sessions.active() }

// computing waits for a core.
func (s *Server) computing(ctx context.Context) (done func(), err error) {
	select {
	case s.compute <- struct{}{}:
		return func() { <-s.compute }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nextSeed is the seed of a reset that names none.
func (s *Server) nextSeed() uint64 { return s.cfg.Seed + s.seeds.Add(1) - 1 }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.cfg.AnyHost && !loopback(r.Host) {
		http.Error(w, "this server answers under a loopback address only", http.StatusMisdirectedRequest)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return host == "" || strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
