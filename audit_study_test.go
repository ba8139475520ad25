// SPDX-License-Identifier: Apache-2.0

package main

// This file: what another model would have said, by the commands, and its digest
// in what `model accept` signs.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// withoutActor is the embedded model, without the learned policy beside it.
func withoutActor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := fs.ReadDir(configs.FS, "model")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(strings.ToLower(e.Name()), "actor") {
			continue
		}
		data, err := fs.ReadFile(configs.FS, "model/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == "SHA256SUMS" {
			lines := slices.DeleteFunc(strings.SplitAfter(string(data), "\n"), func(l string) bool { return strings.Contains(strings.ToLower(l), "actor") })
			data = []byte(strings.Join(lines, ""))
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// decidedLog is a log with decisions about a few synthetic patients.
func decidedLog(t *testing.T, patients int) auditHouse {
	t.Helper()
	h := newAuditHouse(t)
	for _, p := range syntheticPatients(t)[:patients] {
		sepsisagent(t, "decide", "--fhir", synthetic(t), "--patient", p, "--format", "json", "--audit", h.db, "--key", h.key).want(exitOK)
	}
	return h
}

func TestAReplayWithAnotherModelSaysWhatWouldBeSaidOtherwise(t *testing.T) {
	longOnly(t)
	h := decidedLog(t, 6)
	dir := withoutActor(t)
	file := filepath.Join(t.TempDir(), "replay.json")
	var said replaySummary
	sepsisagent(t, "audit", "replay", "--db", h.db, "--key", h.key, "--with-model", dir, "--report", file, "--json").want(exitOK).object(&said)
	s := said.Study
	if s.Replayed != 6 || s.Unmade != 0 || s.Identical+s.Alike+s.Changed != 6 || s.Identical == 6 {
		t.Errorf("%+v", s)
	}
	sepsisagent(t, "audit", "replay", "--db", h.db, "--key", h.key, "--with-model", dir).want(exitOK).prints("6 decisions made again")
	sepsisagent(t, "audit", "replay", "--db", h.db, "--key", h.key, "--with-model", dir, "--report", file).want(exitMisuse).says("there already")
	sepsisagent(t, "audit", "replay", "--db", h.db, "--key", h.key, "--tolerance", "1").want(exitMisuse).says("--tolerance")
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "Patient") {
		t.Errorf("%v: the report names a patient: %s", err, text)
	}
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRooms(cfg, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	f := acceptFlags{replayed: file}
	study, replay, err := f.replays(t.Context(), r, os.Stderr)
	sum := sha256.Sum256(text)
	if err != nil || replay.Report != hex.EncodeToString(sum[:]) || replay.Decisions != 6 || study.Replayed != 6 {
		t.Errorf("%+v %+v %v", study, replay, err)
	}
	other, err := openRooms(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, _, err := f.replays(t.Context(), other, os.Stderr); !errors.Is(err, errStudy) {
		t.Errorf("a report of another model was taken: %v", err)
	}
}

func TestAnAcceptanceSignsForTheReplayOfTheOwnLog(t *testing.T) {
	longOnly(t)
	h := decidedLog(t, 3)
	keyFile, _ := newSigningKey(t)
	key, err := audit.ReadKeyFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Audit.Path, cfg.Audit.KeyFile, cfg.Audit.SeenFile = h.db, h.key, ""
	r, err := openRooms(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	dir := t.TempDir()
	f := acceptFlags{operator: "Dr Example", days: 30, out: filepath.Join(dir, "v.note"), report: filepath.Join(dir, "replay.json"), replay: 2}
	study, replay, err := f.replays(t.Context(), r, os.Stderr)
	if err != nil || study.Replayed != 2 || study.Identical != 2 {
		t.Fatalf("%+v, %v", study, err)
	}
	scores := &world.Evaluation{DataDigest: strings.Repeat("a", 64), Scores: world.Scores{
		Patients: 300, Stays: 310, Steps: 4000, StateMAE: 0.4, PersistenceMAE: 0.5, Interval80: 0.8, VentAUROC: 0.9, MortalityAUROC: 0.8, Vaso24hAUROC: 0.8,
		Bootstrap: map[string]world.Interval{"interval80_coverage": {Low: 0.79, High: 0.81}},
	}}
	a, err := f.conclude(r, scores, nil, validation.DefaultBars(), key, time.Now(), study, replay)
	if err != nil || !a.Accepted {
		t.Fatalf("%+v, %v", a, err)
	}
	signed, err := os.ReadFile(f.out)
	if err != nil {
		t.Fatal(err)
	}
	record, err := validation.Open(signed, key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.report)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if record.Replay == nil || record.Replay.Report != hex.EncodeToString(sum[:]) || record.Replay.Identical != 2 {
		t.Errorf("%+v", record.Replay)
	}
	var kept cdshooks.Study
	if err := json.Unmarshal(text, &kept); err != nil || kept.Replayed != 2 {
		t.Errorf("%+v, %v", kept, err)
	}
	// A decision that cannot be made again is a reason.
	study.Unmade, f.out = 1, filepath.Join(dir, "w.note")
	if a, err := f.conclude(r, scores, nil, validation.DefaultBars(), key, time.Now(), study, replay); err != nil || a.Accepted || len(a.Reasons) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	// And where there is no log, that is said, and how to do without.
	sepsisagent(t, "model", "accept", "--key", keyFile, "--cohort", "none.parquet", "--operator", "o", "--out", f.out, "--replayed", f.report, "--replay", "5").want(exitMisuse).says("--replayed")
	r.cfg.Audit.Path = filepath.Join(dir, "none.db")
	if _, _, err := f.replays(t.Context(), r, os.Stderr); !errors.Is(err, audit.ErrMissing) || !strings.Contains(err.Error(), "--replay 0") {
		t.Errorf("%v", err)
	}
}
