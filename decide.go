// SPDX-License-Identifier: Apache-2.0

package main

// This file: `decide`, the decision for one patient of a folder or Bundle.

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

// decideFlags are the flags of `decide`.
type decideFlags struct {
	config, fhir, patient, stay, at, model, audit, key, format string
	explain                                                    bool
}

func decideCommand() *cobra.Command {
	var f decideFlags
	cmd := &cobra.Command{
		Use: "decide", Short: "Decide for one patient of a folder or Bundle", Args: noArgs,
		Long: "Decide for one patient of a bulk export (a folder of *.ndjson or *.ndjson.gz) or of a Bundle (*.json), by\n" +
			"the same code that answers an EHR. Without --at, the newest charted event of the stay is now. With\n" +
			"--audit, the decision leaves its receipt in that log, and `audit replay` can make it again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "fhir"); err != nil {
				return err
			}
			if f.format != "text" && f.format != "json" && f.format != "card" {
				return misuse("--format is text, json or card, not %q", f.format)
			}
			d, err := f.run(cmd.Context())
			if err != nil {
				return err
			}
			switch f.format {
			case "json":
				return printJSON(cmd.OutOrStdout(), decisionJSON(d))
			case "card":
				return printJSON(cmd.OutOrStdout(), d.response)
			}
			return printDecision(cmd.OutOrStdout(), d)
		},
	}
	for _, s := range []struct {
		into               *string
		name, value, usage string
	}{
		{&f.fhir, "fhir", "", "folder of a bulk export, or a Bundle in JSON (required)"},
		{&f.patient, "patient", "", "patient id (may be left out where there is only one)"},
		{&f.stay, "stay", "", "encounter id of the stay (default: the ICU stay at that time, else the newest)"},
		{&f.at, "at", "", "decision time, RFC 3339 (default: the newest charted event of the stay)"},
		{&f.model, "model", "", "folder of the model (default: files.model, else the embedded one)"},
		{&f.audit, "audit", "", "log in which the receipt is stored"},
		{&f.key, "key", "", "file of the log's signing key (default: audit.key_file)"},
		{&f.format, "format", "text", "text, json or card"},
		{&f.config, "config", "", "configuration file"},
	} {
		cmd.Flags().StringVar(s.into, s.name, s.value, s.usage)
	}
	cmd.Flags().BoolVar(&f.explain, "explain", false, "show for each value what was received, its conversion, when it was known and why it was chosen")
	return cmd
}

// run makes the decision and, where asked, its receipt in a log.
func (f *decideFlags) run(ctx context.Context) (*decided, error) {
	var at time.Time
	if f.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, f.at); err != nil {
			return nil, misuse("--at is not a time with a zone: %q (hint: 2026-11-22T09:10:00Z)", f.at)
		}
	}
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return nil, err
	}
	r, err := openRooms(cfg, f.model)
	if err != nil {
		return nil, err
	}
	bag, done, err := openBag(ctx, r.mapper, f.fhir, strings.TrimPrefix(f.patient, "Patient/"))
	if err != nil {
		return nil, err
	}
	chart, at, err := chartAt(r.mapper, bag, strings.TrimPrefix(f.stay, "Encounter/"), at)
	if err = errors.Join(err, done()); err != nil {
		return nil, err
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	d, err := r.decideChart(ctx, chart, at, id, "os/"+name, 1)
	if err == nil && f.explain {
		if d.explanation, err = state.Explain(chart, at, cfg.State); err == nil {
			d.unread, err = unreadCodes(ctx, r.mapper, f.fhir, chart.Person.ID)
		}
	}
	if err != nil || f.audit == "" {
		return d, err
	}
	cfg.Audit.KeyFile = cmp.Or(f.key, cfg.Audit.KeyFile)
	return d, d.store(ctx, AuditConfig{Path: f.audit, KeyFile: cfg.Audit.KeyFile})
}

// store appends the decision's record to a log.
func (d *decided) store(ctx context.Context, a AuditConfig) error {
	log, err := openAudit(ctx, a)
	if err != nil {
		return err
	}
	defer log.Close()
	body, err := cdshooks.EncodeRecord(&d.record)
	if err != nil {
		return err
	}
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return fmt.Errorf("store receipt: %w", err)
	}
	_, err = log.Append(ctx, audit.Entry{Index: d.record.Index(time.Now().UTC()), Salt: salt, Body: body})
	return err
}

