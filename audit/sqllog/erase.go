// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: erasure. In one transaction the digests of entries are put down, the
// entries are deleted with everything by which they could be found, and an entry
// that names them is appended: none of the three is ever there without the others.

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

// eraseBatch is how many entries are erased in one transaction, which keeps other
// writers waiting.
const eraseBatch = 200

// Erase removes the selected entries for good, but for those under a legal hold
// and those of permanent kinds. Their digests stay, so that the tree, every proof
// and every checkpoint hold as before. An entry whose stored bytes are not those
// of its leaf is evidence of something: it ends the erasure (audit.ErrProof). What
// was erased until an error came is in the answer and stays erased.
// Errors: audit.ErrInvalid, audit.ErrKey, audit.ErrProof.
func (l *Log) Erase(ctx context.Context, sel audit.Selection, why audit.Why) (audit.Erased, error) {
	var done audit.Erased
	if err := errors.Join(sel.Validate(), why.Validate()); err != nil {
		return done, fmt.Errorf("erase: %w", err)
	}
	if l.opts.Key == nil {
		return done, fmt.Errorf("erase: %w: the log was opened for reading", audit.ErrKey)
	}
	for after, more := int64(-1), true; more; {
		var err error
		if after, more, err = l.eraseSome(ctx, sel, why, after, &done); err != nil {
			return done, fmt.Errorf("erase: %w", err)
		}
	}
	if done.Records == 0 {
		return done, nil
	}
	if scrub := l.store.Dialect.Scrub; scrub != nil {
		var err error
		if done.Remains, err = scrub(ctx, l.store.Write); err != nil {
			return done, fmt.Errorf("erased, but bytes may lie in the database's files yet: %w", err)
		}
	}
	return done, nil
}

// PlanErasure says what Erase would do, and does nothing.
func (l *Log) PlanErasure(ctx context.Context, sel audit.Selection) (audit.Erased, error) {
	var plan audit.Erased
	if err := sel.Validate(); err != nil {
		return plan, fmt.Errorf("plan erasure: %w", err)
	}
	tx, err := l.snapshot(ctx)
	if err != nil {
		return plan, err
	}
	defer tx.Rollback()
	holds, err := l.holds(ctx, tx)
	if err != nil {
		return plan, fmt.Errorf("plan erasure: %w", err)
	}
	for after, more := int64(-1), true; more; {
		var some []chosen
		if some, after, more, err = l.choose(ctx, tx, sel, holds, after); err != nil {
			return plan, fmt.Errorf("plan erasure: %w", err)
		}
		take(&plan, some)
	}
	return plan, nil
}

// chosen is a selected entry.
type chosen struct {
	stored
	ix   audit.Index
	held bool
}

// choose gives the next entries of a selection after a leaf.
func (l *Log) choose(ctx context.Context, q querier, sel audit.Selection, holds []audit.Hold, after int64) (out []chosen, last int64, more bool, err error) {
	where, args := l.store.Dialect.selected(sel)
	rows, err := q.QueryContext(ctx, l.store.Dialect.Bind(l.selectStored("")+` WHERE `+where+` AND e.leaf > ? ORDER BY e.leaf LIMIT ?`), append(args, after, int64(eraseBatch))...)
	if err != nil {
		return nil, 0, false, err
	}
	defer rows.Close()
	last = after
	for rows.Next() {
		var c chosen
		if err := rows.Scan(c.into()...); err != nil {
			return nil, 0, false, err
		}
		if c.ix, err = audit.DecodeIndex(c.index); err != nil {
			return nil, 0, false, fmt.Errorf("leaf %d: %w", c.leaf, err)
		}
		c.held = slices.ContainsFunc(holds, func(h audit.Hold) bool { return h.Covers(c.ix) })
		out, last = append(out, c), c.leaf
	}
	return out, last, len(out) == eraseBatch, rows.Err()
}

