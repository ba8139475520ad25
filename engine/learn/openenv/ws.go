// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: WebSocket sessions. One goroutine reads all the time, so that pings
// are answered while a step runs; another answers, one message at a time and in
// order.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/coder/websocket"
)

// link is one connection.
type link struct {
	server *Server
	conn   *websocket.Conn
	frames chan inbound
	stop   chan struct{} // closed when nobody takes frames any more
}

// inbound is one message as it was read.
type inbound struct {
	data []byte
	text bool
}

// accept takes a connection and starts to read it. nil: it has been answered.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) *link {
	if !s.enter() {
		http.Error(w, "the server is going down", http.StatusServiceUnavailable)
		return nil
	}
	// A missing Origin is not a browser. Compression off: it saves nothing on
	// loopback and small messages must stay small.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		s.work.Done()
		return nil // Accept has answered
	}
	conn.SetReadLimit(maxFrame)
	l := &link{server: s, conn: conn, frames: make(chan inbound), stop: make(chan struct{})}
	s.work.Add(1)
	go l.read()
	return l
}

// read hands frames on until the connection or the link ends.
func (l *link) read() {
	defer l.server.work.Done()
	defer close(l.frames)
	for {
		kind, data, err := l.conn.Read(context.Background())
		if err != nil {
			return
		}
		select {
		case l.frames <- inbound{data, kind == websocket.MessageText}:
		case <-l.stop:
			return
		}
	}
}

// end says goodbye and waits for nothing of the client's.
func (l *link) end(status websocket.StatusCode, reason string) {
	close(l.stop)
	_ = l.conn.Close(status, reason) // it may be gone already
	l.server.work.Done()
}

// send writes one message.
func (l *link) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, data)
}

// serve gives each frame to answer until the client, the session or the server
// ends. answer says whether to go on. The session is released before the goodbye:
// who has read it finds the place free, and a server that has shut down has none.
func (l *link) serve(n *session, release func(), answer func(inbound) (more bool)) {
	status, reason := websocket.StatusNormalClosure, ""
	defer func() {
		release()
		l.end(status, reason)
	}()
	for {
		select {
		case <-l.server.ctx.Done():
			status, reason = websocket.StatusGoingAway, "the server is going down"
			return
		default:
		}
		select {
		case in, open := <-l.frames:
			if !open || !answer(in) {
				return
			}
		case <-n.gone:
			status, reason = websocket.StatusGoingAway, "the session was not used for too long"
			return
		case <-l.server.ctx.Done():
			status, reason = websocket.StatusGoingAway, "the server is going down"
			return
		}
	}
}

// errorData is what an error frame holds.
type errorData struct {
	Message        string  `json:"message"`
	Code           string  `json:"code"`
	Errors         []issue `json:"errors,omitempty"`
	ActiveSessions *int    `json:"active_sessions,omitempty"`
	MaxSessions    *int    `json:"max_sessions,omitempty"`
}

func errorFrame(data errorData) answer { return answer{typeError, data} }

// errorOf is the error frame of what went wrong with one message.
func errorOf(err error) answer {
	var m *malformed
	var u *unknownType
	var v *invalid
	switch {
	case errors.As(err, &m):
		return errorFrame(errorData{Message: m.Error(), Code: codeInvalidJSON})
	case errors.As(err, &u):
		return errorFrame(errorData{Message: u.Error(), Code: codeUnknownType})
	case errors.As(err, &v):
		return errorFrame(errorData{Message: "Invalid message", Code: codeValidation, Errors: v.issues})
	}
	return errorFrame(errorData{Message: err.Error(), Code: codeExecution})
}

// hold takes the session of a connection: its own, or the one it names.
func (s *Server) hold(id string) (n *session, release func(), err error) {
	if id != "" {
		if n, err = s.sessions.attach(id); err != nil {
			return nil, nil, err
		}
		return n, func() { s.sessions.detach(n) }, nil
	}
	if n, err = s.sessions.open(s); err != nil {
		return nil, nil, err
	}
	return n, func() { s.sessions.close(n) }, nil
}

// refuse tells a connection that it gets no session, and ends it.
func (l *link) refuse(err error) {
	data := errorData{Message: err.Error(), Code: codeSession}
	if errors.Is(err, errCapacity) {
		active, most := l.server.sessions.active(), l.server.sessions.most
		data.Code, data.ActiveSessions, data.MaxSessions = codeCapacity, &active, &most
	}
	_ = l.send(errorFrame(data))
	l.end(websocket.StatusTryAgainLater, "no session")
}

// ws serves /ws.
func (s *Server) ws(w http.ResponseWriter, r *http.Request) {
	l := s.accept(w, r)
	if l == nil {
		return
	}
	n, release, err := s.hold(r.URL.Query().Get("session_id"))
	if err != nil {
		l.refuse(err)
		return
	}
	l.serve(n, release, func(in inbound) bool { return l.answer(n, in) })
}

// answer answers one frame of /ws.
func (l *link) answer(n *session, in inbound) (more bool) {
	if !in.text {
		_ = l.send(errorFrame(errorData{Message: "a message must be text", Code: codeSession}))
		return false
	}
	f, err := parseFrame(in.data)
	var broken *fatal
	if errors.As(err, &broken) {
		_ = l.send(errorFrame(errorData{Message: broken.Error(), Code: codeSession}))
		return false
	}
	if err == nil && f.Type == typeClose {
		return false
	}
	var out answer
	if err == nil {
		out, err = n.do(f)
	}
	if err != nil {
		out = errorOf(err)
	}
	return l.send(out) == nil
}

// do does what a frame asks for. Work that has begun is finished even while the
// server drains: it takes milliseconds.
func (n *session) do(f frame) (answer, error) {
	ctx := context.Background()
	switch f.Type {
	case typeReset:
		p, err := parseReset(f.Data)
		if err != nil {
			return answer{}, err
		}
		e, err := n.reset(ctx, p)
		return answer{typeObservation, e}, err
	case typeStep:
		a, err := parseAction(f.Data)
		if err != nil {
			return answer{}, err
		}
		e, err := n.step(ctx, a)
		return answer{typeObservation, e}, err
	case typeState:
		state, err := n.state(ctx)
		return answer{typeState, state}, err
	case typeMCP:
		return answer{typeMCP, n.server.rpc(ctx, f.RPC, n)}, nil
	}
	return answer{}, &unknownType{quote(f.Type)}
}
