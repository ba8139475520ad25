// SPDX-License-Identifier: Apache-2.0

package main

// This file: what `evaluate stays` counts and how it prints it.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// staysReport is what `evaluate stays --json` prints.
type staysReport struct {
	Model   world.Info      `json:"model"`
	Hashes  engine.Hashes   `json:"hashes"`
	Sources []*sourceReport `json:"sources"`
}

// sourceReport counts the decisions of one folder.
type sourceReport struct {
	Source      string                     `json:"source"`
	SepticOnly  bool                       `json:"septic_only"`
	Stays       int                        `json:"stays"`
	Decisions   int                        `json:"decisions"`
	Errors      map[string]int             `json:"errors"`
	Hours       []*hourReport              `json:"hours"`
	Reasons     map[string]int             `json:"reasons"`  // of abstentions and not-applicable, "status: code"
	Rules       map[string]int             `json:"rules"`    // verdicts on chart and chosen option, "id effect"
	Coverage    map[string]*coverageReport `json:"coverage"` // by feature, of the newest step
	Vasopressor levelTable                 `json:"vasopressor_levels"`
	Fluid       levelTable                 `json:"fluid_levels"`
	Seconds     float64                    `json:"seconds"`

	seen map[string]bool
}

// hourReport counts the decisions at one landmark.
type hourReport struct {
	Hour             int            `json:"hour"`
	Outcomes         map[string]int `json:"outcomes"`
	OnNorepinephrine map[string]int `json:"on_norepinephrine"` // of those with norepinephrine running at a charted rate
	WhyNot           map[string]int `json:"why_not"`           // of those, reasons that neither suggest nor affirm came out
	Hazards          int            `json:"hazards"`           // decisions with a danger shown
}

// coverageReport says how often a feature had a value, as fractions.
type coverageReport struct {
	Measured float64 `json:"measured"`
	Known    float64 `json:"known"` // measured or carried within its hold time
}

// levelTable is [chosen][given next], where what was given is known.
type levelTable [5][5]int

func newSourceReport(name string) *sourceReport {
	s := &sourceReport{Source: name, Errors: map[string]int{}, Reasons: map[string]int{}, Rules: map[string]int{}, Coverage: map[string]*coverageReport{}, seen: map[string]bool{}}
	for _, h := range landmarks {
		s.Hours = append(s.Hours, &hourReport{Hour: h, Outcomes: map[string]int{}, OnNorepinephrine: map[string]int{}, WhyNot: map[string]int{}})
	}
	for _, f := range state.Catalogue() {
		s.Coverage[string(f.Name)] = &coverageReport{}
	}
	return s
}

func (s *sourceReport) add(l *landmark) {
	if !s.seen[l.stay] {
		s.seen[l.stay] = true
		s.Stays++
	}
	if l.err != nil {
		s.Errors[l.err.Error()]++
		return
	}
	s.Decisions++
	d, tl := l.made.outcome().Decision, l.made.timeline
	hour := s.Hours[slices.Index(landmarks, l.hour)]
	hour.Outcomes[string(d.Status)]++
	if onNorepinephrine(tl) {
		hour.OnNorepinephrine[string(d.Status)]++
		for _, r := range d.Reasons {
			hour.WhyNot[r.Code]++
		}
	}
	if len(d.Hazards) > 0 {
		hour.Hazards++
	}
	for _, r := range d.Reasons {
		s.Reasons[string(d.Status)+": "+r.Code]++
	}
	for _, v := range append(slices.Clone(d.Hazards), d.Verdicts...) {
		s.Rules[v.ID+" "+string(v.Effect)]++
	}
	last := tl.Steps[len(tl.Steps)-1]
	for i, f := range state.Catalogue() {
		c := s.Coverage[string(f.Name)]
		n := float64(s.Decisions)
		c.Measured += (one(last.Presence[i] == state.Measured) - c.Measured) / n
		c.Known += (one(last.Presence[i] != state.Missing) - c.Known) / n
	}
	if l.next == nil || d.Status != agent.Suggest && d.Status != agent.Affirm {
		return
	}
	given := l.next.Steps[len(l.next.Steps)-1].Given
	if given.VasoKnown {
		s.Vasopressor[d.Levels.Vasopressor][given.Levels.Vasopressor]++
	}
	if given.FluidKnown {
		s.Fluid[d.Levels.Fluid][given.Levels.Fluid]++
	}
}

