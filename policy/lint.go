// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the linter. It finds what loads but cannot be meant: a rule that
// its own cases never see speak, a number in another unit, a block without a
// reason, a value shown without its unit, a word that a card never says.

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Finding is one thing the linter has against a rule.
type Finding struct {
	At   string `json:"at"` // file:line
	Rule string `json:"rule"`
	What string `json:"what"`
}

func (f Finding) String() string { return f.At + ": rule " + f.Rule + ": " + f.What }

// neverSaid are the words of design.md 5.10 that stand on no card.
var neverSaid = []string{"optimal", "safe", "reduces death", "adequately resuscitated", "no sepsis", "mortality"}

// lint checks one rule; wants are the outcomes that its cases show.
func (c *compiled) lint(wants map[string]bool) []Finding {
	var out []Finding
	report := func(format string, args ...any) {
		out = append(out, Finding{At: c.at, Rule: c.ID, What: fmt.Sprintf(format, args...)})
	}
	if !wants[WantFires] || !wants[WantSilent] {
		report("it needs a case in which it fires and one in which it is silent")
	}
	names := map[string]bool{}
	for _, tc := range c.Cases {
		if names[tc.Name] {
			report("two cases are named %q", tc.Name)
		}
		names[tc.Name] = true
	}
	if c.Effect == Block && c.HardReason == "" {
		report("it blocks, but hard_reason does not say why a penalty would not do")
	}
	if len(c.facts) == 0 {
		report("it reads no fact")
	}
	for _, word := range neverSaid {
		if strings.Contains(strings.ToLower(c.Title+" "+c.Text), word) {
			report("its text says %q, which a card never does (design.md 5.10)", word)
		}
	}
	for _, p := range c.text {
		if p.fact != nil && !c.saysUnit(p.fact) {
			report("its text shows {%s} without %s", p.fact.name, Unit(p.fact.name))
		}
	}
	for _, x := range []*expression{c.applies, c.condition} {
		if x != nil {
			for _, what := range x.implausible() {
				report("%s", what)
			}
		}
	}
	for name := range c.Thresholds {
		if !strings.Contains(c.Condition+" "+c.Applies, name) {
			report("no expression reads its threshold %s", name)
		}
		if Unit(name) == "" {
			report("the name of threshold %s does not end in a unit", name)
		}
	}
	for _, f := range c.facts {
		if f.kind == number && Unit(f.name) == "" && !slices.Contains(unitless, f.name) {
			report("the name of fact %s does not end in a unit", f.name)
		}
	}
	return out
}

// saysUnit reports whether the rule's text holds the unit of a fact somewhere:
// once is enough where several values of one unit stand beside each other.
func (c *compiled) saysUnit(f *fact) bool {
	unit := Unit(f.name)
	switch unit {
	case "", "years", "stage", "steps", "ratio": // said in words
		return true
	}
	return strings.Contains(c.Text, unit)
}

// unitless are the numbers that have no unit, or that their name says whole.
var unitless = []string{"ph", "hours_since_sepsis", "hours_in_icu", "forecast_first_at_goal_h", "support", "ood", "similar", "steps_at_goal", "vasopressors_running", "vasopressor_level_next", "fluid_level_next", "p_map_at_goal_4h"}

// plausible are the ranges outside of which a number in a rule is of another
// unit or a slip of the pen.
var plausible = func() map[string][2]float64 {
	m := map[string][2]float64{
		"age_years": {16, 110}, "map_min_1h_mmhg": {0, 200}, "map_lowest_source_mmhg": {0, 200}, "map_goal_mmhg": {30, 120},
		"map_age_min": {0, 1440}, "lactate_age_h": {0, 72}, "pf_ratio": {20, 700}, "akin_stage": {0, 3},
		"bolus_3h_ml": {0, 20000}, "bolus_24h_ml": {0, 40000}, "bolus_stay_ml": {0, 100000}, "bolus_ml": {0, 2000},
		"balance_ml": {-40000, 80000}, "fluid_rate_ml_h": {0, 5000}, "urine_ml_kg_h": {0, 20}, "steps_at_goal": {0, 12},
		"ood": {0, 1}, "support": {0, 1}, "p_map_at_goal_4h": {0, 1}, "disagreement_mmhg": {0, 100},
	}
	for _, name := range []string{"ne_now_ug_kg_min", "ne_next_ug_kg_min", "ne_mean_4h_ug_kg_min", "ne_8h_ago_ug_kg_min", "norepinephrine_ug_kg_min"} {
		m[name] = [2]float64{0, 5}
	}
	for name, concept := range map[string]state.Concept{
		"map_mmhg": "meanbp", "lactate_mmol_l": "lactate", "crt_s": state.ConceptCRT, "cvp_mmhg": state.ConceptCVP, "weight_kg": state.ConceptWeight,
		"scvo2_pct": state.ConceptScvO2, "svv_pct": state.ConceptSVV, "cardiac_index_l_min_m2": state.ConceptCardiacIndex, "ph": "ph", "bicarbonate_mmol_l": "bicarbonate",
		"hemoglobin_g_dl": "hemoglobin", "glucose_mg_dl": "glucose", "sodium_mmol_l": "sodium",
	} {
		lo, hi, _, _ := state.Range(concept)
		m[name] = [2]float64{lo, hi}
	}
	return m
}()

// implausible finds comparisons of a fact with a number that it cannot have.
func (x *expression) implausible() []string {
	var out []string
	for _, l := range x.leaves {
		for i := range l.operands {
			name, value := l.operands[i], l.operands[1-i]
			if name.Kind() != celast.IdentKind || value.Kind() != celast.LiteralKind {
				continue
			}
			v, ok := literal(value)
			r, known := plausible[name.AsIdent()]
			if ok && known && !(r[0] <= v && v <= r[1]) {
				out = append(out, fmt.Sprintf("%s compares with %s, but %s lies in %g to %g (hint: is it another unit?)",
					l.text, strconv.FormatFloat(v, 'g', -1, 64), name.AsIdent(), r[0], r[1]))
			}
		}
	}
	return out
}

func literal(e celast.Expr) (float64, bool) {
	switch v := e.AsLiteral().(type) {
	case types.Double:
		return float64(v), true
	case types.Int:
		return float64(v), true
	}
	return 0, false
}
