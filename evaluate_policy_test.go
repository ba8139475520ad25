// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate policy` on simulated patients: its keys, its sums, that
// it tells training patients apart, and that the cores do not matter.

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// simulatedCohort writes a cohort of simulated patients whom no model knows.
func simulatedCohort(t *testing.T, patients int) string {
	t.Helper()
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: patients, Seed: 4242, Hours: 48, Behaviour: physiology.BehaviourClinician})
	if err != nil {
		t.Fatal(err)
	}
	var rows []cohort.Row
	for c := range courses {
		more, err := cohort.Rows(c.Chart(), "synthetic", defaultConfig().State)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	file := filepath.Join(t.TempDir(), "cohort.parquet")
	if _, err := cohort.Write(file, cohort.Seq(rows)); err != nil {
		t.Fatal(err)
	}
	return file
}

// longOnly skips what takes seconds where tests are to be short.
func longOnly(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("decides some hundred times")
	}
}

// number reads a key of decoded JSON that must be a number.
func number(t *testing.T, of map[string]any, key string) float64 {
	t.Helper()
	v, ok := of[key].(float64)
	if !ok {
		t.Fatalf("%s is %v, want a number", key, of[key])
	}
	return v
}

// object reads a key of decoded JSON that must be an object.
func object(t *testing.T, of map[string]any, key string) map[string]any {
	t.Helper()
	v, ok := of[key].(map[string]any)
	if !ok {
		t.Fatalf("%s is %v, want an object", key, of[key])
	}
	return v
}

func TestEvaluatePolicyPrintsTheKeysOfTheDesign(t *testing.T) {
	longOnly(t)
	file := simulatedCohort(t, 14)
	var e map[string]any
	if err := json.Unmarshal([]byte(sepsisagent(t, "evaluate", "policy", "--cohort", file, "--json").want(0).out), &e); err != nil {
		t.Fatal(err)
	}
	decisions := number(t, e, "decisions")
	if sum := number(t, e, "suggest") + number(t, e, "affirm") + number(t, e, "abstain") + number(t, e, "not_applicable"); sum != decisions || decisions == 0 {
		t.Errorf("outcomes sum to %v of %v decisions", sum, decisions)
	}
	if v := number(t, e, "stays"); v != 14 {
		t.Errorf("%v stays", v)
	}
	if v := number(t, e, "guideline_adherence"); v < 0 || v > 100 {
		t.Errorf("adherence %v, want percent", v)
	}
	if v := number(t, e, "cards_per_patient_day"); v < 0 || v > 6 {
		t.Errorf("%v cards per patient-day of 6 looks", v)
	}
	hazards := object(t, e, "hazards")
	for _, id := range []string{"A", "B", "C", "D"} {
		h := object(t, hazards, id)
		if n, of := number(t, h, "count"), number(t, h, "at_risk"); n > of {
			t.Errorf("hazard %s: %v of %v", id, n, of)
		}
	}
	policies := object(t, e, "ope")
	for _, policy := range []string{"clinician", "no_action", "random", "ours"} {
		for _, method := range []string{"wis", "wpdis", "dr", "fqe"} {
			estimate := object(t, object(t, policies, policy), method)
			for _, key := range []string{"value", "low", "high", "ess"} {
				if _, there := estimate[key]; !there {
					t.Errorf("%s by %s has no %s", policy, method, key)
				}
			}
		}
	}
	clinician := object(t, policies, "clinician")
	if a, b := number(t, object(t, clinician, "wis"), "value"), number(t, object(t, clinician, "wpdis"), "value"); a-b > 1e-9 || b-a > 1e-9 {
		t.Errorf("the clinicians' own value is %v by WIS and %v by WPDIS", a, b)
	}
	if v, _ := e["synthetic"].(bool); !v {
		t.Error("simulated patients are not called so")
	}
}

func TestEvaluatePolicyIsTheSameOnOneCoreAndOnTwo(t *testing.T) {
	patients := 8
	if testing.Short() {
		patients = 2 // under the race detector
	}
	file := simulatedCohort(t, patients)
	run := func(cores int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		return sepsisagent(t, "evaluate", "policy", "--cohort", file, "--json").want(0).out
	}
	if one, two := run(1), run(2); one != two {
		t.Error("the number of cores changes the result")
	}
}

