// SPDX-License-Identifier: Apache-2.0

package state

// This file: Record, the narrow as-received form of one FHIR resource (or one
// component of it). Records are what a receipt stores, so that a replay can map
// them again with the same code that mapped them the first time.

// Coding is a code in a code system, as received.
type Coding struct {
	System  string `json:"s,omitempty"`
	Code    string `json:"c,omitempty"`
	Display string `json:"d,omitempty"`
}

// Quantity is a number with a unit, as received. Value keeps the decimal text
// of the wire (1.20 stays 1.20); it is empty when the resource had no number.
type Quantity struct {
	Value      string `json:"v,omitempty"`
	Comparator string `json:"cmp,omitempty"`
	Unit       string `json:"u,omitempty"` // human unit text
	System     string `json:"s,omitempty"`
	Code       string `json:"c,omitempty"` // coded unit
}

// Ingredient is one component of a medication, with its strength
// (Amount per Per) when the resource gave one.
type Ingredient struct {
	Codes  []Coding  `json:"codes,omitempty"`
	Text   string    `json:"text,omitempty"`
	Amount *Quantity `json:"amount,omitempty"`
	Per    *Quantity `json:"per,omitempty"`
}

// Origin says by which way a resource reached us.
type Origin struct {
	Via  string `json:"via"`            // "prefetch", "fetch", "folder", "bundle", "synthetic"
	Key  string `json:"key,omitempty"`  // prefetch key or file name, never a path with identifiers
	Line int    `json:"line,omitempty"` // 1-based line of an NDJSON file
}

// Record is one FHIR resource, or one component of a panel, reduced to what
// mapping reads. All times and numbers are the text received; nothing in a
// Record has been converted or interpreted.
type Record struct {
	Type        string       `json:"t"`
	ID          string       `json:"id"`
	Part        string       `json:"part,omitempty"` // e.g. "component[1]"
	Status      string       `json:"st,omitempty"`
	Intent      string       `json:"intent,omitempty"`
	Categories  []Coding     `json:"cat,omitempty"`
	Codes       []Coding     `json:"codes,omitempty"`
	Text        string       `json:"text,omitempty"`
	Patient     string       `json:"pat,omitempty"` // reference as received
	Encounter   string       `json:"enc,omitempty"`
	Start       string       `json:"start,omitempty"` // effective/onset/performed/period start
	End         string       `json:"end,omitempty"`
	IsPeriod    bool         `json:"period,omitempty"`
	Issued      string       `json:"issued,omitempty"` // issued / recordedDate / authoredOn
	Value       *Quantity    `json:"value,omitempty"`
	ValueCodes  []Coding     `json:"vcodes,omitempty"`
	ValueText   string       `json:"vtext,omitempty"`
	ValueKind   string       `json:"vkind,omitempty"`  // the member that held a value of a kind that is not read, e.g. "valueRange"
	Absent      string       `json:"absent,omitempty"` // dataAbsentReason, code or text
	Dose        *Quantity    `json:"dose,omitempty"`
	Rate        *Quantity    `json:"rate,omitempty"`
	RatePer     *Quantity    `json:"rateper,omitempty"` // denominator of a rateRatio
	Volume      *Quantity    `json:"vol,omitempty"`     // bag volume or concentration denominator
	Strength    *Quantity    `json:"str,omitempty"`     // drug amount in Volume
	PumpRate    *Quantity    `json:"pump,omitempty"`    // mL/h beside a mass rate
	DoseWeight  *Quantity    `json:"dw,omitempty"`      // pump or order dosing weight
	Method      []Coding     `json:"method,omitempty"`
	MethodText  string       `json:"mtext,omitempty"`
	Device      string       `json:"dev,omitempty"`  // display of the measuring device, e.g. "Arterial line"
	Site        []Coding     `json:"site,omitempty"` // body site or route
	Specimen    []Coding     `json:"spec,omitempty"` // resolved specimen type
	Ingredients []Ingredient `json:"ingr,omitempty"`
	Clinical    string       `json:"clin,omitempty"` // Condition.clinicalStatus
	Verify      string       `json:"ver,omitempty"`  // Condition.verificationStatus
	Gender      string       `json:"gender,omitempty"`
	BirthDate   string       `json:"birth,omitempty"`
	Deceased    string       `json:"dead,omitempty"` // outcome label only; never a feature
	Class       string       `json:"class,omitempty"`
	PartOf      string       `json:"partof,omitempty"`
	Provider    string       `json:"prov,omitempty"` // managing/service organisation
	Disposition string       `json:"disp,omitempty"` // outcome label only
	Tags        []Coding     `json:"tags,omitempty"` // meta.security/meta.tag (HTEST marks synthetic data)
	Origin      Origin       `json:"o"`
}
