// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit story` and `audit afterwards`: what was known, weighed,
// returned and done in one call, and what was given after many.

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/audit/story"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// storyDeps are what stories of a log are told from. No model is needed: a story
// repeats what was decided and decides nothing.
func storyDeps(cfg Config, log *sqllog.Log) (story.Deps, error) {
	maps, err := fhir.LoadCodeMaps(configs.FS, cfg.Files.CodeMaps...)
	if err != nil {
		return story.Deps{}, fmt.Errorf("code maps: %w", err)
	}
	return story.Deps{Log: log, Charts: cdshooks.MappedCharts{Mapper: fhir.NewMapper(maps)}, State: cfg.State}, nil
}

// openStories opens the log of the flags with what stories need. The log is to be
// closed.
func openStories(cmd *cobra.Command, f *auditFlags) (*sqllog.Log, story.Deps, error) {
	a, err := f.resolve()
	if err != nil {
		return nil, story.Deps{}, err
	}
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return nil, story.Deps{}, err
	}
	l, err := openAudit(cmd.Context(), a)
	if err != nil {
		return nil, story.Deps{}, err
	}
	deps, err := storyDeps(cfg, l)
	if err != nil {
		l.Close()
		return nil, story.Deps{}, err
	}
	return l, deps, nil
}

func auditStory() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "story ID", Short: "Tell one call for a review: what was known when, weighed, returned, done and given afterwards",
		Long: "Tell one recorded call for the review of an adverse event: each value with when it was measured and when it\n" +
			"could be known, what arrived later, every option with why it was not chosen, what was returned, what the user\n" +
			"did, and what later receipts of the patient say was given. The reading is itself recorded in the log.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("%s needs one record id", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, deps, err := openStories(cmd, &f)
			if err != nil {
				return err
			}
			defer l.Close()
			if err := recordReading(cmd.Context(), l, "audit story", args[0], args[0]); err != nil {
				return err
			}
			s, err := story.Tell(cmd.Context(), deps, args[0])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printStory(cmd.OutOrStdout(), s)
		},
	}
	f.register(cmd)
	return cmd
}

// clockTime is a time as stories print it.
func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func printStory(out io.Writer, s *story.Story) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("%s %s, record %d, %s", s.Kind, s.ID, s.Leaf, clockTime(s.Recorded))
	line("patient %s, unit %s, client %s, user %s (%s), HTTP %d %s", s.Patient, cmp.Or(s.Unit, "unknown"), s.Client, s.Clinician, cmp.Or(s.Role, "role unknown"), s.HTTP, s.Failure)
	if s.Hashes != nil {
		line("decision time %s; model %s %.12s, rules %.12s, code maps %.12s, build %s", clockTime(s.At), s.Model, s.Hashes.Model, s.Hashes.Rules, s.Hashes.CodeMaps, s.Hashes.Build)
		line("status %s, chosen by %s", s.Status, s.Chooser)
	}
	for _, r := range s.Reasons {
		line("  because\t%s\t%s", r.Code, r.Text)
	}
	line("\nKNOWN\tVALUE\tMEASURED\tAVAILABLE\tAGE AT DECISION\tAS CHARTED")
	for _, v := range s.Known {
		line("%s\t%.4g %s\t%s\t%s\t%.0f min\t%s", v.What, v.Value, v.Unit, clockTime(v.Measured), clockTime(v.Available), v.AgeMin, v.Received)
	}
	for _, a := range s.Running {
		line("%s\t%s\t%s\t\t\t%s", a.Drug, rateWords(a), clockTime(a.Charted), a.State)
	}
	line("\nARRIVED LATER\tAS CHARTED\tTRUE AT\tAVAILABLE\tSEEN IN")
	for _, v := range s.Later {
		line("%s\t%s\t%s\t%s\t%s", v.What, v.Received, clockTime(v.True), clockTime(v.Available), v.SeenIn)
	}
	line("\nOPTION\tDRUG\tDIRECTION\tBOLUS ML\tVALUE\tBLOCKED\tWHY NOT")
	for _, o := range s.Options {
		var rules []string
		for _, v := range o.Rules {
			rules = append(rules, v.ID)
		}
		line("%s\t%s\t%s\t%.0f\t%.3f\t%v %s\t%s", o.Role, o.Drug, o.Direction, o.BolusMl, o.Value, o.Blocked, strings.Join(rules, " "), o.Why)
	}
	line("\nRETURNED (display %s)", displayWords(s))
	for _, c := range s.Cards {
		line("%s\t%s\t%s", c.Indicator, c.Summary, strings.Join(c.Suggestions, "; "))
	}
	line("\nDONE WITH IT\tBY\tOUTCOME\tREASON\tCOMMENT")
	for _, x := range s.Feedback {
		line("%s\t%s\t%s\t%s\t%s", clockTime(x.At), x.Clinician, x.Outcome, x.Reason, x.Comment)
	}
	printAfterwards(line, s)
	line("\nREAD BY")
	for _, r := range s.ReadBy {
		line("%s\t%s\t%s", clockTime(r.At), cmp.Or(r.User, "holder of the card's link"), r.Via)
	}
	return w.Flush()
}

