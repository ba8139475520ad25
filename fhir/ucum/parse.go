// SPDX-License-Identifier: Apache-2.0

package ucum

// This file: the grammar. A unit is terms joined by "." and "/", each an atom
// with an optional metric prefix and exponent, a positive integer, a power of
// ten (10*3), a group in parentheses, or an annotation in braces, which counts
// as one.

import (
	"fmt"
	"math"
	"strings"
)

// Limits keep hostile text from costing anything.
const (
	maxText  = 64
	maxDepth = 8
	maxPower = 20
)

// Parse reads a UCUM code (case-sensitive). The empty text is not a unit.
func Parse(text string) (Unit, error) {
	if text == "" {
		return Unit{}, fmt.Errorf("%w: empty", ErrUnknown)
	}
	if len(text) > maxText {
		return Unit{}, fmt.Errorf("%w: longer than %d characters", ErrUnknown, maxText)
	}
	if u, ok := affine[text]; ok {
		return u, nil
	}
	p := parser{text: text}
	u, ok := p.product(0)
	if !ok || p.at != len(text) {
		return Unit{}, fmt.Errorf("%w: %q", ErrUnknown, text)
	}
	if u.factor <= 0 || math.IsInf(u.factor, 0) || math.IsNaN(u.factor) {
		return Unit{}, fmt.Errorf("%w: %q", ErrUnknown, text)
	}
	return u, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// product reads terms joined by "." and "/", with an optional leading "/".
func (p *parser) product(depth int) (Unit, bool) {
	if depth > maxDepth {
		return Unit{}, false
	}
	u := one
	sign := int8(1)
	if p.peek() == '/' {
		p.at++
		sign = -1
	}
	for {
		t, ok := p.term(depth)
		if !ok {
			return Unit{}, false
		}
		if u, ok = u.times(t, sign); !ok {
			return Unit{}, false
		}
		switch p.peek() {
		case '.':
			sign = 1
		case '/':
			sign = -1
		default:
			return u, true
		}
		p.at++
	}
}

// term reads one factor of a product.
func (p *parser) term(depth int) (Unit, bool) {
	switch c := p.peek(); {
	case c == '(':
		p.at++
		u, ok := p.product(depth + 1)
		if !ok || p.peek() != ')' {
			return Unit{}, false
		}
		p.at++
		return u, true
	case c == '{':
		return one, p.annotation()
	case c >= '0' && c <= '9':
		return p.number()
	}
	u, ok := p.atom()
	if !ok {
		return Unit{}, false
	}
	power, ok := p.exponent()
	if !ok {
		return Unit{}, false
	}
	if u, ok = one.times(u, power); !ok {
		return Unit{}, false
	}
	if p.peek() == '{' && !p.annotation() {
		return Unit{}, false
	}
	return u, true
}

// annotation reads {any text without braces}.
func (p *parser) annotation() bool {
	end := strings.IndexByte(p.text[p.at:], '}')
	if end < 0 || strings.IndexByte(p.text[p.at+1:p.at+end], '{') >= 0 {
		return false
	}
	p.at += end + 1
	return true
}

// number reads an integer factor, or 10*n and 10^n.
func (p *parser) number() (Unit, bool) {
	start := p.at
	value := 0.0
	for p.peek() >= '0' && p.peek() <= '9' {
		value = value*10 + float64(p.peek()-'0')
		p.at++
	}
	if value == 0 || p.at-start > 9 {
		return Unit{}, false
	}
	if c := p.peek(); c == '*' || c == '^' {
		if p.text[start:p.at] != "10" {
			return Unit{}, false
		}
		p.at++
		power, ok := p.exponent()
		if !ok {
			return Unit{}, false
		}
		value = math.Pow10(int(power))
	}
	if p.peek() == '{' && !p.annotation() {
		return Unit{}, false
	}
	return Unit{factor: value}, true
}

// exponent reads an optional signed power; absent is 1.
func (p *parser) exponent() (int8, bool) {
	start, sign := p.at, 1
	if c := p.peek(); c == '-' || c == '+' {
		if c == '-' {
			sign = -1
		}
		p.at++
	}
	digits, value := 0, 0
	for p.peek() >= '0' && p.peek() <= '9' {
		if value = value*10 + int(p.peek()-'0'); value > maxPower {
			return 0, false
		}
		digits++
		p.at++
	}
	if digits == 0 {
		return 1, p.at == start
	}
	return int8(sign * value), value > 0
}

// atom reads the longest known unit symbol, with a metric prefix where the
// symbol takes one.
func (p *parser) atom() (Unit, bool) {
	end := p.at
	if p.peek() == '[' {
		n := strings.IndexByte(p.text[p.at:], ']')
		if n < 0 {
			return Unit{}, false
		}
		end = p.at + n + 1
	} else {
		for end < len(p.text) && isLetter(p.text[end]) || end < len(p.text) && p.text[end] == '%' {
			end++
		}
		// A symbol can end in a bracket part: mm[Hg], cm[H2O], m[iU].
		if end < len(p.text) && p.text[end] == '[' {
			n := strings.IndexByte(p.text[end:], ']')
			if n < 0 {
				return Unit{}, false
			}
			end += n + 1
		}
	}
	symbol := p.text[p.at:end]
	p.at = end
	if a, ok := atoms[symbol]; ok {
		return a.unit, true
	}
	for _, prefix := range prefixes {
		if a, ok := atoms[strings.TrimPrefix(symbol, prefix.symbol)]; ok && a.metric && strings.HasPrefix(symbol, prefix.symbol) {
			u := a.unit
			u.factor *= prefix.factor
			return u, true
		}
	}
	return Unit{}, false
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '\''
}

// times multiplies u by v to the given power; it fails for units with an
// offset and for dimensions beyond any real unit.
func (u Unit) times(v Unit, power int8) (Unit, bool) {
	if u.affine || v.affine {
		return Unit{}, false
	}
	for i := range u.dim {
		d := int(u.dim[i]) + int(v.dim[i])*int(power)
		if d > maxPower || d < -maxPower {
			return Unit{}, false
		}
		u.dim[i] = int8(d)
	}
	u.factor *= math.Pow(v.factor, float64(power))
	return u, true
}
