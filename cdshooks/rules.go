// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the part of a card's detail that names the rules which spoke, and
// those of them that pull in different directions.

import (
	"slices"
	"sort"

	"github.com/sepsisagent/sepsisagent/policy"
)

// rules lists what spoke, strongest first, but for what stands under Danger.
func (w writer) rules(p *page) {
	d := w.Outcome.Decision
	list := slices.DeleteFunc(slices.Clone(d.Verdicts), func(v policy.Verdict) bool {
		return v.Effect == policy.NotAssessed || slices.ContainsFunc(d.Hazards, func(h policy.Verdict) bool { return h.ID == v.ID })
	})
	order := map[policy.Effect]int{policy.Block: 0, policy.Warning: 1, policy.Penalty: 2, policy.Info: 3}
	sort.SliceStable(list, func(i, j int) bool { return order[list[i].Effect] < order[list[j].Effect] })
	if len(list) == 0 {
		return
	}
	p.heading("Rules that spoke")
	for _, v := range list {
		p.item("**" + escape(v.ID) + "** (" + escape(string(v.Effect)) + ", " + escape(v.Strength) + "): " + escape(v.Text) + " *" + escape(v.Source) + "*")
	}
}

// conflicts shows rules that pull in different directions: which of them
// matters more at this bed is for the clinician to say.
func (w writer) conflicts(p *page) {
	list := w.Outcome.Decision.Conflicts
	if len(list) == 0 {
		return
	}
	p.heading("Rules that pull in different directions")
	for _, c := range list {
		p.item("**" + escape(c.Rules[0]) + "** and **" + escape(c.Rules[1]) + "**: " + escape(c.Text))
	}
}
