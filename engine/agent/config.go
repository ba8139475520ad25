// SPDX-License-Identifier: Apache-2.0

package agent

// This file: what a site may change about how the agent decides. Every bound
// here lies within the hard limits of package policy, which stand behind it.

import (
	"errors"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ErrConfig is wrapped by every error of Config.Validate.
var ErrConfig = errors.New("agent configuration")

// Config says how the agent proposes and weighs. The zero value is not valid;
// start from DefaultConfig. It is trusted: it decides how large a first step
// is offered and when current treatment is left alone.
type Config struct {
	// SmallStepUgKgMin is the ordinary first step of norepinephrine, up or
	// down. Default 0.02 ug/kg/min.
	SmallStepUgKgMin float64 `yaml:"small_step_ug_kg_min" json:"small_step_ug_kg_min"`
	// FullStepUgKgMin is the larger first step, taken when MAP is at least
	// FullBelowMmHg below goal or severely low (up), offered when it is
	// WeanMarginMmHg above goal (down). Default 0.05 ug/kg/min, the hard limit
	// (design.md 5.2).
	FullStepUgKgMin float64 `yaml:"full_step_ug_kg_min" json:"full_step_ug_kg_min"`
	// StartUgKgMin is the first rate of a newly started norepinephrine.
	// Default 0.05 ug/kg/min.
	StartUgKgMin float64 `yaml:"start_ug_kg_min" json:"start_ug_kg_min"`
	// CeilingUgKgMin is where norepinephrine is no longer raised and help is
	// called instead. Default 0.5 ug/kg/min (design.md 5.2).
	CeilingUgKgMin float64 `yaml:"ceiling_ug_kg_min" json:"ceiling_ug_kg_min"`
	// DeepMmHg is how far below goal MAP must be for volume alone no longer to
	// be offered where a vasopressor can be, and for one reading to start one.
	// Default 5.
	DeepMmHg float64 `yaml:"deep_mmhg" json:"deep_mmhg"`
	// FullBelowMmHg is how far below goal MAP must be for the full step up.
	// Default 10.
	FullBelowMmHg float64 `yaml:"full_below_mmhg" json:"full_below_mmhg"`
	// SevereMmHg is the MAP below which both hold whatever the goal is.
	// Default 55 (rule V11).
	SevereMmHg float64 `yaml:"severe_mmhg" json:"severe_mmhg"`
	// WeanMarginMmHg is how far above goal MAP must be for the full step down
	// or for stopping. Default 10.
	WeanMarginMmHg float64 `yaml:"wean_margin_mmhg" json:"wean_margin_mmhg"`
	// WeanSteps is how many 4-h steps at goal precede a wean. Default 2 (rule V10).
	WeanSteps int `yaml:"wean_steps" json:"wean_steps"`
	// VasopressinFromUgKgMin is the norepinephrine-equivalent from which
	// vasopressin is offered as second agent. Default 0.25 (rule V4).
	VasopressinFromUgKgMin float64 `yaml:"vasopressin_from_ug_kg_min" json:"vasopressin_from_ug_kg_min"`
	// VasopressinUMin is its rate. Default 0.03 U/min, the hard limit.
	VasopressinUMin float64 `yaml:"vasopressin_u_min" json:"vasopressin_u_min"`
	// VasopressinStepUMin is one step of weaning it. Default 0.01 U/min.
	VasopressinStepUMin float64 `yaml:"vasopressin_step_u_min" json:"vasopressin_step_u_min"`
	// BolusesMl are the bolus sizes offered, within 250 to 500. Default 250, 500.
	BolusesMl []float64 `yaml:"boluses_ml" json:"boluses_ml"`
	// VolumeGivenMl is the bolus volume charted in 3 h after which volume no
	// longer has to go before a first vasopressor. Default 1000.
	VolumeGivenMl float64 `yaml:"volume_given_ml" json:"volume_given_ml"`
	// LargeBalanceMl is the fluid balance of the stay from which it does not
	// either. Default 5000 (rule F12).
	LargeBalanceMl float64 `yaml:"large_balance_ml" json:"large_balance_ml"`
	// BolusOverMin is the time over which a bolus is given. Default 30 min.
	BolusOverMin int `yaml:"bolus_over_min" json:"bolus_over_min"`
	// RecheckMin is when MAP is to be looked at after a change. Default 15 min
	// (design.md 5.2).
	RecheckMin int `yaml:"recheck_min" json:"recheck_min"`
	// StaleMAPMin is the age from which MAP is stale. Default 120 min (rule X1).
	StaleMAPMin float64 `yaml:"stale_map_min" json:"stale_map_min"`
	// LoneOutlierMmHg is how far below its simulated value on current treatment a
	// single low reading must be to be confirmed before any dose. Default 15.
	LoneOutlierMmHg float64 `yaml:"lone_outlier_mmhg" json:"lone_outlier_mmhg"`
	// StaleLactateH is the age from which lactate is stale: affirming is then
	// forbidden. Default 8 h (rule X1).
	StaleLactateH float64 `yaml:"stale_lactate_h" json:"stale_lactate_h"`
	// HorizonSteps is how many 4-h steps are simulated. Default 3 (12 h).
	HorizonSteps int `yaml:"horizon_steps" json:"horizon_steps"`
	// RefineRounds is how often a dose between one that is enough and one that is
	// not is tried. Default 3; 0 leaves the first proposals.
	RefineRounds int `yaml:"refine_rounds" json:"refine_rounds"`
	// MinGain is how much better (in value) a change must be than current
	// treatment at goal before it is suggested. Default 0.05.
	MinGain float64 `yaml:"min_gain" json:"min_gain"`
	// Tie is the difference in value within which the smaller change wins.
	// Default 0.02.
	Tie float64 `yaml:"tie" json:"tie"`
	// Sufficient is the chance of MAP at goal in the first step from which a
	// change is enough: no larger one is suggested. Default 0.6.
	Sufficient float64 `yaml:"sufficient" json:"sufficient"`
	// SufficientShare is the share of the best change's gain over current
	// treatment that a sufficient smaller change must have. Default 0.5.
	SufficientShare float64 `yaml:"sufficient_share" json:"sufficient_share"`
	// Weights weigh the parts of the value.
	Weights Weights `yaml:"weights" json:"weights"`
	// State is how the chart is read; levels come from it. Set by the wiring
	// so that agent and timeline agree; not part of the agent's own section.
	State state.Config `yaml:"-" json:"-"`
}

// Weights weigh the parts of an option's value. All parts but Burden are about
// the simulated patient, not about what is given (reference sepsisagent.md
// 2.9 #10).
type Weights struct {
	// Pressure per 10 mmHg of expected MAP below goal. Default 1.
	Pressure float64 `yaml:"pressure" json:"pressure"`
	// AtGoal for the chance of a 4-h mean MAP at goal. Default 0.3.
	AtGoal float64 `yaml:"at_goal" json:"at_goal"`
	// Excess per 20 mmHg of expected MAP more than 20 above goal. Default 0.2.
	Excess float64 `yaml:"excess" json:"excess"`
	// Lactate per 2 mmol/L of expected lactate above 2. Default 0.3.
	Lactate float64 `yaml:"lactate" json:"lactate"`
	// Urine for expected urine below 0.5 mL/kg/h, as a fraction. Default 0.2.
	Urine float64 `yaml:"urine" json:"urine"`
	// Organs per 4 points of a smoothed SOFA without its cardiovascular part.
	// Default 0.5.
	Organs float64 `yaml:"organs" json:"organs"`
	// Risk per 10 mmHg by which the lower end of the 80 % interval adds to the
	// MAP below goal. Default 0.3.
	Risk float64 `yaml:"risk" json:"risk"`
	// Disagreement per 10 mmHg by which the ensemble's networks differ about the
	// MAP of the first step. Default 0.3.
	Disagreement float64 `yaml:"disagreement" json:"disagreement"`
	// Vasopressor burden per 0.1 ug/kg/min of norepinephrine-equivalents.
	// Default 0.05.
	Vasopressor float64 `yaml:"vasopressor" json:"vasopressor"`
	// Volume burden per 500 mL of bolus. Default 0.05.
	Volume float64 `yaml:"volume" json:"volume"`
	// Rarity for a change that few clinicians make: per tenfold below 10 %
	// support. Default 0.05.
	Rarity float64 `yaml:"rarity" json:"rarity"`
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		SmallStepUgKgMin: 0.02, FullStepUgKgMin: 0.05, StartUgKgMin: 0.05, CeilingUgKgMin: 0.5,
		DeepMmHg: 5, FullBelowMmHg: 10, SevereMmHg: 55, WeanMarginMmHg: 10, WeanSteps: 2,
		VasopressinFromUgKgMin: 0.25, VasopressinUMin: 0.03, VasopressinStepUMin: 0.01,
		BolusesMl: []float64{250, 500}, VolumeGivenMl: 1000, LargeBalanceMl: 5000, BolusOverMin: 30, RecheckMin: 15,
		StaleMAPMin: 120, LoneOutlierMmHg: 15, StaleLactateH: 8, HorizonSteps: 3, RefineRounds: 3, MinGain: 0.05, Tie: 0.02, Sufficient: 0.6, SufficientShare: 0.5,
		Weights: Weights{
			Pressure: 1, AtGoal: 0.3, Excess: 0.2, Lactate: 0.3, Urine: 0.2, Organs: 0.5,
			Risk: 0.3, Disagreement: 0.3, Vasopressor: 0.05, Volume: 0.05, Rarity: 0.05,
		},
		State: state.DefaultConfig(),
	}
}

