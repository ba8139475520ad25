// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: shape, the types that FHIR gives to members, as samply's models
// state them. A member that nothing here reads is still checked to be of its
// type, so that a resource is refused for the same faults whoever decodes it.

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// Reasons for which a resource cannot be decoded; none holds a chart value.
var (
	errWrongType = errors.New("a member has the wrong type")
	errWrongCode = errors.New("a code is not in its FHIR value set")
)

type shapeKind uint8

const (
	shapeObject shapeKind = iota
	shapeText
	shapeBool
	shapeInteger
	shapeDecimal
	shapeCode // one of the codes of a FHIR value set
)

// shape is the type of a member, or of the elements of a list.
type shape struct {
	kind    shapeKind
	members map[string]*shape // of an object
	folded  map[string]bool   // their names without case
	list    *shape            // set for a list: the shape of its elements
	code    reflect.Type      // of a shapeCode
	pointer bool              // null stands for absent also where a code is asked for
}

// The shapes of what scan reads itself.
var (
	observationShape    = shapeOf[models.Observation]()
	componentShape      = shapeOf[models.ObservationComponent]()
	administrationShape = shapeOf[models.MedicationAdministration]()
	dosageShape         = shapeOf[models.MedicationAdministrationDosage]()
	conceptShape        = shapeOf[models.CodeableConcept]()
	codingShape         = shapeOf[models.Coding]()
	quantityShape       = shapeOf[models.Quantity]()
	ratioShape          = shapeOf[models.Ratio]()
	periodShape         = shapeOf[models.Period]()
	referenceShape      = shapeOf[models.Reference]()
	metaShape           = shapeOf[models.Meta]()
	extensionShape      = shapeOf[models.Extension]()
)

func shapeOf[T any]() *shape { return shapeFor(reflect.TypeFor[T](), knownShapes) }

// knownShapes holds the shapes of structs, which refer to each other. It is
// filled while the package is initialised and only read after.
var knownShapes = map[reflect.Type]*shape{}

var coded = reflect.TypeFor[json.Unmarshaler]()

func shapeFor(t reflect.Type, known map[reflect.Type]*shape) *shape {
	if t.Kind() == reflect.Pointer {
		to := *shapeFor(t.Elem(), known)
		to.pointer = true
		if t.Elem().Kind() == reflect.Struct {
			return shapeFor(t.Elem(), known) // may still be filling
		}
		return &to
	}
	switch {
	case reflect.PointerTo(t).Implements(coded):
		return &shape{kind: shapeCode, code: t}
	case t == reflect.TypeFor[json.Number]():
		return &shape{kind: shapeDecimal}
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{kind: shapeText}
	case reflect.Bool:
		return &shape{kind: shapeBool}
	case reflect.Int:
		return &shape{kind: shapeInteger}
	case reflect.Slice:
		return &shape{list: shapeFor(t.Elem(), known)}
	}
	if have, ok := known[t]; ok {
		return have
	}
	out := &shape{kind: shapeObject, members: map[string]*shape{}, folded: map[string]bool{}}
	known[t] = out
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out.members[name] = shapeFor(t.Field(i).Type, known)
		out.folded[fold([]byte(name))] = true
	}
	return out
}

// other reads a member that nobody asks for, whose name belongs to shape in.
func (s *scan) other(in *shape, name []byte) {
	if is, ok := in.members[string(name)]; ok {
		s.check(is)
		return
	}
	s.checkName(name)
	if in.folded[fold(name)] {
		s.head.fault = faultCase
	}
	s.skip()
}

// check passes over a value that should be of shape is.
func (s *scan) check(is *shape) {
	c := s.raw[s.at]
	switch {
	case c == 'n' && (is.kind != shapeCode || is.pointer || is.list != nil):
		s.literal("null")
	case is.list != nil && c == '[':
		for ok := s.list(); ok; ok = s.more() {
			s.check(is.list)
		}
	case is.list != nil:
		s.mistyped()
	case is.kind == shapeObject && c == '{':
		for name := s.open(); name != nil; name = s.next() {
			s.other(is, name)
		}
	case is.kind == shapeText && c == '"':
		s.str()
	case is.kind == shapeBool && (c == 't' || c == 'f'):
		s.skip()
	case is.kind == shapeInteger && (c == '-' || c >= '0' && c <= '9'):
		if _, err := strconv.Atoi(string(s.number())); err != nil {
			s.fail(errWrongType)
		}
	case is.kind == shapeDecimal && (c == '-' || c >= '0' && c <= '9'):
		s.number()
	case is.kind == shapeDecimal && c == '"':
		s.head.fault = faultQuoted
		s.str()
	case is.kind == shapeCode:
		start := s.at
		s.skip()
		into := reflect.New(is.code).Interface().(json.Unmarshaler)
		raw := s.raw[start:s.at]
		if bytes.IndexByte(raw, '\\') >= 0 {
			// The models compare the bytes; "<" is often sent as "\u003c".
			raw = []byte(strconv.Quote(cooked(raw[1 : len(raw)-1])))
		}
		if !s.broken && into.UnmarshalJSON(raw) != nil {
			s.fail(errWrongCode)
		}
	default:
		s.mistyped()
	}
}

// mistyped passes over a value that has not the type FHIR gives it.
func (s *scan) mistyped() {
	s.fail(errWrongType)
	s.skip()
}

func (s *scan) fail(why error) {
	if s.wrong == nil && !s.broken {
		s.wrong = why
	}
}
