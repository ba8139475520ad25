// SPDX-License-Identifier: Apache-2.0

package policy

// This file: joining pack files to one set of rules: what one pack says of a
// rule that stands in another (a restatement, a site's override, an opposition)
// is put to that rule, and then everything is compiled.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrNotAlone is wrapped (with ErrPack) when a pack speaks of a rule that no
// loaded pack holds. A site's overrides are loaded with the packs they change.
var ErrNotAlone = errors.New("no loaded pack holds the rule")

// standing is a rule and where it stands.
type standing struct {
	rule    Rule
	file    *file
	i       int
	changed string // file:line of the override, empty without one
}

func (s *standing) at(key string) string { return s.file.at.of(inRules, s.i, key) }

// culprit is where a mistake in the rule was made: in the pack, or by the
// override that changed it.
func (s *standing) culprit(key string) string {
	if s.changed != "" {
		return s.changed
	}
	return s.at(key)
}

func join(files []*file) (*Pack, error) {
	p := &Pack{}
	byID := map[string]*standing{}
	var order []*standing
	for _, f := range files {
		id := f.Pack + "@" + f.Version
		for i, r := range f.Rules {
			r.Pack = id
			s := &standing{rule: r, file: f, i: i}
			if first := byID[r.ID]; first != nil {
				return nil, fmt.Errorf("%w: %s: rule %s is already in %s", ErrPack, s.at("id"), r.ID, first.at("id"))
			}
			if f.Checked != "" {
				s.rule.Source += " (from " + f.Checked + ")"
			}
			byID[r.ID] = s
			order = append(order, s)
		}
		p.files = append(p.files, PackInfo{
			Pack: f.Pack, Version: f.Version, Title: f.Title, Source: f.Source, Checked: f.Checked,
			File: f.at.file, Rules: len(f.Rules), Overrides: len(f.Overrides),
		})
	}
	for _, f := range files {
		if err := f.amend(byID); err != nil {
			return nil, err
		}
	}
	return p, p.compile(order)
}

// amend puts what the file says of rules of other packs to them.
func (f *file) amend(byID map[string]*standing) error {
	find := func(list string, i int, id string) (*standing, error) {
		if s := byID[id]; s != nil {
			return s, nil
		}
		hint := "`sepsisagent rules list` shows the ids"
		if isLimit(id) {
			hint = "it is a hard limit, which no configuration reaches"
		}
		return nil, fmt.Errorf("%w: %s: %w %q (hint: %s)", ErrPack, f.at.of(list, i, "rule"), ErrNotAlone, id, hint)
	}
	for i, x := range f.Restates {
		s, err := find(inRestates, i, x.Rule)
		if err != nil {
			return err
		}
		if x.Statement == "" || x.Strength == "" {
			return fmt.Errorf("%w: %s: a restatement needs statement and strength", ErrPack, f.at.of(inRestates, i, ""))
		}
		x.Checked = f.Checked
		s.rule.Restated = append(s.rule.Restated, x)
	}
	for i := range f.Overrides {
		o := &f.Overrides[i]
		s, err := find(inOverrides, i, o.Rule)
		if err != nil {
			return err
		}
		o.Pack = f.Pack + "@" + f.Version
		changed, err := o.apply(s.rule)
		if err != nil {
			return fmt.Errorf("%w: %s: override of %s: %w", ErrPack, f.at.of(inOverrides, i, ""), o.Rule, err)
		}
		s.rule, s.changed = changed, f.at.of(inOverrides, i, "")
	}
	return nil
}

func (p *Pack) compile(order []*standing) error {
	env, err := newEnv()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPack, err)
	}
	ids := map[string]bool{}
	for _, s := range order {
		ids[s.rule.ID] = true
	}
	if err := together(order); err != nil {
		return err
	}
	for _, s := range order {
		for _, o := range s.rule.Opposes {
			if !ids[o.Rule] {
				return fmt.Errorf("%w: %s: rule %s opposes: %w %q", ErrPack, s.at("opposes"), s.rule.ID, ErrNotAlone, o.Rule)
			}
		}
		c, key, err := compile(env, s.rule)
		if err != nil {
			return fmt.Errorf("%w: %s: rule %s: %s: %w", ErrPack, s.culprit(key), s.rule.ID, key, err)
		}
		c.at = s.at("")
		if o := s.rule.Override; o != nil && o.Off {
			p.off = append(p.off, s.rule)
			continue
		}
		p.rules = append(p.rules, c)
	}
	slices.SortFunc(p.rules, func(a, b *compiled) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(p.off, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

// together checks that rules of one family (V4, V4-NE) that share a threshold
// have one value for it: a site that moves the dose at which vasopressin is
// advised must move the dose at which norepinephrine stops being raised.
func together(order []*standing) error {
	type shared struct{ family, threshold string }
	first := map[shared]*standing{}
	for _, s := range order {
		if s.rule.Override != nil && s.rule.Override.Off {
			continue
		}
		family, _, _ := strings.Cut(s.rule.ID, "-")
		for _, name := range slices.Sorted(maps.Keys(s.rule.Thresholds)) {
			other := first[shared{family, name}]
			if other == nil {
				first[shared{family, name}] = s
				continue
			}
			mine, its := s.rule.Thresholds[name].Value, other.rule.Thresholds[name].Value
			if mine != its {
				at := s.culprit("thresholds")
				if s.changed == "" {
					at = other.culprit("thresholds")
				}
				return fmt.Errorf("%w: %s: %s is %g in rule %s and %g in rule %s (hint: set both)", ErrPack, at, name, its, other.rule.ID, mine, s.rule.ID)
			}
		}
	}
	return nil
}
