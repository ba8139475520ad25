// SPDX-License-Identifier: Apache-2.0

package state

// This file: Chart, what is known of one patient in one ICU stay: events as
// received and in canonical units, each with the time it could be known, and
// everything that was not usable, with the reason.

import "time"

// Concept names what an event is about. The 39 features use their feature
// names; the constants below name the other things the rules and the timeline
// read.
type Concept string

// Concepts that are not among the 39 features. Units are UCUM.
const (
	ConceptWeight   Concept = "weight"     // kg
	ConceptHeight   Concept = "height"     // cm
	ConceptCVP      Concept = "cvp"        // mm[Hg]
	ConceptPEEP     Concept = "peep"       // cm[H2O]
	ConceptO2Flow   Concept = "o2_flow"    // L/min
	ConceptO2Device Concept = "o2_device"  // 1: oxygen by a device that does not determine FiO2
	ConceptRASS     Concept = "rass"       // {score}
	ConceptGCSTotal Concept = "gcs_total"  // {score}
	ConceptCRT      Concept = "cap_refill" // s
	// Measured in few patients; read by the rules on cardiac dysfunction and fluid
	// response. No shipped code map fills them: a site that charts them maps its
	// own codes.
	ConceptCardiacIndex Concept = "cardiac_index" // L/min/m2
	ConceptScvO2        Concept = "scvo2"         // %, central or mixed venous saturation
	ConceptSVV          Concept = "svv"           // %, stroke volume or pulse pressure variation
	ConceptMAPGoal      Concept = "map_goal"      // mm[Hg], an ordered MAP goal
	ConceptUrineIrrig   Concept = "irrigant_in"   // mL, subtracted from urine
	ConceptOtherOutput  Concept = "other_output"  // mL, drains, stool, dialysis removal
)

// Values of Measurement.Method that change how a value may be used.
const (
	MethodArterial     = "arterial"      // arterial line or arterial specimen
	MethodCuff         = "cuff"          // non-invasive pressure
	MethodVenous       = "venous"        // venous or unspecified gas: never used for P/F
	MethodHourlyMedian = "hourly-median" // summarises the hour that follows Effective
	MethodPumpWeight   = "pump"          // dosing weight from pump or order
	MethodEstimated    = "estimated"     // e.g. stated or admission weight
	MethodIntubated    = "intubated"     // GCS verbal not testable
	MethodRoomAir      = "room-air"      // FiO2 of the air: ends with the next oxygen device
	MethodBloodGas     = "blood-gas"     // haemoglobin of a blood gas analyser: never compared with the laboratory's
)

// Measurement is one timed observation in its concept's canonical unit.
type Measurement struct {
	Concept    Concept   `json:"concept"`
	Value      float64   `json:"value"`
	Comparator string    `json:"cmp,omitempty"` // "<", "<=", ">", ">=" as received
	Effective  time.Time `json:"at"`
	End        time.Time `json:"end,omitzero"`     // end of the summarised or collection period
	Available  time.Time `json:"avail"`            // when it could first be known
	Lagged     bool      `json:"lagged,omitempty"` // Available was derived from a lag table, not charted
	Status     string    `json:"status,omitempty"`
	Method     string    `json:"method,omitempty"`
	Received   string    `json:"received"`             // value and unit as received, for people
	Conversion string    `json:"conversion,omitempty"` // what was done, e.g. "umol/L / 88.42"; empty when none
	Record     int       `json:"rec"`                  // index into Chart.Records
}

// Drug names an active substance or fluid of the drug catalogue
// (lower-case ingredient name, e.g. "norepinephrine", "lactated ringer").
type Drug string

// Class groups drugs by what the rules and the timeline do with them.
type Class string

// The drug classes.
const (
	ClassVasopressor   Class = "vasopressor" // counted in norepinephrine-equivalents
	ClassInotrope      Class = "inotrope"    // makes the case one the model does not know
	ClassVasoactive    Class = "vasoactive"  // other vasoactive the model does not know
	ClassCrystalloid   Class = "crystalloid"
	ClassColloid       Class = "colloid"
	ClassBlood         Class = "blood"
	ClassCarrier       Class = "carrier" // fluid given only to carry a drug
	ClassFreeWater     Class = "free-water"
	ClassAntimicrobial Class = "antimicrobial" // systemic
	ClassSteroid       Class = "steroid"
	ClassOther         Class = "other"
	// ClassUnidentified is an infusion whose medication nobody can name: its
	// resource was not supplied, or its code is in no code map and has no text.
	// It may be a vasopressor or a fluid, so it makes both unknown while it runs.
	ClassUnidentified Class = "unidentified"
)

