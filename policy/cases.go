// SPDX-License-Identifier: Apache-2.0

package policy

// This file: running the test cases that stand beside each rule, and counting
// which branches of its expressions they took. Every comparison and flag must
// have been seen true and seen false, each time where it was CEL's to ask: the
// right side of an and whose left side is false decides nothing and does not
// count.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Report is the result of running every rule's test cases.
type Report struct {
	Rules     int       `json:"rules"`
	Cases     int       `json:"cases"`
	Branches  int       `json:"branches"` // two for each comparison and flag
	Covered   int       `json:"covered"`
	Failures  []Failure `json:"failures,omitempty"`
	Uncovered []Branch  `json:"uncovered,omitempty"`
	Findings  []Finding `json:"findings,omitempty"` // of the linter
}

// Failure is one test case that came out otherwise.
type Failure struct {
	At   string `json:"at"` // file:line of the rule
	Rule string `json:"rule"`
	Case string `json:"case"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// Branch is one outcome of one sub-expression that no case showed.
type Branch struct {
	At         string `json:"at"`
	Rule       string `json:"rule"`
	In         string `json:"in"` // "applies" or "condition"
	Expression string `json:"expression"`
	Never      bool   `json:"never"` // the value it never had
}

// OK reports whether every case held, every branch was taken and the linter
// found nothing.
func (r Report) OK() bool {
	return len(r.Failures) == 0 && len(r.Uncovered) == 0 && len(r.Findings) == 0
}

// Percent is the share of branches that the cases took.
func (r Report) Percent() float64 {
	if r.Branches == 0 {
		return 100
	}
	return 100 * float64(r.Covered) / float64(r.Branches)
}

// Test runs the cases of every rule and the linter. The error (wrapping
// ErrPack) is about a case that cannot be run: an unknown fact, or a value of
// the wrong type.
func (p *Pack) Test() (Report, error) {
	var rep Report
	for _, c := range p.rules {
		rep.Rules++
		seen := map[*expression]map[int64][2]bool{}
		wants := map[string]bool{}
		for _, tc := range c.Cases {
			rep.Cases++
			got, err := c.try(tc, seen)
			if err != nil {
				return rep, fmt.Errorf("%w: %s: rule %s: case %q: %w", ErrPack, c.at, c.ID, tc.Name, err)
			}
			wants[tc.Want] = true
			if got != tc.Want {
				rep.Failures = append(rep.Failures, Failure{At: c.at, Rule: c.ID, Case: tc.Name, Want: tc.Want, Got: got})
			}
		}
		rep.cover(c, "applies", c.applies, seen)
		rep.cover(c, "condition", c.condition, seen)
		rep.Findings = append(rep.Findings, c.lint(wants)...)
	}
	return rep, nil
}

// cover counts the branches of one expression.
func (r *Report) cover(c *compiled, in string, x *expression, seen map[*expression]map[int64][2]bool) {
	if x == nil {
		return
	}
	for _, l := range x.leaves {
		took := seen[x][l.id]
		for i, value := range []bool{false, true} {
			r.Branches++
			if took[i] {
				r.Covered++
				continue
			}
			r.Uncovered = append(r.Uncovered, Branch{At: c.at, Rule: c.ID, In: in, Expression: l.text, Never: value})
		}
	}
}

var errNotRead = errors.New("not read by the rule")

// try runs one case and notes which branches it took.
func (c *compiled) try(tc Case, seen map[*expression]map[int64][2]bool) (string, error) {
	facts := make(map[string]any, len(c.Given)+len(tc.Facts))
	maps.Copy(facts, c.Given)
	maps.Copy(facts, tc.Facts)
	got := make(map[string]any, len(facts))
	for name, v := range facts {
		f := factByName[name]
		if f == nil {
			return "", fmt.Errorf("%w %q (hint: did you mean %s?)", errUnknownFact, name, nearestFact(name))
		}
		if !slices.Contains(c.facts, f) {
			return "", fmt.Errorf("fact %q is %w", name, errNotRead)
		}
		if v == nil {
			continue // known to be unknown
		}
		typed, err := f.typed(v)
		if err != nil {
			return "", err
		}
		got[name] = typed
	}
	v := newValues(got)
	a, _, err := c.ask(v)
	if err != nil {
		return "", err
	}
	if err := c.trace(v, seen); err != nil {
		return "", err
	}
	return [...]string{no: WantSilent, isTrue: WantFires, isUnknown: WantUnknown}[a], nil
}

// trace notes what every leaf came to that was asked.
func (c *compiled) trace(v *values, seen map[*expression]map[int64][2]bool) error {
	for _, x := range []*expression{c.applies, c.condition} {
		if x == nil {
			continue
		}
		a, details, err := eval(x.tracked, v)
		if err != nil {
			return err
		}
		if seen[x] == nil {
			seen[x] = map[int64][2]bool{}
		}
		for _, l := range x.leaves {
			if holds, ok := truth(details.State(), l.id); ok {
				took := seen[x][l.id]
				if holds {
					took[1] = true
				} else {
					took[0] = true
				}
				seen[x][l.id] = took
			}
		}
		if x == c.applies && a != isTrue {
			return nil
		}
	}
	return nil
}

// typed turns a YAML value into the fact's type.
func (f *fact) typed(v any) (any, error) {
	switch x := v.(type) {
	case int:
		if f.kind == number {
			return float64(x), nil
		}
	case float64:
		if f.kind == number {
			return x, nil
		}
	case bool:
		if f.kind == flag {
			return x, nil
		}
	case string:
		if f.kind == word {
			return x, nil
		}
	}
	return nil, fmt.Errorf("fact %s: %v (%T) is not a %s", f.name, v, v, [...]string{number: "number", flag: "flag", word: "text"}[f.kind])
}
