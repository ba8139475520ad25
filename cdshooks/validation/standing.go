// SPDX-License-Identifier: Apache-2.0

package validation

// This file: whether a record stands for a call: it is signed, in force, and
// covers what runs and where.

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Code says in a stable word why there is no validation in force. The empty
// code is that there is one.
type Code string

// The codes.
const (
	NotValidated  Code = "not-validated"  // no record is configured, or there is no file
	Unreadable    Code = "unreadable"     // the file cannot be read
	BadSignature  Code = "bad-signature"  // not signed by the configured key
	Malformed     Code = "malformed"      // signed, but no record
	NotYetValid   Code = "not-yet-valid"  // accepted later than now
	Expired       Code = "expired"        // no longer in force
	WrongModel    Code = "wrong-model"    // of another world model
	WrongActor    Code = "wrong-actor"    // of another learned policy
	WrongRules    Code = "wrong-rules"    // of other rules
	WrongCodeMaps Code = "wrong-codemaps" // of other code maps
	WrongConfig   Code = "wrong-config"   // of other settings
	WrongPrompts  Code = "wrong-prompts"  // of another language model's prompts
	WrongClient   Code = "wrong-client"   // of other clients
	WrongUnit     Code = "wrong-unit"     // of other units
	NotRecorded   Code = "not-recorded"   // in force, but that could not be written to the log
)

// Codes are all of them.
func Codes() []Code {
	return []Code{NotValidated, Unreadable, BadSignature, Malformed, NotYetValid, Expired, WrongModel, WrongActor, WrongRules, WrongCodeMaps,
		WrongConfig, WrongPrompts, WrongClient, WrongUnit, NotRecorded}
}

// Standing is how things stand with the local validation.
type Standing struct {
	Code   Code    // empty: in force
	Why    string  // in words, for receipts and operators; empty where Code is
	Record *Record // whose signature holds, in force or not; else nil
	Digest string  // SHA-256 of the file; empty without one
}

// InForce tells whether display mode suggest is allowed.
func (s Standing) InForce() bool { return s.Code == "" }

func refused(code Code, format string, args ...any) Standing {
	return Standing{Code: code, Why: fmt.Sprintf(format, args...)}
}

// ofError is the standing of a file that gave no record.
func ofError(err error) Standing {
	if errors.Is(err, ErrSignature) {
		return refused(BadSignature, "%v", err)
	}
	return refused(Malformed, "%v", err)
}

// clockSkew is how far the accepting machine's clock may be ahead.
const clockSkew = 5 * time.Minute

// standing compares the record with what runs, at a time.
func (r *Record) standing(runs Covers, now time.Time) Standing {
	switch {
	case now.Before(r.Accepted.Add(-clockSkew)):
		return refused(NotYetValid, "the local validation is of %s", r.Accepted.Format(time.RFC3339))
	case !now.Before(r.Until):
		return refused(Expired, "the local validation expired at %s", r.Until.Format(time.RFC3339))
	}
	for _, part := range []struct {
		code        Code
		what        string
		is, covered string
	}{
		{WrongModel, "model", runs.Model, r.Covers.Model}, {WrongActor, "learned policy", runs.Actor, r.Covers.Actor},
		{WrongRules, "rules", runs.Rules, r.Covers.Rules}, {WrongCodeMaps, "code maps", runs.CodeMaps, r.Covers.CodeMaps},
		{WrongConfig, "settings", runs.Config, r.Covers.Config}, {WrongPrompts, "prompts", runs.Prompts, r.Covers.Prompts},
	} {
		if part.is != part.covered {
			return refused(part.code, "the local validation is of other %s (%s) than run here (%s)", part.what, short(part.covered), short(part.is))
		}
	}
	return Standing{}
}

// At narrows a standing to the unit of a client. One that is in force without a
// record holds everywhere.
func (s Standing) At(client, unit string) Standing {
	if !s.InForce() || s.Record == nil {
		return s
	}
	if len(s.Record.Clients) > 0 && !slices.Contains(s.Record.Clients, client) {
		s.Code, s.Why = WrongClient, "the local validation does not cover this client"
	} else if len(s.Record.Units) > 0 && !slices.Contains(s.Record.Units, unit) {
		s.Code, s.Why = WrongUnit, "the local validation does not cover this unit"
	}
	return s
}

func short(hash string) string {
	if hash == "" {
		return "none"
	}
	return hash[:min(12, len(hash))]
}
