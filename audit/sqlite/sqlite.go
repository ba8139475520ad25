// SPDX-License-Identifier: Apache-2.0

// Package sqlite is the audit log in one SQLite file (audit/sqllog does the rest).
//
// It trusts the file system to keep what was synced, and the key. It does not
// trust the file's content: Verify recomputes everything from the rows.
//
// Several processes may open one file on one machine (a server and `sepsisagent
// audit query`): SQLite lets one writer in at a time. Replicas on several
// machines need audit/postgres.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	driver "modernc.org/sqlite" // registers the "sqlite" driver
	lib "modernc.org/sqlite/lib"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// Options and Log are those of sqllog.
type (
	Options = sqllog.Options
	Log     = sqllog.Log
)

const (
	readers = 4
	// turn is how long one attempt to write waits for another process: between two
	// of them, those who cannot wait longer are told (sqllog.ErrBusy).
	turn = 100 * time.Millisecond
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// dialect is SQLite's. Its transactions begin by taking the write lock (_txlock),
// so that writers need no other.
var dialect = sqllog.Dialect{
	Bind:       func(query string) string { return query },
	Held:       held,
	Insert:     insert,
	Text:       func(s string) string { return s },
	Version:    version,
	Baseline:   baseline,
	Goose:      goose.DialectSQLite3,
	Migrations: migrations(),
	Scrub:      scrub,
}

func migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is in the binary
	}
	return files
}

// Create makes a new, empty log with a signed checkpoint of size 0. opts.Key
// is required and names the log. Errors: audit.ErrExists, audit.ErrKey.
func Create(ctx context.Context, path string, opts Options) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, audit.ErrExists)
	}
	if err != nil {
		return fmt.Errorf("create audit log: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create audit log: %w", err)
	}
	db, err := connect(path, opts.Wait())
	if err == nil {
		err = errors.Join(sqllog.Create(ctx, db, dialect, opts.Key), db.Close())
	}
	if err != nil {
		// Best effort: a half-made log must not be mistaken for a log.
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Open opens a log that exists; see sqllog.Open.
// Errors: audit.ErrMissing, audit.ErrKey, audit.ErrCheckpoint,
// audit.ErrRolledBack, sqllog.ErrSchema.
func Open(ctx context.Context, path string, opts Options) (*Log, error) {
	s, err := open(path, opts)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return sqllog.Open(ctx, s, opts)
}

// VerifyFile verifies a log that Open may refuse, such as one whose end was cut
// off. kept, a signed checkpoint kept elsewhere, may be nil. Nothing is written.
func VerifyFile(ctx context.Context, path string, opts Options, kept []byte) (audit.Report, error) {
	opts.Key = nil
	s, err := open(path, opts)
	if err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	return sqllog.VerifyStore(ctx, s, opts, kept)
}

// Rotate replaces the key that signs checkpoints; see sqllog.Rotate.
func Rotate(ctx context.Context, path string, opts Options, fresh *audit.Key, why audit.Why) error {
	s, err := open(path, opts)
	if err != nil {
		return fmt.Errorf("replace the key: %w", err)
	}
	return sqllog.Rotate(ctx, s, opts, fresh, why)
}

// Migrate brings the tables of a log to this build's version; see sqllog.Migrate.
func Migrate(ctx context.Context, path string) (from, to int64, err error) {
	if err := present(path); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	db, err := connect(path, sqllog.DefaultBusy)
	if err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	defer db.Close()
	return sqllog.Migrate(ctx, db, dialect)
}

// Backup copies a log, also one that is written to, into a new file as it is at
// one moment. A file that is there is never overwritten (audit.ErrExists).
func Backup(ctx context.Context, path, to string) (err error) {
	if err := present(path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("backup: %s: %w", to, audit.ErrExists)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(fmt.Errorf("backup: %w", err), os.Remove(to))
		}
	}()
	db, err := connect(path, sqllog.DefaultBusy)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return err
	}
	return f.Sync()
}

