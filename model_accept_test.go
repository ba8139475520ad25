// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model accept`, from the key to a service that shows doses.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// newSigningKey makes a key by the command and gives its file and public half.
func newSigningKey(t *testing.T) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "validation.key")
	var said struct {
		Public string `json:"public_key"`
	}
	sepsisagent(t, "model", "accept", "--new-key", "--key", file, "--site", "general.example", "--json").want(exitOK).object(&said)
	if !strings.HasPrefix(said.Public, "general.example+") {
		t.Fatalf("public key %q", said.Public)
	}
	return file, said.Public
}

func TestASigningKeyIsMadeOnPurposeAndNeverOverwritten(t *testing.T) {
	file, _ := newSigningKey(t)
	sepsisagent(t, "model", "accept", "--new-key", "--key", file).want(exitFailed).says("exists")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	out := filepath.Join(t.TempDir(), "v.note")
	sepsisagent(t, "model", "accept", "--key", file+".none", "--cohort", "c", "--operator", "o", "--out", out).want(exitFailed).says("--new-key")
	sepsisagent(t, "model", "accept", "--key", file, "--cohort", "c", "--operator", "o", "--out", out, "--days", "0").want(exitMisuse).says("--days")
	sepsisagent(t, "model", "accept", "--key", file, "--cohort", "c", "--operator", "o", "--out", file).want(exitMisuse).says("there already")
	sepsisagent(t, "model", "accept", "--key", file).want(exitMisuse).says("--cohort")
}

func TestAModelThatDoesNotClearTheBarsIsNotSignedFor(t *testing.T) {
	longOnly(t)
	key, _ := newSigningKey(t)
	out := filepath.Join(t.TempDir(), "v.note")
	file := simulatedCohort(t, 30)
	var said acceptance
	sepsisagent(t, "model", "accept", "--key", key, "--cohort", file, "--operator", "Dr Example", "--burden", "3", "--replay", "0", "--out", out, "--json").want(exitFailed).
		says("nothing was signed").object(&said)
	if said.Accepted || len(said.Reasons) < 2 || !strings.Contains(strings.Join(said.Reasons, "\n"), "simulated patients only") || said.Record.Patients != 30 || len(said.Record.Measures) < 4 {
		t.Errorf("%+v", said)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a record was written")
	}
}

// TestAnAcceptedModelIsShownInSuggestMode is 5.11 by the commands: a record that
// `model accept` signs is in force for the service that runs what it covers, and
// for no other.
func TestAnAcceptedModelIsShownInSuggestMode(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	keyFile, public := newSigningKey(t)
	key, err := audit.ReadKeyFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	h, note := newAuditHouse(t), filepath.Join(t.TempDir(), "v.note")
	config := func(more string) string {
		suggest := strings.Replace(oneClient, "}", ", display: suggest}", 1)
		return site(t, h, strings.Replace(suggest, "  clients:", "  validation: {file: "+note+", key: "+public+"}\n  clients:", 1)+more)
	}
	sepsisagent(t, "serve", "--check", "--config", config("")).want(exitOK).prints("display suggest works as inform: there is no local validation record")

	cfg, err := loadConfig(config(""), os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRooms(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	interval := func(low, high world.Number) world.Interval { return world.Interval{Low: low, High: high} }
	scores := &world.Evaluation{DataDigest: strings.Repeat("a", 64), Scores: world.Scores{
		Patients: 300, Stays: 310, Steps: 4000, StateMAE: 0.4, PersistenceMAE: 0.5, Interval80: 0.8, VentAUROC: 0.9, MortalityAUROC: 0.8, Vaso24hAUROC: 0.8,
		Bootstrap: map[string]world.Interval{"interval80_coverage": interval(0.79, 0.81)},
	}}
	f := acceptFlags{operator: "Dr Example", days: 30, out: note}
	a, err := f.conclude(r, scores, nil, validation.DefaultBars(), key, time.Now(), nil, nil)
	if err != nil || !a.Accepted {
		t.Fatalf("%+v, %v", a, err)
	}
	sepsisagent(t, "serve", "--check", "--config", config("")).want(exitOK).prints("validation: in force until " + a.Record.Until.Format(time.RFC3339) + ", accepted by Dr Example\nok: 1 clients")
	sepsisagent(t, "serve", "--check", "--config", config("agent: {small_step_ug_kg_min: 0.01}\n")).want(exitOK).prints("the local validation is of other settings")
}

func TestAValidationThatCannotBeCheckedStopsTheStart(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	h := newAuditHouse(t)
	for _, c := range []struct{ name, key, says string }{
		{"a record without a key", "validation: {file: v.note}", "belong together"},
		{"a key that is none", "validation: {file: v.note, key: nothing}", "validation"},
		{"a reset that nobody answers for", `drift: {resets: [{client: ehr, before: 2026-03-01T09:00:00Z}]}`, "operator"},
		{"a reset of a unit that is not watched alone", `drift: {resets: [{client: ehr, unit: MICU, before: 2026-03-01T09:00:00Z, operator: me, why: new}]}`, "MICU"},
		{"false alarms all day", "drift: {false_alarm: 5}", "false_alarm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sepsisagent(t, "serve", "--check", "--config", site(t, h, strings.Replace(oneClient, "  clients:", "  "+c.key+"\n  clients:", 1))).want(exitFailed).says(c.says)
		})
	}
}
