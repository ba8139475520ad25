// SPDX-License-Identifier: Apache-2.0

package main

// This file: the rules over real stays: what a verdict says of its numbers is
// true by plain arithmetic, what danger the chart holds is said, and nothing is
// silent where the chart does not tell.

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestRulesOverRealStays(t *testing.T) {
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	pack, err := loadRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	spoke, opposed, asked := map[string]int{}, map[[2]string]int{}, 0
	for set := range sampleOneIn {
		for _, chart := range realSample(t, set, 12) {
			builder, err := state.NewBuilder(chart, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			for h := 4; h <= 72; h += 4 {
				at := chart.Stay.Start.Add(time.Duration(h) * time.Hour)
				if !chart.Stay.End.IsZero() && at.After(chart.Stay.End) {
					break
				}
				tl, err := builder.Build(at)
				if err != nil {
					t.Fatal(err)
				}
				asked++
				verdicts := judgeReal(t, pack, tl)
				for _, c := range policy.Conflicts(verdicts) {
					opposed[c.Rules]++
				}
				for _, v := range verdicts {
					if v.Effect != policy.NotAssessed {
						spoke[v.ID]++
					}
				}
			}
		}
	}
	t.Logf("%d moments; verdicts %v; conflicts %v", asked, spoke, opposed)
	if opposed[[2]string{"V1", "V2"}] == 0 {
		t.Errorf("V1 and V2 never opposed each other in %d moments of real stays", asked)
	}
	for _, id := range []string{"V1", "V10", "F4", "B3", "M1", "X1-LACTATE"} {
		if spoke[id] == 0 {
			t.Errorf("%s never spoke in %d moments of real stays", id, asked)
		}
	}
}

// judgeReal judges the chart and three proposals, and checks every verdict.
func judgeReal(t *testing.T, pack *policy.Pack, tl *state.Timeline) []policy.Verdict {
	t.Helper()
	ne := tl.Present.NEUgKgMin
	hold := &policy.Proposal{Direction: policy.DirectionNone, NENowUgKgMin: ne, NENextUgKgMin: ne}
	bolus := *hold
	bolus.BolusMl, bolus.FluidKind = 500, "balanced crystalloid"
	raise := &policy.Proposal{Direction: policy.DirectionStart, Drug: state.DrugNorepinephrine, NENowUgKgMin: ne, NENextUgKgMin: ne + 0.05, DrugNextUgKgMin: 0.05}
	var all []policy.Verdict
	for _, p := range []*policy.Proposal{nil, hold, &bolus, raise} {
		verdicts, err := pack.Judge(tl, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range verdicts {
			checkVerdict(t, v)
		}
		all = append(all, verdicts...)
	}
	m := tl.Present.MAP
	said := func(id string) bool {
		return slices.ContainsFunc(all, func(v policy.Verdict) bool { return v.ID == id })
	}
	if m.Newest == nil && !said("V11") {
		t.Error("no MAP is charted and V11 does not say that it could not be assessed")
	}
	if m.Newest != nil && m.Newest.Value < 55 && !said("V11") && !said("V11-ON") {
		t.Errorf("MAP %.0f and no hazard", m.Newest.Value)
	}
	if (m.Newest == nil || m.Newest.Value > m.GoalMmHg) && !said("L11") {
		t.Error("a vasopressor may be started without a MAP below goal")
	}
	if policy.FluidCaution(tl) != "" && !said("L08") {
		t.Error("volume is permitted with a reason against it charted")
	}
	return all
}

// checkVerdict holds a verdict to its own numbers.
func checkVerdict(t *testing.T, v policy.Verdict) {
	t.Helper()
	limit := v.Pack == "limits"
	if unassessed := len(v.Missing) > 0; !limit && unassessed == (len(v.Because) > 0) {
		t.Errorf("%s has neither what made it true nor what is missing: %+v", v.ID, v)
	}
	for _, b := range v.Because {
		parts := strings.Fields(b.Values)
		if len(parts) != 3 {
			continue // a flag
		}
		x, errX := strconv.ParseFloat(parts[0], 64)
		y, errY := strconv.ParseFloat(parts[2], 64)
		if errX != nil || errY != nil || x == y {
			continue // words, or equal to the digits shown
		}
		holds := map[string]bool{"<": x < y, "<=": x < y, ">": x > y, ">=": x > y, "==": false, "!=": true}[parts[1]]
		if holds != b.Holds {
			t.Errorf("%s: %s is said to be %v with %s", v.ID, b.Expression, b.Holds, b.Values)
		}
	}
}
