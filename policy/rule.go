// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the YAML form of a rule pack and its strict reading. A pack is
// data written by people who treat patients; every mistake in it is an error
// that names the file, the line and the rule, never a rule that quietly does
// nothing.

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
// message names the file and, where there is one, the line and the rule.
var ErrPack = errors.New("rule pack not usable")

// Limits on one pack file. They bound what a site's own pack can make the
// loader do; the shipped packs are far below them.
const (
	maxPackBytes   = 1 << 20
	maxRules       = 500
	maxExprBytes   = 2000
	maxPenalty     = 5.0
	maxTextBytes   = 600
	exprCostLimit  = 500 // CEL cost units per expression, estimated at load and counted when run; the shipped ones stay under 100
	exprDepthLimit = 40
)

// Unassessed says what becomes of a rule whose facts are not all known.
type Unassessed string

// The ways: note the rule as not assessed (default), block the proposal
// (default of blocking rules: fail closed), or stay silent where another rule
// or gate already says that the fact is unknown.
const (
	UnassessedNote   Unassessed = "note"
	UnassessedBlock  Unassessed = "block"
	UnassessedSilent Unassessed = "silent"
)

// file is one pack as written.
type file struct {
	Pack      string        `yaml:"pack"`
	Version   string        `yaml:"version"`
	Title     string        `yaml:"title"`
	Source    string        `yaml:"source"`
	Checked   string        `yaml:"checked"` // what the rules were checked against; shown with them. Empty: the source itself
	Rules     []Rule        `yaml:"rules"`
	Restates  []Restatement `yaml:"restates"`
	Overrides []Override    `yaml:"overrides"`
	at        lines
}

// Rule is one rule as written in a pack.
type Rule struct {
	ID         string               `yaml:"id" json:"id"`                             // stable, e.g. "V8"; unique over all packs
	Title      string               `yaml:"title" json:"title"`                       // a few words
	Text       string               `yaml:"text" json:"text"`                         // shown; {fact} or {fact:decimals} is replaced by its value
	Strength   string               `yaml:"strength" json:"strength"`                 // strength of the recommendation, in the source's words
	Certainty  string               `yaml:"certainty" json:"certainty"`               // certainty of the evidence, in the source's words
	Source     string               `yaml:"source" json:"source"`                     // document and statement
	When       string               `yaml:"when" json:"when"`                         // present (default), forecast or both
	Applies    string               `yaml:"applies" json:"applies,omitempty"`         // CEL; the rule is silent where this is false. Empty: always
	Condition  string               `yaml:"condition" json:"condition"`               // CEL; the rule speaks where this is true
	Thresholds map[string]Threshold `yaml:"thresholds" json:"thresholds,omitempty"`   // named numbers of the expressions that a site may change
	Effect     Effect               `yaml:"effect" json:"effect"`                     // block, penalty, warning or information
	HardReason string               `yaml:"hard_reason" json:"hard_reason,omitempty"` // why a block may not be a mere penalty; the linter asks it of every block
	Penalty    float64              `yaml:"penalty" json:"penalty,omitempty"`         // subtracted from the proposal's value; only with effect penalty
	Hazard     bool                 `yaml:"hazard" json:"hazard,omitempty"`           // a danger shown without a dose even on abstention
	Locked     bool                 `yaml:"locked" json:"locked,omitempty"`           // no override may switch it off or weaken it; hazards always are
	Unassessed Unassessed           `yaml:"unassessed" json:"unassessed"`             // note, block or silent
	Opposes    []Opposition         `yaml:"opposes" json:"opposes,omitempty"`         // rules that pull the other way when both speak
	Given      map[string]any       `yaml:"given" json:"given,omitempty"`             // facts that every case starts from; a case sets one to null to make it unknown
	Cases      []Case               `yaml:"cases" json:"cases"`                       // facts and what the rule must then say
	Restated   []Restatement        `yaml:"-" json:"restated,omitempty"`              // by other packs
	Override   *Override            `yaml:"-" json:"override,omitempty"`              // by a site
	Pack       string               `yaml:"-" json:"pack"`                            // id@version of the pack it stands in
}

// Threshold is a number of a rule's expressions that a site may set between Min
// and Max. Its name ends in its unit, as a fact's does.
type Threshold struct {
	Value float64 `yaml:"value" json:"value"`
	Min   float64 `yaml:"min" json:"min"`
	Max   float64 `yaml:"max" json:"max"`
}

