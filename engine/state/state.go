// SPDX-License-Identifier: Apache-2.0

// Package state turns what was charted of one patient into what may be read
// at one decision time.
//
// A [Chart] holds events in canonical UCUM units, each with the time it could
// be known. [Build] reads it as of a time T and gives a [Timeline]: 4-hour
// steps counted back from T for the model, and the unbinned present for rules
// and cards.
//
// Conventions. A step is the half-open interval (Start, End]; step k ends at
// T minus a multiple of four hours and the last one ends at T. An action taken
// at T covers (T, T+4 h], so the doses inside a step are previous treatment,
// never the action of that step. Vasopressor rates are ug/kg/min of
// norepinephrine equivalent, pressures mmHg, volumes real mL unless the name
// says otherwise, durations hours (…H) or minutes (…Min).
//
// No future. Nothing is read that happened or became known after T: an event
// counts only if Effective, End of its summarised period and Available are all
// <= T; an end that was not known at T leaves an infusion open; discharge,
// death and undated conditions are never read.
//
// Trust. The package trusts that concepts, drugs, units and availability times
// in a Chart are right; that is the fhir package's work. It does not trust
// numbers: values that are not finite or lie outside the catalogue's range are
// passed over, and a rate, weight or source that is unknown makes the derived
// quantity unknown, never zero.
package state
