// SPDX-License-Identifier: Apache-2.0

// Package sqlite is the audit log in one SQLite file: rows, Merkle nodes and
// signed checkpoints, written in one transaction and durable before Append
// returns.
//
// It trusts the file system to keep what was synced, and the key. It does not
// trust the file's content: Verify recomputes everything from the rows.
//
// Several processes may open one file (a server and `sepsisagent audit
// query`): the size of the tree is read inside each write transaction, never
// remembered across them.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"

	_ "modernc.org/sqlite" // registers the "sqlite" driver
)

// Defaults of Options.
const (
	DefaultBatch   = 64
	DefaultBusy    = 10 * time.Second
	readers        = 4
	queueLength    = 256
	seenEvery      = time.Second
	schemaVersion  = 1
	originOverSize = 200
)

// Options say how a log is opened.
type Options struct {
	// Key signs checkpoints. It must be the key the log was created with.
	// Nil opens the log for reading and verifying only.
	Key *audit.Key
	// Verifier checks checkpoints when there is no Key. With both nil the
	// public key stored in the file is used, which finds accidents but not
	// somebody who replaced the key as well.
	Verifier *audit.Verifier
	// Seen is a file that remembers the newest checkpoint, so that a log
	// restored from an older backup is refused (audit.ErrRolledBack). Empty:
	// nothing is remembered. Keep it on another disk than the log. It is
	// trusted: deleting it forgets what was seen.
	Seen string
	// Batch is the most entries that share one transaction; 0: DefaultBatch.
	Batch int
	// Busy is how long to wait for another process's write; 0: DefaultBusy.
	Busy time.Duration
}

// Log is an open audit log. All methods may be called concurrently.
type Log struct {
	path     string
	opts     Options
	verifier *audit.Verifier
	write    *sql.DB // one connection, owned by the writer goroutine
	read     *sql.DB

	queue  chan request
	done   chan struct{} // closed when the writer goroutine has ended
	mu     sync.RWMutex  // guards closed against sends on queue
	closed bool

	// Owned by the writer goroutine until done is closed.
	lastSeen time.Time
	seenErr  error
}

// Create makes a new, empty log with a signed checkpoint of size 0. opts.Key
// is required and names the log. Errors: audit.ErrExists, audit.ErrKey.
func Create(ctx context.Context, path string, opts Options) error {
	if opts.Key == nil {
		return fmt.Errorf("create audit log: %w: none given", audit.ErrKey)
	}
	if len(opts.Key.Name()) > originOverSize {
		return fmt.Errorf("create audit log: %w: origin of over %d bytes", audit.ErrKey, originOverSize)
	}
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
	if err := initialise(ctx, path, opts); err != nil {
		// Best effort: a half-made log must not be mistaken for a log.
		return errors.Join(fmt.Errorf("create audit log: %w", err), os.Remove(path))
	}
	return nil
}

