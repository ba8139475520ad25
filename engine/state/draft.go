// SPDX-License-Identifier: Apache-2.0

package state

// This file: drafted orders, what a clinician is about to order, as an order
// hook sends it. A draft is no event: nothing of it has been given, so it is
// part of no chart and no timeline.

// Drafted is one dosage instruction of a drafted order as received. Receipts
// store it, and it maps to the same Draft again.
type Drafted struct {
	Record
	RateHigh *Quantity `json:"ratehigh,omitempty"` // upper end of a rateRange
	DoseHigh *Quantity `json:"dosehigh,omitempty"` // upper end of a doseRange
	Over     *Quantity `json:"over,omitempty"`     // how long one administration takes (timing.repeat.duration)
	AsNeeded bool      `json:"prn,omitempty"`
	Whose    string    `json:"whose,omitempty"` // why nobody can tell that it is for this patient; empty: it says so, or says nothing
	// Fault says why the order could not be read at all; the rest is then of no use.
	Fault string `json:"fault,omitempty"`
}

// What a draft does to the drug it names.
const (
	DraftGives = "gives" // starts it, or changes how it runs
	DraftStops = "stops" // the order is cancelled, stopped or over
	DraftHolds = "holds" // the order is put on hold
)

// Draft is one dosage instruction of a drafted order, understood by the same
// code maps and drug arithmetic as an Administration. What could not be
// understood has RateKnown or MlKnown false and Unknown saying why.
type Draft struct {
	ID   string `json:"id"`             // Type/id of the order, as in draftOrders
	Part string `json:"part,omitempty"` // e.g. "dosageInstruction[1]", where there are several
	Name string `json:"name,omitempty"` // the medication in the order's own words
	// Selected says that the hook asks about this order; one that is not is what
	// the others are judged beside.
	Selected bool `json:"selected,omitempty"`
	// Skip says why the draft is not judged: it is no vasopressor and no
	// resuscitation fluid, or nobody can tell. Unread is set beside it where the
	// resource itself could not be read.
	Skip   string `json:"skip,omitempty"`
	Unread bool   `json:"unread,omitempty"`

	Whose string `json:"whose,omitempty"` // why nobody can tell that it is for this patient
	Drug  Drug   `json:"drug,omitempty"`
	Class Class  `json:"class,omitempty"`
	Form  Form   `json:"form,omitempty"`
	Does  string `json:"does,omitempty"` // one of the Draft… constants
	PRN   bool   `json:"prn,omitempty"`

	RateKnown bool    `json:"rateknown,omitempty"`
	Rate      float64 `json:"rate,omitempty"` // of a titration range its lower end
	RateUnit  string  `json:"rateunit,omitempty"`
	RateHigh  float64 `json:"ratehigh,omitempty"` // upper end of a titration range in RateUnit; 0 none
	DosingKg  float64 `json:"dosingkg,omitempty"` // weight carried by the order; 0 none
	AmountMl  float64 `json:"ml,omitempty"`
	MlKnown   bool    `json:"mlknown,omitempty"`
	OverMin   float64 `json:"overmin,omitempty"` // how long the amount takes; 0 not said
	Tonicity  float64 `json:"tonicity,omitempty"`
	Ledger    Ledger  `json:"ledger,omitempty"`
	// Dosed says that the order carries a rate or an amount, understood or not,
	// in numbers or in words.
	Dosed bool `json:"dosed,omitempty"`
	// Implausible says that the rate, as written and without any conversion by a
	// concentration, or the volume of a fluid, is beyond what anybody gives: as a rule a wrong unit.
	Implausible bool   `json:"implausible,omitempty"`
	Unknown     string `json:"unknown,omitempty"` // why rate or amount is unknown
	ByText      bool   `json:"bytext,omitempty"`  // recognised by name only
	Received    string `json:"received,omitempty"`
	Conversion  string `json:"conversion,omitempty"`
}
