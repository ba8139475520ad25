// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service while it runs: the one in use, and another in its
// place when the configuration is read again on SIGHUP. The new one is built
// and checked beside the old; calls under way end where they began.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// errRestart: something changed in the file that only a restart can change.
var errRestart = errors.New("http, audit and traces change at a restart only (hint: put them back, or restart)")

// edition is the service made of one reading of the configuration.
type edition struct {
	cfg     Config
	rooms   *rooms
	own     *ownAccess
	service *cdshooks.Service
	handler http.Handler
	calls   sync.WaitGroup // under way
}

// close gives back what an edition holds.
func (e *edition) close() {
	if e.service != nil {
		e.service.Close()
	}
	if e.own != nil {
		e.own.close()
	}
	e.rooms.close()
}

// serving is what outlives an edition, and the one in use.
type serving struct {
	load   func() (Config, error) // reads the configuration again
	log    auditLog
	seen   trust.Seen // tokens stay used when clients change
	traces trace.TracerProvider
	logger *zap.Logger

	mu      sync.RWMutex
	now     *edition
	closing sync.WaitGroup // editions whose last calls are awaited
}

// open makes a service of a configuration. predecessor may be nil.
func (s *serving) open(cfg Config, predecessor *cdshooks.Service) (_ *edition, err error) {
	r, err := openRooms(cfg, "")
	if err != nil {
		return nil, err
	}
	e := &edition{cfg: cfg, rooms: r}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	r.consulted = logConsulted(s.logger)
	registry, err := newRegistry(cfg, s.seen)
	if err != nil {
		return nil, err
	}
	if e.own, err = openOwnAccess(cfg, registry, templatesOf(r)); err != nil {
		return nil, err
	}
	deps, err := serviceDeps(r, registry, e.own, s.log, s.logger)
	if err != nil {
		return nil, err
	}
	deps.Predecessor, deps.Traces = predecessor, s.traces
	if e.service, err = cdshooks.New(deps); err != nil {
		return nil, err
	}
	e.handler = e.service.Handler()
	return e, nil
}

// current is the edition in use.
func (s *serving) current() *edition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now
}

// ServeHTTP answers by the edition in use.
func (s *serving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	e := s.now
	e.calls.Add(1)
	s.mu.RUnlock()
	defer e.calls.Done()
	e.handler.ServeHTTP(w, r)
}

// reload reads the configuration again and puts what it says in use. After an
// error everything is as before.
func (s *serving) reload(ctx context.Context) (changed bool, err error) {
	old := s.current()
	cfg, err := s.load()
	if err != nil {
		return false, err
	}
	if !reflect.DeepEqual(cfg.HTTP, old.cfg.HTTP) || !reflect.DeepEqual(cfg.Audit, old.cfg.Audit) || cfg.Traces != old.cfg.Traces {
		return false, errRestart
	}
	next, err := s.open(cfg, old.service)
	if err != nil {
		return false, err
	}
	if next.rooms.hashes == old.rooms.hashes && reflect.DeepEqual(cfg, old.cfg) {
		next.close()
		return false, nil
	}
	// What is not on record is not put in use.
	if err := next.rooms.recordStart(ctx, s.log, &old.rooms.hashes); err != nil {
		next.close()
		return false, err
	}
	if err := next.service.TakeOver(ctx, old.service); err != nil {
		next.close()
		return false, fmt.Errorf("take over: %w", err)
	}
	s.mu.Lock()
	s.now = next
	s.mu.Unlock()
	s.closing.Go(func() {
		old.calls.Wait()
		old.close()
	})
	for _, line := range next.service.Lowered() {
		s.logger.Warn(line)
	}
	return true, nil
}

// reloads are what is read again: the configuration when an operator asks,
// because a file that is being edited must not be taken half written; keys also
// when their files change.
func (s *serving) reloads(ctx context.Context) []reloaded {
	return []reloaded{
		{what: "configuration", asked: true, reload: func() (bool, error) { return s.reload(ctx) }, now: func() zap.Field {
			e := s.current()
			return zap.Dict("serving", zap.Int("clients", len(e.cfg.CDSHooks.Clients)), zap.String("rules", e.rooms.hashes.Rules), zap.String("model", e.rooms.hashes.Model), zap.String("code_maps", e.rooms.hashes.CodeMaps))
		}},
		{what: "keys", reload: func() (bool, error) { return s.current().own.reload() }, now: func() zap.Field {
			return zap.Strings("keys", s.current().own.keys())
		}},
	}
}

// close ends the edition in use, once those before it have ended.
func (s *serving) close() {
	s.closing.Wait()
	s.current().close()
}
