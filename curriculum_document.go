// SPDX-License-Identifier: Apache-2.0

package main

// This file: the scores of a curriculum in words, and docs/curriculum.md.

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
)

// curriculumDocument writes docs/curriculum.md.
func curriculumDocument(w io.Writer, r *curriculum.Record, drawn []picture, figures string) error {
	out, s := &strings.Builder{}, &r.Settings
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	show := func(names ...string) {
		for _, p := range drawn {
			for _, name := range names {
				if p.name == name && figures != "" {
					say("\n![%s](%s/curriculum-%s.svg)", p.alt, figures, name)
				}
			}
		}
	}
	say("# The three-stage curriculum, native\n")
	say("Printed by `sepsisagent curriculum report --model DIR --figures docs/figures` from what `sepsisagent train actor --curriculum --cohort F --world DIR --out DIR --seed %d` measured and kept. World model `%.12s`, cohort `%.12s`. For a language model see [llm-curriculum.md](llm-curriculum.md).\n", s.Imitation.Seed, r.World, r.DataDigest)
	say("Everything below is about simulated patients, but for the table of foresight. It says what a policy earns in a simulator, not what it would do for a patient. The service does not consult this network: what it consults is the proposer of [agent.md](agent.md).\n")
	say("## What is trained\n")
	say("One network, %d wide, reads the world model's encoding of a timeline and what has been simulated in the decision so far. It scores 50 actions: prescribe one of the 25 pairs of levels, or simulate one (at most %d in a decision). Without anything simulated the score of a vasopressor level falls with MAP by construction; what comes back from the simulator may turn it either way, behind the same rules.\n", s.Imitation.Hidden, s.Looks)
	say("| stage | learns | from |\n|---|---|---|")
	say("| I | the next state, death in hospital, need of a vasopressor in 24 h, usual care | recorded stays of training patients |")
	say("| II | propose, simulate, refine | a planner that climbs the five-by-five grid from what runs, on the forecasts of members %v: %d of %d courses, %d choices. Left out: patients who died or did no better than by leaving treatment alone under the same luck, and prescriptions that a rule speaks against. Where looking had changed nothing, what is imitated is to prescribe at once |", r.Train, r.Courses, s.Courses, r.Choices)
	say("| III | when to simulate, what to make of it, what to prescribe | %d iterations of %d starts with %d rollouts each in members %v, a quarter of the starts without the simulator |", r.Iterations, s.Groups, s.Rollouts, r.Train)
	say("\nStage III is the paper's group-relative policy gradient with three changes: a choice is judged by what is earned from its decision on against the others of its group (not by the whole return), differences are divided by the spread of the iteration (not of the group, where noise would be blown up), and the pull to stage II is the exact divergence over all actions. Rollouts of a group meet the same luck. In stages II and III the dynamics are gone over again, so that they are not forgotten.\n")
	say("## What it is worth\n")
	say("Scored on members %v, which trained nothing, and on the mechanistic simulator, whose patients follow equations and not a network. Who lives there to the end has earned all of the last reward, which a member gives by what is left of the chance of death, so the returns of the two worlds are not to be compared. The agent simulates with the training members in both. The chance of death, which decides who dies and most of the last reward, and the calibration are shared by all members, so the first world is not wholly foreign; the second is. Starts are synthetic patients. Intervals are of 95 %% over resampled patients; the same patients and luck for every row. The service is the agent of [agent.md](agent.md) as it is served, but that it simulates with the training members: the pair of levels of what it suggests, and what runs where it suggests nothing; its own looking costs nothing here. G1 and G2 are the published metric; under- and overdosing are Festor's hazards on levels, as docs/evaluation.md has them.", r.Held)
	show("return-held", "return-mechanistic")
	out.WriteString(tablesOf(r))
	show("stage1", "stage2", "practice", "looks")
	out.WriteString(readingOf(r))
	_, err := io.WriteString(w, out.String())
	return err
}

// readingOf says in words what the tables show, by differences within the same
// patients.
func readingOf(r *curriculum.Record) string {
	out := &strings.Builder{}
	out.WriteString("\n## Reading it\n\nDifferences of returns within the same patients under the same luck, with intervals over patients. What looking costs is in the return; it is set apart so that what looking changes for the patient can be seen.\n\n")
	out.WriteString("| world | stage | simulator | against leaving treatment as it is | against usual care | against the stage before | against the same network without the simulator | paid for looking |\n|---|---|---|---|---|---|---|---|\n")
	for _, world := range []string{curriculum.WorldHeld, curriculum.WorldMechanistic} {
		rows := rowsIn(r, world)
		named := func(policy string, simulator bool) (found curriculum.Row) {
			for _, x := range rows {
				if x.Policy == policy && x.Simulator == simulator {
					found = x
				}
			}
			return found
		}
		against := func(x, other curriculum.Row) string {
			d, ok := x.Against(other, r.Settings.Imitation.Seed)
			switch {
			case !ok:
				return "–"
			case d.Low > 0:
				return "better, " + difference(d)
			case d.High < 0:
				return "worse, " + difference(d)
			}
			return "not told apart, " + difference(d)
		}
		for _, x := range rows {
			learnt := strings.HasPrefix(x.Policy, "stage")
			if !learnt && !x.Simulator {
				continue
			}
			with, alone := "no", "–"
			if x.Simulator {
				with = "yes"
				if learnt {
					alone = against(x, named(x.Policy, false))
				}
			}
			before := "–"
			var n int
			if _, err := fmt.Sscanf(x.Policy, "stage %d", &n); err == nil && n > 1 {
				before = against(x, named(fmt.Sprintf("stage %d", n-1), x.Simulator))
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", world, x.Policy, with, against(x, named("what runs", false)), against(x, named("usual care", false)), before, alone, spanned(x.Paid, 3))
		}
	}
	return out.String()
}

// difference is one with its interval.
func difference(v curriculum.Interval) string {
	return fmt.Sprintf("%+.3f [%+.3f, %+.3f]", float64(v.Value), float64(v.Low), float64(v.High))
}

// printCurriculum prints the tables of a record.
func printCurriculum(w io.Writer, r *curriculum.Record) error {
	_, err := io.WriteString(w, tablesOf(r))
	return err
}

// tablesOf are the tables of a record as Markdown.
func tablesOf(r *curriculum.Record) string {
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
	return out.String()
}

// spanned is a number with its interval.
func spanned(v curriculum.Interval, digits int) string {
	if math.IsNaN(float64(v.Value)) {
		return "–"
	}
	return fmt.Sprintf("%.*f [%.*f, %.*f]", digits, float64(v.Value), digits, float64(v.Low), digits, float64(v.High))
}
