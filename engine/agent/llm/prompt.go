// SPDX-License-Identifier: Apache-2.0

package llm

// This file: the prompt templates and what they are filled with: numbers with
// units and ages, names of drugs and features that this program knows, and
// texts of rules, quoted. No text of the chart, no name, identifier or date.

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The templates, all required, no others.
var promptFiles = []string{"chart.tmpl", "remind.tmpl", "simulation.tmpl", "system.tmpl"}

// prompts are the templates, parsed. They are immutable.
type prompts struct {
	templates *template.Template
	hash      string
}

func loadPrompts(fsys fs.FS) (*prompts, error) {
	found, err := fs.Glob(fsys, "prompts/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	names := make([]string, 0, len(found))
	for _, f := range found {
		names = append(names, path.Base(f))
	}
	slices.Sort(names)
	if !slices.Equal(names, promptFiles) {
		return nil, fmt.Errorf("%w: prompts: found %v, want %v", ErrConfig, names, promptFiles)
	}
	t := template.New("prompts").Option("missingkey=error").Funcs(template.FuncMap{"quoted": func(s string) string { return quoted(s, 200) }})
	var parts [][]byte
	for _, name := range names {
		data, err := fs.ReadFile(fsys, "prompts/"+name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if _, err := t.New(name).Parse(string(data)); err != nil {
			return nil, fmt.Errorf("%w: prompts: %w", ErrConfig, err)
		}
		parts = append(parts, []byte(name), data)
	}
	return &prompts{t, hashOf(parts...)}, nil
}

func (p *prompts) write(name string, data any) (string, error) {
	var b strings.Builder
	if err := p.templates.ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("prompt %s: %w", name, err)
	}
	return strings.TrimSpace(b.String()), nil
}

// system is the system message of a task that ends after so many prescriptions,
// each in at most so many messages.
func (p *prompts) system(rounds, prescriptions int) (string, error) {
	return p.write("system.tmpl", struct{ Rounds, Prescriptions, MaxActions int }{rounds, prescriptions, maxActions})
}

// opening is the system message and the first message of the user.
func (p *prompts) opening(tl *state.Timeline, x *agent.Deliberation, cfg state.Config, rounds int) (system, user string, err error) {
	if system, err = p.system(rounds, 1); err != nil {
		return "", "", err
	}
	user, err = p.write("chart.tmpl", chartOf(tl, menuOf(x), cfg))
	return system, user, err
}

func (p *prompts) simulation(results []result, left int) (string, error) {
	return p.write("simulation.tmpl", struct {
		Results []result
		Left    int
	}{results, left})
}

func (p *prompts) remind(left int) (string, error) {
	return p.write("remind.tmpl", struct{ Left int }{left})
}

// shownSteps is how many 4-h steps of history are shown: a day, so that the
// prompt's length does not grow with the stay.
const shownSteps = 6

// chart is what chart.tmpl is filled with. Every field is safe to write as it
// stands, but for the texts of rules, which the template quotes.
type chart struct {
	Age, Sex, Hours  string
	MAP, MAPAge      string
	Goal             string
	LastHourMin      string
	SOFA             string
	Shock            bool
	Agents           []string
	NE               string
	Fluids           []string
	Present          []string // checks that are present, by key
	VasopressorLevel []level
	FluidLevel       []level
	LevelsNow        string
	Columns          []string
	Vitals, Labs     []row
	Urine            row
	Choices          []choice
	Refused          []refused
}

type level struct {
	Level       int
	Name, Range string
}

type row struct {
	Name, Unit string
	Cells      []string
}

type choice struct{ Pair, Name string }

type refused struct{ Pair, Rule, Why string }

// levelNames are the published ones.
var levelNames = [maxLevel + 1]string{"None", "Low", "Medium", "High", "Very High"}

var (
	vitals = []int{state.HeartRate, state.SysBP, state.DiaBP, state.MeanBP, state.RespRate, state.SpO2, state.TempC, state.FiO2, state.GCSEye, state.GCSVerbal, state.GCSMotor}
	// notLabs are shown elsewhere.
	notLabs = append([]int{state.Urine}, vitals...)
)

func chartOf(tl *state.Timeline, m Menu, cfg state.Config) chart {
	p := &tl.Present
	c := chart{
		Age: age(tl), Sex: sex(tl.Sex), Hours: fmt.Sprintf("%.0f", tl.HoursInICU),
		Goal: fmt.Sprintf("%.0f", p.MAP.GoalMmHg), NE: fmt.Sprintf("%.2f", p.NEUgKgMin),
		MAP: "unknown", MAPAge: "unknown", LastHourMin: "unknown", SOFA: "unknown", Shock: p.Sepsis.Shock,
		LevelsNow: pairOf(m.Now),
	}
	if m := p.MAP.Newest; m != nil {
		c.MAP, c.MAPAge = fmt.Sprintf("%.0f", m.Value), fmt.Sprintf("%.0f", m.AgeMin)
	}
	if m := p.MAP.LastHourMin; m != nil {
		c.LastHourMin = fmt.Sprintf("%.0f", m.Value)
	}
	if n := len(tl.Steps); n > 0 && tl.Steps[n-1].SOFA.Scored > 0 {
		c.SOFA = fmt.Sprintf("%d over %d organs", tl.Steps[n-1].SOFA.Total, tl.Steps[n-1].SOFA.Scored)
	}
	for _, a := range p.Agents {
		if a.State == state.AgentRunning {
			c.Agents = append(c.Agents, agentWords(a))
		}
	}
	c.Fluids = fluidWords(&p.Fluids)
	for _, k := range p.Checks {
		if k.Result == state.CheckPresent {
			c.Present = append(c.Present, word(k.Key))
		}
	}
	c.VasopressorLevel, c.FluidLevel = levelsFor(cfg, true), levelsFor(cfg, false)
	c.history(tl)
	for _, o := range m.Choices {
		c.Choices = append(c.Choices, choice{pairOf(o.Levels), o.Name})
	}
	c.refused(m.Refused)
	return c
}

// refused lists pairs of levels that are proposed and may not be chosen at all.
func (c *chart) refused(of []agent.Refused) {
	for _, r := range of {
		pair := pairOf(r.Levels)
		open := slices.ContainsFunc(c.Choices, func(o choice) bool { return o.Pair == pair })
		if open || slices.ContainsFunc(c.Refused, func(o refused) bool { return o.Pair == pair }) {
			continue
		}
		c.Refused = append(c.Refused, refused{pair, r.Rule, r.Why})
	}
}

func (c *chart) history(tl *state.Timeline) {
	steps := tl.Steps[max(0, len(tl.Steps)-shownSteps):]
	for i := range steps {
		ago := (len(steps) - 1 - i) * state.StepHours
		if ago == 0 {
			c.Columns = append(c.Columns, "now")
			continue
		}
		c.Columns = append(c.Columns, fmt.Sprintf("-%d h", ago))
	}
	line := func(feature int) row {
		f := state.FeatureAt(feature)
		r := row{Name: string(f.Name), Unit: f.UnitLabel}
		for i := range steps {
			r.Cells = append(r.Cells, cell(&steps[i], feature, f.Precision))
		}
		return r
	}
	for _, f := range vitals {
		c.Vitals = append(c.Vitals, line(f))
	}
	for f := range state.NumFeatures {
		if !slices.Contains(notLabs, f) {
			c.Labs = append(c.Labs, line(f))
		}
	}
	c.Urine = line(state.Urine)
}

// cell is a value as it came about: measured, carried with its age, or missing.
func cell(s *state.Step, feature, precision int) string {
	switch s.Presence[feature] {
	case state.Measured:
		return number(s.Value[feature], precision)
	case state.Carried:
		return fmt.Sprintf("%s (%.0f h old)", number(s.Value[feature], precision), s.AgeH[feature])
	}
	return "-"
}

func number(v float64, precision int) string {
	return strconv.FormatFloat(v, 'f', precision, 64)
}

// age is in years; above 89 it is not told apart, as it may identify a person.
func age(tl *state.Timeline) string {
	switch {
	case !tl.AgeKnown:
		return "unknown"
	case tl.AgeYears >= 90:
		return "90 or over"
	}
	return fmt.Sprintf("%.0f", math.Floor(tl.AgeYears))
}

func sex(s string) string {
	if s == "female" || s == "male" {
		return s
	}
	return "unknown"
}

// drugs are the vasoactive drugs whose names are written as they stand.
var drugs = []state.Drug{
	state.DrugNorepinephrine, state.DrugEpinephrine, state.DrugVasopressin, state.DrugDopamine, state.DrugPhenylephrine,
	state.DrugDobutamine, state.DrugMilrinone, state.DrugMetaraminol, state.DrugTerlipressin,
}

func agentWords(a state.Agent) string {
	name := "another vasoactive drug"
	if slices.Contains(drugs, a.Drug) {
		name = string(a.Drug)
	}
	switch {
	case a.RateUgKgMin > 0:
		return fmt.Sprintf("%s %.3f ug/kg/min, charted %.0f min ago", name, a.RateUgKgMin, a.AgeMin)
	case a.RateUnit == state.UnitUMin:
		return fmt.Sprintf("%s %.3f U/min, charted %.0f min ago", name, a.Rate, a.AgeMin)
	}
	return fmt.Sprintf("%s, charted %.0f min ago", name, a.AgeMin)
}

func fluidWords(f *state.FluidBook) []string {
	if !f.Known {
		return []string{"unknown"}
	}
	out := []string{
		fmt.Sprintf("boluses in 3 h: %.0f mL", f.Bolus3hMl), fmt.Sprintf("boluses in 24 h: %.0f mL", f.Bolus24hMl),
		fmt.Sprintf("all fluids in 24 h: %.0f mL", f.In24hMl),
	}
	if f.BalanceKnown {
		out = append(out, fmt.Sprintf("balance of the stay: %.0f mL", f.BalanceMl))
	}
	return out
}

func levelsFor(cfg state.Config, vasopressor bool) []level {
	unit, precision := "mL in 4 h", 0
	if vasopressor {
		unit, precision = "ug/kg/min norepinephrine equivalent", 2
	}
	out := []level{{0, levelNames[0], "0"}}
	for i := 1; i <= maxLevel; i++ {
		lo, hi := cfg.DoseRange(vasopressor, i)
		text := fmt.Sprintf("over %s to %s %s", number(lo, precision), number(hi, precision), unit)
		if math.IsInf(hi, 1) {
			text = fmt.Sprintf("over %s %s", number(lo, precision), unit)
		}
		out = append(out, level{i, levelNames[i], text})
	}
	return out
}

// word is a key of this program with anything else in it left out.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '-' {
			return r
		}
		return -1
	}, s)
}

// quoted writes text that is not ours so that it cannot end its line or look
// like anything but a quotation, cut at limit bytes.
func quoted(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return strconv.QuoteToASCII(s)
}
