// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: the HTTP routes. As in the reference server, /reset, /step and
// /state keep nothing between requests: each has an environment of its own that
// is thrown away. Episodes of more than one step need a session (ws.go, mcp.go).

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		status := "healthy"
		if s.ctx.Err() != nil {
			status = "unhealthy"
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": status})
	})
	s.mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.about()) })
	s.mux.HandleFunc("GET /schema", func(w http.ResponseWriter, _ *http.Request) { writeRaw(w, schemas) })
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { writeRaw(w, openapi) })
	s.mux.HandleFunc("POST /reset", s.resetHTTP)
	s.mux.HandleFunc("POST /step", s.stepHTTP)
	s.mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, stateData{}) })
	s.mux.HandleFunc("POST /mcp", s.mcpHTTP)
	s.mux.HandleFunc("GET /mcp", s.mcpWS)
	s.mux.HandleFunc("GET /ws", s.ws)
	s.mux.HandleFunc("GET /list_environments", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, []string{Name}) })
	s.mux.HandleFunc("GET /{env}/splits", s.splits)
	for route, answer := range map[string]func(tasksRequest) (any, error){
		"tasks": s.allTasks, "num_tasks": s.numTasks, "task": s.oneTask, "task_range": s.taskRange,
	} {
		s.mux.HandleFunc("POST /{env}/"+route, s.tasks(answer))
	}
}

// Name is what the environment calls itself.
const Name = "sepsis_icu"

func (s *Server) about() map[string]any {
	return map[string]any{
		"name": Name,
		"description": "One simulated septic ICU patient per episode, who goes on as a Clinical World Model says. Two tools: simulation shows what would happen, " +
			"prescription gives vasopressor and fluid for four hours. Rewards lie in [-1, 1]; their parts are in metadata.",
		"readme_content": nil, "version": s.cfg.Version, "author": "SepsisAgent CDS", "documentation_url": nil,
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "answer could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
}

func writeRaw(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

// writeError answers what went wrong: 422 with a list for a request of the wrong
// shape, 503 where there is no room, else a plain 500.
func writeError(w http.ResponseWriter, err error) {
	var v *invalid
	switch {
	case errors.As(err, &v):
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"detail": v.issues})
	case errors.Is(err, errCapacity):
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"detail": err.Error()})
	default:
		writeJSON(w, http.StatusInternalServerError, map[string]any{"detail": err.Error()})
	}
}

// body reads a JSON object; a missing one is empty where that is allowed.
func body(w http.ResponseWriter, r *http.Request, optional bool) (map[string]json.RawMessage, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFrame))
	if err != nil {
		return nil, &invalid{[]issue{wrong("json_invalid", "the body is too large or broke off", nil, "body")}}
	}
	if optional && len(strings.TrimSpace(string(data))) == 0 {
		return map[string]json.RawMessage{}, nil
	}
	fields, err := object(data)
	var m *malformed
	switch {
	case errors.As(err, &m):
		return nil, &invalid{[]issue{wrong("json_invalid", "JSON decode error", nil, "body", 0)}}
	case err != nil:
		return nil, &invalid{[]issue{wrong("dict_type", "Input should be a valid dictionary", data, "body")}}
	}
	return fields, nil
}

// throwaway gives a session for one request.
func (s *Server) throwaway(use func(*session) (envelope, error)) (envelope, error) {
	n, err := s.openForHTTP()
	if err != nil {
		return envelope{}, err
	}
	defer s.sessions.close(n)
	return use(n)
}

func (s *Server) resetHTTP(w http.ResponseWriter, r *http.Request) {
	fields, err := body(w, r, true)
	var p resetParams
	if err == nil {
		p, err = parseReset(fields, "body")
	}
	var e envelope
	if err == nil {
		e, err = s.throwaway(func(n *session) (envelope, error) { return n.reset(r.Context(), p) })
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, e)
}

// stepHTTP takes the first step of an episode: the request may name its seed and
// task.
func (s *Server) stepHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := func() (envelope, error) {
		fields, err := body(w, r, false)
		if err != nil {
			return envelope{}, err
		}
		p, a, err := parseStep(fields)
		if err != nil {
			return envelope{}, err
		}
		return s.throwaway(func(n *session) (envelope, error) {
			if _, err := n.reset(r.Context(), p); err != nil {
				return envelope{}, err
			}
			return n.step(r.Context(), a)
		})
	}()
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, e)
}

