// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: that a reason not to suggest is always true of the chart, read
// again here without the agent's own code, on drawn timelines and on real stays;
// and on real stays that nothing unsupported, blocked or raised at goal is ever
// suggested, and that the world model, not habit, decides.

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

// checkOf are the reasons that one clinical check must bear out.
var checkOf = map[string]string{
	agent.ReasonComfortCare: state.CheckComfortCare, agent.ReasonPregnancy: state.CheckPregnancy, agent.ReasonProcedure: state.CheckProcedure,
	agent.ReasonECMO: state.CheckECMO, agent.ReasonMechanicalSupport: state.CheckMechSupport, agent.ReasonBleeding: state.CheckBleeding,
	agent.ReasonCardiogenic: state.CheckCardiogenic, agent.ReasonObstructive: state.CheckObstructive, agent.ReasonNeurogenic: state.CheckNeurogenic,
	agent.ReasonAnaphylaxis: state.CheckAnaphylaxis, agent.ReasonPostArrest: state.CheckPostArrest, agent.ReasonBurns: state.CheckBurns,
	agent.ReasonDKA: state.CheckDKA, agent.ReasonUnknownVasoactive: state.CheckVasoactive,
}

// trueOfChart reports whether the chart bears the reason out.
func trueOfChart(tl *state.Timeline, d *agent.Decision, r agent.Reason) bool {
	p := &tl.Present
	if key, ok := checkOf[r.Code]; ok {
		return tl.Check(key).Result == state.CheckPresent
	}
	blockedBy := func(id string) bool {
		return slices.ContainsFunc(d.Options, func(o agent.Option) bool {
			return o.Role == agent.RoleCurrent && slices.ContainsFunc(o.Verdicts, func(v policy.Verdict) bool { return v.Effect == policy.Block && (id == "" || v.ID == id) })
		})
	}
	switch r.Code {
	case agent.ReasonNotAdult:
		return tl.Check(state.CheckAdult).Result == state.CheckAbsent
	case agent.ReasonAgeUnknown:
		return tl.Check(state.CheckAdult).Result == state.CheckNotChecked
	case agent.ReasonNotICU:
		return tl.Check(state.CheckICU).Result == state.CheckAbsent
	case agent.ReasonNoEvidence:
		return !p.Sepsis.Suspected || p.Sepsis.SOFA < p.Sepsis.BaselineSOFA+2
	case agent.ReasonSepsisUnknown:
		return !p.Sepsis.Met && tl.Check(state.CheckSepsis).Result == state.CheckNotChecked &&
			(p.Sepsis.Prophylaxis == "" || p.Sepsis.SOFA >= p.Sepsis.BaselineSOFA+2)
	case agent.ReasonMAPMissing:
		return p.MAP.Newest == nil
	case agent.ReasonMAPStale:
		return p.MAP.Newest.AgeMin > 120 && strings.Contains(r.Text, fmt.Sprintf("%.0f min", p.MAP.Newest.AgeMin))
	case agent.ReasonMAPConflict:
		return (p.MAP.Disagree || p.MAP.LoneOutlier) && strings.Contains(r.Text, "confirm MAP")
	case agent.ReasonVasopressorUnknown:
		return !p.VasoKnown
	case agent.ReasonFluidUnknown:
		return !p.Fluids.Known
	case agent.ReasonStaleLactate:
		return p.Lactate.Now == nil || p.Lactate.Now.AgeMin > 480
	case agent.ReasonRisingLactate:
		return p.Lactate.Rising && p.Lactate.Now.AgeMin <= 480
	case agent.ReasonHypertensive:
		return p.MAP.Newest.Value > p.MAP.GoalMmHg+30 && p.NEUgKgMin > 0
	case agent.ReasonNoBetter:
		return p.MAP.Newest.Value < p.MAP.GoalMmHg
	case agent.ReasonOutOfSupport:
		return blockedBy("X2") || slices.ContainsFunc(d.Options, func(o agent.Option) bool {
			return o.Proposal.Raises() && slices.ContainsFunc(o.Verdicts, func(v policy.Verdict) bool { return v.Effect == policy.Block && v.ID == "X2" })
		})
	case agent.ReasonBlocked:
		return blockedBy("")
	}
	if id, ok := strings.CutPrefix(r.Code, agent.ReasonRule+"-"); ok {
		return slices.ContainsFunc(d.Verdicts, func(v policy.Verdict) bool { return v.ID == id && v.Effect == policy.Block && v.Text == r.Text })
	}
	return false // a reason nobody can check is no reason
}

