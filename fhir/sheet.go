// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: sheet, what Records of an Observation or a
// MedicationAdministration are made of, as slices of the bytes received, and
// the reading of the FHIR data types it consists of. What is absent is nil.

// sheet is filled by one scan and used before the next one.
type sheet struct {
	codings    []codingSheet // of all concepts
	components []componentSheet
	extensions []extensionSheet

	id, status, issued     []byte
	effective, effectiveAt []byte // effectiveDateTime, effectiveInstant
	period                 periodSheet
	code, method, site     conceptSheet // site: body site or route
	category               conceptSheet
	subject, encounter     referenceSheet
	specimen, medicine     referenceSheet
	device                 referenceSheet
	value                  valueSheet
	tags                   conceptSheet // meta.security, then meta.tag
	text                   []byte       // dosage.text
	dose, rate             quantitySheet
	ratio                  ratioSheet
	updated                []byte
	meta, dosage           bool // given
	componentsGiven        bool
	contained              bool
}

func (sh *sheet) reset() {
	*sh = sheet{codings: sh.codings[:0], components: sh.components[:0], extensions: sh.extensions[:0]}
}

type codingSheet struct{ system, code, display []byte }

// conceptSheet has its codings at from..to of sheet.codings.
type conceptSheet struct {
	given    bool
	text     []byte
	from, to int
}

type quantitySheet struct {
	given                                 bool
	value, comparator, unit, system, code []byte
}

type ratioSheet struct {
	given    bool
	num, den quantitySheet
}

type periodSheet struct {
	given      bool
	start, end []byte
}

type referenceSheet struct {
	given       bool
	to, display []byte
}

// valueSheet is a value[x] of the kinds that can be a number.
type valueSheet struct {
	quantity quantitySheet
	integer  []byte
	concept  conceptSheet
	text     []byte
	kind     []byte       // the member that holds a value of a kind that is not read
	absent   conceptSheet // dataAbsentReason
}

type componentSheet struct {
	code  conceptSheet
	value valueSheet
}

type extensionSheet struct {
	url      []byte
	ratio    ratioSheet
	quantity quantitySheet
	inDosage bool
}

// string reads a member that is a string.
func (s *scan) string(to *[]byte) {
	s.unset(*to == nil)
	switch s.raw[s.at] {
	case '"':
		*to = s.str()
	case 'n':
		s.literal("null")
	default:
		s.mistyped()
	}
}

// unset notes a member that is given twice.
func (s *scan) unset(ok bool) {
	if !ok {
		s.head.fault = faultTwice
	}
}

// object says whether the value is an object; null and a wrong type are
// passed over.
func (s *scan) object(given *bool) bool {
	s.unset(!*given)
	switch s.raw[s.at] {
	case '{':
		*given = true
		return true
	case 'n':
		s.literal("null")
	default:
		s.mistyped()
	}
	return false
}

// array is object for lists; where it is true, s.list follows.
func (s *scan) array(given *bool) bool {
	s.unset(!*given)
	switch s.raw[s.at] {
	case '[':
		*given = true
		return true
	case 'n':
		s.literal("null")
	default:
		s.mistyped()
	}
	return false
}

func (s *scan) quantity(q *quantitySheet) {
	if !s.object(&q.given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "value":
			s.unset(q.value == nil)
			if c := s.raw[s.at]; c == '-' || c >= '0' && c <= '9' {
				q.value = s.number()
				continue
			}
			s.other(quantityShape, name)
		case "unit":
			s.string(&q.unit)
		case "system":
			s.string(&q.system)
		case "code":
			s.string(&q.code)
		case "comparator":
			s.unset(q.comparator == nil)
			start := s.at
			if s.other(quantityShape, name); !s.broken && s.raw[start] == '"' {
				q.comparator = s.raw[start+1 : s.at-1]
			}
		default:
			s.other(quantityShape, name)
		}
	}
}

func (s *scan) ratioOf(r *ratioSheet) {
	if !s.object(&r.given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "numerator":
			s.quantity(&r.num)
		case "denominator":
			s.quantity(&r.den)
		default:
			s.other(ratioShape, name)
		}
	}
}

func (s *scan) periodOf(p *periodSheet) {
	if !s.object(&p.given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "start":
			s.string(&p.start)
		case "end":
			s.string(&p.end)
		default:
			s.other(periodShape, name)
		}
	}
}

func (s *scan) reference(r *referenceSheet) {
	if !s.object(&r.given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "reference":
			s.string(&r.to)
		case "display":
			s.string(&r.display)
		default:
			s.other(referenceShape, name)
		}
	}
}

