// SPDX-License-Identifier: Apache-2.0

package main

// This file: `serve --demo`: the real service and an EHR with synthetic
// patients on one loopback address, with a log and keys made for this run.
// The EHR is a registered client like any other and meets the service over
// HTTP only; there is no way in without its signed token here either.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
)

const (
	ehrPath = "/ehr"      // where the demonstration EHR is mounted
	demoKey = "audit.key" // signing key of the run's log
)

// serveDemo runs the demonstration until ctx ends.
func serveDemo(ctx context.Context, cfg Config, stdout, stderr io.Writer, check bool) error {
	host, _, err := net.SplitHostPort(cfg.HTTP.Addr)
	if err != nil {
		return misuse("--addr: %v", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return misuse("--demo serves on loopback only, not on %q (hint: --addr 127.0.0.1:8080)", host)
	}
	ln, err := net.Listen("tcp", cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w (hint: is something else there? choose another with --addr 127.0.0.1:8081)", err)
	}
	defer ln.Close()
	dir, err := os.MkdirTemp("", "sepsisagent-demo-")
	if err != nil {
		return fmt.Errorf("demo log: %w", err)
	}
	defer os.RemoveAll(dir)
	d, err := newDemo(ctx, cfg, "http://"+ln.Addr().String(), dir, newLogger(stderr))
	if err != nil {
		return err
	}
	defer d.close()
	if check {
		_, err := fmt.Fprintln(stdout, "ok: the demonstration is ready to start")
		return err
	}
	if _, err := fmt.Fprintf(stdout, "SepsisAgent CDS demonstration: synthetic patients, not for clinical use.\nOpen %s%s/ in a browser. Stop with Ctrl-C.\nEverything it answers is in the log of this run: %s%s/\nCheck the log of this run with: sepsisagent audit verify --db %s --key %s\n",
		d.base, ehrPath, d.base, console.Path, d.log.Name(), filepath.Join(dir, demoKey)); err != nil {
		return err
	}
	return listen(ctx, cfg.HTTP, ln, d.handler)
}

// demo is the demonstration, wired but not yet listening.
type demo struct {
	base    string
	log     *sqlite.Log
	ehr     *sandbox.Sandbox
	service *cdshooks.Service
	rooms   *rooms
	console *console.Console
	handler http.Handler
	logger  *zap.Logger
}

// newDemo makes log, key, EHR and service for the address base, with what must
// be stored in dir.
func newDemo(ctx context.Context, cfg Config, base, dir string, logger *zap.Logger) (*demo, error) {
	key, err := audit.CreateKeyFile(filepath.Join(dir, demoKey), "sepsisagent-demo")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "audit.db")
	if err := sqlite.Create(ctx, path, sqlite.Options{Key: key}); err != nil {
		return nil, err
	}
	ehr, err := sandbox.New(sandbox.Config{BaseURL: base + ehrPath, CDSBaseURL: base})
	if err != nil {
		return nil, err
	}
	cfg.CDSHooks.PublicURL = base
	cfg.CDSHooks.Clients = []trust.Client{demoClient(ehr.Client())}
	r, err := openRooms(cfg, "")
	if err != nil {
		return nil, err
	}
	r.consulted = logConsulted(logger)
	log, err := sqlite.Open(ctx, path, sqlite.Options{Key: key})
	if err != nil {
		return nil, err
	}
	registry, err := newRegistry(cfg, nil)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	deps, err := serviceDeps(r, registry, nil, log, logger)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// Synthetic patients need no local validation record; real ones do.
	deps.Validated = func(time.Time) validation.Standing { return validation.Standing{} }
	service, err := cdshooks.New(deps)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := r.recordStart(ctx, log, nil); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := service.Start(ctx); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", service.Handler())
	mux.Handle(ehrPath+"/", ehr.Handler())
	gate, token := console.DemoGate()
	audited := auditSurface{log: log, appends: log, rooms: func() *rooms { return r }, logger: logger}.mountConsole(mux, gate, nil, token)
	mux.Handle("GET /{$}", http.RedirectHandler(ehrPath+"/", http.StatusFound))
	return &demo{base: base, log: log, ehr: ehr, service: service, rooms: r, console: audited, handler: ownHost(base, mux), logger: logger}, nil
}

// ownHost refuses requests that name another host: a page of a stranger whose
// name was made to point at loopback (DNS rebinding) gets nothing.
func ownHost(base string, h http.Handler) http.Handler {
	_, own, _ := strings.Cut(base, "://")
	_, port, _ := net.SplitHostPort(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != own && r.Host != net.JoinHostPort("localhost", port) {
			http.Error(w, "this demonstration answers on its own address only", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// demoClient registers the EHR with the key it made at start.
func demoClient(c sandbox.ClientRegistration) trust.Client {
	return trust.Client{
		Name: c.Name, Issuer: c.Issuer, JWKSURL: c.JWKSURL, FHIRServer: c.FHIRBase, Origins: []string{c.Origin},
		Network: trust.NetworkLoopback, Display: trust.DisplaySuggest,
		// A link can be followed from outside the EHR's page too: nothing here is of
		// a real patient.
		Launch: trust.Launch{ClientID: c.AppID, LinkAlone: true},
	}
}

func (d *demo) close() {
	d.console.Close()
	d.service.Close()
	d.rooms.close()
	if err := d.log.Close(); err != nil {
		d.logger.Error("close the log", zap.Error(err))
	}
}
