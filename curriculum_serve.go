// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum serve`, the environment in which a language model is
// trained (stage 3), over the OpenEnv wire.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/learn/openenv"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// curriculumServeFlags are the flags of `curriculum serve`.
type curriculumServeFlags struct {
	addr, cohort, model, config string
	sessions, steps             int
	seed                        uint64
	idle                        time.Duration
}

func curriculumServe() *cobra.Command {
	defaults := openenv.DefaultConfig()
	f := curriculumServeFlags{}
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the simulated ICU to reinforcement learning engines (OpenEnv)", Args: noArgs,
		Long: "Serve episodes of simulated septic patients over the OpenEnv wire: WebSocket /ws, with HTTP and /mcp beside\n" +
			"it (docs/environment.md). Without --cohort, episodes start at mechanistically simulated patients; with it,\n" +
			"at recorded patients of the training part too. It knows no users: keep it on loopback or in a network of\n" +
			"your own. A trainer needs one session per rollout of its generation batch.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.sessions < 1 {
				return misuse("--sessions must be at least 1")
			}
			if err := f.limits().Validate(); err != nil {
				return misuse("--steps: %v", err)
			}
			cfg, err := loadConfig(f.config, os.Environ())
			if err != nil {
				return err
			}
			return f.serve(cmd.Context(), cfg, cmd)
		},
	}
	cmd.Flags().StringVar(&f.addr, "addr", "127.0.0.1:8000", "host:port to listen on")
	cmd.Flags().StringVar(&f.cohort, "cohort", "", "Parquet file of `cohort build` whose training patients episodes may start at")
	cmd.Flags().StringVar(&f.model, "model", "", "folder of the world model (default: built in)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (levels, rules, agent)")
	cmd.Flags().IntVar(&f.sessions, "sessions", defaults.Sessions, "episodes held at once")
	cmd.Flags().IntVar(&f.steps, "steps", environment.DefaultConfig().Steps, "end an episode after so many prescriptions of four hours each")
	cmd.Flags().Uint64Var(&f.seed, "seed", defaults.Seed, "seed of the first reset that names none; the next take the next numbers")
	cmd.Flags().DurationVar(&f.idle, "idle", defaults.Idle, "close a session that is unused for so long; 0: never")
	return cmd
}

// serve serves until ctx ends, then lets messages under way be answered.
func (f curriculumServeFlags) serve(ctx context.Context, cfg Config, cmd *cobra.Command) error {
	env, about, err := f.environment(cfg)
	if err != nil {
		return err
	}
	server, err := openenv.New(openenv.Config{
		Sessions: f.sessions, Idle: f.idle, Seed: f.seed, Version: build(), AnyHost: !onLoopback(f.addr),
	}, env)
	if err != nil {
		return err
	}
	defer func() { _ = server.Shutdown(ctx) }() // where listening fails; twice is none too many
	ln, err := net.Listen("tcp", f.addr)
	if err != nil {
		return fmt.Errorf("listen: %w (hint: choose another address with --addr)", err)
	}
	logger := newLogger(cmd.ErrOrStderr())
	if !onLoopback(f.addr) {
		logger.Warn("whoever reaches this address may take up its sessions and read the simulated patients", zap.String("addr", f.addr))
	}
	logger.Info("serving episodes", zap.String("addr", ln.Addr().String()), zap.Int("sessions", f.sessions), zap.Strings("tasks", env.Tasks()),
		zap.String("model", about.Hash), zap.String("build", build()))
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "http://%s\n", ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	err = listen(ctx, cfg.HTTP, ln, server)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.HTTP.ShutdownTimeout)
	defer cancel()
	return errors.Join(err, server.Shutdown(grace))
}

// onLoopback says that an address to listen on can be reached from this machine
// alone.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// environment makes the simulated unit from the model, the rules and the starts.
func (f curriculumServeFlags) environment(cfg Config) (*environment.Environment, world.Info, error) {
	var starts environment.Starts = environment.NewSynthetic(cfg.State)
	if f.cohort != "" {
		recorded, err := environment.NewRecorded(cfg.State, cohort.Read(f.cohort))
		if err != nil {
			return nil, world.Info{}, fmt.Errorf("%s: %w", f.cohort, err)
		}
		starts = recorded
	}
	env, _, about, err := wordedUnit(cfg, f.model, f.limits(), starts)
	return env, about, err
}

// limits bound an episode.
func (f curriculumServeFlags) limits() environment.Config {
	limits := environment.DefaultConfig()
	limits.Steps = f.steps
	return limits
}

// wordedUnit makes the unit that is served and that training data are written
// in, and the planner that lends it its scale.
func wordedUnit(cfg Config, dir string, limits environment.Config, starts environment.Starts) (*environment.Environment, *agent.Native, world.Info, error) {
	model, err := loadModel(dir)
	if err != nil {
		return nil, nil, world.Info{}, err
	}
	rules, err := loadRules(cfg.Files.Rules)
	if err != nil {
		return nil, nil, world.Info{}, fmt.Errorf("rules: %w", err)
	}
	native, err := agent.New(model, rules, cfg.Agent)
	if err != nil {
		return nil, nil, world.Info{}, err
	}
	prompts, err := llm.LoadPrompts(configs.FS)
	if err != nil {
		return nil, nil, world.Info{}, err
	}
	// A patient goes on as one member of the ensemble says, whichever the seed
	// picks; what is shown is what all of them make of it.
	dynamics := make([]world.Forecaster, model.Info().Members)
	for k := range dynamics {
		if dynamics[k], err = model.Only(k); err != nil {
			return nil, nil, world.Info{}, err
		}
	}
	env, err := environment.New(limits, environment.Deps{
		State: cfg.State, Dynamics: dynamics, Lens: model, Death: model.DeathInHospital,
		Judge: rules, Native: native, Prompts: prompts, Starts: starts,
	})
	return env, native, model.Info(), err
}
