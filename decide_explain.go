// SPDX-License-Identifier: Apache-2.0

package main

// This file: `decide --explain` as text, for the informatician who asks why a
// value is there, or is not.

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// explain prints where everything in the timeline came from.
func (l *lines) explain(e *state.Explanation, checks []state.Check) {
	l.explainValues(e)
	l.explainCandidates(e)
	l.explainInfusions(e)
	l.explainFluids(e)
	l.explainWeights(e)
	l.say("\nSOFA of the last 24 h: %d from %d of 6 organs: lungs %s, coagulation %s, liver %s, heart %s, brain %s, kidneys %s", e.SOFA.Total, e.SOFA.Scored,
		organ(e.SOFA.Resp), organ(e.SOFA.Coag), organ(e.SOFA.Liver), organ(e.SOFA.Cardio), organ(e.SOFA.CNS), organ(e.SOFA.Renal))
	l.say("sepsis: suspected %v, SOFA %d over a baseline of %d, met %v", e.Sepsis.Suspected, e.Sepsis.SOFA, e.Sepsis.BaselineSOFA, e.Sepsis.Met)
	for _, evidence := range e.Sepsis.Evidence {
		l.say("  %s", evidence)
	}
	l.explainHistory(e)
	l.say("\nchecked")
	l.table("  CHECK\tANSWER\tEVIDENCE", func(t io.Writer) {
		for _, c := range checks {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", c.Key, c.Result, c.Evidence)
		}
	})
	l.say("\nnot charted here")
	if len(e.Gaps) == 0 {
		l.say("  nothing is known to be left out")
	}
	for _, g := range e.Gaps {
		l.say("  %s: %s", g.What, g.Reason)
	}
	l.say("\n%d resources: %d used, %d ignored, %d rejected", e.Counts["read"], e.Counts["used"], e.Counts["ignored"], e.Counts["rejected"])
	for _, reason := range byCount(e.Ignored) {
		l.say("  %6d %s", e.Ignored[reason], reason)
	}
	l.explainRejects(e.Rejects)
}

