// SPDX-License-Identifier: Apache-2.0

package offline_test

// This file: every method on ICU-Sepsis (Choudhary et al. 2024), where the exact
// value of any policy is known. The tables are not part of the project.

import (
	"bufio"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

var (
	long     = flag.Bool("long", false, "fit every method on 10,000 stays of ICU-Sepsis with its default settings")
	only     = flag.String("methods", "", "with -long: these methods alone, divided by commas")
	stays    = flag.Int("stays", 10_000, "with -long: logged stays")
	discount = flag.Float64("discount", 0.99, "with -long: the discount")
	seed     = flag.Uint64("seed", 1, "with -long: of log and fit")
)

const (
	icuActions  = 25
	icuStates   = 716
	icuDied     = 713
	icuSurvived = 714
	icuLongest  = 200
)

// icuSepsis holds the tables.
type icuSepsis struct{ start, expert, next, centres, sofa [][]float64 }

func readICUSepsis(t *testing.T) icuSepsis {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	read := func(name string) [][]float64 { return readTable(t, filepath.Join(dir, name+".csv.gz")) }
	return icuSepsis{read("initialStateDistribution"), read("expertPolicy"), read("transitionFunction"), read("stateClusterCenters"), read("sofaScores")}
}

func readTable(t *testing.T, path string) (out [][]float64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row []float64
		for field := range strings.SplitSeq(lines.Text(), ",") {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		out = append(out, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// value is the exact chance of survival under a policy, by iteration.
func (m icuSepsis) value(policy [][]float64) (value float64) {
	v := make([]float64, icuStates)
	v[icuSurvived] = 1
	type arrival struct {
		to int
		p  float64
	}
	chain := make([][]arrival, icuDied)
	for s := range chain {
		row := make([]float64, icuStates)
		for a, p := range policy[s] {
			if p > 0 {
				for to, q := range m.next[s*icuActions+a] {
					row[to] += p * q
				}
			}
		}
		for to, p := range row {
			if p > 0 {
				chain[s] = append(chain[s], arrival{to, p})
			}
		}
	}
	for range 1000 {
		moved := 0.0
		for s, row := range chain {
			sum := 0.0
			for _, a := range row {
				sum += a.p * v[a.to]
			}
			moved, v[s] = max(moved, math.Abs(sum-v[s])), sum
		}
		if moved < 1e-10 {
			break
		}
	}
	for s, p := range m.start[0] {
		value += p * v[s]
	}
	return value
}

func draw(rng *rand.Rand, p []float64) int {
	mark := rng.Float64()
	for i, q := range p {
		if mark -= q; mark < 0 {
			return i
		}
	}
	return slices.Index(p, slices.Max(p))
}

// seen is the observation of a state.
func (m icuSepsis) seen(s, previous int) offline.Observation {
	o := offline.Observation{State: s, Previous: previous}
	for _, v := range m.centres[s] {
		o.Features = append(o.Features, float32(v))
	}
	return o
}

// log draws stays of the clinicians.
func (m icuSepsis) log(rng *rand.Rand, n int) *offline.Dataset {
	d := &offline.Dataset{Inputs: len(m.centres[0]), Actions: icuActions, States: icuStates}
	observations := make([]offline.Observation, icuDied)
	for s := range observations {
		observations[s] = m.seen(s, offline.NoAction)
	}
	for i := range n {
		e := offline.Episode{Patient: fmt.Sprint(i)}
		previous := offline.NoAction
		for s := draw(rng, m.start[0]); s < icuDied && len(e.Steps) < icuLongest; {
			o := observations[s]
			o.Previous = previous
			a := draw(rng, m.expert[s])
			to := draw(rng, m.next[s*icuActions+a])
			step := offline.Step{Observation: o, Action: a, SOFA: m.sofa[0][s]}
			if to == icuSurvived {
				step.Reward = 1
			}
			e.Steps = append(e.Steps, step)
			s, previous = to, a
		}
		if len(e.Steps) > 0 {
			d.Episodes = append(d.Episodes, e)
		}
	}
	return d
}

// worth is the exact value of a fitted policy. One that repeats the action
// before takes that of the first step throughout.
func (m icuSepsis) worth(t *testing.T, p offline.Policy) float64 {
	t.Helper()
	all := make([]offline.Observation, icuStates)
	for s := range all {
		all[s] = m.seen(s, offline.NoAction)
	}
	chances, err := p.Probabilities(all)
	if err != nil {
		t.Fatal(err)
	}
	return m.value(chances)
}

// TestMethodsOnICUSepsis fits what is quick, or, with -long, every method as it
// is by default.
func TestMethodsOnICUSepsis(t *testing.T) {
	if testing.Short() {
		t.Skip("fits networks")
	}
	m := readICUSepsis(t)
	n, methods := 2000, offline.Methods
	if *long {
		if n = *stays; *only != "" {
			methods = nil
			for name := range strings.SplitSeq(*only, ",") {
				methods = append(methods, offline.Method(name))
			}
		}
	}
	log := m.log(rand.New(rand.NewPCG(*seed, 5)), n)
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
		value := m.worth(t, fitted)
		t.Logf("%-13s exact value %.4f, fitted in %v on %d steps", method, value, time.Since(began).Round(time.Millisecond), log.Steps())
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