// concept reads a CodeableConcept. names says that its codes say what the
// resource is about.
func (s *scan) concept(c *conceptSheet, names bool) {
	if !s.object(&c.given) {
		return
	}
	c.from = len(s.sheet.codings)
	listed := false
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "coding":
			if !s.array(&listed) {
				continue
			}
			for ok := s.list(); ok; ok = s.more() {
				s.coding(names)
			}
		case "text":
			s.string(&c.text)
		default:
			s.other(conceptShape, name)
		}
	}
	c.to = len(s.sheet.codings)
}

func (s *scan) coding(names bool) {
	var c codingSheet
	given := false
	if !s.object(&given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "system":
			s.string(&c.system)
		case "code":
			s.string(&c.code)
		case "display":
			s.string(&c.display)
		default:
			s.other(codingShape, name)
		}
	}
	if names && c.code != nil {
		s.coded(c.system, c.code)
	}
	s.sheet.codings = append(s.sheet.codings, c)
}

// passConcepts checks a list of CodeableConcepts that nobody reads.
func (s *scan) passConcepts(given *bool) {
	if !s.array(given) {
		return
	}
	keep := len(s.sheet.codings)
	for ok := s.list(); ok; ok = s.more() {
		var c conceptSheet
		s.concept(&c, false)
		s.sheet.codings = s.sheet.codings[:keep]
	}
}

// metaOf reads the labels and the time of the version.
func (s *scan) metaOf() {
	sh := &s.sheet
	if !s.object(&sh.meta) {
		return
	}
	var security, tag conceptSheet
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "lastUpdated":
			s.string(&sh.updated)
		case "security":
			s.labels(&security)
		case "tag":
			s.labels(&tag)
		default:
			s.other(metaShape, name)
		}
	}
	switch {
	case !tag.given:
		sh.tags = security
	case !security.given:
		sh.tags = tag
	case security.to == tag.from:
		sh.tags = conceptSheet{from: security.from, to: tag.to}
	default: // tag stands before security
		first := len(sh.codings)
		sh.codings = append(sh.codings, sh.codings[security.from:security.to]...)
		sh.codings = append(sh.codings, sh.codings[tag.from:tag.to]...)
		sh.tags = conceptSheet{from: first, to: len(sh.codings)}
	}
}

// labels reads a list of Codings.
func (s *scan) labels(c *conceptSheet) {
	if !s.array(&c.given) {
		return
	}
	c.from = len(s.sheet.codings)
	for ok := s.list(); ok; ok = s.more() {
		if s.raw[s.at] == 'n' {
			s.sheet.codings = append(s.sheet.codings, codingSheet{})
		}
		s.coding(false)
	}
	c.to = len(s.sheet.codings)
}

// extensionsOf reads the extensions of a dosage or of the resource.
func (s *scan) extensionsOf(inDosage bool, given *bool) {
	if !s.array(given) {
		return
	}
	for ok := s.list(); ok; ok = s.more() {
		e := extensionSheet{inDosage: inDosage}
		there := false
		if !s.object(&there) {
			continue
		}
		for name := s.open(); name != nil; name = s.next() {
			switch string(name) {
			case "url":
				s.string(&e.url)
			case "valueRatio":
				s.ratioOf(&e.ratio)
			case "valueQuantity":
				s.quantity(&e.quantity)
			default:
				s.other(extensionShape, name)
			}
		}
		s.sheet.extensions = append(s.sheet.extensions, e)
	}
}

// valueOf reads a member that may be the value; false when it is another one.
func (s *scan) valueOf(v *valueSheet, name []byte) bool {
	switch string(name) {
	case "valueQuantity":
		s.quantity(&v.quantity)
	case "valueString":
		s.string(&v.text)
	case "valueCodeableConcept":
		s.concept(&v.concept, false)
	case "valueInteger":
		s.unset(v.integer == nil)
		start := s.at
		if s.other(observationShape, name); !s.broken && s.raw[start] != 'n' {
			v.integer = s.raw[start:s.at]
		}
	case "dataAbsentReason":
		s.concept(&v.absent, false)
	case "valueBoolean", "valueDateTime", "valuePeriod", "valueRange", "valueRatio", "valueSampledData", "valueTime":
		if s.raw[s.at] != 'n' && (v.kind == nil || string(name) < string(v.kind)) {
			v.kind = name
		}
		return false
	default:
		return false
	}
	return true
}
