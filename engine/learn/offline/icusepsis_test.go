// SPDX-License-Identifier: Apache-2.0

package offline_test

// This file: every method on ICU-Sepsis (Choudhary et al. 2024), where the exact
// value of any policy is known. The tables are not part of the project.

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/learn/icusepsis"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

var (
	long     = flag.Bool("long", false, "fit every method on 10,000 stays of ICU-Sepsis with its default settings")
	only     = flag.String("methods", "", "with -long: these methods alone, divided by commas")
	stays    = flag.Int("stays", 10_000, "with -long: logged stays")
	discount = flag.Float64("discount", 0.99, "with -long: the discount")
	seed     = flag.Uint64("seed", 1, "with -long: of log and fit")
)

// tables reads ICU-Sepsis, or skips the test.
func tables(t *testing.T) *icusepsis.Tables {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	m, err := icusepsis.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMethodsOnICUSepsis fits what is quick, or, with -long, every method as it
// is by default.
func TestMethodsOnICUSepsis(t *testing.T) {
	if testing.Short() {
		t.Skip("fits networks")
	}
	m := tables(t)
	n, methods := 2000, []offline.Method{offline.AIClinician, offline.BC, offline.D3QN, offline.WD3QNE, offline.CQL, offline.BCQ, offline.IQL}
	if *long {
		if n, methods = *stays, offline.Methods; *only != "" {
			methods = nil
			for name := range strings.SplitSeq(*only, ",") {
				methods = append(methods, offline.Method(name))
			}
		}
	}
	log, err := m.Log(n, *seed)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range methods {
		cfg := offline.Defaults(method)
		if cfg.Seed = *seed; *long {
			cfg.Discount = *discount
		} else {
			cfg.Hidden, cfg.Updates, cfg.Batch = 32, 300, min(cfg.Batch, 256)
		}
		began := time.Now()
		fitted, err := offline.Fit(context.Background(), log, method, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		value, err := m.Value(fitted)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-13s exact value %.4f, fitted in %v on %d steps", method, value, took.Round(time.Millisecond), log.Steps())
		// D3QN is not held near the log, and greedy on noise it is worth no more than
		// chance; the rest must be better than clinicians once there is data.
		least := 0.77
		switch method {
		case offline.AIClinician, offline.CQL, offline.BCQ, offline.IQL:
			if *long && n >= 10_000 {
				least = 0.79
			}
		}
		if value < least || value > 0.8752 {
			t.Errorf("%s is worth %.4f: not between %.3f and the optimum, 0.875 (random 0.780, clinicians 0.782)", method, value, least)
		}
	}
}