func displayWords(s *story.Story) string {
	switch {
	case s.Display == nil:
		return "none"
	case s.Suppressed != "":
		return s.Display.Mode + ", suppressed: " + s.Suppressed + ", because of " + s.SilencedBy
	}
	return strings.TrimSpace(s.Display.Mode + " " + s.Display.Why)
}

func rateWords(a story.Agent) string {
	if a.RateUgKgMin > 0 {
		return fmt.Sprintf("%.3g ug/kg/min", a.RateUgKgMin)
	}
	return strings.TrimSpace(fmt.Sprintf("%.3g %s", a.Rate, a.RateUnit))
}

func printAfterwards(line func(string, ...any), s *story.Story) {
	a := s.Afterwards
	line("\nAFTERWARDS (%d later receipts of the patient within %v)", a.Receipts, story.Window)
	line("AT\tMAP\tRUNNING\tBOLUS SINCE\tRECEIPT")
	for _, p := range a.Points {
		var running []string
		for _, x := range p.Running {
			running = append(running, x.Drug+" "+rateWords(x)+" ("+x.State+")")
		}
		line("%s\t%s\t%s\t%s\t%s", clockTime(p.At), amount(p.MAPMmHg, "mmHg"), strings.Join(running, ", "), amount(p.BolusMl, "mL"), p.Receipt)
	}
	for _, o := range a.Orders {
		line("%s\tordered (%s)\t%s %s\t%s\t%s", clockTime(o.At), o.Hook, o.Drug, o.Received, o.Severity, o.Receipt)
	}
	if v := a.Vasopressor; v != nil {
		line("suggested %s: %s%s", suggestedWords(v), v.Became, givenWords(v))
	}
	if f := a.Fluid; f != nil {
		line("suggested a bolus of %.0f mL: %s charted as boluses since", f.SuggestedMl, amount(f.GivenMl, "mL"))
	}
}

func suggestedWords(v *story.Vasopressor) string {
	if v.ToUMin > 0 {
		return fmt.Sprintf("%s to %.3g U/min", v.Direction, v.ToUMin)
	}
	return fmt.Sprintf("%s %s from %.3g to %.3g ug/kg/min", v.Direction, v.Drug, v.FromUgKgMin, v.ToUgKgMin)
}

func givenWords(v *story.Vasopressor) string {
	if v.Charted.IsZero() {
		return ""
	}
	given := fmt.Sprintf("%.3g ug/kg/min", v.GivenUgKgMin)
	if v.ToUMin > 0 {
		given = fmt.Sprintf("%.3g U/min", v.GivenUMin)
	}
	return ", " + given + fmt.Sprintf(" charted after %.0f min, MAP %s before and %s after", v.AfterMin, amount(v.MAPBeforeMmHg, "mmHg"), amount(v.MAPAfterMmHg, "mmHg"))
}

