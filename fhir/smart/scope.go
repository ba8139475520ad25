// SPDX-License-Identifier: Apache-2.0

package smart

// This file: SMART scopes: what we ask for, and whether what was granted
// opens what we need.

import (
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/fhir/smart/scope"
)

// Scopes are the scopes by which a system reads and searches these resource
// types: no wildcard, nothing that writes. v1 chooses the older syntax.
func Scopes(types []string, v1 bool) []string {
	suffix := ".rs"
	if v1 {
		suffix = ".read"
	}
	out := make([]string, 0, len(types))
	for _, t := range types {
		out = append(out, "system/"+t+suffix)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// missing are the needed types that the granted scopes do not open. A type that was not asked for in SMART's language is not
// judged: some EHRs have names of their own, and their answers to requests are
// then all that tells. A grant narrowed by a query counts only when that very
// scope was asked for.
func missing(need, asked []string, granted string) []string {
	judged := map[string]bool{}
	for _, text := range asked {
		if s, ok := ofSystem(text); ok {
			judged[s.Kind] = true
		}
	}
	var out []string
	for _, kind := range need {
		if !judged[kind] && !judged["*"] {
			continue
		}
		var rights scope.Rights
		for _, text := range strings.Fields(granted) {
			if s, ok := ofSystem(text); ok && s.Opens(kind) && (s.Query == "" || slices.Contains(asked, text)) {
				rights = rights.With(s.Rights)
			}
		}
		if !rights.Suffice(kind) {
			out = append(out, kind)
		}
	}
	return out
}

// ofSystem reads a scope that is granted to a system and not to a user.
func ofSystem(text string) (scope.Scope, bool) {
	s, ok := scope.Parse(text)
	return s, ok && s.Level == "system"
}
