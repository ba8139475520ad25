// SPDX-License-Identifier: Apache-2.0

package policy

// This file: what a site can change, what it cannot, and that a hostile pack
// reaches neither hazards nor hard limits.

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// withSite loads the shipped packs with a site's own beside them.
func withSite(t testing.TB, site string) (*Pack, error) {
	t.Helper()
	fsys := fstest.MapFS{"rules/site.yaml": {Data: []byte(site)}}
	files, err := os.ReadDir("../configs/rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if path.Ext(f.Name()) == ".yaml" {
			data, err := os.ReadFile("../configs/rules/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			fsys["rules/"+f.Name()] = &fstest.MapFile{Data: data}
		}
	}
	return Load(fsys)
}

func override(lines string) string {
	return "pack: site\nversion: '1'\nsource: here\noverrides:\n  - {" + lines + ", reason: because, by: the unit}\n"
}

func mustSite(t testing.TB, site string) *Pack {
	t.Helper()
	p, err := withSite(t, site)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestASiteChangesAThreshold(t *testing.T) {
	tl := known()
	tl.Present.NEUgKgMin = 0.27
	tl.Present.MAP.Newest.Value = 58
	tl.Present.Agents = []state.Agent{{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: state.AgentRunning, Rate: 0.27, NEUgKgMin: 0.27}}
	speaks := func(p *Pack) bool {
		got, err := p.Judge(tl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(got, func(v Verdict) bool { return v.ID == "V4" })
	}
	if !speaks(shipped(t)) {
		t.Fatal("V4 is silent at 0.27")
	}
	changed := mustSite(t, override("rule: V4, thresholds: {second_agent_ug_kg_min: 0.4}")+
		"  - {rule: V4-NE, thresholds: {second_agent_ug_kg_min: 0.4}, reason: because, by: the unit, cases: []}\n")
	if speaks(changed) {
		t.Error("V4 speaks at 0.27 although the site set 0.4")
	}
	if changed.Hash() == shipped(t).Hash() {
		t.Error("the hash does not tell of the override")
	}
}

func TestASiteSwitchesARuleOffWithAReason(t *testing.T) {
	p := mustSite(t, override("rule: B3, off: true"))
	if slices.ContainsFunc(p.Rules(), func(r Rule) bool { return r.ID == "B3" }) {
		t.Error("B3 is still asked")
	}
	off := p.Off()
	if len(off) != 1 || off[0].ID != "B3" || off[0].Override.Reason != "because" || off[0].Override.By != "the unit" || off[0].Override.Pack != "site@1" {
		t.Errorf("off %+v", off)
	}
}

func TestAChangedRuleIsTestedWithTheSitesOwnCases(t *testing.T) {
	p := mustSite(t, override("rule: B3, thresholds: {start_mg_dl: 200}, cases: [{name: high, facts: {glucose_mg_dl: 210}, want: fires}, {name: not yet, facts: {glucose_mg_dl: 190}, want: silent}]"))
	rep, err := p.Test()
	if err != nil || !rep.OK() {
		t.Errorf("report %+v, %v", rep, err)
	}
}

func TestASiteAddsItsOwnRule(t *testing.T) {
	p := mustSite(t, strings.Replace(pack("opposes: [{rule: V9, text: weigh it}]"), "pack: test", "pack: site", 1))
	if len(p.Rules()) != len(shipped(t).Rules())+1 {
		t.Error("the rule was not added")
	}
}

func TestWhatASiteCannotChange(t *testing.T) {
	for _, c := range []struct{ name, site, want string }{
		{"move the dose of vasopressin and not that at which norepinephrine stops", override("rule: V4, thresholds: {second_agent_ug_kg_min: 0.4}"), "set both"},
		{"switch a hazard off", override("rule: V11, off: true"), "locked"},
		{"weaken a hazard", override("rule: H-UNTREATED, effect: information"), "locked"},
		{"switch off what forbids to do nothing at MAP 50", override("rule: V11-ACT, off: true"), "locked"},
		{"make a limit of knowledge a penalty", override("rule: X2, effect: penalty, penalty: 0.1"), "locked"},
		{"switch off the stale MAP", override("rule: X1, off: true"), "locked"},
		{"allow starch", override("rule: F6, effect: warning"), "locked"},
		{"reach a hard limit", override("rule: L02, off: true"), "hard limit"},
		{"change a rule that is not there", override("rule: V99, off: true"), "no loaded pack holds the rule"},
		{"set a threshold beyond its bounds", override("rule: F11, thresholds: {balance_over_ml: 30000}"), "outside 3000 to 10000"},
		{"set a threshold to no number", override("rule: F11, thresholds: {balance_over_ml: .nan}"), "outside"},
		{"set a threshold to infinity", override("rule: F11, thresholds: {balance_over_ml: .inf}"), "outside"},
		{"set a threshold that is not there", override("rule: F11, thresholds: {map_mmhg: 1}"), "no threshold"},
		{"reward a proposal", override("rule: F9, penalty: -3"), "penalty"},
		{"a penalty without bounds", override("rule: F9, penalty: 1000"), "penalty"},
		{"an effect that does not exist", override("rule: F9, effect: allow"), "effect"},
		{"a penalty on the chart alone", override("rule: V9, effect: penalty, penalty: 1"), "proposal"},
		{"nothing at all", override("rule: F9"), "one of both"},
		{"off and on", override("rule: F9, off: true, effect: warning"), "one of both"},
		{"without a reason", "pack: s\nversion: '1'\nsource: x\noverrides:\n  - {rule: F9, off: true, by: me}\n", "reason"},
		{"without a name", "pack: s\nversion: '1'\nsource: x\noverrides:\n  - {rule: F9, off: true, reason: why}\n", "by"},
		{"twice", "pack: s\nversion: '1'\nsource: x\noverrides:\n  - {rule: F9, off: true, reason: why, by: me}\n  - {rule: F9, effect: warning, reason: why, by: me}\n", "already"},
		{"another condition", override("rule: V11, condition: 'false'"), "condition"},
		{"the id of a shipped rule", strings.Replace(pack("id: V11"), "pack: test", "pack: s", 1), "already"},
		{"the id of a hard limit", strings.Replace(pack("id: L05"), "pack: test", "pack: s", 1), "hard limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := withSite(t, c.site)
			if !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rules/site.yaml") {
				t.Errorf("error %v, want one that says %q and names the file", err, c.want)
			}
		})
	}
}

