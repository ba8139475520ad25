// SPDX-License-Identifier: Apache-2.0

// Package cohort turns ICU stays into trajectories: one row per stay and
// 4-hour step, each with the timeline as it could be known at its decision
// time. Training, evaluation and the live service read the same timelines, so
// that a chart and its rows give the same decision.
//
// A row's last step is the treatment and state up to its decision time; the
// action taken then, and the state it led to, are the last step of the stay's
// next row (see Next). Outcome labels stand beside the timeline and are never
// in it.
//
// Trust. The package trusts the chart it is given (package state says how far)
// and nothing in a file: a cohort file whose schema, values or digest are not
// what Write made is an error, never a shorter cohort.
package cohort

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNoStay is wrapped when a chart has no ICU admission time to count from.
	ErrNoStay = errors.New("chart has no ICU admission time")
	// ErrCorrupt is wrapped when a cohort file is damaged or not one of ours.
	ErrCorrupt = errors.New("cohort file is corrupt (hint: build it again with `cohort build`)")
)

// MaxHours is how far into a stay Rows goes: seven days, 42 steps.
const MaxHours = 168

// Row is one stay at one decision time. Values, presence, ages, treatment and
// scores are those of the timeline's last step, spread out so that pandas or
// DuckDB can read them without our code; Canonical has all of it.
type Row struct {
	Source    string // data set the stay is from
	Patient   string
	Stay      string
	Hospital  string
	Step      int       // 1 at admission + 4 h
	At        time.Time // decision time
	Hours     float64   // since ICU admission
	AgeYears  float64
	AgeKnown  bool
	Sex       string
	Synthetic bool

	Value     [state.NumFeatures]float64
	Presence  [state.NumFeatures]state.Presence
	AgeH      [state.NumFeatures]float64
	Given     state.Exposure // treatment during the step that ends at At
	SOFA      state.SOFA
	Vent      bool
	VentKnown bool

	// Labels, for training and evaluation only.
	DiedInHospital bool
	OutcomeKnown   bool
	DiedWithin90d  bool
	Died90dKnown   bool

	Part      Split
	Canonical []byte // the timeline's canonical JSON
}

// Timeline returns the timeline the row was made from. Building it from the
// chart again gives the same canonical bytes.
func (r *Row) Timeline() (*state.Timeline, error) {
	var tl state.Timeline
	if err := json.Unmarshal(r.Canonical, &tl); err != nil {
		return nil, fmt.Errorf("timeline of stay %s step %d: %w: %w", r.Stay, r.Step, ErrCorrupt, err)
	}
	if len(tl.Steps) != state.MaxSteps {
		return nil, fmt.Errorf("timeline of stay %s step %d: %d steps: %w", r.Stay, r.Step, len(tl.Steps), ErrCorrupt)
	}
	return &tl, nil
}

// Rows gives the rows of one stay, oldest first: decision times every 4 h from
// admission + 4 h up to the end of the stay or MaxHours. A stay without a
// charted end is read up to its last event. The error wraps ErrNoStay or is
// that of state.NewBuilder.
func Rows(c *state.Chart, source string, cfg state.Config) ([]Row, error) {
	b, err := state.NewBuilder(c, cfg)
	if err != nil {
		return nil, err
	}
	return RowsOf(b, source, MaxHours)
}

// RowsOf is Rows of the builder's chart, up to maxHours after admission.
func RowsOf(b *state.Builder, source string, maxHours float64) ([]Row, error) {
	c := b.Chart()
	if c.Stay.Start.IsZero() {
		return nil, fmt.Errorf("stay %s: %w", c.Stay.ID, ErrNoStay)
	}
	end := c.Stay.End
	if end.IsZero() {
		end = lastEvent(c)
	}
	if limit := c.Stay.Start.Add(time.Duration(maxHours * float64(time.Hour))); end.After(limit) {
		end = limit
	}
	var rows []Row
	var enc state.Encoder
	const step = state.StepHours * time.Hour
	for k, at := 1, c.Stay.Start.Add(step); !at.After(end); k, at = k+1, at.Add(step) {
		tl, err := b.Build(at)
		if err != nil {
			return nil, fmt.Errorf("stay %s step %d: %w", c.Stay.ID, k, err)
		}
		row, err := newRow(c, source, k, tl, &enc)
		if err != nil {
			return nil, fmt.Errorf("stay %s step %d: %w", c.Stay.ID, k, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func newRow(c *state.Chart, source string, k int, tl *state.Timeline, enc *state.Encoder) (Row, error) {
	canonical, err := enc.Canonical(tl)
	if err != nil {
		return Row{}, err
	}
	last := tl.Last()
	return Row{
		Source: source, Patient: c.Person.ID, Stay: c.Stay.ID, Hospital: c.Stay.Hospital,
		Step: k, At: tl.At, Hours: tl.HoursInICU, AgeYears: tl.AgeYears, AgeKnown: tl.AgeKnown, Sex: tl.Sex,
		Synthetic: tl.Synthetic, Value: last.Value, Presence: last.Presence, AgeH: last.AgeH, Given: last.Given,
		SOFA: last.SOFA, Vent: last.Vent, VentKnown: last.VentKnown,
		DiedInHospital: c.Stay.DiedInHospital, OutcomeKnown: c.Stay.OutcomeKnown,
		DiedWithin90d: c.Stay.DiedWithin90d, Died90dKnown: c.Stay.Died90dKnown,
		Part: Part(c.Person.ID), Canonical: canonical,
	}, nil
}

// lastEvent is when the last measurement or administration was charted.
func lastEvent(c *state.Chart) time.Time {
	var last time.Time
	for i := range c.Measurements {
		if t := c.Measurements[i].Effective; t.After(last) {
			last = t
		}
	}
	for i := range c.Administrations {
		if t := c.Administrations[i].Start; t.After(last) {
			last = t
		}
	}
	return last
}

// Next returns the row one step after rows[i] in the same stay: its last step
// is the action taken at rows[i] and what followed. rows must be in the order
// that Rows and Read give.
func Next(rows []Row, i int) (*Row, bool) {
	if i+1 >= len(rows) {
		return nil, false
	}
	a, b := &rows[i], &rows[i+1]
	if a.Source != b.Source || a.Patient != b.Patient || a.Stay != b.Stay || b.Step != a.Step+1 {
		return nil, false
	}
	return b, true
}

// ByStay groups consecutive rows of one stay. It stops at the first error.
func ByStay(rows iter.Seq2[Row, error]) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		var group []Row
		for row, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			if n := len(group); n > 0 && (group[n-1].Source != row.Source || group[n-1].Patient != row.Patient || group[n-1].Stay != row.Stay) {
				if !yield(group, nil) {
					return
				}
				group = nil
			}
			group = append(group, row)
		}
		if len(group) > 0 {
			yield(group, nil)
		}
	}
}

// Seq turns rows in memory into what Write and ByStay read.
func Seq(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := range rows {
			if !yield(rows[i], nil) {
				return
			}
		}
	}
}
