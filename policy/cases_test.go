// SPDX-License-Identifier: Apache-2.0

package policy

// This file: that the test runner and the linter find what they are for.

import (
	"strings"
	"testing"
)

func TestTheLinterFinds(t *testing.T) {
	good := "cases: [{name: low, facts: {map_mmhg: 50}, want: fires}, {name: high, facts: {map_mmhg: 80}, want: silent}]"
	text := "text: 'MAP {map_mmhg} mmHg'"
	for _, c := range []struct {
		name  string
		lines []string
		want  string // "" finds nothing
	}{
		{"nothing in a good rule", []string{text, good}, ""},
		{"a rule whose cases never fire", []string{text, "cases: [{name: high, facts: {map_mmhg: 80}, want: silent}]"}, "case in which it fires"},
		{"two cases of one name", []string{text, "cases: [{name: a, facts: {map_mmhg: 50}, want: fires}, {name: a, facts: {map_mmhg: 80}, want: silent}]"}, "two cases"},
		{"a block without a reason", []string{text, good, "effect: block"}, "hard_reason"},
		{"a value without its unit", []string{"text: 'MAP {map_mmhg}'", good}, "without mmHg"},
		{"a word that a card never says", []string{"text: 'MAP {map_mmhg} mmHg is safe'", good}, "safe"},
		{"a pressure in kPa", []string{text, "condition: 'map_mmhg < 650'", good}, "another unit"},
		{"a rule that reads nothing", []string{"text: always", "condition: 'true'", "cases: [{name: a, want: fires}]"}, "reads no fact"},
		{"a threshold that nothing reads", []string{text, good, "thresholds: {other_mmhg: {value: 1, min: 0, max: 2}}"}, "reads its threshold"},
		{"a threshold without a unit", []string{text, good, "condition: 'map_mmhg < low'", "thresholds: {low: {value: 60, min: 50, max: 65}}"}, "does not end in a unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := load(t, pack(c.lines...))
			if err != nil {
				t.Fatal(err)
			}
			rep, err := p.Test()
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, f := range rep.Findings {
				found = append(found, f.String())
			}
			all := strings.Join(found, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) || c.want != "" && (rep.OK() || !strings.Contains(all, "rules/test.yaml:5: rule T1: ")) {
				t.Errorf("found %q, want %q", all, c.want)
			}
		})
	}
}

func TestABranchThatNoCaseTakesIsReported(t *testing.T) {
	p, err := load(t, pack("text: x", "applies: 'map_goal_ordered'", "condition: 'map_mmhg < 60.0 || lactate_mmol_l > 4.0'",
		"cases: [{name: a, facts: {map_goal_ordered: true, map_mmhg: 50}, want: fires}, {name: b, facts: {map_goal_ordered: false, map_mmhg: 70}, want: silent}]"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := p.Test()
	if err != nil {
		t.Fatal(err)
	}
	want := []Branch{
		{"rules/test.yaml:5", "T1", "condition", "map_mmhg < 60.0", false}, // the case in which it is false is not asked: applies is false
		{"rules/test.yaml:5", "T1", "condition", "lactate_mmol_l > 4.0", false},
		{"rules/test.yaml:5", "T1", "condition", "lactate_mmol_l > 4.0", true},
	}
	if len(rep.Uncovered) != 3 || rep.Uncovered[0] != want[0] || rep.Uncovered[1] != want[1] || rep.Uncovered[2] != want[2] || rep.Branches != 6 || rep.Covered != 3 || rep.Percent() != 50 || rep.OK() {
		t.Errorf("report %+v", rep)
	}
}

func TestAnExpensiveExpressionIsRefusedBeforeItRuns(t *testing.T) {
	_, err := load(t, pack("condition: \"(drug + drug + drug + drug).matches('"+strings.Repeat("(a|aa)+", 200)+"$')\""))
	if err == nil || !strings.Contains(err.Error(), "estimated cost") {
		t.Errorf("error %v", err)
	}
}

func TestTheShippedExpressionsAreCheap(t *testing.T) {
	for _, c := range shipped(t).rules {
		if c.condition.cost > 100 || c.applies != nil && c.applies.cost > 100 {
			t.Errorf("rule %s is estimated at %d", c.ID, c.condition.cost)
		}
	}
}
