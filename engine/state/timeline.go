// SPDX-License-Identifier: Apache-2.0

package state

// This file: Timeline, the chart as it could be known at one decision time,
// binned for the model and unbinned ("Present") for the rules.

import "time"

// Presence says how a binned value came about.
type Presence uint8

// A value is measured in its step, carried from an earlier one within its
// hold time, or missing. A missing value is 0 and must not be read.
const (
	Missing Presence = iota
	Carried
	Measured
)

// Exposure is treatment received during one step.
type Exposure struct {
	VasoKnown     bool    `json:"vasoknown"`
	NEMaxUgKgMin  float64 `json:"nemax"`  // highest norepinephrine-equivalent in the step
	NEMeanUgKgMin float64 `json:"nemean"` // time-weighted mean
	NEEndUgKgMin  float64 `json:"neend"`  // running at the end of the step
	FluidKnown    bool    `json:"fluidknown"`
	FluidModelMl  float64 `json:"fluidmodel"` // tonicity-adjusted, the model's input
	BolusMl       float64 `json:"bolus"`      // real mL by ledger
	MaintenanceMl float64 `json:"maint"`
	CarrierMl     float64 `json:"carrier"`
	BloodMl       float64 `json:"blood"`
	Levels        Levels  `json:"levels"` // valid only where the matching Known is true
}

// Levels are the published five-by-five labels; 0–4 each. A level is a
// forecast label for what is given over 4 hours, never an order.
type Levels struct {
	Vasopressor int `json:"vasopressor"`
	Fluid       int `json:"fluid"`
}

// Step is one 4-hour bin. Step k ends at Timeline.At minus a multiple of 4 h.
type Step struct {
	Start     time.Time             `json:"start"`
	End       time.Time             `json:"end"`
	Value     [NumFeatures]float64  `json:"value"`
	Presence  [NumFeatures]Presence `json:"presence"`
	AgeH      [NumFeatures]float64  `json:"age"` // hours from measurement to End; 0 when missing
	Given     Exposure              `json:"given"`
	SOFA      SOFA                  `json:"sofa"`
	VentKnown bool                  `json:"ventknown"`
	Vent      bool                  `json:"vent"`   // invasive ventilation during the step
	InStay    bool                  `json:"instay"` // the step overlaps the ICU stay; earlier steps are padding
}

// SOFA is the standard Sequential Organ Failure Assessment over the 24 h that
// end with the step (Vincent 1996; Singer 2016). Unscored components are -1,
// Total sums the scored ones, Scored counts them.
type SOFA struct {
	Resp   int `json:"resp"`
	Coag   int `json:"coag"`
	Liver  int `json:"liver"`
	Cardio int `json:"cardio"`
	CNS    int `json:"cns"`
	Renal  int `json:"renal"`
	Total  int `json:"total"`
	Scored int `json:"scored"`
}

// Reading is one value as a person should see it.
type Reading struct {
	Concept    Concept   `json:"concept"`
	Value      float64   `json:"value"`
	Comparator string    `json:"cmp,omitempty"`
	Unit       string    `json:"unit"`
	At         time.Time `json:"at"`
	Available  time.Time `json:"avail"`
	AgeMin     float64   `json:"agemin"`
	Method     string    `json:"method,omitempty"`
	Received   string    `json:"received"`
	Conversion string    `json:"conversion,omitempty"`
	RecordID   string    `json:"recordid"` // Type/id of the resource
}

// Agent is one vasoactive drug as it stands at T.
type Agent struct {
	Drug        Drug      `json:"drug"`
	Class       Class     `json:"class"`
	State       string    `json:"state"` // AgentRunning, AgentStopped, AgentUndocumented, AgentUnknownRate
	Rate        float64   `json:"rate,omitempty"`
	RateUnit    string    `json:"rateunit,omitempty"`
	RateUgKgMin float64   `json:"ugkgmin,omitempty"` // weight-based; 0 when the drug has none (vasopressin)
	NEUgKgMin   float64   `json:"ne,omitempty"`
	ChartedAt   time.Time `json:"charted"`
	AgeMin      float64   `json:"agemin"`
	EndedAt     time.Time `json:"ended,omitzero"`
	Why         string    `json:"why,omitempty"`
	Received    string    `json:"received,omitempty"`
	RecordID    string    `json:"recordid"`
}

// Values of Agent.State (design.md 5.1).
const (
	AgentRunning      = "running"
	AgentStopped      = "stopped"
	AgentUndocumented = "undocumented" // no documentation for more than 2 h
	AgentUnknownRate  = "unknown-rate" // running, but the rate could not be understood
)

// Pressure is what the rules read of mean arterial pressure (design.md 5.4).
type Pressure struct {
	Newest      *Reading `json:"newest,omitempty"`      // from the preferred source
	ArterialNow *Reading `json:"arterial,omitempty"`    // newest arterial-line MAP
	CuffNow     *Reading `json:"cuff,omitempty"`        // newest cuff MAP
	LastHourMin *Reading `json:"lasthourmin,omitempty"` // lowest of the preferred source in the last hour
	Other       *Reading `json:"other,omitempty"`       // what Newest disagrees with
	GoalMmHg    float64  `json:"goal"`
	GoalOrdered bool     `json:"goalordered"`     // false: default goal
	Disagree    bool     `json:"disagree"`        // two sources differ by > 10 mmHg close in time
	LoneOutlier bool     `json:"outlier"`         // newest differs sharply from its neighbours
	Alone       bool     `json:"alone,omitempty"` // newest is no line's, and nothing in the hour before it bears it out
	Derived     bool     `json:"derived"`         // (SBP + 2 DBP)/3, no MAP charted
}

