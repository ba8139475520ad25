// SPDX-License-Identifier: Apache-2.0

package policy

// This file: rules that pull in different directions. A conflict between two
// recommendations is a fact that the clinician has to weigh; it is shown, never
// settled by the order in which rules are asked.

import (
	"cmp"
	"slices"
)

// Opposition is a rule's statement that another one pulls the other way.
type Opposition struct {
	Rule string `yaml:"rule" json:"rule"`
	Text string `yaml:"text" json:"text"` // what to make of it when both speak
}

// Conflict is two rules that both speak and pull in different directions.
type Conflict struct {
	Rules [2]string `json:"rules"`
	Text  string    `json:"text"`
}

// Conflicts lists the pairs of rules that both speak somewhere in the sets and
// oppose each other, sorted. Give it all the verdicts of one decision: on the
// chart, and on every option, because one rule may speak against doing what
// another speaks against leaving. Rules that could not be assessed do not speak.
func Conflicts(sets ...[]Verdict) []Conflict {
	speaks := map[string]bool{}
	for _, set := range sets {
		for _, v := range set {
			speaks[v.ID] = speaks[v.ID] || v.spoke()
		}
	}
	var out []Conflict
	seen := map[[2]string]bool{}
	for _, set := range sets {
		for _, v := range set {
			for _, o := range v.Opposes {
				pair := [2]string{v.ID, o.Rule}
				if pair[1] < pair[0] {
					pair[0], pair[1] = pair[1], pair[0]
				}
				if v.spoke() && speaks[o.Rule] && !seen[pair] {
					seen[pair] = true
					out = append(out, Conflict{Rules: pair, Text: o.Text})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Rules[0], b.Rules[0]), cmp.Compare(a.Rules[1], b.Rules[1]))
	})
	return out
}

// spoke reports whether the rule found its condition true: neither one that
// could not be assessed nor a block that only failed closed has.
func (v *Verdict) spoke() bool { return v.Effect != NotAssessed && len(v.Missing) == 0 }