func initialise(ctx context.Context, path string, opts Options) error {
	db, err := connect(path, "rw", opts.busy())
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, stmt := range schema() {
		if _, err := tx.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
	}
	for k, v := range map[string]string{"origin": opts.Key.Name(), "verifier": opts.Key.Verifier().String()} {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)`, k, v); err != nil {
			return err
		}
	}
	head, err := treeHead(ctx, tx, opts.Key.Name(), 0)
	if err != nil {
		return err
	}
	if _, err := saveCheckpoint(ctx, tx, head, opts.Key); err != nil {
		return err
	}
	return tx.Commit()
}

// Open opens a log that exists and checks its newest checkpoint, the size it
// speaks of and, where Seen is set, that it continues what was seen before.
// It does not read every row; Verify does.
// Errors: audit.ErrMissing, audit.ErrKey, audit.ErrCheckpoint, audit.ErrRolledBack.
func Open(ctx context.Context, path string, opts Options) (*Log, error) {
	if err := present(path); err != nil {
		return nil, err
	}
	if opts.Batch <= 0 {
		opts.Batch = DefaultBatch
	}
	l := &Log{path: path, opts: opts, queue: make(chan request, queueLength), done: make(chan struct{})}
	const mode = "rw"
	var err error
	if l.read, err = connect(path, mode, opts.busy()); err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", path, err)
	}
	l.read.SetMaxOpenConns(readers)
	if err := l.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", path, err), l.read.Close())
	}
	if opts.Key == nil {
		close(l.done)
		return l, nil
	}
	if l.write, err = connect(path, mode, opts.busy()); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", path, err), l.read.Close())
	}
	l.write.SetMaxOpenConns(1)
	if _, signed, err := l.head(ctx, l.read); err != nil {
		return nil, errors.Join(err, l.write.Close(), l.read.Close())
	} else if err := l.remember(signed); err != nil {
		return nil, errors.Join(err, l.write.Close(), l.read.Close())
	}
	go l.writer()
	return l, nil
}

// present says whether there is a file that could be a log.
func present(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return fmt.Errorf("%s: %w", path, audit.ErrMissing)
	}
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	return nil
}

// chooseVerifier decides which public key checks the log and gives the one
// that is stored in it.
func (l *Log) chooseVerifier(ctx context.Context) (stored string, err error) {
	var version int
	if err := l.read.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return "", fmt.Errorf("not an audit log: %w", err)
	}
	if version != schemaVersion {
		return "", fmt.Errorf("schema version %d, this build reads %d", version, schemaVersion)
	}
	if stored, err = meta(ctx, l.read, "verifier"); err != nil {
		return "", err
	}
	switch {
	case l.opts.Key != nil:
		l.verifier = l.opts.Key.Verifier()
	case l.opts.Verifier != nil:
		l.verifier = l.opts.Verifier
	default:
		if l.verifier, err = audit.ParseVerifier(stored); err != nil {
			return "", err
		}
	}
	return stored, nil
}

// check is what Open proves before the log is used.
func (l *Log) check(ctx context.Context) error {
	stored, err := l.chooseVerifier(ctx)
	if err != nil {
		return err
	}
	if l.verifier.String() != stored {
		return fmt.Errorf("%w: the log was made with another key (%s)", audit.ErrKey, keyID(stored))
	}
	head, _, err := l.head(ctx, l.read)
	if err != nil {
		return err
	}
	var rows int64
	if err := l.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(leaf)+1, 0) FROM entry`).Scan(&rows); err != nil {
		return err
	}
	if rows != head.Size {
		return fmt.Errorf("%w: %d entries stored, checkpoint speaks of %d", audit.ErrRolledBack, rows, head.Size)
	}
	return l.checkSeen(ctx, head)
}

// Close waits for entries that Append accepted, then releases the file.
func (l *Log) Close() error {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	if !already {
		close(l.queue)
	}
	l.mu.Unlock()
	if already {
		return nil
	}
	<-l.done
	var err error
	if l.write != nil {
		_, signed, herr := l.head(context.Background(), l.read)
		err = errors.Join(l.seenErr, herr, l.remember(signed), l.write.Close())
	}
	return errors.Join(err, l.read.Close())
}

// Verifier is the public key that checks this log.
func (l *Log) Verifier() *audit.Verifier { return l.verifier }

// Path is the file of the log.
func (l *Log) Path() string { return l.path }

func (o Options) busy() time.Duration {
	if o.Busy <= 0 {
		return DefaultBusy
	}
	return o.Busy
}

// connect opens the file with the settings durability rests on: write-ahead
// log, and a sync at every commit.
func connect(path, mode string, busy time.Duration) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	q.Set("mode", mode)
	q.Set("_txlock", "immediate")
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "trusted_schema(OFF)")
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}
	return sql.Open("sqlite", u.String())
}

func meta(ctx context.Context, q querier, key string) (string, error) {
	var v string
	if err := q.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&v); err != nil {
		return "", fmt.Errorf("not an audit log: %w", err)
	}
	return v, nil
}

// keyID is the part of a public key that names it.
func keyID(vkey string) string {
	if len(vkey) > 40 {
		return vkey[:40] + "…"
	}
	return vkey
}

// querier is what reading needs of a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