// FluidBook is fluid charted here, real mL, over windows that end at T.
type FluidBook struct {
	Known        bool    `json:"known"`
	Why          string  `json:"why,omitempty"` // why unknown
	Bolus3hMl    float64 `json:"bolus3h"`
	Bolus24hMl   float64 `json:"bolus24h"`
	In24hMl      float64 `json:"in24h"` // all ledgers
	BloodIn24hMl float64 `json:"blood24h"`
	BloodIn3hMl  float64 `json:"blood3h"`
	BolusStayMl  float64 `json:"bolusstay"`
	InStayMl     float64 `json:"instay"`
	OutStayMl    float64 `json:"outstay"`
	UrineKnown   bool    `json:"urineknown"`
	Urine24hMl   float64 `json:"urine24h"`
	Urine6hMl    float64 `json:"urine6h"`
	BalanceMl    float64 `json:"balance"` // InStay - OutStay; only where both are known
	BalanceKnown bool    `json:"balanceknown"`
}

// Weight is the weight used for rates and volumes (design.md 5.8).
type Weight struct {
	Kg       float64  `json:"kg"` // 0 when unknown
	Known    bool     `json:"known"`
	Source   string   `json:"source,omitempty"` // MethodPumpWeight, "measured", MethodEstimated
	Reading  *Reading `json:"reading,omitempty"`
	Conflict string   `json:"conflict,omitempty"` // non-empty: no weight-based number may be shown
	HeightCm float64  `json:"height,omitempty"`
	BMI      float64  `json:"bmi,omitempty"`
}

// Check is the answer to one clinical question asked of the chart, e.g. "is
// there active bleeding?". What cannot be checked is CheckNotChecked, never absent.
type Check struct {
	Key      string    `json:"key"`
	Result   string    `json:"result"` // CheckPresent, CheckAbsent, CheckNotChecked
	Evidence string    `json:"evidence,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	RecordID string    `json:"recordid,omitempty"`
}

// Values of Check.Result.
const (
	CheckPresent    = "present"
	CheckAbsent     = "absent"
	CheckNotChecked = "not checked"
)

// Sepsis is the evidence for sepsis as known at T (design.md 5.6).
type Sepsis struct {
	Suspected     bool      `json:"suspected"` // antimicrobial, culture or dated sepsis condition
	Evidence      []string  `json:"evidence,omitempty"`
	Prophylaxis   string    `json:"prophylaxis,omitempty"` // antimicrobials that are no evidence, and why
	Since         time.Time `json:"since,omitzero"`        // earliest evidence
	SOFA          int       `json:"sofa"`                  // highest 24-h SOFA of the timeline's steps in the stay (48 h)
	BaselineSOFA  int       `json:"baseline"`              // from conditions known before (dialysis/ESRD, cirrhosis), else 0
	BaselineKnown bool      `json:"baselineknown"`
	Met           bool      `json:"met"`   // Suspected and SOFA - BaselineSOFA >= 2
	Shock         bool      `json:"shock"` // Sepsis-3: vasopressor needed for MAP >= 65 and lactate > 2 after volume
	ShockWhy      string    `json:"shockwhy,omitempty"`
}

// Present is the newest state of the chart at T, read by rules and cards.
type Present struct {
	Readings    map[string]Reading `json:"readings"` // newest per concept, whatever its age
	MAP         Pressure           `json:"map"`
	Lactate     Trend              `json:"lactate"`
	PFRatio     Trend              `json:"pf"`
	Hb          Trend              `json:"hb"`
	Agents      []Agent            `json:"agents,omitempty"` // every vasoactive charted in the last 24 h
	VasoKnown   bool               `json:"vasoknown"`
	VasoWhy     string             `json:"vasowhy,omitempty"`
	NEUgKgMin   float64            `json:"ne"` // running norepinephrine-equivalents at T
	Fluids      FluidBook          `json:"fluids"`
	Weight      Weight             `json:"weight"`
	Sepsis      Sepsis             `json:"sepsis"`
	Checks      []Check            `json:"checks"`      // in a fixed order, every key always there
	StepsAtGoal int                `json:"stepsatgoal"` // consecutive latest steps with mean MAP >= goal
}

// Trend is the newest and the previous value of one quantity.
type Trend struct {
	Now     *Reading `json:"now,omitempty"`
	Before  *Reading `json:"before,omitempty"` // latest one at least 1 h older than Now
	Rising  bool     `json:"rising"`
	Falling bool     `json:"falling"`
}

// Timeline is all the decider may read of a chart, at time At.
type Timeline struct {
	At         time.Time `json:"at"`
	PatientID  string    `json:"patient"`
	StayID     string    `json:"stay"`
	Unit       string    `json:"unit,omitempty"`
	AgeYears   float64   `json:"age"`
	AgeKnown   bool      `json:"ageknown"`
	Sex        string    `json:"sex,omitempty"`
	Synthetic  bool      `json:"synthetic,omitempty"`
	HoursInICU float64   `json:"hours"`
	Steps      []Step    `json:"steps"` // oldest first, always MaxSteps long, last one ends at At
	Present    Present   `json:"present"`
	Gaps       []Gap     `json:"gaps,omitempty"`
}

// StepHours is the length of a step; MaxSteps is how many a Timeline holds (48 h).
const (
	StepHours = 4
	MaxSteps  = 12
)
