// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestTheSameSeedAndPrescriptionsGiveTheSameStates(t *testing.T) {
	run := func() (out []string) {
		e := begin(t, 11, "")
		for k := 0; ; k++ {
			out = append(out, canonical(t, e.Timeline()))
			if r := prescribeSome(t, e, k); r.End != "" {
				return append(out, string(r.End))
			}
		}
	}
	first, again := run(), run()
	if strings.Join(first, "\n") != strings.Join(again, "\n") {
		t.Error("two runs of one seed differ")
	}
	if len(first) < 4 {
		t.Errorf("the episode has only %d states: choose another seed for this test", len(first))
	}
}

func TestSeedsGiveDifferentPatients(t *testing.T) {
	seen := map[string]uint64{}
	for seed := range uint64(8) {
		text := canonical(t, begin(t, seed, "").Timeline())
		if other, twice := seen[text]; twice {
			t.Errorf("seeds %d and %d start alike", seed, other)
		}
		seen[text] = seed
	}
}

func TestEveryStateIsBuiltFromTheChart(t *testing.T) {
	cfg := state.DefaultConfig()
	for seed := range uint64(4) {
		e := begin(t, seed, "")
		start, known := e.Timeline().At, len(e.Chart().Measurements)
		for k := 1; ; k++ {
			now := agent.LevelsNow(cfg, e.Timeline())
			menu, err := e.Menu(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pick := now
			if menu[5*now.Vasopressor+now.Fluid].Blocked {
				for _, o := range menu {
					if !o.Blocked {
						pick = o.Levels
						break
					}
				}
			}
			r := prescribe(t, e, pick)
			tl, err := state.Build(e.Chart(), start.Add(timesStep(k)), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := canonical(t, e.Timeline()), canonical(t, tl); got != want {
				t.Fatalf("seed %d step %d: the state is not that of the chart", seed, k)
			}
			last := tl.Last()
			if last.Given.Levels != cfg.LevelsOf(r.Given.NEUgKgMin, r.Given.FluidMl) || !last.Given.VasoKnown || !last.Given.FluidKnown {
				t.Errorf("seed %d step %d: %v was given, the chart says %+v", seed, k, r.Given, last.Given)
			}
			if got := math.Abs(last.Given.FluidModelMl - r.Given.FluidMl); got > 1e-6 {
				t.Errorf("seed %d step %d: fluid is off by %v mL", seed, k, got)
			}
			if dia, mean, sys := last.Value[state.DiaBP], last.Value[state.MeanBP], last.Value[state.SysBP]; dia > mean || mean > sys {
				t.Errorf("seed %d step %d: pressures %v %v %v", seed, k, sys, mean, dia)
			}
			if m := tl.Present.MAP; m.Newest == nil || m.Newest.AgeMin > 30 || m.Disagree || m.LoneOutlier {
				t.Errorf("seed %d step %d: a pressure that does not speak for the present: %+v", seed, k, m)
			}
			if r.End != "" {
				break
			}
		}
		checkProvenance(t, e, known)
	}
}

func timesStep(k int) time.Duration { return stepLen * time.Duration(k) }

// checkProvenance holds every event after the start to saying that it was
// simulated.
func checkProvenance(t *testing.T, e *Episode, known int) {
	t.Helper()
	c := e.Chart()
	if !c.Person.Synthetic || !e.Timeline().Synthetic {
		t.Error("the patient is not marked synthetic")
	}
	if len(c.Measurements) == known {
		t.Fatal("nothing was measured")
	}
	for _, m := range c.Measurements[known:] {
		lo, hi, _, ok := state.Range(m.Concept)
		if !ok || m.Value < lo || m.Value > hi {
			t.Errorf("%s %v is not plausible", m.Concept, m.Value)
		}
		if m.Status != Simulated || !strings.HasPrefix(m.Received, Simulated) || c.Records[m.Record].Origin.Via != Simulated {
			t.Errorf("%s does not say that it was simulated: %+v", m.Concept, m)
		}
	}
	for _, a := range c.Administrations {
		if c.Records[a.Record].Origin.Via == Simulated && !strings.HasPrefix(a.Received, Simulated) {
			t.Errorf("%s does not say that it was simulated: %+v", a.Drug, a)
		}
	}
}

func TestABranchLeavesTheEpisodeAsItWas(t *testing.T) {
	e := begin(t, 5, "")
	if r := prescribeSome(t, e, 0); r.End != "" {
		t.Fatal("choose another seed for this test")
	}
	before, events := canonical(t, e.Timeline()), len(e.Chart().Measurements)
	c := e.Clone()
	prescribeSome(t, c, 1)
	tl, err := state.Build(e.Chart(), e.Timeline().At, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if canonical(t, tl) != before || len(e.Chart().Measurements) != events {
		t.Error("the branch changed the chart of the episode")
	}
	if a, b := prescribeSome(t, e, 1), c; a.End == "" && canonical(t, e.Timeline()) != canonical(t, b.Timeline()) {
		t.Error("the same prescription in both branches ends in different states")
	}
}

func TestMoreNorepinephrineRaisesPressure(t *testing.T) {
	sum := 0.
	for seed := range uint64(12) {
		e := begin(t, seed, string(physiology.EarlySepsis))
		mean := func(l state.Levels) float64 {
			c := e.Clone()
			dose := DoseOf(state.DefaultConfig(), e.Timeline(), l)
			if _, err := c.pass(t.Context(), dose, Reward{}); err != nil {
				t.Fatal(err)
			}
			return c.Timeline().Last().Value[state.MeanBP]
		}
		none, much := mean(state.Levels{Fluid: 2}), mean(state.Levels{Vasopressor: 3, Fluid: 2})
		if much < none {
			t.Errorf("seed %d: the same luck, MAP %v without and %v with norepinephrine", seed, none, much)
		}
		sum += much - none
	}
	if sum/12 < 3 {
		t.Errorf("mean effect %v mmHg", sum/12)
	}
}

func TestABlockedPrescriptionGivesNothingAndTakesNoTime(t *testing.T) {
	for seed := range uint64(20) {
		e := begin(t, seed, "")
		menu, err := e.Menu(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range menu {
			if !o.Blocked {
				continue
			}
			before := canonical(t, e.Timeline())
			r := prescribe(t, e, o.Levels)
			if len(r.Blocked) == 0 || r.Reward != (Reward{Rule: -blockCost}) || r.End != "" || e.Step() != 0 || canonical(t, e.Timeline()) != before {
				t.Errorf("seed %d %v: %+v", seed, o.Levels, r)
			}
			return
		}
	}
	t.Error("no seed has a blocked pair")
}

func TestSomethingMayAlwaysBeGiven(t *testing.T) {
	if testing.Short() {
		t.Skip("plays twelve episodes")
	}
	for seed := range uint64(12) {
		e := begin(t, seed, "")
		for k := 0; ; k++ {
			if r := prescribeSome(t, e, k); r.End != "" { // fails where nothing may be given
				break
			}
		}
	}
}

func TestEpisodesEndByThemselves(t *testing.T) {
	if testing.Short() {
		t.Skip("plays forty episodes")
	}
	ends := map[End]int{}
	for seed := range uint64(40) {
		e := begin(t, seed, "")
		var end End
		for k := range DefaultConfig().Steps {
			if end = prescribeSome(t, e, k).End; end != "" {
				break
			}
		}
		ends[end]++
		if _, err := e.Prescribe(t.Context(), state.Levels{}); !errors.Is(err, ErrEnded) {
			t.Fatalf("seed %d: an ended episode goes on: %v", seed, err)
		}
	}
	if ends[""] > 0 || ends[EndDied] == 0 || ends[EndDischarged] == 0 || ends[EndLimit] == 0 {
		t.Errorf("ends of 40 episodes: %v", ends)
	}
}

func TestDeathEarnsNothingAndLifeWhatIsLeftOfItsChance(t *testing.T) {
	if testing.Short() {
		t.Skip("plays forty episodes")
	}
	for seed := range uint64(40) {
		e := begin(t, seed, "")
		for k := 0; ; k++ {
			r := prescribeSome(t, e, k)
			want := 0.
			switch r.End {
			case "":
				if r.Reward.Terminal != 0 {
					t.Fatalf("seed %d: a terminal reward of %v before the end", seed, r.Reward.Terminal)
				}
				continue
			case EndDischarged, EndLimit:
				want = terminalWeight * (1 - e.DeathChance())
			}
			if r.Reward.Terminal != want {
				t.Errorf("seed %d %s: terminal %v, want %v", seed, r.End, r.Reward.Terminal, want)
			}
			break
		}
	}
}

func TestRewardsAreFiniteAndInRange(t *testing.T) {
	unit(t)
	rapid.Check(t, func(t *rapid.T) {
		v, err := shipped()
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		e, err := v.Reset(ctx, rapid.Uint64().Draw(t, "seed"), "")
		if err != nil {
			if errors.Is(err, ErrNoStart) {
				t.Skip()
			}
			t.Fatal(err)
		}
		for range 6 {
			l := LevelsOf(rapid.IntRange(0, Pairs-1).Draw(t, "pair"))
			r, err := e.Prescribe(ctx, l)
			if errors.Is(err, ErrEnded) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			inRange(t, r.Reward)
		}
	})
}

// inRange holds a reward and its parts to what is declared of them.
func inRange(t interface{ Errorf(string, ...any) }, r Reward) {
	for _, part := range []struct {
		name      string
		v, lo, hi float64
	}{
		{"total", r.Total(), LeastReward, MostReward}, {"patient", r.Patient, -0.2, 0.2}, {"terminal", r.Terminal, 0, terminalWeight},
		{"rule", r.Rule, -blockCost, 0}, {"guideline", r.Guideline, -mostGuideline, 0}, {"simulation", r.Simulation, -0.02, 0},
		{"invalid", r.Invalid, -invalidCost - silenceCost, 0}, {"burden", r.Burden, -mostBurden, 0},
	} {
		if !(part.v >= part.lo && part.v <= part.hi) {
			t.Errorf("%s is %v, outside %v to %v", part.name, part.v, part.lo, part.hi)
		}
	}
}

func TestADoseBelongsToItsLevel(t *testing.T) {
	cfg := state.DefaultConfig()
	e := begin(t, 3, "")
	for i := range Pairs {
		l := LevelsOf(i)
		d := DoseOf(cfg, e.Timeline(), l)
		if got := cfg.LevelsOf(d.NEUgKgMin, d.FluidMl); got != l {
			t.Errorf("%v stands for %+v, which is %v", l, d, got)
		}
	}
	now := agent.LevelsNow(cfg, e.Timeline())
	if p := ProposalOf(cfg, e.Timeline(), now); p.Direction != "none" || p.BolusMl != 0 || p.NENextUgKgMin != p.NENowUgKgMin {
		t.Errorf("the pair that runs is a change: %+v", p)
	}
}

func TestValuesFollowTheBand(t *testing.T) {
	b := world.Band{Lo95: 1, Lo80: 2, Median: 4, Hi80: 8, Hi95: 11}
	for z, want := range map[float64]float64{-z975: 1, -z90: 2, 0: 4, z90: 8, z975: 11, z90 / 2: 6} {
		if got := valueAt(b, z); math.Abs(got-want) > 1e-12 {
			t.Errorf("at %v: %v, want %v", z, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		lo, hi := rapid.Float64Range(-9, 9).Draw(t, "lo"), rapid.Float64Range(-9, 9).Draw(t, "hi")
		if lo > hi {
			lo, hi = hi, lo
		}
		if valueAt(b, lo) > valueAt(b, hi) || valueAt(b, hi) > valueAt(b, mostZ) {
			t.Errorf("not monotone between %v and %v", lo, hi)
		}
	})
}
