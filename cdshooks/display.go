// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the display mode of a call, and why it is lower than the configured
// one (design.md 5.11). It is looked up on every call, so that a kill switch, a
// drift or an expired validation acts at once; each choice is in the call's
// receipt and counted. What changed and who changed it is in display_change.go.

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
)

// Codes of a DisplayChoice that is not the configured one. Besides, there are
// those of package validation.
const (
	LoweredKilled = "kill-switch"
	LoweredDrift  = "drift"
	LoweredRole   = "role"
)

// display is the mode in force: the configured one, unless the kill switch,
// drift, the user's role or a missing local validation lowers it.
func (s *Service) display(ctx context.Context, client *trust.Client, unit, role string) DisplayChoice {
	configured := client.DisplayFor(unit)
	lowered := func(mode, code, why string) DisplayChoice {
		return DisplayChoice{Mode: mode, Configured: configured, Code: code, Why: why}
	}
	switch {
	case configured == trust.DisplaySilent:
	case s.killed(ctx):
		return lowered(trust.DisplaySilent, LoweredKilled, "kill switch")
	case s.drifted(ctx, client, unit):
		return lowered(trust.DisplaySilent, LoweredDrift, "forecasts no longer hold here")
	case role != "Practitioner" && role != "PractitionerRole":
		return lowered(trust.DisplaySilent, LoweredRole, "the user is not a practitioner")
	case configured == trust.DisplaySuggest:
		if standing := s.standing(ctx).At(client.Name, unit); !standing.InForce() {
			return lowered(trust.DisplayInform, string(standing.Code), standing.Why)
		}
	}
	return DisplayChoice{Mode: configured, Configured: configured}
}

// validatedBy gives the standing by the record that the configuration names.
func validatedBy(d Deps) (func(now time.Time) validation.Standing, error) {
	cfg := d.Config.Validation
	if cfg == (validation.Config{}) {
		return func(time.Time) validation.Standing {
			return validation.Standing{Code: validation.NotValidated, Why: "no local validation of this model is on record"}
		}, nil
	}
	h := d.Hashes
	file, err := validation.NewFile(cfg, validation.Covers{
		Model: h.Model, Actor: h.Actor, Rules: h.Rules, CodeMaps: h.CodeMaps, Config: h.Config, Prompts: h.Prompts,
	})
	if err != nil {
		return nil, errors.Join(ErrConfig, err)
	}
	return file.Standing, nil
}

// switchThrown looks for the kill switch. A file that cannot be looked for
// counts as being there.
func (s *Service) switchThrown() bool {
	if s.Config.KillSwitchFile == "" {
		return false
	}
	_, err := os.Stat(s.Config.KillSwitchFile)
	return !errors.Is(err, os.ErrNotExist)
}

// killed tells whether the kill switch is thrown, here or at another replica, and
// leaves a receipt when it has changed here. Thrown, it acts at once, recorded or
// not; taken back, only once that is recorded.
func (s *Service) killed(ctx context.Context) bool {
	thrown := s.switchThrown()
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	if thrown == st.thrown {
		return thrown || st.killed
	}
	c := DisplayChange{What: ChangeKillSwitch, State: stateOf(thrown), Why: "the kill switch file is there: everything is silent"}
	if thrown {
		c.Operator, c.Note = readSwitch(s.Config.KillSwitchFile)
	} else {
		c.Why = "the kill switch file is gone"
	}
	if !s.changed(ctx, c) {
		return true
	}
	st.thrown, st.killed = thrown, thrown
	return thrown
}

// standing says how things stand with the local validation, and leaves a receipt
// when that has changed. A record is in force only once that is recorded.
func (s *Service) standing(ctx context.Context) validation.Standing {
	now := s.Validated(s.Now())
	key := string(now.Code) + " " + now.Digest
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	if key == st.validation {
		return now
	}
	c := DisplayChange{What: ChangeValidation, State: string(now.Code), Why: now.Why, Record: now.Record, Digest: now.Digest}
	if now.InForce() {
		c.State, c.Why = stateInForce, "a local validation is in force"
	}
	if now.Record != nil {
		c.Operator = now.Record.Operator
	}
	if !s.changed(ctx, c) {
		if now.InForce() {
			return validation.Standing{Code: validation.NotRecorded, Why: "a local validation is there, but could not be written to the log", Record: now.Record, Digest: now.Digest}
		}
		return now
	}
	st.validation = key
	return now
}

// drifted tells whether forecasts no longer hold where this call is from. A
// local validation that was accepted since and covers all of that place ends it,
// once that is recorded: one of a single unit says nothing of all others.
func (s *Service) drifted(ctx context.Context, client *trust.Client, unit string) bool {
	at := placeOf(client, unit)
	st := s.shown
	st.mu.Lock()
	since := st.places[at].drifted
	st.mu.Unlock()
	if since.IsZero() {
		return false
	}
	now := s.standing(ctx).At(client.Name, at.unit)
	if !now.InForce() || now.Record == nil || !now.Record.Accepted.After(since) {
		return true
	}
	return !s.clearDrift(ctx, at, now.Record.Operator, "a local validation accepted since covers the unit")
}
