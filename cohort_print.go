// SPDX-License-Identifier: Apache-2.0

package main

// This file: the report of `cohort build` as text for a terminal and as the
// tables of docs/results.md.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// print writes the report for a terminal.
func (r *cohortReport) print(w io.Writer, out string) error {
	fmt.Fprintf(w, "%s: %d patients, %d ICU stays, %d steps, digest %s\n", out, r.Patients, r.Stays, r.Steps, r.Digest)
	fmt.Fprintf(w, "%d resources: %d used, %d ignored, %d rejected; %.1f MB in %.1f s\n\n", r.Read, r.Used, r.Ignored, r.Rejected, float64(r.Bytes)/1e6, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FEATURE\tOBSERVED")
	for _, f := range state.Catalogue() {
		fmt.Fprintf(t, "%s\t%5.1f %%\n", f.Name, 100*r.Coverage[string(f.Name)])
	}
	fmt.Fprintln(t, "\nDRUG\tUNDERSTOOD\tUNKNOWN")
	for _, name := range slices.Sorted(maps.Keys(r.Drugs.ByDrug)) {
		c := r.Drugs.ByDrug[name]
		fmt.Fprintf(t, "%s\t%10d\t%7d\n", name, c.Understood, c.Unknown)
	}
	fmt.Fprintf(t, "all\t%10d\t%7d\n", r.Drugs.Understood, r.Drugs.Unknown)
	fmt.Fprintln(t, "\nLAG OF\tISSUED\tNOT ISSUED\tP50 min\tP90 min\tP99 min\tCONFIGURED min")
	for _, class := range slices.Sorted(maps.Keys(r.Lags)) {
		l := r.Lags[class]
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%.0f\n", class, l.Issued, l.NotIssued, l.minute(l.P50Min), l.minute(l.P90Min), l.minute(l.P99Min), l.ConfiguredMin)
	}
	for _, group := range []struct {
		title string
		n     map[string]int
	}{{"RATE OR VOLUME UNKNOWN BECAUSE", r.Drugs.Why}, {"IGNORED OR REJECTED BECAUSE", r.Reasons}} {
		fmt.Fprintf(t, "\n%s\tCOUNT\n", group.title)
		for _, reason := range slices.Sorted(maps.Keys(group.n)) {
			fmt.Fprintf(t, "%s\t%5d\n", reason, group.n[reason])
		}
	}
	for _, s := range r.Sources {
		s.printFaulty(t)
	}
	return t.Flush()
}

// shownFaulty is how many faulty lines of a folder a terminal shows; --json has
// more of them.
const shownFaulty = 20

// printFaulty lists the lines that were skipped.
func (s *cohortSource) printFaulty(w io.Writer) {
	if len(s.Faulty) == 0 {
		return
	}
	fmt.Fprintf(w, "\nSKIPPED LINE OF %s\tBECAUSE\n", s.Source)
	for i, f := range s.Faulty {
		if i == shownFaulty {
			fmt.Fprintf(w, "%d more\t--json lists them\n", len(s.Faulty)-i)
			return
		}
		fmt.Fprintf(w, "%s:%d\t%s\n", f.File, f.Line, f.Reason)
	}
}

// minute is a measured lag; without any it is not zero but unmeasured.
func (l *lagReport) minute(v float64) string {
	if l.Issued == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}

// markdown writes the tables of docs/results.md, one section per folder.
func (r *cohortReport) markdown(w io.Writer) error {
	l := &lines{w: w}
	l.say("# Reading real charts\n\nPrinted by `sepsisagent cohort build --markdown`; nothing here is typed. Rows: %d steps, digest `%s`. How fast, and with how much memory: [bulk.md](bulk.md).", r.Steps, r.Digest)
	for _, s := range r.Sources {
		s.markdown(l)
	}
	return l.err
}

func (s *cohortSource) markdown(l *lines) {
	l.say("\n## %s, as read\n\n%d patients, %d ICU stays, %d steps of 4 h, %.1f MB of NDJSON.", s.Source, s.Patients, s.Stays, s.Steps, float64(s.Bytes)/1e6)
	l.say("\n%d resources read = %d used + %d ignored + %d rejected.\n\n| ignored or rejected because | resources |\n|---|---|", s.Read, s.Used, s.Ignored, s.Rejected)
	for _, reason := range byCount(s.Reasons) {
		l.say("| %s | %d |", cell(reason), s.Reasons[reason])
	}
	l.say("\n### Feature coverage\n\nSteps in which a value was measured, also one that became known only later.\n\n| feature | steps |\n|---|---|")
	for _, f := range state.Catalogue() {
		l.say("| %s | %.1f %% |", f.Name, 100*s.Coverage[string(f.Name)])
	}
	l.say("\n### Vasoactive rows by drug and unit as charted\n\nUnknown is never guessed: while such a row runs, the exposure is unknown.\n\n| drug | rate charted in | understood | unknown | because |\n|---|---|---|---|---|")
	for _, u := range s.Drugs.ByUnit {
		l.say("| %s | %s | %d | %d | %s |", u.Drug, cell(u.Unit), u.Understood, u.Unknown, reasons(u.Why))
	}
	l.say("\n### Fluids and blood\n\n| drug | understood | unknown | because |\n|---|---|---|---|")
	for _, name := range slices.Sorted(maps.Keys(s.Drugs.ByDrug)) {
		if c := s.Drugs.ByDrug[name]; !s.Drugs.isVasoactive(name) {
			l.say("| %s | %d | %d | %s |", name, c.Understood, c.Unknown, reasons(c.Why))
		}
	}
	l.say("\n### When values became known\n\nIssued less effective time, in minutes, of the observations that say when they were issued; the others take the configured lag ([lags.yaml](../configs/codes/lags.yaml)).\n")
	l.say("| class | issued | not issued | p50 | p90 | p99 | issued before its own time | configured | measured no later than configured |\n|---|---|---|---|---|---|---|---|---|")
	for _, class := range slices.Sorted(maps.Keys(s.Lags)) {
		g := s.Lags[class]
		early := "-"
		if g.Issued > 0 {
			early = fmt.Sprintf("%.1f %%", 100*g.Negative)
		}
		l.say("| %s | %d | %d | %s | %s | %s | %s | %.0f | %s |", class, g.Issued, g.NotIssued, g.minute(g.P50Min), g.minute(g.P90Min), g.minute(g.P99Min), early, g.ConfiguredMin, g.covered())
	}
}

// covered is the share of measured lags that the configured one covers.
func (l *lagReport) covered() string {
	if l.Issued == 0 {
		return "not measured"
	}
	n := 0
	for minutes, count := range l.minutes {
		if float64(minutes) <= l.ConfiguredMin {
			n += count
		}
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(l.Issued))
}

func (d *drugReport) isVasoactive(name string) bool {
	return slices.ContainsFunc(d.ByUnit, func(u *unitCount) bool { return u.Drug == name })
}

// reasons lists reasons with their counts, the commonest first.
func reasons(n map[string]int) string {
	var words []string
	for _, why := range byCount(n) {
		words = append(words, fmt.Sprintf("%s: %d", cell(why), n[why]))
	}
	return strings.Join(words, "; ")
}

// cell keeps text from ending a table cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", "/") }
