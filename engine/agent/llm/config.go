// SPDX-License-Identifier: Apache-2.0

package llm

// This file: what a site sets about its language model.

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"time"
)

// Config says which model is asked and within what bounds. Without BaseURL
// there is none, and the native agent decides alone. Only what can change an
// answer is part of the hash of the configuration.
type Config struct {
	// BaseURL is the endpoint up to and without /chat/completions, e.g.
	// https://llm.example.org/v1. Empty (the default): no model. Whoever runs
	// it sees the values of the patients that are decided about, and chooses
	// among the treatments that rules and simulation leave.
	BaseURL string `yaml:"base_url" json:"-"`
	// Model is the model's name at the endpoint. Required with BaseURL.
	Model string `yaml:"model" json:"model"`
	// APIKeyFile is a file with the bearer token, mode 0600 or 0440. Empty:
	// none is sent.
	APIKeyFile string `yaml:"api_key_file" json:"-"`
	// CAFile is a PEM bundle for the endpoint's certificate. Empty: the
	// system's.
	CAFile string `yaml:"ca_file" json:"-"`
	// PlainHTTP allows http to an address that is not loopback. Default false.
	// Anybody on the way then reads the values and can choose the answer.
	PlainHTTP bool `yaml:"plain_http" json:"-"`
	// Temperature of sampling, 0 to 2. Default 0, and it is sent.
	Temperature float64 `yaml:"temperature" json:"temperature"`
	// TopP is the probability mass that is sampled from. Default 1.
	TopP float64 `yaml:"top_p" json:"top_p"`
	// MaxTokens bounds one message of the model. Default 1024.
	MaxTokens int `yaml:"max_tokens" json:"max_tokens"`
	// MaxSessionTokens bounds prompts and messages of one decision together.
	// Default 32768.
	MaxSessionTokens int `yaml:"max_session_tokens" json:"max_session_tokens"`
	// MaxRounds bounds the model's messages in one decision. Default 5.
	MaxRounds int `yaml:"max_rounds" json:"max_rounds"`
	// Timeout bounds the whole conversation. Default 5 s.
	Timeout time.Duration `yaml:"timeout" json:"-"`
	// Reserve is kept of the hook's deadline for what follows the conversation:
	// receipt and card. The model gets what is left. Default 1 s.
	Reserve time.Duration `yaml:"reserve" json:"-"`
	// MaxConcurrent is how many conversations are held at once; where there are
	// more, the native agent decides. Default 4.
	MaxConcurrent int `yaml:"max_concurrent" json:"-"`
	// BreakerFailures in a row rest the endpoint for BreakerRest; then one
	// conversation tries it. Defaults 5 and 30 s.
	BreakerFailures int           `yaml:"breaker_failures" json:"-"`
	BreakerRest     time.Duration `yaml:"breaker_rest" json:"-"`
	// Offline never asks the endpoint. Set by the wiring of replays.
	Offline bool `yaml:"-" json:"-"`
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		TopP: 1, MaxTokens: 1024, MaxSessionTokens: 32768, MaxRounds: 5,
		Timeout: 5 * time.Second, Reserve: time.Second, MaxConcurrent: 4, BreakerFailures: 5, BreakerRest: 30 * time.Second,
	}
}

// Enabled reports whether there is a model to ask.
func (cfg Config) Enabled() bool { return cfg.BaseURL != "" }

// Validate reports the first field that is out of bounds, by its YAML key. A
// section without base_url is checked too: a typing error in it must not wait
// for the day it is switched on.
func (cfg Config) Validate() error {
	for _, r := range []struct {
		key       string
		v, lo, hi float64
	}{
		{"temperature", cfg.Temperature, 0, 2},
		{"top_p", cfg.TopP, 0.01, 1},
		{"max_tokens", float64(cfg.MaxTokens), 16, 16384},
		{"max_session_tokens", float64(cfg.MaxSessionTokens), float64(cfg.MaxTokens), 1 << 20},
		{"max_rounds", float64(cfg.MaxRounds), 1, 12},
		{"timeout", cfg.Timeout.Seconds(), 0.05, 120},
		{"reserve", cfg.Reserve.Seconds(), 0.05, 30},
		{"max_concurrent", float64(cfg.MaxConcurrent), 1, 256},
		{"breaker_failures", float64(cfg.BreakerFailures), 1, 1000},
		{"breaker_rest", cfg.BreakerRest.Seconds(), 0.01, 3600},
	} {
		if math.IsNaN(r.v) || r.v < r.lo || r.v > r.hi {
			return fmt.Errorf("%w: %s: %v is outside %v to %v", ErrConfig, r.key, r.v, r.lo, r.hi)
		}
	}
	if !cfg.Enabled() {
		return nil
	}
	u, err := url.Parse(cfg.BaseURL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return fmt.Errorf("%w: base_url: want an absolute http or https URL without user, query or fragment (hint: it ends before /chat/completions)", ErrConfig)
	case u.Scheme == "http" && !loopback(u.Hostname()) && !cfg.PlainHTTP:
		return fmt.Errorf("%w: base_url: http sends patient values in the clear (hint: use https, or set plain_http where the network is yours)", ErrConfig)
	case cfg.Model == "":
		return fmt.Errorf("%w: model: empty (hint: its name at the endpoint)", ErrConfig)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
