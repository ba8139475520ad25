// SPDX-License-Identifier: Apache-2.0

package policy

// This file: a verdict explains itself: the sub-expressions it names are enough
// to make the condition true, whatever the others are; and rules that oppose
// each other are reported when both speak.

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"pgregory.net/rapid"
)

func TestAVerdictNamesTheSubExpressionsThatMadeItTrue(t *testing.T) {
	for _, c := range []struct {
		name, condition string
		want            []Because
	}{
		{"a comparison of two facts", "map_mmhg < map_goal_mmhg", []Because{{"map_mmhg < map_goal_mmhg", true, "58 < 65"}}},
		{"a sum", "map_mmhg < map_goal_mmhg - 5.0", []Because{{"map_mmhg < map_goal_mmhg - 5.0", true, "58 < 60"}}},
		{"all of an and", "map_mmhg < 60.0 && !map_goal_ordered", []Because{{"map_mmhg < 60.0", true, "58 < 60"}, {"map_goal_ordered", false, "false"}}},
		{"the true one of an or", "map_mmhg > 60.0 || map_goal_mmhg == 65.0", []Because{{"map_goal_mmhg == 65.0", true, "65 == 65"}}},
		{"not the unknown one of an or", "lactate_mmol_l > 2.0 || map_mmhg < 60.0", []Because{{"map_mmhg < 60.0", true, "58 < 60"}}},
		{"the false ones of a negated or", "!(map_mmhg > 60.0 || map_goal_ordered)", []Because{{"map_mmhg > 60.0", false, "58 > 60"}, {"map_goal_ordered", false, "false"}}},
		{"one false side of a negated and", "!(known.lactate_mmol_l && lactate_mmol_l > 2.0)", []Because{{"known.lactate_mmol_l", false, "false"}}},
		{"a choice", "map_goal_ordered ? map_mmhg < 50.0 : map_mmhg < 60.0", []Because{{"map_goal_ordered", false, "false"}, {"map_mmhg < 60.0", true, "58 < 60"}}},
		{"a threshold by its value", "map_mmhg < low_mmhg", []Because{{"map_mmhg < 61.0", true, "58 < 61"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := load(t, pack("condition: \""+c.condition+"\"", "thresholds: {low_mmhg: {value: 61, min: 60, max: 65}}"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Judge(known(), nil, nil)
			if err != nil || len(got) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if !reflect.DeepEqual(got[0].Because, c.want) {
				t.Errorf("because %+v, want %+v", got[0].Because, c.want)
			}
		})
	}
}

// onlyNamed is what was evaluated, without the leaves that were not named.
type onlyNamed struct {
	interpreter.EvalState
	keep map[int64]bool
}

func (s onlyNamed) Value(id int64) (ref.Val, bool) {
	if !s.keep[id] {
		return nil, false
	}
	return s.EvalState.Value(id)
}

// TestWhatAVerdictNamesIsEnough takes every shipped rule over random facts: the
// tracked walk agrees with CEL, and where the rule speaks, the named leaves
// alone make its condition true.
func TestWhatAVerdictNamesIsEnough(t *testing.T) {
	p := shipped(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(p.rules).Draw(rt, "rule")
		v := newValues(drawFacts(rt, c))
		v.about(c.facts)
		a, details, err := eval(c.condition.tracked, v)
		if err != nil {
			rt.Fatal(err)
		}
		root := c.condition.checked.NativeRep().Expr()
		holds, ok := came(root, details.State())
		if ok != (a != isUnknown) || ok && holds != (a == isTrue) {
			rt.Fatalf("rule %s: CEL says %d, the walk %v, %v", c.ID, a, holds, ok)
		}
		if a != isTrue {
			return
		}
		keep := map[int64]bool{}
		decisive(root, details.State(), keep)
		if enough, ok := came(root, onlyNamed{details.State(), keep}); !ok || !enough {
			rt.Fatalf("rule %s: the named leaves do not decide it", c.ID)
		}
		why, err := c.condition.because(v)
		if err != nil || len(why) == 0 || slices.ContainsFunc(why, func(b Because) bool { return strings.Contains(b.Values, "unknown") }) {
			rt.Fatalf("rule %s: because %+v, %v", c.ID, why, err)
		}
	})
}

// drawFacts takes each fact of a rule from the values of its cases, or leaves
// it unknown, so that conditions come out both ways often.
func drawFacts(rt *rapid.T, c *compiled) map[string]any {
	got := map[string]any{}
	for _, f := range c.facts {
		choices := []any{nil}
		for _, tc := range c.Cases {
			for _, facts := range []map[string]any{c.Given, tc.Facts} {
				if v, ok := facts[f.name]; ok && v != nil {
					typed, err := f.typed(v)
					if err != nil {
						rt.Fatal(err)
					}
					choices = append(choices, typed)
				}
			}
		}
		if v := choices[rapid.IntRange(0, len(choices)-1).Draw(rt, f.name)]; v != nil {
			got[f.name] = v
		}
	}
	return got
}

func TestConflictsAreShown(t *testing.T) {
	speak := func(id string, opposes ...string) Verdict {
		v := Verdict{ID: id, Effect: Info}
		for _, o := range opposes {
			v.Opposes = append(v.Opposes, Opposition{Rule: o, Text: id + " against " + o})
		}
		return v
	}
	unassessed := speak("V2")
	unassessed.Effect, unassessed.Missing = NotAssessed, []string{"age_years"}
	failedClosed := speak("F11")
	failedClosed.Effect, failedClosed.Missing = Block, []string{"balance_ml"}
	for _, c := range []struct {
		name string
		sets [][]Verdict
		want []Conflict
	}{
		{"both speak of one option", [][]Verdict{{speak("F1", "F11"), speak("F11")}}, []Conflict{{[2]string{"F1", "F11"}, "F1 against F11"}}},
		{"each speaks of another option", [][]Verdict{{speak("F1", "F11")}, {speak("F11")}}, []Conflict{{[2]string{"F1", "F11"}, "F1 against F11"}}},
		{"said twice is shown once", [][]Verdict{{speak("V1", "V2")}, {speak("V2", "V1"), speak("V1", "V2")}}, []Conflict{{[2]string{"V1", "V2"}, "V1 against V2"}}},
		{"only one speaks", [][]Verdict{{speak("F1", "F11")}}, nil},
		{"the other could not be assessed", [][]Verdict{{speak("V1", "V2"), unassessed}}, nil},
		{"the other only failed closed", [][]Verdict{{speak("F1", "F11"), failedClosed}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Conflicts(c.sets...); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestTheConflictsOfTheTableAreDeclared(t *testing.T) {
	declared := map[[2]string]bool{}
	for _, r := range shipped(t).Rules() {
		for _, o := range r.Opposes {
			declared[[2]string{r.ID, o.Rule}] = true
		}
	}
	for _, pair := range [][2]string{{"F1", "F11"}, {"V1", "V2"}, {"V8", "F4"}, {"V8", "F5"}} {
		if !declared[pair] {
			t.Errorf("%s against %s is not declared (reference section 6)", pair[0], pair[1])
		}
	}
}
