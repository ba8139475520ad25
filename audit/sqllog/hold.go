// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: legal holds. A hold is an entry of the log, and so is its release:
// which hold is in force is read from the entries, in the transaction that erases.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
)

// holdBody is the body of an entry of audit.KindHold.
type holdBody struct {
	Schema string `json:"schema"`
	audit.Why
}

const holdSchema = "sepsisagent.hold/1"

// PlaceHold keeps what h covers from being erased until the hold is released. Its
// id and time are given by the log. Errors: audit.ErrInvalid, audit.ErrKey, and
// audit.ErrNotFound for a receipt that is not there.
func (l *Log) PlaceHold(ctx context.Context, h audit.Hold) (audit.Hold, error) {
	if err := h.Validate(); err != nil {
		return audit.Hold{}, err
	}
	if h.Topic == audit.HoldReceipt {
		if _, err := l.Get(ctx, h.Receipt); err != nil && !errors.Is(err, audit.ErrSealed) {
			return audit.Hold{}, fmt.Errorf("hold: %w", err)
		}
	}
	e, err := l.own(h.Index(), holdBody{holdSchema, h.Why})
	if err != nil {
		return audit.Hold{}, fmt.Errorf("hold: %w", err)
	}
	if _, err := l.Append(ctx, e); err != nil {
		return audit.Hold{}, fmt.Errorf("hold: %w", err)
	}
	h.ID, h.Placed = e.Index.ID, e.Index.Time
	return h, nil
}

// ReleaseHold ends a hold. Errors: audit.ErrNotFound where none of this id is in
// force.
func (l *Log) ReleaseHold(ctx context.Context, id string, why audit.Why) error {
	if err := why.Validate(); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	holds, err := l.Holds(ctx)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	i := slices.IndexFunc(holds, func(h audit.Hold) bool { return h.ID == id })
	if i < 0 {
		return fmt.Errorf("release: %w: no hold %s is in force", audit.ErrNotFound, id)
	}
	h := holds[i]
	e, err := l.own(audit.Index{Kind: audit.KindHold, Status: audit.HoldReleased, Topic: h.Topic, Patient: h.Patient, Client: h.Client, Refers: id, User: why.Operator}, holdBody{holdSchema, why})
	if err == nil {
		_, err = l.Append(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// Holds are those in force, oldest first.
func (l *Log) Holds(ctx context.Context) ([]audit.Hold, error) { return l.holds(ctx, l.store.Read) }

// holds reads the holds in force. Entries that are not what their leaf says are an
// error: a hold must not be lifted by changing a row.
func (l *Log) holds(ctx context.Context, q querier) ([]audit.Hold, error) {
	rows, err := q.QueryContext(ctx, l.store.Dialect.Bind(l.selectStored("")+` WHERE e.kind = ? AND e.kind <> '' ORDER BY e.leaf`), audit.KindHold)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []stored
	for rows.Next() {
		var s stored
		if err := rows.Scan(s.into()...); err != nil {
			return nil, err
		}
		entries = append(entries, s)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(entries) == 0 {
		return nil, err
	}
	if err := l.matchAll(ctx, q, entries); err != nil {
		return nil, fmt.Errorf("holds: %w", err)
	}
	var out []audit.Hold
	for _, s := range entries {
		ix, err := audit.DecodeIndex(s.index)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", s.leaf, err)
		}
		if ix.Status == audit.HoldReleased {
			out = slices.DeleteFunc(out, func(h audit.Hold) bool { return h.ID == ix.Refers })
			continue
		}
		h := audit.HoldOf(ix)
		var body holdBody
		if json.Unmarshal(s.body, &body) == nil {
			h.Reason = body.Reason
		}
		out = append(out, h)
	}
	return out, nil
}
