// SPDX-License-Identifier: Apache-2.0

package story

// This file: what is made of the rates that later receipts show.

import (
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

var at = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func point(min int, standing string, rate float64, mapMmHg float64) Point {
	when := at.Add(time.Duration(min) * time.Minute)
	return Point{At: when, MAPMmHg: &mapMmHg, MAPAt: when, Running: []Agent{{Drug: "norepinephrine", State: standing, RateUgKgMin: rate, Charted: when}}}
}

func TestWhatBecameOfASuggestionIsReadFromLaterRates(t *testing.T) {
	then := &state.Timeline{Present: state.Present{
		Readings: map[string]state.Reading{"meanbp": {Value: 58}},
		Agents:   []state.Agent{{Drug: "norepinephrine", State: state.AgentRunning, RateUgKgMin: 0.10, ChartedAt: at.Add(-time.Hour)}},
	}}
	up := &agent.VasopressorAdvice{Drug: "norepinephrine", Direction: "increase", FromUgKgMin: 0.10, FirstStepUgKgMin: 0.05, ToUgKgMin: 0.15}
	running, unknown := state.AgentRunning, state.AgentUnknownRate
	for _, tc := range []struct {
		name   string
		points []Point
		advice *agent.VasopressorAdvice
		became string
		given  float64
	}{
		{"no later receipt", nil, up, Unknown, 0},
		{"later receipts that cannot tell the rate", []Point{point(30, unknown, 0, 60)}, up, Unknown, 0},
		{"the rate stays", []Point{point(30, running, 0.10, 60), point(60, running, 0.102, 61)}, up, Unchanged, 0},
		{"the rate goes up", []Point{point(30, running, 0.10, 60), point(60, running, 0.14, 66), point(90, running, 0.14, 70)}, up, Followed, 0.14},
		{"the rate goes down", []Point{point(30, running, 0.05, 60)}, up, Opposite, 0.05},
		{"the drug is stopped", []Point{point(30, state.AgentStopped, 0, 60)}, up, Opposite, 0},
		{"it is suggested to go on, and the rate stays", []Point{point(30, running, 0.10, 60)}, &agent.VasopressorAdvice{Drug: "norepinephrine", Direction: "hold", FromUgKgMin: 0.10, ToUgKgMin: 0.10}, Followed, 0},
		{"a weaning that is followed", []Point{point(30, running, 0.06, 75)}, &agent.VasopressorAdvice{Drug: "norepinephrine", Direction: "decrease", FromUgKgMin: 0.10, ToUgKgMin: 0.08}, Followed, 0.06},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Story{Afterwards: Afterwards{Points: tc.points}}
			s.compare(at, then, agent.Advice{Vasopressor: tc.advice})
			x := s.Afterwards.Vasopressor
			if x.Became != tc.became || x.GivenUgKgMin != tc.given {
				t.Errorf("%+v", x)
			}
			if tc.name == "the rate goes up" && (x.AfterMin != 60 || *x.MAPBeforeMmHg != 58 || x.MAPAfterMmHg == nil || *x.MAPAfterMmHg != 70) {
				t.Errorf("%+v", x)
			}
		})
	}
}

func TestWhatArrivedLaterWasTrueThenAndKnownToNobody(t *testing.T) {
	s, seen := &Story{}, map[string]bool{}
	chart := &state.Chart{Measurements: []state.Measurement{
		{Concept: "lactate", Received: "4.1 mmol/L", Effective: at.Add(-time.Hour), Available: at.Add(20 * time.Minute)}, // late
		{Concept: "meanbp", Received: "60 mmHg", Effective: at.Add(-time.Hour), Available: at.Add(-50 * time.Minute)},    // known
		{Concept: "meanbp", Received: "63 mmHg", Effective: at.Add(time.Minute), Available: at.Add(time.Minute)},         // afterwards
	}, Administrations: []state.Administration{{Drug: "norepinephrine", Received: "0.1", Start: at.Add(-time.Minute), Available: at.Add(time.Hour)}}}
	s.late("one", at, chart, seen)
	s.late("two", at, chart, seen)
	if len(s.Later) != 2 || s.Later[0].What != "lactate" || s.Later[1].What != "norepinephrine" || s.Later[1].SeenIn != "one" {
		t.Errorf("%+v", s.Later)
	}
}