// Restatement is what a later guideline says of a rule that stands in another
// pack. It changes what is shown, never when the rule speaks.
type Restatement struct {
	Rule      string `yaml:"rule" json:"rule"`
	Statement string `yaml:"statement" json:"statement"` // e.g. "SSC 2026 Rec 51"
	Strength  string `yaml:"strength" json:"strength"`
	Checked   string `yaml:"-" json:"checked,omitempty"` // the pack's
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
	f.at = linesOf(name, data)
	if f.Pack == "" || f.Version == "" || f.Source == "" {
		return nil, fmt.Errorf("%w: %s: pack, version and source are required", ErrPack, name)
	}
	if n := len(f.Rules) + len(f.Overrides) + len(f.Restates); n == 0 || n > maxRules {
		return nil, fmt.Errorf("%w: %s: %d rules and overrides, want 1 to %d", ErrPack, name, n, maxRules)
	}
	for i := range f.Rules {
		r := &f.Rules[i]
		r.setDefaults()
		if key, err := r.check(); err != nil {
			return nil, fmt.Errorf("%w: %s: rule %d %q: %w", ErrPack, f.at.of(inRules, i, key), i+1, r.ID, err)
		}
	}
	return &f, nil
}

func (r *Rule) setDefaults() {
	if r.When == "" {
		r.When = WhenPresent
	}
	if r.Unassessed == "" {
		r.Unassessed = UnassessedNote
		if r.Effect == Block {
			r.Unassessed = UnassessedBlock
		}
	}
}

// check finds what can be found without compiling the expressions. The key
// says under which of the rule's keys the mistake stands.
func (r *Rule) check() (key string, err error) {
	for _, field := range []struct{ name, value string }{
		{"id", r.ID}, {"title", r.Title}, {"text", r.Text}, {"strength", r.Strength},
		{"certainty", r.Certainty}, {"source", r.Source}, {"condition", r.Condition},
	} {
		if field.value == "" {
			return field.name, fmt.Errorf("%s is required", field.name)
		}
	}
	if isLimit(r.ID) {
		return "id", fmt.Errorf("%s is a hard limit: no pack can hold a rule of that id", r.ID)
	}
	if len(r.Text) > maxTextBytes {
		return "text", fmt.Errorf("text of %d bytes is over the limit of %d", len(r.Text), maxTextBytes)
	}
	if len(r.Condition) > maxExprBytes || len(r.Applies) > maxExprBytes {
		return "condition", fmt.Errorf("an expression is over the limit of %d bytes", maxExprBytes)
	}
	if !slices.Contains([]string{WhenPresent, WhenForecast, whenBoth}, r.When) {
		return "when", fmt.Errorf("when %q, want present, forecast or both", r.When)
	}
	if err := r.checkThresholds(); err != nil {
		return "thresholds", err
	}
	if key, err := r.checkEffect(); err != nil {
		return key, err
	}
	for _, o := range r.Opposes {
		if o.Rule == "" || o.Text == "" || o.Rule == r.ID || len(o.Text) > maxTextBytes {
			return "opposes", fmt.Errorf("opposes %q: another rule, and a text of what to make of it, are required", o.Rule)
		}
	}
	for _, c := range r.Cases {
		if c.Name == "" || !slices.Contains([]string{WantFires, WantSilent, WantUnknown}, c.Want) {
			return "cases", fmt.Errorf("case %q: a name, and want of fires, silent or unknown, are required", c.Name)
		}
	}
	return "", nil
}

func (r *Rule) checkEffect() (key string, err error) {
	if !slices.Contains([]Effect{Block, Penalty, Warning, Info}, r.Effect) {
		return "effect", fmt.Errorf("effect %q, want block, penalty, warning or information", r.Effect)
	}
	if !slices.Contains([]Unassessed{UnassessedNote, UnassessedBlock, UnassessedSilent}, r.Unassessed) {
		return "unassessed", fmt.Errorf("unassessed %q, want note, block or silent", r.Unassessed)
	}
	if r.Unassessed == UnassessedBlock && r.Effect != Block {
		return "unassessed", errors.New("unassessed: block belongs to rules with effect block")
	}
	if math.IsNaN(r.Penalty) || (r.Effect == Penalty) != (r.Penalty > 0) || r.Penalty > maxPenalty || r.Penalty < 0 {
		return "penalty", fmt.Errorf("penalty %g: effect penalty needs a penalty in (0, %g], other effects none", r.Penalty, maxPenalty)
	}
	if r.Hazard && r.Effect != Warning {
		return "hazard", errors.New("a hazard is a warning: it never carries another effect")
	}
	return "", nil
}

func (r *Rule) checkThresholds() error {
	for name, t := range r.Thresholds {
		if factByName[name] != nil || name == knownVar {
			return fmt.Errorf("threshold %q has the name of a fact", name)
		}
		if !(t.Min <= t.Value && t.Value <= t.Max) || math.IsInf(t.Min, 0) || math.IsInf(t.Max, 0) {
			return fmt.Errorf("threshold %s: %g is not between its min %g and its max %g", name, t.Value, t.Min, t.Max)
		}
	}
	return nil
}