func TestAMistakeNamesItsLine(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"in an expression", pack("condition: 'map_mmhg <'"), "rules/test.yaml:11: rule T1: condition: column 11"},
		{"in the text", pack("text: '{mapp}'"), "rules/test.yaml:7: rule T1: text"},
		{"a key that is missing", pack("source: ''"), "rules/test.yaml:10:"},
		{"in an override", "pack: s\nversion: '1'\nsource: x\noverrides:\n\n  - {rule: F9, off: true, reason: why, by: me}\n", "rules/test.yaml:6:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := load(t, c.yaml); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// hostile is a pack that loads and tries everything that loads: rules that
// contradict the limits, the largest penalties on every way out, silence where
// nothing is known, and every rule that may be switched off switched off.
func hostile(t testing.TB) *Pack {
	t.Helper()
	var b strings.Builder
	b.WriteString("pack: site\nversion: '1'\nsource: here\noverrides:\n")
	for _, r := range shipped(t).Rules() {
		if !r.Locked && !r.Hazard {
			fmt.Fprintf(&b, "  - {rule: %s, off: true, reason: hostile, by: nobody}\n", r.ID)
		}
	}
	b.WriteString("rules:\n")
	for i, condition := range []string{"direction == 'none'", "direction == 'decrease' || direction == 'stop'", "bolus_ml == 0.0", "!raises_vasopressor", "ne_next_ug_kg_min < 3.0"} {
		fmt.Fprintf(&b, "  - {id: EVIL%d, title: x, text: x, strength: x, certainty: x, source: x, condition: \"%s\", effect: penalty, penalty: 5, unassessed: silent}\n", i, condition)
	}
	return mustSite(t, b.String())
}

// TestAHostilePackReachesNoHardLimit: whatever a pack says, a proposal beyond a
// limit is blocked, before and after simulation, and the danger is still shown.
func TestAHostilePackReachesNoHardLimit(t *testing.T) {
	p := hostile(t)
	rapid.Check(t, func(rt *rapid.T) {
		tl := known()
		tl.Present.MAP.Newest.Value = rapid.Float64Range(30, 54).Draw(rt, "map")
		tl.Present.MAP.Newest.AgeMin = rapid.SampledFrom([]float64{5, 119, 121, 700}).Draw(rt, "age")
		tl.Present.VasoKnown = rapid.Bool().Draw(rt, "known")
		prop := &Proposal{Drug: state.DrugNorepinephrine, Direction: DirectionIncrease}
		prop.DrugNowUgKgMin = rapid.Float64Range(0, 0.6).Draw(rt, "now")
		prop.DrugNextUgKgMin = prop.DrugNowUgKgMin + rapid.SampledFrom([]float64{0.0501, 0.2, 3, math.Inf(1)}).Draw(rt, "step")
		prop.NENowUgKgMin, prop.NENextUgKgMin = prop.DrugNowUgKgMin, prop.DrugNextUgKgMin
		prop.BolusMl = rapid.SampledFrom([]float64{0, 250, 500, 501, 4000, -100}).Draw(rt, "bolus")
		for _, fc := range []*world.Forecast{nil, {Support: 1}} {
			got, err := p.Judge(tl, prop, fc)
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.ContainsFunc(got, func(v Verdict) bool { return v.Effect == Block && isLimit(v.ID) }) {
				rt.Fatalf("%+v passed: %+v", prop, got)
			}
		}
		chart, err := p.Judge(tl, nil, nil)
		if err != nil || !slices.ContainsFunc(chart, func(v Verdict) bool { return v.ID == "V11" && v.Hazard }) {
			rt.Fatalf("MAP %.0f untreated and no hazard: %+v, %v", tl.Present.MAP.Newest.Value, chart, err)
		}
	})
}

func TestEveryLimitHoldsUnderTheHostilePack(t *testing.T) {
	for _, l := range HardLimits() {
		if _, err := withSite(t, override("rule: "+l.ID+", off: true")); !errors.Is(err, ErrPack) {
			t.Errorf("%s: %v", l.ID, err)
		}
	}
	if n := len(hostile(t).Rules()); n < 12 {
		t.Errorf("only %d rules are left under the hostile pack", n)
	}
}
