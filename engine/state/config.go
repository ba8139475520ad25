// SPDX-License-Identifier: Apache-2.0

package state

// This file: what a site may change about how a chart is read.

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrConfig is wrapped by every error of Config.Validate.
var ErrConfig = errors.New("state configuration")

// Drug names that the dose rules know. They are the lower-case ingredient
// names that the code maps give.
const (
	DrugNorepinephrine Drug = "norepinephrine"
	DrugEpinephrine    Drug = "epinephrine"
	DrugVasopressin    Drug = "vasopressin"
	DrugDopamine       Drug = "dopamine"
	DrugPhenylephrine  Drug = "phenylephrine"
	DrugAngiotensinII  Drug = "angiotensin ii"
	DrugDobutamine     Drug = "dobutamine"
	DrugMilrinone      Drug = "milrinone"
	DrugMetaraminol    Drug = "metaraminol"
	DrugTerlipressin   Drug = "terlipressin"
)

// Config says how a chart is read. The zero value is not valid; start from
// DefaultConfig. It is trusted: a wrong factor or cut-point here changes what
// every rule, forecast and card says about dose.
type Config struct {
	// VasopressorCuts are the upper bounds (inclusive) of levels 1, 2 and 3 in
	// ug/kg/min of norepinephrine equivalent, by the highest rate in the step;
	// level 0 is zero, level 4 is above the last. Default: published Komorowski
	// cut-points 0.08, 0.22, 0.45 (reference 5.4).
	VasopressorCuts [3]float64 `yaml:"vasopressor_cuts" json:"vasopressor_cuts"`
	// FluidCuts are the upper bounds (inclusive) of fluid levels 1, 2 and 3 in
	// tonicity-adjusted mL per 4 h. Default: 50, 180, 530 (Komorowski).
	FluidCuts [3]float64 `yaml:"fluid_cuts" json:"fluid_cuts"`
	// NETable names the published norepinephrine-equivalence table that
	// rates are converted by, one of NETables. Default: goradia-2021. A
	// vasopressor that is not in it makes the exposure unknown.
	NETable string `yaml:"ne_table" json:"ne_table"`
	// NEFactors adds to that table or replaces entries of it. Default: none.
	NEFactors map[Drug]NEFactor `yaml:"ne_factors" json:"ne_factors,omitempty"`
	// MAPGoalMmHg is the goal where none is ordered. Default 65 (SSC 2021).
	MAPGoalMmHg float64 `yaml:"map_goal_mmhg" json:"map_goal_mmhg"`
	// MAPGoalMinMmHg and MAPGoalMaxMmHg bound what is believed as an ordered
	// goal; others are passed over. Default 50 and 90.
	MAPGoalMinMmHg float64 `yaml:"map_goal_min_mmhg" json:"map_goal_min_mmhg"`
	MAPGoalMaxMmHg float64 `yaml:"map_goal_max_mmhg" json:"map_goal_max_mmhg"`
	// UndocumentedH is how long after its last documentation a running
	// vasoactive rate is still believed. Default 2 h (design 5.1).
	UndocumentedH float64 `yaml:"undocumented_h" json:"undocumented_h"`
	// FluidUndocumentedH is the same for an open fluid infusion. Default 8 h,
	// one nursing shift.
	FluidUndocumentedH float64 `yaml:"fluid_undocumented_h" json:"fluid_undocumented_h"`
	// OverlapMin is how long two rows of one vasoactive may overlap before they
	// are two lines that add up: a rate change is often charted a few minutes
	// before the old rate's row ends. Default 15 min; in the MIMIC-IV demo 2 of
	// 956 rows overlap the next one, by 3 and 10 min, at nearly the same rate.
	OverlapMin float64 `yaml:"overlap_min" json:"overlap_min"`
	// SOFAPressorH is how long a rate must have run to be scored. Default 1 h
	// (Vincent 1996: adrenergic agents administered for at least one hour); 0
	// scores the highest rate however short, as mimic-code does.
	SOFAPressorH float64 `yaml:"sofa_pressor_h" json:"sofa_pressor_h"`
	// MAPStaleH is the age at which a MAP no longer speaks for the present.
	// Default 2 h (rule X1).
	MAPStaleH float64 `yaml:"map_stale_h" json:"map_stale_h"`
	// LactateStaleH is the same for lactate. Default 8 h (rule X1).
	LactateStaleH float64 `yaml:"lactate_stale_h" json:"lactate_stale_h"`
	// DisagreeMmHg is the difference between line and cuff, within 30 min of
	// each other, above which MAP must be confirmed. Default 10 (design 5.4).
	DisagreeMmHg float64 `yaml:"disagree_mmhg" json:"disagree_mmhg"`
	// OutlierMmHg is how far the newest MAP may lie from steady neighbours
	// before it must be confirmed. Default 25.
	OutlierMmHg float64 `yaml:"outlier_mmhg" json:"outlier_mmhg"`
	// WeightConflict is the relative difference between two weights that makes
	// both unusable. Default 0.15 (design 5.8).
	WeightConflict float64 `yaml:"weight_conflict" json:"weight_conflict"`
	// WeightHoldH is how long a weight is believed. Default 720 h (30 days).
	WeightHoldH float64 `yaml:"weight_hold_h" json:"weight_hold_h"`
	// HbFallGdl is the fall of haemoglobin within 24 h that counts as
	// bleeding. Default 2 g/dL (design 5.6).
	HbFallGdl float64 `yaml:"hb_fall_gdl" json:"hb_fall_gdl"`
	// TransfusionMl is the blood volume in 3 h that counts as rapid
	// transfusion. Default 900 mL, about three units of red cells.
	TransfusionMl float64 `yaml:"transfusion_ml" json:"transfusion_ml"`
	// ProphylaxisDrugs are antimicrobials that are no evidence for infection
	// while they have been given for no longer than ProphylaxisH and neither a
	// culture nor a diagnosis speaks of one. Default: cefazolin. An empty list
	// counts every antimicrobial.
	ProphylaxisDrugs []Drug `yaml:"prophylaxis_drugs" json:"prophylaxis_drugs,omitempty"`
	// ProphylaxisH is the time from the first to the last dose. Default 24 h, the
	// end of surgical prophylaxis (Bratzler 2013, ASHP, IDSA, SIS and SHEA).
	ProphylaxisH float64 `yaml:"prophylaxis_h" json:"prophylaxis_h,omitempty"`
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		VasopressorCuts:    [3]float64{0.08, 0.22, 0.45},
		FluidCuts:          [3]float64{50, 180, 530},
		NETable:            NEGoradia2021,
		MAPGoalMmHg:        65,
		MAPGoalMinMmHg:     50,
		MAPGoalMaxMmHg:     90,
		UndocumentedH:      2,
		FluidUndocumentedH: 8,
		OverlapMin:         15,
		SOFAPressorH:       1,
		MAPStaleH:          2,
		LactateStaleH:      8,
		DisagreeMmHg:       10,
		OutlierMmHg:        25,
		WeightConflict:     0.15,
		WeightHoldH:        720,
		HbFallGdl:          2,
		TransfusionMl:      900,
		ProphylaxisDrugs:   []Drug{"cefazolin"},
		ProphylaxisH:       24,
	}
}

