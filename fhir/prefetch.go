// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what is asked for: the keys, the codes (from the code maps, so
// that what is asked for is what can be read), and the prefetch templates.

import (
	"fmt"
	"slices"
	"strings"
)

// Prefetch keys, as in the discovery document.
const (
	KeyPatient         = "patient"
	KeyEncounters      = "encounters"
	KeyVitals          = "vitals"
	KeyLabs            = "labs"
	KeyAdministrations = "administrations"
	KeyOrders          = "orders"
	KeyDirectives      = "directives"
	KeyConditions      = "conditions"
	KeyProcedures      = "procedures"
)

// wish is what a key must bring.
type wish struct {
	key       string
	kind      string // resource type
	necessary bool   // without it no decision is made at all
	// enough: an incomplete answer still allows a decision, which then knows
	// of its gaps. An incomplete list of vital signs does not: what is missing
	// may be the newest pressure.
	enough   bool
	gaps     []string // what is not known without it
	category string   // the category that a scope may be limited to and still cover it
	date     string   // search parameter of its time, where limiting it by time is safe
	params   []param  // further parameters
}

// orderIntents are the intents that make a request an order (ordered). Only
// keys that are not necessary are asked for by status and intent: a server that
// misreads the lists then costs a check that is named on the card, and not the
// pressure or the pump. What a status excludes elsewhere is rejected and counted.
const orderIntents = "order,original-order,reflex-order,filler-order,instance-order"

// wishes in the order in which they are reported. Encounters, conditions and
// procedures are few and count however long ago they began, so no date limits
// them; nor directives, which hold until they are withdrawn.
var wishes = []wish{
	{key: KeyPatient, kind: "Patient", necessary: true},
	{key: KeyEncounters, kind: "Encounter", necessary: true, params: []param{{"_include", "Encounter:location"}}},
	{key: KeyVitals, kind: "Observation", necessary: true, category: "vital-signs", date: "date"},
	{key: KeyLabs, kind: "Observation", necessary: true, category: "laboratory", date: "date", params: []param{{"_include", "Observation:specimen"}}},
	{key: KeyAdministrations, kind: "MedicationAdministration", necessary: true, enough: true, gaps: []string{"vasopressor", "fluid"},
		date: "effective-time", params: []param{{"_include", "MedicationAdministration:medication"}}},
	{key: KeyOrders, kind: "MedicationRequest", gaps: []string{"orders"}, date: "authoredon",
		params: []param{{"status", "active,on-hold,completed,stopped,unknown"}, {"intent", orderIntents}, {"_include", "MedicationRequest:medication"}}},
	{key: KeyDirectives, kind: "ServiceRequest", gaps: []string{"directives"},
		params: []param{{"status", "active,on-hold,completed,revoked,unknown"}, {"intent", "directive," + orderIntents}}},
	{key: KeyConditions, kind: "Condition", gaps: []string{"conditions"}},
	{key: KeyProcedures, kind: "Procedure", gaps: []string{"procedures"}},
}

const patientToken = "{{context.patientId}}"

// PrefetchOptions change the published templates.
type PrefetchOptions struct {
	// Dates limits searches to the days that can matter, by tokens of CDS
	// Hooks 3.0 such as {{today() - 31 days}}. Clients of 2.0.1 do not know
	// them and leave the key out, which for a necessary key means 412: set it
	// only where every registered client can do it. Default: no dates.
	Dates bool `yaml:"dates"`
	// Count asks for so many resources per page. Default 0: the client
	// decides, and most send a whole result.
	Count int `yaml:"count"`
}

// PrefetchTemplates returns the templates by key. They use only
// {{context.patientId}} and no parameter twice, which CDS Hooks 2.0.1 clients
// can do. Observations are asked for by the codes of the maps marked prefetch.
func PrefetchTemplates(maps *CodeMaps) map[string]string {
	return PrefetchOptions{}.Templates(maps)
}

// Templates returns the templates by key.
func (o PrefetchOptions) Templates(maps *CodeMaps) map[string]string {
	a := maps.asked()
	out := make(map[string]string, len(wishes))
	for _, w := range wishes {
		if w.kind == "Patient" {
			out[w.key] = "Patient/" + patientToken
			continue
		}
		parts := []string{"patient=" + patientToken}
		switch w.key {
		case KeyVitals:
			parts = append(parts, "code="+strings.Join(sorted(a.dense, a.sparse, a.body), ","))
		case KeyLabs:
			parts = append(parts, "code="+strings.Join(a.labs, ","))
		}
		if o.Dates && w.date != "" {
			parts = append(parts, fmt.Sprintf("%s=ge{{today() - %d days}}", w.date, sparseDays))
		}
		for _, p := range w.params {
			parts = append(parts, p.name+"="+p.value)
		}
		if o.Count > 0 {
			parts = append(parts, fmt.Sprintf("_count=%d", o.Count))
		}
		out[w.key] = w.kind + "?" + strings.Join(parts, "&")
	}
	return out
}

// askedCodes are the observation codes to ask for, as system|code, sorted.
type askedCodes struct {
	dense  []string // charted many times a day
	sparse []string // other things at the bedside: outputs, goals
	body   []string // weights, and heights, which hold for years
	labs   []string // the laboratory's, with cultures
}

// asked sorts every observation code that is read, of the systems marked
// prefetch, into the keys that ask for it.
func (m *CodeMaps) asked() askedCodes {
	var a askedCodes
	x := &m.index
	add := func(k key) {
		alias := x.aliases[k.system]
		if !x.prefetch[alias] || x.systems[alias][0] != k.system {
			return // not a code that other hospitals know, or a second name of its system
		}
		to := &a.labs
		switch o := x.observations[k]; {
		case x.panels[k]:
			to = &a.dense
		case o == nil || o.Lag == "lab" || o.Lag == "urgent" || o.Lag == "gas":
		case o.Lag == "monitor" || o.Lag == "chart":
			to = &a.dense
		case o.Lag == "weight":
			to = &a.body
		default:
			to = &a.sparse
		}
		*to = append(*to, k.system+"|"+k.code)
	}
	for k := range x.wanted {
		add(k)
	}
	for k := range x.panels {
		add(k)
	}
	return askedCodes{sorted(a.dense), sorted(a.sparse), sorted(a.body), sorted(a.labs)}
}

// sorted joins lists of codes into one without repeats.
func sorted(lists ...[]string) []string {
	out := slices.Concat(lists...)
	slices.Sort(out)
	return slices.Compact(out)
}
