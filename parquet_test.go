// SPDX-License-Identifier: Apache-2.0

package main

// This file: the invariant that a chart and its rows in a cohort file give the
// same decision at every stay-step (design.md 7).

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestChartAndParquetGiveTheSameDecisionAtEveryStayStep(t *testing.T) {
	r, err := openRooms(defaultConfig(), "")
	if err != nil {
		t.Fatal(err)
	}
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: 12, Seed: 5, Hours: 48})
	if err != nil {
		t.Fatal(err)
	}
	charts := map[string]*state.Chart{}
	var rows []cohort.Row
	for c := range courses {
		chart := c.Chart()
		charts[chart.Stay.ID] = chart
		more, err := cohort.Rows(chart, "synthetic", r.cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	file := filepath.Join(t.TempDir(), "cohort.parquet")
	if _, err := cohort.Write(file, cohort.Seq(rows)); err != nil {
		t.Fatal(err)
	}
	decide := func(tl *state.Timeline) string {
		o, err := r.decider.Decide(t.Context(), engine.Case{Timeline: tl, Now: tl.At, ID: "same", Display: engine.DisplaySuggest})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	steps := 0
	for row, err := range cohort.Read(file) {
		if err != nil {
			t.Fatal(err)
		}
		stored, err := row.Timeline()
		if err != nil {
			t.Fatal(err)
		}
		live, err := state.Build(charts[row.Stay], row.At, r.cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		steps++
		if decide(stored) != decide(live) {
			t.Errorf("stay %s step %d: the file and the chart are decided differently", row.Stay, row.Step)
		}
	}
	if steps != len(rows) || steps < 50 {
		t.Errorf("%d steps compared of %d", steps, len(rows))
	}
}
