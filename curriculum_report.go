// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum report`, how the three stages of `train actor --curriculum` went, as
// kept in a model folder; docs/curriculum.md is printed by it.

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
)

func curriculumReport() *cobra.Command {
	var dir, figures string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "report", Short: "Print how the stages of `train actor` went", Args: noArgs,
		Long: "Print, as Markdown, what the network of `train actor` was worth after each of its three stages, with the\n" +
			"simulator at hand and without. The numbers are those that the training measured and kept in the folder.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "model"); err != nil {
				return err
			}
			r, err := curriculum.Read(dir)
			switch {
			case err != nil:
				return err
			case r == nil:
				return fmt.Errorf("%s holds no curriculum (hint: `sepsisagent train actor --curriculum --out %s`)", dir, dir)
			case asJSON:
				return printJSON(cmd.OutOrStdout(), r)
			}
			drawn := curriculumPictures(r)
			if figures != "" {
				if err := writeFigures(figures, "curriculum-", drawn, 0o644); err != nil {
					return err
				}
			}
			return curriculumDocument(cmd.OutOrStdout(), r, drawn, linkTo(figures))
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "folder that `train actor` wrote (required)")
	cmd.Flags().StringVar(&figures, "figures", "", "folder to write the figures to; the document links to it by its last two names")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// curriculumPictures draws the returns in both worlds, and the curves of the
// stages.
func curriculumPictures(r *curriculum.Record) (out []picture) {
	for _, w := range []struct{ world, name string }{{curriculum.WorldHeld, "held"}, {curriculum.WorldMechanistic, "mechanistic"}} {
		chart := figure.Rows{Title: "Return of an episode, " + w.world, Desc: "Mean return with its 95 % interval over patients, per policy", XLabel: "return", Series: []string{"return"}, Paper: true}
		for _, x := range rowsIn(r, w.world) {
			name := x.Policy
			if x.Simulator {
				name += ", simulator"
			}
			chart.Rows = append(chart.Rows, figure.Row{Name: name, Values: []float64{float64(x.Return.Value)}, Low: []float64{float64(x.Return.Low)}, High: []float64{float64(x.Return.High)}})
		}
		out = append(out, picture{name: "return-" + w.name, alt: chart.Desc + ", in " + w.world, svg: chart.SVG()})
	}
	for _, stage := range []int{1, 2} {
		loss, watch := figure.Series{Name: "training"}, figure.Series{Name: "validation"}
		for _, p := range r.Curve {
			if p.Stage != stage {
				continue
			}
			loss.Points = append(loss.Points, figure.Point{X: float64(p.Done), Y: p.Loss})
			if stage == 1 {
				watch.Points = append(watch.Points, figure.Point{X: float64(p.Done), Y: p.Watch})
			}
		}
		if len(loss.Points) > 0 {
			chart := figure.Lines{Title: fmt.Sprintf("Stage %d: loss", stage), Desc: fmt.Sprintf("Loss by epoch of stage %d", stage), XLabel: "epoch", YLabel: "loss, nats", Series: []figure.Series{loss}, Paper: true}
			if stage == 1 {
				chart.Series = append(chart.Series, watch)
			}
			out = append(out, picture{name: fmt.Sprintf("stage%d", stage), alt: chart.Desc, svg: chart.SVG()})
		}
	}
	returns, looks := figure.Series{Name: "return"}, figure.Series{Name: "pairs simulated per decision"}
	for _, p := range r.Curve {
		if p.Stage == 3 {
			returns.Points = append(returns.Points, figure.Point{X: float64(p.Done), Y: p.Return})
			looks.Points = append(looks.Points, figure.Point{X: float64(p.Done), Y: p.Looks})
		}
	}
	for _, s := range []struct {
		name, label string
		series      figure.Series
	}{{"practice", "mean return on training members", returns}, {"looks", "pairs simulated per decision", looks}} {
		if len(s.series.Points) > 0 {
			chart := figure.Lines{Title: "Stage III: " + s.label, Desc: "By iteration of stage III: " + s.label, XLabel: "iteration", YLabel: s.label, Series: []figure.Series{s.series}, Paper: true}
			out = append(out, picture{name: s.name, alt: chart.Desc, svg: chart.SVG()})
		}
	}
	return out
}

// rowsIn are all rows of one world, references first.
func rowsIn(r *curriculum.Record, world string) (out []curriculum.Row) {
	all := r.References
	for _, s := range r.Scores {
		all = append(all[:len(all):len(all)], s.Rows...)
	}
	for _, x := range all {
		if x.World == world {
			out = append(out, x)
		}
	}
	return out
}
