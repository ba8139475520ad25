// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the YAML form of a rule pack and its strict reading. A pack is
// data written by people who treat patients; every mistake in it is an error
// that names the file and the rule, never a rule that quietly does nothing.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"go.yaml.in/yaml/v3"
)

// ErrPack is wrapped by every error about a rule pack that cannot be used. The
// message names the file and, where there is one, the rule.
var ErrPack = errors.New("rule pack not usable")

// Limits on one pack file. They bound what a site's own pack can make the
// loader do; the shipped packs are far below them.
const (
	maxPackBytes   = 1 << 20
	maxRules       = 500
	maxExprBytes   = 2000
	maxPenalty     = 5.0
	maxTextBytes   = 600
	exprCostLimit  = 500 // CEL cost units per expression; the shipped ones use under 60
	exprDepthLimit = 40
)

// Unassessed says what becomes of a rule whose facts are not all known.
type Unassessed string

// The ways: note the rule as not assessed (default), block the proposal
// (default of blocking rules: fail closed), or stay silent where the absence of
// the fact is itself the ordinary case.
const (
	UnassessedNote   Unassessed = "note"
	UnassessedBlock  Unassessed = "block"
	UnassessedSilent Unassessed = "silent"
)

// file is one pack as written.
type file struct {
	Pack    string `yaml:"pack"`
	Version string `yaml:"version"`
	Title   string `yaml:"title" json:"title"`
	Source  string `yaml:"source" json:"source"`
	Rules   []Rule `yaml:"rules"`
}

// Rule is one rule as written in a pack.
type Rule struct {
	ID         string     `yaml:"id" json:"id"`                     // stable, e.g. "V8"; unique over all packs
	Title      string     `yaml:"title" json:"title"`               // a few words
	Text       string     `yaml:"text" json:"text"`                 // shown; {fact} or {fact:decimals} is replaced by its value
	Strength   string     `yaml:"strength" json:"strength"`         // strength of the recommendation, in the source's words
	Certainty  string     `yaml:"certainty" json:"certainty"`       // certainty of the evidence, in the source's words
	Source     string     `yaml:"source" json:"source"`             // document and statement
	When       string     `yaml:"when" json:"when"`                 // present (default), forecast or both
	Applies    string     `yaml:"applies" json:"applies,omitempty"` // CEL; the rule is silent where this is false. Empty: always
	Condition  string     `yaml:"condition" json:"condition"`       // CEL; the rule speaks where this is true
	Effect     Effect     `yaml:"effect" json:"effect"`             // block, penalty, warning or information
	Penalty    float64    `yaml:"penalty" json:"penalty,omitempty"` // subtracted from the proposal's value; only with effect penalty
	Hazard     bool       `yaml:"hazard" json:"hazard,omitempty"`   // a danger shown without a dose even on abstention
	Unassessed Unassessed `yaml:"unassessed" json:"unassessed"`     // note, block or silent
	Cases      []Case     `yaml:"cases" json:"cases"`               // facts and what the rule must then say
}

// Case is one test of a rule: facts that are not listed are unknown.
type Case struct {
	Name  string         `yaml:"name" json:"name"`
	Facts map[string]any `yaml:"facts" json:"facts"`
	Want  string         `yaml:"want" json:"want"` // fires, silent or unknown
}

// Values of Case.Want.
const (
	WantFires   = "fires"
	WantSilent  = "silent"
	WantUnknown = "unknown"
)

// parse reads one pack file strictly: unknown keys, a second document, or a
// file over the size limit are errors.
func parse(name string, data []byte) (*file, error) {
	if len(data) > maxPackBytes {
		return nil, fmt.Errorf("%w: %s: %d bytes is over the limit of %d", ErrPack, name, len(data), maxPackBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var f file
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrPack, name, err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %s: more than one YAML document (hint: one pack per file)", ErrPack, name)
	}
	if f.Pack == "" || f.Version == "" || f.Source == "" {
		return nil, fmt.Errorf("%w: %s: pack, version and source are required", ErrPack, name)
	}
	if len(f.Rules) == 0 || len(f.Rules) > maxRules {
		return nil, fmt.Errorf("%w: %s: %d rules, want 1 to %d", ErrPack, name, len(f.Rules), maxRules)
	}
	for i := range f.Rules {
		r := &f.Rules[i]
		r.setDefaults()
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("%w: %s: rule %d %q: %w", ErrPack, name, i+1, r.ID, err)
		}
	}
	return &f, nil
}

func (r *Rule) setDefaults() {
	if r.When == "" {
		r.When = whenPresent
	}
	if r.Unassessed == "" {
		r.Unassessed = UnassessedNote
		if r.Effect == Block {
			r.Unassessed = UnassessedBlock
		}
	}
}

// check finds what can be found without compiling the expressions.
func (r *Rule) check() error {
	for _, field := range []struct{ name, value string }{
		{"id", r.ID}, {"title", r.Title}, {"text", r.Text}, {"strength", r.Strength},
		{"certainty", r.Certainty}, {"source", r.Source}, {"condition", r.Condition},
	} {
		if field.value == "" {
			return fmt.Errorf("%s is required", field.name)
		}
	}
	if len(r.Text) > maxTextBytes {
		return fmt.Errorf("text of %d bytes is over the limit of %d", len(r.Text), maxTextBytes)
	}
	if len(r.Condition) > maxExprBytes || len(r.Applies) > maxExprBytes {
		return fmt.Errorf("an expression is over the limit of %d bytes", maxExprBytes)
	}
	if !slices.Contains([]string{whenPresent, whenForecast, whenBoth}, r.When) {
		return fmt.Errorf("when %q, want present, forecast or both", r.When)
	}
	if !slices.Contains([]Effect{Block, Penalty, Warning, Info}, r.Effect) {
		return fmt.Errorf("effect %q, want block, penalty, warning or information", r.Effect)
	}
	if !slices.Contains([]Unassessed{UnassessedNote, UnassessedBlock, UnassessedSilent}, r.Unassessed) {
		return fmt.Errorf("unassessed %q, want note, block or silent", r.Unassessed)
	}
	if r.Unassessed == UnassessedBlock && r.Effect != Block {
		return errors.New("unassessed: block belongs to rules with effect block")
	}
	if math.IsNaN(r.Penalty) || (r.Effect == Penalty) != (r.Penalty > 0) || r.Penalty > maxPenalty || r.Penalty < 0 {
		return fmt.Errorf("penalty %g: effect penalty needs a penalty in (0, %g], other effects none", r.Penalty, maxPenalty)
	}
	if r.Hazard && r.Effect != Warning {
		return errors.New("a hazard is a warning: it never carries another effect")
	}
	for _, c := range r.Cases {
		if c.Name == "" || !slices.Contains([]string{WantFires, WantSilent, WantUnknown}, c.Want) {
			return fmt.Errorf("case %q: a name, and want of fires, silent or unknown, are required", c.Name)
		}
	}
	return nil
}
