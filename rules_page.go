// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/rules.md, printed from the rules themselves so that it cannot
// say anything else than what is enforced.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/policy"
)

// siteExample is the pack that the page shows; a test loads it.
const siteExample = `pack: site
version: 2026.1
title: St. Example, medical ICU
source: ICU guideline group, minutes of 12 March 2026
overrides:
  - rule: V4                  # a threshold, within the bounds the rule gives
    thresholds: {second_agent_ug_kg_min: 0.3}
    reason: our pharmacy stocks vasopressin for doses from 0.3 on
    by: ICU guideline group
  - rule: V4-NE               # rules of one family keep one value; agent.vasopressin_from_ug_kg_min goes with it
    thresholds: {second_agent_ug_kg_min: 0.3}
    reason: as V4
    by: ICU guideline group
  - rule: B3                  # a rule switched off
    off: true
    reason: glucose is managed by the insulin protocol's own alarms
    by: ICU guideline group
  - rule: F12                 # another effect
    effect: warning
    reason: the balance is charted without insensible losses here
    by: ICU guideline group
rules:
  - id: SITE-NIGHT            # a rule of one's own
    title: Two vasopressors
    text: "{vasopressors_running} vasopressors run: the intensivist on call is told."
    strength: house rule
    certainty: expert consensus
    source: ICU guideline group, minutes of 12 March 2026
    condition: "vasopressors_running >= 2.0"
    effect: information
    cases:
      - {name: two run, facts: {vasopressors_running: 2}, want: fires}
      - {name: one runs, facts: {vasopressors_running: 1}, want: silent}
      - {name: exposure unknown, want: unknown}
`

func writeRulesPage(out io.Writer, pack *policy.Pack) error {
	var b strings.Builder
	b.WriteString(`# Rules

Printed by ` + "`sepsisagent rules list --markdown`" + `; a test keeps it current.

A rule is data: an expression over facts of the chart, of a proposed treatment, or of its simulated future, with
its text, strength, certainty, source and test cases beside it. Rules are asked before and after simulation.

- **block**: the proposal is not made. **penalty**: it counts against the proposal's value. **warning** and
  **information** are shown and change nothing. A **hazard** is a warning that is shown, without a dose, even where
  nothing is suggested, and is never suppressed.
- A fact that the chart does not tell has no value: a rule that needs it is *not assessed* and is listed so on the
  card; a blocking rule that cannot be assessed blocks, unless it says otherwise. Nothing is ever read as zero.
- Where two rules that oppose each other both speak, on the chart or on any option, the card shows both and what to
  make of it. Nobody settles it silently.
- Every verdict carries the comparisons that made it true, with their numbers (` + "`because`" + ` in
  ` + "`decide --format json`" + `).
- ` + "`sepsisagent rules test [FILE...]`" + ` runs every rule's cases, requires that each comparison was seen true and
  false, and lints. Expressions have no loops and a cost limit, estimated when loaded and counted when run.
`)
	b.WriteString("\n## Packs\n\n| pack | rules | read from | file |\n|---|---|---|---|\n")
	for _, p := range pack.Packs() {
		source := p.Source
		if p.Checked != "" {
			source += ", **through " + p.Checked + ": check against the original before clinical use**"
		}
		fmt.Fprintf(&b, "| %s %s | %d | %s | %s |\n", p.Pack, p.Version, p.Rules, source, p.File)
	}
	writePackRules(&b, pack)
	writeLimits(&b)
	b.WriteString("\n## A site's own pack\n\nNamed under `files.rules` in the configuration, loaded beside the shipped packs, without recompiling. It changes a\n" +
		"threshold within the bounds that the rule gives, changes an effect, switches a rule off, or adds rules. Each change\n" +
		"needs a reason and a name; hazards and locked rules cannot be switched off or weakened. The hash over all packs is\n" +
		"in every receipt.\n\n```yaml\n" + siteExample + "```\n\nWhere a changed threshold makes a rule's shipped cases come out otherwise, the override brings its own `cases`.\n")
	writeFacts(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

func writePackRules(b *strings.Builder, pack *policy.Pack) {
	for _, p := range pack.Packs() {
		id := p.Pack + "@" + p.Version
		if p.Rules == 0 {
			continue
		}
		fmt.Fprintf(b, "\n## %s\n", p.Title)
		for _, r := range pack.Rules() {
			if r.Pack == id {
				writeRule(b, &r)
			}
		}
	}
}

func writeRule(b *strings.Builder, r *policy.Rule) {
	fmt.Fprintf(b, "\n### %s: %s\n\n%s\n\n", r.ID, r.Title, r.Text)
	effect := string(r.Effect)
	if r.Penalty > 0 {
		effect += " of " + strconv.FormatFloat(r.Penalty, 'g', -1, 64)
	}
	if r.Hazard {
		effect += ", hazard"
	}
	if r.Locked {
		effect += ", locked"
	}
	if r.HardReason != "" {
		effect += " (" + r.HardReason + ")"
	}
	strength := r.Strength
	for _, x := range r.Restated {
		strength += "; " + x.Strength + " in " + x.Statement
		if x.Checked != "" {
			strength += " (from " + x.Checked + ")"
		}
	}
	fmt.Fprintf(b, "- effect: %s; asked of the %s\n- strength: %s; certainty: %s; source: %s\n", effect, r.When, strength, r.Certainty, r.Source)
	if r.Applies != "" {
		fmt.Fprintf(b, "- applies where `%s`\n", r.Applies)
	}
	fmt.Fprintf(b, "- speaks where `%s`\n", r.Condition)
	for _, name := range slices.Sorted(maps.Keys(r.Thresholds)) {
		t := r.Thresholds[name]
		fmt.Fprintf(b, "- `%s` is %g (a site may set %g to %g)\n", name, t.Value, t.Min, t.Max)
	}
	if r.Unassessed == policy.UnassessedSilent {
		b.WriteString("- silent where it cannot be assessed: another rule or gate says what is missing\n")
	}
	for _, o := range r.Opposes {
		fmt.Fprintf(b, "- against %s: %s\n", o.Rule, o.Text)
	}
}

func writeLimits(b *strings.Builder) {
	b.WriteString("\n## Hard limits\n\nIn Go, behind the rules: no configuration, pack, model or language model reaches them.\n\n| limit | text |\n|---|---|\n")
	for _, l := range policy.HardLimits() {
		fmt.Fprintf(b, "| %s | %s |\n", l.ID, l.Text)
	}
}

func writeFacts(b *strings.Builder) {
	b.WriteString("\n## Facts\n\nWhat an expression may read. `known.NAME` asks whether a fact is known.\n\n| fact | type | of | meaning |\n|---|---|---|---|\n")
	for _, f := range policy.Facts() {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Of, f.Doc)
	}
}
