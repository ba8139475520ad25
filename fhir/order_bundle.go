// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the draftOrders Bundle of an order hook taken apart: whose orders
// they are, which medication each names, and what holds orders that are not
// read. What is no medication order is counted by its type.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// maxDrafts bounds the dosage instructions of the medication orders of one
// Bundle, each of which is judged and simulated. An order set has tens.
const maxDrafts = 200

// maxBundles is how deep a Bundle may hold Bundles.
const maxBundles = 4

// Reasons why a drafted order is not read, or not known to be this patient's.
const (
	faultByReference = "its medication is named by a reference only, and that was not read"
	faultWithin      = "a medication order within a %s is not read"
	whoseUnknown     = "it names its patient by an identifier that could not be compared with the chart"
)

// DraftsFor says whose drafted orders are read, and what is known beside them.
type DraftsFor struct {
	PatientID   string            // of the hook
	Base        string            // FHIR server of the client, into which absolute references must point; empty: any
	Patient     json.RawMessage   // the Patient resource of the call, with whose identifiers a subject is compared; nil: none
	Medications []json.RawMessage // read for these drafts (FetchMedications); what is no Medication is passed over
}

// DraftOrders is a draftOrders Bundle taken apart.
type DraftOrders struct {
	Records []state.Drafted // medication orders in the order of the Bundle, one per dosage instruction
	Others  map[string]int  // entries of other types, which are not judged, by type
	Entries []string        // Type/id of every entry, which selections name
	Wanted  []string        // ids of Medications of the client's server without which an order is not read
}

// ReadDrafts takes the draftOrders of an order hook apart. Bundles within it
// are read as if their entries stood in their place. Errors are ErrMalformed
// (no Bundle, or far too many orders) and ErrWrongPatient. An order that names no
// patient is taken to be for the patient of the hook: drafts may be incomplete.
func (m *Mapper) ReadDrafts(raw json.RawMessage, q DraftsFor) (*DraftOrders, error) {
	p, err := m.openPage(raw)
	if err != nil {
		return nil, err
	}
	if p.entries, err = m.unpacked(p.entries, 0); err != nil {
		return nil, err
	}
	r := drafting{m: m, bag: NewBag(q.PatientID), own: identifiersOf(q.Patient, q.PatientID), out: &DraftOrders{Others: map[string]int{}}}
	r.bag.Base = q.Base
	r.bag.alias(p)
	for _, one := range q.Medications {
		if kindOf(one) == "Medication" {
			_ = m.Add(r.bag, one, state.Origin{Via: "hook"})
		}
	}
	for i := range p.entries {
		if e := &p.entries[i]; len(e.resource) > 0 && string(e.resource) != "null" {
			if e.id == "" {
				e.id = fmt.Sprintf("entry[%d]", i)
			}
			if err := r.enter(e); err != nil {
				return nil, err
			}
		}
	}
	for i := range p.entries {
		if e := &p.entries[i]; len(e.resource) > 0 && string(e.resource) != "null" {
			if err := r.order(e); err != nil {
				return nil, err
			}
		}
	}
	return r.out, nil
}

// drafting is a draftOrders Bundle being taken apart.
type drafting struct {
	m   *Mapper
	bag *Bag
	own []identifier
	out *DraftOrders
}

