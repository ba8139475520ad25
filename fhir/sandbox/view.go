// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: what the page shows of a chart beside the card: newest values with
// their age, running infusions, chips, trend.

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// patientView is one patient as shown.
type patientView struct {
	ID, Name, Bed, Story, Kind string
	Age                        int
	Sex, Unit, InUnit          string
	Chips                      []chip
	Vitals, Labs               []valueView
	Infusions                  []infusionView
	Spark, Trend               template.HTML
	Asked                      *Result
}

// chip is one short state with a tone: danger, warn, good or plain.
type chip struct{ Tone, Text string }

// valueView is one newest value.
type valueView struct {
	Label, Value, Unit, Note, When, Tone string
}

// infusionView is one running drug.
type infusionView struct{ Drug, Rate, When string }

// shownVital says how a concept is shown.
type shownVital struct {
	concept  state.Concept
	label    string
	unit     string
	decimals int
	lo, hi   float64 // outside: highlighted
}

var shownVitals = []shownVital{
	{"meanbp", "MAP", "mmHg", 0, 65, 110}, {"heart_rate", "Heart rate", "/min", 0, 45, 120}, {"resp_rate", "Resp. rate", "/min", 0, 8, 26},
	{"spo2", "SpO₂", "%", 0, 90, 101}, {"fio2", "FiO₂", "%", 0, 0, 55}, {"temp_c", "Temp.", "°C", 1, 35.5, 38.8},
}

var shownLabs = []shownVital{
	{"lactate", "Lactate", "mmol/L", 1, 0, 2}, {"creatinine", "Creatinine", "mg/dL", 2, 0, 1.5}, {"platelet", "Platelets", "10³/µL", 0, 100, 900},
	{"bilirubin_total", "Bilirubin", "mg/dL", 1, 0, 2}, {"pao2", "PaO₂", "mmHg", 0, 60, 400}, {"ph", "pH", "", 2, 7.3, 7.5},
	{"wbc", "WBC", "10³/µL", 1, 3, 14}, {"output_4hourly", "Urine (last)", "mL", 0, 0, 1e9}, {state.ConceptWeight, "Weight", "kg", 1, 0, 1e9},
}

// view builds what is shown of a bed at now.
func view(b *bed, now time.Time, asked *Result) patientView {
	c := b.chart
	v := patientView{
		ID: c.Person.ID, Name: b.demo.Name, Bed: b.demo.Bed, Story: b.demo.Story, Kind: string(b.demo.Scenario),
		Age: int(now.Sub(c.Person.BirthDate).Hours() / 24 / 365.25), Sex: c.Person.Sex, Unit: c.Stay.Unit,
		InUnit: duration(now.Sub(c.Stay.Start)), Asked: asked,
	}
	newest := newestOf(c, now)
	v.Vitals = values(newest, shownVitals, now)
	if s, ok := newest["sysbp"]; ok && len(v.Vitals) > 0 {
		if d, ok := newest["diabp"]; ok && d.Effective.Equal(s.Effective) {
			v.Vitals[0].Note = fmt.Sprintf("%.0f/%.0f", s.Value, d.Value)
		}
	}
	v.Labs = values(newest, shownLabs, now)
	running := runningAt(c, now)
	for _, a := range running {
		v.Infusions = append(v.Infusions, infusionView{
			Drug: drugName(a.Drug), Rate: rateText(a), When: "charted " + clock(a.Start) + ", " + ago(now.Sub(a.Start)),
		})
	}
	v.Chips = chips(newest, running, now)
	v.Spark, v.Trend = sparkline(c, now), trend(c, now)
	return v
}

// newestOf is the newest value of each concept that is known at now.
func newestOf(c *state.Chart, now time.Time) map[state.Concept]state.Measurement {
	out := map[state.Concept]state.Measurement{}
	for _, m := range c.Measurements {
		if old, ok := out[m.Concept]; m.Available.After(now) || ok && old.Effective.After(m.Effective) {
			continue
		}
		if m.Method == state.MethodCuff && out[m.Concept].Method == state.MethodArterial && m.Effective.Sub(out[m.Concept].Effective) < time.Hour {
			continue
		}
		out[m.Concept] = m
	}
	return out
}

