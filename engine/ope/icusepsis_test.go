// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: the estimators on ICU-Sepsis (Choudhary et al. 2024), a decision
// process of 716 states made from real ICU stays, where the exact value of any
// policy is known. The tables are not part of the project.

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

const (
	icuActions  = 25
	icuStates   = 716
	icuDied     = 713
	icuSurvived = 714
	icuLongest  = 200 // steps of an episode; the chance of more is nil
)

// icuSepsis holds the tables.
type icuSepsis struct {
	start, expert, next [][]float64 // 1×S, S×A, (S·A)×S
}

func readICUSepsis(t *testing.T) icuSepsis {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	return icuSepsis{
		start:  readTable(t, filepath.Join(dir, "initialStateDistribution.csv.gz")),
		expert: readTable(t, filepath.Join(dir, "expertPolicy.csv.gz")),
		next:   readTable(t, filepath.Join(dir, "transitionFunction.csv.gz")),
	}
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

// survival is the exact chance of survival from each state under a policy, by
// iteration.
func (m icuSepsis) survival(policy [][]float64) []float64 {
	v := make([]float64, icuStates)
	v[icuSurvived] = 1 // paid on arrival
	step := make([][]float64, icuDied)
	for s := range step { // the chain under the policy
		step[s] = make([]float64, icuStates)
		for a, p := range policy[s] {
			if p == 0 {
				continue
			}
			for to, q := range m.next[s*icuActions+a] {
				step[s][to] += p * q
			}
		}
	}
	for range 400 {
		moved := 0.0
		for s, row := range step {
			sum := 0.0
			for to, p := range row {
				sum += p * v[to]
			}
			moved, v[s] = max(moved, math.Abs(sum-v[s])), sum
		}
		if moved < 1e-10 {
			break
		}
	}
	return v
}

func (m icuSepsis) value(policy [][]float64) (value float64) {
	v := m.survival(policy)
	for s, p := range m.start[0] {
		value += p * v[s]
	}
	return value
}

// improved is one step of policy improvement over the clinicians among what
// they did, mixed with them so that weights stay useful.
func (m icuSepsis) improved(t *testing.T, clinicians float64) [][]float64 {
	t.Helper()
	v := m.survival(m.expert)
	out := make([][]float64, icuStates)
	for s, b := range m.expert[:icuDied] {
		best, most := 0, -1.0
		for a, p := range b {
			if p < 0.01 {
				continue
			}
			q := 0.0
			for to, chance := range m.next[s*icuActions+a] {
				q += chance * v[to]
			}
			if q > most {
				best, most = a, q
			}
		}
		greedy, err := ope.Soften(best, icuActions, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out[s], err = ope.Mix(greedy, b, clinicians); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// log draws n episodes of the clinicians as the target policy sees them.
func (m icuSepsis) log(rng *rand.Rand, target [][]float64, n int) (out []ope.Episode[int]) {
	for i := range n {
		e := ope.Episode[int]{Patient: fmt.Sprint(i)}
		for s := pick(rng, m.start[0]); s < icuDied && len(e.States) < icuLongest; {
			a := pick(rng, m.expert[s])
			to := pick(rng, m.next[s*icuActions+a])
			reward := 0.0
			if to == icuSurvived {
				reward = 1
			}
			e.States, e.Actions = append(e.States, s), append(e.Actions, a)
			e.Rewards, e.Target = append(e.Rewards, reward), append(e.Target, target[s])
			s = to
		}
		if len(e.States) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// valued are n logged episodes with the chances of those who acted and cross-fitted
// values, as an evaluation has them.
func (m icuSepsis) valued(t *testing.T, rng *rand.Rand, target [][]float64, n int, seed uint64) []ope.Trajectory {
	t.Helper()
	episodes := m.log(rng, target, n)
	ids := make([]string, len(episodes))
	for i, e := range episodes {
		ids[i] = e.Patient
	}
	folds, err := ope.Folds(ids, 2, seed)
	if err != nil {
		t.Fatal(err)
	}
	values, err := ope.CrossFQE(episodes, folds, ope.FQEOptions{Actions: icuActions, Rounds: 30, Tolerance: 1e-3, High: 1}, ope.Table{States: icuStates, Prior: 2})
	if err != nil {
		t.Fatal(err)
	}
	log := make([]ope.Trajectory, len(episodes))
	for i, e := range episodes {
		behaviour := make([][]float64, len(e.States))
		for t, s := range e.States {
			behaviour[t] = m.expert[s]
		}
		if log[i], err = e.Trajectory(behaviour, values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

func TestIntervalsHoldTheExactValueOnICUSepsis(t *testing.T) {
	if testing.Short() {
		t.Skip("many bootstraps")
	}
	m := readICUSepsis(t)
	target := m.improved(t, 0.85)
	clinicians, value := m.value(m.expert), m.value(target)
	near(t, "the clinicians' exact value", clinicians, 0.7818, 1e-4)
	if value < clinicians+0.01 {
		t.Fatalf("the target is worth %v, the clinicians %v: too close to tell apart", value, clinicians)
	}
	methods := []ope.Method{ope.Logged, ope.WIS, ope.WPDIS, ope.DR, ope.WDR}
	const seeds, n = 12, 800
	held, off := map[ope.Method]int{}, map[ope.Method]float64{}
	for seed := range uint64(seeds) {
		log := m.valued(t, rand.New(rand.NewPCG(seed, 3)), target, n, seed)
		for _, r := range evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 300, Seed: seed}, methods...) {
			truth := value
			if r.Method == ope.Logged {
				truth = clinicians
			}
			if r.Holds(truth) {
				held[r.Method]++
			}
			off[r.Method] += (r.Value - truth) / seeds
			if seed == 0 {
				t.Logf("%s %.4f (%.4f to %.4f), ESS %.0f of %d; exact %.4f", r.Method, r.Value, r.Low, r.High, r.ESS, len(log), truth)
			}
		}
	}
	for _, method := range methods {
		t.Logf("%s: %d of %d 95 %% intervals hold the exact value, mean error %+.4f", method, held[method], seeds, off[method])
		if held[method] < 10 {
			t.Errorf("%s: only %d of %d intervals hold the exact value", method, held[method], seeds)
		}
	}
}
