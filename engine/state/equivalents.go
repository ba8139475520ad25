// SPDX-License-Identifier: Apache-2.0

package state

// This file: norepinephrine equivalence, the published tables by which rates of
// different vasopressors are added up. They disagree, by up to a factor of
// seven for phenylephrine, so the table is named in the configuration and none
// is ever mixed with another.

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// NEFactor converts a rate of one drug to a norepinephrine equivalent in
// ug/kg/min: Factor times the rate in Unit (UnitUgKgMin or UnitUMin).
type NEFactor struct {
	Unit   string  `yaml:"unit" json:"unit"`
	Factor float64 `yaml:"factor" json:"factor"`
}

// Names of the tables, for Config.NETable.
const (
	NEGoradia2021    = "goradia-2021"
	NEKomorowski2018 = "komorowski-2018"
	NEKotani2023     = "kotani-2023"
)

// neTable is one published table (reference 5.3).
type neTable struct {
	source  string
	factors map[Drug]NEFactor
}

var neTables = map[string]neTable{
	NEGoradia2021: {
		source: "Goradia 2021, scoping review; metaraminol / 8, angiotensin II x 10 on ug/kg/min",
		factors: map[Drug]NEFactor{
			DrugNorepinephrine: {UnitUgKgMin, 1},
			DrugEpinephrine:    {UnitUgKgMin, 1},
			DrugDopamine:       {UnitUgKgMin, 0.01},
			DrugPhenylephrine:  {UnitUgKgMin, 0.1},
			DrugMetaraminol:    {UnitUgKgMin, 0.125},
			DrugVasopressin:    {UnitUMin, 2.5},
			DrugAngiotensinII:  {UnitUgKgMin, 10},
		},
	},
	NEKomorowski2018: {
		source: "Komorowski 2018, AI Clinician; no angiotensin II",
		factors: map[Drug]NEFactor{
			DrugNorepinephrine: {UnitUgKgMin, 1},
			DrugEpinephrine:    {UnitUgKgMin, 1},
			DrugDopamine:       {UnitUgKgMin, 0.01},
			DrugPhenylephrine:  {UnitUgKgMin, 0.45},
			DrugVasopressin:    {UnitUMin, 5},
		},
	},
	NEKotani2023: {
		// Its metaraminol entry is quoted as a multiplier of 8, which contradicts
		// all others, and its methylene blue is no infusion rate of a pressor:
		// both are left out, and so unknown.
		source: "Kotani 2023, quoted from memory in the reference: check against the paper before use",
		factors: map[Drug]NEFactor{
			DrugNorepinephrine: {UnitUgKgMin, 1},
			DrugEpinephrine:    {UnitUgKgMin, 1},
			DrugDopamine:       {UnitUgKgMin, 0.01},
			DrugPhenylephrine:  {UnitUgKgMin, 0.06},
			DrugVasopressin:    {UnitUMin, 2.5},
			DrugAngiotensinII:  {UnitUgKgMin, 2.5}, // 0.0025 on ng/kg/min
			DrugTerlipressin:   {UnitUgKgMin, 10},
		},
	},
}

// NETables names the equivalence tables that Config.NETable may ask for.
func NETables() []string { return slices.Sorted(maps.Keys(neTables)) }

// NESource says where the factors of a table come from; empty for a table that
// does not exist.
func NESource(table string) string { return neTables[table].source }

// neFactor is the factor of a drug: the site's own, else the table's.
func (cfg Config) neFactor(drug Drug) (NEFactor, bool) {
	if f, ok := cfg.NEFactors[drug]; ok {
		return f, true
	}
	f, ok := neTables[cfg.NETable].factors[drug]
	return f, ok
}

// NEOf converts a rate to norepinephrine equivalents in ug/kg/min. kg is the
// dosing weight, 0 when unknown; it is only read where the rate is not
// weight-based. why is non-empty, and ne meaningless, when the conversion is
// not possible.
func (cfg Config) NEOf(drug Drug, rate float64, unit string, kg float64) (ne float64, why string) {
	f, ok := cfg.neFactor(drug)
	if !ok {
		return 0, fmt.Sprintf("no norepinephrine equivalence for %s", drug)
	}
	if math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
		return 0, "rate is not a number at or above 0"
	}
	v, why := convertRate(rate, unit, f.Unit, kg)
	if why != "" {
		return 0, why
	}
	return v * f.Factor, ""
}
