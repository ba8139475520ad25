// SPDX-License-Identifier: Apache-2.0

package icusepsis

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/learn/planner"
)

// real reads the published tables, or skips.
func real(t testing.TB) *Tables {
	t.Helper()
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	if testing.Short() {
		t.Skip("reads 77 MB of tables")
	}
	m, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v within %v", what, got, want, tolerance)
	}
}

// even takes every action alike.
func even() [][]float64 {
	return slices.Repeat([][]float64{slices.Repeat([]float64{1.0 / Actions}, Actions)}, States)
}

// TestTheTruth holds what needs the real tables, read once.
func TestTheTruth(t *testing.T) {
	m := real(t)
	t.Run("what is told of the tables is how they were made", func(t *testing.T) { told(t, m) })
	t.Run("exact values are those of the publication", func(t *testing.T) {
		random, err := m.ValueOf(even())
		if err != nil {
			t.Fatal(err)
		}
		clinicians, err := m.ValueOf(m.Clinicians())
		if err != nil {
			t.Fatal(err)
		}
		best, rows, err := m.Best()
		if err != nil {
			t.Fatal(err)
		}
		near(t, "random", random, 0.7801, 5e-5)
		near(t, "the clinicians", clinicians, 0.7818, 5e-5)
		near(t, "the best", best, 0.8751, 5e-5)
		again, err := m.ValueOf(rows)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "the best, solved again", again, best, 1e-9)
	})
	t.Run("the log follows the tables", func(t *testing.T) { followsTables(t, m) })
	t.Run("the same seed gives the same stays, and more begin with the fewer", func(t *testing.T) {
		few, many := logged(t, m, 50, 9), logged(t, m, 80, 9)
		if !reflect.DeepEqual(few.Episodes, many.Episodes[:50]) {
			t.Error("the first 50 stays differ")
		}
		if reflect.DeepEqual(few.Episodes, logged(t, m, 50, 10).Episodes) {
			t.Error("another seed gives the same stays")
		}
	})
	t.Run("a policy that repeats the action before is followed as such", func(t *testing.T) { repeats(t, m) })
	t.Run("no learner sees the tables", func(t *testing.T) { blind(t, m) })
}

func logged(t *testing.T, m *Tables, n int, seed uint64) *offline.Dataset {
	t.Helper()
	d, err := m.Log(n, seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	return d
}

// followsTables compares frequencies with the tables, by how many standard
// errors they differ in all.
func followsTables(t *testing.T, m *Tables) {
	d := logged(t, m, 20_000, 3)
	var start, did [States][States]float64 // rows beyond what is used stay 0
	var visits [States]float64
	next := map[int][]float64{}
	survived := 0.0
	for _, e := range d.Episodes {
		start[0][e.Steps[0].State]++
		for i, s := range e.Steps {
			visits[s.State]++
			did[s.State][s.Action]++
			to := Died
			switch {
			case i+1 < len(e.Steps):
				to = e.Steps[i+1].State
			case s.Reward == 1:
				to = Survived
			}
			cell := s.State*Actions + s.Action
			if next[cell] == nil {
				next[cell] = make([]float64, States)
			}
			next[cell][to]++
			survived += s.Reward
		}
	}
	near(t, "the share of survivors", survived/20_000, 0.78184, 4*math.Sqrt(0.78*0.22/20_000))
	var chi, freedom float64
	add := func(seen []float64, n float64, p func(i int) float64) {
		for i := range seen {
			if want := n * p(i); want >= 5 {
				chi += (seen[i] - want) * (seen[i] - want) / want / (1 - p(i))
				freedom++
			} else if p(i) == 0 && seen[i] > 0 {
				t.Errorf("what is impossible was logged %v times", seen[i])
			}
			if p(i) == 1 { // certain: nothing to compare
				freedom--
			}
		}
	}
	add(start[0][:], 20_000, func(s int) float64 { return m.start[s] })
	for s := range Died {
		if slices.Max(m.expert[s]) < 1 {
			add(did[s][:Actions], visits[s], func(a int) float64 { return m.expert[s][a] })
		}
	}
	for cell, seen := range next {
		n := 0.0
		for _, v := range seen {
			n += v
		}
		p := make([]float64, States)
		for _, to := range m.next[cell] {
			p[to.to] = to.p
		}
		if slices.Max(p) < 1 {
			add(seen, n, func(to int) float64 { return p[to] })
		}
	}
	// Each term has mean 1; terms of one row are a little dependent, so the
	// tolerance is generous.
	if ratio := chi / freedom; math.Abs(ratio-1) > 0.03 {
		t.Errorf("squared standard errors are %.3f on average over %.0f frequencies, want 1", ratio, freedom)
	}
}

// repeats compares the exact value of a policy with memory with what becomes of
// stays that follow it: the first action at random, then the same again.
func repeats(t *testing.T, m *Tables) {
	exact, err := m.Value(offline.Func(func(seen offline.Observation) ([]float64, error) {
		p := make([]float64, Actions)
		if seen.Previous == offline.NoAction {
			p[0], p[20] = 0.5, 0.5
		} else {
			p[seen.Previous] = 1
		}
		return p, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	always := func(a int) float64 {
		rows := make([][]float64, States)
		for s := range rows {
			rows[s] = make([]float64, Actions)
			rows[s][a] = 1
		}
		v, err := m.ValueOf(rows)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	near(t, "half of always 0 and half of always 20", exact, (always(0)+always(20))/2, 1e-9)
}

// blind changes the tables after the log was drawn: what is learnt is the same,
// though what it is worth is not.
func blind(t *testing.T, m *Tables) {
	d := logged(t, m, 300, 5)
	before, err := planner.Fit(context.Background(), d, planner.Config{Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	seen := m.Observe(offline.NoAction)
	want, err := before.Probabilities(seen)
	if err != nil {
		t.Fatal(err)
	}
	worth, err := m.Value(before)
	if err != nil {
		t.Fatal(err)
	}
	old := *m
	defer func() { *m = old }()
	m.next, m.expert = slices.Clone(old.next), even()
	rng := rand.New(rand.NewPCG(5, 5))
	rng.Shuffle(Died*Actions, func(i, j int) { m.next[i], m.next[j] = m.next[j], m.next[i] })
	m.start = slices.Repeat([]float64{1.0 / Died}, Died)
	if other, err := m.Value(before); err != nil || math.Abs(other-worth) < 1e-3 {
		t.Fatalf("the plan is worth %v by other tables and %v by the real ones (%v): the test shows nothing", other, worth, err)
	}
	if other, err := m.Log(300, 5); err != nil || reflect.DeepEqual(other.Episodes, d.Episodes) {
		t.Fatalf("other tables give the same stays (%v): the test shows nothing", err)
	}
	after, err := planner.Fit(context.Background(), d, planner.Config{Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	got, err := after.Probabilities(seen)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(before.Choice, after.Choice) {
		t.Error("the plan changed with tables that it must not see")
	}
}
