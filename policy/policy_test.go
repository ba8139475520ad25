// SPDX-License-Identifier: Apache-2.0

package policy

// This file: how packs are loaded and refused, what an unknown fact does to a
// rule, and that no pack can widen a hard limit.

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// pack is a valid pack of one rule with one line replaced or added.
func pack(lines ...string) string {
	rule := []string{
		"id: T1", "title: A test", "text: 'MAP {map_mmhg}'", "strength: weak", "certainty: low", "source: here",
		"condition: 'map_mmhg < 65'", "effect: warning",
	}
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		i := slices.IndexFunc(rule, func(have string) bool { return strings.HasPrefix(have, key+":") })
		if i < 0 {
			rule = append(rule, l)
		} else {
			rule[i] = l
		}
	}
	return "pack: test\nversion: '1'\nsource: here\nrules:\n  - " + strings.Join(rule, "\n    ") + "\n"
}

func load(t testing.TB, yaml string) (*Pack, error) {
	t.Helper()
	return Load(fstest.MapFS{"rules/test.yaml": {Data: []byte(yaml)}})
}

func TestAMistakeInAPackIsAnErrorThatNamesFileAndRule(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"an unknown key", pack("colour: red"), "colour"},
		{"an unknown fact", pack("condition: 'map_mmHg < 65'"), "map_mmHg"},
		{"an unknown fact behind known", pack("condition: 'known.cvp && cvp_mmhg > 5'"), `"cvp"`},
		{"a number where a truth is wanted", pack("condition: 'map_mmhg + 1.0'"), "want bool"},
		{"text compared with a number", pack("condition: \"drug < 3\""), "no matching overload"},
		{"broken syntax", pack("condition: 'map_mmhg <'"), "Syntax error"},
		{"a macro", pack("condition: '[1, 2].exists(x, x > 1)'"), "undeclared reference"},
		{"a call into the unknown", pack("condition: 'now() > 1'"), "undeclared reference"},
		{"an unknown effect", pack("effect: forbid"), "effect"},
		{"a penalty without effect penalty", pack("penalty: 1"), "penalty"},
		{"effect penalty without a number", pack("effect: penalty"), "penalty"},
		{"a negative penalty", pack("effect: penalty", "penalty: -1", "condition: 'bolus_ml > 0'"), "penalty"},
		{"a penalty that is not a number", pack("effect: penalty", "penalty: .nan", "condition: 'bolus_ml > 0'"), "penalty"},
		{"a penalty on the chart alone", pack("effect: penalty", "penalty: 1"), "proposal"},
		{"a forecast fact in the present", pack("condition: 'support < 0.1'"), "forecast"},
		{"the chart judged in the future", pack("when: forecast"), "present"},
		{"a blocking hazard", pack("effect: block", "hazard: true"), "hazard"},
		{"a hazard about a proposal", pack("hazard: true", "condition: 'bolus_ml > 0'"), "hazard"},
		{"blocking what cannot be assessed without effect block", pack("unassessed: block"), "unassessed"},
		{"no source", pack("source: ''"), "source"},
		{"an unknown fact in the text", pack("text: '{mapp}'"), "mapp"},
		{"a brace left open", pack("text: '{map_mmhg'"), "{"},
		{"too many decimals", pack("text: '{map_mmhg:9}'"), "decimals"},
		{"a proposal's fact in a chart rule's text", pack("text: '{bolus_ml}'"), "bolus_ml"},
		{"an expression over the length limit", pack("condition: '" + strings.Repeat("map_mmhg < 65 || ", 200) + "true'"), "limit"},
		{"two documents", pack() + "---\npack: other\n", "document"},
		{"no rules", "pack: test\nversion: '1'\nsource: here\n", "0 rules"},
		{"no version", "pack: test\nsource: here\nrules: []\n", "version"},
		{"nothing", "", "EOF"},
		{"the same id twice", pack() + strings.TrimPrefix(pack(), "pack: test\nversion: '1'\nsource: here\nrules:\n"), "already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.yaml)
			if !errors.Is(err, ErrPack) {
				t.Fatalf("error %v, want ErrPack", err)
			}
			if !strings.Contains(err.Error(), "rules/test.yaml") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q names neither the file nor %q", err, c.want)
			}
		})
	}
}