// Form says how an administration was given.
type Form string

// The administration forms.
const (
	FormInfusion Form = "infusion" // runs at a rate between Start and End
	FormBolus    Form = "bolus"    // an amount, over Start..End or at once
	FormPush     Form = "push"     // push-dose vasopressor: maps to no level
)

// Rate units that an Administration may carry. Weight is applied by Build,
// at T, with the weight known at T.
const (
	UnitUgKgMin = "ug/kg/min"
	UnitUgMin   = "ug/min"
	UnitUMin    = "[iU]/min"
	UnitMlH     = "mL/h"
)

// Ledger says which real-mL account a fluid belongs to.
type Ledger string

// The fluid ledgers (design.md 5.3).
const (
	LedgerBolus       Ledger = "bolus"
	LedgerMaintenance Ledger = "maintenance"
	LedgerCarrier     Ledger = "carrier"
	LedgerBlood       Ledger = "blood"
)

// Administration is one drug or fluid given. A rate that could not be
// understood is kept with RateKnown false and Unknown saying why: it makes the
// exposure unknown, never zero.
type Administration struct {
	Drug      Drug      `json:"drug"`
	Class     Class     `json:"class"`
	Form      Form      `json:"form"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end,omitzero"` // zero: still open as charted
	Available time.Time `json:"avail"`
	EndAvail  time.Time `json:"endavail,omitzero"` // when the end could be known; zero: at End itself
	Lagged    bool      `json:"lagged,omitempty"`
	// DocumentedEveryMin > 0: the source merges unchanged rates into one row
	// and confirms a running rate at least this often, so that a row covering
	// T counts as documented at the last such instant. 0: documented at Start only.
	DocumentedEveryMin float64 `json:"docmin,omitempty"`
	RateKnown          bool    `json:"rateknown"`
	Rate               float64 `json:"rate"`
	RateUnit           string  `json:"rateunit,omitempty"` // one of the Unit… constants
	DosingKg           float64 `json:"dosingkg,omitempty"` // pump or order weight carried by the row; 0 none
	AmountMl           float64 `json:"ml,omitempty"`       // total real volume over Start..End, when charted
	MlKnown            bool    `json:"mlknown"`
	// MlPerH is the pump's volume rate where it is charted beside a mass rate
	// (0 none). A volume rate in Rate with UnitMlH needs no MlPerH. It gives the
	// volume of a row whose end is not yet known at T, for which AmountMl
	// would tell the future.
	MlPerH     float64 `json:"mlh,omitempty"`
	Tonicity   float64 `json:"tonicity,omitempty"` // 0.9 % saline equivalents per mL (reference 5.5)
	Ledger     Ledger  `json:"ledger,omitempty"`
	Unknown    string  `json:"unknown,omitempty"` // why rate or amount is unknown
	ByText     bool    `json:"bytext,omitempty"`  // recognised by name only: flagged
	Received   string  `json:"received"`
	Conversion string  `json:"conversion,omitempty"`
	Record     int     `json:"rec"`
}

// Condition is a diagnosis. Dated is false when no onset or recorded date was
// charted; such a condition never feeds features or gates (design.md 5.5).
type Condition struct {
	Tags      []Tag     `json:"tags"` // what the code map recognises in it
	Text      string    `json:"text"`
	Onset     time.Time `json:"onset,omitzero"`
	Available time.Time `json:"avail,omitzero"`
	Abated    time.Time `json:"abated,omitzero"`
	Dated     bool      `json:"dated"`
	Record    int       `json:"rec"`
}

// Tag is a clinical meaning that the code maps give to conditions, procedures
// and orders.
type Tag string

// Tags read by applicability, abstention and rules (design.md 5.3, 5.6).
const (
	TagSepsis       Tag = "sepsis"
	TagInfection    Tag = "infection"
	TagHeartFailure Tag = "heart-failure"
	TagESRD         Tag = "esrd"
	TagDialysis     Tag = "dialysis"
	TagCirrhosis    Tag = "cirrhosis"
	TagPregnancy    Tag = "pregnancy"
	TagBleeding     Tag = "bleeding"
	TagCardiogenic  Tag = "cardiogenic-shock"
	TagObstructive  Tag = "obstructive-shock"
	TagNeurogenic   Tag = "neurogenic-shock"
	TagAnaphylaxis  Tag = "anaphylaxis"
	TagPostArrest   Tag = "post-arrest"
	TagBurns        Tag = "burns"
	TagDKA          Tag = "dka"
	TagComfortCare  Tag = "comfort-care"
	TagDNR          Tag = "dnr" // never excludes
	TagCulture      Tag = "culture"
	TagVentInvasive Tag = "vent-invasive"
	TagVentNIV      Tag = "vent-noninvasive"
	TagECMO         Tag = "ecmo"
	TagMechSupport  Tag = "mechanical-support"
	TagProcedureNow Tag = "procedure-in-progress" // operating theatre, endoscopy, cath lab
)

