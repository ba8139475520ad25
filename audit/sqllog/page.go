// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: finding the entries that match a filter. The rarest of the filter's
// values is walked by its index, in the order of leaves and a bounded stretch at a
// time; whatever else the filter asks is looked up entry by entry. The order of
// this walk is ours and not a query planner's guess, so that a page costs the same
// on a log of a million entries as on one of a thousand.

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

const (
	minStretch = 256
	maxStretch = 8192
)

// Lists are counted to the first of these, and where all are longer to the next, to
// find the shortest; where all are longer still, the first is walked. A search that
// must come to an end looks further.
var (
	countTo       = []int64{512, 4096}
	countToTheEnd = []int64{512, 4096, 1 << 16}
)

// Page gives up to Filter.PageSize entries that match, in order of leaves, after
// Filter.After. It looks at no more than about budget of them (0: as many as it
// takes). more is the leaf after which to go on, nil at the end: a page that ran
// out of budget is short, or empty, and has one.
func (l *Log) Page(ctx context.Context, f audit.Filter, budget int) (rows []audit.Row, more *int64, err error) {
	if err := f.Validate(); err != nil {
		return nil, nil, err
	}
	w := walk{l: l, f: f, budget: budget, lists: l.store.Dialect.lists(f)}
	if w.runs, err = w.stretches(ctx); err == nil {
		err = w.choose(ctx)
	}
	if err == nil {
		rows, more, err = w.page(ctx)
	}
	if err == nil && len(rows) > 0 {
		rows, err = l.withHashes(ctx, rows)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", err)
	}
	return rows, more, nil
}

// list is the entries that have one value, to be walked by an index.
type list struct {
	from  string   // table
	keys  []string // columns of the index, but for the leaf, which is its last
	args  []any    // their values
	part  string   // what the index is limited to, with AND after it, or nothing
	test  string   // condition on the entry e, or of a term on its leaf d.leaf
	term  bool
	walks bool // there is an index to walk it by
	few   bool // few entries have one value
}

// notWalked are columns without an index of their own, and few those that have
// few entries for a value.
var (
	notWalked = []string{"service", "display"}
	few       = []string{"request", "hook_instance", "refers", "card", "encounter", "patient"}
)

// lists are the conditions of a filter that are by equality, those with few
// entries first.
func (d Dialect) lists(f audit.Filter) []list {
	var out []list
	for _, c := range columns {
		if c.want == nil {
			continue
		}
		if v := c.want(f); v != "" {
			out = append(out, list{
				from: "entry", keys: []string{c.quoted()}, args: []any{d.Text(v)}, part: c.quoted() + " <> '' AND ", test: "e." + c.quoted() + " = ?",
				walks: !slices.Contains(notWalked, c.name), few: slices.Contains(few, c.name),
			})
		}
	}
	add := func(kind, v string) {
		out = append(out, list{
			from: "term", keys: []string{"kind", "value"}, args: []any{kind, d.Text(v)},
			// By the table's key. EXISTS would let PostgreSQL read the whole list first.
			test: "(SELECT 1 FROM term WHERE kind = ? AND value = ? AND term.leaf = d.leaf) = 1",
			term: true, walks: true, few: slices.Contains(few, kind),
		})
	}
	for _, t := range terms {
		if v := t.want(f); v != "" {
			add(t.name, v)
		}
	}
	for _, v := range f.Reasons {
		add("reason", v)
	}
	// Of two long lists a column's is walked and the term is looked up: terms lie
	// close together, and a row of entry is large. The kind comes last.
	slices.SortStableFunc(out, func(a, b list) int { return cmp.Compare(a.rank(), b.rank()) })
	return out
}

// walk is the query of the first leaves of the list from leaf from on and before
// to, in the order of leaves.
func (li list) walk(d Dialect, from, to int64, order string, limit int64) (stmt string, args []any) {
	keys := append(slices.Clone(li.keys), "leaf")
	where, by := li.part, "leaf "+order
	if d.RowRanges {
		row, values := strings.Join(keys, ", "), marks(len(keys))
		where += fmt.Sprintf("(%s) >= (%s) AND (%s) < (%s)", row, values, row, values)
		by = strings.Join(keys, " "+order+", ") + " " + order
		args = slices.Concat(li.args, []any{from}, li.args, []any{to})
	} else {
		for _, k := range li.keys {
			where += k + " = ? AND "
		}
		where += "leaf >= ? AND leaf < ?"
		args = append(slices.Clone(li.args), from, to)
	}
	return fmt.Sprintf(`SELECT leaf FROM %s WHERE %s ORDER BY %s LIMIT %d`, li.from, where, by, limit), args
}

