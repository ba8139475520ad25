// SPDX-License-Identifier: Apache-2.0

package main

// This file: opening the rooms that a decision walks through, once, the same
// way for serve, decide, evaluate and replay.

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

// rooms are what a decision needs.
type rooms struct {
	cfg      Config
	modelDir string // that the model was read from; empty: the embedded one
	model    world.Stored
	actor    *agent.Actor // nil: the agent runs with guideline moves alone
	rules    *policy.Pack
	maps     *fhir.CodeMaps
	mapper   *fhir.Mapper
	hashes   engine.Hashes
	decider  *engine.Decider
	// consulted hears how each consultation of a language model went. Set
	// before the first decision, or never.
	consulted func(llm.Observation)
	llm       *llm.Agent // nil without an endpoint
}

// close gives connections back.
func (r *rooms) close() {
	if r.llm != nil {
		r.llm.Close()
	}
}

// openModel reads a model of any kind from a folder, or the embedded one.
func openModel(dir string) (world.Stored, error) { return world.Open(modelFolder(dir)) }

// loadModel is openModel for what only the native kind can do.
func loadModel(dir string) (*world.Model, error) { return world.Load(modelFolder(dir)) }

// openActor reads the actor that lies beside a model; nil where there is none, as
// with every model that is not native.
func openActor(model world.Stored, dir string) (*agent.Actor, error) {
	encoder, ok := model.(agent.Encoder)
	if !ok {
		return nil, nil
	}
	fsys, folder := modelFolder(dir)
	return agent.OpenActor(fsys, folder, encoder)
}

// actorHash names the learned policy, or says that there is none.
func (r *rooms) actorHash() string {
	if r.actor == nil {
		return "none, guideline moves alone"
	}
	return r.actor.Hash()
}

// modelFolder names a model's folder in its file system.
func modelFolder(dir string) (fs.FS, string) {
	if dir != "" {
		return os.DirFS(dir), "."
	}
	return configs.FS, "model"
}

// openRooms loads model, rules and code maps and makes the decider. modelDir
// overrides files.model.
func openRooms(cfg Config, modelDir string) (*rooms, error) {
	if modelDir == "" {
		modelDir = cfg.Files.Model
	}
	r := &rooms{cfg: cfg, modelDir: modelDir}
	var err error
	if r.model, err = openModel(modelDir); err != nil {
		return nil, fmt.Errorf("model %s: %w", cmp.Or(modelDir, "built in"), err)
	}
	if r.rules, err = loadRules(cfg.Files.Rules); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if r.maps, err = fhir.LoadCodeMaps(configs.FS, cfg.Files.CodeMaps...); err != nil {
		return nil, fmt.Errorf("code maps: %w", err)
	}
	r.mapper = fhir.NewMapper(r.maps)
	settings, err := cfg.decisionHash()
	if err != nil {
		return nil, err
	}
	r.hashes = engine.Hashes{Build: build(), Model: r.model.Info().Hash, Rules: r.rules.Hash(), CodeMaps: r.maps.Hash(), Config: settings}
	native, err := agent.New(r.model, r.rules, cfg.Agent)
	if err != nil {
		return nil, err
	}
	if r.actor, err = openActor(r.model, modelDir); err != nil {
		return nil, fmt.Errorf("model %s: %w", cmp.Or(modelDir, "built in"), err)
	}
	if native, err = native.With(r.actor); err != nil {
		return nil, err
	}
	if r.actor != nil {
		r.hashes.Actor = r.actor.Hash()
	}
	var decides engine.Agent = native
	if cfg.LLM.Enabled() {
		if r.llm, err = r.openLLM(native); err != nil {
			return nil, fmt.Errorf("llm: %w", err)
		}
		decides, r.hashes.Prompts = r.llm, r.llm.PromptsHash()
	}
	if r.decider, err = engine.New(decides, r.hashes, cfg.Engine); err != nil {
		return nil, err
	}
	return r, nil
}

// openLLM makes the agent that lets a language model choose. It opens no
// connection.
func (r *rooms) openLLM(native *agent.Native) (*llm.Agent, error) {
	deps := llm.Deps{Native: native, State: r.cfg.State, Prompts: configs.FS, Observe: func(o llm.Observation) {
		if r.consulted != nil {
			r.consulted(o)
		}
	}}
	if path := r.cfg.LLM.APIKeyFile; path != "" && !r.cfg.LLM.Offline {
		key, err := configs.ReadSecret(path)
		if err != nil {
			return nil, fmt.Errorf("api_key_file: %w", err)
		}
		deps.APIKey = strings.TrimSpace(string(key))
	}
	if path := r.cfg.LLM.CAFile; path != "" && !r.cfg.LLM.Offline {
		ca, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		deps.CA = ca
	}
	return llm.New(r.cfg.LLM, deps)
}

// build names the program: version, commit, and whether the source was clean.
// A replay compares it to say why bytes may differ.
func build() string {
	name := version()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return name
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.modified" && s.Value == "true" {
			name += "+modified"
		}
	}
	return name + " " + info.GoVersion
}
