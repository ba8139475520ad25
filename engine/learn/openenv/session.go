// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: sessions: who holds one, how many there are, and when one has been
// unused for too long.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// Why there is no session. They reach clients as error frames.
var (
	errCapacity = errors.New("server at capacity")
	errUnknown  = errors.New("unknown session_id")
	errAttached = errors.New("session already has an attached WebSocket")
)

// errNoEpisode is what a step before the first reset ends in.
var errNoEpisode = errors.New("no episode: reset first")

// session is one client's environment. Its methods may be called from several
// goroutines; one at a time is served.
type session struct {
	server *Server
	id     string
	gone   chan struct{} // closed when the session is destroyed

	mu        sync.Mutex // one operation at a time
	episode   *environment.Episode
	episodeID string
	steps     int

	// Guarded by sessions.mu.
	used     time.Time
	busy     int
	attached bool // a WebSocket holds a session that was made over HTTP
	closing  bool // destroy it when the WebSocket lets go
}

// sessions is the table of them.
type sessions struct {
	most int
	mu   sync.Mutex
	byID map[string]*session
}

func newSessions(most int) *sessions { return &sessions{most: most, byID: map[string]*session{}} }

func (t *sessions) active() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// open makes a session, or says that there is no room.
func (t *sessions) open(s *Server) (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) >= t.most {
		return nil, fmt.Errorf("%w: %d of %d sessions are in use", errCapacity, len(t.byID), t.most)
	}
	n := &session{server: s, id: uuid.NewString(), gone: make(chan struct{}), used: time.Now()}
	t.byID[n.id] = n
	return n, nil
}

// find gives the session of an id.
func (t *sessions) find(id string) (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.byID[id]
	if !ok {
		return nil, errUnknown
	}
	return n, nil
}

// attach lets a WebSocket hold a session that was made over HTTP.
func (t *sessions) attach(id string) (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.byID[id]
	switch {
	case !ok:
		return nil, errUnknown
	case n.attached:
		return nil, errAttached
	}
	n.attached, n.used = true, time.Now()
	return n, nil
}

// detach lets go of one, and destroys it where that has been asked for.
func (t *sessions) detach(n *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.attached, n.used = false, time.Now()
	if n.closing {
		t.drop(n)
	}
}

// close destroys a session; false: a WebSocket holds it, and it goes when that
// does.
func (t *sessions) close(n *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.attached {
		n.closing = true
		return false
	}
	t.drop(n)
	return true
}

// drop destroys a session. t.mu is held.
func (t *sessions) drop(n *session) {
	if t.byID[n.id] == n {
		delete(t.byID, n.id)
		close(n.gone)
	}
}

// expire destroys the sessions that nobody has used since.
func (t *sessions) expire(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.byID {
		if n.busy == 0 && n.used.Before(since) {
			t.drop(n)
		}
	}
}

// abort destroys them all.
func (t *sessions) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.byID {
		t.drop(n)
	}
}

// using marks a session as in use until done is called.
func (t *sessions) using(n *session) (done func()) {
	t.mu.Lock()
	n.busy++
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		n.busy--
		n.used = time.Now()
		t.mu.Unlock()
	}
}

// begin takes the session and a core for one operation.
func (n *session) begin(ctx context.Context) (end func(), err error) {
	done := n.server.sessions.using(n)
	n.mu.Lock()
	free, err := n.server.computing(ctx)
	if err != nil {
		n.mu.Unlock()
		done()
		return nil, err
	}
	return func() {
		free()
		n.mu.Unlock()
		done()
	}, nil
}

// reset begins an episode. The one before is gone, whether it had ended or not.
func (n *session) reset(ctx context.Context, p resetParams) (envelope, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return envelope{}, err
	}
	defer end()
	return n.resetNow(ctx, p)
}

// resetNow is reset for one who has begun.
func (n *session) resetNow(ctx context.Context, p resetParams) (envelope, error) {
	seed, id := p.Seed, p.EpisodeID
	if !p.seeded {
		seed = n.server.nextSeed()
	}
	if id == "" {
		id = uuid.NewString()
	}
	episode, err := n.server.env.Reset(ctx, seed, p.Task)
	if err != nil {
		return envelope{}, err
	}
	first, err := episode.Open(ctx)
	if err != nil {
		return envelope{}, err
	}
	n.episode, n.episodeID, n.steps = episode, id, 0
	return envelope{Observation: first.Observation, Metadata: metadata{Seed: seed, Task: episode.Task()}}, nil
}

// step lets the agent act. Without an episode the error is errNoEpisode.
func (n *session) step(ctx context.Context, a parsed) (envelope, error) {
	if a.list {
		reward := 0.
		return envelope{Observation: toolList{Tools: toolsOf("input_schema")}, Reward: &reward}, nil
	}
	end, err := n.begin(ctx)
	if err != nil {
		return envelope{}, err
	}
	defer end()
	if n.episode == nil {
		return envelope{}, errNoEpisode
	}
	out, err := n.stepNow(ctx, a.Action)
	if err == nil && a.tool {
		out.Observation = toolResultOf(a.Tool, &out)
	}
	return out, err
}

// stepNow is step for one who has begun and has an episode.
func (n *session) stepNow(ctx context.Context, a environment.Action) (envelope, error) {
	turn, err := n.episode.Act(ctx, a)
	if err != nil {
		return envelope{}, err
	}
	n.steps++
	reward := turn.Reward.Total()
	return envelope{
		Observation: turn.Observation, Reward: &reward, Done: turn.End != "",
		Metadata: metadata{Seed: n.episode.Seed(), Task: n.episode.Task(), Parts: &turn.Reward, End: turn.End, Fault: turn.Fault},
	}, nil
}

// call is step for a tool call over JSON-RPC, which has no reset of its own: the
// first call begins an episode of the next seed.
func (n *session) call(ctx context.Context, a environment.Action) (envelope, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return envelope{}, err
	}
	defer end()
	if n.episode == nil {
		if _, err := n.resetNow(ctx, resetParams{}); err != nil {
			return envelope{}, err
		}
	}
	return n.stepNow(ctx, a)
}

// state is where the session stands.
func (n *session) state(ctx context.Context) (stateData, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return stateData{}, err
	}
	defer end()
	if n.episode == nil {
		return stateData{}, nil
	}
	ended, done := n.episode.Done()
	seed := n.episode.Seed()
	return stateData{EpisodeID: &n.episodeID, StepCount: n.steps, Seed: &seed, Task: n.episode.Task(), Prescriptions: n.episode.Step(), Done: done, End: ended}, nil
}