func TestEvaluatePolicyPrintsItsDocumentWithFigures(t *testing.T) {
	longOnly(t)
	file, dir := simulatedCohort(t, 8), filepath.Join(t.TempDir(), "figures")
	out := sepsisagent(t, "evaluate", "policy", "--cohort", file, "--markdown", "--figures", dir).want(0).out
	for _, words := range []string{"SIMULATED", "## Hazards", "metrics only, never verdicts", "## What so few stays can show", "](figures/policy-sweep.svg)"} {
		if !strings.Contains(out, words) {
			t.Errorf("the document does not say %q", words)
		}
	}
	for _, bad := range []string{"NaN", "%!"} {
		if strings.Contains(out, bad) {
			t.Errorf("the document says %q", bad)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "policy-sweep.svg")); err != nil {
		t.Error(err)
	}
}

func TestEvaluatePolicyPrintsWhatPoliciesPrescribeAndMayBeWorth(t *testing.T) {
	longOnly(t)
	file, dir := simulatedCohort(t, 14), filepath.Join(t.TempDir(), "figures")
	out := sepsisagent(t, "evaluate", "policy", "--cohort", file, "--values", "--figures", dir).want(0).out
	for _, words := range []string{
		"SIMULATED", "## Main table, published reward", "WPDIS alive (not a value)", "underdosing %", "## What policies prescribe", "rule packs alone",
		"Softening:", "Clipping:", "Control:", "## What clinicians do", "## What so few stays can show", "](figures/evaluation-values.svg)", "](icu-sepsis.md)",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("the document does not say %q", words)
		}
	}
	for _, bad := range []string{"NaN", "%!"} {
		if strings.Contains(out, bad) {
			t.Errorf("the document says %q", bad)
		}
	}
	for _, name := range []string{"values", "weights", "ess", "behaviour"} {
		if _, err := os.Stat(filepath.Join(dir, "evaluation-"+name+".svg")); err != nil {
			t.Error(err)
		}
	}
}

func TestEvaluatePolicyWritesCasesOfDifferentPatients(t *testing.T) {
	longOnly(t)
	file, dir := simulatedCohort(t, 10), filepath.Join(t.TempDir(), "figures", "cases")
	out := sepsisagent(t, "evaluate", "policy", "--cohort", file, "--cases", "4", "--figures", dir).want(0).out
	if n := strings.Count(out, "\n## Case "); n != 4 {
		t.Errorf("%d cases, want 4", n)
	}
	for _, words := range []string{"The patients are simulated", "### The chart as used", "### Decided:", "### The card", "### The rules that spoke", "### What was given, and what followed"} {
		if !strings.Contains(out, words) {
			t.Errorf("the cases do not say %q", words)
		}
	}
	if again := sepsisagent(t, "evaluate", "policy", "--cohort", file, "--cases", "4", "--figures", dir).want(0).out; again != out {
		t.Error("the same cohort gives other cases")
	}
}

func TestEvaluatePolicyLimitsTheStaysByTheirIdsAlone(t *testing.T) {
	longOnly(t)
	file := simulatedCohort(t, 6)
	var e struct {
		Stays      int `json:"stays"`
		NotSampled int `json:"not_sampled_stays"`
	}
	if err := json.Unmarshal([]byte(sepsisagent(t, "evaluate", "policy", "--cohort", file, "--stays", "2", "--json").want(0).out), &e); err != nil {
		t.Fatal(err)
	}
	if e.Stays != 2 || e.NotSampled != 4 {
		t.Errorf("%d stays and %d left, want 2 and 4", e.Stays, e.NotSampled)
	}
}

func TestEvaluatePolicyLeavesOutWhoTrainedTheModel(t *testing.T) {
	longOnly(t)
	r, err := openRooms(defaultConfig(), "")
	if err != nil {
		t.Fatal(err)
	}
	opts, err := r.policyOptions(&policyFlags{}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	opts.Progress = nil
	opts.Known = func(string) bool { return true }
	_, err = learn.EvaluatePolicies(t.Context(), cohort.Read(simulatedCohort(t, 2)), opts)
	if !errors.Is(err, learn.ErrNoStay) {
		t.Errorf("a cohort of known patients: %v", err)
	}
}

func TestEvaluatePolicyRefusesMisuse(t *testing.T) {
	sepsisagent(t, "evaluate", "policy").want(2).says("--cohort")
	sepsisagent(t, "evaluate", "policy", "--cohort", "x", "--cases", "-1").want(2)
	sepsisagent(t, "evaluate", "policy", "--cohort", filepath.Join(t.TempDir(), "none.parquet"), "--json").want(1)
}
