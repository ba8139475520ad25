// SPDX-License-Identifier: Apache-2.0

package main

// This file: the scores of a curriculum in words.

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
)

// printCurriculum prints the tables of a record as Markdown.
func printCurriculum(w io.Writer, r *curriculum.Record) error {
	out := &strings.Builder{}
	for _, world := range []string{curriculum.WorldHeld, curriculum.WorldMechanistic} {
		fmt.Fprintf(out, "\n**%s**\n\n| policy | simulator | episodes | return | alive, %% | hours of MAP < 65 | keeps G1 and G2, %% | no rule against, %% | under (A, C), %% | over (B, D), %% | simulated per decision | turned by it, %% |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", world)
		row := func(x curriculum.Row) {
			if x.World != world {
				return
			}
			with := "no"
			if x.Simulator {
				with = "yes"
			}
			fmt.Fprintf(out, "| %s | %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", x.Policy, with, x.Episodes, spanned(x.Return, 3), spanned(x.Survival, 1), spanned(x.LowHours, 1),
				spanned(x.Published, 1), spanned(x.Rules, 1), spanned(x.Under, 2), spanned(x.Over, 2), spanned(x.Looks, 2), spanned(x.Turned, 1))
		}
		for _, x := range r.References {
			row(x)
		}
		for _, s := range r.Scores {
			for _, x := range s.Rows {
				row(x)
			}
		}
	}
	fmt.Fprintf(out, "\n| after stage | in-hospital death: AUROC | AUPRC | vasopressor within 24 h: AUROC | AUPRC | next state: error, SD | nothing changes, SD |\n|---|---|---|---|---|---|---|\n")
	for _, s := range r.Scores {
		fmt.Fprintf(out, "| %d | %s | %s | %s | %s | %.3f | %.3f |\n", s.Stage, spanned(s.IHM.AUROC, 3), spanned(s.IHM.AUPRC, 3), spanned(s.VR.AUROC, 3), spanned(s.VR.AUPRC, 3), float64(s.Next.Error), float64(s.Next.Persistence))
	}
	if len(r.Scores) > 0 {
		s := r.Scores[0]
		fmt.Fprintf(out, "\n%d test patients with %d times and %d deaths; %d times off vasopressors, %d followed by one within 24 h.\n", s.IHM.Patients, s.IHM.Times, s.IHM.Events, s.VR.Times, s.VR.Events)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// spanned is a number with its interval.
func spanned(v curriculum.Interval, digits int) string {
	if math.IsNaN(float64(v.Value)) {
		return "–"
	}
	return fmt.Sprintf("%.*f [%.*f, %.*f]", digits, float64(v.Value), digits, float64(v.Low), digits, float64(v.High))
}
