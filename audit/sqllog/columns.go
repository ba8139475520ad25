// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the one list that says which field of an index lies in which column
// of the table entry. The stored index bytes are what the tree commits to; the
// columns only make them findable, and Verify compares the two.

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

// column is one searchable field of audit.Index: a string or an int64.
type column struct {
	name string
	of   func(audit.Index) any
	want func(audit.Filter) string // "" does not select; nil: not by equality
}

var columns = []column{
	{"kind", func(x audit.Index) any { return x.Kind }, func(f audit.Filter) string { return f.Kind }},
	{"client", func(x audit.Index) any { return x.Client }, func(f audit.Filter) string { return f.Client }},
	{"request", func(x audit.Index) any { return x.RequestID }, func(f audit.Filter) string { return f.RequestID }},
	{"hook_instance", func(x audit.Index) any { return x.HookInstance }, func(f audit.Filter) string { return f.HookInstance }},
	{"service", func(x audit.Index) any { return x.Service }, func(f audit.Filter) string { return f.Service }},
	{"user", func(x audit.Index) any { return x.User }, func(f audit.Filter) string { return f.User }},
	{"patient", func(x audit.Index) any { return x.Patient }, func(f audit.Filter) string { return f.Patient }},
	{"encounter", func(x audit.Index) any { return x.Encounter }, func(f audit.Filter) string { return f.Encounter }},
	{"unit", func(x audit.Index) any { return x.Unit }, func(f audit.Filter) string { return f.Unit }},
	{"status", func(x audit.Index) any { return x.Status }, func(f audit.Filter) string { return f.Status }},
	{"http", func(x audit.Index) any { return int64(x.HTTP) }, nil},
	{"display", func(x audit.Index) any { return x.Display }, func(f audit.Filter) string { return f.Display }},
	{"topic", func(x audit.Index) any { return x.Topic }, func(f audit.Filter) string { return f.Topic }},
	{"shown", func(x audit.Index) any { return boolean(x.Shown) }, nil},
	{"evidence", func(x audit.Index) any { return x.Evidence }, nil},
	{"model", func(x audit.Index) any { return x.Model }, func(f audit.Filter) string { return f.Model }},
	{"rules_hash", func(x audit.Index) any { return x.RulesHash }, func(f audit.Filter) string { return f.RulesHash }},
	{"code_maps", func(x audit.Index) any { return x.CodeMaps }, func(f audit.Filter) string { return f.CodeMaps }},
	{"refers", func(x audit.Index) any { return x.Refers }, func(f audit.Filter) string { return f.Refers }},
	{"outcome", func(x audit.Index) any { return x.Outcome }, func(f audit.Filter) string { return f.Outcome }},
}

// term is one searchable field of audit.Index that has several values.
type term struct {
	name string
	of   func(audit.Index) []string
	want func(audit.Filter) string
}

var terms = []term{
	{"reason", func(x audit.Index) []string { return x.Reasons }, func(f audit.Filter) string { return f.Reason }},
	{"drug", func(x audit.Index) []string { return x.Drugs }, func(f audit.Filter) string { return f.Drug }},
	{"rule", func(x audit.Index) []string { return x.Rules }, func(f audit.Filter) string { return f.Rule }},
	{"card", func(x audit.Index) []string { return x.Cards }, func(f audit.Filter) string { return f.Card }},
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// value is what is stored in the column for an entry.
func (d Dialect) value(c column, ix audit.Index) any {
	v := c.of(ix)
	if s, ok := v.(string); ok {
		return d.Text(s)
	}
	return v
}

// quoted is the column's name in a query: one of them is a key word.
func (c column) quoted() string { return `"` + c.name + `"` }

// termsOf are the search terms of an entry, each once.
func (d Dialect) termsOf(ix audit.Index) [][2]string {
	var out [][2]string
	for _, t := range terms {
		for _, v := range t.of(ix) {
			out = append(out, [2]string{t.name, d.Text(v)})
		}
	}
	slices.SortFunc(out, byKindAndValue)
	return slices.Compact(out)
}

func byKindAndValue(a, b [2]string) int {
	return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
}
