// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Bag, the resources of one patient as they come in, and Add, which
// counts each of them once and keeps the newest version of each.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Charting says what a hospital is known to chart, so that absence can be
// told from zero.
type Charting struct {
	Infusions int // administrations with a rate, of any drug
	Fluids    int // administrations of fluids, by rate or volume
}

// Bag holds the resources of one patient until Chart is asked for. It is not
// safe for concurrent use.
type Bag struct {
	// PatientID is the logical id that every resource must belong to. Empty:
	// the first Patient resource sets it.
	PatientID string
	// Base is the FHIR base URL that absolute references must point into;
	// empty: any.
	Base string

	entries  map[resourceName]*entry
	names    []resourceName    // of entries, as they came, which is nearly their order
	shared   *shared           // things several patients refer to
	own      shared            // the same, that came in this bag
	aliases  map[string]string // urn:uuid: and other full URLs -> Type/id
	asked    map[string]bool   // resource types that were supplied or asked for
	tally    state.Tally
	rejects  []state.Reject
	charting func(hospital string) (Charting, bool)
	lookups  int    // how many things that records refer to have come in
	store    *store // of what came from a folder; nil: the heap
}

// resourceName is what a resource is called: Type/id.
type resourceName struct{ kind, id string }

// shared are the resources that others refer to.
type shared struct {
	versions  map[string]*entry // which version of a medication or place counts
	medicines map[string]*medicine
	specimens map[string][]state.Coding
	places    map[string]ward
}

// NewBag returns an empty bag for one patient.
func NewBag(patientID string) *Bag {
	return &Bag{PatientID: patientID, entries: map[resourceName]*entry{}, asked: map[string]bool{}, tally: state.Tally{Reasons: map[string]int{}}}
}

// Asked notes that resources of these types were supplied or asked for, so
// that none of them means there are none.
func (b *Bag) Asked(types ...string) {
	for _, t := range types {
		b.asked[t] = true
	}
}

// neededTypes are the types whose absence is a gap when nobody asked for them.
var neededTypes = []struct{ kind, gap string }{
	{"Condition", "conditions"}, {"Procedure", "procedures"}, {"MedicationRequest", "orders"},
	{"MedicationAdministration", "vasopressor"}, {"MedicationAdministration", "fluid"},
}

// Reasons that Add counts by.
const (
	reasonWrongPatient = "resource of another patient"
	reasonNoPatient    = "no patient reference"
	reasonNoID         = "no id"
	reasonNotRead      = "resource type not read"
	reasonSuperseded   = "superseded by another version"
	reasonDuplicate    = "duplicate"
)

// Add takes one resource. Whatever it is, it is counted exactly once; a
// content fault is recorded in the bag, not returned. The errors are
// ErrMalformed (not a resource in JSON) and ErrWrongPatient, for callers that
// must not go on; the resource is recorded as rejected in both cases. raw is
// not kept.
func (m *Mapper) Add(b *Bag, raw json.RawMessage, origin state.Origin) error {
	h := inspect(raw, m.want)
	return m.add(b, &h, raw, origin, decoding{})
}

// want reports whether an observation code is of interest.
func (m *Mapper) want(system, code []byte) bool {
	return m.x.wanted[key{string(system), string(code)}]
}

// add files a resource of which inspect has read the head. ahead is its
// decoding where that was done before.
func (m *Mapper) add(b *Bag, h *head, raw []byte, origin state.Origin, ahead decoding) error {
	b.tally.Read++
	switch {
	case h.fault == faultBroken || h.fault == faultNotAnObj:
		b.reject(h, "", h.fault, "", origin)
		return fmt.Errorf("%w: %s", ErrMalformed, h.fault)
	case h.kind == "":
		b.reject(h, "", "no resourceType", "", origin)
		return fmt.Errorf("%w: no resourceType", ErrMalformed)
	case h.fault != "":
		b.reject(h, "", h.fault, "", origin)
		return nil
	case decoders[h.kind] == nil:
		b.ignore(reasonNotRead)
		return nil
	}
	b.asked[h.kind] = true
	if h.kind == "Patient" && b.PatientID == "" {
		b.PatientID = h.id
	}
	if h.id == "" {
		// A resource without an id cannot be told from another copy of itself;
		// its bytes stand in for one.
		sum := sha256.Sum256(raw)
		h.id = "sha256-" + hex.EncodeToString(sum[:8])
		if h.kind == "Patient" || h.kind == "Encounter" {
			b.reject(h, "", reasonNoID, "", origin)
			return nil
		}
	}
	switch belongs := b.owns(h); {
	case belongs == reasonWrongPatient:
		b.reject(h, "", reasonWrongPatient, "", origin)
		return fmt.Errorf("%w: %s in %s", ErrWrongPatient, h.kind, cmp.Or(origin.Key, origin.Via))
	case belongs != "":
		b.reject(h, "", belongs, "", origin)
		return nil
	}
	if h.kind == "Observation" && !h.wanted {
		b.ignore(reasonNotCoded)
		return nil
	}
	if !ahead.done() {
		ahead.d, ahead.err = m.decode(h, raw)
	}
	d := ahead.d
	if ahead.err != nil {
		b.reject(h, "", ahead.err.Error(), "", origin)
		return nil
	}
	for i := range d.records {
		d.records[i].ID = h.id
	}
	if d.lookup != nil {
		b.own.newest(newEntry(h, d, raw, origin))
		b.lookups++
		b.tally.Used++
		return nil
	}
	m.file(b, newEntry(h, d, raw, origin))
	return nil
}