// Procedure is something done or being done, between Start and End (zero: open).
type Procedure struct {
	Tags      []Tag     `json:"tags"`
	Text      string    `json:"text"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end,omitzero"`
	Available time.Time `json:"avail"`
	EndAvail  time.Time `json:"endavail,omitzero"`
	Record    int       `json:"rec"`
}

// Order is an active request or directive (MAP goal, antimicrobial order,
// comfort care, code status).
type Order struct {
	Tags      []Tag     `json:"tags,omitempty"`
	Class     Class     `json:"class,omitempty"`
	Drug      Drug      `json:"drug,omitempty"`
	Value     float64   `json:"value,omitempty"` // e.g. MAP goal in mm[Hg] when Concept is map_goal
	Concept   Concept   `json:"concept,omitempty"`
	Status    string    `json:"status,omitempty"`
	Text      string    `json:"text"`
	Start     time.Time `json:"start"`
	Available time.Time `json:"avail"`
	Record    int       `json:"rec"`
}

// Gap says that a kind of data is not charted here or could not be had, so
// that its absence is unknown and not zero.
type Gap struct {
	What   string `json:"what"` // "vasopressor", "fluid", "conditions", "procedures", "orders", a feature name …
	Reason string `json:"reason"`
}

// Reject is one resource, or part of one, that carried a value we could not use.
type Reject struct {
	Type   string `json:"t"`
	ID     string `json:"id"`
	Part   string `json:"part,omitempty"`
	Reason string `json:"reason"`           // stable text, no chart values in it
	Detail string `json:"detail,omitempty"` // what was received
	Origin Origin `json:"o"`
}

// Tally counts every resource exactly once as used, ignored (not of interest)
// or rejected (of interest, not usable). Read = Used + Ignored + Rejected.
type Tally struct {
	Read     int            `json:"read"`
	Used     int            `json:"used"`
	Ignored  int            `json:"ignored"`
	Rejected int            `json:"rejected"`
	Reasons  map[string]int `json:"reasons,omitempty"` // ignored and rejected, by reason
}

// Person holds the patient facts that may be read at a bedside.
type Person struct {
	ID        string    `json:"id"`
	Sex       string    `json:"sex,omitempty"` // FHIR administrative gender
	BirthDate time.Time `json:"birth,omitzero"`
	Synthetic bool      `json:"synthetic,omitempty"` // tagged HTEST
}

// Stay is one ICU encounter. End and outcomes are labels for training and
// evaluation; Build never reads them.
type Stay struct {
	ID             string    `json:"id"`
	Hospital       string    `json:"hospital,omitempty"`
	Unit           string    `json:"unit,omitempty"`
	ICU            bool      `json:"icu"` // known to be an ICU stay
	ICUKnown       bool      `json:"icuknown"`
	Start          time.Time `json:"start,omitzero"`
	End            time.Time `json:"end,omitzero"`
	DiedInHospital bool      `json:"died,omitempty"`
	OutcomeKnown   bool      `json:"outcomeknown,omitempty"`
	DeathTime      time.Time `json:"death,omitzero"`
	DiedWithin90d  bool      `json:"died90,omitempty"`
	Died90dKnown   bool      `json:"died90known,omitempty"`
}

// Chart is everything known of one patient and stay. Slices are sorted by
// (time, record id) so that the order in which resources came never matters.
type Chart struct {
	Person          Person           `json:"person"`
	Stay            Stay             `json:"stay"`
	Measurements    []Measurement    `json:"measurements,omitempty"`
	Administrations []Administration `json:"administrations,omitempty"`
	Conditions      []Condition      `json:"conditions,omitempty"`
	Procedures      []Procedure      `json:"procedures,omitempty"`
	Orders          []Order          `json:"orders,omitempty"`
	Gaps            []Gap            `json:"gaps,omitempty"`
	Rejects         []Reject         `json:"rejects,omitempty"`
	Tally           Tally            `json:"tally"`
	Records         []Record         `json:"records,omitempty"` // as received, of the used events only
}