// openBag reads one patient's resources from a folder or a Bundle. Without an
// id there must be one patient only. done releases what was opened.
func openBag(ctx context.Context, mapper *fhir.Mapper, path, patient string) (bag *fhir.Bag, done func() error, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("--fhir: %w", err)
	}
	if !info.IsDir() {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, fmt.Errorf("--fhir: %w", err)
		}
		bag, err := mapper.ReadBundle(file, patient)
		return bag, file.Close, err
	}
	folder, err := mapper.OpenFolder(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if patient == "" {
		all, err := folder.Patients()
		if err != nil {
			return nil, nil, errors.Join(err, folder.Close())
		}
		if len(all) != 1 {
			return nil, nil, errors.Join(misuse("--patient is needed; %s holds %s", path, names(all)), folder.Close())
		}
		patient = all[0]
	}
	if bag, err = folder.Bag(patient); err != nil {
		return nil, nil, errors.Join(err, folder.Close())
	}
	return bag, folder.Close, nil
}

// names lists the first few of many.
func names(all []string) string {
	const most = 10
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

// chartAt maps the stay as of the decision time; a zero time stands for the
// newest charted event of the stay.
func chartAt(mapper *fhir.Mapper, bag *fhir.Bag, stay string, at time.Time) (*state.Chart, time.Time, error) {
	if at.IsZero() {
		whole, err := mapper.Chart(bag, stay, time.Time{})
		if err != nil {
			return nil, at, err
		}
		if at = newestEvent(whole); at.IsZero() {
			return nil, at, fmt.Errorf("nothing was charted during this stay (hint: name another with --stay, or a time with --at)")
		}
	}
	chart, err := mapper.Chart(bag, stay, at)
	return chart, at, err
}

// decisionObject is what `decide --format json` prints.
type decisionObject struct {
	Status      agent.Status             `json:"status"`
	Advice      agent.Advice             `json:"advice"`
	Levels      levelsObject             `json:"levels"`
	LevelsNow   state.Levels             `json:"levels_now"`
	Forecasts   []world.Forecast         `json:"forecasts"`
	Verdicts    []policy.Verdict         `json:"verdicts"`
	Hazards     []policy.Verdict         `json:"hazards"`
	Conflicts   []policy.Conflict        `json:"conflicts"`
	Reasons     []agent.Reason           `json:"reasons"`
	Missing     []string                 `json:"missing"`
	NotAssessed []string                 `json:"not_assessed"`
	Explanation []string                 `json:"explanation"`
	Patient     string                   `json:"patient"`
	Stay        string                   `json:"stay"`
	At          time.Time                `json:"at"`
	Shown       bool                     `json:"shown"`
	Receipt     string                   `json:"receipt"`
	Timeline    string                   `json:"timeline_digest"`
	Values      map[string]state.Reading `json:"values,omitempty"`
	Present     *state.Present           `json:"present,omitempty"`
	Explain     *state.Explanation       `json:"explain,omitempty"`
	Unread      []unreadCode             `json:"codes_not_read,omitempty"`
}

// levelsObject is the levels of a plan. It is empty where no plan is stood by:
// the levels that run now must not look like advice.
type levelsObject struct {
	Vasopressor *int `json:"vasopressor,omitempty"`
	Fluid       *int `json:"fluid,omitempty"`
}

func levelsJSON(x *agent.Decision) levelsObject {
	if x.Status != agent.Suggest && x.Status != agent.Affirm {
		return levelsObject{}
	}
	return levelsObject{Vasopressor: &x.Levels.Vasopressor, Fluid: &x.Levels.Fluid}
}

func decisionJSON(d *decided) decisionObject {
	x := d.outcome().Decision
	out := decisionObject{
		Status: x.Status, Advice: x.Advice, Levels: levelsJSON(&x), LevelsNow: x.LevelsNow, Forecasts: []world.Forecast{},
		Verdicts: orEmpty(x.Verdicts), Hazards: orEmpty(x.Hazards), Conflicts: orEmpty(x.Conflicts), Reasons: orEmpty(x.Reasons), Missing: orEmpty(x.Missing),
		NotAssessed: orEmpty(x.NotAssessed), Explanation: orEmpty(x.Explanation),
		Patient: d.timeline.PatientID, Stay: d.timeline.StayID, At: d.timeline.At, Shown: len(d.response.Cards) > 0,
		Receipt: d.record.ID, Timeline: d.record.Receipt.TimelineDigest,
	}
	for _, o := range x.Options {
		if len(o.Forecast.Steps) > 0 {
			out.Forecasts = append(out.Forecasts, o.Forecast)
		}
	}
	if d.explanation != nil {
		out.Values, out.Present, out.Explain = d.timeline.Present.Readings, &d.timeline.Present, d.explanation
		out.Unread = d.unread
	}
	return out
}

// orEmpty keeps a list that is empty from being written as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
