// SPDX-License-Identifier: Apache-2.0

package main

// This file: configuration, good and bad, and its overrides.

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/sepsisagent/sepsisagent/configs"
)

// TestConfigFileSaysTheDefaults keeps the file that documents the defaults from
// saying something else than the program does, or leaving a key out.
func TestConfigFileSaysTheDefaults(t *testing.T) {
	data, err := configs.FS.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written := defaultConfig()
	if err := configs.Decode(data, &written); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaultConfig(), written, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("config.yaml differs from the defaults (-program +file):\n%s", diff)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, reflect.TypeFor[Config](), doc.Content[0], "")
}

// wantKeys demands that every key of a struct is in the document.
func wantKeys(t *testing.T, typ reflect.Type, node *yaml.Node, at string) {
	t.Helper()
	for i := range typ.NumField() {
		key, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		var value *yaml.Node
		for k := 0; k+1 < len(node.Content); k += 2 {
			if node.Content[k].Value == key {
				value = node.Content[k+1]
			}
		}
		if value == nil {
			t.Errorf("config.yaml does not mention %s%s", at, key)
			continue
		}
		if typ.Field(i).Type.Kind() == reflect.Struct {
			wantKeys(t, typ.Field(i).Type, value, at+key+".")
		}
	}
}

func TestConfigFiles(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       error
		says       string
	}{
		{"an empty file is the defaults", "", nil, ""},
		{"one key is enough", "http:\n  addr: 127.0.0.1:9000\n", nil, ""},
		{"an unknown key", "http:\n  adress: x\n", configs.ErrUnknownKey, `line 2: "adress"`},
		{"an unknown section", "htttp: {}\n", configs.ErrUnknownKey, `"htttp"`},
		{"an address without a port", "http:\n  addr: localhost\n", errConfig, "http.addr"},
		{"a time-out of nothing", "http:\n  read_timeout: 0s\n", errConfig, "http.read_timeout"},
		{"a time-out without a unit", "http:\n  read_timeout: soon\n", configs.ErrSyntax, "line 2"},
		{"no log", "audit:\n  path: ''\n", errConfig, "audit.path"},
		{"a log in PostgreSQL", "audit:\n  postgres_url: postgres://u@db.example.org/d?sslmode=verify-full\n  path: ''\n", nil, ""},
		{"a log in two places", "audit:\n  postgres_url: postgres://u@localhost/d\n  postgres_url_file: f\n", errConfig, "keep one"},
		{"a password in the configuration", "audit:\n  postgres_url: postgres://u:hush@localhost/d\n", errConfig, "postgres_url_file"},
		{"a database over a network without TLS", "audit:\n  postgres_url: postgres://u@db.example.org/d\n", errConfig, "verify-full"},
		{"no key", "audit:\n  key_file: ''\n", errConfig, "audit.key_file"},
		{"a MAP goal of a giraffe", "state:\n  map_goal_mmhg: 250\n", errConfig, "map_goal_mmhg"},
		{"falling level cuts", "state:\n  vasopressor_cuts: [0.4, 0.2, 0.1]\n", errConfig, "vasopressor_cuts"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "site.yaml")
			if err := os.WriteFile(path, []byte(tc.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(path, nil)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	cfg, err := loadConfig("", []string{
		"SEPSISAGENT_HTTP__ADDR=0.0.0.0:80",
		"SEPSISAGENT_HTTP__READ_TIMEOUT=5s",
		"SEPSISAGENT_STATE__MAP_GOAL_MMHG=70",
		"SEPSISAGENT_FILES__RULES=[a.yaml, b.yaml]",
		"SEPSISAGENT_DATA=/not/a/key",
		"PATH=/bin",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.HTTP.Addr, want.HTTP.ReadTimeout = "0.0.0.0:80", 5*time.Second
	want.State.MAPGoalMmHg = 70
	want.Agent.State, want.Engine.State = want.State, want.State // one reading of charts for all
	want.Files.Rules = []string{"a.yaml", "b.yaml"}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"SEPSISAGENT_HTTP__ADDRESS=x", "SEPSISAGENT_NOTHING__X=1", "SEPSISAGENT_HTTP__ADDR__HOST=x"} {
		if _, err := loadConfig("", []string{bad}); !errors.Is(err, configs.ErrUnknownKey) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
