// SPDX-License-Identifier: Apache-2.0

package world

// This file: the record of a model's measured properties: what `evaluate
// world --json` prints and what a model file keeps of its own test.

import (
	"math"
	"strconv"
)

// Scores are the measured properties of a model on one set of patients.
// Errors are standardised on the modelling scale and taken over observed
// entries only; a number that could not be measured is null.
type Scores struct {
	StateMAE       Number `json:"state_mae"`
	PersistenceMAE Number `json:"persistence_mae"`
	NewestMAE      Number `json:"newest_reading_mae"` // persistence of the newest single reading instead of the newest step
	RidgeMAE       Number `json:"ridge_mae"`
	ReferenceMAE   Number `json:"reference_mae"` // null: the model file has no reference network
	Improvement    Number `json:"improvement"`   // 1 - state_mae / the best of the baselines above
	NLL            Number `json:"nll"`           // of the standardised truth under the served distribution
	Interval80     Number `json:"interval80_coverage"`
	Interval95     Number `json:"interval95_coverage"`
	VentAUROC      Number `json:"vent_auroc"`
	VentECE        Number `json:"vent_ece"`
	MortalityAUROC Number `json:"mortality_auroc"` // death in hospital, at the landmark of 24 h
	MortalityAUPRC Number `json:"mortality_auprc"`
	MortalityECE   Number `json:"mortality_ece"`
	Vaso24hAUROC   Number `json:"vaso24h_auroc"` // among those off vasopressors, at the landmark of 24 h

	RolloutMAE       [Horizon]Number `json:"rollout_mae"`
	PersistRollout   [Horizon]Number `json:"persistence_rollout_mae"`
	RidgeRollout     [Horizon]Number `json:"ridge_rollout_mae"` // ridge fed with its own forecasts
	ReferenceRollout [Horizon]Number `json:"reference_rollout_mae"`
	Rollout80        [Horizon]Number `json:"rollout_coverage80"`
	Rollout95        [Horizon]Number `json:"rollout_coverage95"`

	BehaviourNLL  Number `json:"behaviour_nll"`
	BehaviourTop1 Number `json:"behaviour_top1"`
	// Support is what the behaviour model says of each level, against what came.
	Support []SupportLevel `json:"support,omitempty"`

	FeatureMAE     map[string]Number `json:"feature_mae"`         // canonical units, next step
	FeaturePersist map[string]Number `json:"feature_persistence"` // the same for persistence
	FeatureCover80 map[string]Number `json:"feature_coverage80"`
	FeatureCover95 map[string]Number `json:"feature_coverage95"`
	FeatureEntries map[string]int    `json:"feature_entries"`

	Strata           []Stratum           `json:"strata"`            // of observed next-step values, by what was given in that step
	Landmarks        []Landmark          `json:"landmarks"`         // death in hospital
	Landmarks90      []Landmark          `json:"landmarks_90d"`     // death within 90 days, where it is known; never pooled with the other
	VentReliability  []Bin               `json:"vent_reliability"`  // of the chance of ventilation in the next step
	DeathReliability []Bin               `json:"death_reliability"` // of the chance of death in hospital, at the landmark of 24 h
	Groups           []Group             `json:"groups"`
	Bootstrap        map[string]Interval `json:"intervals"` // 95 %, patients resampled; by the name of the number

	Patients      int `json:"patients"`
	Stays         int `json:"stays"`
	Steps         int `json:"steps"`
	Entries       int `json:"entries"`         // observed next-step values
	VentSteps     int `json:"vent_steps"`      // decision times with known ventilation in the next step
	VentYes       int `json:"vent_ventilated"` // of these, ventilated
	MortalityN    int `json:"mortality_stays"` // stays at the landmark of 24 h with a known outcome
	Deaths        int `json:"mortality_deaths"`
	Vaso24hN      int `json:"vaso24h_stays"` // stays off vasopressors at the landmark of 24 h with a known course
	Vaso24hStarts int `json:"vaso24h_starts"`
	ComfortKnown  int `json:"comfort_care_known"` // decision times at which the chart says whether comfort care only is ordered
}

// Interval is a 95 % interval of a number.
type Interval struct {
	Low  Number `json:"low"`
	High Number `json:"high"`
}

// Stratum scores the next step where one kind of treatment was given in it.
type Stratum struct {
	Name        string `json:"name"`
	Entries     int    `json:"entries"`
	StateMAE    Number `json:"state_mae"`
	Persistence Number `json:"persistence_mae"`
	Interval80  Number `json:"interval80_coverage"`
	Interval95  Number `json:"interval95_coverage"`
}

// Landmark scores the prediction of death at one time after ICU admission: one
// prediction per stay that is still in the unit.
type Landmark struct {
	Hour   int      `json:"hour"`
	Stays  int      `json:"stays"`
	Deaths int      `json:"deaths"`
	AUROC  Number   `json:"auroc"`
	Range  Interval `json:"auroc_interval"`
	AUPRC  Number   `json:"auprc"`
	ECE    Number   `json:"ece"`
}

// Bin is one bin of a reliability diagram.
type Bin struct {
	Low       Number   `json:"low"` // of the predicted chance
	High      Number   `json:"high"`
	N         int      `json:"n"`                 // predictions in it
	Predicted Number   `json:"predicted"`         // their mean
	Observed  Number   `json:"observed"`          // share in which it came true
	Range     Interval `json:"observed_interval"` // 95 %, Wilson
}

// Group scores one part of the patients.
type Group struct {
	By          string   `json:"by"` // source, hospital, hospitals, age, sex
	Name        string   `json:"name"`
	Patients    int      `json:"patients"`
	Stays       int      `json:"stays"`
	Entries     int      `json:"entries"`
	StateMAE    Number   `json:"state_mae"`
	MAERange    Interval `json:"state_mae_interval"`
	Persistence Number   `json:"persistence_mae"`
	Improvement Number   `json:"improvement"` // over the best baseline in this group
	Interval80  Number   `json:"interval80_coverage"`
	Range80     Interval `json:"interval80_interval"`
	Interval95  Number   `json:"interval95_coverage"`
	VentAUROC   Number   `json:"vent_auroc"`
	AtLandmark  int      `json:"mortality_stays"`
	Deaths      int      `json:"mortality_deaths"`
	Mortality   Number   `json:"mortality_auroc"`
	DeathRange  Interval `json:"mortality_auroc_interval"`
	ECE         Number   `json:"mortality_ece"`
}

// Number is a float that is written as null when it was not measured.
type Number float64

// known tells whether the number was measured.
func (n Number) known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// unmeasured is a Number that was not measured.
var unmeasured = Number(math.NaN())

// MarshalJSON writes null for what is not a finite number.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.known() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON reads null as not measured.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = unmeasured
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	*n = Number(v)
	return err
}
