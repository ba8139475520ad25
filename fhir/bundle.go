// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Bundles, as files, as search results and as prefetch values.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// page is one Bundle taken apart. Member names are read case-sensitively.
type page struct {
	next    string // URL of the next page, "" when this is the last
	total   int    // what the search found, as the Bundle says; 0: it does not
	entries []pageEntry
}

type pageEntry struct {
	head
	fullURL  string
	mode     string // search.mode
	resource json.RawMessage
	ahead    decoding // where it was decoded with the page
}

// openPage takes a Bundle apart without decoding its resources.
func (m *Mapper) openPage(raw json.RawMessage) (page, error) {
	p, kind, err := m.readPage(raw)
	if err == nil && kind != "Bundle" {
		err = fmt.Errorf("%w: resourceType is not Bundle", ErrMalformed)
	}
	return p, err
}

// readPage reads bytes that may be anything, once: it checks that they are JSON,
// gives the resourceType and, of a Bundle, the page. Errors are ErrMalformed; of a
// Bundle whose link or entry is no list, kind is known nevertheless.
func (m *Mapper) readPage(raw []byte) (p page, kind string, err error) {
	s := scans.Get().(*scan)
	defer scans.Put(s)
	s.begin(raw)
	lists := true
	if s.peek() == '{' {
		for name := s.open(); name != nil; name = s.next() {
			start := s.at
			if string(name) == "entry" {
				ok := m.readEntries(s, &p)
				lists = lists && ok
				continue
			}
			s.skip()
			switch value := raw[start:s.at]; string(name) {
			case "resourceType":
				kind = text(value)
			case "total":
				p.total, _ = strconv.Atoi(string(value)) // not a number: as if it said nothing
			case "link":
				if !s.broken {
					ok := p.readLinks(value)
					lists = lists && ok
				}
			}
		}
	} else if !s.broken {
		s.skip()
	}
	switch s.space(); {
	case s.broken || s.at != len(raw):
		return page{}, "", fmt.Errorf("%w: %s", ErrMalformed, faultBroken)
	case kind == "Bundle" && !lists:
		return page{}, kind, fmt.Errorf("%w: Bundle.link or Bundle.entry is not a list", ErrMalformed)
	case kind != "Bundle":
		return page{}, kind, nil
	}
	return p, kind, nil
}

// readLinks finds the next page in Bundle.link; false when that is no list.
func (p *page) readLinks(links []byte) bool {
	return eachElement(links, func(link []byte) {
		var relation, to string
		eachMember(link, func(name string, value []byte) {
			switch name {
			case "relation":
				relation = text(value)
			case "url":
				to = text(value)
			}
		})
		if relation == "next" {
			p.next = to
		}
	})
}

// readEntries reads Bundle.entry, which s stands on; false when that is no list.
func (m *Mapper) readEntries(s *scan, p *page) bool {
	p.entries = nil // of two lists the later counts
	if !s.is('[') {
		null := s.is('n')
		s.skip()
		return null
	}
	for ok := s.list(); ok; ok = s.more() {
		p.entries = append(p.entries, m.readEntry(s))
	}
	return true
}

func (m *Mapper) readEntry(s *scan) (e pageEntry) {
	if !s.is('{') {
		s.skip()
		return e
	}
	for name := s.open(); name != nil; name = s.next() {
		start := s.at
		if string(name) == "resource" {
			s.member(m.want)
			e.head, e.resource = s.head, s.raw[start:s.at:s.at]
			if e.ahead = (decoding{}); e.hot() && e.needed() { // what was just read need not be read again
				e.ahead.d, e.ahead.err = e.finish(s.decoded(m, e.resource))
			}
			continue
		}
		s.skip()
		switch value := s.raw[start:s.at]; {
		case s.broken:
		case string(name) == "fullUrl":
			e.fullURL = text(value)
		case string(name) == "search":
			eachMember(value, func(name string, value []byte) {
				if name == "mode" {
					e.mode = text(value)
				}
			})
		}
	}
	if e.id == "" && strings.HasPrefix(e.fullURL, "urn:uuid:") {
		e.id = strings.TrimPrefix(e.fullURL, "urn:uuid:")
	}
	return e
}

// text reads a JSON string; anything else is "".
func text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return unquoted(raw[1 : len(raw)-1])
}

