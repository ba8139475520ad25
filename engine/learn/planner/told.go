// SPDX-License-Identifier: Apache-2.0

package planner

// This file: what a plan may be told of a process instead of learning it. No log
// tells it, so a plan that was told is no learner's: it shows what not knowing
// costs, and what even who knows cannot get out of a log.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// Told is known of the process, by states of the dataset. Each part may be nil.
type Told struct {
	// Admissible says which actions have a distribution of their own. The others
	// have the average of their state, and are never chosen.
	Admissible [][]bool
	// Average is what follows each state on average: chances of all states, then
	// of the last rewards, ascending.
	Average [][]float64
	// Stays is how many earlier stays took each action in each state.
	Stays [][]float64
}

func (t *Told) given() bool { return t.Admissible != nil || t.Average != nil || t.Stays != nil }

func (t *Told) check(data *offline.Dataset, ends int) error {
	for _, part := range []struct {
		what                string
		rows, want, columns int
	}{
		{"admissible actions", len(t.Admissible), data.Actions, width(t.Admissible)},
		{"averages", len(t.Average), data.States + ends, width(t.Average)},
		{"earlier stays", len(t.Stays), data.Actions, width(t.Stays)},
	} {
		if part.rows > 0 && (part.rows < data.States || part.columns != part.want) {
			return fmt.Errorf("%w: told %s in %d rows of %d, want %d of %d", ErrFit, part.what, part.rows, part.columns, data.States, part.want)
		}
	}
	return nil
}

// width is the length that all rows have, or -1.
func width[T any](rows [][]T) int {
	for _, row := range rows {
		if len(row) != len(rows[0]) {
			return -1
		}
	}
	if len(rows) == 0 {
		return -1
	}
	return len(rows[0])
}

// admissible is the chance that a cell has a distribution of its own, where it
// was told.
func (l *log) admissible(cell int) (chance float64, told bool) {
	if l.told.Admissible == nil {
		return 0, false
	}
	if l.told.Admissible[l.numbers[cell/l.actions]][cell%l.actions] {
		return 1, true
	}
	return 0, true
}

// toldAverage are the averages by place. What the log never saw has no place:
// the others share its chance.
func (l *log) toldAverage() [][]float64 {
	n := len(l.centres)
	out := make([][]float64, n)
	for at, s := range l.numbers {
		row, all := make([]float64, n+len(l.rewards)), l.told.Average[s]
		for to, other := range l.numbers {
			row[to] = all[other]
		}
		copy(row[n:], all[len(all)-len(l.rewards):])
		normalise(row)
		out[at] = row
	}
	return out
}
