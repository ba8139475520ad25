// SPDX-License-Identifier: Apache-2.0

package main

// This file: the report of `cohort build`: what was understood, what was not
// and why.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// cohortReport is what `cohort build` prints.
type cohortReport struct {
	Patients int                `json:"patients"`
	Stays    int                `json:"stays"`
	Steps    int                `json:"steps"`
	Bytes    int64              `json:"bytes"` // after decompression
	Seconds  float64            `json:"seconds"`
	Rejected int                `json:"rejected"`
	Read     int                `json:"read"`
	Used     int                `json:"used"`
	Ignored  int                `json:"ignored"`
	Reasons  map[string]int     `json:"reasons"`  // of ignored and rejected resources
	Coverage map[string]float64 `json:"coverage"` // fraction of steps with a measured value
	Drugs    drugReport         `json:"drugs"`
	Digest   string             `json:"digest"` // of the rows, whatever the file's layout

	measured [state.NumFeatures]int
}

// newCohortReport returns a report that has counted nothing.
func newCohortReport() *cohortReport {
	return &cohortReport{Reasons: map[string]int{}, Coverage: map[string]float64{}, Drugs: drugReport{ByDrug: map[string]drugCount{}, Why: map[string]int{}}}
}

// drugReport counts administrations of vasoactive drugs, fluids and blood.
type drugReport struct {
	Understood int                  `json:"understood"`
	Unknown    int                  `json:"unknown"`
	ByDrug     map[string]drugCount `json:"by_drug"`
	Why        map[string]int       `json:"why_unknown"`
}

type drugCount struct {
	Understood int `json:"understood"`
	Unknown    int `json:"unknown"`
}

func (r *cohortReport) count(t state.Tally) {
	r.Read += t.Read
	r.Used += t.Used
	r.Ignored += t.Ignored
	r.Rejected += t.Rejected
	for reason, n := range t.Reasons {
		r.Reasons[reason] += n
	}
}

func (r *cohortReport) add(p patientRows) {
	r.Patients++
	r.Stays += p.stays
	r.Steps += len(p.rows)
	r.count(p.tally)
	for i := range p.rows {
		for f, presence := range p.rows[i].Presence {
			if presence == state.Measured {
				r.measured[f]++
			}
		}
	}
	for i := range p.drugs {
		r.Drugs.add(&p.drugs[i])
	}
}

// add counts one administration that the timeline needs to understand.
func (d *drugReport) add(a *state.Administration) {
	switch a.Class {
	case state.ClassVasopressor, state.ClassInotrope, state.ClassVasoactive,
		state.ClassCrystalloid, state.ClassColloid, state.ClassBlood, state.ClassFreeWater, state.ClassCarrier:
	default:
		return
	}
	c := d.ByDrug[string(a.Drug)]
	if a.RateKnown || a.MlKnown {
		d.Understood++
		c.Understood++
	} else {
		d.Unknown++
		c.Unknown++
		d.Why[a.Unknown]++
	}
	d.ByDrug[string(a.Drug)] = c
}

// finish works out what is a share of all steps.
func (r *cohortReport) finish() {
	for i, f := range state.Catalogue() {
		r.Coverage[string(f.Name)] = 0
		if r.Steps > 0 {
			r.Coverage[string(f.Name)] = float64(r.measured[i]) / float64(r.Steps)
		}
	}
}

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
	for _, group := range []struct {
		title string
		n     map[string]int
	}{{"RATE OR VOLUME UNKNOWN BECAUSE", r.Drugs.Why}, {"IGNORED OR REJECTED BECAUSE", r.Reasons}} {
		fmt.Fprintf(t, "\n%s\tCOUNT\n", group.title)
		for _, reason := range slices.Sorted(maps.Keys(group.n)) {
			fmt.Fprintf(t, "%s\t%5d\n", reason, group.n[reason])
		}
	}
	return t.Flush()
}
