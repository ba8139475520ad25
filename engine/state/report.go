// SPDX-License-Identifier: Apache-2.0

package state

// This file: reports of one result. A laboratory sends a preliminary result,
// then the final one, and sometimes a correction, some of them as resources of
// their own. Each stands from when it could be known until the next one could:
// the preliminary value was true at the bedside before, and is no second
// measurement after.

import "slices"

// ReportRank orders the reports of one result by their Observation status: a
// correction replaces a final result, and that a preliminary one. Other
// statuses are ranked with final.
func ReportRank(status string) int {
	switch status {
	case "preliminary":
		return 0
	case "amended", "corrected":
		return 2
	}
	return 1
}

// known says whether o stands at t: it could be known, and no later report of
// the same result could.
func (o *obs) known(t instant) bool { return o.avail <= t && (t < o.until || o.until == never) }

// replace ends each report in s when one of higher rank could be known. s is
// sorted by time.
func (b *Builder) replace(s []obs) {
	for from := 0; from < len(s); {
		to := from + 1
		for to < len(s) && s[to].at == s[from].at {
			to++
		}
		for i := from; i < to && to-from > 1; i++ {
			for j := from; j < to; j++ {
				if b.replaces(&s[j], &s[i]) {
					s[i].until = min(s[i].until, s[j].avail)
				}
			}
		}
		from = to
	}
}

// replaces says whether x is a later report of the result y, by status.
func (b *Builder) replaces(x, y *obs) bool {
	if x.from != y.from || x.method != y.method {
		return false
	}
	mx, my := b.measured(x), b.measured(y)
	return ReportRank(mx.Status) > ReportRank(my.Status) && b.c.sameCode(mx.Record, my.Record)
}

// sameCode says whether two records share a code. Records that the chart does
// not carry count as sharing one.
func (c *Chart) sameCode(x, y int) bool {
	if x < 0 || y < 0 || x >= len(c.Records) || y >= len(c.Records) {
		return true
	}
	return slices.ContainsFunc(c.Records[x].Codes, func(a Coding) bool {
		return slices.ContainsFunc(c.Records[y].Codes, func(b Coding) bool { return a.System == b.System && a.Code == b.Code })
	})
}
