// SPDX-License-Identifier: Apache-2.0

package policy

// This file: compiling rules to CEL programs over the fact catalogue. An
// expression is typed, has no loops, ends, and has an estimated cost that must
// be under a limit before it is ever run.

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// Values of Rule.When and, but for both, of Verdict.When: what a rule was asked
// about.
const (
	WhenPresent  = "present"  // the chart as it is
	WhenForecast = "forecast" // a simulated future
	whenBoth     = "both"
)

// knownVar is the map from fact name to whether it is known; rules write
// known.cvp_mmhg.
const knownVar = "known"

// compiled is one rule ready to be asked. It is immutable.
type compiled struct {
	Rule
	about     about // the most that any of its facts needs
	applies   *expression
	condition *expression
	facts     []*fact // every fact its expressions read, by name
	text      []piece
	shown     struct{ strength, source string }
	at        string // file:line
}

// expression is one compiled CEL expression.
type expression struct {
	source  string
	program cel.Program
	tracked cel.Program // also keeps the values of its sub-expressions
	checked *cel.Ast
	leaves  []leaf  // its comparisons and flags, in the order written
	facts   []*fact // that it reads, by name
	cost    uint64  // estimated at most, CEL cost units
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

// compile makes a rule ready. The key says under which of the rule's keys a
// mistake stands.
func compile(env *cel.Env, r Rule) (c *compiled, key string, err error) {
	c = &compiled{Rule: r}
	if c.condition, err = compileExpression(env, &r, r.Condition); err != nil {
		return nil, "condition", err
	}
	c.facts = slices.Clone(c.condition.facts)
	if r.Applies != "" {
		if c.applies, err = compileExpression(env, &r, r.Applies); err != nil {
			return nil, "applies", err
		}
		c.facts = append(c.facts, c.applies.facts...)
	}
	if c.text, err = template(&r, r.Text); err != nil {
		return nil, "text", err
	}
	slices.SortFunc(c.facts, byName)
	c.facts = slices.Compact(c.facts)
	for _, f := range c.facts {
		c.about = max(c.about, f.about)
	}
	for _, p := range c.text {
		if p.fact != nil && p.fact.about > c.about {
			return nil, "text", fmt.Errorf("{%s} is not among the facts that exist when this rule is asked", p.fact.name)
		}
	}
	c.shown.strength, c.shown.source = r.shownStrength(), r.Source
	key, err = c.consistent()
	return c, key, err
}

func byName(a, b *fact) int { return strings.Compare(a.name, b.name) }

// consistent checks that the rule is asked at a time when its facts exist.
func (c *compiled) consistent() (key string, err error) {
	switch {
	case c.about == aboutForecast && c.When != WhenForecast:
		return "when", errors.New("it reads forecast facts, so when must be forecast")
	case c.about == aboutChart && c.When != WhenPresent:
		return "when", errors.New("it reads the chart alone, so when must be present")
	case c.about == aboutChart && c.Effect == Penalty:
		return "effect", errors.New("a penalty needs a proposal to fall on: read a proposal fact")
	case c.about != aboutChart && c.Hazard:
		return "hazard", errors.New("a hazard is about the chart: it cannot read a proposal or a forecast")
	}
	return "", nil
}

// compileExpression compiles one expression with the rule's thresholds put in.
func compileExpression(env *cel.Env, r *Rule, source string) (*expression, error) {
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, issueOf(issues)
	}
	putThresholds(parsed, r.Thresholds)
	facts, err := factsOf(parsed)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, issueOf(issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%q is %s, want bool", source, checked.OutputType())
	}
	x := &expression{source: source, checked: checked, leaves: leavesOf(checked), facts: facts}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, err
	}
	if x.cost = estimate.Max; x.cost > exprCostLimit {
		return nil, fmt.Errorf("its estimated cost of %d is over the limit of %d (hint: split the rule)", x.cost, exprCostLimit)
	}
	if x.program, err = env.Program(checked, cel.CostLimit(exprCostLimit), cel.EvalOptions(cel.OptPartialEval)); err != nil {
		return nil, err
	}
	x.tracked, err = env.Program(checked, cel.CostLimit(exprCostLimit), cel.EvalOptions(cel.OptPartialEval, cel.OptTrackState))
	return x, err
}

// putThresholds replaces the names of thresholds by their values, so that a
// verdict explains itself with the numbers that held.
func putThresholds(parsed *cel.Ast, thresholds map[string]Threshold) {
	fac := celast.NewExprFactory()
	celast.PostOrderVisit(parsed.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.IdentKind {
			return
		}
		if t, ok := thresholds[e.AsIdent()]; ok {
			e.SetKindCase(fac.NewLiteral(e.ID(), types.Double(t.Value)))
		}
	}))
}

// factsOf lists the facts that an expression reads, by name.
func factsOf(parsed *cel.Ast) ([]*fact, error) {
	var unknown string
	var facts []*fact
	celast.PreOrderVisit(parsed.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		name := ""
		switch e.Kind() {
		case celast.IdentKind:
			if name = e.AsIdent(); name == knownVar {
				return
			}
		case celast.SelectKind:
			name = e.AsSelect().FieldName()
			if op := e.AsSelect().Operand(); op.Kind() != celast.IdentKind || op.AsIdent() != knownVar {
				name = "." + name
			}
		default:
			return
		}
		if factByName[name] == nil {
			if unknown == "" {
				unknown = name
			}
			return
		}
		facts = append(facts, factByName[name])
	}))
	if unknown != "" {
		return nil, fmt.Errorf("%w %q: undeclared reference (hint: did you mean %s?)", errUnknownFact, unknown, nearestFact(unknown))
	}
	slices.SortFunc(facts, byName)
	return slices.Compact(facts), nil
}

// issueOf makes one line of the first thing CEL found wrong.
func issueOf(issues *cel.Issues) error {
	list := issues.Errors()
	if len(list) == 0 {
		return issues.Err()
	}
	return fmt.Errorf("column %d: %s", list[0].Location.Column()+1, strings.ReplaceAll(list[0].Message, "\n", " "))
}

// maxWordBytes is the longest text fact that the cost of an expression is
// estimated for; a longer one ends in the limit when it is run.
const maxWordBytes = 64

// sizes tells the cost estimator how long facts can be.
type sizes struct{}

var _ cost.Estimator = sizes{}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch {
	case len(n.Path()) == 1 && n.Path()[0] == knownVar:
		return &cost.SizeEstimate{Max: uint64(len(catalogue))}
	case n.Type() != nil && n.Type().Kind() == types.StringKind && n.Expr().Kind() == celast.IdentKind:
		return &cost.SizeEstimate{Max: maxWordBytes}
	}
	return nil
}

// EstimateCallCost implements cost.Estimator.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
