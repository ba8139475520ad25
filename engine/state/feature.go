// SPDX-License-Identifier: Apache-2.0

package state

// This file: the types of the feature catalogue. The catalogue itself, one row
// per feature, is in catalogue.go.

// NumFeatures is the number of dynamic variables (reference sepsisagent.md 5.7).
const NumFeatures = 39

// Transform says on which scale a feature is modelled.
type Transform string

// The scales: identity, log for skewed positive quantities, log1p for amounts
// that are often zero, logit between Lo and Hi for bounded quantities.
const (
	Identity Transform = "identity"
	Log      Transform = "log"
	Log1p    Transform = "log1p"
	Logit    Transform = "logit"
)

// BinRule says how several values within a step become one.
type BinRule string

// The bin rules.
const (
	BinMean BinRule = "mean"
	BinLast BinRule = "last"
	BinSum  BinRule = "sum"
)

// Feature describes one dynamic variable.
type Feature struct {
	Index            int
	Name             Concept // published name
	Label            string  // for people
	Unit             string  // UCUM, canonical
	UnitLabel        string  // for people, e.g. "mmHg"
	LOINC            []string
	Transform        Transform
	Bin              BinRule
	HoldHours        float64 // greatest age at the end of a step at which a value is still carried (reference 5.2)
	Lo, Hi           float64 // plausible range, inclusive; outside is rejected
	ModelLo, ModelHi float64 // range forecasts are kept in (inside Lo..Hi)
	Precision        int     // decimals shown
	RiseIsBad        bool    // for display of trends
}
