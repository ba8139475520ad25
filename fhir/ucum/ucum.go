// SPDX-License-Identifier: Apache-2.0

// Package ucum reads and converts the part of the Unified Code for Units of
// Measure (UCUM) that intensive-care charts use: mass, volume, pressure, time,
// amount of substance, equivalents, international units, temperature, counts
// and their products and powers.
//
// It trusts nothing: a code it does not know is ErrUnknown, two units that do
// not measure the same thing are ErrIncommensurable, and neither is ever
// guessed. Conversions that depend on the substance (umol/L to mg/dL) are not
// units arithmetic and live in the code maps of package fhir. Its arithmetic is
// tested against an implementation of UCUM by others, to 1e-12 of the value.
package ucum

import (
	"errors"
	"fmt"
	"math"
)

// Errors returned by Parse and Convert.
var (
	// ErrUnknown: the text is not a unit this package knows.
	ErrUnknown = errors.New("unknown unit")
	// ErrIncommensurable: the two units measure different kinds of quantity.
	ErrIncommensurable = errors.New("units measure different things")
)

// base indexes the independent dimensions of a Unit.
type base int

const (
	length      base = iota // m
	mass                    // g
	duration                // s
	substance               // mol
	equivalents             // eq: kept apart from mol, because the ratio is the ion's charge
	temperature             // K
	activity                // [iU]: kept apart, because the ratio depends on the drug
	acidity                 // [pH]
	osmoles                 // osm
	numBases
)

// dimension is the power of each base in a unit.
type dimension [numBases]int8

// Unit is a parsed unit: a value in it times Factor, plus offset, is the value
// in base units. Units are comparable and immutable.
type Unit struct {
	dim    dimension
	factor float64
	offset float64 // only for Cel and [degF], which stand alone
	affine bool
}

// SameKind reports whether values in u can be converted to v without knowing
// the substance.
func (u Unit) SameKind(v Unit) bool { return u.dim == v.dim }

// Convert turns a value in unit from into the same quantity in unit to. Both
// are UCUM codes. The identical code is returned unchanged, so that no rounding
// touches a value that needs none.
func Convert(value float64, from, to string) (float64, error) {
	f, err := Parse(from)
	if err != nil {
		return 0, err
	}
	t, err := Parse(to)
	if err != nil {
		return 0, err
	}
	if from == to {
		return value, nil
	}
	if f.dim != t.dim {
		return 0, fmt.Errorf("%q and %q: %w", from, to, ErrIncommensurable)
	}
	return f.To(value, t), nil
}

// To converts a value in u to unit t, which must be of the same kind.
func (u Unit) To(value float64, t Unit) float64 {
	if u == t {
		return value
	}
	if u.affine || t.affine {
		return (value*u.factor + u.offset - t.offset) / t.factor
	}
	ratio := u.factor / t.factor
	// Powers of ten are exact decimals on paper; dividing by the exact inverse
	// keeps 10*9/L equal to 10*3/uL instead of off by one in the last bit.
	if near := math.Round(ratio); near >= 1 && math.Abs(ratio-near) < near*1e-12 {
		return value * near
	}
	if near := math.Round(1 / ratio); near >= 1 && math.Abs(1/ratio-near) < near*1e-12 {
		return value / near
	}
	return value * ratio
}