// selected words a selection. Entries of permanent kinds are in none.
func (d Dialect) selected(sel audit.Selection) (string, []any) {
	where, args := []string{}, []any{}
	and := func(cond string, v ...any) { where, args = append(where, cond), append(args, v...) }
	switch {
	case sel.Patient != "":
		and(`e.patient = ? AND e.patient <> ''`, d.Text(sel.Patient))
		if sel.Client != "" {
			and(`e.client = ?`, d.Text(sel.Client))
		}
	case sel.ID != "":
		and(`e.id = ?`, sel.ID)
	default:
		and(`e.time_ns < ?`, sel.Before.UnixNano())
		if sel.Kind != "" {
			and(`e.kind = ?`, d.Text(sel.Kind))
		}
	}
	for _, kind := range append(audit.PermanentKinds(), sel.Keep...) {
		and(`e.kind <> ?`, d.Text(kind))
	}
	return strings.Join(where, " AND "), args
}

// eraseSome erases the next entries of a selection after a leaf.
func (l *Log) eraseSome(ctx context.Context, sel audit.Selection, why audit.Why, after int64, done *audit.Erased) (last int64, more bool, err error) {
	tx, g, err := l.grow(ctx, l.patience(ctx))
	if err != nil {
		return 0, false, err
	}
	defer tx.Rollback()
	holds, err := l.holds(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	some, last, more, err := l.choose(ctx, tx, sel, holds, after)
	if err != nil {
		return 0, false, err
	}
	going := slices.DeleteFunc(slices.Clone(some), func(c chosen) bool { return c.held })
	if len(going) > 0 {
		id, err := l.remove(ctx, tx, g, going, audit.NewErasure(sel, why))
		if err != nil {
			return 0, false, err
		}
		if _, _, err := l.conclude(ctx, tx, g); err != nil {
			return 0, false, err
		}
		done.Receipts = append(done.Receipts, id)
	}
	take(done, some)
	return last, more, nil
}

// remove deletes entries in a transaction and adds the entry that records it.
func (l *Log) remove(ctx context.Context, tx *sql.Tx, g *growth, going []chosen, body audit.Erasure) (id string, err error) {
	entries := make([]stored, len(going))
	for i, c := range going {
		entries[i] = c.stored
		body.Records = append(body.Records, audit.ErasureRecord{Leaf: c.leaf, ID: c.id})
	}
	if err := l.matchAll(ctx, tx, entries); err != nil {
		return "", err
	}
	receipt, err := l.own(audit.Index{Kind: audit.KindErasure, Topic: body.By, User: body.Operator}, body)
	if err != nil {
		return "", err
	}
	d, err := l.draft(receipt)
	if err != nil {
		return "", err
	}
	var digests [][]any
	var leaves []any
	for _, s := range entries {
		digests = append(digests, []any{s.leaf, s.id, s.asLeaf().Bytes(), receipt.Index.ID})
		leaves = append(leaves, s.leaf)
	}
	if err := l.store.Dialect.Insert(ctx, tx, []Addition{{"erased", []string{"leaf", "id", "digests", "receipt"}, digests}}); err != nil {
		return "", err
	}
	for _, table := range []string{"term", "sealed", "entry"} {
		if _, err := tx.ExecContext(ctx, l.store.Dialect.Bind(`DELETE FROM `+table+` WHERE leaf IN (`+marks(len(leaves))+`)`), leaves...); err != nil {
			return "", fmt.Errorf("%s: %w", table, err)
		}
	}
	if err := l.unpackBlocks(ctx, tx, leaves); err != nil {
		return "", err
	}
	_, err = g.add(d)
	return receipt.Index.ID, err
}

// own makes an entry of the log's own, with a fresh id, time and salt.
func (l *Log) own(ix audit.Index, content any) (audit.Entry, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return audit.Entry{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return audit.Entry{}, err
	}
	ix.ID, ix.Time = id.String(), l.opts.Now().UTC()
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return audit.Entry{}, err
	}
	return audit.Entry{Index: ix, Salt: salt, Body: body}, nil
}

// take counts selected entries.
func take(done *audit.Erased, some []chosen) {
	for _, c := range some {
		if c.held {
			done.Held++
			continue
		}
		done.Count(c.ix)
	}
}
