// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: what differs between databases, and the making of a log: tables by
// goose migrations, then the key's name and the empty tree's signed head.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/sepsisagent/sepsisagent/audit"
)

// ErrSchema: the tables are older or newer than this build's.
var ErrSchema = errors.New("audit log has other tables than this build")

// Dialect is what is particular to one database.
type Dialect struct {
	// Bind words a query, in which arguments are question marks, as the
	// database wants it.
	Bind func(query string) string
	// Lock is a statement that lets one writer's transaction in at a time and
	// holds until its end; empty where beginning a transaction does.
	Lock string
	// Held says of an error of beginning that another process writes, so that it is
	// worth trying again; nil where the database lets us wait until we can begin.
	Held func(error) bool
	// Insert adds rows to tables, in one message where the database takes one.
	Insert func(ctx context.Context, tx *sql.Tx, additions []Addition) error
	// Text is a searchable value as the database can keep and index it. It is
	// the identity, or says what the value was beyond doubt.
	Text func(string) string
	// RowRanges asks for the entries of one value as a range of the rows of its
	// index, (value, leaf) from here to there. A planner with statistics, told that
	// the value is equal and the order is by leaf, may think that the table in that
	// order has enough of them soon, and reads half of it. SQLite's does not, and
	// finds only one end of such a range.
	RowRanges bool
	// Version is the newest migration that was applied; 0: no log is here.
	Version func(ctx context.Context, db *sql.DB) (int64, error)
	// Baseline, if any, prepares a log older than migrations for them.
	Baseline func(ctx context.Context, db *sql.DB) error
	// Goose is the database's name there, Migrations are its files, and Locker
	// keeps two processes from migrating at once; nil: the file's own lock does.
	Goose      goose.Dialect
	Migrations fs.FS
	Locker     func() (lock.SessionLocker, error)
	// Scrub makes the database let go of bytes that were deleted, as far as it
	// can beside others who use it; remains says where some may still lie.
	Scrub func(ctx context.Context, db *sql.DB) (remains string, err error)
}

// Addition is at least one row to add to one table. Values of a column are all
// string, all int64 or all []byte.
type Addition struct {
	Table string
	Names []string
	Rows  [][]any
}

// provider gives the migrations, ready to be applied.
func (d Dialect) provider(db *sql.DB) (*goose.Provider, error) {
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.Locker != nil {
		locker, err := d.Locker()
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(d.Goose, db, d.Migrations, opts...)
}

// newest is the version that this build's migrations lead to.
func (d Dialect) newest() (int64, error) {
	files, err := fs.Glob(d.Migrations, "*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no migrations: %w", errors.Join(err, fs.ErrNotExist))
	}
	return goose.NumericComponent(files[len(files)-1])
}

// checkVersion refuses tables that this build does not know, and for appending
// also those of an older build. Reading and verifying need no migration.
func checkVersion(ctx context.Context, s Store, append bool) (version int64, err error) {
	version, err = s.Dialect.Version(ctx, s.Read)
	if err != nil {
		return 0, fmt.Errorf("not an audit log: %w", err)
	}
	newest, err := s.Dialect.newest()
	switch {
	case err != nil:
		return 0, err
	case version == 0:
		return 0, audit.ErrMissing
	case version > newest:
		return 0, fmt.Errorf("%w: version %d, this build knows %d (hint: use the newer build)", ErrSchema, version, newest)
	case append && version < newest:
		return 0, fmt.Errorf("%w: version %d, this build writes %d (hint: back up, then run `sepsisagent audit migrate`)", ErrSchema, version, newest)
	}
	return version, nil
}

// Create makes a new, empty log in a database: its tables and a signed
// checkpoint of size 0. The key names the log. Errors: audit.ErrExists,
// audit.ErrKey.
func Create(ctx context.Context, db *sql.DB, d Dialect, key *audit.Key) error {
	switch {
	case key == nil:
		return fmt.Errorf("create audit log: %w: none given", audit.ErrKey)
	case len(key.Name()) > originOverSize:
		return fmt.Errorf("create audit log: %w: origin of over %d bytes", audit.ErrKey, originOverSize)
	}
	if err := create(ctx, db, d, key); err != nil {
		return fmt.Errorf("create audit log: %w", err)
	}
	return nil
}

func create(ctx context.Context, db *sql.DB, d Dialect, key *audit.Key) error {
	if err := up(ctx, db, d); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if d.Lock != "" {
		if _, err := tx.ExecContext(ctx, d.Lock); err != nil {
			return err
		}
	}
	var there int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM meta`).Scan(&there); err != nil {
		return err
	}
	if there > 0 {
		return audit.ErrExists
	}
	head, err := treeHead(key.Name(), 0, &nodeReader{ctx: ctx, q: tx, bind: d.Bind})
	if err != nil {
		return err
	}
	signed, err := head.Sign(key)
	if err != nil {
		return err
	}
	err = d.Insert(ctx, tx, []Addition{
		{"meta", []string{"key", "value"}, [][]any{{"origin", key.Name()}, {"verifier", key.Verifier().String()}}},
		{"checkpoint", checkpointNames, [][]any{{int64(0), signed}}},
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}

// Migrate brings the tables of a log to this build's version. What the tree
// commits to is never touched. Errors: audit.ErrMissing, ErrSchema.
func Migrate(ctx context.Context, db *sql.DB, d Dialect) (from, to int64, err error) {
	if from, err = d.Version(ctx, db); err != nil {
		return 0, 0, fmt.Errorf("migrate: not an audit log: %w", err)
	}
	newest, err := d.newest()
	switch {
	case err != nil:
		return 0, 0, err
	case from == 0:
		return 0, 0, fmt.Errorf("migrate: %w", audit.ErrMissing)
	case from > newest:
		return 0, 0, fmt.Errorf("migrate: %w: version %d, this build knows %d", ErrSchema, from, newest)
	}
	if d.Baseline != nil {
		if err := d.Baseline(ctx, db); err != nil {
			return 0, 0, fmt.Errorf("migrate: %w", err)
		}
	}
	if err := up(ctx, db, d); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	if err := packAll(ctx, db, d); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	return from, newest, nil
}

func up(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := d.provider(db)
	if err != nil {
		return err
	}
	// The provider is not closed: that would close the database too.
	_, err = p.Up(ctx)
	return err
}