func (l *lines) explainValues(e *state.Explanation) {
	l.say("\nvalues shown and read by rules: newest known of each")
	l.table("  WHAT\tVALUE\tAS RECEIVED\tCONVERSION\tAT\tAGE\tKNOWN SINCE\tBY\tMETHOD\tCODE\tRESOURCE", func(t io.Writer) {
		for i := range e.Values {
			v := &e.Values[i]
			if c := v.Chosen; c != nil {
				fmt.Fprintf(t, "  %s\t%s%.4g %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Concept, c.Comparator, c.Value, c.Unit, c.Received, cmp.Or(c.Conversion, "none"),
					stamp(c.At), ago(c.AgeMin), stamp(c.Available), c.Basis, cmp.Or(c.Method, "-"), shortCode(c.Code), c.Record)
				continue
			}
			fmt.Fprintf(t, "  %s\t-\t\t\t\t\t\t\t\t\t\n", v.Concept)
		}
	})
	l.say("\nwhy: the choice, and what the newest 4-hour step of the model holds")
	l.table("  WHAT\tCHOICE\tSTEP\tHOW", func(t io.Writer) {
		for i := range e.Values {
			v := &e.Values[i]
			step, how := "not a model input", ""
			if v.Step != nil {
				step, how = v.Step.Presence, v.Step.How
				if v.Step.Presence != "missing" {
					step = fmt.Sprintf("%s %.4g, %.1f h old", v.Step.Presence, v.Step.Value, v.Step.AgeH)
				}
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", v.Concept, v.Why, step, how)
		}
	})
}

// explainCandidates lists what was charted and is not shown, where that is
// more than being older.
func (l *lines) explainCandidates(e *state.Explanation) {
	type loser struct {
		what state.Concept
		c    *state.Candidate
	}
	var lost []loser
	for i := range e.Values {
		v := &e.Values[i]
		for k := range v.Candidates {
			c := &v.Candidates[k]
			together := v.Chosen != nil && c.Use == "known" && (c.At.Equal(v.Chosen.At) || c.Method != v.Chosen.Method)
			if strings.HasPrefix(c.Use, "not used") || together {
				lost = append(lost, loser{v.Concept, c})
			}
		}
	}
	if len(lost) == 0 {
		return
	}
	l.say("\ncharted and not shown, for another reason than being older")
	l.table("  WHAT\tVALUE\tAS RECEIVED\tAT\tKNOWN SINCE\tBY\tMETHOD\tUSE\tRESOURCE", func(t io.Writer) {
		for _, x := range lost {
			use := x.c.Use
			if use == "known" {
				use = "known; another one was preferred"
			}
			fmt.Fprintf(t, "  %s\t%s%.4g %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.what, x.c.Comparator, x.c.Value, x.c.Unit, x.c.Received, stamp(x.c.At), stamp(x.c.Available), x.c.Basis,
				cmp.Or(x.c.Method, "-"), use, x.c.Record)
		}
	})
}

func (l *lines) explainInfusions(e *state.Explanation) {
	l.say("\nvasoactive rows of the last 24 h; equivalents by %s (%s)", e.NETable, e.NEFrom)
	if len(e.Infusion) == 0 {
		l.say("  none")
		return
	}
	l.table("  DRUG\tSTATE\tAS CHARTED\tCONVERSION\tRATE\tFROM\tUNTIL\tCONFIRMED\tKNOWN SINCE\tEQUIVALENT\tCOUNTS NOW\tWHY\tRESOURCE", func(t io.Writer) {
		for i := range e.Infusion {
			w := &e.Infusion[i]
			rate := "unknown"
			if w.RateKnown {
				rate = fmt.Sprintf("%.4g %s", w.Rate, w.RateUnit)
			}
			if w.WeightKg > 0 {
				rate += fmt.Sprintf(" (%g kg, %s)", w.WeightKg, w.WeightFrom)
			}
			name := string(w.Drug)
			if w.ByText {
				name += " (by name only)"
			}
			counts := "no"
			if w.Counts {
				counts = "yes"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, w.State, w.Received, cmp.Or(w.Conversion, "none"), rate, stamp(w.Start), stamp(w.Until), stamp(w.Documented),
				stamp(w.Available), cmp.Or(w.Arithmetic, "-"), counts, w.Why, w.Record)
		}
	})
}

func (l *lines) explainFluids(e *state.Explanation) {
	l.say("\nfluids of the last 24 h, real mL by ledger")
	for _, ledger := range slices.Sorted(maps.Keys(e.Ledger)) {
		l.say("  %s: %.0f mL", ledger, e.Ledger[ledger])
	}
	if len(e.Fluids) == 0 {
		l.say("  none")
		return
	}
	l.table("  LEDGER\tDRUG\tFORM\tAS CHARTED\tCONVERSION\tFROM\tUNTIL\tKNOWN SINCE\tmL IN 24 h\tmL IN STEP\tTONICITY\tMODEL mL\tWHY\tRESOURCE", func(t io.Writer) {
		for i := range e.Fluids {
			w := &e.Fluids[i]
			ml := "unknown"
			if w.Known {
				ml = fmt.Sprintf("%.0f", w.Ml24h)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%g\t%.0f\t%s\t%s\n", w.Ledger, w.Drug, w.Form, w.Received, cmp.Or(w.Conversion, "none"), stamp(w.Start), stamp(w.Until),
				stamp(w.Available), ml, w.MlStep, w.Tonicity, w.ModelMl, w.Why, w.Record)
		}
	})
}

func (l *lines) explainWeights(e *state.Explanation) {
	switch {
	case !e.Weight.Known:
		l.say("\nweight: unknown")
	case e.Weight.Conflict != "":
		l.say("\nweight: %.1f kg (%s), not used for doses: %s", e.Weight.Kg, e.Weight.Source, e.Weight.Conflict)
	default:
		l.say("\nweight: %.1f kg (%s)", e.Weight.Kg, e.Weight.Source)
	}
	for i := range e.Weights {
		w := &e.Weights[i]
		l.say("  %.1f kg, %s, charted %s, known since %s, %s: %s", w.Value, cmp.Or(w.Method, "measured"), stamp(w.At), stamp(w.Available), w.Record, w.Use)
	}
}

func (l *lines) explainHistory(e *state.Explanation) {
	if len(e.Known) == 0 {
		l.say("\nno condition, procedure or order that the code maps give a meaning to")
		return
	}
	l.say("\nconditions, procedures and orders")
	l.table("  KIND\tTEXT\tMEANS\tAT\tKNOWN SINCE\tUSE\tRESOURCE", func(t io.Writer) {
		for i := range e.Known {
			h := &e.Known[i]
			means := make([]string, len(h.Means))
			for k, tag := range h.Means {
				means[k] = string(tag)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Kind, h.Text, strings.Join(means, ", "), stamp(h.At), stamp(h.Available), h.Use, h.Record)
		}
	})
}

// explainRejects lists what was of interest and not usable.
func (l *lines) explainRejects(all []state.Reject) {
	if len(all) == 0 {
		return
	}
	const most = 40
	l.say("\nof interest, and not usable")
	l.table("  RESOURCE\tREASON\tRECEIVED\tFROM", func(t io.Writer) {
		for i := range all[:min(most, len(all))] {
			r := &all[i]
			from := strings.TrimSpace(r.Origin.Via + " " + r.Origin.Key)
			if r.Origin.Line > 0 {
				from += fmt.Sprintf(" line %d", r.Origin.Line)
			}
			fmt.Fprintf(t, "  %s/%s %s\t%s\t%s\t%s\n", r.Type, r.ID, r.Part, r.Reason, r.Detail, from)
		}
	})
	if len(all) > most {
		l.say("  and %d more (all of them: --format json)", len(all)-most)
	}
}

// stamp is a time as a chart shows it; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("2006-01-02 15:04")
}

// ago is an age as people say it.
func ago(minutes float64) string {
	if minutes < 120 {
		return fmt.Sprintf("%.0f min", minutes)
	}
	return fmt.Sprintf("%.1f h", minutes/60)
}

// shortCode drops what is common to the URLs of code systems.
func shortCode(code string) string {
	system, c, ok := strings.Cut(code, "|")
	if !ok {
		return code
	}
	return system[strings.LastIndexAny(system, "/:")+1:] + " " + c
}

func organ(score int) string {
	if score < 0 {
		return "not scored"
	}
	return fmt.Sprint(score)
}
