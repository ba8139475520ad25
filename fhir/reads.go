// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: which resource types a chart is read from, for whoever has to
// grant them: the scopes of our own access are made from this.

import (
	"net/url"
	"slices"
	"strings"
)

// includeTargets are the types that an _include brings, by its parameter.
var includeTargets = map[string]string{
	"medication": "Medication", "location": "Location", "specimen": "Specimen",
}

// Reads lists the resource types that the templates ask for, sorted: need are
// those without which no decision is made, want are the others, with those
// that come along by _include.
func Reads(templates map[string]string) (need, want []string) {
	for _, w := range wishes {
		template, asked := templates[w.key]
		if !asked {
			continue
		}
		if w.necessary {
			need = append(need, w.kind)
		} else {
			want = append(want, w.kind)
		}
		_, query, _ := strings.Cut(template, "?")
		for _, p := range strings.Split(query, "&") {
			name, value, _ := strings.Cut(p, "=")
			if name != "_include" {
				continue
			}
			if v, err := url.QueryUnescape(value); err == nil {
				value = v
			}
			parts := strings.Split(value, ":")
			if len(parts) < 2 {
				continue
			}
			if kind, known := includeTargets[parts[1]]; known {
				want = append(want, kind)
			}
		}
	}
	slices.Sort(need)
	slices.Sort(want)
	need, want = slices.Compact(need), slices.Compact(want)
	return need, slices.DeleteFunc(want, func(kind string) bool { return slices.Contains(need, kind) })
}
