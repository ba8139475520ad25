// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model accept`, by which somebody answers for a model on this
// hospital's own patients and its own recorded decisions.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// errNotAccepted: the model does not clear the bars; nothing was signed.
var errNotAccepted = errors.New("the model is not accepted, nothing was signed")

// acceptFlags are the flags of `model accept`.
type acceptFlags struct {
	cohort, model, config, bars, key, operator, site, out string
	replayed, report                                      string
	units, clients                                        []string
	days, burden, replay                                  int
	newKey, asJSON                                        bool
}

// acceptance is what `model accept --json` prints.
type acceptance struct {
	Accepted bool               `json:"accepted"`
	Reasons  []string           `json:"reasons"`
	Record   *validation.Record `json:"record"`
	File     string             `json:"file,omitempty"`
	Study    *cdshooks.Study    `json:"study,omitempty"` // of the decisions made again
	Key      string             `json:"public_key"`
}

func modelAccept() *cobra.Command {
	var f acceptFlags
	cmd := &cobra.Command{
		Use: "accept", Short: "Validate the model on your own patients, and sign for it", Args: noArgs,
		Long: "Score the model on a cohort of this hospital, on patients it has never seen, hold the numbers against\n" +
			"minimum bars, and where all are cleared write a signed record that names model, rules, code maps, settings,\n" +
			"units, numbers, who accepted it and until when. Display mode suggest needs such a record (docs/display.md).\n" +
			"The newest decisions of the configured audit log are made again with the model: what it would have said\n" +
			"otherwise is printed, written to --report, and its digest signed. A decision that cannot be made again is a\n" +
			"reason not to accept. Where the log is on another machine than the key, make the report there with\n" +
			"`sepsisagent audit replay --with-model DIR --report FILE` and give it with --replayed.\n" +
			"Where a bar is not cleared the reasons are printed, nothing is signed, and the exit status is 1.\n\n" +
			"--new-key makes the signing key in the file that --key names and prints its public half, which goes into\n" +
			"cdshooks.validation.key. Nothing is ever overwritten. Give --config the configuration that serves: what\n" +
			"is covered must be what runs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "key"); err != nil {
				return err
			}
			if f.newKey {
				return f.makeKey(cmd.OutOrStdout())
			}
			if err := require(cmd, "cohort", "operator", "out"); err != nil {
				return err
			}
			switch {
			case f.burden < 0 || f.replay < 0:
				return misuse("--burden and --replay must not be negative")
			case f.replayed != "" && (cmd.Flags().Changed("replay") || f.report != ""):
				return misuse("--replayed brings a report; leave --replay and --report out")
			case f.replayed != "":
				f.replay = 0
			}
			if f.days < 1 || f.days > int(validation.MaxLife.Hours()/24) {
				return misuse("--days is between 1 and %d", int(validation.MaxLife.Hours()/24))
			}
			for _, file := range []string{f.out, f.report} {
				if _, err := os.Lstat(file); file != "" && err == nil {
					return misuse("%s is there already (hint: write the new record beside it, then move it over)", file)
				}
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	cmd.Flags().StringVar(&f.cohort, "cohort", "", "Parquet file of `cohort build` of this hospital (required)")
	cmd.Flags().StringVar(&f.model, "model", "", "folder of the model (default: files.model, else the embedded one)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file that serves")
	cmd.Flags().StringVar(&f.bars, "bars", "", "YAML file with the minimum bars (default: those of docs/display.md)")
	cmd.Flags().StringVar(&f.key, "key", "", "file of the signing key (required)")
	cmd.Flags().BoolVar(&f.newKey, "new-key", false, "make that key, print its public half, and do nothing else")
	cmd.Flags().StringVar(&f.operator, "operator", "", "who accepts the model (required)")
	cmd.Flags().StringVar(&f.site, "site", "", "name of the hospital (default: the name of the key)")
	cmd.Flags().StringArrayVar(&f.units, "unit", nil, "unit that is covered, as charted; repeatable (default: every unit)")
	cmd.Flags().StringArrayVar(&f.clients, "client", nil, "registered client that is covered; repeatable (default: every client)")
	cmd.Flags().IntVar(&f.days, "days", 180, "days until it expires")
	cmd.Flags().IntVar(&f.burden, "burden", 200, "stays to decide for, to count cards and abstentions; 0 counts none")
	cmd.Flags().IntVar(&f.replay, "replay", 500, "newest decisions of the audit log to make again; 0 makes none")
	cmd.Flags().StringVar(&f.replayed, "replayed", "", "report of `audit replay --report` to sign for, instead")
	cmd.Flags().StringVar(&f.report, "report", "", "new file for what the replay found")
	cmd.Flags().StringVar(&f.out, "out", "", "file to write (required)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return cmd
}

// makeKey makes a signing key, named for the site.
func (f *acceptFlags) makeKey(w io.Writer) error {
	key, err := audit.CreateKeyFile(f.key, cmp.Or(f.site, "sepsisagent-validation"))
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(w, map[string]string{"key_file": f.key, "public_key": key.Verifier().String()})
	}
	_, err = fmt.Fprintf(w, "signing key %s (keep it secret, and away from the service)\npublic key  %s\n", f.key, key.Verifier())
	return err
}

// run scores, judges, signs and prints.
func (f *acceptFlags) run(ctx context.Context, w, stderr io.Writer, now time.Time) error {
	bars := validation.DefaultBars()
	if f.bars != "" {
		data, err := os.ReadFile(f.bars)
		if err != nil {
			return err
		}
		if err := configs.Decode(data, &bars); err != nil {
			return fmt.Errorf("%s: %w", f.bars, err)
		}
	}
	if err := bars.Validate(); err != nil {
		return misuse("%v", err)
	}
	key, err := audit.ReadKeyFile(f.key)
	if err != nil {
		return fmt.Errorf("%w (hint: `sepsisagent model accept --new-key --key %s` makes one)", err, f.key)
	}
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return err
	}
	r, err := openRooms(cfg, f.model)
	if err != nil {
		return err
	}
	defer r.close()
	scores, err := world.Evaluate(ctx, cohort.Read(f.cohort), r.model)
	if err != nil {
		return err
	}
	counted, err := f.count(ctx, r, stderr)
	if err != nil {
		return err
	}
	study, replay, err := f.replays(ctx, r, stderr)
	if err != nil {
		return err
	}
	a, err := f.conclude(r, scores, counted, bars, key, now, study, replay)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(w, a)
	} else {
		err = printAcceptance(w, a, scores)
	}
	if err == nil && !a.Accepted {
		err = errNotAccepted
	}
	return err
}

