// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: one forecast compared with what came: the decision of a receipt,
// and the patient's pressure as a later call finds it charted.

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/drift"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ComparisonSchema names the form of a Comparison.
const ComparisonSchema = "sepsisagent.calibration/1"

// Comparison is the body of an entry of kind calibration: what was forecast for
// the four hours after a decision, for the treatment that was then given, and
// the mean arterial pressure that came, in mmHg.
type Comparison struct {
	Schema   string       `json:"schema"`
	Decision string       `json:"decision"` // id of its receipt
	At       time.Time    `json:"at"`       // of the decision
	Plan     string       `json:"plan"`     // the simulated plan nearest to what was given
	Levels   state.Levels `json:"levels"`   // that were given
	GoalMmHg float64      `json:"goal"`
	Chance   float64      `json:"chance"` // forecast of the 4-h mean at goal
	Lo80MmHg float64      `json:"lo80"`
	Hi80MmHg float64      `json:"hi80"`
	MAPMmHg  float64      `json:"map"` // the 4-h mean that came
	Inside   bool         `json:"inside"`
	AtGoal   bool         `json:"atGoal"`
}

// Why a forecast was not compared; words of a metric.
var (
	errUnforecast = errors.New("unforecast") // the decision simulated nothing
	errUnmeasured = errors.New("unmeasured") // no pressure was charted in the four hours, or not what was given
	errUntried    = errors.New("untried")    // what was given is none of the plans simulated
)

// horizon is how far ahead the forecast that is compared looks.
const horizon = state.StepHours * time.Hour

// compare holds a decision's options against the step that followed it. Only a
// plan of the levels that were given is a forecast of what came; of several the
// nearest in dose is taken.
func compare(options []agent.Option, goalMmHg float64, came *state.Step) (Comparison, error) {
	if !came.InStay || came.Presence[state.MeanBP] != state.Measured || !came.Given.VasoKnown || !came.Given.FluidKnown {
		return Comparison{}, errUnmeasured
	}
	var nearest *agent.Option
	least, forecast := math.Inf(1), false
	for i := range options {
		o := &options[i]
		if len(o.Forecast.Steps) == 0 || len(o.Forecast.Plan.Doses) == 0 {
			continue
		}
		forecast = true
		if o.Forecast.Levels != came.Given.Levels {
			continue
		}
		// 0.05 ug/kg/min, the largest step, weighs as much as a 500 mL bolus.
		dose := o.Forecast.Plan.Doses[0]
		far := math.Abs(dose.NEUgKgMin-came.Given.NEMeanUgKgMin)/0.05 + math.Abs(dose.FluidMl-came.Given.FluidModelMl)/500
		if far < least {
			nearest, least = o, far
		}
	}
	switch {
	case !forecast:
		return Comparison{}, errUnforecast
	case nearest == nil:
		return Comparison{}, errUntried
	}
	step, is := &nearest.Forecast.Steps[0], came.Value[state.MeanBP]
	band := step.Band[state.MeanBP]
	return Comparison{
		Schema: ComparisonSchema, Plan: nearest.Forecast.Plan.Name, Levels: came.Given.Levels, GoalMmHg: goalMmHg,
		Chance: step.PMAPAtGoal, Lo80MmHg: band.Lo80, Hi80MmHg: band.Hi80, MAPMmHg: is,
		Inside: is >= band.Lo80 && is <= band.Hi80, AtGoal: is >= goalMmHg,
	}, nil
}

// outcome is the comparison as the detector takes it.
func (c *Comparison) outcome() drift.Outcome {
	return drift.Outcome{Inside: c.Inside, Chance: c.Chance, AtGoal: c.AtGoal}
}

// DriftConfig is when forecasts count as no longer holding.
type DriftConfig struct {
	// FalseAlarm is how rare a false alarm is: while forecasts hold, one comes
	// on average no more often than once in so many comparisons of one client's
	// unit. Fewer find drift sooner. Default 10000, between 100 and 1e9.
	FalseAlarm int `yaml:"false_alarm"`
	// Resets end drifts found before a time. Whoever writes one answers for it:
	// it is in the log under that name.
	Resets []DriftReset `yaml:"resets"`
}

// DriftReset ends what was found at one place before a time.
type DriftReset struct {
	Client string `yaml:"client"`
	// Unit is one that display_by_unit names; empty: all others of the client.
	Unit     string    `yaml:"unit"`
	Before   time.Time `yaml:"before"`
	Operator string    `yaml:"operator"`
	Why      string    `yaml:"why"`
}

func (c DriftConfig) validate() error {
	if err := drift.Check(c.FalseAlarm); err != nil {
		return fmt.Errorf("false_alarm: %w", err)
	}
	for i, r := range c.Resets {
		if r.Client == "" || r.Before.IsZero() || oneLine(r.Operator) == "" || oneLine(r.Why) == "" {
			return fmt.Errorf("resets[%d]: client, before, operator and why are required (hint: who ends a drift answers for it)", i)
		}
	}
	return nil
}
