// SPDX-License-Identifier: Apache-2.0

package policy

// This file: what a hospital may change of a rule that stands in another pack,
// without recompiling: a threshold within the bounds its author gave, the
// effect, or the rule altogether, always with a reason and a name. Hazards and
// locked rules cannot be switched off or weakened, and the hard limits are not
// rules: nothing here reaches them.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Override is a site's change of one rule.
type Override struct {
	Rule       string             `yaml:"rule" json:"rule"`
	Reason     string             `yaml:"reason" json:"reason"` // why, for the people who will ask
	By         string             `yaml:"by" json:"by"`         // who decided it
	Off        bool               `yaml:"off" json:"off,omitempty"`
	Thresholds map[string]float64 `yaml:"thresholds" json:"thresholds,omitempty"`
	Effect     Effect             `yaml:"effect" json:"effect,omitempty"`
	Penalty    float64            `yaml:"penalty" json:"penalty,omitempty"`
	Cases      []Case             `yaml:"cases" json:"cases,omitempty"` // what the changed rule must say; they stand in for the shipped ones
	Pack       string             `yaml:"-" json:"pack"`
}

var errLocked = errors.New("the rule is locked: it cannot be switched off or weakened")

// severity orders effects by how much they hold a proposal back.
var severity = map[Effect]int{Info: 0, Warning: 1, Penalty: 2, Block: 3}

// apply returns r as o changes it.
func (o *Override) apply(r Rule) (Rule, error) {
	if o.Reason == "" || o.By == "" {
		return r, errors.New("an override needs a reason and, under by, who decided it")
	}
	if r.Override != nil {
		return r, fmt.Errorf("it is overridden already by %s", r.Override.Pack)
	}
	locked := r.Locked || r.Hazard
	changes := o.Effect != "" || o.Penalty != 0 || len(o.Thresholds) > 0
	switch {
	case o.Off == changes:
		return r, errors.New("an override switches a rule off, or changes its thresholds, effect or penalty: one of both")
	case o.Off && locked:
		return r, errLocked
	}
	r.Override = o
	if o.Off {
		return r, nil
	}
	if err := o.set(&r, locked); err != nil {
		return r, err
	}
	if len(o.Cases) > 0 {
		r.Cases = o.Cases
	}
	_, err := r.check()
	return r, err
}

func (o *Override) set(r *Rule, locked bool) error {
	r.Thresholds = maps.Clone(r.Thresholds)
	for _, name := range slices.Sorted(maps.Keys(o.Thresholds)) {
		value := o.Thresholds[name]
		t, ok := r.Thresholds[name]
		if !ok {
			return fmt.Errorf("rule %s has no threshold %q (hint: it has %v)", r.ID, name, slices.Sorted(maps.Keys(r.Thresholds)))
		}
		if !(t.Min <= value && value <= t.Max) {
			return fmt.Errorf("threshold %s: %g is outside %g to %g", name, value, t.Min, t.Max)
		}
		t.Value = value
		r.Thresholds[name] = t
	}
	if o.Effect != "" {
		if _, ok := severity[o.Effect]; !ok {
			return fmt.Errorf("effect %q, want block, penalty, warning or information", o.Effect)
		}
		if locked && severity[o.Effect] < severity[r.Effect] {
			return errLocked
		}
		r.Effect, r.Penalty = o.Effect, 0
		switch {
		case r.Effect == Block:
			r.Unassessed, r.HardReason = UnassessedBlock, o.Reason
		case r.Unassessed == UnassessedBlock:
			r.Unassessed = UnassessedNote
		}
	}
	if o.Penalty != 0 {
		r.Penalty = o.Penalty
	}
	return nil
}
