// SPDX-License-Identifier: Apache-2.0

package learn

// This file: that recorded stays become logged decisions as they were, and that
// baselines decide on them.

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// flat encodes MAP and nothing else.
type flat struct{}

func (flat) Info() world.Info { return world.Info{Hash: "flat"} }
func (flat) Encode(tl *state.Timeline) ([]float32, error) {
	x := make([]float32, world.InputSize)
	if s := tl.Last(); s.Presence[state.MeanBP] != state.Missing {
		x[0] = float32(s.Value[state.MeanBP])
	}
	return x, nil
}

func simulatedRows(t *testing.T) (rows []cohort.Row) {
	t.Helper()
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: 12, Seed: 3, Behaviour: physiology.BehaviourRandomised, Hours: 48})
	if err != nil {
		t.Fatal(err)
	}
	for c := range courses {
		r, err := cohort.Rows(c.Chart(), "small", state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r...)
	}
	return rows
}

func anybody(string) bool { return true }

func TestRecordedStaysBecomeLoggedDecisions(t *testing.T) {
	rows := simulatedRows(t)
	d, err := baselineData(context.Background(), cohort.Seq(rows), flat{}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	at := map[string][]offline.Episode{}
	for _, e := range d.Episodes {
		at[e.Patient] = append(at[e.Patient], e)
	}
	decisions := 0
	for group := range cohort.ByStay(cohort.Seq(rows)) {
		logged := at[cohort.PatientHash(group[0].Patient)]
		if group[0].Part == cohort.Test {
			if len(logged) > 0 {
				t.Fatal("a test patient is learnt from")
			}
			continue
		}
		var steps []offline.Step
		for _, e := range logged {
			steps = append(steps, e.Steps...)
		}
		k, sum := 0, 0.0
		for i := range group {
			next, ok := cohort.Next(group, i)
			if !ok || !next.Given.VasoKnown || !next.Given.FluidKnown {
				continue
			}
			if want := 5*next.Given.Levels.Vasopressor + next.Given.Levels.Fluid; steps[k].Action != want {
				t.Fatalf("step %d: action %d, given after it %d", i, steps[k].Action, want)
			}
			if want := group[i].Value[state.MeanBP]; group[i].Presence[state.MeanBP] != state.Missing && steps[k].Features[0] != float32(want) {
				t.Fatalf("step %d: MAP %v, known then %v", i, steps[k].Features[0], want)
			}
			if g := &group[i].Given; g.VasoKnown && g.FluidKnown && steps[k].Previous != 5*g.Levels.Vasopressor+g.Levels.Fluid {
				t.Fatalf("step %d: the action before is %d", i, steps[k].Previous)
			}
			sum += published(&group[i], next)
			k++
		}
		if k != len(steps) {
			t.Fatalf("%d of %d decisions are logged", len(steps), k)
		}
		decisions += k
		got := 0.0
		for _, s := range steps {
			got += s.Reward
		}
		ended := len(logged) > 0 && !logged[len(logged)-1].Cut
		if end, known := terminal(&group[len(group)-1]); known && ended {
			sum += end
		}
		if math.Abs(got-sum) > 1e-9 {
			t.Fatalf("rewards add up to %v, want %v", got, sum)
		}
	}
	if decisions < leastBaselineSteps || decisions != d.Steps() {
		t.Fatalf("%d decisions, %d logged", decisions, d.Steps())
	}
}

func TestAGapCutsAnEpisode(t *testing.T) {
	rows := simulatedRows(t)
	for group := range cohort.ByStay(cohort.Seq(rows)) {
		if len(group) < 8 {
			continue
		}
		group[4].Given.VasoKnown = false // what was given after the fourth is not known
		for i := range group {
			group[i].OutcomeKnown, group[i].DiedInHospital = true, true
		}
		episodes, err := loggedDecisions(group, flat{})
		if err != nil {
			t.Fatal(err)
		}
		if len(episodes) != 2 || !episodes[0].Cut || episodes[1].Cut || len(episodes[0].Steps) != 3 {
			t.Fatalf("%d episodes, cut or not as they should not be", len(episodes))
		}
		last := episodes[1].Steps[len(episodes[1].Steps)-1]
		if want := published(&group[len(group)-2], &group[len(group)-1]) - terminalReward; math.Abs(last.Reward-want) > 1e-9 {
			t.Errorf("the last reward is %v, want %v", last.Reward, want)
		}
		for i := range group {
			group[i].OutcomeKnown = false
		}
		if episodes, err = loggedDecisions(group, flat{}); err != nil || !episodes[1].Cut {
			t.Errorf("a stay of unknown outcome is not cut (%v)", err)
		}
		return
	}
	t.Fatal("no stay is long enough")
}

func TestBaselinesRefusePatientsOfOthers(t *testing.T) {
	_, err := baselineData(context.Background(), cohort.Seq(simulatedRows(t)), flat{}, func(string) bool { return false })
	if !errors.Is(err, ErrBaseline) {
		t.Errorf("%v, want that they are refused", err)
	}
}

func TestBaselinesAreCandidates(t *testing.T) {
	rows := simulatedRows(t)
	d, err := baselineData(context.Background(), cohort.Seq(rows), flat{}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	var fitted []*offline.Fitted
	for _, method := range []offline.Method{offline.Clinician, offline.Persistence} {
		cfg := offline.Defaults(method)
		cfg.Updates, cfg.Hidden = 20, 4
		f, err := offline.Fit(context.Background(), d, method, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		fitted = append(fitted, f)
	}
	candidates := BaselineCandidates(fitted, flat{})
	for i := range rows {
		tl, err := rows[i].Timeline()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range candidates {
			p, ok, err := c.Probabilities(tl)
			if err != nil || !ok {
				t.Fatalf("%s: %v", c.Name, err)
			}
			sum := 0.0
			for _, row := range p {
				for _, v := range row {
					sum += v
				}
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("%s: probabilities add up to %v", c.Name, sum)
			}
			if g := &rows[i].Given; c.Name == string(offline.Persistence) && g.VasoKnown && g.FluidKnown && p[g.Levels.Vasopressor][g.Levels.Fluid] != 1 {
				t.Fatalf("persistence does not repeat what was given")
			}
		}
	}
}

func TestBaselinesLieInAModelFolder(t *testing.T) {
	d, err := baselineData(context.Background(), cohort.Seq(simulatedRows(t)), flat{}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	f, err := offline.Fit(context.Background(), d, offline.MostFrequent, offline.Defaults(offline.MostFrequent), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := WriteBaselines(dir, []*offline.Fitted{f}, flat{}); !errors.Is(err, ErrBaseline) {
		t.Fatalf("a folder without a model: %v", err)
	}
	sums := filepath.Join(dir, sumsFile)
	if err := os.WriteFile(sums, []byte("00  model.json\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := OpenBaselines(os.DirFS(dir), ".", flat{}); got != nil || err != nil {
		t.Fatalf("a folder without baselines: %v, %v", got, err)
	}
	for range 2 { // the second time in place of the first
		if err := WriteBaselines(dir, []*offline.Fitted{f}, flat{}); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(sums); err != nil || strings.Count(string(data), "\n") != 3 {
		t.Fatalf("the sums are %q (%v)", data, err)
	}
	got, err := OpenBaselines(os.DirFS(dir), ".", flat{})
	if err != nil || len(got) != 1 || got[0].Record != f.Record {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := OpenBaselines(os.DirFS(dir), ".", another{}); !errors.Is(err, ErrBaseline) {
		t.Errorf("baselines of another world model: %v, want that they are refused", err)
	}
	record := filepath.Join(dir, offline.RecordFile)
	if err := os.WriteFile(record, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBaselines(os.DirFS(dir), ".", flat{}); !errors.Is(err, ErrBaseline) {
		t.Errorf("a changed record: %v, want that it is refused", err)
	}
	for _, name := range []string{record, filepath.Join(dir, offline.WeightsFile)} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenBaselines(os.DirFS(dir), ".", flat{}); !errors.Is(err, ErrBaseline) {
		t.Errorf("files that the sums name are gone: %v, want that it is said", err)
	}
}

// another is a world model of another hash.
type another struct{ flat }

func (another) Info() world.Info { return world.Info{Hash: "another"} }

func TestAdviceOfABaselineIsFollowedAsOursIs(t *testing.T) {
	b := make([]float64, Actions)
	b[0], b[1] = 0.75, 0.25
	ep := &episode{points: []*Point{{Others: [][]float64{only(3)}}, {Others: [][]float64{nil}}}, b: [][]float64{b, b}}
	for _, c := range []struct {
		advises bool
		step    int
		want    map[int]float64
	}{
		{true, 0, map[int]float64{0: 0.1 * 0.75, 1: 0.1 * 0.25, 3: 0.9}},
		{false, 0, map[int]float64{3: 1}},
		{true, 1, map[int]float64{0: 0.75, 1: 0.25}},
	} {
		got, err := targets("d3qn", 0, c.advises)(ep, c.step)
		if err != nil {
			t.Fatal(err)
		}
		for a, p := range got {
			if math.Abs(p-c.want[a]) > 1e-12 {
				t.Errorf("advises %v, step %d: action %d has probability %v, want %v", c.advises, c.step, a, p, c.want[a])
			}
		}
	}
}