func (li list) rank() int {
	switch {
	case li.few:
		return 0
	case li.test == `e."kind" = ?` || li.test == `e."client" = ?`:
		return 3
	case li.term:
		return 2
	}
	return 1
}

// walk is one search.
type walk struct {
	l      *Log
	f      audit.Filter
	budget int
	lists  []list
	by     int // index of the list that is walked; -1: all entries
	runs   []span
}

// stretches are the runs of leaves to look in, in the order of the search.
func (w *walk) stretches(ctx context.Context) ([]span, error) {
	runs := []span{{0, math.MaxInt64}}
	if len(w.lists) == 0 || !w.lists[0].few {
		var size int64
		if err := w.l.store.Read.QueryRowContext(ctx, `SELECT COALESCE(MAX(leaf)+1, 0) FROM entry`).Scan(&size); err != nil {
			return nil, err
		}
		var err error
		if runs, err = w.l.spans(ctx, w.f, size); err != nil {
			return nil, err
		}
	}
	var out []span
	for _, r := range runs {
		if after := w.f.After; after != nil && w.f.OldestFirst && *after < math.MaxInt64 {
			r.from = max(r.from, *after+1)
		} else if after != nil {
			r.to = min(r.to, *after)
		}
		if r.from < r.to {
			out = append(out, r)
		}
	}
	if !w.f.OldestFirst {
		slices.Reverse(out)
	}
	return out, nil
}

// choose finds the list to walk: one with few entries if there is one, else the
// shortest, as far as that can be counted cheaply.
func (w *walk) choose(ctx context.Context) error {
	w.by = -1
	if len(w.lists) > 0 && w.lists[0].few {
		w.by = 0
		return nil
	}
	var walkable []int
	for i, li := range w.lists {
		if li.walks {
			walkable = append(walkable, i)
		}
	}
	if len(walkable) > 0 {
		w.by = walkable[0]
	}
	if len(walkable) < 2 || len(w.runs) == 0 {
		return nil
	}
	counts := countTo
	if w.budget == 0 {
		counts = countToTheEnd
	}
	for _, most := range counts {
		shortest := most
		for _, i := range walkable {
			n, err := w.count(ctx, w.lists[i], shortest)
			if err != nil {
				return err
			}
			if n < shortest {
				shortest, w.by = n, i
			}
		}
		if shortest < most {
			return nil
		}
	}
	return nil
}

// count gives the length of a list where the search looks, at most most.
func (w *walk) count(ctx context.Context, li list, most int64) (n int64, err error) {
	from, to := w.runs[0].from, w.runs[0].to
	for _, r := range w.runs {
		from, to = min(from, r.from), max(to, r.to)
	}
	walk, args := li.walk(w.l.store.Dialect, from, to, "ASC", most)
	err = w.l.store.Read.QueryRowContext(ctx, w.l.store.Dialect.Bind(`SELECT COUNT(*) FROM (`+walk+`) c`), args...).Scan(&n)
	return n, err
}

// page walks until the page is full, the end is reached or the budget is spent.
func (w *walk) page(ctx context.Context) (out []audit.Row, more *int64, err error) {
	size, looked := w.f.PageSize(), 0
	stretch := min(max(minStretch, 2*size), maxStretch)
	for i, r := range w.runs {
		for r.from < r.to {
			n, last, rows, err := w.stretch(ctx, r, stretch, size-len(out))
			if err != nil {
				return nil, nil, err
			}
			out, looked = append(out, rows...), looked+n
			ended := n < stretch && len(out) < size // no more of this run
			if w.f.OldestFirst {
				r.from = last + 1
			} else {
				r.to = last
			}
			if ended {
				break
			}
			if len(out) >= size || w.budget > 0 && looked >= w.budget {
				if r.from >= r.to && i == len(w.runs)-1 {
					return out, nil, nil
				}
				return out, &last, nil
			}
			stretch = min(2*stretch, maxStretch)
		}
		if w.budget > 0 && looked >= w.budget && i < len(w.runs)-1 {
			last := r.from // all of this run was looked at
			if w.f.OldestFirst {
				last = r.to - 1
			}
			return out, &last, nil
		}
	}
	return out, nil, nil
}