// failure reports whether an OperationOutcome says that something failed, as
// against a remark such as "no results".
func failure(raw json.RawMessage) bool {
	failed, issues := false, 0
	eachMember(raw, func(name string, value []byte) {
		if name != "issue" {
			return
		}
		ok := eachElement(value, func(issue []byte) {
			issues++
			severity := ""
			eachMember(issue, func(name string, value []byte) {
				if name == "severity" {
					severity = text(value)
				}
			})
			failed = failed || severity != "information" && severity != "warning"
		})
		failed = failed || !ok
	})
	return failed || issues == 0
}

// kindOf is the resourceType of a JSON object, "" when it has none. raw must
// be valid JSON.
func kindOf(raw json.RawMessage) (kind string) {
	eachMember(raw, func(name string, value []byte) {
		if name == "resourceType" {
			kind = text(value)
		}
	})
	return kind
}

// alias notes what the full URLs of a page stand for, so that urn:uuid
// references resolve whatever their order.
func (b *Bag) alias(p page) {
	for _, e := range p.entries {
		if !strings.HasPrefix(e.fullURL, "urn:uuid:") {
			continue
		}
		if b.aliases == nil {
			b.aliases = map[string]string{}
		}
		b.aliases[e.fullURL] = e.head.kind + "/" + e.id
		b.lookups++
	}
}

// addPage adds every resource of a page. It returns whether an OperationOutcome
// in it reported a failure, and the first error of Add.
func (m *Mapper) addPage(b *Bag, p page, origin state.Origin) (failed bool, err error) {
	b.alias(p)
	m.decodeAhead(p)
	for i := range p.entries {
		e := &p.entries[i]
		switch {
		case len(e.resource) == 0 || string(e.resource) == "null":
			continue // an entry of a history or a deleted resource
		case e.mode == "outcome" || e.head.kind == "OperationOutcome":
			failed = failed || failure(e.resource)
			continue
		}
		if errAdd := m.add(b, &e.head, e.resource, origin, e.ahead); errAdd != nil && (err == nil || errors.Is(errAdd, ErrWrongPatient)) {
			err = errAdd
		}
	}
	return failed, err
}

// decoding is the result of decode; neither of the two: it was not done.
type decoding struct {
	d   *decoded
	err error
}

func (x decoding) done() bool { return x.d != nil || x.err != nil }

// hot says that the resource is of the types that a scan decodes.
func (h *head) hot() bool { return h.kind == kindObservation || h.kind == kindAdministration }

// needed says that the resource will be decoded, if it is the patient's.
func (h *head) needed() bool {
	return h.fault == "" && decoders[h.kind] != nil && (h.wanted || h.kind != kindObservation)
}

// aheadFrom is the number of entries from which decoding on several cores
// pays.
const aheadFrom = 64

// decodeAhead decodes the entries of a long page that will be needed and were not
// decoded with it, on all cores. Filing them stays in order, on one core, so that
// the result does not depend on timing.
func (m *Mapper) decodeAhead(p page) {
	workers := runtime.GOMAXPROCS(0)
	if workers < 2 || len(p.entries) < aheadFrom {
		return
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(p.entries); i += workers {
				if e := &p.entries[i]; e.needed() && !e.ahead.done() {
					e.ahead.d, e.ahead.err = m.decode(&e.head, e.resource)
				}
			}
		})
	}
	group.Wait()
}

// ReadBundle reads one patient's chart from a Bundle of any type. patientID ""
// takes the one Patient in it; several are ErrNoPatient. Resources of other
// patients are rejected and counted.
func (m *Mapper) ReadBundle(r io.Reader, patientID string) (*Bag, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read Bundle: %w", err)
	}
	p, err := m.openPage(raw)
	if err != nil {
		return nil, err
	}
	if patientID == "" {
		for _, e := range p.entries {
			if e.head.kind != "Patient" || e.id == "" || e.id == patientID {
				continue
			}
			if patientID != "" {
				return nil, fmt.Errorf("%w: the Bundle holds more than one (hint: name one)", ErrNoPatient)
			}
			patientID = e.id
		}
		if patientID == "" {
			return nil, fmt.Errorf("%w: the Bundle holds no Patient", ErrNoPatient)
		}
	}
	b := NewBag(patientID)
	// A Bundle is a whole chart: what is not in it does not exist.
	b.Asked("Condition", "Procedure", "MedicationRequest", "MedicationAdministration")
	if _, err := m.addPage(b, p, state.Origin{Via: "bundle"}); err != nil && !errors.Is(err, ErrWrongPatient) && !errors.Is(err, ErrMalformed) {
		return nil, err
	}
	if p.next != "" {
		return nil, fmt.Errorf("%w: the Bundle is one page of several (hint: join the pages first)", ErrMalformed)
	}
	return b, nil
}
