// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit replay`, which decides recorded calls again and compares.

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// replaySummary is what `audit replay --json` prints.
type replaySummary struct {
	OK       bool                    `json:"ok"`
	Replayed int                     `json:"replayed"`
	Same     int                     `json:"same"`
	Nothing  int                     `json:"nothing"` // calls that ended before a decision
	Reports  []cdshooks.ReplayReport `json:"reports"` // of those that differ, or of the one asked for
	Study    *cdshooks.Study         `json:"study"`   // what changed in what is said
}

func auditReplay() *cobra.Command {
	var f auditFlags
	var q questionFlags
	var model, reportFile string
	var tolerance float64
	cmd := &cobra.Command{
		Use: "replay [ID...]", Short: "Decide recorded calls again and compare every byte", Args: cobra.ArbitraryArgs,
		Long: "Decide recorded calls again, from the chart as it was received, and compare every byte of decision and\n" +
			"answer. Without ids, every decision that the flags select. On another kind of processor, whose arithmetic may\n" +
			"round otherwise, give --tolerance 1e-9. With --with-model, the same calls with another model: how many decisions\n" +
			"would say something else, and what? --report writes that down for `sepsisagent model accept`. The reading is\n" +
			"itself recorded in the log.",
		RunE: func(cmd *cobra.Command, ids []string) error {
			if tolerance < 0 || tolerance > 1e-6 {
				return misuse("--tolerance is from 0 to 1e-6")
			}
			if reportFile != "" {
				if _, err := os.Lstat(reportFile); err == nil {
					return misuse("%s is there already", reportFile)
				}
			}
			asked, err := q.resolve()
			if err != nil {
				return err
			}
			a, err := f.resolve()
			if err != nil {
				return err
			}
			cfg, err := loadConfig(f.config, os.Environ())
			if err != nil {
				return err
			}
			cfg.LLM.Offline = true // what a language model said is in the record
			r, err := openRooms(cfg, model)
			if err != nil {
				return err
			}
			defer r.close()
			log, err := openAudit(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer log.Close()
			filter, err := asked.Filter(cmd.Context(), log)
			if err != nil {
				return err
			}
			if err := recordReading(cmd.Context(), log, "audit replay", "", map[string]any{"ids": ids, "filter": filter}); err != nil {
				return err
			}
			if len(ids) == 0 {
				if ids, err = decisions(cmd.Context(), log, filter, !cmd.Flags().Changed("limit")); err != nil {
					return err
				}
			}
			summary, err := replayWithin(cmd.Context(), r, log, ids, tolerance, newProgress(cmd.ErrOrStderr(), "replayed", int64(len(ids))))
			if err != nil {
				return err
			}
			if reportFile != "" {
				text, err := studyText(summary.Study)
				if err != nil {
					return err
				}
				if err := writeNew(reportFile, text); err != nil {
					return err
				}
			}
			if model != "" || reportFile != "" {
				return summary.printStudy(cmd, f.json)
			}
			return summary.print(cmd, f.json)
		},
	}
	f.register(cmd)
	q.registerLimited(cmd)
	cmd.Flags().StringVar(&model, "with-model", "", "folder of another model")
	cmd.Flags().StringVar(&reportFile, "report", "", "new file for the counts of what changed, without anything about a patient")
	cmd.Flags().Float64Var(&tolerance, "tolerance", 0, "how far numbers may lie apart, relative to the larger of them and 1")
	return cmd
}

// decisions lists the ids of recorded decisions that match, oldest first; all
// pages when all is set.
func decisions(ctx context.Context, log *sqllog.Log, filter audit.Filter, all bool) ([]string, error) {
	filter.Kind, filter.OldestFirst = cdshooks.KindDecision, true
	if all {
		filter.Limit = audit.MaxLimit
	}
	var ids []string
	for {
		rows, err := log.Query(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			ids = append(ids, row.Index.ID)
		}
		if !all || len(rows) < filter.PageSize() {
			return ids, nil
		}
		filter.After = &rows[len(rows)-1].Leaf
	}
}

// replayAll makes decisions again that must be the same to the byte.
func replayAll(ctx context.Context, r *rooms, log *sqllog.Log, ids []string, bar *progress) (replaySummary, error) {
	return replayWithin(ctx, r, log, ids, 0, bar)
}

func replayWithin(ctx context.Context, r *rooms, log *sqllog.Log, ids []string, tolerance float64, bar *progress) (replaySummary, error) {
	summary := replaySummary{OK: true, Reports: []cdshooks.ReplayReport{}, Study: cdshooks.NewStudy(r.hashes)}
	deps := cdshooks.ReplayDeps{Charts: r.mapper, State: r.cfg.State, Decider: r.decider, Hashes: r.hashes, Tolerance: tolerance}
	for _, id := range ids {
		record, err := log.Get(ctx, id)
		if err != nil {
			return summary, err
		}
		report, err := cdshooks.Replay(ctx, record.Body, deps)
		if err != nil {
			return summary, fmt.Errorf("replay %s: %w", id, err)
		}
		summary.Replayed++
		summary.Study.Add(report)
		switch {
		case !report.Decided:
			summary.Nothing++
		case report.OK:
			summary.Same++
		default:
			summary.OK = false
		}
		if !report.OK || len(ids) == 1 {
			summary.Reports = append(summary.Reports, report)
		}
		bar.add(1)
	}
	bar.finish()
	summary.Study.Sort()
	return summary, nil
}

func (s replaySummary) print(cmd *cobra.Command, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		if err := printJSON(out, s); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "%d replayed: %d the same byte for byte, %d differ, %d ended before a decision\n", s.Replayed, s.Same, s.Replayed-s.Same-s.Nothing, s.Nothing)
		for _, r := range s.Reports {
			for _, h := range r.Hashes {
				fmt.Fprintf(out, "%s: made with another %s\n", r.ID, h)
			}
			for _, d := range r.Differences {
				fmt.Fprintf(out, "%s: %s: was %s, now %s\n", r.ID, d.Path, d.Stored, d.Replayed)
			}
		}
	}
	if !s.OK {
		return errQuiet
	}
	return nil
}