func TestAnAbstainingReasonIsAlwaysTrueOfTheChart(t *testing.T) {
	pack, told := mustRules(t), map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		p := &tl.Present
		if rapid.IntRange(0, 2).Draw(rt, "checks") == 0 {
			for i := range p.Checks {
				if rapid.IntRange(0, 15).Draw(rt, p.Checks[i].Key) == 0 {
					p.Checks[i].Result = rapid.SampledFrom([]string{state.CheckPresent, state.CheckAbsent, state.CheckNotChecked}).Draw(rt, "result")
				}
			}
		}
		switch rapid.IntRange(0, 9).Draw(rt, "fault") {
		case 0:
			p.MAP.Newest = nil
		case 1:
			p.MAP.Disagree = true
		case 2:
			p.MAP.LoneOutlier = true
		case 3:
			p.Lactate.Now = nil
		case 4:
			p.Sepsis.Met, p.Sepsis.Suspected = false, false
		}
		n, err := agent.New(drawModel(rt), pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		d, err := n.Decide(context.Background(), tl, 0)
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range d.Reasons {
			told[r.Code]++
			if !trueOfChart(tl, &d, r) {
				rt.Fatalf("%s %s: %q is not true of the chart", d.Status, r.Code, r.Text)
			}
		}
	})
	if !testing.Short() && len(told) < 10 { // few states are drawn in short tests
		t.Errorf("only %d kinds of reason were drawn: %v", len(told), told)
	}
}