func TestADirectoryWithoutRulesIsAnError(t *testing.T) {
	if _, err := Load(fstest.MapFS{}); !errors.Is(err, ErrPack) {
		t.Errorf("error %v", err)
	}
}

func TestTheHashFollowsEveryByteOfEveryFile(t *testing.T) {
	a, err := load(t, pack())
	if err != nil {
		t.Fatal(err)
	}
	b, err := load(t, pack()+"# a comment\n")
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash() == b.Hash() || len(a.Hash()) != 64 {
		t.Errorf("hashes %s, %s", a.Hash(), b.Hash())
	}
}

// bare is a timeline on which nothing is known but the goal.
func bare() *state.Timeline {
	tl := &state.Timeline{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Steps: make([]state.Step, state.MaxSteps)}
	tl.Present.MAP.GoalMmHg = 65
	return tl
}

// known is a timeline on which everything that limits read is in order, with
// MAP below goal.
func known() *state.Timeline {
	tl := bare()
	tl.Present.MAP.Newest = &state.Reading{Concept: "meanbp", Value: 58, AgeMin: 5}
	tl.Present.VasoKnown, tl.Present.Fluids.Known = true, true
	tl.Present.Weight = state.Weight{Kg: 80, Known: true}
	return tl
}

func TestAnUnknownFactIsNeverReadAsZero(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  Effect // "" is silence
	}{
		{"a warning about an unknown MAP is not assessed", []string{"condition: 'map_mmhg < 65'"}, NotAssessed},
		{"a block that cannot be assessed blocks", []string{"condition: 'lactate_mmol_l > 4.0'", "effect: block"}, Block},
		{"unless its author says to note it", []string{"condition: 'lactate_mmol_l > 4.0'", "effect: block", "unassessed: note"}, NotAssessed},
		{"or that its absence is the ordinary case", []string{"condition: 'cvp_mmhg > 15.0'", "unassessed: silent"}, ""},
		{"what is known can decide without it", []string{"condition: 'map_goal_mmhg == 65.0 || map_mmhg < 65'"}, Warning},
		{"or decide against", []string{"condition: 'map_goal_mmhg == 70.0 && map_mmhg < 65'"}, ""},
		{"a rule can ask whether a fact is known", []string{"condition: '!known.map_mmhg'"}, Warning},
		{"an unknown applicability is not assessed", []string{"condition: 'map_goal_mmhg > 0'", "applies: 'cirrhosis'"}, NotAssessed},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := load(t, pack(c.lines...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Judge(bare(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(got) != 0 {
					t.Errorf("got %+v, want silence", got)
				}
				return
			}
			if len(got) != 1 || got[0].Effect != c.want {
				t.Fatalf("got %+v, want %s", got, c.want)
			}
			if unknown := c.want == NotAssessed || c.want == Block; unknown && len(got[0].Missing) == 0 {
				t.Error("it does not name what is missing")
			}
		})
	}
}

