// SPDX-License-Identifier: Apache-2.0

package main

// This file: `serve`, the CDS Hooks service.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// Bounds of the HTTP server that no site needs to change.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 32 << 10
	defaultDrainDelay = 5 * time.Second
)

func serveCommand() *cobra.Command {
	var config, addr string
	var demo, check bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Answer CDS Hooks calls", Args: noArgs,
		Long: "Answer CDS Hooks calls of registered clients. The audit log must exist (`sepsisagent audit init`).\n\n" +
			"--demo needs nothing: on loopback it starts an EHR of its own with synthetic patients, a log in a\n" +
			"temporary folder, and prints the page to open. --check loads and checks everything, asks each EHR that\n" +
			"is read by our own right for a token, names the clients whose display mode cannot be as configured, and\n" +
			"exits. SIGHUP reads the configuration again, with clients, rules, code maps and model, and the signing keys\n" +
			"and the certificate; what is unusable leaves in use what is there (docs/operations.md).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if demo && config != "" {
				return misuse("--demo brings its own configuration; leave --config out")
			}
			load := func() (Config, error) {
				cfg, err := loadConfig(config, os.Environ())
				if err == nil && addr != "" {
					cfg.HTTP.Addr = addr
				}
				return cfg, err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			if err := cfg.Validate(); err != nil {
				return misuse("%v", err)
			}
			leaveHeap(300, serveHeap)
			if demo {
				return serveDemo(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr(), check)
			}
			return serve(cmd.Context(), cfg, load, cmd, check)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().StringVar(&addr, "addr", "", "host:port to listen on (default: http.addr of the configuration)")
	cmd.Flags().BoolVar(&demo, "demo", false, "start a demonstration with synthetic patients on loopback")
	cmd.Flags().BoolVar(&check, "check", false, "check configuration, model, rules, code maps and log, and exit")
	return cmd
}

// serve runs the service until ctx ends. load reads the configuration again.
func serve(ctx context.Context, cfg Config, load func() (Config, error), cmd *cobra.Command, check bool) error {
	logger := newLogger(cmd.ErrOrStderr())
	log, err := openAuditWaiting(ctx, cfg.Audit, cfg.CDSHooks.RecordWait())
	if err != nil {
		return err
	}
	defer log.Close()
	var kept auditLog = log
	if !cfg.Audit.inPostgres() {
		if kept, err = newPresentLog(log, cfg.Audit.Path); err != nil {
			return err
		}
	}
	traces, flush, err := openTraces(ctx, cfg.Traces, build(), logger)
	if err != nil {
		return err
	}
	defer flush()
	s := &serving{load: load, log: kept, seen: log, traces: traces, logger: logger}
	if s.now, err = s.open(cfg, nil); err != nil {
		return err
	}
	defer s.close()
	var cert *certificate
	if cfg.HTTP.TLS.enabled() {
		if cert, err = openCertificate(cfg.HTTP.TLS); err != nil {
			return err
		}
	}
	handler, err := withAudit(s, cfg.Audit.Access, auditSurface{log: log, appends: kept, rooms: func() *rooms { return s.current().rooms }, logger: logger})
	if err != nil {
		return err
	}
	if check {
		return s.check(ctx, cert, cmd.OutOrStdout())
	}
	unwatch, err := cfg.Audit.keepWitnessed(ctx, log, logger)
	if err != nil {
		return err
	}
	defer unwatch()
	ln, err := net.Listen("tcp", cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w (hint: is another service there? choose another with --addr)", err)
	}
	r, service := s.now.rooms, s.now.service
	if err := r.recordStart(ctx, log, nil); err != nil {
		return errors.Join(err, ln.Close())
	}
	if cert != nil {
		ln = tls.NewListener(ln, cert.config())
	}
	if err := service.Start(ctx); err != nil {
		return errors.Join(err, ln.Close())
	}
	defer watch(logger, append(s.reloads(ctx), cert.reloads()...)...)()
	for _, line := range service.Lowered() {
		logger.Warn(line)
	}
	logger.Info("serving", zap.String("addr", ln.Addr().String()), zap.Bool("tls", cert != nil), zap.String("model", r.hashes.Model), zap.String("actor", r.actorHash()), zap.String("rules", r.hashes.Rules), zap.String("build", r.hashes.Build))
	return listen(ctx, cfg.HTTP, ln, handler)
}

