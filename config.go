// SPDX-License-Identifier: Apache-2.0

package main

// This file: the configuration, composed of the types that live in the rooms
// they configure. One YAML file, strict; environment variables override it
// (environment.go); secrets are files, never values.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// errConfig is wrapped by every error of loadConfig.
var errConfig = errors.New("configuration")

// Config is the whole configuration. Every key has a default; unknown keys
// are errors. The file is trusted: whoever can write it decides which clients
// are believed, what a dose limit is and where receipts go.
type Config struct {
	// HTTP is how the service listens.
	HTTP HTTPConfig `yaml:"http"`
	// Audit is where receipts go. There is no way to serve without.
	Audit AuditConfig `yaml:"audit"`
	// Files are the model, rules and code maps a site uses beside or instead
	// of the embedded ones.
	Files FilesConfig `yaml:"files"`
	// CDSHooks is the service itself: its public URL and the registered
	// clients. Without a registered client nobody gets an answer.
	CDSHooks cdshooks.Config `yaml:"cdshooks"`
	// State is how a chart is read: levels, equivalents, goals, staleness.
	State state.Config `yaml:"state"`
	// Agent is how proposals are made and weighed.
	Agent agent.Config `yaml:"agent"`
	// LLM is a language model that chooses among what the agent proposes.
	// Without base_url there is none.
	LLM llm.Config `yaml:"llm"`
	// Traces is where OpenTelemetry spans of calls go. Default: nowhere.
	Traces TracesConfig `yaml:"traces"`
	// Engine is what is done about a decision: repeats, and what is shown.
	Engine engine.Config `yaml:"engine"`
}

// HTTPConfig is how the service listens.
type HTTPConfig struct {
	// Addr is the host and port to listen on. Default 127.0.0.1:8080. An
	// address that is not loopback serves whoever can reach it: set tls, or put
	// a proxy in front that ends it.
	Addr string `yaml:"addr"`
	// TLS is the service's own certificate. Default: none.
	TLS TLSConfig `yaml:"tls"`
	// ReadTimeout bounds reading one request, body included. Default 60 s,
	// enough for a whole chart of 23 MB over a slow line.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// WriteTimeout bounds answering one request. Default 60 s.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// MaxConnections is how many there may be; then those go first from which
	// no request has come. Behind a proxy all connections are its own. Default
	// 4096.
	MaxConnections int `yaml:"max_connections"`
	// DrainDelay is how long after SIGTERM /readyz says no while calls are still
	// answered, so that a load balancer sends its calls elsewhere. Default: 5 s,
	// and none on a loopback address.
	DrainDelay time.Duration `yaml:"drain_delay"`
	// ShutdownTimeout is how long calls under way may take to finish after
	// SIGTERM. Default 15 s.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
}