func TestAVerdictCarriesTheValuesThatMadeItTrue(t *testing.T) {
	p, err := load(t, pack("text: 'MAP {map_mmhg:1} below {map_goal_mmhg}'", "condition: 'map_mmhg < map_goal_mmhg'"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Judge(known(), nil, nil)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	v := got[0]
	if v.Text != "MAP 58.0 below 65" || v.Values["map_mmhg"] != 58 || v.Values["map_goal_mmhg"] != 65 || v.Pack != "test@1" || v.Source != "here" {
		t.Errorf("verdict %+v", v)
	}
}

// TestACostLimitEndsAnExpensiveExpression: an expression that was cheap by
// estimate ends in an error, not in a verdict, over a fact that nobody expected.
func TestACostLimitEndsAnExpensiveExpression(t *testing.T) {
	p, err := load(t, pack("condition: \"drug.contains('starch')\""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Judge(known(), &Proposal{Direction: DirectionNone, Drug: state.Drug(strings.Repeat("a", 100000))}, nil); !errors.Is(err, ErrJudge) {
		t.Errorf("error %v, want ErrJudge", err)
	}
}

func TestAForecastWithoutItsProposalIsAnError(t *testing.T) {
	p := shipped(t)
	if _, err := p.Judge(known(), nil, &world.Forecast{}); !errors.Is(err, ErrJudge) {
		t.Errorf("error %v", err)
	}
	if _, err := p.Judge(nil, nil, nil); !errors.Is(err, ErrJudge) {
		t.Errorf("error %v", err)
	}
}

func TestHardLimits(t *testing.T) {
	raise := func() Proposal {
		return Proposal{
			Direction: DirectionIncrease, Drug: state.DrugNorepinephrine, NENowUgKgMin: 0.1, NENextUgKgMin: 0.12,
			DrugNowUgKgMin: 0.1, DrugNextUgKgMin: 0.12,
		}
	}
	for _, c := range []struct {
		name   string
		change func(tl *state.Timeline, p *Proposal)
		want   string // "" is none
	}{
		{"a small raise below goal", func(*state.Timeline, *Proposal) {}, ""},
		{"a first step of 0.05", func(_ *state.Timeline, p *Proposal) { p.DrugNextUgKgMin, p.NENextUgKgMin = 0.1+0.05, 0.1+0.05 }, ""},
		{"a first step of 0.06", func(_ *state.Timeline, p *Proposal) { p.DrugNextUgKgMin, p.NENextUgKgMin = 0.16, 0.16 }, "L02"},
		{"a stop from 0.2", func(_ *state.Timeline, p *Proposal) {
			*p = Proposal{Direction: DirectionStop, Drug: state.DrugNorepinephrine, NENowUgKgMin: 0.2, DrugNowUgKgMin: 0.2}
		}, "L02"},
		{"a raise to 0.52", func(_ *state.Timeline, p *Proposal) {
			p.DrugNowUgKgMin, p.DrugNextUgKgMin, p.NENowUgKgMin, p.NENextUgKgMin = 0.5, 0.52, 0.5, 0.52
		}, "L03"},
		{"a litre", func(_ *state.Timeline, p *Proposal) { p.BolusMl = 1000 }, "L04"},
		{"100 mL", func(_ *state.Timeline, p *Proposal) { p.BolusMl = 100 }, "L04"},
		{"500 mL", func(_ *state.Timeline, p *Proposal) { p.BolusMl = 500 }, ""},
		{"vasopressin at 0.04", func(_ *state.Timeline, p *Proposal) {
			*p = Proposal{Direction: DirectionAdd, Drug: state.DrugVasopressin, VasopressinUMin: 0.04, NENowUgKgMin: 0.3, NENextUgKgMin: 0.4}
		}, "L05"},
		{"an unknown vasopressor exposure", func(tl *state.Timeline, _ *Proposal) { tl.Present.VasoKnown = false }, "L06"},
		{"an unknown fluid exposure", func(tl *state.Timeline, p *Proposal) { p.BolusMl, tl.Present.Fluids.Known = 250, false }, "L07"},
		{"volume with heart failure", func(tl *state.Timeline, p *Proposal) {
			p.BolusMl = 250
			tl.Present.Checks = []state.Check{{Key: state.CheckHeartFailure, Result: state.CheckPresent}}
		}, "L08"},
		{"weights in conflict, rate per minute", func(tl *state.Timeline, _ *Proposal) { tl.Present.Weight.Conflict = "80 and 176" }, "L09"},
		{"weights in conflict, rate charted per kg", func(tl *state.Timeline, _ *Proposal) {
			tl.Present.Weight.Conflict = "80 and 176"
			tl.Present.Agents = []state.Agent{{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: state.AgentRunning, Rate: 0.1, RateUnit: state.UnitUgKgMin}}
		}, ""},
		{"a MAP of two and a half hours ago", func(tl *state.Timeline, _ *Proposal) { tl.Present.MAP.Newest.AgeMin = 150 }, "L10"},
		{"line and cuff disagree", func(tl *state.Timeline, _ *Proposal) { tl.Present.MAP.Disagree = true }, "L10"},
		{"MAP above goal", func(tl *state.Timeline, _ *Proposal) { tl.Present.MAP.Newest.Value = 70 }, "L11"},
		{"dopamine", func(_ *state.Timeline, p *Proposal) { p.Drug = state.DrugDopamine }, "L12"},
		{"a rate that is not a number", func(_ *state.Timeline, p *Proposal) { p.DrugNextUgKgMin = math.NaN() }, "L01"},
		{"a negative rate", func(_ *state.Timeline, p *Proposal) { p.NENowUgKgMin = -1 }, "L01"},
		{"an unknown direction", func(_ *state.Timeline, p *Proposal) { p.Direction = "double" }, "L01"},
		{"no change that changes", func(_ *state.Timeline, p *Proposal) { p.Direction = DirectionNone }, "L01"},
		{"a decrease that raises", func(_ *state.Timeline, p *Proposal) { p.Direction = DirectionDecrease }, "L01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl, p := known(), raise()
			c.change(tl, &p)
			var got []string
			for _, v := range Limits(tl, &p) {
				if v.Effect != Block {
					t.Errorf("%s does not block", v.ID)
				}
				got = append(got, v.ID)
			}
			if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
				t.Errorf("limits %v, want %q", got, c.want)
			}
		})
	}
}

// TestNoPackWidensAHardLimit: whatever rules are loaded, a proposal over a
// limit is blocked, with and without a forecast.
func TestNoPackWidensAHardLimit(t *testing.T) {
	permissive, err := load(t, pack("condition: 'bolus_ml < 0'", "text: none"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		step := rapid.Float64Range(0.0501, 3).Draw(rt, "step")
		p := &Proposal{Direction: DirectionIncrease, Drug: state.DrugNorepinephrine, NENextUgKgMin: step, DrugNextUgKgMin: step}
		for _, fc := range []*world.Forecast{nil, {}} {
			got, err := permissive.Judge(known(), p, fc)
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.ContainsFunc(got, func(v Verdict) bool { return v.Effect == Block && v.ID == "L02" }) {
				rt.Fatalf("a step of %g passed: %+v", step, got)
			}
		}
	})
}

func TestEveryFactIsDocumentedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Facts() {
		if f.Doc == "" || seen[f.Name] {
			t.Errorf("fact %s: doc %q, twice %v", f.Name, f.Doc, seen[f.Name])
		}
		seen[f.Name] = true
	}
	if len(seen) != len(factByName) || seen[knownVar] {
		t.Errorf("%d facts, %d names", len(seen), len(factByName))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(pack()))
	f.Add([]byte(pack("condition: '[[[['")))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte(fmt.Sprintf("pack: x\nversion: y\nsource: z\nrules: [%s]", strings.Repeat("{id: a},", 10))))
	f.Add([]byte(pack("thresholds: {low_mmhg: {value: 61, min: 60, max: 65}}", "condition: 'map_mmhg < low_mmhg ? known.cvp_mmhg : !(cvp_mmhg > 5.0)'", "applies: 'map_goal_ordered'",
		"given: {map_mmhg: 50}", "cases: [{name: a, facts: {map_mmhg: null}, want: unknown}]", "opposes: [{rule: T1, text: no}]")))
	f.Add([]byte(pack() + "overrides: [{rule: T1, thresholds: {}, effect: block, reason: a, by: b, cases: [{name: c, want: fires}]}]\n"))
	f.Add([]byte(pack() + "restates: [{rule: T1, statement: a, strength: b}]\noverrides: [{rule: T1, off: true, reason: a, by: b}]\n"))
	tl := known()
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := load(t, string(data))
		if err != nil {
			if !errors.Is(err, ErrPack) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if _, err := p.Judge(tl, nil, nil); err != nil && !errors.Is(err, ErrJudge) {
			t.Fatalf("error of another kind: %v", err)
		}
		if _, err := p.Test(); err != nil && !errors.Is(err, ErrPack) {
			t.Fatalf("error of another kind: %v", err)
		}
	})
}