// conclude holds what was scored against the bars and signs where all are
// cleared.
func (f *acceptFlags) conclude(r *rooms, scores *world.Evaluation, counted []validation.Measure, bars validation.Bars, key *audit.Key, now time.Time, study *cdshooks.Study, replay *validation.Replay) (*acceptance, error) {
	a := &acceptance{Record: f.record(r, scores, now), Key: key.Verifier().String(), Reasons: []string{}, Study: study}
	a.Record.Replay = replay
	a.Record.Site = cmp.Or(a.Record.Site, key.Name())
	measures, reasons := bars.Judge(found(scores))
	a.Record.Measures = append(measures, counted...)
	if study != nil && study.Unmade > 0 {
		reasons = append(reasons, fmt.Sprintf("%d of %d recorded decisions could not be made again with it", study.Unmade, study.Replayed))
	}
	if a.Reasons = append(a.Reasons, reasons...); len(reasons) > 0 {
		return a, nil
	}
	signed, err := a.Record.Sign(key)
	if err != nil {
		return nil, err
	}
	if err := writeNew(f.out, signed); err != nil {
		return nil, err
	}
	a.Accepted, a.File = true, f.out
	return a, nil
}

// count decides for some of the stays and counts what clinicians would have
// seen. No bar is held against it: how many cards a unit bears is its own to say.
// With a language model configured nothing is counted: it would be asked
// thousands of times.
func (f *acceptFlags) count(ctx context.Context, r *rooms, stderr io.Writer) ([]validation.Measure, error) {
	if f.burden == 0 || r.cfg.LLM.Enabled() {
		return nil, nil
	}
	opts, err := r.policyOptions(&policyFlags{stays: f.burden}, stderr)
	if err != nil {
		return nil, err
	}
	e, err := learn.EvaluatePolicies(ctx, cohort.Read(f.cohort), opts)
	if err != nil {
		return nil, err
	}
	share := func(n int) float64 { return float64(n) / float64(max(e.Decisions, 1)) }
	return []validation.Measure{
		{Name: "burden_decisions", Value: float64(e.Decisions)}, {Name: "cards_per_patient_day", Value: float64(e.CardsPerPatientDay)},
		{Name: "suggest_share", Value: share(e.Suggest)}, {Name: "abstain_share", Value: share(e.Abstain)}, {Name: "not_applicable_share", Value: share(e.NotApplicable)},
	}, nil
}

