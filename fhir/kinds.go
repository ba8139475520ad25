// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: which resource types are read at all, for whoever must ask a
// server for them and for nothing else.

import (
	"maps"
	"slices"
)

// ResourceTypes lists the resource types that are read, in order of name: the
// minimum necessary of a bulk export.
func ResourceTypes() []string { return slices.Sorted(maps.Keys(decoders)) }
