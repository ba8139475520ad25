// SPDX-License-Identifier: Apache-2.0

package export

// This file: text that a spreadsheet shows and does not run. User ids, comments
// and codes come from clients; a cell that begins with one of a few characters
// is a formula to whoever opens the file.

import "strings"

const (
	// formula are the characters with which a cell is taken for a formula, with
	// their full-width forms.
	formula = "=+-@|%＝＋－＠"
	// splits are the characters at which a spreadsheet may begin a new cell
	// whatever the file says of its separator.
	splits = ",;\t\r\n\""
)

// harmless puts an apostrophe before every character that could begin a formula
// where a cell begins, or could begin, and makes control characters spaces. What
// was sent, to the byte, is in NDJSON and Parquet.
func harmless(s string) string {
	begins := true
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			b.WriteByte(' ') // a cell is one line
			begins = true
			continue
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
			continue
		case begins && strings.ContainsRune(formula, r):
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = begins && r == ' ' || strings.ContainsRune(splits, r)
	}
	return b.String()
}