// replays makes recorded decisions again, or reads what came of it elsewhere; nil
// where neither was asked for. The report is written before anything is signed.
func (f *acceptFlags) replays(ctx context.Context, r *rooms, stderr io.Writer) (*cdshooks.Study, *validation.Replay, error) {
	h := r.hashes
	switch {
	case f.replayed != "":
		return readReplayed(f.replayed, validation.Covers{Model: h.Model, Actor: h.Actor, Rules: h.Rules, CodeMaps: h.CodeMaps, Config: h.Config, Prompts: h.Prompts})
	case f.replay == 0:
		return nil, nil, nil
	}
	study, err := r.study(ctx, f.replay, stderr)
	if err != nil {
		return nil, nil, err
	}
	text, err := studyText(study)
	if err != nil {
		return nil, nil, err
	}
	if f.report != "" {
		err = writeNew(f.report, text)
	}
	return study, replayOf(study, text), err
}

// record is the record but for what was measured.
func (f *acceptFlags) record(r *rooms, e *world.Evaluation, now time.Time) *validation.Record {
	accepted := now.UTC().Truncate(time.Second)
	h := r.hashes
	return &validation.Record{
		Site: f.site, Clients: f.clients, Units: f.units, Operator: f.operator,
		Accepted: accepted, Until: accepted.AddDate(0, 0, f.days), Software: h.Build,
		Covers: validation.Covers{Model: h.Model, Actor: h.Actor, Rules: h.Rules, CodeMaps: h.CodeMaps, Config: h.Config, Prompts: h.Prompts},
		Cohort: e.DataDigest, Patients: e.Patients, Stays: e.Stays, Decisions: e.Steps,
	}
}

// found is what the bars are held against.
func found(e *world.Evaluation) validation.Found {
	of := func(n world.Number, key string) validation.Range {
		r := validation.Range{Value: float64(n), Low: math.NaN(), High: math.NaN()}
		if b, ok := e.Bootstrap[key]; ok {
			r.Low, r.High = float64(b.Low), float64(b.High)
		}
		return r
	}
	return validation.Found{
		Patients: e.Patients, Stays: e.Stays, Decisions: e.Steps, Simulated: e.Simulated,
		Coverage: of(e.Interval80, "interval80_coverage"), Error: of(e.StateMAE, "state_mae"), Persistence: of(e.PersistenceMAE, "persistence_mae"),
		VentAUROC: of(e.VentAUROC, "vent_auroc"), MortalityAUROC: of(e.MortalityAUROC, "mortality_auroc"), Vaso24hAUROC: of(e.Vaso24hAUROC, "vaso24h_auroc"),
	}
}

// writeNew writes a file that must not be there yet, whole or not at all.
func writeNew(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".validation-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Link(tmp.Name(), path); err != nil { // unlike a rename it replaces nothing
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// printAcceptance prints for a terminal.
func printAcceptance(w io.Writer, a *acceptance, e *world.Evaluation) error {
	r := a.Record
	fmt.Fprintf(w, "%d patients, %d stays, %d decision times that the model has never seen (%d stays left out)\n", r.Patients, r.Stays, r.Decisions, e.LeftOut)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range r.Measures {
		text := fmt.Sprintf("%.4g", m.Value)
		if m.Low != nil {
			text += fmt.Sprintf(" (%.3f to %.3f)", *m.Low, *m.High)
		}
		bar := ""
		if m.AtLeast != nil {
			bar += fmt.Sprintf("at least %.3f ", *m.AtLeast)
		}
		if m.AtMost != nil {
			bar += fmt.Sprintf("at most %.3f", *m.AtMost)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", m.Name, text, bar)
	}
	fmt.Fprintf(t, "model\t%s\nrules\t%s\ncohort\t%s\n", r.Covers.Model, r.Covers.Rules, r.Cohort)
	if err := t.Flush(); err != nil {
		return err
	}
	if a.Study == nil {
		fmt.Fprintln(w, "no recorded decision was made again, and the record says so by saying nothing of it")
	} else if err := printStudy(w, a.Study); err != nil {
		return err
	}
	for _, reason := range a.Reasons {
		fmt.Fprintf(w, "not accepted: %s\n", reason)
	}
	if !a.Accepted {
		return nil
	}
	_, err := fmt.Fprintf(w, "accepted by %s until %s: %s\n", r.Operator, r.Until.Format(time.RFC3339), a.File)
	return err
}
