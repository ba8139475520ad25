// SPDX-License-Identifier: Apache-2.0

// Package icusepsis is ICU-Sepsis, a decision process of 716 states and 25
// actions that Choudhary, Gupta and Thomas made from real ICU stays (RLC 2024,
// arXiv 2406.05646). Its tables are known, so the value of any policy can be
// computed instead of estimated: this is where learners and off-policy
// estimators meet the truth.
//
// Read reads the tables, Log draws stays of the clinicians from them, Value
// solves for the chance of survival under a policy. A learner gets what Log
// returns, an offline.Dataset, and nothing else: states as numbers with their
// features, what was done, and what came of it. Neither the transitions nor
// which actions the tables admit can be reached from it.
//
// The tables are no part of the project. The package trusts no file: shapes,
// numbers and sums are checked, and sizes are bounded before anything is read.
package icusepsis

import "errors"

// The sizes of the process and its three special states.
const (
	States   = 716
	Actions  = 25 // 5·fluid level + vasopressor level
	Features = 47
	// Died is the state of death, Survived that of survival, and End what
	// follows both.
	Died, Survived, End = 713, 714, 715
)

// longest is the most steps of a logged stay; the chance of more is nil.
const longest = 500

// ErrTables means that the tables cannot be read or are not those of
// ICU-Sepsis; the text says which and why.
var ErrTables = errors.New("no ICU-Sepsis tables")

// ErrPolicy means that what should be a policy is none.
var ErrPolicy = errors.New("not a policy of ICU-Sepsis")

// arrival is a next state with its probability.
type arrival struct {
	to int32
	p  float64
}

// Tables are the process.
type Tables struct {
	// next are the transitions of each of the States·Actions pairs.
	next [][]arrival
	// start is the distribution of first states, expert what clinicians do.
	start  []float64
	expert [][]float64
	// centres are the features of each state, sofa its score.
	centres [][]float32
	sofa    []float64
}

// Clinicians is the policy that the log follows, one row per state.
func (t *Tables) Clinicians() [][]float64 {
	out := make([][]float64, len(t.expert))
	for s, row := range t.expert {
		out[s] = append([]float64(nil), row...)
	}
	return out
}