// file takes a decoded resource that was counted as read.
func (m *Mapper) file(b *Bag, e *entry) {
	if m.specimenRow(b, e.decoded) {
		b.tally.Used++
		return
	}
	b.keep(e)
}

// owns checks that a resource belongs to the bag's patient: empty, or a reason.
func (b *Bag) owns(h *head) string {
	switch h.kind {
	case "Patient":
		if h.id != b.PatientID {
			return reasonWrongPatient
		}
		return ""
	case "Medication", "Location":
		return ""
	}
	if h.patient == "" {
		if h.kind == "Specimen" {
			return ""
		}
		return reasonNoPatient
	}
	if b.PatientID == "" {
		_, b.PatientID = splitReference(h.patient)
	}
	if !b.same(h.patient, "Patient", b.PatientID) {
		return reasonWrongPatient
	}
	return ""
}

// same compares a reference with a type and id. References may be relative,
// absolute, versioned or urn:uuid (resolved by the Bundle's full URLs).
func (b *Bag) same(reference, kind, id string) bool {
	if to, ok := b.aliases[reference]; ok {
		reference = to
	}
	if b.foreign(reference) {
		return false
	}
	k, i := splitReference(reference)
	return i == id && (k == kind || k == "")
}

// splitReference gives the type and id that a reference ends in.
func splitReference(reference string) (kind, id string) {
	if rest, ok := strings.CutPrefix(reference, "urn:uuid:"); ok {
		return "", rest
	}
	if i := strings.Index(reference, "/_history/"); i >= 0 {
		reference = reference[:i]
	}
	at := strings.LastIndexByte(reference, '/')
	if at < 0 {
		return "", reference
	}
	kind, id = reference[:at], reference[at+1:]
	return kind[strings.LastIndexByte(kind, '/')+1:], id
}

func (b *Bag) ignore(reason string) {
	b.tally.Ignored++
	b.tally.Reasons[reason]++
}

func (b *Bag) reject(h *head, part, reason, detail string, origin state.Origin) {
	b.tally.Rejected++
	b.tally.Reasons[reason]++
	b.rejects = append(b.rejects, state.Reject{Type: h.kind, ID: h.id, Part: part, Reason: reason, Detail: detail, Origin: origin})
}

// specimenRow takes laboratory rows that name the specimen of others.
func (m *Mapper) specimenRow(b *Bag, d *decoded) bool {
	if len(d.records) != 1 || d.specimen == "" {
		return false
	}
	for _, c := range d.records[0].Codes {
		if m.x.specimenRow[key{c.System, c.Code}] {
			text := d.records[0].ValueText
			if text != "" {
				b.own.put(b.resolve(d.specimen), []state.Coding{{Display: text}})
				b.lookups++
			}
			return true
		}
	}
	return false
}

// newest takes a resource that others refer to. Of two versions of a
// medication or place the newer one counts, whichever came first.
func (s *shared) newest(e *entry) {
	name := e.kind + "/" + e.id
	if _, adds := e.decoded.lookup.([]state.Coding); !adds {
		if old, ok := s.versions[name]; ok && !e.newer(old) {
			return
		}
		if s.versions == nil {
			s.versions = map[string]*entry{}
		}
		s.versions[name] = e
	}
	s.put(name, e.decoded.lookup)
}

func (s *shared) put(to string, thing any) {
	switch v := thing.(type) {
	case *medicine:
		if s.medicines == nil {
			s.medicines = map[string]*medicine{}
		}
		s.medicines[to] = v
	case []state.Coding:
		if s.specimens == nil {
			s.specimens = map[string][]state.Coding{}
		}
		// Two rows may name one specimen; the order they come in must not matter.
		all := append(append([]state.Coding(nil), s.specimens[to]...), v...)
		sort.Slice(all, func(i, j int) bool {
			return cmp.Or(cmp.Compare(all[i].System, all[j].System), cmp.Compare(all[i].Code, all[j].Code), cmp.Compare(all[i].Display, all[j].Display)) < 0
		})
		s.specimens[to] = slices.Compact(all)
	case ward:
		if s.places == nil {
			s.places = map[string]ward{}
		}
		s.places[to] = v
	}
}

// resolve brings a reference to Type/id.
func (b *Bag) resolve(reference string) string {
	if to, ok := b.aliases[reference]; ok {
		return to
	}
	kind, id := splitReference(reference)
	if kind == "" {
		return id
	}
	return kind + "/" + id
}
