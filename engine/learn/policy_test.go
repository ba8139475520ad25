// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// compare is a point with advice and what was given.
func compare(advised, given state.Levels, now, to, end float64) Point {
	p := at(60, agent.Suggest, all(now, 0))
	p.Advised = all(to, 0)
	p.Advised.Levels, p.Course = advised, course(to-now)
	p.HasNext, p.Given, p.GivenEnd = true, all(end, 0), end
	p.Given.Levels = given
	return p
}

func TestAgreementByLevelAndDirection(t *testing.T) {
	s := points(
		compare(state.Levels{Vasopressor: 1}, state.Levels{Vasopressor: 1}, 0, 0.05, 0.05),      // same, both raise
		compare(state.Levels{Vasopressor: 1}, state.Levels{Vasopressor: 3}, 0, 0.05, 0.3),       // two off, both raise
		compare(state.Levels{Vasopressor: 2}, state.Levels{Vasopressor: 1}, 0.1, 0.15, 0.05),    // one off, opposed
		compare(state.Levels{Vasopressor: 0}, state.Levels{Vasopressor: 0}, 0.004, 0.004, 0.00), // a pump's rounding is a hold
	)
	e := &PolicyEvaluation{}
	e.agree(s)
	if got := e.Vasopressor.Same; got.Count != 2 || got.Of != 4 {
		t.Errorf("the same level %d of %d, want 2 of 4", got.Count, got.Of)
	}
	if got := e.Vasopressor.WithinOne; got.Count != 3 {
		t.Errorf("within one %d, want 3", got.Count)
	}
	if e.Vasopressor.Table[1][3] != 1 || e.Vasopressor.Table[2][1] != 1 {
		t.Errorf("table %v", e.Vasopressor.Table)
	}
	want := [Courses][Courses]int{Hold: {Hold: 1}, Raise: {Raise: 2, Lower: 1}}
	if e.Direction.Table != want {
		t.Errorf("directions %v, want %v", e.Direction.Table, want)
	}
	if e.Direction.Same.Count != 3 || e.Direction.Opposed.Count != 1 {
		t.Errorf("same %d opposed %d, want 3 and 1", e.Direction.Same.Count, e.Direction.Opposed.Count)
	}
}

func TestSuggestionsAreFollowedUpByKindAndDepth(t *testing.T) {
	bolus := func(mapMmHg, givenMl, next float64) Point {
		p := compare(state.Levels{}, state.Levels{}, 0, 0, 0)
		p.MAPMmHg, p.NextMAPMmHg = mapMmHg, next
		p.Advised.BolusMl, p.Given.BolusMl = 250, givenMl
		return p
	}
	got := points(bolus(64, 0, 70), bolus(63, 0, 60), bolus(63.5, 500, 70), bolus(54, 0, math.NaN())).followUps()
	if len(got) != 2 || got[0].Kind != "volume alone" || got[0].Depth != "0 to 2" || got[1].Depth != "over 10" {
		t.Fatalf("%+v", got)
	}
	if f := got[0]; f.Alike.Count != 1 || f.Alike.Of != 3 || f.Alone.Count != 2 || f.Recovered.Count != 1 || f.Recovered.Of != 2 {
		t.Errorf("%+v", f)
	}
	if f := got[1]; f.Alone.Count != 1 || f.Recovered.Of != 0 {
		t.Errorf("a pressure nobody measured came back: %+v", f)
	}
}

func TestWeightedKappaInClosedForm(t *testing.T) {
	if k := weightedKappa([5][5]int{{3}, {0, 4}}); k != 1 {
		t.Errorf("full agreement has kappa %v", k)
	}
	// Half and half on two levels, independent of each other: by chance alone.
	if k := weightedKappa([5][5]int{{1, 1}, {1, 1}}); math.Abs(k) > 1e-12 {
		t.Errorf("chance agreement has kappa %v", k)
	}
	if k := weightedKappa([5][5]int{{0, 5}, {5, 0}}); math.Abs(k+1) > 1e-12 {
		t.Errorf("full disagreement on two levels has kappa %v", k)
	}
	if k := weightedKappa([5][5]int{{7}}); !math.IsNaN(k) {
		t.Errorf("a constant has kappa %v", k)
	}
}

func TestASharesIntervalHoldsItAndItsPartsAreWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &sample{resamples: 50}
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		for range n {
			p := Point{Patient: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "patient")}
			p.Shown, p.HasNext = rapid.Bool().Draw(rt, "hit"), rapid.Bool().Draw(rt, "counted")
			s.add(&stayResult{points: []Point{p}})
		}
		s.seal()
		got := s.share(func(p *Point) (bool, bool) { return p.Shown, p.HasNext })
		if got.Count > got.Of || got.Of > n {
			rt.Fatalf("%d of %d of %d", got.Count, got.Of, n)
		}
		if got.Of == 0 && got.Share == got.Share {
			rt.Fatalf("a share of nothing is %v", got.Share)
		}
		if got.Low > got.High || got.Low < 0 || got.High > 1 {
			rt.Fatalf("interval %v to %v", got.Low, got.High)
		}
	})
}

