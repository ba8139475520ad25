// SPDX-License-Identifier: Apache-2.0

package policy

// This file: why a rule speaks. A condition is a tree of and, or and not over
// leaves: comparisons and flags. The leaves that made it true are given with
// the values they compared, so that a verdict can be checked by hand.

import (
	"fmt"
	"strconv"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// Because is one sub-expression that decided a verdict.
type Because struct {
	Expression string `json:"expression"` // e.g. "map_mmhg < map_goal_mmhg"
	Holds      bool   `json:"holds"`      // what it came to
	Values     string `json:"values"`     // e.g. "58 < 65"
}

// leaf is a sub-expression of type bool that is not itself and, or, not or a
// choice.
type leaf struct {
	id       int64
	text     string
	operator string // of a comparison, as written; empty otherwise
	operands []celast.Expr
}

var comparisons = map[string]string{
	operators.Less: "<", operators.LessEquals: "<=", operators.Greater: ">", operators.GreaterEquals: ">=",
	operators.Equals: "==", operators.NotEquals: "!=",
}

func isLogic(e celast.Expr) bool {
	if e.Kind() != celast.CallKind {
		return false
	}
	switch e.AsCall().FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
		return true
	}
	return false
}

func leavesOf(checked *cel.Ast) []leaf {
	var out []leaf
	native := checked.NativeRep()
	var walk func(e celast.Expr)
	walk = func(e celast.Expr) {
		if isLogic(e) {
			for _, arg := range e.AsCall().Args() {
				walk(arg)
			}
			return
		}
		if native.GetType(e.ID()).Kind() != types.BoolKind || e.Kind() == celast.LiteralKind {
			return
		}
		text, err := cel.ExprToString(e, native.SourceInfo())
		if err != nil {
			text = fmt.Sprintf("expression %d", e.ID())
		}
		l := leaf{id: e.ID(), text: text}
		if e.Kind() == celast.CallKind {
			if op, ok := comparisons[e.AsCall().FunctionName()]; ok {
				l.operator, l.operands = op, e.AsCall().Args()
			}
		}
		out = append(out, l)
	}
	walk(native.Expr())
	return out
}

// because evaluates the expression once more and keeps what decided it.
func (x *expression) because(v *values) ([]Because, error) {
	if x == nil {
		return nil, nil
	}
	a, details, err := eval(x.tracked, v)
	if err != nil || a != isTrue {
		return nil, err
	}
	decided := map[int64]bool{}
	decisive(x.checked.NativeRep().Expr(), details.State(), decided)
	var out []Because
	for i := range x.leaves {
		l := &x.leaves[i]
		if decided[l.id] {
			holds, _ := truth(details.State(), l.id)
			out = append(out, Because{Expression: l.text, Holds: holds, Values: l.values(details.State(), holds)})
		}
	}
	return out, nil
}

// decisive marks the leaves on which the value of e rests: all of a true and,
// the true ones of a true or, and the other way round for false.
func decisive(e celast.Expr, state interpreter.EvalState, mark map[int64]bool) {
	if !isLogic(e) {
		mark[e.ID()] = true
		return
	}
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == operators.Conditional {
		branch := args[2]
		if yes, _ := came(args[0], state); yes {
			branch = args[1]
		}
		decisive(args[0], state, mark)
		decisive(branch, state, mark)
		return
	}
	for _, arg := range args {
		holds, ok := came(arg, state)
		switch call.FunctionName() {
		case operators.LogicalAnd:
			if whole, _ := came(e, state); ok && whole == holds {
				decisive(arg, state, mark)
			}
		case operators.LogicalOr:
			if whole, _ := came(e, state); ok && whole == holds {
				decisive(arg, state, mark)
			}
		default:
			decisive(arg, state, mark)
		}
	}
}

// came computes what a sub-expression came to from the leaves that were
// evaluated. CEL evaluates a chain of and or or as one, so that its inner nodes
// have no value of their own.
func came(e celast.Expr, state interpreter.EvalState) (value, ok bool) {
	if !isLogic(e) {
		if e.Kind() == celast.LiteralKind {
			b, isBool := e.AsLiteral().(types.Bool)
			return bool(b), isBool
		}
		return truth(state, e.ID())
	}
	args := e.AsCall().Args()
	switch e.AsCall().FunctionName() {
	case operators.LogicalNot:
		v, ok := came(args[0], state)
		return !v, ok
	case operators.Conditional:
		v, ok := came(args[0], state)
		if !ok {
			return false, false
		}
		if v {
			return came(args[1], state)
		}
		return came(args[2], state)
	}
	deciding := e.AsCall().FunctionName() == operators.LogicalOr // one true decides an or, one false an and
	all := true
	for _, arg := range args {
		v, ok := came(arg, state)
		if ok && v == deciding {
			return deciding, true
		}
		all = all && ok
	}
	return !deciding, all
}

func truth(state interpreter.EvalState, id int64) (value, ok bool) {
	v, found := state.Value(id)
	b, isBool := v.(types.Bool)
	return bool(b), found && isBool
}

// values writes a comparison with the numbers that were compared.
func (l *leaf) values(state interpreter.EvalState, holds bool) string {
	if l.operator == "" {
		return strconv.FormatBool(holds)
	}
	return operand(l.operands[0], state) + " " + l.operator + " " + operand(l.operands[1], state)
}

func operand(e celast.Expr, state interpreter.EvalState) string {
	var v ref.Val
	if e.Kind() == celast.LiteralKind {
		v = e.AsLiteral()
	} else {
		v, _ = state.Value(e.ID())
	}
	switch x := v.(type) {
	case types.Double:
		return strconv.FormatFloat(float64(x), 'g', 5, 64)
	case types.Int:
		return strconv.FormatInt(int64(x), 10)
	case types.String:
		return strconv.Quote(string(x))
	case types.Bool:
		return strconv.FormatBool(bool(x))
	}
	return "unknown"
}
