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
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// Bounds of the HTTP server that no site needs to change.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 32 << 10
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
			"exits. SIGHUP reads the signing keys and the certificate again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if demo && config != "" {
				return misuse("--demo brings its own configuration; leave --config out")
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			if addr != "" {
				cfg.HTTP.Addr = addr
			}
			if err := cfg.Validate(); err != nil {
				return misuse("%v", err)
			}
			if demo {
				return serveDemo(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr(), check)
			}
			return serve(cmd.Context(), cfg, cmd, check)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().StringVar(&addr, "addr", "", "host:port to listen on (default: http.addr of the configuration)")
	cmd.Flags().BoolVar(&demo, "demo", false, "start a demonstration with synthetic patients on loopback")
	cmd.Flags().BoolVar(&check, "check", false, "check configuration, model, rules, code maps and log, and exit")
	return cmd
}

// serve runs the service until ctx ends.
func serve(ctx context.Context, cfg Config, cmd *cobra.Command, check bool) error {
	r, err := openRooms(cfg, "")
	if err != nil {
		return err
	}
	defer r.close()
	log, err := openAudit(ctx, cfg.Audit)
	if err != nil {
		return err
	}
	defer log.Close()
	logger := newLogger(cmd.ErrOrStderr())
	r.consulted = logConsulted(logger)
	registry, err := newRegistry(cfg, log)
	if err != nil {
		return err
	}
	own, err := openOwnAccess(cfg, registry, fhir.PrefetchTemplates(r.maps))
	if err != nil {
		return err
	}
	defer own.close()
	service, err := newService(r, registry, own, log, logger, nil)
	if err != nil {
		return err
	}
	defer service.Close()
	traces, flush, err := openTraces(ctx, cfg.Traces, r.hashes.Build, logger)
	if err != nil {
		return err
	}
	defer flush()
	service.Traces = traces
	var cert *certificate
	if cfg.HTTP.TLS.enabled() {
		if cert, err = openCertificate(cfg.HTTP.TLS); err != nil {
			return err
		}
	}
	if check {
		if cert != nil {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "certificate until %s\n", cert.expires().UTC().Format(time.RFC3339)); err != nil {
				return err
			}
		}
		if err := own.check(ctx, cmd.OutOrStdout()); err != nil {
			return err
		}
		if err := service.Load(ctx); err != nil {
			return err
		}
		if err := printDisplay(cmd.OutOrStdout(), service); err != nil {
			return err
		}
		size, err := log.Size(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d clients, %d rules, model %s %s, log of %d records\n",
			len(cfg.CDSHooks.Clients), len(r.rules.Rules()), r.model.Info().Kind, r.model.Info().Version, size)
		return err
	}
	ln, err := net.Listen("tcp", cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w (hint: is another service there? choose another with --addr)", err)
	}
	if err := r.recordStart(ctx, log); err != nil {
		return errors.Join(err, ln.Close())
	}
	defer watch(logger, append(own.reloads(), cert.reloads()...)...)()
	if cert != nil {
		ln = tls.NewListener(ln, cert.config())
	}
	if err := service.Start(ctx); err != nil {
		return errors.Join(err, ln.Close())
	}
	for _, line := range service.Lowered() {
		logger.Warn(line)
	}
	logger.Info("serving", zap.String("addr", ln.Addr().String()), zap.Bool("tls", cert != nil), zap.String("model", r.hashes.Model), zap.String("actor", r.actorHash()), zap.String("rules", r.hashes.Rules), zap.String("build", r.hashes.Build))
	return listen(ctx, cfg.HTTP, ln, service.Handler())
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
func (r *rooms) recordStart(ctx context.Context, log *sqllog.Log) error {
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
	err := appendOwn(ctx, log, audit.Index{Kind: "config", Service: cdshooks.ServiceID, Model: r.hashes.Model, RulesHash: r.hashes.Rules, CodeMaps: r.hashes.CodeMaps},
		map[string]any{"schema": "sepsisagent.start/1", "hashes": r.hashes, "model": r.model.Info(), "clients": clients})
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
	return trust.New(cfg.CDSHooks.Clients, trust.Options{Leeway: cfg.CDSHooks.Leeway, Seen: seen})
}

// newService wires the CDS Hooks service. own may be nil. validated says how
// things stand with the local validation; nil: by the record that the
// configuration names.
func newService(r *rooms, registry *trust.Registry, own *ownAccess, log *sqllog.Log, logger *zap.Logger, validated func(time.Time) validation.Standing) (*cdshooks.Service, error) {
	card, err := cardOf(r.model, r.cfg.Files.CardAttributes)
	if err != nil {
		return nil, fmt.Errorf("files.card_attributes: %w", err)
	}
	return cdshooks.New(cdshooks.Deps{
		Config: r.cfg.CDSHooks, State: r.cfg.State, Trust: registry,
		Charts: cdshooks.MappedCharts{Mapper: r.mapper}, Templates: r.cfg.CDSHooks.Prefetch.Templates(r.maps),
		Decider: r.decider, Log: log, Proofs: log,
		Model: r.model.Info(), Hashes: r.hashes, ModelCard: card,
		OwnAccess: own.grants(), KeySet: own.keySet,
		Validated: validated,
		// An EHR that grants us no token does not make the service unready: it
		// answers every call that brings its data, and another replica would
		// fare no better.
		Ready: func(ctx context.Context) error {
			_, err := log.Size(ctx)
			return err
		},
		Logger: logger,
	})
}

// listen serves until ctx ends, then lets calls under way finish.
func listen(ctx context.Context, cfg HTTPConfig, ln net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: cfg.ReadTimeout,
		WriteTimeout: cfg.WriteTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
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