// rowWith is a row with MAP, lactate and SOFA.
func rowWith(mapMmHg, lactate float64, organ, cardio int) *cohort.Row {
	r := &cohort.Row{SOFA: state.SOFA{Resp: organ, Coag: -1, Liver: -1, Cardio: cardio, CNS: -1, Renal: -1, Total: organ + cardio, Scored: 2}}
	r.Value[state.MeanBP], r.Presence[state.MeanBP] = mapMmHg, state.Measured
	if lactate > 0 {
		r.Value[state.Lactate], r.Presence[state.Lactate] = lactate, state.Measured
	}
	return r
}

func TestRewardsInClosedForm(t *testing.T) {
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	r := rewards(rowWith(55, 4, 3, 1), rowWith(65, 3, 2, 4))
	near("MAP 10 up, lactate 1 down, one organ point less", r[PatientReward], 0.5+0.25+0.125)
	near("published: two SOFA points more, lactate 1 down", r[PaperReward], -0.25+2*math.Tanh(1))
	r = rewards(rowWith(70, 0, 2, 1), rowWith(90, 0, 2, 1))
	near("more pressure above the floor is worth nothing", r[PatientReward], 0)
	near("published: unchanged SOFA", r[PaperReward], -0.025)
	r = rewards(rowWith(70, 0, 2, 1), rowWith(70, 9, 2, 1))
	near("a first lactate is neither good nor bad", r[PatientReward], 0)
}

func TestTheVasopressorItselfIsNoRewardOfThePatient(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := rowWith(rapid.Float64Range(30, 120).Draw(rt, "map"), rapid.Float64Range(0, 12).Draw(rt, "lactate"), rapid.IntRange(0, 4).Draw(rt, "organ"), 0)
		b := rowWith(rapid.Float64Range(30, 120).Draw(rt, "map after"), rapid.Float64Range(0, 12).Draw(rt, "lactate after"), rapid.IntRange(0, 4).Draw(rt, "organ after"), 0)
		plain := rewards(a, b)[PatientReward]
		b.SOFA.Cardio, b.Given.NEMaxUgKgMin, b.Given.FluidModelMl = rapid.IntRange(0, 4).Draw(rt, "cardio"), 0.4, 900
		if got := rewards(a, b)[PatientReward]; got != plain {
			rt.Fatalf("treatment alone moved the reward from %v to %v", plain, got)
		}
		if there, back := rewards(a, b)[PatientReward], rewards(b, a)[PatientReward]; math.Abs(there+back) > 1e-9 {
			rt.Fatalf("there %v and back %v do not cancel", there, back)
		}
	})
}

func TestCasesAreDealtByStratumAndAPatientOnce(t *testing.T) {
	made := func(stratum int, patient, rank string) Case {
		return Case{Stratum: strata[stratum].name, Row: cohort.Row{Patient: patient}, stratum: stratum, rank: rank}
	}
	got := chooseCases([]Case{
		made(0, "a", "2"), made(0, "b", "1"), made(0, "c", "3"), made(1, "b", "1"), made(1, "d", "2"), made(8, "e", "1"),
	}, 4)
	var names string
	for _, c := range got {
		names += c.Row.Patient
	}
	if names != "badc" && names != "bade" {
		t.Errorf("dealt %q", names)
	}
	if len(chooseCases(nil, 5)) != 0 || chooseCases(got, 0) != nil {
		t.Error("cases out of nothing")
	}
}

func TestAnEpisodeBeginsWhenTheDecisionAppliesAndLooksAtNothingLater(t *testing.T) {
	t.Run("5.14 no stay is left out for how it goes on", func(t *testing.T) {
		known := func(status agent.Status) Point {
			p := compare(state.Levels{}, state.Levels{}, 0, 0, 0)
			p.Status, p.Terminal, p.TerminalKnown = status, 15, true
			return p
		}
		last := known(agent.Abstain)
		last.HasNext = false
		var o OPESample
		ep, why := episodeOf([]Point{known(agent.NotApplicable), known(agent.Suggest), known(agent.NotApplicable), last}, &o)
		if why != nil || len(ep.points) != 2 || ep.final != 15 || ep.died {
			t.Errorf("%d steps, end %v, left out %v; want the two from the suggestion on", len(ep.points), ep.final, why != nil)
		}
		unknown := known(agent.Suggest)
		unknown.Given.VasoKnown = false
		if _, why := episodeOf([]Point{known(agent.Suggest), unknown}, &o); why != &o.UnknownTreatment {
			t.Error("a step whose treatment is not charted was valued")
		}
		if _, why := episodeOf([]Point{known(agent.NotApplicable)}, &o); why != &o.NeverApplied {
			t.Error("a stay to which nothing applied was valued")
		}
		if _, why := episodeOf([]Point{last}, &o); why != &o.TooShort {
			t.Error("a stay without a step was valued")
		}
	})
}
