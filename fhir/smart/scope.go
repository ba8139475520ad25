// SPDX-License-Identifier: Apache-2.0

package smart

// This file: SMART scopes: what we ask for, and whether what was granted
// opens what we need. Both syntaxes are understood: v2 (system/Observation.rs)
// and v1 (system/Observation.read).

import (
	"slices"
	"strings"
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

// scope is a SMART scope of a system, taken apart.
type scope struct {
	kind         string // resource type, or *
	read, search bool
	query        string // narrows what it opens
}

// parseScope reads a scope; ok is false for what is not a SMART scope of a
// system, such as a vendor's own words.
func parseScope(text string) (s scope, ok bool) {
	rest, ok := strings.CutPrefix(text, "system/")
	if !ok {
		return scope{}, false
	}
	rest, s.query, _ = strings.Cut(rest, "?")
	kind, rights, ok := strings.Cut(rest, ".")
	if !ok || kind == "" {
		return scope{}, false
	}
	s.kind = kind
	switch rights {
	case "read", "*":
		s.read, s.search = true, true
	case "write":
	default:
		if rights == "" || strings.Trim(rights, "cruds") != "" {
			return scope{}, false
		}
		s.read, s.search = strings.Contains(rights, "r"), strings.Contains(rights, "s")
	}
	return s, true
}

// missing are the needed types that the granted scopes do not open for both
// read and search. A type that was not asked for in SMART's language is not
// judged: some EHRs have names of their own, and their answers to requests are
// then all that tells. A grant narrowed by a query counts only when that very
// scope was asked for.
func missing(need, asked []string, granted string) []string {
	judged := map[string]bool{}
	for _, text := range asked {
		if s, ok := parseScope(text); ok {
			judged[s.kind] = true
		}
	}
	var out []string
	for _, kind := range need {
		if !judged[kind] && !judged["*"] {
			continue
		}
		read, search := false, false
		for _, text := range strings.Fields(granted) {
			s, ok := parseScope(text)
			if !ok || s.kind != kind && s.kind != "*" || s.query != "" && !slices.Contains(asked, text) {
				continue
			}
			read, search = read || s.read, search || s.search
		}
		if !read || !search && kind != "Patient" { // the patient is read by id alone
			out = append(out, kind)
		}
	}
	return out
}
