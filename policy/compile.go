// SPDX-License-Identifier: Apache-2.0

package policy

// This file: compiling rules to CEL programs over the fact catalogue, and
// asking one rule. CEL is typed, terminates, and has three-valued logic: an
// expression over an unknown fact is unknown unless the known facts already
// decide it.

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Values of Rule.When and Verdict.When.
const (
	whenPresent  = "present"
	whenForecast = "forecast"
	whenBoth     = "both"
)

// knownVar is the map from fact name to whether it is known; rules write
// known.cvp_mmhg.
const knownVar = "known"

// compiled is one rule ready to be asked. It is immutable.
type compiled struct {
	Rule
	pack      string // id@version
	about     about  // the most that any of its facts needs
	applies   cel.Program
	condition cel.Program
	facts     []*fact // every fact its expressions read, by name
	text      []piece
}

// piece is a part of a rule's text: literal, or a fact to fill in.
type piece struct {
	literal  string
	fact     *fact
	decimals int
}

var errUnknownFact = errors.New("unknown fact")

func newEnv() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.ClearMacros(), // no comprehensions: an expression has no loops
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExprBytes),
		cel.ParserRecursionLimit(exprDepthLimit),
		cel.Variable(knownVar, cel.MapType(cel.StringType, cel.BoolType)),
	}
	for _, f := range catalogue {
		opts = append(opts, cel.Variable(f.name, [...]*cel.Type{number: cel.DoubleType, flag: cel.BoolType, word: cel.StringType}[f.kind]))
	}
	return cel.NewEnv(opts...)
}

func compile(env *cel.Env, pack string, r Rule) (*compiled, error) {
	c := &compiled{Rule: r, pack: pack}
	names := map[string]bool{}
	var err error
	if c.condition, err = program(env, r.Condition, names); err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	if r.Applies != "" {
		if c.applies, err = program(env, r.Applies, names); err != nil {
			return nil, fmt.Errorf("applies: %w", err)
		}
	}
	if c.text, err = template(r.Text); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	for name := range names {
		c.facts = append(c.facts, factByName[name])
		c.about = max(c.about, factByName[name].about)
	}
	slices.SortFunc(c.facts, func(a, b *fact) int { return strings.Compare(a.name, b.name) })
	for _, p := range c.text {
		if p.fact != nil && p.fact.about > c.about {
			return nil, fmt.Errorf("text: {%s} is not among the facts that exist when this rule is asked", p.fact.name)
		}
	}
	return c, c.consistent()
}

// consistent checks that the rule is asked at a time when its facts exist.
func (c *compiled) consistent() error {
	switch {
	case c.about == aboutForecast && c.When != whenForecast:
		return errors.New("it reads forecast facts, so when must be forecast")
	case c.about == aboutChart && c.When != whenPresent:
		return errors.New("it reads the chart alone, so when must be present")
	case c.about == aboutChart && c.Effect == Penalty:
		return errors.New("a penalty needs a proposal to fall on: read a proposal fact")
	case c.about != aboutChart && c.Hazard:
		return errors.New("a hazard is about the chart: it cannot read a proposal or a forecast")
	}
	return nil
}

// program compiles one expression and adds the facts it reads to names.
func program(env *cel.Env, expr string, names map[string]bool) (cel.Program, error) {
	checked, issues := env.Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%q is %s, want bool", expr, checked.OutputType())
	}
	var unknown string
	celast.PreOrderVisit(checked.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		name := ""
		switch e.Kind() {
		case celast.IdentKind:
			if name = e.AsIdent(); name == knownVar {
				return
			}
		case celast.SelectKind:
			if op := e.AsSelect().Operand(); op.Kind() != celast.IdentKind || op.AsIdent() != knownVar {
				unknown = "." + e.AsSelect().FieldName()
				return
			}
			name = e.AsSelect().FieldName()
		default:
			return
		}
		if factByName[name] == nil {
			unknown = name
			return
		}
		names[name] = true
	}))
	if unknown != "" {
		return nil, fmt.Errorf("%w %q (hint: did you mean %s?)", errUnknownFact, unknown, nearestFact(unknown))
	}
	return env.Program(checked, cel.CostLimit(exprCostLimit), cel.EvalOptions(cel.OptPartialEval))
}

// template splits a rule's text at {fact} and {fact:decimals}.
func template(s string) ([]piece, error) {
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
		f := factByName[name]
		if f == nil {
			return nil, fmt.Errorf("%w %q (hint: did you mean %s?)", errUnknownFact, name, nearestFact(name))
		}
		decimals := 0
		if has {
			n, err := strconv.Atoi(dec)
			if err != nil || n < 0 || n > 4 {
				return nil, fmt.Errorf("{%s:%s}: want 0 to 4 decimals", name, dec)
			}
			decimals = n
		}
		out = append(out, piece{literal: s[:open]}, piece{fact: f, decimals: decimals})
		s = s[end+1:]
	}
}

// answer is what an expression came to.
type answer int

const (
	no answer = iota
	isTrue
	isUnknown
)

func eval(p cel.Program, act cel.PartialActivation) (answer, error) {
	v, _, err := p.Eval(act)
	if err != nil {
		return no, err
	}
	switch v := v.(type) {
	case types.Bool:
		if v {
			return isTrue, nil
		}
		return no, nil
	case *types.Unknown:
		return isUnknown, nil
	}
	return no, fmt.Errorf("came to %s, want bool", v.Type())
}

// values are the facts at one moment: what is known, and what is not.
type values struct {
	known map[string]any
	act   cel.PartialActivation
}

// read reads the facts that can be read of in.
func read(in *input) (*values, error) {
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

func newValues(got map[string]any) (*values, error) {
	vars := make(map[string]any, len(got)+1)
	known := make(map[string]bool, len(catalogue))
	var unknown []*cel.AttributePatternType
	for i := range catalogue {
		name := catalogue[i].name
		v, ok := got[name]
		known[name] = ok
		if !ok {
			unknown = append(unknown, cel.AttributePattern(name))
			continue
		}
		vars[name] = v
	}
	vars[knownVar] = known
	act, err := cel.PartialVars(vars, unknown...)
	if err != nil {
		return nil, err
	}
	return &values{known: got, act: act}, nil
}

// ask evaluates the rule: isTrue when it speaks.
func (c *compiled) ask(v *values) (answer, error) {
	if c.applies != nil {
		a, err := eval(c.applies, v.act)
		if err != nil || a != isTrue {
			return a, err
		}
	}
	return eval(c.condition, v.act)
}

// fill renders the rule's text with the values; unknown ones read "unknown".
func (c *compiled) fill(v *values) string {
	var b strings.Builder
	for _, p := range c.text {
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

// used returns the numbers and flags the rule read, and the names it missed.
func (c *compiled) used(v *values) (map[string]float64, []string) {
	got := map[string]float64{}
	var missing []string
	for _, f := range c.facts {
		switch x := v.known[f.name].(type) {
		case float64:
			got[f.name] = x
		case bool:
			got[f.name] = 0
			if x {
				got[f.name] = 1
			}
		case nil:
			missing = append(missing, f.name)
		}
	}
	if len(got) == 0 {
		got = nil
	}
	return got, missing
}
