// SPDX-License-Identifier: Apache-2.0

package postgres

// This file: what is particular to PostgreSQL's SQL.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// migrationLock keeps two replicas from migrating at once. It is a name of ours:
// the first eight bytes of SHA-256("sepsisagent audit migration"), as a number.
var migrationLock = func() int64 {
	sum := sha256.Sum256([]byte("sepsisagent audit migration"))
	var n int64
	for _, b := range sum[:8] {
		n = n<<8 | int64(b)
	}
	return n
}()

var dialect = sqllog.Dialect{
	Bind:       bind,
	Lock:       `SELECT pg_advisory_xact_lock(hashtextextended('sepsisagent audit ' || current_schema(), 0))`,
	Insert:     insert,
	Text:       text,
	RowRanges:  true,
	Version:    version,
	Goose:      goose.DialectPostgres,
	Migrations: migrations(),
	Scrub:      scrub,
	Locker: func() (lock.SessionLocker, error) {
		// It asks every second, for a minute.
		return lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 60))
	},
}

// bind numbers the arguments: $1, $2 for each question mark. No query of sqllog
// has a question mark that is none.
func bind(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// insert adds all rows by one statement, whose shape does not depend on their
// number: a column is an array, and every table but the last is written in a
// WITH of that statement.
func insert(ctx context.Context, tx *sql.Tx, additions []sqllog.Addition) error {
	var stmt strings.Builder
	var args []any
	for i, a := range additions {
		switch {
		case i == len(additions)-1:
			stmt.WriteString(" ")
		case i == 0:
			stmt.WriteString("WITH a0 AS (")
		default:
			fmt.Fprintf(&stmt, ", a%d AS (", i)
		}
		c := columns{args: args}
		for k, name := range a.Names {
			if err := c.add(a.Rows, k); err != nil {
				return fmt.Errorf("%s.%s: %w", a.Table, name, err)
			}
		}
		args = c.args
		fmt.Fprintf(&stmt, `INSERT INTO %s ("%s") SELECT %s FROM unnest(%s) AS u(%s)`, a.Table, strings.Join(a.Names, `", "`),
			strings.Join(c.values, ", "), strings.Join(c.arrays, ", "), strings.Join(c.names, ", "))
		if i < len(additions)-1 {
			stmt.WriteString(")")
		}
	}
	_, err := tx.ExecContext(ctx, stmt.String(), args...)
	return err
}

// columns are what one INSERT … SELECT values FROM unnest(arrays) AS u(names) is
// made of.
type columns struct {
	args                  []any
	arrays, names, values []string
}

// add adds column i of the rows. Texts and numbers are an array. Bytes are one
// value, of which each row has a piece: an array of bodies is copied over and over
// on its way, by us and by the server.
func (c *columns) add(rows [][]any, i int) error {
	switch rows[0][i].(type) {
	case string:
		values, err := column[string](rows, i)
		c.values = append(c.values, c.array(values, "text"))
		return err
	case int64:
		values, err := column[int64](rows, i)
		c.values = append(c.values, c.array(values, "bigint"))
		return err
	case []byte:
		values, err := column[[]byte](rows, i)
		from, length := make([]int64, len(values)), make([]int64, len(values))
		size := 0
		for k, v := range values {
			from[k], length[k] = int64(size)+1, int64(len(v))
			size += len(v)
		}
		whole := make([]byte, 0, size) // never nil, which would be NULL
		for _, v := range values {
			whole = append(whole, v...)
		}
		c.values = append(c.values, fmt.Sprintf("substring(%s FROM %s::int FOR %s::int)", c.arg(whole, "bytea"), c.array(from, "bigint"), c.array(length, "bigint")))
		return err
	}
	return fmt.Errorf("a %T is not stored", rows[0][i])
}

// arg is an argument, as the statement calls it.
func (c *columns) arg(v any, typ string) string {
	c.args = append(c.args, v)
	return fmt.Sprintf("$%d::%s", len(c.args), typ)
}

// array is one more column of unnest, as its SELECT calls it.
func (c *columns) array(values any, typ string) string {
	c.arrays = append(c.arrays, c.arg(values, typ+"[]"))
	name := fmt.Sprintf("c%d", len(c.arrays))
	c.names = append(c.names, name)
	return name
}

func column[T any](rows [][]any, i int) ([]T, error) {
	out := make([]T, len(rows))
	for k, row := range rows {
		v, ok := row[i].(T)
		if !ok {
			return nil, fmt.Errorf("a %T among %T", row[i], out[0])
		}
		out[k] = v
	}
	return out, nil
}

// maxText is the longest value that is indexed as it is: a B-tree's entry must be
// shorter than a third of a page.
const maxText = 512

// text is a value as PostgreSQL can keep and index it. A text there has no NUL,
// and a long one is known by its beginning and its digest. Such a value is found
// by the same question as on SQLite; the signed index bytes hold it unchanged.
func text(s string) string {
	clean := strings.ReplaceAll(s, "\x00", "\uFFFD")
	if clean == s && len(s) <= maxText {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	begin := strings.ToValidUTF8(clean[:min(len(clean), maxText)], "")
	return begin + " sha256:" + hex.EncodeToString(sum[:])
}

// scrub has the server give up deleted rows now and not when it finds time.
func scrub(ctx context.Context, db *sql.DB) (remains string, err error) {
	_, err = db.ExecContext(ctx, `VACUUM entry, term, sealed`)
	return "PostgreSQL's own write-ahead log and its archive, until they are recycled", err
}

// version is the newest migration in goose's own table; 0 where there is none.
func version(ctx context.Context, db *sql.DB) (v int64, err error) {
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL AND to_regclass('meta') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	return v, db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
}
