// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: numbers, times and names as the pages write them, which is how
// the card writes them.

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// times writes times with their age at the decision.
type times struct {
	at   time.Time
	zone *time.Location
}

// stamp is a time of day, with the date when it is another one, and the age.
func (t times) stamp(u time.Time) string {
	if u.IsZero() {
		return "unknown"
	}
	return t.clock(u) + " (" + t.age(u) + ")"
}

func (t times) clock(u time.Time) string {
	local, day := u.In(t.zone), t.at.In(t.zone)
	if local.YearDay() == day.YearDay() && local.Year() == day.Year() {
		return local.Format("15:04")
	}
	return local.Format("2006-01-02 15:04")
}

// local writes the times inside a text as those of the page.
func (t times) local(text string) string {
	return instants.ReplaceAllStringFunc(text, func(s string) string {
		u, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return s
		}
		return t.clock(u)
	})
}

var instants = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})`)

func (t times) all(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = t.local(s)
	}
	return out
}

func (t times) age(u time.Time) string {
	d := t.at.Sub(u)
	switch {
	case d < time.Minute:
		return "now"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes()+0.5)) + " min before"
	case d < 48*time.Hour:
		return strconv.FormatFloat(d.Hours(), 'f', 1, 64) + " h before"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days before"
}

func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "unknown"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// rate writes a dose, in any unit, without a zero after its last digit. What
// runs below the third decimal is "below 0.001" as on the card, never 0.
func rate(v float64) string {
	if v > 0 && v < 0.0005 {
		return "below 0.001"
	}
	s := number(v, 3)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

const ugKgMin = " ug/kg/min"

func millilitres(v float64) string { return number(v, 0) + " mL" }

func percent(p float64) string {
	switch {
	case math.IsNaN(p):
		return "unknown"
	case p < 0.01:
		return "under 1 %"
	case p > 0.99:
		return "over 99 %"
	}
	return number(100*p, 0) + " %"
}

// unitWords writes a UCUM unit as a bedside does.
var unitWords = strings.NewReplacer("mm[Hg]", "mmHg", "[iU]", "U", "cm[H2O]", "cmH2O", "{score}", "", "{INR}", "", "[pH]", "", "10*3/uL", "×10³/µL", "Cel", "°C")

// spell makes words of a stable key.
func spell(key string) string {
	words := strings.Fields(strings.NewReplacer("_", " ", "-", " ").Replace(key))
	for i, w := range words {
		if s, ok := acronyms[w]; ok {
			words[i] = s
		}
	}
	return strings.Join(words, " ")
}

var acronyms = map[string]string{
	"dnr": "DNR", "dka": "DKA", "cvp": "CVP", "pf": "P/F", "ecmo": "ECMO", "esrd": "ESRD", "map": "MAP", "spo2": "SpO2", "icu": "ICU",
	"gcs": "GCS", "peep": "PEEP", "crt": "capillary refill", "rass": "RASS", "o2": "O2", "hb": "Hb", "sofa": "SOFA",
}

// capital begins a text with a capital letter.
func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// shown is a reading's value and unit. The urine feature is a sum over 4 h, one
// reading of it is not.
func shown(r state.Reading) (label, value string) {
	if r.Concept == state.ConceptO2Device {
		return "Oxygen device", r.Received // its value only says that there is one
	}
	label, decimals, unit := capital(spell(string(r.Concept))), 1, unitWords.Replace(r.Unit)
	if f, ok := state.Lookup(r.Concept); ok {
		label, decimals = f.Label, f.Precision
		if f.UnitLabel != "" && f.Index != state.Urine {
			unit = f.UnitLabel
		}
		if f.Index == state.Urine {
			label = "Urine, last entry"
		}
	} else if r.Concept == state.ConceptPF {
		label, decimals = "PaO2/FiO2", 0
	}
	return label, strings.TrimSpace(r.Comparator + number(r.Value, decimals) + " " + unit)
}

// method is how a value was taken. The same word stands for an arterial line
// and for an arterial specimen.
func method(r state.Reading) string {
	switch r.Concept {
	case "meanbp", "sysbp", "diabp":
		if r.Method == state.MethodArterial {
			return "arterial line"
		}
	}
	return r.Method
}