// AuditConfig is where receipts go.
type AuditConfig struct {
	// Path is the SQLite file of the log. Default sepsisagent-audit.db in the
	// working directory. It must exist: `sepsisagent audit init` makes it.
	// Not used where the log is in PostgreSQL.
	Path string `yaml:"path"`
	// PostgresURL puts the log into PostgreSQL, which several replicas can
	// share: postgres://user@host:5432/database?sslmode=verify-full, without a
	// password. Over a network nothing less than verify-full is taken; further
	// parameters are sslrootcert, sslcert, sslkey (files), search_path and host
	// (a folder with a local socket). The server is trusted to keep what it says
	// it committed. Empty: the log is the file Path.
	PostgresURL string `yaml:"postgres_url"`
	// PostgresURLFile is a file that holds such an address, with its password if
	// it needs one. Mode 0600 or 0440. Set at most one of the two.
	PostgresURLFile string `yaml:"postgres_url_file"`
	// KeyFile holds the Ed25519 note key that signs checkpoints, mode 0600 or 0440.
	// Default sepsisagent-audit.key. Whoever has it can write a history that
	// verifies; keep it off the disk the log is on where you can.
	KeyFile string `yaml:"key_file"`
	// SeenFile remembers the newest checkpoint, so that a log restored from
	// an older backup is refused. Empty: not remembered. Default
	// sepsisagent-audit.seen. Keep it on another disk than the log.
	SeenFile string `yaml:"seen_file"`
	// EncryptionKeyFiles hold keys for the bodies of records, made by `sepsisagent
	// audit encryption-key`, mode 0600 or 0440. The first encrypts, all open: to
	// change the key, put the new one first, run `audit reseal`, and take the old
	// one away. The searchable fields, patient and user among them, are not
	// encrypted. Without its key a body cannot be read by anybody. Empty: bodies
	// lie as they are; a log that has encrypted ones is not served then.
	EncryptionKeyFiles []string `yaml:"encryption_key_files"`
	// EncryptionKeyCommand is a program with its arguments that asks a key service
	// to wrap and unwrap those keys (audit.KeyCommand): files that `audit
	// encryption-key` makes then hold the key encrypted, and the service opens them
	// when it starts. Empty: the files hold the keys themselves.
	EncryptionKeyCommand []string `yaml:"encryption_key_command"`
	// Retention says for how long records of a kind are kept; a kind that is not
	// named is kept for ever. Nothing is erased by the service: `sepsisagent
	// audit erase --retention` does it, and says before what it would do.
	Retention []RetentionConfig `yaml:"retention"`
	// Witnesses sign the log's checkpoints, so that not even who has our key and
	// our disk can rewrite what they saw. They are trusted to remember. Default:
	// none.
	Witnesses []WitnessConfig `yaml:"witnesses"`
	// WitnessEvery is how often they are asked. Default 5 min.
	WitnessEvery time.Duration `yaml:"witness_every"`
	// Origin names the log in its checkpoints, e.g. hospital.example/sepsis.
	// Used by `audit init` only. Default sepsisagent.
	Origin string `yaml:"origin"`
	// Access is who may read the log over HTTP: the JSON API under /audit/.
	// Without access.issuer nobody may.
	Access access.Config `yaml:"access"`
}

// FilesConfig names files beside or instead of the embedded ones.
type FilesConfig struct {
	// Model is a folder written by `train world`. Empty: the embedded model.
	Model string `yaml:"model"`
	// Rules are rule packs of this site, added to the embedded ones. They can
	// forbid more, never less: hard limits are in the program.
	Rules []string `yaml:"rules"`
	// CodeMaps are code maps of this site, added to the embedded ones. They
	// are trusted: a wrong unit here is a wrong dose on a card.
	CodeMaps []string `yaml:"code_maps"`
	// CardAttributes is a YAML file with the source attributes of the model
	// card that only this site knows, text by number (1: developer and contact;
	// `model card --json` lists them). Empty: the card says that they are owed.
	CardAttributes string `yaml:"card_attributes"`
	// EvidenceKey is a file that holds cdshooks.evidence_key, so that the
	// secret is not in this file. Mode 0600 or 0440.
	EvidenceKey string `yaml:"evidence_key_file"`
	// Keys is a ring file: it names the keys by which this service proves to
	// EHRs who it is (docs/integration.md). The keys have mode 0600 or 0440; their
	// public halves are served to everybody. Whoever has a current key can
	// read what EHRs grant to this service. Read again on SIGHUP and on a
	// change. Empty: no keys, and no client can have fhir_access backend.
	Keys string `yaml:"keys_file"`
}

// defaultConfig is what is used for every key that is left out.
// configs/config.yaml writes the same values down for people; a test keeps the
// two from parting.
func defaultConfig() Config {
	return Config{
		HTTP: HTTPConfig{
			Addr:            "127.0.0.1:8080",
			ReadTimeout:     time.Minute,
			WriteTimeout:    time.Minute,
			MaxConnections:  4096,
			ShutdownTimeout: 15 * time.Second,
		},
		Audit: AuditConfig{
			Path:     "sepsisagent-audit.db",
			KeyFile:  "sepsisagent-audit.key",
			SeenFile: "sepsisagent-audit.seen",
			Origin:   "sepsisagent",

			WitnessEvery: 5 * time.Minute,
		},
		CDSHooks: cdshooks.DefaultConfig(),
		State:    state.DefaultConfig(),
		Agent:    agent.DefaultConfig(),
		LLM:      llm.DefaultConfig(),
		Traces:   TracesConfig{Ratio: 1},
		Engine:   engine.DefaultConfig(),
	}
}

