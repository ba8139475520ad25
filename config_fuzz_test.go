// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
)

// FuzzLoadConfig reads a hostile configuration: it is refused with a word on
// what is wrong, or it is valid.
func FuzzLoadConfig(f *testing.F) {
	whole, err := configs.FS.ReadFile("config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	for _, s := range []string{"", "state: {undocumented_h: .nan}\n", "unknown: 1\n", "server: [", "&a [*a, *a]\n", "state: {ne_factors: {norepinephrine: {unit: x, factor: 1}}}\n"} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(path, nil)
		if err != nil {
			if !errors.Is(err, errConfig) {
				t.Fatal(err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("taken, but not valid: %v", err)
		}
	})
}

// FuzzSepticStays reads a hostile outcomes.csv.
func FuzzSepticStays(f *testing.F) {
	for _, s := range []string{"stay_id,sepsis\n1,1\n2,0\n", "stay_id\n1\n", "", "sepsis,stay_id\n1\n", "\"", "stay_id,sepsis\n\"1,1\n"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, "outcomes.csv"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if septic, err := septicStays(dir); err != nil && septic != nil {
			t.Fatal("stays beside an error")
		}
	})
}
