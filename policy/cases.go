// SPDX-License-Identifier: Apache-2.0

package policy

// This file: running the test cases that stand beside each rule.

import (
	"fmt"
	"slices"
)

// Report is the result of running every rule's test cases.
type Report struct {
	Rules     int       `json:"rules"`
	Cases     int       `json:"cases"`
	Failures  []Failure `json:"failures,omitempty"`
	Uncovered []string  `json:"uncovered,omitempty"` // rules without a firing and a silent case
}

// Failure is one test case that came out otherwise.
type Failure struct {
	Rule string `json:"rule"`
	Case string `json:"case"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// OK reports whether every case held and every rule has a firing and a silent one.
func (r Report) OK() bool { return len(r.Failures) == 0 && len(r.Uncovered) == 0 }

// Test runs the cases of every rule. The error (wrapping ErrPack) is about a
// case that cannot be run: an unknown fact, or a value of the wrong type.
func (p *Pack) Test() (Report, error) {
	var rep Report
	for _, c := range p.rules {
		rep.Rules++
		seen := map[string]bool{}
		for _, tc := range c.Cases {
			rep.Cases++
			got, err := c.try(tc)
			if err != nil {
				return rep, fmt.Errorf("%w: rule %s: case %q: %w", ErrPack, c.ID, tc.Name, err)
			}
			seen[tc.Want] = true
			if got != tc.Want {
				rep.Failures = append(rep.Failures, Failure{Rule: c.ID, Case: tc.Name, Want: tc.Want, Got: got})
			}
		}
		if !seen[WantFires] || !seen[WantSilent] {
			rep.Uncovered = append(rep.Uncovered, c.ID)
		}
	}
	return rep, nil
}

func (c *compiled) try(tc Case) (string, error) {
	got := make(map[string]any, len(tc.Facts))
	for name, v := range tc.Facts {
		f := factByName[name]
		if f == nil {
			return "", fmt.Errorf("%w %q", errUnknownFact, name)
		}
		if !slices.Contains(c.facts, f) {
			return "", fmt.Errorf("fact %q is not read by the rule", name)
		}
		typed, err := f.typed(v)
		if err != nil {
			return "", err
		}
		got[name] = typed
	}
	a, err := c.ask(newValues(got))
	if err != nil {
		return "", err
	}
	return [...]string{no: WantSilent, isTrue: WantFires, isUnknown: WantUnknown}[a], nil
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