// Validate reports the first field that cannot be right. The error wraps
// ErrConfig and names the field by its YAML key.
func (cfg Config) Validate() error {
	bad := func(key, hint string) error {
		return fmt.Errorf("%w: %s: %s", ErrConfig, key, hint)
	}
	if !ascending(cfg.VasopressorCuts) || cfg.VasopressorCuts[2] > 5 {
		return bad("vasopressor_cuts", "want three rising rates in ug/kg/min, all above 0 and at most 5")
	}
	if !ascending(cfg.FluidCuts) || cfg.FluidCuts[2] > 10000 {
		return bad("fluid_cuts", "want three rising volumes in mL per 4 h, all above 0 and at most 10000")
	}
	if _, ok := neTables[cfg.NETable]; !ok {
		return bad("ne_table", fmt.Sprintf("no table %q: want one of %s", cfg.NETable, strings.Join(NETables(), ", ")))
	}
	if f, _ := cfg.neFactor(DrugNorepinephrine); f.Unit != UnitUgKgMin || f.Factor != 1 {
		return bad("ne_factors", "norepinephrine must be 1 per ug/kg/min: it is the unit of the table")
	}
	for _, drug := range sortedDrugs(cfg.NEFactors) {
		f := cfg.NEFactors[drug]
		if f.Unit != UnitUgKgMin && f.Unit != UnitUMin {
			return bad("ne_factors."+string(drug), fmt.Sprintf("unit %q: want %s or %s", f.Unit, UnitUgKgMin, UnitUMin))
		}
		if !within(f.Factor, 1e-6, 1000) {
			return bad("ne_factors."+string(drug), "factor must lie above 0 and at most 1000")
		}
	}
	for _, r := range []struct {
		key       string
		v, lo, hi float64
	}{
		{"map_goal_mmhg", cfg.MAPGoalMmHg, 50, 90},
		{"map_goal_min_mmhg", cfg.MAPGoalMinMmHg, 40, 90},
		{"map_goal_max_mmhg", cfg.MAPGoalMaxMmHg, 50, 120},
		{"undocumented_h", cfg.UndocumentedH, 0.25, 12},
		{"fluid_undocumented_h", cfg.FluidUndocumentedH, 0.25, 24},
		{"overlap_min", cfg.OverlapMin, 0, 120},
		{"sofa_pressor_h", cfg.SOFAPressorH, 0, StepHours},
		{"map_stale_h", cfg.MAPStaleH, 0.25, 12},
		{"lactate_stale_h", cfg.LactateStaleH, 1, 48},
		{"disagree_mmhg", cfg.DisagreeMmHg, 1, 50},
		{"outlier_mmhg", cfg.OutlierMmHg, 5, 80},
		{"weight_conflict", cfg.WeightConflict, 0.01, 0.5},
		{"weight_hold_h", cfg.WeightHoldH, 24, 2160},
		{"hb_fall_gdl", cfg.HbFallGdl, 0.5, 10},
		{"transfusion_ml", cfg.TransfusionMl, 100, 5000},
		{"prophylaxis_h", cfg.ProphylaxisH, 0, 72},
	} {
		if !within(r.v, r.lo, r.hi) {
			return bad(r.key, fmt.Sprintf("%v is outside %v to %v", r.v, r.lo, r.hi))
		}
	}
	if cfg.MAPGoalMinMmHg >= cfg.MAPGoalMaxMmHg {
		return bad("map_goal_min_mmhg", "must be below map_goal_max_mmhg")
	}
	return nil
}

func (cfg Config) overlap() instant { return instant(math.Round(cfg.OverlapMin * float64(minute))) }

func ascending(c [3]float64) bool {
	return c[0] > 0 && c[0] < c[1] && c[1] < c[2] && !math.IsInf(c[2], 0)
}

// within is false for NaN.
func within(v, lo, hi float64) bool { return v >= lo && v <= hi }