// amount words a number that may be unknown.
func amount(x *float64, unit string) string {
	if x == nil {
		return "not known"
	}
	return fmt.Sprintf("%.0f %s", *x, unit)
}

// afterwardsRow is one suggestion with what became of it.
type afterwardsRow struct {
	ID          string             `json:"id"`
	Patient     string             `json:"patient"`
	At          time.Time          `json:"at"`
	Shown       bool               `json:"shown"`
	Feedback    string             `json:"feedback,omitempty"` // the user's last word
	Vasopressor *story.Vasopressor `json:"vasopressor,omitempty"`
	Fluid       *story.Fluid       `json:"fluid,omitempty"`
	Orders      int                `json:"orders"`
}

func auditAfterwards() *cobra.Command {
	var f auditFlags
	var q questionFlags
	var limit int
	cmd := &cobra.Command{
		Use: "afterwards", Short: "Set what was suggested beside what later receipts say was given", Args: noArgs,
		Long: "Set each suggestion that the flags select beside what later receipts of the same patient say was ordered and\n" +
			"given within 24 h, with the MAP before and after. That one followed the other is no claim that it followed\n" +
			"from it. The reading is itself recorded in the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.q.Outcome = cmp.Or(q.q.Outcome, query.Suggest)
			asked, err := q.resolve()
			if err != nil {
				return err
			}
			if asked.Outcome != query.Suggest || limit < 1 {
				return misuse("--outcome is suggest here, and --limit at least 1")
			}
			l, deps, err := openStories(cmd, &f)
			if err != nil {
				return err
			}
			defer l.Close()
			var ids []string
			if _, err = gather(asked, limit, func(q query.Query) (int, string, error) {
				page, err := query.Run(cmd.Context(), l, q)
				for _, r := range page.Entries {
					ids = append(ids, r.Index.ID)
				}
				return len(page.Entries), page.Next, err
			}); err != nil {
				return err
			}
			rows := make([]afterwardsRow, 0, len(ids))
			became := map[string]int{}
			for _, id := range ids {
				s, err := story.Tell(cmd.Context(), deps, id)
				if err != nil {
					return err
				}
				row := afterwardsRow{
					ID: id, Patient: s.Patient, At: s.At, Shown: len(s.Cards) > 0 && s.HTTP == 200,
					Vasopressor: s.Afterwards.Vasopressor, Fluid: s.Afterwards.Fluid, Orders: len(s.Afterwards.Orders),
				}
				for _, x := range s.Feedback {
					row.Feedback = x.Outcome
				}
				if row.Vasopressor != nil {
					became[row.Vasopressor.Became]++
				}
				rows = append(rows, row)
			}
			if err := recordQuestion(cmd.Context(), l, "audit afterwards", asked, len(rows)); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"suggestions": rows, "vasopressor": became})
			}
			return printSuggested(cmd.OutOrStdout(), rows, became)
		},
	}
	f.register(cmd)
	q.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many suggestions")
	return cmd
}

func printSuggested(out io.Writer, rows []afterwardsRow, became map[string]int) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tPATIENT\tSHOWN\tUSER SAID\tSUGGESTED\tBECAME\tBOLUS ML\tGIVEN ML\tORDERS\tID")
	for _, r := range rows {
		suggested, was := "-", "-"
		if v := r.Vasopressor; v != nil {
			suggested, was = suggestedWords(v), v.Became+givenWords(v)
		}
		bolus, given := "-", "-"
		if r.Fluid != nil {
			bolus, given = fmt.Sprintf("%.0f", r.Fluid.SuggestedMl), amount(r.Fluid.GivenMl, "")
		}
		fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", clockTime(r.At), r.Patient, r.Shown, cmp.Or(r.Feedback, "-"), suggested, was, bolus, given, r.Orders, r.ID)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "vasopressor suggestions: %d as suggested, %d opposite, %d unchanged, %d not known\n",
		became[story.Followed], became[story.Opposite], became[story.Unchanged], became[story.Unknown])
	return err
}
