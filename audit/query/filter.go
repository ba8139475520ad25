// SPDX-License-Identifier: Apache-2.0

package query

// This file: a question as a filter of the log: what an outcome is there, and
// which hash is meant by the beginning of one or by a version.

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

// outcomeKind is the kind of the entries that have an outcome.
var outcomeKind = map[string]string{
	Suggest: "decision", Affirm: "decision", Abstain: "decision", NotApplicable: "decision", Blocked: "decision",
	Suppressed: "decision", Refused: "refusal", Failed: "failure", Accepted: "feedback", Override: "feedback",
}

// errNothing: no entry can match.
var errNothing = errors.New("nothing can match")

// Filter words a question for a caller that goes through the log without pages.
// Errors: ErrQuestion, also where the log knows no hash that is named so.
func (q Query) Filter(ctx context.Context, log Log) (audit.Filter, error) {
	f, err := q.filter(ctx, log)
	if errors.Is(err, errNothing) {
		return audit.Filter{}, fmt.Errorf("%w: the log knows no such model, rules or code maps", ErrQuestion)
	}
	return f, err
}

// filter words the question for the log. Errors: ErrQuestion, ErrCursor,
// errNothing.
func (q Query) filter(ctx context.Context, log Log) (audit.Filter, error) {
	if err := q.Validate(); err != nil {
		return audit.Filter{}, err
	}
	f := audit.Filter{
		Patient: q.Patient, Encounter: q.Encounter, User: q.Clinician, Client: q.Client, Unit: q.Unit, Drug: q.Drug, Rule: q.Rule,
		Kind: q.Kind, Reason: q.Reason, Topic: q.Topic, Card: q.Card, Refers: q.Refers, HookInstance: q.HookCall, RequestID: q.Request,
		Shown: q.Shown, Since: q.Since, Until: q.Until, OldestFirst: q.OldestFirst, Limit: q.Limit,
	}
	if q.Outcome != "" {
		f.Kind = outcomeKind[q.Outcome]
	}
	switch q.Outcome {
	case Suggest, Affirm, Abstain, NotApplicable:
		f.Status = q.Outcome
	case Blocked, Suppressed:
		f.Reasons = append(f.Reasons, q.Outcome)
	case Accepted:
		f.Outcome = "accepted"
	case Override:
		f.Outcome = "overridden"
	}
	for _, h := range []struct {
		field, asked string
		into         *string
	}{{"model", q.Model, &f.Model}, {"ruleshash", q.Rules, &f.RulesHash}, {"codemaps", q.CodeMaps, &f.CodeMaps}} {
		var err error
		if *h.into, err = resolve(ctx, log, h.field, h.asked); err != nil {
			return audit.Filter{}, err
		}
	}
	var err error
	f.After, err = q.after()
	return f, err
}

// resolve gives the whole hash for what was asked.
func resolve(ctx context.Context, log Log, field, asked string) (string, error) {
	if asked == "" || len(asked) == 64 && isHex(asked) {
		return asked, nil
	}
	found, err := log.Values(ctx, field, asked, "", 2)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) > 0 && found[0] == asked:
		return asked, nil // a hash of another form, whole
	case len(found) == 1 && len(asked) >= MinHash:
		return found[0], nil
	case len(found) > 1 && len(asked) >= MinHash:
		return "", fmt.Errorf("%w: several hashes in the log begin with %s %q", ErrQuestion, field, asked)
	}
	if field == "model" {
		return versionHash(ctx, log, asked)
	}
	return "", errNothing
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

// versionHash finds the hash of a model version in what the service recorded at
// its starts.
func versionHash(ctx context.Context, log Log, version string) (string, error) {
	hash := ""
	for f := (audit.Filter{Kind: "config", Limit: audit.MaxLimit}); ; {
		rows, more, err := log.Page(ctx, f, 0)
		if err != nil {
			return "", err
		}
		seen := map[string]bool{}
		for _, r := range rows {
			if seen[r.Index.Model] {
				continue
			}
			seen[r.Index.Model] = true
			record, err := log.Get(ctx, r.Index.ID)
			if err != nil {
				continue // erased
			}
			var start struct {
				Model struct {
					Version string `json:"version"`
				} `json:"model"`
			}
			if json.Unmarshal(record.Body, &start) != nil || start.Model.Version != version || r.Index.Model == "" {
				continue
			}
			if hash != "" && hash != r.Index.Model {
				return "", fmt.Errorf("%w: several models have version %q (hint: ask by hash)", ErrQuestion, version)
			}
			hash = r.Index.Model
		}
		if more == nil {
			break
		}
		f.After = more
	}
	if hash == "" {
		return "", errNothing
	}
	return hash, nil
}

// A cursor names the leaf after which a page begins and the question it belongs
// to. It gives no right to anything.

// digest tells questions apart, but for the page.
func (q Query) digest() uint64 {
	q.Cursor, q.Limit = "", 0
	h := fnv.New64a()
	h.Write([]byte(q.URL().Encode()))
	return h.Sum64()
}

func (q Query) cursor(leaf int64) string {
	raw := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{1}, q.digest()), uint64(leaf))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// after reads the cursor; nil where there is none.
func (q Query) after() (*int64, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(raw) != 17 || raw[0] != 1 || binary.BigEndian.Uint64(raw[1:9]) != q.digest() {
		return nil, ErrCursor
	}
	leaf := int64(binary.BigEndian.Uint64(raw[9:]))
	if leaf < 0 {
		return nil, ErrCursor
	}
	return &leaf, nil
}
