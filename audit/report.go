// SPDX-License-Identifier: Apache-2.0

package audit

// This file: Report, the outcome of verifying a whole log.

import "fmt"

// MaxFindings bounds how many findings a report lists; Problems counts all.
const MaxFindings = 20

// Finding is one thing that is wrong with a log.
type Finding struct {
	Leaf    int64  `json:"leaf"`         // first leaf concerned; -1 when it concerns the log as a whole
	ID      string `json:"id,omitempty"` // id of that entry, as stored
	Problem string `json:"problem"`
}

// Report says whether a log is what its signed checkpoints say it is.
type Report struct {
	OK         bool      `json:"ok"`
	Size       int64     `json:"size"`      // entries read
	Root       string    `json:"root"`      // base64, computed from the entries and not read
	FirstBad   *int64    `json:"first_bad"` // lowest leaf number in a finding; null when none
	Problems   int       `json:"problems"`
	Findings   []Finding `json:"findings,omitempty"`
	Origin     string    `json:"origin"`
	Signed     int       `json:"signed"` // checkpoints whose signature and root hold
	Checkpoint string    `json:"checkpoint,omitempty"`
	// Erased entries are checked by their digests, and against the entries that
	// record their erasure.
	Erased int64 `json:"erased"`
	// Encrypted bodies, and those of them whose key was not at hand: of these the
	// digest was checked, and not that what is stored opens to it.
	Encrypted int64 `json:"encrypted"`
	Unopened  int64 `json:"unopened"`
	// Witnessed are the witnesses' names with the largest size that each signed.
	Witnessed map[string]int64 `json:"witnessed,omitempty"`
}

// Add records a finding.
func (r *Report) Add(leaf int64, id, format string, args ...any) {
	r.OK = false
	r.Problems++
	if leaf >= 0 && (r.FirstBad == nil || leaf < *r.FirstBad) {
		r.FirstBad = &leaf
	}
	if len(r.Findings) < MaxFindings {
		r.Findings = append(r.Findings, Finding{Leaf: leaf, ID: id, Problem: fmt.Sprintf(format, args...)})
	}
}
