// SPDX-License-Identifier: Apache-2.0

package world

// This file: what a Clinical World Model takes and gives: plans of dose per
// 4-hour step, forecasts with intervals, and how much support the logged
// behaviour of clinicians gives an action.

import (
	"context"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Dose is what is given during one future 4-hour step.
type Dose struct {
	NEUgKgMin float64 `json:"ne"`    // mean norepinephrine-equivalent, ug/kg/min
	FluidMl   float64 `json:"fluid"` // tonicity-adjusted mL in the step
}

// Plan is one treatment over the horizon: Doses[k] covers (T+4k h, T+4(k+1) h].
type Plan struct {
	Name  string `json:"name"`
	Doses []Dose `json:"doses"`
}

// Band is the forecast of one quantity at one future step, in canonical units.
type Band struct {
	Median float64 `json:"m"`
	Lo80   float64 `json:"lo80"`
	Hi80   float64 `json:"hi80"`
	Lo95   float64 `json:"lo95"`
	Hi95   float64 `json:"hi95"`
}

// StepForecast is the forecast for one future step. All bands lie in the
// feature's model range and keep DBP <= MAP <= SBP.
type StepForecast struct {
	EndH         float64                 `json:"endh"` // hours after T at which the step ends
	Band         [state.NumFeatures]Band `json:"band"`
	PMAPAtGoal   float64                 `json:"pmap"`  // chance that the 4-h mean MAP >= goal
	PLactateFall float64                 `json:"plac"`  // chance that lactate is lower than its last known value; 0 when none is known within 48 h
	PVent        float64                 `json:"pvent"` // chance of invasive ventilation
}

// Forecast is the simulated future of one plan.
type Forecast struct {
	Plan         Plan           `json:"plan"`
	Levels       state.Levels   `json:"levels"` // label of the first step
	Steps        []StepForecast `json:"steps"`
	Support      float64        `json:"support"`      // calibrated probability that clinicians give the first step's levels in such a state
	Similar      int            `json:"similar"`      // training steps among the nearest neighbours with the same levels; for a real patient only real ones count
	Disagreement float64        `json:"disagreement"` // ensemble SD of first-step MAP, mmHg
	OOD          float64        `json:"ood"`          // distance percentile of the state against training data, 0..1
}

// Info identifies a model.
type Info struct {
	Kind    string `json:"kind"`    // "native", "persistence", later "reference"
	Version string `json:"version"` // semver of the weights
	Hash    string `json:"hash"`    // SHA-256 of the weights file
	Trained string `json:"trained"` // data it was trained on, for people
	Members int    `json:"members"`
}

// Forecaster simulates. Implementations are deterministic (same timeline,
// plans and goal give the same bytes), safe for concurrent use and never read
// anything after Timeline.At. An error means no forecast: callers must not
// substitute one.
type Forecaster interface {
	Info() Info
	// Forecast simulates every plan over len(plan.Doses) steps (all plans the
	// same length, 1..6). goalMmHg is the MAP goal of PMAPAtGoal.
	Forecast(ctx context.Context, tl *state.Timeline, plans []Plan, goalMmHg float64) ([]Forecast, error)
	// Behaviour returns the calibrated probability of each pair of levels
	// [vasopressor][fluid] given by clinicians in this state; sums to 1.
	Behaviour(tl *state.Timeline) ([5][5]float64, error)
}
