// SPDX-License-Identifier: Apache-2.0

// Package postgres is the audit log in a PostgreSQL database, for several
// replicas of a service that share one log (audit/sqllog does the rest).
//
// It trusts the server to keep what it says was committed: a connection insists
// on synchronous_commit, and a server that runs without fsync is refused. It
// trusts whoever the server's certificate names; over a network nothing less
// than verify-full is taken. It does not trust what is stored: Verify recomputes
// everything from the rows.
//
// One replica writes at a time: each transaction of the writer begins with an
// advisory lock of this database and schema, which ends with the transaction and
// so with its replica. Should the lock ever fail, the primary keys of rows and
// nodes keep two replicas from writing the same leaf. The account that serves
// needs SELECT and INSERT, and DELETE on used_token alone.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// Options and Log are those of sqllog.
type (
	Options = sqllog.Options
	Log     = sqllog.Log
)

const (
	// readers bounds the connections of one replica beside the writer's.
	readers = 8
	// idle is how long a connection is kept unused.
	idle = 5 * time.Minute
)

// ErrDurability: the server may lose what it says was committed, or cannot keep
// every text.
var ErrDurability = errors.New("PostgreSQL server is not set up to keep an audit log")

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is in the binary
	}
	return files
}

// Create makes the tables of a new, empty log in the connection's schema, and a
// signed checkpoint of size 0. opts.Key is required and names the log.
// Errors: audit.ErrExists, audit.ErrKey, ErrURL.
func Create(ctx context.Context, url string, opts Options) error {
	_, db, err := connect(ctx, url, opts)
	if err != nil {
		return fmt.Errorf("create audit log: %w", err)
	}
	return errors.Join(sqllog.Create(ctx, db, dialect, opts.Key), db.Close())
}

// Open opens a log that exists; see sqllog.Open.
// Errors: audit.ErrMissing, audit.ErrKey, audit.ErrCheckpoint,
// audit.ErrRolledBack, sqllog.ErrSchema, ErrURL, ErrDurability.
func Open(ctx context.Context, url string, opts Options) (*Log, error) {
	s, err := open(ctx, url, opts)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return sqllog.Open(ctx, s, opts)
}

// Verify verifies a log that Open may refuse, such as one whose end was cut off.
// kept, a signed checkpoint kept elsewhere, may be nil. Nothing is written.
func Verify(ctx context.Context, url string, opts Options, kept []byte) (audit.Report, error) {
	opts.Key = nil
	s, err := open(ctx, url, opts)
	if err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	return sqllog.VerifyStore(ctx, s, opts, kept)
}

// Rotate replaces the key that signs checkpoints; see sqllog.Rotate.
func Rotate(ctx context.Context, url string, opts Options, fresh *audit.Key, why audit.Why) error {
	s, err := open(ctx, url, opts)
	if err != nil {
		return fmt.Errorf("replace the key: %w", err)
	}
	return sqllog.Rotate(ctx, s, opts, fresh, why)
}

// Migrate brings the tables of a log to this build's version; see sqllog.Migrate.
// Two replicas may try at once.
func Migrate(ctx context.Context, url string) (from, to int64, err error) {
	_, db, err := connect(ctx, url, Options{})
	if err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	defer db.Close()
	return sqllog.Migrate(ctx, db, dialect)
}

func open(ctx context.Context, url string, opts Options) (sqllog.Store, error) {
	name, read, err := connect(ctx, url, opts)
	if err != nil {
		return sqllog.Store{}, err
	}
	s := sqllog.Store{Name: name, Dialect: dialect, Read: read, Tokens: read}
	if opts.Key == nil {
		return s, nil
	}
	if _, s.Write, err = connect(ctx, url, opts); err != nil {
		return sqllog.Store{}, errors.Join(err, read.Close())
	}
	s.Write.SetMaxOpenConns(1)
	return s, nil
}

// connect opens a pool and looks at the server's settings. Its name holds no
// secret.
func connect(ctx context.Context, url string, opts Options) (name string, db *sql.DB, err error) {
	cfg, err := parseURL(url)
	if err != nil {
		return "", nil, err
	}
	cfg.RuntimeParams["application_name"] = "sepsisagent-audit"
	cfg.RuntimeParams["synchronous_commit"] = "on"
	// A plan that was made while the log was empty is kept while it grows: it must not
	// be to read a whole table.
	cfg.RuntimeParams["enable_seqscan"] = "off"
	// Our questions are small: to start a worker, or to compile, costs more than all
	// of one.
	cfg.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	cfg.RuntimeParams["jit"] = "off"
	cfg.RuntimeParams["lock_timeout"] = milliseconds(opts.Wait())
	// A replica that hangs must not keep the others from writing.
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = milliseconds(sqllog.DefaultBusy)
	name = fmt.Sprintf("postgres://%s/%s", cfg.Host, cfg.Database)
	db = stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	db.SetConnMaxIdleTime(idle)
	if err := durable(ctx, db); err != nil {
		return "", nil, errors.Join(fmt.Errorf("%s: %w", name, err), db.Close())
	}
	return name, db, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// durable refuses a server that may lose what it committed.
func durable(ctx context.Context, db *sql.DB) error {
	settings := []struct{ name, want, got string }{
		{"fsync", "on", ""}, {"full_page_writes", "on", ""}, {"synchronous_commit", "on", ""}, {"server_encoding", "UTF8", ""},
	}
	var query []string
	var into []any
	for i := range settings {
		query = append(query, fmt.Sprintf("current_setting('%s')", settings[i].name))
		into = append(into, &settings[i].got)
	}
	if err := db.QueryRowContext(ctx, `SELECT `+strings.Join(query, ", ")).Scan(into...); err != nil {
		return unreachable(err)
	}
	for _, s := range settings {
		if s.got != s.want {
			return fmt.Errorf("%w: %s is %s (hint: it must be %s)", ErrDurability, s.name, s.got, s.want)
		}
	}
	return nil
}

// unreachable says what a connection failed with. pgx names the host and the
// account, and never the password.
func unreachable(err error) error {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return fmt.Errorf("%w (hint: is the server up, and do audit.postgres_url and its certificate name it rightly?)", err)
	}
	return err
}
