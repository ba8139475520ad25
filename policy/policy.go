// SPDX-License-Identifier: Apache-2.0

// Package policy judges proposed treatment against safety rules: guideline
// packs, which are data (YAML with CEL expressions, each rule with its source,
// strength and test cases), and hard limits, which are Go and which no
// configuration can reach. "Policy" means safety rules here; a learned
// treatment policy is an agent's actor.
//
// Rules read the chart as it is at the decision time (newest values with their
// ages, not 4-hour bins), a proposal, and its simulated future. A fact that is
// not known has no value: a rule that needs it is "not assessed", and a
// blocking rule that cannot be assessed blocks unless its author said
// otherwise. A verdict names the comparisons that made it true (Because), and
// two rules that pull in different directions are both reported (Conflicts).
//
// A site loads a pack of its own beside the shipped ones: it may set thresholds
// within bounds, change effects, switch rules off with a reason and add rules.
// Hazards and locked rules stand.
//
// The package trusts the rule files it is given (they decide what may be
// suggested; their hash is in every receipt) and the Timeline's own claims of
// what is known. It does not trust proposals or forecasts: both are checked
// against the limits, whatever the rules say.
package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ErrJudge is wrapped by every error of Judge. There is no verdict then, and
// nothing may be suggested.
var ErrJudge = errors.New("rules could not be evaluated")

// Pack is every loaded rule, compiled, with the hard limits behind it. It is
// immutable and safe for concurrent use.
type Pack struct {
	rules []*compiled // those that are asked
	off   []Rule      // switched off by a site
	files []PackInfo
	hash  string
}

// PackInfo names one loaded pack file.
type PackInfo struct {
	Pack      string `json:"pack"`
	Version   string `json:"version"`
	Title     string `json:"title"`
	Source    string `json:"source"`
	Checked   string `json:"checked,omitempty"` // what its rules were read from, where that is not the source
	File      string `json:"file"`
	Rules     int    `json:"rules"`
	Overrides int    `json:"overrides,omitempty"`
}

var _ Judge = (*Pack)(nil)

// Load reads and compiles the pack files at paths in fsys; with no paths, every
// rules/*.yaml. Any mistake in any rule is an error wrapping ErrPack that names
// file, line and rule: there is no such thing as a partly loaded pack.
func Load(fsys fs.FS, paths ...string) (*Pack, error) {
	if len(paths) == 0 {
		found, err := fs.Glob(fsys, "rules/*.yaml")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPack, err)
		}
		paths = found
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: no rules/*.yaml (hint: the service never runs without rules)", ErrPack)
	}
	var files []*file
	sum := sha256.New()
	for _, path := range slices.Sorted(slices.Values(paths)) {
		data, err := fs.ReadFile(fsys, path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPack, err)
		}
		f, err := parse(path, data)
		if err != nil {
			return nil, err
		}
		own := sha256.Sum256(data)
		sum.Write(own[:])
		files = append(files, f)
	}
	p, err := join(files)
	if err != nil {
		return nil, err
	}
	p.hash = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// Hash is the SHA-256 over the bytes of every loaded pack file.
func (p *Pack) Hash() string { return p.hash }

// Packs lists the loaded pack files.
func (p *Pack) Packs() []PackInfo { return slices.Clone(p.files) }

// Off lists the rules that a site switched off, sorted by id.
func (p *Pack) Off() []Rule { return slices.Clone(p.off) }

// Rules lists the rules that are asked, sorted by id, as a site's overrides
// leave them.
func (p *Pack) Rules() []Rule {
	out := make([]Rule, len(p.rules))
	for i, c := range p.rules {
		out[i] = c.Rule
	}
	return out
}

// Judge implements Judge. Rules about the chart are asked when proposal is nil;
// rules about a proposal, with the hard limits, when it is given. Verdicts with
// effect NotAssessed name what could not be evaluated and why.
func (p *Pack) Judge(tl *state.Timeline, proposal *Proposal, fc *world.Forecast) ([]Verdict, error) {
	if tl == nil {
		return nil, fmt.Errorf("%w: no timeline", ErrJudge)
	}
	if fc != nil && proposal == nil {
		return nil, fmt.Errorf("%w: a forecast without the proposal it simulates", ErrJudge)
	}
	v := read(&input{tl: tl, p: proposal, fc: fc})
	now := WhenPresent
	if fc != nil {
		now = WhenForecast
	}
	var out []Verdict
	if proposal != nil {
		out = Limits(tl, proposal)
	}
	for _, c := range p.rules {
		if (proposal == nil) != (c.about == aboutChart) || c.When != now && c.When != whenBoth {
			continue
		}
		verdict, speaks, err := c.judge(v, now)
		if err != nil {
			return nil, fmt.Errorf("%w: rule %s: %w", ErrJudge, c.ID, err)
		}
		if speaks {
			out = append(out, verdict)
		}
	}
	slices.SortStableFunc(out, func(a, b Verdict) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (c *compiled) judge(v *values, now string) (Verdict, bool, error) {
	a, stuck, err := c.ask(v)
	if err != nil {
		return Verdict{}, false, err
	}
	if a == no || a == isUnknown && c.Unassessed == UnassessedSilent {
		return Verdict{}, false, nil
	}
	out := Verdict{
		ID: c.ID, Pack: c.Pack, Effect: c.Effect, Penalty: c.Penalty, Hazard: c.Hazard,
		Strength: c.shown.strength, Certain: c.Certainty, Source: c.shown.source, When: now,
	}
	if a == isTrue {
		out.Text, out.Opposes, out.Values = c.fill(v), c.Opposes, c.used(v)
		out.Because, err = c.because(v)
		return out, true, err
	}
	out.Text, out.Missing = c.Title+" could not be assessed", stuck.missing(v)
	out.Penalty, out.Hazard = 0, false
	if c.Unassessed == UnassessedNote {
		out.Effect = NotAssessed
	}
	return out, true, nil
}

func (c *compiled) because(v *values) ([]Because, error) {
	applies, err := c.applies.because(v)
	if err != nil {
		return nil, err
	}
	condition, err := c.condition.because(v)
	return append(applies, condition...), err
}
