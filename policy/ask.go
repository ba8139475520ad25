// SPDX-License-Identifier: Apache-2.0

package policy

// This file: asking one rule. CEL has three-valued logic: an expression over an
// unknown fact is unknown unless the known facts already decide it.

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// answer is what an expression came to.
type answer int

const (
	no answer = iota
	isTrue
	isUnknown
)

func eval(p cel.Program, act cel.PartialActivation) (answer, *cel.EvalDetails, error) {
	v, details, err := p.Eval(act)
	if err != nil {
		return no, nil, err
	}
	switch v := v.(type) {
	case types.Bool:
		if v {
			return isTrue, details, nil
		}
		return no, details, nil
	case *types.Unknown:
		return isUnknown, details, nil
	}
	return no, nil, fmt.Errorf("came to %s, want bool", v.Type())
}

// values are the facts at one moment: what is known, and what is not. It is
// the activation that expressions run over, and belongs to one call of Judge.
type values struct {
	known map[string]any
	flags map[string]bool // which facts are known; made when the first rule reads it
	// asked holds the unknown facts of the rule that is being asked, and no
	// others: CEL compares every attribute with every pattern.
	asked []*cel.AttributePatternType
}

var _ cel.PartialActivation = (*values)(nil)

// patterns are made once: they are the same for every decision.
var patterns = func() map[string]*cel.AttributePatternType {
	m := make(map[string]*cel.AttributePatternType, len(catalogue))
	for i := range catalogue {
		m[catalogue[i].name] = cel.AttributePattern(catalogue[i].name)
	}
	return m
}()

// ResolveName implements cel.Activation.
func (v *values) ResolveName(name string) (any, bool) {
	if name == knownVar {
		return v.whichKnown(), true
	}
	x, ok := v.known[name]
	return x, ok
}

// Parent implements cel.Activation.
func (v *values) Parent() interpreter.Activation { return nil }

// UnknownAttributePatterns implements cel.PartialActivation.
func (v *values) UnknownAttributePatterns() []*cel.AttributePatternType { return v.asked }

// AsPartialActivation lets CEL find the unknown facts through its own wrapping.
func (v *values) AsPartialActivation() (cel.PartialActivation, bool) { return v, true }

// read reads the facts that can be read of in.
func read(in *input) *values {
	got := make(map[string]any, len(catalogue))
	for i := range catalogue {
		f := &catalogue[i]
		if f.about == aboutProposal && in.p == nil || f.about == aboutForecast && in.fc == nil {
			continue
		}
		if v, ok := f.read(in); ok {
			got[f.name] = v
		}
	}
	return newValues(got)
}

func newValues(got map[string]any) *values {
	return &values{known: got, asked: make([]*cel.AttributePatternType, 0, 16)}
}

func (v *values) whichKnown() map[string]bool {
	if v.flags == nil {
		v.flags = make(map[string]bool, len(catalogue))
		for i := range catalogue {
			_, ok := v.known[catalogue[i].name]
			v.flags[catalogue[i].name] = ok
		}
	}
	return v.flags
}

// about narrows the unknown facts to those that a rule reads.
func (v *values) about(facts []*fact) {
	v.asked = v.asked[:0]
	for _, f := range facts {
		if _, ok := v.known[f.name]; !ok {
			v.asked = append(v.asked, patterns[f.name])
		}
	}
}

// ask evaluates the rule: isTrue when it speaks. Where the answer is unknown,
// stuck is the expression that could not be decided.
func (c *compiled) ask(v *values) (a answer, stuck *expression, err error) {
	v.about(c.facts)
	if c.applies != nil {
		a, _, err := eval(c.applies.program, v)
		if err != nil || a != isTrue {
			return a, c.applies, err
		}
	}
	a, _, err = eval(c.condition.program, v)
	return a, c.condition, err
}

// used returns the numbers and flags that the rule read.
func (c *compiled) used(v *values) map[string]float64 {
	got := make(map[string]float64, len(c.facts))
	for _, f := range c.facts {
		switch x := v.known[f.name].(type) {
		case float64:
			got[f.name] = x
		case bool:
			got[f.name] = 0
			if x {
				got[f.name] = 1
			}
		}
	}
	if len(got) == 0 {
		return nil
	}
	return got
}

// missing returns the facts without which the expression could not be decided.
func (x *expression) missing(v *values) []string {
	var out []string
	for _, f := range x.facts {
		if _, ok := v.known[f.name]; !ok {
			out = append(out, f.name)
		}
	}
	return out
}