// parseStep reads the body of POST /step. Errors of the action are told without
// the body's name before them.
func parseStep(fields map[string]json.RawMessage) (p resetParams, a parsed, err error) {
	raw, ok := fields["action"]
	if !ok {
		return p, a, &invalid{[]issue{missing("body", "action")}}
	}
	action, err := object(raw)
	if err != nil {
		return p, a, &invalid{[]issue{wrong("dict_type", "Input should be a valid dictionary", raw, "body", "action")}}
	}
	var limit float64
	if raw, ok := fields["timeout_s"]; ok && string(raw) != "null" && (json.Unmarshal(raw, &limit) != nil || limit <= 0) {
		return p, a, &invalid{[]issue{wrong("greater_than", "Input should be greater than 0", raw, "body", "timeout_s")}}
	}
	var id string
	if raw, ok := fields["request_id"]; ok && string(raw) != "null" && (json.Unmarshal(raw, &id) != nil || len(id) > maxID) {
		return p, a, &invalid{[]issue{wrong("string_type", "Input should be a valid string of at most 255 characters", raw, "body", "request_id")}}
	}
	if p, err = parseReset(fields, "body"); err != nil {
		return p, a, err
	}
	a, err = parseAction(action)
	return p, a, err
}

// The splits: seeds that never overlap. A task is a seed of the default task.
var splitNames = []string{"train", "validation", "test"}

const (
	tasksPerSplit = 1024
	splitStride   = 1 << 32 // between the first seeds of two splits
)

type tasksRequest struct {
	first       uint64 // seed of the split's task 0
	fields      map[string]json.RawMessage
	defaultTask string
}

func (q tasksRequest) task(i int) map[string]any {
	seed := q.first + uint64(i)
	return map[string]any{"id": q.defaultTask + "-" + strconv.FormatUint(seed, 10), "task": q.defaultTask, "seed": seed}
}

func (s *Server) splits(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.PathValue("env"), Name) {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "no such environment"})
		return
	}
	var out []map[string]string
	for _, name := range splitNames {
		out = append(out, map[string]string{"name": name, "type": name})
	}
	writeJSON(w, http.StatusOK, out)
}

// tasks reads what the task routes have in common.
func (s *Server) tasks(answer func(tasksRequest) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.PathValue("env"), Name) {
			writeJSON(w, http.StatusNotFound, map[string]string{"detail": "no such environment"})
			return
		}
		fields, err := body(w, r, false)
		if err != nil {
			writeError(w, err)
			return
		}
		q := tasksRequest{fields: fields, defaultTask: s.env.Tasks()[0]}
		var split string
		if raw, ok := fields["split"]; !ok {
			writeError(w, &invalid{[]issue{missing("body", "split")}})
			return
		} else if json.Unmarshal(raw, &split) != nil {
			writeError(w, &invalid{[]issue{wrong("string_type", "Input should be a valid string", raw, "body", "split")}})
			return
		}
		for i, name := range splitNames {
			if name == split {
				q.first = uint64(i+1) * splitStride
			}
		}
		if q.first == 0 {
			writeJSON(w, http.StatusBadRequest, map[string]string{"detail": "no such split"})
			return
		}
		out, err := answer(q)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"detail": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

// integer reads an index, or the value where there is none.
func (q tasksRequest) integer(key string, otherwise int) (int, error) {
	raw, ok := q.fields[key]
	if !ok || string(raw) == "null" {
		return otherwise, nil
	}
	var n int
	if json.Unmarshal(raw, &n) != nil || n < 0 || n > tasksPerSplit {
		return 0, fmt.Errorf("%s must be from 0 to %d", key, tasksPerSplit)
	}
	return n, nil
}

func (q tasksRequest) rangeOf(from, to int) []map[string]any {
	out := []map[string]any{}
	for i := from; i < to; i++ {
		out = append(out, q.task(i))
	}
	return out
}

func (s *Server) allTasks(q tasksRequest) (any, error) {
	return map[string]any{"tasks": q.rangeOf(0, tasksPerSplit), "env_name": Name}, nil
}

func (s *Server) numTasks(tasksRequest) (any, error) {
	return map[string]any{"num_tasks": tasksPerSplit}, nil
}

func (s *Server) oneTask(q tasksRequest) (any, error) {
	i, err := q.integer("index", tasksPerSplit)
	if err != nil || i >= tasksPerSplit {
		return nil, fmt.Errorf("index must be from 0 to %d", tasksPerSplit-1)
	}
	return map[string]any{"task": q.task(i)}, nil
}

func (s *Server) taskRange(q tasksRequest) (any, error) {
	from, err := q.integer("start", 0)
	if err != nil {
		return nil, err
	}
	to, err := q.integer("stop", tasksPerSplit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"tasks": q.rangeOf(from, to)}, nil
}
