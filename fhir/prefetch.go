// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the prefetch templates, made from the code maps, so that what is
// asked for is what can be read.

import (
	"net/url"
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
	gaps      []string
}

// wishes in the order in which they are reported.
var wishes = []wish{
	{KeyPatient, "Patient", true, nil},
	{KeyEncounters, "Encounter", true, nil},
	{KeyVitals, "Observation", true, nil},
	{KeyLabs, "Observation", true, nil},
	{KeyAdministrations, "MedicationAdministration", true, nil},
	{KeyOrders, "MedicationRequest", false, []string{"orders"}},
	{KeyDirectives, "ServiceRequest", false, []string{"directives"}},
	{KeyConditions, "Condition", false, []string{"conditions"}},
	{KeyProcedures, "Procedure", false, []string{"procedures"}},
}

const patientToken = "{{context.patientId}}"

// PrefetchTemplates returns the templates by key. They use only
// {{context.patientId}} and no parameter twice, which CDS Hooks 2.0.1 clients
// can do. Observations are asked for by the codes of the maps marked prefetch.
func PrefetchTemplates(maps *CodeMaps) map[string]string {
	var vitals, labs []string
	for _, o := range maps.index.order {
		for _, t := range maps.index.tokens(o.Codes) {
			if o.Lag == "lab" || o.Lag == "gas" {
				labs = append(labs, t)
			} else {
				vitals = append(vitals, t)
			}
		}
	}
	for k := range maps.index.panels {
		vitals = append(vitals, k.system+"|"+k.code)
	}
	by := "?patient=" + patientToken
	return map[string]string{
		KeyPatient:         "Patient/" + patientToken,
		KeyEncounters:      "Encounter" + by,
		KeyVitals:          "Observation" + by + "&code=" + tokenList(vitals),
		KeyLabs:            "Observation" + by + "&code=" + tokenList(labs),
		KeyAdministrations: "MedicationAdministration" + by + "&_include=MedicationAdministration:medication",
		KeyOrders:          "MedicationRequest" + by + "&_include=MedicationRequest:medication",
		KeyDirectives:      "ServiceRequest" + by,
		KeyConditions:      "Condition" + by,
		KeyProcedures:      "Procedure" + by,
	}
}

// tokens are the system|code search tokens of the prefetched systems.
func (x *index) tokens(c codes) []string {
	var out []string
	for alias, list := range c {
		if !x.prefetch[alias] {
			continue
		}
		for _, code := range list {
			out = append(out, x.systems[alias][0]+"|"+code)
		}
	}
	return out
}

func tokenList(tokens []string) string {
	slices.Sort(tokens)
	return strings.Join(slices.Compact(tokens), ",")
}

// fill puts the patient into a template and escapes its parameters.
func fill(template, patientID string) string {
	path, query, has := strings.Cut(strings.ReplaceAll(template, patientToken, url.PathEscape(patientID)), "?")
	if !has {
		return path
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		if name != "patient" {
			value = url.QueryEscape(value)
		}
		parts[i] = name + "=" + value
	}
	return path + "?" + strings.Join(parts, "&")
}