// stretch looks at up to limit entries of the list in a run and gives those that
// match, at most want. n is how many were looked at, last the leaf of the last.
func (w *walk) stretch(ctx context.Context, r span, limit, want int) (n int, last int64, out []audit.Row, err error) {
	order := "DESC"
	if w.f.OldestFirst {
		order = "ASC"
	}
	terms, tests, args := w.tests()
	walked := list{from: "entry"} // all entries
	if w.by >= 0 {
		walked = w.lists[w.by]
	}
	walk, more := walked.walk(w.l.store.Dialect, r.from, r.to, order, int64(limit))
	args = append(args, more...)
	stmt := fmt.Sprintf(`SELECT d.leaf, CASE WHEN %s THEN (SELECT e.index_json FROM entry e WHERE e.leaf = d.leaf AND %s) END FROM (%s) d ORDER BY d.leaf %s`,
		terms, tests, walk, order)
	rows, err := w.l.store.Read.QueryContext(ctx, w.l.store.Dialect.Bind(stmt), args...)
	if err != nil {
		return 0, 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var index sql.RawBytes
		if err := rows.Scan(&last, &index); err != nil {
			return 0, 0, nil, err
		}
		n++
		if index == nil {
			continue
		}
		row := audit.Row{Leaf: last}
		if row.Index, err = audit.DecodeIndex(index); err != nil {
			return 0, 0, nil, fmt.Errorf("leaf %d: %w", last, err)
		}
		out = append(out, row)
		if len(out) == want {
			break
		}
	}
	return n, last, out, rows.Err()
}

// tests are the conditions that the walked list does not settle: those on terms,
// and those on the entry, which is read only where the terms hold.
func (w *walk) tests() (terms, entry string, args []any) {
	onTerms, onEntry, entryArgs := []string{"1 = 1"}, []string{"1 = 1"}, []any(nil)
	and := func(cond string, v ...any) {
		onEntry, entryArgs = append(onEntry, cond), append(entryArgs, v...)
	}
	for i, li := range w.lists {
		switch {
		case i == w.by:
		case li.term:
			onTerms, args = append(onTerms, li.test), append(args, li.args...)
		default:
			and(li.test, li.args...)
		}
	}
	if w.f.Shown != nil {
		and("e.shown = ?", boolean(*w.f.Shown))
	}
	if !w.f.Since.IsZero() {
		and("e.time_ns >= ?", w.f.Since.UnixNano())
	}
	if !w.f.Until.IsZero() {
		and("e.time_ns < ?", w.f.Until.UnixNano())
	}
	return strings.Join(onTerms, " AND "), strings.Join(onEntry, " AND "), append(args, entryArgs...)
}

// Values lists up to limit values of one searchable field, in order, each once:
// those that begin with prefix and come after after. field is the name of a field
// of audit.Index in JSON, or reason, drug, rule or card. It costs a look-up a
// value, however many entries have it. Errors: audit.ErrInvalid.
func (l *Log) Values(ctx context.Context, field, prefix, after string, limit int) ([]string, error) {
	stmt, args := "", []any(nil)
	if i := slices.IndexFunc(terms, func(t term) bool { return t.name == field }); i >= 0 {
		stmt, args = `SELECT MIN(value) FROM term WHERE kind = ? AND `, []any{field}
		field = "value"
	} else {
		i := slices.IndexFunc(columns, func(c column) bool { return strings.ReplaceAll(c.name, "_", "") == strings.ToLower(field) })
		if i < 0 || slices.Contains(notWalked, columns[i].name) || columns[i].want == nil {
			return nil, fmt.Errorf("%w: no values of %q are listed", audit.ErrInvalid, field)
		}
		field = columns[i].quoted()
		stmt = fmt.Sprintf(`SELECT MIN(%s) FROM entry WHERE %s <> '' AND `, field, field)
	}
	var out []string
	for at, is := max(prefix, after), ">="; len(out) < limit; is = ">" {
		if at == after && after != "" {
			is = ">"
		}
		var v sql.NullString
		q := stmt + field + " " + is + " ?"
		if err := l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(q), append(slices.Clone(args), at)...).Scan(&v); err != nil {
			return nil, fmt.Errorf("values of %s: %w", field, err)
		}
		if !v.Valid || !strings.HasPrefix(v.String, prefix) {
			break
		}
		out, at = append(out, v.String), v.String
	}
	return out, nil
}