func values(newest map[state.Concept]state.Measurement, rows []shownVital, now time.Time) []valueView {
	var out []valueView
	for _, r := range rows {
		m, ok := newest[r.concept]
		if !ok {
			out = append(out, valueView{Label: r.label, Value: "–", When: "not charted", Tone: "missing"})
			continue
		}
		tone := ""
		if m.Value < r.lo || m.Value > r.hi {
			tone = "danger"
		}
		note := m.Method
		out = append(out, valueView{r.label, strconv.FormatFloat(m.Value, 'f', r.decimals, 64), r.unit, note, ago(now.Sub(m.Effective)), tone})
	}
	return out
}

// runningAt lists infusions that cover now, pressors first.
func runningAt(c *state.Chart, now time.Time) []state.Administration {
	var out []state.Administration
	for _, a := range c.Administrations {
		if a.Form == state.FormInfusion && a.Start.Before(now) && a.End.IsZero() {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b state.Administration) int {
		return cmp.Compare(classOrder(a.Class), classOrder(b.Class))
	})
	return out
}

func classOrder(c state.Class) int {
	switch c {
	case state.ClassVasopressor:
		return 0
	case state.ClassInotrope, state.ClassVasoactive:
		return 1
	}
	return 2
}

func drugName(d state.Drug) string {
	switch d {
	case "lactated ringer":
		return "Lactated Ringer’s"
	case "carrier solution":
		return "Carrier fluid"
	}
	if d == "" {
		return ""
	}
	return strings.ToUpper(string(d[:1])) + string(d[1:])
}

func rateText(a state.Administration) string {
	unit := map[string]string{state.UnitUgKgMin: "µg/kg/min", state.UnitUMin: "units/min", state.UnitMlH: "mL/h", state.UnitUgMin: "µg/min"}[a.RateUnit]
	return strconv.FormatFloat(a.Rate, 'f', -1, 64) + " " + unit
}

// chips sums the patient up.
func chips(newest map[state.Concept]state.Measurement, running []state.Administration, now time.Time) []chip {
	var out []chip
	m, ok := newest["meanbp"]
	switch {
	case !ok || now.Sub(m.Effective) > 2*time.Hour:
		out = append(out, chip{"warn", "No recent MAP"})
	case m.Value < 65:
		out = append(out, chip{"danger", fmt.Sprintf("MAP %.0f", m.Value)})
	default:
		out = append(out, chip{"good", fmt.Sprintf("MAP %.0f", m.Value)})
	}
	onDrug := false
	for _, a := range running {
		if a.Class == state.ClassVasopressor {
			onDrug = true
			out = append(out, chip{"pressor", drugName(a.Drug) + " " + strconv.FormatFloat(a.Rate, 'f', -1, 64)})
		}
	}
	if !onDrug {
		out = append(out, chip{"plain", "No vasopressor"})
	}
	l, ok := newest["lactate"]
	switch {
	case !ok:
		out = append(out, chip{"plain", "No lactate"})
	case l.Value > 2:
		out = append(out, chip{"warn", fmt.Sprintf("Lactate %.1f", l.Value)})
	default:
		out = append(out, chip{"good", fmt.Sprintf("Lactate %.1f", l.Value)})
	}
	return out
}

func clock(t time.Time) string { return t.UTC().Format("15:04") }

func ago(d time.Duration) string {
	switch m := int(d.Minutes()); {
	case m < 1:
		return "now"
	case m < 90:
		return fmt.Sprintf("%d min ago", m)
	}
	return fmt.Sprintf("%.0f h ago", d.Hours())
}

func duration(d time.Duration) string {
	if h := d.Hours(); h >= 48 {
		return fmt.Sprintf("%.0f days", h/24)
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}
