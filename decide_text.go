// SPDX-License-Identifier: Apache-2.0

package main

// This file: a decision as text for a terminal.

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// printDecision writes status, reasons, advice, options and what is missing;
// and, where it was asked for, where everything came from.
func printDecision(out io.Writer, d *decided) error {
	x, tl := d.outcome().Decision, d.timeline
	w := &lines{w: out}
	w.say("patient %s, stay %s, %.1f h in the ICU", tl.PatientID, cmp.Or(tl.StayID, "unknown"), tl.HoursInICU)
	w.say("as of %s; void after 30 min or at a new MAP or rate", tl.At.Format(time.RFC3339))
	w.say("decision support, not validated for clinical use\n")
	w.say("%s", strings.ToUpper(string(x.Status)))
	for _, card := range d.response.Cards {
		w.say("%s", card.Summary)
	}
	for _, r := range x.Reasons {
		w.say("  because %s (%s)", r.Text, r.Code)
	}
	for _, h := range x.Hazards {
		w.say("  HAZARD %s: %s", h.ID, h.Text)
	}
	w.list("why", x.Explanation)
	w.running(tl)
	w.options(x.Options, tl.Present.MAP.GoalMmHg)
	if len(x.Verdicts) > 0 {
		w.say("\nrules that spoke")
		for _, v := range x.Verdicts {
			w.say("  %-4s %-11s %s [%s, %s]", v.ID, v.Effect, v.Text, v.Source, v.Strength)
		}
	}
	w.list("missing", x.Missing)
	w.list("not assessed", x.NotAssessed)
	if d.explanation != nil {
		w.rounds(&d.outcome().Decision)
		w.explain(d.explanation, tl.Present.Checks)
		w.spans(d.spans)
		w.explainUnread(d.unread)
	}
	w.say("\nreceipt %s, timeline %s", d.record.ID, d.record.Receipt.TimelineDigest)
	return w.err
}

// lines writes until the first error.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) say(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format+"\n", args...)
	}
}

func (l *lines) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	l.say("\n%s", title)
	for _, i := range items {
		l.say("  %s", i)
	}
}

func (l *lines) table(header string, rows func(t io.Writer)) {
	if l.err != nil {
		return
	}
	t := tabwriter.NewWriter(l.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, header)
	rows(t)
	l.err = t.Flush()
}

func (l *lines) running(tl *state.Timeline) {
	if len(tl.Present.Agents) == 0 {
		return
	}
	l.say("\nvasoactive drugs, as charted: verify the pump")
	for _, a := range tl.Present.Agents {
		rate := a.Received
		switch {
		case a.State == state.AgentStopped && !a.EndedAt.IsZero():
			rate = "at " + a.EndedAt.Format("15:04")
		case a.RateUnit != "":
			rate = fmt.Sprintf("%.3g %s", a.Rate, a.RateUnit)
		}
		l.say("  %s %s %s, charted %s (%.0f min ago) %s", a.Drug, a.State, rate, a.ChartedAt.Format("15:04"), a.AgeMin, a.Why)
	}
}

// options prints the what-if table: medians with 80 % intervals of the first
// step.
func (l *lines) options(all []agent.Option, goalMmHg float64) {
	if len(all) == 0 {
		return
	}
	l.say("\nwhat if, over the next 4 h (median, 80 %% interval)")
	l.table(fmt.Sprintf("  OPTION\tROLE\tMAP\tLACTATE\tURINE\tP(MAP>=%.0f)\tSIMILAR\tVALUE\t", goalMmHg), func(t io.Writer) {
		for _, o := range all {
			if len(o.Forecast.Steps) == 0 {
				fmt.Fprintf(t, "  %s\t%s\tnot simulated\t\t\t\t\t\t%s\n", o.Proposal.Name, o.Role, o.Why)
				continue
			}
			s := o.Forecast.Steps[0]
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%.0f %%\t%d\t%.2f\t%s\n", o.Proposal.Name, o.Role, bandText(s.Band[state.MeanBP], 0),
				bandText(s.Band[state.Lactate], 1), bandText(s.Band[state.Urine], 0), 100*s.PMAPAtGoal, o.Forecast.Similar, o.Value, o.Why)
		}
	})
}

func bandText(b world.Band, decimals int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", decimals, b.Median, decimals, b.Lo80, decimals, b.Hi80)
}