// check says whether the service could start, and what it would do.
func (s *serving) check(ctx context.Context, cert *certificate, out io.Writer) error {
	e := s.now
	if cert != nil {
		if _, err := fmt.Fprintf(out, "certificate until %s\n", cert.expires().UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	if err := e.own.check(ctx, out); err != nil {
		return err
	}
	if err := e.service.Load(ctx); err != nil {
		return err
	}
	if err := printLaunches(out, e.cfg.CDSHooks.Clients); err != nil {
		return err
	}
	if err := printDisplay(out, e.service); err != nil {
		return err
	}
	size, err := s.log.Size(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "ok: %d clients, %d rules, model %s %s, log of %d records\n",
		len(e.cfg.CDSHooks.Clients), len(e.rooms.rules.Rules()), e.rooms.model.Info().Kind, e.rooms.model.Info().Version, size)
	return err
}

// printDisplay says how things stand with the local validation, and why less is
// shown than is configured.
func printDisplay(w io.Writer, service *cdshooks.Service) error {
	if v := service.Validation(); v.InForce() && v.Record != nil {
		if _, err := fmt.Fprintf(w, "validation: in force until %s, accepted by %s\n", v.Record.Until.Format(time.RFC3339), v.Record.Operator); err != nil {
			return err
		}
	}
	for _, line := range service.Lowered() {
		if _, err := fmt.Fprintln(w, "warning:", line); err != nil {
			return err
		}
	}
	return nil
}

// printLaunches names the clients whose cards link to no evidence.
func printLaunches(w io.Writer, clients []trust.Client) error {
	for _, c := range clients {
		if c.Launch.Enabled() || c.Launch.LinkAlone {
			continue
		}
		if _, err := fmt.Fprintf(w, "warning: client %s: cards link to no evidence page (hint: launch.client_id, or launch.link_alone; see docs/integration.md)\n", c.Name); err != nil {
			return err
		}
	}
	return nil
}

// logConsulted logs what came of asking a language model. Nothing of what was
// said is in it.
func logConsulted(logger *zap.Logger) func(llm.Observation) {
	return func(o llm.Observation) {
		logger.Info("language model consulted", zap.String("outcome", o.Outcome), zap.String("fault", o.Fault),
			zap.Int("rounds", o.Rounds), zap.Int("tokens", o.Tokens), zap.Duration("took", o.Took))
	}
}

// recordStart appends what the service works with from now on: who may call,
// what each is shown, and the hashes that decisions will name.
// replaced are the hashes before, where a running service changes.
func (r *rooms) recordStart(ctx context.Context, log auditLog, replaced *engine.Hashes) error {
	type client struct {
		Name    string            `json:"name"`
		Issuer  string            `json:"issuer"`
		Access  string            `json:"fhir_access,omitempty"`
		Display string            `json:"display"`
		ByUnit  map[string]string `json:"display_by_unit,omitempty"`
	}
	clients := []client{}
	for _, c := range r.cfg.CDSHooks.Clients {
		clients = append(clients, client{c.Name, c.Issuer, c.FHIRAccess.Mode, cmp.Or(c.Display, trust.DisplaySilent), c.DisplayByUnit})
	}
	body := map[string]any{"schema": "sepsisagent.start/1", "hashes": r.hashes, "model": r.model.Info(), "clients": clients}
	if replaced != nil {
		body["replaced"] = *replaced
	}
	err := appendOwn(ctx, log, audit.Index{Kind: "config", Service: cdshooks.ServiceID, Model: r.hashes.Model, RulesHash: r.hashes.Rules, CodeMaps: r.hashes.CodeMaps},
		body)
	if err != nil {
		return fmt.Errorf("record the start: %w", err)
	}
	return nil
}

// newRegistry registers the CDS clients. seen remembers used tokens; nil: in
// this registry alone.
func newRegistry(cfg Config, seen trust.Seen) (*trust.Registry, error) {
	if len(cfg.CDSHooks.Clients) == 0 {
		return nil, errors.New("no client is registered, so nobody would get an answer (hint: cdshooks.clients, see docs/integration.md)")
	}
	return trust.New(cfg.CDSHooks.Clients, trust.Options{Leeway: cfg.CDSHooks.Leeway, Seen: seen, SeenWithin: cfg.CDSHooks.RecordWait()})
}

// auditLog is the log as the service uses it.
type auditLog interface {
	cdshooks.Log
	evidence.Prover
	Size(ctx context.Context) (int64, error)
}

// serviceDeps wires the CDS Hooks service. own may be nil.
func serviceDeps(r *rooms, registry *trust.Registry, own *ownAccess, log auditLog, logger *zap.Logger) (cdshooks.Deps, error) {
	card, err := cardOf(r.model, r.cfg.Files.CardAttributes)
	if err != nil {
		return cdshooks.Deps{}, fmt.Errorf("files.card_attributes: %w", err)
	}
	return cdshooks.Deps{
		Config: r.cfg.CDSHooks, State: r.cfg.State, Trust: registry,
		Charts: cdshooks.MappedCharts{Mapper: r.mapper}, Templates: r.cfg.CDSHooks.Prefetch.Templates(r.maps),
		Decider: r.decider, Log: log, Proofs: log,
		Model: r.model.Info(), Hashes: r.hashes, ModelCard: card,
		OwnAccess: own.grants(), KeySet: own.keySet,
		// An EHR that grants us no token does not make the service unready: it
		// answers every call that brings its data, and another replica would
		// fare no better.
		Ready: func(ctx context.Context) error {
			_, err := log.Size(ctx)
			return err
		},
		Logger: logger,
	}, nil
}

// listen serves until ctx ends. Then /readyz says no for a while, so that
// nobody sends new calls, and calls under way may finish.
func listen(ctx context.Context, cfg HTTPConfig, ln net.Listener, handler http.Handler) error {
	var draining atomic.Bool
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if draining.Load() && r.URL.Path == "/readyz" {
				http.Error(w, "draining", http.StatusServiceUnavailable)
				return
			}
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: cfg.ReadTimeout,
		WriteTimeout: cfg.WriteTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnState: newConnections(cfg.MaxConnections).change,
		// Calls under way are not cut off when the command's context ends:
		// Shutdown waits for them.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	draining.Store(true)
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-time.After(cfg.drainDelay(ln.Addr())):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("shut down: %w", errors.Join(err, server.Close()))
	}
	return nil
}

// drainDelay is DrainDelay with its default.
func (c HTTPConfig) drainDelay(at net.Addr) time.Duration {
	if tcp, ok := at.(*net.TCPAddr); c.DrainDelay == 0 && !(ok && tcp.IP.IsLoopback()) {
		return defaultDrainDelay
	}
	return c.DrainDelay
}

// templatesOf are the searches of the prefetch templates.
func templatesOf(r *rooms) map[string]string { return fhir.PrefetchTemplates(r.maps) }