func onNorepinephrine(tl *state.Timeline) bool {
	return slices.ContainsFunc(tl.Present.Agents, func(a state.Agent) bool {
		return a.Drug == state.DrugNorepinephrine && a.State == state.AgentRunning
	})
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// print writes the tables as Markdown, which a terminal shows well enough;
// document adds the heading of docs/results.md.
func (r staysReport) print(w io.Writer, document bool) error {
	l := &lines{w: w}
	if document {
		l.say("# Decisions on real stays\n\nPrinted by `sepsisagent evaluate stays --markdown`; nothing here is typed. Decisions at %s h after ICU admission, each by the whole path of a hook call (FHIR, timeline, rules, simulation, receipt, card). Levels are 4-hour labels, not orders.\n", joinInts(landmarks))
	}
	l.say("Model %s %s, hash `%s`; rules `%s`; code maps `%s`; build `%s`.", r.Model.Kind, r.Model.Version, r.Model.Hash, r.Hashes.Rules, r.Hashes.CodeMaps, r.Hashes.Build)
	for _, s := range r.Sources {
		s.print(l)
	}
	return l.err
}

func joinInts(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

func (s *sourceReport) print(l *lines) {
	which := "every ICU stay"
	if s.SepticOnly {
		which = "septic stays"
	}
	l.say("\n## %s (%s)\n\n%d stays, %d decisions, %d errors.\n", s.Source, which, s.Stays, s.Decisions, total(s.Errors))
	l.say("| h | decisions | suggest | affirm | abstain | not applicable | danger shown | on charted norepinephrine: suggest or affirm |\n|---|---|---|---|---|---|---|---|")
	for _, h := range s.Hours {
		on := total(h.OnNorepinephrine)
		l.say("| %d | %d | %d | %d | %d | %d | %d | %s |", h.Hour, total(h.Outcomes), h.Outcomes["suggest"], h.Outcomes["affirm"], h.Outcomes["abstain"],
			h.Outcomes["not-applicable"], h.Hazards, fraction(h.OnNorepinephrine["suggest"]+h.OnNorepinephrine["affirm"], on))
	}
	for _, h := range s.Hours {
		s.counts(l, fmt.Sprintf("On charted norepinephrine at %d h, neither suggest nor affirm because", h.Hour), "reason", h.WhyNot)
	}
	s.counts(l, "Reasons", "reason", s.Reasons)
	s.counts(l, "Rules that spoke", "rule and effect", s.Rules)
	s.counts(l, "Errors", "error", s.Errors)
	l.say("\n### Feature coverage at the decision\n\n| feature | measured in the step and known by then | known (measured or carried) |\n|---|---|---|")
	for _, f := range state.Catalogue() {
		c := s.Coverage[string(f.Name)]
		l.say("| %s | %.0f %% | %.0f %% |", f.Name, 100*c.Measured, 100*c.Known)
	}
	s.Vasopressor.print(l, "Vasopressor level chosen (rows) against given in the next 4 h (columns)")
	s.Fluid.print(l, "Fluid level chosen (rows) against given in the next 4 h (columns)")
}

func (s *sourceReport) counts(l *lines, title, what string, n map[string]int) {
	if len(n) == 0 {
		return
	}
	l.say("\n### %s\n\n| %s | decisions |\n|---|---|", title, what)
	for _, name := range byCount(n) {
		l.say("| %s | %d |", cell(name), n[name])
	}
}

// byCount lists the keys, the commonest first.
func byCount(n map[string]int) []string {
	names := slices.Collect(maps.Keys(n))
	sort.Slice(names, func(i, j int) bool {
		if n[names[i]] != n[names[j]] {
			return n[names[i]] > n[names[j]]
		}
		return names[i] < names[j]
	})
	return names
}

func (t levelTable) print(l *lines, title string) {
	l.say("\n### %s\n\n| chosen | 0 | 1 | 2 | 3 | 4 |\n|---|---|---|---|---|---|", title)
	same, all := 0, 0
	for i, row := range t {
		l.say("| %d | %d | %d | %d | %d | %d |", i, row[0], row[1], row[2], row[3], row[4])
		for j, n := range row {
			all += n
			if i == j {
				same += n
			}
		}
	}
	l.say("\nThe same level: %s.", fraction(same, all))
}

func total(n map[string]int) int {
	sum := 0
	for _, v := range n {
		sum += v
	}
	return sum
}

func fraction(part, whole int) string {
	if whole == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d (%.0f %%)", part, whole, 100*float64(part)/float64(whole))
}
