// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the manifest of a gathered chart: for each key how it was had.
// It goes into the receipt and holds no data of the patient.

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Provenance says how one key was had.
type Provenance string

// The provenances of a key.
const (
	FromPrefetch Provenance = "prefetch"
	FromFetch    Provenance = "fetched"
	IsNull       Provenance = "null"       // the client has none
	IsEmpty      Provenance = "empty"      // a search without results
	IsFailed     Provenance = "failed"     // the client's or our search failed
	IsDenied     Provenance = "denied"     // refused by the FHIR server or the token's scope
	IsPartial    Provenance = "partial"    // pages are missing
	IsWrongType  Provenance = "wrong-type" // not what was asked for
	IsAbsent     Provenance = "absent"     // not sent, and nothing may be fetched
)

// Part is the manifest line of one key.
type Part struct {
	Key       string     `json:"key"`
	From      Provenance `json:"from"`
	Prefetch  Provenance `json:"prefetch"` // what the request held
	Resources int        `json:"resources"`
	Pages     int        `json:"pages,omitempty"`
	Why       string     `json:"why,omitempty"`
}

// Manifest lists the parts of a gathered chart in a fixed order.
type Manifest struct {
	Parts []Part `json:"parts"`
	// Undeclared are prefetch keys of the request that no template declares:
	// mostly keys that were typed in by hand. At most ten, cut short.
	Undeclared []string `json:"undeclared,omitempty"`
}

// Bounds of Manifest.Undeclared: the names come from the request.
const (
	maxUndeclared     = 10
	maxUndeclaredName = 40
)

// undeclared names the keys of a prefetch that are not ours, in order.
func undeclared(prefetch map[string]json.RawMessage) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(prefetch)) {
		if slices.ContainsFunc(wishes, func(w wish) bool { return w.key == k }) || len(out) == maxUndeclared {
			continue
		}
		if len(k) > maxUndeclaredName {
			k = strings.ToValidUTF8(k[:maxUndeclaredName], "") + "..."
		}
		out = append(out, k)
	}
	return out
}

// isNull reports the JSON value null.
func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }
