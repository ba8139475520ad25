// SPDX-License-Identifier: Apache-2.0

// Package scope reads SMART scopes, of version 1 (patient/Observation.read) and
// of version 2 (system/Observation.rs?category=laboratory). It trusts nothing:
// a text that is not such a scope is said not to be one, for EHRs have words
// of their own.
package scope

import "strings"

// Scope is a SMART scope that opens resources, taken apart.
type Scope struct {
	Level string // patient, user or system
	Kind  string // resource type, or *
	Rights
	Query string // narrows what it opens; empty: it does not
}

// Rights are what scopes together let do with a resource type. Those to write
// are of no interest.
type Rights struct{ Read, Search bool }

// With adds the rights of another scope: a grant is the sum of its scopes.
func (r Rights) With(more Rights) Rights { return Rights{r.Read || more.Read, r.Search || more.Search} }

// Suffice reports whether they are enough to get a resource type the way it is
// got here: the Patient by its id, everything else by search.
func (r Rights) Suffice(kind string) bool { return r.Read && (r.Search || kind == "Patient") }

// Parse reads one scope; ok is false for what is not a SMART scope that opens
// resources, such as openid or a vendor's own words.
func Parse(text string) (s Scope, ok bool) {
	level, rest, _ := strings.Cut(text, "/")
	if level != "patient" && level != "user" && level != "system" {
		return Scope{}, false
	}
	rest, query, _ := strings.Cut(rest, "?")
	kind, rights, _ := strings.Cut(rest, ".")
	switch rights {
	case "read":
		rights = "rs"
	case "write":
		rights = "cud"
	case "*":
		rights = "cruds"
	}
	if kind == "" || rights == "" || strings.Trim(rights, "cruds") != "" {
		return Scope{}, false
	}
	return Scope{level, kind, Rights{strings.Contains(rights, "r"), strings.Contains(rights, "s")}, query}, true
}

// Opens reports whether the scope is about a resource type.
func (s Scope) Opens(kind string) bool { return s.Kind == kind || s.Kind == "*" }

// Category is the code of the one category that the scope is narrowed to; ""
// when it is not narrowed, or otherwise.
func (s Scope) Category() string {
	value, is := strings.CutPrefix(s.Query, "category=")
	if !is || strings.ContainsAny(value, "&,") {
		return ""
	}
	return value[strings.LastIndexByte(value, '|')+1:]
}

// OpensNothing reports the scopes of SMART that are about the user and the
// launch, and open no resource.
func OpensNothing(text string) bool {
	switch text {
	case "openid", "fhirUser", "profile", "launch", "offline_access", "online_access", "smart/orchestrate_launch":
		return true
	}
	return strings.HasPrefix(text, "launch/")
}
