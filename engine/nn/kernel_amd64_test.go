// SPDX-License-Identifier: Apache-2.0

//go:build !noasm

package nn

// This file: how tests leave AVX-512 out, for processors that have it.

// narrowed turns the widest tiles off until what it returns is called.
func narrowed() func() {
	old := wide
	wide = false
	return func() { wide = old }
}