func open(path string, opts Options) (sqllog.Store, error) {
	if err := present(path); err != nil {
		return sqllog.Store{}, err
	}
	s := sqllog.Store{Name: path, Dialect: dialect}
	var err error
	if s.Read, err = connect(path, opts.Wait()); err != nil {
		return sqllog.Store{}, err
	}
	s.Read.SetMaxOpenConns(readers)
	if opts.Key == nil {
		return s, nil
	}
	if s.Write, err = connect(path, min(turn, opts.Wait())); err != nil {
		return sqllog.Store{}, errors.Join(err, s.Read.Close())
	}
	// Used tokens wait their turn for the one connection that writes: a second
	// would have to find the file unlocked by trying again.
	s.Write.SetMaxOpenConns(1)
	s.Tokens = s.Write
	return s, nil
}

// present says whether there is a file that could be a log.
func present(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return fmt.Errorf("%s: %w", path, audit.ErrMissing)
	}
	return err
}

// connect opens the file with the settings durability rests on: write-ahead
// log, and a sync at every commit.
func connect(path string, busy time.Duration) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	q.Set("mode", "rw")
	q.Set("_txlock", "immediate")
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "trusted_schema(OFF)")
	q.Add("_pragma", "foreign_keys(ON)")
	// What is erased is overwritten, and not only forgotten.
	q.Add("_pragma", "secure_delete(ON)")
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}
	return sql.Open("sqlite", u.String())
}

// insert adds rows by one prepared statement a table.
func insert(ctx context.Context, tx *sql.Tx, additions []sqllog.Addition) error {
	for _, a := range additions {
		if err := insertInto(ctx, tx, a); err != nil {
			return fmt.Errorf("%s: %w", a.Table, err)
		}
	}
	return nil
}

func insertInto(ctx context.Context, tx *sql.Tx, a sqllog.Addition) error {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(a.Names)), ", ")
	stmt, err := tx.PrepareContext(ctx, fmt.Sprintf(`INSERT INTO %s ("%s") VALUES (%s)`, a.Table, strings.Join(a.Names, `", "`), marks))
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, row := range a.Rows {
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

// held says that another process has the file's write lock.
func held(err error) bool {
	var fault *driver.Error
	return errors.As(err, &fault) && fault.Code()&0xff == lib.SQLITE_BUSY
}

// scrub empties the write-ahead log, which holds pages as they were. What was
// deleted in the file itself is overwritten when it is deleted (secure_delete).
func scrub(ctx context.Context, db *sql.DB) (remains string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	patience := func(d time.Duration) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA busy_timeout = %d`, d.Milliseconds()))
		return err
	}
	if err := patience(sqllog.DefaultBusy); err != nil { // for those who read
		return "", err
	}
	defer func() { err = errors.Join(err, patience(turn)) }()
	var busy, pages, moved int
	if err := conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return "", err
	}
	if busy != 0 {
		return "the write-ahead log, as somebody is reading (hint: erase again when the service is idle, or restart it)", nil
	}
	return "", nil
}

// version is the number that each migration leaves in the file's header, where
// builds older than migrations look for it too.
func version(ctx context.Context, db *sql.DB) (v int64, err error) {
	return v, db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&v)
}

// baseline tells goose which migrations a file that it has never seen has had:
// the first build made version 1 without it.
func baseline(ctx context.Context, db *sql.DB) error {
	const table = "goose_db_version"
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var there int
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?`, table).Scan(&there)
	if err != nil || there > 0 {
		return err
	}
	store, err := database.NewStore(goose.DialectSQLite3, table)
	if err != nil {
		return err
	}
	if err := store.CreateVersionTable(ctx, tx); err != nil {
		return err
	}
	for _, v := range []int64{0, 1} {
		if err := store.Insert(ctx, tx, database.InsertRequest{Version: v}); err != nil {
			return err
		}
	}
	return tx.Commit()
}