// Validate reports the first field that is outside its bounds, by its YAML
// key. Bounds of doses are the hard limits of package policy.
func (cfg Config) Validate() error {
	for _, r := range []struct {
		key       string
		v, lo, hi float64
	}{
		{"small_step_ug_kg_min", cfg.SmallStepUgKgMin, 0.005, policy.MaxFirstStepUgKgMin},
		{"full_step_ug_kg_min", cfg.FullStepUgKgMin, cfg.SmallStepUgKgMin, policy.MaxFirstStepUgKgMin},
		{"start_ug_kg_min", cfg.StartUgKgMin, 0.01, policy.MaxFirstStepUgKgMin},
		{"ceiling_ug_kg_min", cfg.CeilingUgKgMin, 0.1, policy.MaxCeilingUgKgMin},
		{"deep_mmhg", cfg.DeepMmHg, 0, 30},
		{"full_below_mmhg", cfg.FullBelowMmHg, cfg.DeepMmHg, 40},
		{"severe_mmhg", cfg.SevereMmHg, 40, 60},
		{"wean_margin_mmhg", cfg.WeanMarginMmHg, 0, 40},
		{"wean_steps", float64(cfg.WeanSteps), 1, state.MaxSteps},
		{"vasopressin_from_ug_kg_min", cfg.VasopressinFromUgKgMin, 0.1, 0.5},
		{"vasopressin_u_min", cfg.VasopressinUMin, 0.01, policy.MaxVasopressinUMin},
		{"vasopressin_step_u_min", cfg.VasopressinStepUMin, 0.005, 0.02},
		{"volume_given_ml", cfg.VolumeGivenMl, 0, 5000},
		{"large_balance_ml", cfg.LargeBalanceMl, 0, 20000},
		{"bolus_over_min", float64(cfg.BolusOverMin), 5, 120},
		{"recheck_min", float64(cfg.RecheckMin), 5, 60},
		{"stale_map_min", cfg.StaleMAPMin, 15, policy.MaxMAPAgeMin},
		{"lone_outlier_mmhg", cfg.LoneOutlierMmHg, 5, 60},
		{"stale_lactate_h", cfg.StaleLactateH, 1, 24},
		{"horizon_steps", float64(cfg.HorizonSteps), 1, 6},
		{"refine_rounds", float64(cfg.RefineRounds), 0, 8},
		{"min_gain", cfg.MinGain, 0, 5},
		{"tie", cfg.Tie, 0, 1},
		{"sufficient", cfg.Sufficient, 0.5, 1},
		{"sufficient_share", cfg.SufficientShare, 0, 1},
		{"weights.pressure", cfg.Weights.Pressure, 0, 100},
		{"weights.at_goal", cfg.Weights.AtGoal, 0, 100},
		{"weights.excess", cfg.Weights.Excess, 0, 100},
		{"weights.lactate", cfg.Weights.Lactate, 0, 100},
		{"weights.urine", cfg.Weights.Urine, 0, 100},
		{"weights.organs", cfg.Weights.Organs, 0, 100},
		{"weights.risk", cfg.Weights.Risk, 0, 100},
		{"weights.disagreement", cfg.Weights.Disagreement, 0, 100},
		{"weights.vasopressor", cfg.Weights.Vasopressor, 0, 100},
		{"weights.volume", cfg.Weights.Volume, 0, 100},
		{"weights.rarity", cfg.Weights.Rarity, 0, 100},
	} {
		if math.IsNaN(r.v) || r.v < r.lo || r.v > r.hi {
			return fmt.Errorf("%w: %s: %v is outside %v to %v", ErrConfig, r.key, r.v, r.lo, r.hi)
		}
	}
	if len(cfg.BolusesMl) == 0 || len(cfg.BolusesMl) > 4 {
		return fmt.Errorf("%w: boluses_ml: %d sizes, want 1 to 4", ErrConfig, len(cfg.BolusesMl))
	}
	last := 0.0
	for _, ml := range cfg.BolusesMl {
		if !(ml >= policy.MinBolusMl && ml <= policy.MaxBolusMl && ml > last) {
			return fmt.Errorf("%w: boluses_ml: %v: want rising sizes from %v to %v", ErrConfig, ml, policy.MinBolusMl, policy.MaxBolusMl)
		}
		last = ml
	}
	return cfg.State.Validate()
}
