// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate stays`, every ICU stay of bulk exports through the
// whole path of a decision, and counts of what came out. What the tables say
// is in evaluate_report.go.

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// landmarks are the hours after ICU admission at which stays are decided.
var landmarks = []int{4, 12, 24}

func evaluateStays() *cobra.Command {
	var folders []string
	var config, model string
	var all, asJSON, markdown bool
	cmd := &cobra.Command{
		Use: "stays", Short: "Decide for every ICU stay of bulk exports and count what came out", Args: noArgs,
		Long: "Decide for every ICU stay at 4, 12 and 24 h after admission, by the same code that answers an EHR, and\n" +
			"print outcomes with reasons, rules, coverage, and the levels chosen against the levels given next.\n" +
			"Where a folder holds an outcomes.csv with a column sepsis, only its septic stays are decided (--all: every\n" +
			"stay). A stay that fails is counted with its error, never left out in silence.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "fhir"); err != nil {
				return err
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			r, err := openRooms(cfg, model)
			if err != nil {
				return err
			}
			report := staysReport{Model: r.model.Info(), Hashes: r.hashes}
			for _, dir := range folders {
				source, err := r.evaluateFolder(cmd.Context(), dir, all, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				report.Sources = append(report.Sources, source)
			}
			switch {
			case asJSON:
				return printJSON(cmd.OutOrStdout(), report)
			default:
				return report.print(cmd.OutOrStdout(), markdown)
			}
		},
	}
	cmd.Flags().StringArrayVar(&folders, "fhir", nil, "folder of a bulk export (required, repeatable)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().StringVar(&model, "model", "", "folder of the model (default: files.model, else the embedded one)")
	cmd.Flags().BoolVar(&all, "all", false, "every ICU stay, septic or not")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the tables of docs/results.md")
	return cmd
}

// septicStays reads the stays that outcomes.csv calls septic; nil when there
// is no such file, so that every stay counts.
func septicStays(dir string) (map[string]bool, error) {
	f, err := os.Open(filepath.Join(dir, "outcomes.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows := csv.NewReader(f)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("outcomes.csv: %w", err)
	}
	stay, sepsis := -1, -1
	for i, name := range header {
		switch name {
		case "stay_id":
			stay = i
		case "sepsis":
			sepsis = i
		}
	}
	if stay < 0 || sepsis < 0 {
		return nil, nil
	}
	septic := map[string]bool{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return septic, nil
		}
		if err != nil {
			return nil, fmt.Errorf("outcomes.csv: %w", err)
		}
		if row[sepsis] == "1" {
			septic[row[stay]] = true
		}
	}
}

// evaluateFolder decides for the stays of one folder.
func (r *rooms) evaluateFolder(ctx context.Context, dir string, all bool, stderr io.Writer) (*sourceReport, error) {
	started := time.Now()
	source := newSourceReport(filepath.Base(filepath.Clean(dir)))
	var septic map[string]bool
	var err error
	if !all {
		if septic, err = septicStays(dir); err != nil {
			return nil, err
		}
	}
	source.SepticOnly = septic != nil
	fmt.Fprintf(stderr, "reading %s\n", dir)
	folder, err := r.mapper.OpenFolder(ctx, dir)
	if err != nil {
		return nil, err
	}
	bar := newProgress(stderr, "patients", int64(folder.CountPatients()))
	work := func(b *fhir.Bag) ([]landmark, error) { return r.landmarksOf(ctx, b, septic), nil }
	for found, err := range byPatient(ctx, folder, work) {
		if err != nil {
			return nil, errors.Join(err, folder.Close())
		}
		for i := range found {
			source.add(&found[i])
		}
		bar.add(1)
	}
	bar.finish()
	source.Seconds = time.Since(started).Seconds()
	return source, folder.Close()
}

// landmark is one decision, or why there is none.
type landmark struct {
	stay string
	hour int
	made *decided
	next *state.Timeline // 4 h later: what was given meanwhile; nil when the stay had ended
	err  error
}

// landmarksOf decides for every stay of one patient at every landmark it
// reached.
func (r *rooms) landmarksOf(ctx context.Context, b *fhir.Bag, septic map[string]bool) []landmark {
	var out []landmark
	for _, stay := range r.mapper.Stays(b) {
		if !stay.ICU || stay.Start.IsZero() || septic != nil && !isSeptic(septic, stay.ID) {
			continue
		}
		for _, hour := range landmarks {
			at := stay.Start.Add(time.Duration(hour) * time.Hour)
			if !stay.End.IsZero() && at.After(stay.End) {
				break
			}
			l := landmark{stay: stay.ID, hour: hour}
			l.made, l.next, l.err = r.decideStay(ctx, b, stay, at)
			out = append(out, l)
		}
	}
	return out
}

// decideStay decides for one stay at one time. A panic is an error of that
// decision alone: one bad chart must not cost the table.
func (r *rooms) decideStay(ctx context.Context, b *fhir.Bag, stay state.Stay, at time.Time) (made *decided, next *state.Timeline, err error) {
	defer func() {
		if p := recover(); p != nil {
			made, next, err = nil, nil, fmt.Errorf("panic: %v", p)
		}
	}()
	chart, err := r.mapper.Chart(b, stay.ID, at)
	if err != nil {
		return nil, nil, err
	}
	id := fmt.Sprintf("%s-%d", stay.ID, at.Unix())
	if made, err = r.decideChart(ctx, chart, at, id, "evaluate", 1); err != nil {
		return nil, nil, err
	}
	later := at.Add(state.StepHours * time.Hour)
	if !stay.End.IsZero() && later.After(stay.End) {
		return made, nil, nil
	}
	whole, err := r.mapper.Chart(b, stay.ID, later)
	if err != nil {
		return nil, nil, err
	}
	next, err = state.Build(whole, later, r.cfg.State)
	return made, next, err
}

// isSeptic matches a stay with the list, whose ids may lack the prefix that
// the encounter's id has.
func isSeptic(septic map[string]bool, stay string) bool {
	if septic[stay] {
		return true
	}
	for i := len(stay) - 1; i >= 0; i-- {
		if stay[i] < '0' || stay[i] > '9' {
			return septic[stay[i+1:]]
		}
	}
	return false
}
