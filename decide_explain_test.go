// SPDX-License-Identifier: Apache-2.0

package main

// This file: `decide --explain` on a made-up chart, word for word, and on real
// stays: every value that the model reads has its line.

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (hint: run with -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s moved (run with -update when meant):\n%s", path, diff)
	}
}

// explainedChart is the chart of testdata/explain at 20:00.
func explainedChart(t *testing.T) (*state.Chart, time.Time) {
	t.Helper()
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join("testdata", "explain", "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mapper := fhir.NewMapper(maps)
	bag, err := mapper.ReadBundle(file, "made-up")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	chart, err := mapper.Chart(bag, "", at)
	if err != nil {
		t.Fatal(err)
	}
	return chart, at
}

func explainedText(t *testing.T, chart *state.Chart, at time.Time) string {
	t.Helper()
	e, err := state.Explain(chart, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	tl, err := state.Build(chart, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	l := &lines{w: &out}
	l.explain(e, tl.Present.Checks)
	if l.err != nil {
		t.Fatal(l.err)
	}
	return out.String()
}

func TestExplainGolden(t *testing.T) {
	chart, at := explainedChart(t)
	golden(t, filepath.Join("explain", "explain.golden.txt"), explainedText(t, chart, at))
}

func TestDecideExplainsInJSON(t *testing.T) {
	var d decisionObject
	sepsisagent(t, "decide", "--fhir", filepath.Join("testdata", "explain", "bundle.json"), "--at", "2026-03-01T20:00:00Z", "--explain", "--format", "json").want(exitOK).object(&d)
	if d.Explain == nil || len(d.Explain.Values) < state.NumFeatures || len(d.Explain.Infusion) != 4 {
		t.Fatalf("explain %+v", d.Explain)
	}
	for _, v := range d.Explain.Values {
		if v.Why == "" || v.Feature && (v.Step == nil || v.Step.How == "") {
			t.Errorf("%s is not explained: %+v", v.Concept, v)
		}
	}
	if len(d.Unread) != 1 || d.Unread[0].Code != "XYZ-1" || d.Unread[0].Unit != "mg/dL" || d.Unread[0].Count != 1 {
		t.Errorf("codes not read: %+v", d.Unread)
	}
	var without decisionObject
	sepsisagent(t, "decide", "--fhir", filepath.Join("testdata", "explain", "bundle.json"), "--at", "2026-03-01T20:00:00Z", "--format", "json").want(exitOK).object(&without)
	if without.Explain != nil {
		t.Error("explained without being asked")
	}
}

// TestAChartBeforeItsFirstEvent decides where everything is still to come: no
// value, no treatment, nothing that fails, and each value says why it is not
// there.
func TestAChartBeforeItsFirstEvent(t *testing.T) {
	whole, _ := explainedChart(t)
	at := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC) // admitted, nothing charted yet
	e, err := state.Explain(whole, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Values {
		if v.Chosen != nil || v.Step != nil && v.Step.Presence != "missing" || !strings.HasPrefix(v.Why, "none: ") {
			t.Errorf("%s: %+v", v.Concept, v)
		}
	}
	if len(e.Infusion) != 0 || len(e.Fluids) != 0 || e.Sepsis.Suspected {
		t.Errorf("treatment or evidence before there was any: %+v", e)
	}
	var d decisionObject
	sepsisagent(t, "decide", "--fhir", filepath.Join("testdata", "explain", "bundle.json"), "--at", "2026-03-01T02:30:00Z", "--explain", "--format", "json").want(exitOK).object(&d)
	if d.Status != "not-applicable" && d.Status != "abstain" {
		t.Errorf("decided %s on an empty chart", d.Status)
	}
}

// TestEveryMeasuredFeatureOfARealStayIsExplained holds the explanation against
// the timeline it explains.
func TestEveryMeasuredFeatureOfARealStayIsExplained(t *testing.T) {
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	for _, set := range []string{"mimic-iv-demo-fhir", "eicu-demo-fhir"} {
		t.Run(set, func(t *testing.T) {
			sample := realSample(t, set, 6)
			for _, chart := range sample {
				at := chart.Stay.Start.Add(24 * time.Hour)
				tl, err := state.Build(chart, at, state.DefaultConfig())
				if err != nil {
					t.Fatal(err)
				}
				e, err := state.Explain(chart, at, state.DefaultConfig())
				if err != nil {
					t.Fatal(err)
				}
				checkExplained(t, tl, e)
			}
		})
	}
}

// TestTheExplanationNeverTellsAnotherStory holds it against the timeline on
// simulated patients, at times that fall before, between and after their events.
func TestTheExplanationNeverTellsAnotherStory(t *testing.T) {
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	mapper := fhir.NewMapper(maps)
	folder, err := mapper.OpenFolder(t.Context(), synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	patients, err := folder.Patients()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range patients[:4] {
		bag, err := folder.Bag(id)
		if err != nil {
			t.Fatal(err)
		}
		chart, err := mapper.Chart(bag, "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Duration{-time.Hour, 0, time.Minute, 7*time.Hour + 13*time.Minute, 24 * time.Hour, 400 * time.Hour} {
			at := chart.Stay.Start.Add(after)
			tl, err := state.Build(chart, at, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			e, err := state.Explain(chart, at, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			checkExplained(t, tl, e)
			for _, v := range e.Values {
				for _, c := range v.Candidates {
					if known := !strings.HasPrefix(c.Use, "not used"); known && (c.Available.After(at) || c.At.After(at)) {
						t.Errorf("%s at %s: %+v passes for known", v.Concept, at, c)
					}
				}
			}
		}
	}
}

func checkExplained(t *testing.T, tl *state.Timeline, e *state.Explanation) {
	t.Helper()
	last := tl.Last()
	names := []string{"missing", "carried", "measured"}
	for i, f := range state.Catalogue() {
		v := &e.Values[i]
		if v.Concept != f.Name || v.Step == nil || v.Step.Presence != names[last.Presence[i]] || v.Step.Value != last.Value[i] || v.Why == "" {
			t.Errorf("%s: step %s %g, explained as %+v", f.Name, names[last.Presence[i]], last.Value[i], v.Step)
		}
		r, shown := tl.Present.Readings[string(f.Name)]
		if shown && (v.Chosen == nil || v.Chosen.Available.After(tl.At) || v.Chosen.At.After(tl.At) || v.Chosen.Received == "" || v.Chosen.Record == "" || v.Chosen.Code == "") {
			t.Errorf("%s: shown %+v, explained as %+v (%s)", f.Name, r, v.Chosen, v.Why)
		}
		if !shown && v.Chosen != nil {
			t.Errorf("%s: explained as %+v, but nothing is shown", f.Name, v.Chosen)
		}
	}
	ne := 0.0
	for i := range e.Infusion {
		if e.Infusion[i].Counts {
			ne += e.Infusion[i].NEUgKgMin
		}
	}
	if tl.Present.VasoKnown && (ne < tl.Present.NEUgKgMin-1e-9 || ne > tl.Present.NEUgKgMin+1e-9) {
		t.Errorf("infusions add up to %g, the timeline says %g", ne, tl.Present.NEUgKgMin)
	}
}