// unpacked puts the entries of a Bundle within a Bundle in its place.
func (m *Mapper) unpacked(entries []pageEntry, depth int) ([]pageEntry, error) {
	if !slices.ContainsFunc(entries, func(e pageEntry) bool { return e.kind == "Bundle" }) {
		return entries, nil
	}
	if depth == maxBundles {
		return nil, fmt.Errorf("%w: Bundles nested more than %d deep", ErrMalformed, maxBundles)
	}
	var out []pageEntry
	for _, e := range entries {
		if e.kind != "Bundle" {
			out = append(out, e)
			continue
		}
		p, err := m.openPage(e.resource)
		if err != nil {
			return nil, err
		}
		inner, err := m.unpacked(p.entries, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

// enter notes an entry, whose patient it is for, and the medications that
// orders may name.
func (r *drafting) enter(e *pageEntry) error {
	if e.patient != "" && !r.bag.same(e.patient, "Patient", r.bag.PatientID) && (isDraft(e.kind) || ofAPatient(e.patient)) {
		return fmt.Errorf("%w: a drafted %s", ErrWrongPatient, typeName(e.kind))
	}
	if e.patient == "" {
		if known, same := r.compare(subjectOf(e.resource)); known && !same {
			return fmt.Errorf("%w: a drafted %s, by its identifier", ErrWrongPatient, typeName(e.kind))
		}
	}
	switch r.out.Entries = append(r.out.Entries, typeName(e.kind)+"/"+e.id); e.kind {
	case "Medication":
		_ = r.m.Add(r.bag, e.resource, state.Origin{Via: "hook"}) // one that cannot be read leaves its orders unnamed
	case "MedicationRequest", dstu2Order:
	default:
		r.out.Others[typeName(e.kind)]++
	}
	return nil
}

// order takes the medication orders of an entry: itself, or those it holds,
// which are kept as not read.
func (r *drafting) order(e *pageEntry) error {
	switch {
	case isDraft(e.kind):
		r.out.Records = append(r.out.Records, r.drafted(e)...)
	case r.holdsOrders(e):
		r.out.Records = append(r.out.Records, state.Drafted{Fault: fmt.Sprintf(faultWithin, typeName(e.kind)),
			Record: state.Record{Type: typeName(e.kind), ID: e.id, Origin: draftOrigin}})
	}
	if len(r.out.Records) > maxDrafts {
		return fmt.Errorf("%w: more than %d dosage instructions of drafted medication orders", ErrMalformed, maxDrafts)
	}
	return nil
}

var draftOrigin = state.Origin{Via: "hook", Key: "draftOrders"}

// dstu2Order is what FHIR DSTU2 calls a MedicationRequest. What is read of both
// has the same names, but for the patient.
const dstu2Order = "MedicationOrder"

func isDraft(kind string) bool { return kind == "MedicationRequest" || kind == dstu2Order }

// ofAPatient reports a reference that says itself that it is to a Patient.
func ofAPatient(reference string) bool {
	kind, _ := splitReference(reference)
	return kind == "Patient"
}

// typeName keeps a resource type that looks like one.
func typeName(kind string) string {
	for _, c := range kind {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "unknown"
		}
	}
	if kind == "" || len(kind) > 40 {
		return "unknown"
	}
	return kind
}

// drafted reduces one order to its records, with its medication resolved.
func (r *drafting) drafted(e *pageEntry) []state.Drafted {
	records, refers, err := r.m.decodeDraft(&e.head, e.resource)
	if err != nil {
		records = []state.Drafted{{Fault: err.Error()}}
	}
	whose := ""
	if subject := subjectOf(e.resource); e.patient == "" && subject.value != "" {
		if known, _ := r.compare(subject); !known {
			whose = whoseUnknown
		}
	}
	for i := range records {
		one := &records[i]
		one.Type, one.ID, one.Origin, one.Whose = e.kind, e.id, draftOrigin, whose
		if refers == nil || refers.drugRef == "" && refers.drugText == "" {
			continue
		}
		if one.Text == "" && len(one.Codes) == 0 && refers.drugText == "" && r.bag.medicine(refers.drugRef, refers) == nil {
			one.Fault = faultByReference
			r.want(refers.drugRef)
		}
		r.bag.medicate(&one.Record, refers)
	}
	return records
}

// want notes a Medication that the client's server may have.
func (r *drafting) want(reference string) {
	kind, id := splitReference(reference)
	if kind == "Medication" && !r.bag.foreign(reference) && !slices.Contains(r.out.Wanted, id) {
		r.out.Wanted = append(r.out.Wanted, id)
	}
}

// groups are the types that order by pointing at orders.
var groups = map[string]bool{"RequestGroup": true, "RequestOrchestration": true, "CarePlan": true}

// holdsOrders reports an entry that has a medication order in itself, or that
// orders one which is not in the Bundle.
func (r *drafting) holdsOrders(e *pageEntry) bool {
	if !bytes.Contains(e.resource, []byte("MedicationRequest")) && !bytes.Contains(e.resource, []byte(dstu2Order)) {
		return false
	}
	var v any
	return json.Unmarshal(e.resource, &v) == nil && r.holds(v, groups[e.kind])
}

func (r *drafting) holds(v any, group bool) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return r.holds(one, group) })
	case map[string]any:
		if kind, _ := v["resourceType"].(string); isDraft(kind) {
			return true
		}
		if kind, _ := v["kind"].(string); group && isDraft(kind) {
			return true // CarePlan.activity.detail, an order in place
		}
		if to, _ := v["reference"].(string); group && r.elsewhere(to) {
			return true
		}
		for _, one := range v {
			if r.holds(one, group) {
				return true
			}
		}
	}
	return false
}

// elsewhere reports a reference to a medication order that is not in the Bundle.
func (r *drafting) elsewhere(reference string) bool {
	kind, id := splitReference(r.bag.resolve(reference))
	return isDraft(kind) && !slices.Contains(r.out.Entries, kind+"/"+id)
}

// identifier is a business identifier of a patient.
type identifier struct{ system, value string }

func readIdentifier(raw []byte) (out identifier) {
	eachMember(raw, func(name string, value []byte) {
		switch name {
		case "system":
			out.system = strings.TrimSpace(text(value))
		case "value":
			out.value = strings.TrimSpace(text(value))
		}
	})
	return out
}

// subjectOf is the identifier by which an order names its patient, if it does.
func subjectOf(raw []byte) (out identifier) {
	eachMember(raw, func(name string, value []byte) {
		if name == "subject" || name == "patient" {
			eachMember(value, func(name string, value []byte) {
				if name == "identifier" {
					out = readIdentifier(value)
				}
			})
		}
	})
	return out
}

// identifiersOf are those of the patient of the hook. Anything else than that
// Patient has none.
func identifiersOf(patient json.RawMessage, id string) (out []identifier) {
	if !json.Valid(patient) || kindOf(patient) != "Patient" {
		return nil
	}
	own := false
	eachMember(patient, func(name string, value []byte) {
		switch name {
		case "id":
			own = text(value) == id
		case "identifier":
			eachElement(value, func(one []byte) { out = append(out, readIdentifier(one)) })
		}
	})
	if !own {
		return nil
	}
	return out
}

// compare holds a subject's identifier against those of the patient. Not known:
// neither is there, or none of the patient's is of the same system.
func (r *drafting) compare(subject identifier) (known, same bool) {
	if subject.value == "" {
		return false, false
	}
	for _, own := range r.own {
		switch {
		case own.value == "" || subject.system != "" && own.system != subject.system:
		case own.value == subject.value:
			return true, true
		case subject.system != "":
			known = true
		}
	}
	return known, false
}

// OtherTypes lists the types of entries that are not judged, with their number,
// in a fixed order.
func (d *DraftOrders) OtherTypes() []string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(d.Others)) {
		out = append(out, fmt.Sprintf("%s: %d", kind, d.Others[kind]))
	}
	return out
}