// loadConfig gives the defaults, overlaid by the file at path (none when empty)
// and the environment, and validated.
func loadConfig(path string, environ []string) (Config, error) {
	cfg := defaultConfig()
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("%w: %w", errConfig, err)
		}
		if err := configs.Decode(data, &cfg); err != nil {
			return Config{}, fmt.Errorf("%w: %s: %w", errConfig, path, err)
		}
	}
	if err := override(&cfg, environ); err != nil {
		return Config{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	// One reading of charts for everything: the agent and the decider work by
	// the state section and have none of their own.
	cfg.Agent.State, cfg.Engine.State = cfg.State, cfg.State
	if err := cfg.readSecrets(); err != nil {
		return Config{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	if err := cfg.Validate(); err != nil {
		return Config{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	return cfg, nil
}

// readSecrets reads the secrets that are given as files.
func (c *Config) readSecrets() error {
	if c.Files.EvidenceKey == "" {
		return nil
	}
	if c.CDSHooks.EvidenceKey != "" {
		return errors.New("files.evidence_key_file and cdshooks.evidence_key are both set (hint: keep one)")
	}
	data, err := configs.ReadSecret(c.Files.EvidenceKey)
	if err != nil {
		return fmt.Errorf("files.evidence_key_file: %w", err)
	}
	c.CDSHooks.EvidenceKey = cdshooks.Secret(strings.TrimSpace(string(data)))
	return nil
}

// decisionHash names the part of the configuration that decisions depend on.
// Without a language model its section has no part in it.
func (c Config) decisionHash() (string, error) {
	part := struct {
		State  state.Config  `json:"state"`
		Agent  agent.Config  `json:"agent"`
		Engine engine.Config `json:"engine"`
		LLM    *llm.Config   `json:"llm,omitempty"`
	}{State: c.State, Agent: c.Agent, Engine: c.Engine}
	if c.LLM.Enabled() {
		part.LLM = &c.LLM
	}
	data, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errConfig, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Validate reports the first value that cannot be right, by its key. The
// cdshooks section is validated by `serve`, which alone needs it.
func (c Config) Validate() error {
	_, port, err := net.SplitHostPort(c.HTTP.Addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("http.addr: %w (hint: host:port, e.g. 127.0.0.1:8080)", err)
	}
	for _, d := range []struct {
		key string
		v   time.Duration
		max time.Duration
	}{
		{"http.read_timeout", c.HTTP.ReadTimeout, 10 * time.Minute},
		{"http.write_timeout", c.HTTP.WriteTimeout, 10 * time.Minute},
		{"http.shutdown_timeout", c.HTTP.ShutdownTimeout, 5 * time.Minute},
	} {
		if d.v <= 0 || d.v > d.max {
			return fmt.Errorf("%s: %s is outside 0 to %s", d.key, d.v, d.max)
		}
	}
	switch {
	case c.HTTP.DrainDelay < 0 || c.HTTP.DrainDelay > time.Minute:
		return fmt.Errorf("http.drain_delay: %s is outside 0 to 1m", c.HTTP.DrainDelay)
	case c.HTTP.MaxConnections < 16 || c.HTTP.MaxConnections > 1_000_000:
		return fmt.Errorf("http.max_connections: %d is not between 16 and 1000000", c.HTTP.MaxConnections)
	case c.HTTP.TLS.enabled() && (c.HTTP.TLS.CertFile == "" || c.HTTP.TLS.KeyFile == ""):
		return errors.New("http.tls: cert_file and key_file go together")
	}
	if err := c.Audit.validate(); err != nil {
		return err
	}
	if w := c.CDSHooks.PriorWindow; w > 0 && w.Minutes() < c.Engine.RepeatWindowMin {
		return fmt.Errorf("cdshooks.prior_window: %s is shorter than engine.repeat_window_min (hint: repeats are only known so far back; 0 suppresses nothing)", w)
	}
	if err := c.Traces.validate(); err != nil {
		return err
	}
	for _, section := range []struct {
		key string
		err error
	}{{"state", c.State.Validate()}, {"agent", c.Agent.Validate()}, {"llm", c.LLM.Validate()}, {"engine", c.Engine.Validate()}} {
		if section.err != nil {
			return fmt.Errorf("%s: %w", section.key, section.err)
		}
	}
	return nil
}
