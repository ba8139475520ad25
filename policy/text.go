// SPDX-License-Identifier: Apache-2.0

package policy

// This file: a rule's words, with the values that it read put in.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// piece is a part of a rule's text: literal, or a fact to fill in.
type piece struct {
	literal  string
	fact     *fact
	decimals int
	optional int // number of the [clause] it is in, 0 for none
}

// template splits a rule's text at {fact} and {fact:decimals}; a threshold of
// the rule is filled in at once. A [clause] in brackets is said only where all
// facts in it are known.
func template(r *Rule, s string) ([]piece, error) {
	var out []piece
	for clause := 0; ; clause++ {
		plain, rest, opens := strings.Cut(s, "[")
		if strings.Contains(plain, "]") {
			return nil, errors.New("a ] without [")
		}
		pieces, err := fixed(r, plain)
		if err != nil {
			return nil, err
		}
		if out = append(out, pieces...); !opens {
			return out, nil
		}
		inner, rest, closes := strings.Cut(rest, "]")
		if !closes || strings.Contains(inner, "[") || !strings.Contains(inner, "{") {
			return nil, errors.New("a [clause] that does not end, holds another, or reads no fact")
		}
		if pieces, err = fixed(r, inner); err != nil {
			return nil, err
		}
		for i := range pieces {
			pieces[i].optional = clause + 1
		}
		out, s = append(out, pieces...), rest
	}
}

// fixed splits text without clauses.
func fixed(r *Rule, s string) ([]piece, error) {
	var out []piece
	for {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			if strings.IndexByte(s, '}') >= 0 {
				return nil, errors.New("a } without {")
			}
			return append(out, piece{literal: s}), nil
		}
		end := strings.IndexByte(s, '}')
		if end < open {
			return nil, errors.New("a { without } or the other way round")
		}
		name, dec, has := strings.Cut(s[open+1:end], ":")
		decimals := 0
		if has {
			n, err := strconv.Atoi(dec)
			if err != nil || n < 0 || n > 4 {
				return nil, fmt.Errorf("{%s:%s}: want 0 to 4 decimals", name, dec)
			}
			decimals = n
		}
		p := piece{fact: factByName[name], decimals: decimals}
		if t, ok := r.Thresholds[name]; ok {
			p.literal = strconv.FormatFloat(t.Value, 'g', -1, 64)
		} else if p.fact == nil {
			return nil, fmt.Errorf("%w %q (hint: did you mean %s?)", errUnknownFact, name, nearestFact(name))
		}
		out = append(out, piece{literal: s[:open]}, p)
		s = s[end+1:]
	}
}

// fill renders the rule's text with the values; unknown ones read "unknown".
func (c *compiled) fill(v *values) string {
	var b strings.Builder
	unsaid := map[int]bool{}
	for _, p := range c.text {
		if _, known := v.known[nameOf(p.fact)]; p.optional > 0 && p.fact != nil && !known {
			unsaid[p.optional] = true
		}
	}
	for _, p := range c.text {
		if unsaid[p.optional] {
			continue
		}
		b.WriteString(p.literal)
		if p.fact == nil {
			continue
		}
		switch x := v.known[p.fact.name].(type) {
		case float64:
			b.WriteString(strconv.FormatFloat(x, 'f', p.decimals, 64))
		case string:
			b.WriteString(x)
		case bool:
			b.WriteString(strconv.FormatBool(x))
		default:
			b.WriteString("unknown")
		}
	}
	return b.String()
}

func nameOf(f *fact) string {
	if f == nil {
		return ""
	}
	return f.name
}

// shownStrength is the strength with what later guidelines say.
func (r *Rule) shownStrength() string {
	s := r.Strength
	for _, x := range r.Restated {
		s += "; " + x.Strength + " in " + x.Statement
		if x.Checked != "" {
			s += " (from " + x.Checked + ")"
		}
	}
	return s
}
