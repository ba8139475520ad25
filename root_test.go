// SPDX-License-Identifier: Apache-2.0

package main

// This file: the harness that runs commands in-process, and the exit statuses.

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ran is what one command left behind.
type ran struct {
	t         *testing.T
	code      int
	out, errs string
}

// sepsisagent runs a command line in-process.
func sepsisagent(t *testing.T, args ...string) ran {
	t.Helper()
	return sepsisagentContext(t.Context(), t, args...)
}

func sepsisagentContext(ctx context.Context, t *testing.T, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	code := runContext(ctx, args, strings.NewReader(""), &out, &errs)
	return ran{t, code, out.String(), errs.String()}
}

// want demands an exit status.
func (r ran) want(code int) ran {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("exit status %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.errs)
	}
	return r
}

// says demands words on standard error.
func (r ran) says(words ...string) ran {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.errs, w) {
			r.t.Errorf("standard error does not say %q:\n%s", w, r.errs)
		}
	}
	return r
}

// prints demands words on standard output.
func (r ran) prints(words ...string) ran {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.out, w) {
			r.t.Errorf("standard output does not hold %q:\n%s", w, r.out)
		}
	}
	return r
}

// object reads standard output as exactly one JSON object.
func (r ran) object(into any) ran {
	r.t.Helper()
	dec := json.NewDecoder(strings.NewReader(r.out))
	if err := dec.Decode(into); err != nil {
		r.t.Fatalf("standard output is not JSON: %v\n%s", err, r.out)
	}
	if dec.More() {
		r.t.Fatalf("standard output holds more than one value:\n%s", r.out)
	}
	return r
}

// dataFolder is the real data, or skips the test.
func dataFolder(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data at %s (set SEPSISAGENT_DATA)", dir)
	}
	return dir
}

func TestExitStatuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no command is misuse and lists the commands", nil, exitMisuse, "audit"},
		{"an unknown command is misuse", []string{"heal"}, exitMisuse, `"heal"`},
		{"an unknown subcommand is misuse", []string{"audit", "forget"}, exitMisuse, `"forget"`},
		{"an unknown flag is misuse", []string{"rules", "list", "--quick"}, exitMisuse, "--quick"},
		{"flags that exclude each other are misuse", []string{"evaluate", "icu-sepsis", "--tables", "t", "--json", "--markdown"}, exitMisuse, "markdown"},
		{"a stray argument is misuse", []string{"rules", "list", "now"}, exitMisuse, `"now"`},
		{"a missing flag is misuse and names all of them", []string{"cohort", "synth"}, exitMisuse, "--patients and --seed and --out"},
		{"a missing log is failure and says what to do", []string{"audit", "verify", "--db", "/nonexistent/a.db"}, exitFailed, "audit init"},
		{"a missing configuration is failure", []string{"rules", "list", "--config", "/nonexistent.yaml"}, exitFailed, "nonexistent.yaml"},
		{"help is no failure", []string{"--help"}, exitOK, ""},
		{"version is no failure", []string{"--version"}, exitOK, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			sepsisagent(t, tc.args...).want(tc.code).says(tc.says)
		})
	}
}

func TestRulesCommands(t *testing.T) {
	var report struct{ Rules, Cases int }
	sepsisagent(t, "rules", "test", "--json").want(exitOK).object(&report)
	if report.Rules < 12 || report.Cases < 2*report.Rules {
		t.Errorf("%d rules with %d cases", report.Rules, report.Cases)
	}
	sepsisagent(t, "rules", "list").want(exitOK).prints("V4", "F11", "hash")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("pack: x\nversion: 1.0.0\nsource: us\nrulez: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "rules", "test", bad).want(exitFailed).says("bad.yaml", "rulez")
}
