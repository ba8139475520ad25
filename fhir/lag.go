// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: when something could first be known. What the resource says
// (issued, recordedDate, authoredOn) goes before the lag table, and the lag
// table is configuration: by class of data, and by source where a site knows
// its own. Delay measures what the table should say.

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Classes of lag that the mapping itself asks for; observations name theirs in
// the code maps. A file with lagMinutes must define them.
const (
	lagInfusion   = "infusion"
	lagIntake     = "intake"
	lagProcedure  = "procedure"
	lagCulture    = "culture"
	lagCondition  = "condition"
	lagOnset      = "onset"
	lagOrder      = "order"
	lagCorrection = "correction"
)

var neededLags = []string{lagInfusion, lagIntake, lagProcedure, lagCulture, lagCondition, lagOnset, lagOrder, lagCorrection}

// westmost is how long after the end of a date in UTC that date is over
// everywhere: a date carries no zone.
const westmost = 12 * time.Hour

// lagTable is how long after its time an event could be known.
type lagTable struct {
	byClass  map[string]float64            // minutes
	bySource map[string]map[string]float64 // system URL, class: minutes
}

// addLags takes the lags of one file; a later file overrides an earlier one.
func (x *index) addLags(f mapFile) error {
	check := func(class string, minutes float64) error {
		if !(minutes >= 0) || minutes > 7*24*60 {
			return fmt.Errorf("lag %s: %g minutes, want 0 to 10080 (a week)", class, minutes)
		}
		return nil
	}
	for class, minutes := range f.LagMinutes {
		if err := check(class, minutes); err != nil {
			return err
		}
		x.lags.byClass[class] = minutes
	}
	for alias, classes := range f.SourceLagMinutes {
		urls, ok := x.systems[alias]
		if !ok {
			return fmt.Errorf("sourceLagMinutes: system %q is not defined", alias)
		}
		for class, minutes := range classes {
			if err := check(alias+" "+class, minutes); err != nil {
				return err
			}
			for _, u := range urls {
				if x.lags.bySource[u] == nil {
					x.lags.bySource[u] = map[string]float64{}
				}
				x.lags.bySource[u][class] = minutes
			}
		}
	}
	return nil
}

// checkLags says whether every class that is asked for is defined.
func (x *index) checkLags() error {
	for _, class := range neededLags {
		if _, ok := x.lags.byClass[class]; !ok {
			return fmt.Errorf("lagMinutes: class %q is not defined in any file", class)
		}
	}
	for _, classes := range x.lags.bySource {
		for class := range classes {
			if _, ok := x.lags.byClass[class]; !ok {
				return fmt.Errorf("sourceLagMinutes: class %q is not defined in lagMinutes", class)
			}
		}
	}
	return nil
}

// lag is how long after its time an event of this class, coded so, could be
// known. Of several sources that have their own lag the slowest counts.
func (x *index) lag(class string, codes []state.Coding) time.Duration {
	minutes := x.lags.byClass[class]
	own := false
	for _, c := range codes {
		if m, ok := x.lags.bySource[c.System][class]; ok && (!own || m > minutes) {
			minutes, own = m, true
		}
	}
	return time.Duration(math.Round(minutes * float64(time.Minute)))
}

// resultKnown is when an observation that was over at `over` could be known:
// when it was issued, else after the lag of its class. An issued time before
// the value's own time says nothing of when the value came, and a correction
// that does not say when it was issued replaces a value nobody has any more:
// it counts only after the lag of corrections.
func (x *index) resultKnown(class string, r *state.Record, over time.Time) (at time.Time, lagged bool) {
	if issued, err := issuedAt(r.Issued); err == nil && !issued.Before(over) {
		return issued, false
	}
	lag := x.lag(class, r.Codes)
	if r.Status == "corrected" || r.Status == "amended" {
		lag = max(lag, x.lag(lagCorrection, r.Codes))
	}
	return over.Add(lag), true
}

// issuedAt reads the time a value was made available. FHIR asks for an
// instant; of a date alone only its end is certain.
func issuedAt(text string) (time.Time, error) {
	_, known, err := knownBy(text)
	return known, err
}

// knownBy reads a date or a time: from is the earliest instant it can mean in
// UTC, known the instant by which it had certainly passed, wherever it was
// written.
func knownBy(text string) (from, known time.Time, err error) {
	from, known, err = moment(text)
	if _, dated := instant(text); err == nil && errors.Is(dated, errDateOnly) {
		known = known.Add(westmost)
	}
	return from, known, err
}

// Delay is when one observation was issued, measured from its own time, beside
// the lag that the code maps would give it.
type Delay struct {
	Class         string  // of lag, e.g. "lab"
	Issued        bool    // the resource says when it was issued
	Minutes       float64 // issued less its own time; negative where issued came first; 0 without Issued
	ConfiguredMin float64
}

// DelayOf measures one record; false when it is not an observation that the
// code maps read as a value.
func (m *Mapper) DelayOf(r *state.Record) (Delay, bool) {
	if r.Type != "Observation" {
		return Delay{}, false
	}
	spec, clash := m.x.observationOf(r.Codes)
	if spec == nil || clash {
		return Delay{}, false
	}
	d := Delay{Class: spec.Lag, ConfiguredMin: m.x.lag(spec.Lag, r.Codes).Minutes()}
	issued, err := instant(r.Issued)
	start, end, why := span(r)
	if err == nil && why.reason == "" {
		d.Issued, d.Minutes = true, issued.Sub(later(start, end)).Minutes()
	}
	return d, true
}

// Lag is one line of the lag table.
type Lag struct {
	Class   string
	Source  string // short name of the code system, empty: any
	Minutes float64
}

// Lags returns the lag table, by class and source.
func (m *CodeMaps) Lags() []Lag {
	var out []Lag
	for class, minutes := range m.index.lags.byClass {
		out = append(out, Lag{Class: class, Minutes: minutes})
	}
	for url, classes := range m.index.lags.bySource {
		for class, minutes := range classes {
			out = append(out, Lag{class, m.index.aliases[url], minutes})
		}
	}
	slices.SortFunc(out, func(a, b Lag) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Source, b.Source)) })
	return slices.Compact(out)
}