// eachRealTimeline gives the timelines of real stays 6, 12, 24 and 48 h after
// admission.
func eachRealTimeline(t *testing.T, visit func(tl *state.Timeline)) {
	t.Helper()
	if testing.Short() {
		t.Skip("real data is not read with -short")
	}
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "mimic-iv-demo-fhir")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data at %s (set SEPSISAGENT_DATA to the folder that holds mimic-iv-demo-fhir)", dir)
	}
	codes, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	m := fhir.NewMapper(codes)
	folder, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	err = folder.Each(context.Background(), func(b *fhir.Bag) error {
		for _, stay := range m.Stays(b) {
			for _, h := range []time.Duration{6, 12, 24, 48} {
				at := stay.Start.Add(h * time.Hour)
				if stay.Start.IsZero() || !stay.End.IsZero() && at.After(stay.End) {
					continue
				}
				c, err := m.Chart(b, stay.ID, at)
				if err != nil {
					return err
				}
				tl, err := state.Build(c, at, state.DefaultConfig())
				if err != nil {
					return err
				}
				visit(tl)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnRealStaysEverySuggestionIsPermittedSupportedAndReasoned(t *testing.T) {
	n, persistence := shippedAgent(t), native(t, world.Persistence{})
	ended, sources := map[agent.Status]int{}, map[string]int{}
	differ, spoken, refined, climbed := 0, 0, 0, 0
	decide := func(a *agent.Native, tl *state.Timeline) agent.Decision {
		d, err := a.Decide(context.Background(), tl, 0)
		if err != nil {
			t.Fatalf("stay %s at %s: %v", tl.StayID, tl.At, err)
		}
		return d
	}
	eachRealTimeline(t, func(tl *state.Timeline) {
		d := decide(n, tl)
		ended[d.Status]++
		for _, r := range d.Reasons {
			if !trueOfChart(tl, &d, r) {
				t.Errorf("stay %s at %s: %s %s: %q is not true of the chart", tl.StayID, tl.At, d.Status, r.Code, r.Text)
			}
		}
		if (d.Status == agent.Abstain || d.Status == agent.NotApplicable) && len(d.Reasons) == 0 {
			t.Errorf("stay %s: %s without a reason", tl.StayID, d.Status)
		}
		for _, o := range d.Options {
			sources[o.Source]++
			judgeReal(t, tl, &o)
		}
		if len(d.Rounds) > 1 {
			refined++
		}
		if d.Status != agent.Suggest && d.Status != agent.Affirm {
			return
		}
		spoken++
		if again := decide(n, tl); jsonOf(t, again) != jsonOf(t, d) {
			t.Errorf("stay %s: two runs differ", tl.StayID)
		}
		if jsonOf(t, decide(persistence, tl).Advice) != jsonOf(t, d.Advice) {
			differ++
		}
		climbed += climbReal(t, n, tl)
	})
	t.Logf("%v; options by source %v; %d decisions refined; persistence advises otherwise in %d of %d; %d asked again at other pressures", ended, sources, refined, differ, spoken, climbed)
	if spoken < 40 || differ == 0 {
		t.Errorf("%d decisions with an answer, %d of which persistence gives otherwise", spoken, differ)
	}
}

// judgeReal checks one option of a decision on a real stay.
func judgeReal(t *testing.T, tl *state.Timeline, o *agent.Option) {
	t.Helper()
	m := tl.Present.MAP
	if o.Role != agent.RoleSuggested {
		return
	}
	if o.Blocked || slices.ContainsFunc(o.Verdicts, func(v policy.Verdict) bool { return v.Effect == policy.Block }) {
		t.Errorf("stay %s: %s is suggested although it is blocked", tl.StayID, o.Proposal.Name)
	}
	rescue := m.Newest.Value < 55 && o.Proposal.Raises()
	smallest := math.Abs(o.Proposal.NENextUgKgMin-o.Proposal.NENowUgKgMin) < 0.021
	if o.Forecast.Support < 0.01 && !(o.Proposal.BolusMl == 0 && (rescue || smallest)) {
		t.Errorf("stay %s: %s is suggested with a support of %.4f", tl.StayID, o.Proposal.Name, o.Forecast.Support)
	}
	if o.Proposal.Raises() && m.Newest.Value >= m.GoalMmHg {
		t.Errorf("stay %s: %s is suggested with MAP %.0f at a goal of %.0f", tl.StayID, o.Proposal.Name, m.Newest.Value, m.GoalMmHg)
	}
	if o.Proposal.BolusMl > 0 && policy.FluidCaution(tl) != "" {
		t.Errorf("stay %s: volume is suggested although %s", tl.StayID, policy.FluidCaution(tl))
	}
}

// climbReal decides at rising MAP, the model's input with it.
func climbReal(t *testing.T, n *agent.Native, whole *state.Timeline) int {
	t.Helper()
	tl := *whole
	tl.Steps = slices.Clone(tl.Steps)
	last, asked := math.Inf(1), 0
	for mmHg := 46.0; mmHg <= 110; mmHg += 4 {
		newest := *whole.Present.MAP.Newest
		newest.Value = mmHg
		tl.Present.MAP.Newest, tl.Present.MAP.LastHourMin = &newest, &newest
		tl.Steps[len(tl.Steps)-1].Value[state.MeanBP] = mmHg
		tl.Present.Readings = maps.Clone(whole.Present.Readings)
		tl.Present.Readings["meanbp"] = newest
		d, err := n.Decide(context.Background(), &tl, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.Status != agent.Suggest && d.Status != agent.Affirm {
			continue
		}
		asked++
		ne := tl.Present.NEUgKgMin
		if i := slices.IndexFunc(d.Options, func(o agent.Option) bool { return o.Role == agent.RoleSuggested }); i >= 0 {
			ne = d.Options[i].Proposal.NENextUgKgMin
		}
		if ne > last+1e-9 {
			js, _ := json.Marshal(d.Rounds)
			t.Errorf("stay %s at %s: %.3f ug/kg/min is suggested at MAP %.0f, %.3f at a lower one: %s", tl.StayID, tl.At, ne, mmHg, last, js)
		}
		last = ne
	}
	return asked
}
