// SPDX-License-Identifier: Apache-2.0

// Package sqllog is the audit log in an SQL database: rows, Merkle nodes and
// signed checkpoints, written in one transaction and durable before Append
// returns. What is particular to one database is its Dialect; audit/sqlite and
// audit/postgres bring theirs and open connections. Everything else, appending,
// proving, querying and verifying, is here once, and is tested by one suite on
// both (audit/audittest).
//
// It trusts the database to keep what it said was committed, and the key. It
// does not trust what the database says is in it: Verify recomputes everything
// from the rows.
//
// Several processes may append to one log (replicas of a service, `sepsisagent
// audit query`): writers queue up at the start of their transaction, and the
// size of the tree is read inside it, never remembered across two.
package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Defaults of Options, and bounds that no site needs to change.
const (
	DefaultBatch   = 256
	queueLength    = 256
	seenEvery      = time.Second
	originOverSize = 200
	// batchBytes ends a batch early: one message to a database has its bounds.
	batchBytes = 32 << 20
	// commitTime bounds one transaction of the writer: a database that does not
	// answer must not hold callers for ever.
	commitTime = 30 * time.Second
)

// ErrBusy: others were writing to the log for longer than the caller could wait.
// What was to be written was not.
var ErrBusy = errors.New("others write to the audit log")

// Options say how a log is opened.
type Options struct {
	// Key signs checkpoints. It must be the key the log was created with.
	// Nil opens the log for reading and verifying only.
	Key *audit.Key
	// Verifier checks checkpoints when there is no Key. With both nil the
	// public key stored in the log is used, which finds accidents but not
	// somebody who replaced the key as well.
	Verifier *audit.Verifier
	// Seen is a file that remembers the newest checkpoint, so that a log
	// restored from an older backup is refused (audit.ErrRolledBack). Empty:
	// nothing is remembered. Keep it on another disk than the log. It is
	// trusted: deleting it forgets what was seen. Each replica has its own.
	Seen string
	// Batch is the most entries that share one transaction; 0: DefaultBatch.
	Batch int
	// Busy is how long to wait at most for others who write; 0: ten seconds. The
	// deadline of a call's context may be sooner.
	Busy time.Duration
	// Bodies encrypt the bodies of new entries and open those that are stored
	// encrypted. Nil: new bodies are stored plain; a log that has encrypted ones
	// is not opened for appending, lest it go on unencrypted unseen.
	Bodies *audit.BodyKeys
	// Witnesses are the public keys whose cosignatures Verify checks and counts.
	Witnesses []*audit.WitnessKey
	// Now is the clock by which used tokens expire; nil: time.Now.
	Now func() time.Time
}

// DefaultBusy is used for Options.Busy of 0.
const DefaultBusy = 10 * time.Second

// Wait is Busy with its default.
func (o Options) Wait() time.Duration {
	if o.Busy <= 0 {
		return DefaultBusy
	}
	return o.Busy
}

// Store is an open database that holds, or will hold, a log.
type Store struct {
	// Name says where it is, for messages. It holds no secret.
	Name    string
	Dialect Dialect
	// Read is a pool of connections for reading.
	Read *sql.DB
	// Write is the writer's single connection; nil in a log opened for reading.
	Write *sql.DB
	// Tokens is where FirstUse writes. It may be one of the others.
	Tokens *sql.DB
}

func (s Store) close() error {
	if s.Write == nil {
		return s.Read.Close()
	}
	return errors.Join(s.Write.Close(), s.Read.Close())
}

// Log is an open audit log. All methods may be called concurrently.
type Log struct {
	store    Store
	opts     Options
	anchor   *audit.Verifier // the key that is trusted
	verifier *audit.Verifier // the keys that it leads to
	version  int64           // of the tables

	queue  chan request
	done   chan struct{} // closed when the writer goroutine has ended
	mu     sync.RWMutex  // guards closed against sends on queue
	closed bool

	// Owned by the writer goroutine until done is closed.
	lastSeen time.Time
	seenErr  error

	tokens sweeper
}

func newLog(s Store, opts Options) *Log {
	if opts.Batch <= 0 {
		opts.Batch = DefaultBatch
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Log{store: s, opts: opts, queue: make(chan request, queueLength), done: make(chan struct{})}
}

// Open takes over a store whose tables exist and checks the newest checkpoint,
// the size it speaks of and, where Seen is set, that the log continues what was
// seen before. It does not read every row; Verify does. A store that is not
// opened is closed. With Options.Key, Write and Tokens must be there.
// Errors: audit.ErrMissing, audit.ErrKey, audit.ErrCheckpoint,
// audit.ErrRolledBack, ErrSchema.
func Open(ctx context.Context, s Store, opts Options) (*Log, error) {
	l := newLog(s, opts)
	if err := l.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", s.Name, err), s.close())
	}
	if opts.Key == nil {
		close(l.done)
		return l, nil
	}
	_, signed, err := l.head(ctx, s.Read)
	if err == nil {
		err = l.remember(signed)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	go l.writer()
	return l, nil
}

// chooseVerifier decides which public key checks the log, and follows it to those
// that replaced it. Where it leads to none of the log's keys, it is what checks the
// log nevertheless, and the error says so (audit.ErrKey).
func (l *Log) chooseVerifier(ctx context.Context) error {
	switch {
	case l.opts.Key != nil:
		l.anchor = l.opts.Key.Verifier()
	case l.opts.Verifier != nil:
		l.anchor = l.opts.Verifier
	default:
		first, err := l.meta(ctx, l.store.Read, "verifier")
		if err != nil {
			return err
		}
		if l.anchor, err = audit.ParseVerifier(first); err != nil {
			return err
		}
	}
	followed, err := l.follow(ctx, l.store.Read, l.anchor)
	if err != nil {
		l.verifier = l.anchor
		return err
	}
	l.verifier = followed
	return nil
}

// check is what Open proves before the log is used.
func (l *Log) check(ctx context.Context) error {
	var err error
	if l.version, err = checkVersion(ctx, l.store, l.opts.Key != nil); err != nil {
		return err
	}
	if err := l.checkSealed(ctx); err != nil {
		return err
	}
	if err := l.chooseVerifier(ctx); err != nil {
		return err
	}
	if l.opts.Key != nil && l.verifier.String() != l.anchor.String() {
		return fmt.Errorf("%w: it was replaced by another (%s)", audit.ErrKey, keyID(l.verifier.String()))
	}
	tx, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	head, _, err := l.head(ctx, tx)
	if err != nil {
		return err
	}
	var rows int64
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(leaf)+1, 0) FROM entry`).Scan(&rows); err != nil {
		return err
	}
	if rows != head.Size {
		return fmt.Errorf("%w: %d entries stored, checkpoint speaks of %d", audit.ErrRolledBack, rows, head.Size)
	}
	return l.checkSeen(ctx, head)
}

// checkSealed keeps a log that is encrypted from going on unencrypted.
func (l *Log) checkSealed(ctx context.Context) error {
	if l.opts.Key == nil || l.opts.Bodies != nil {
		return nil
	}
	var n int
	err := l.store.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT leaf FROM sealed LIMIT 1) AS one`).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	return fmt.Errorf("%w: %w: the log has encrypted bodies", audit.ErrKey, audit.ErrSealed)
}

// snapshot begins a transaction that sees one state of the log, whatever is
// written meanwhile.
func (l *Log) snapshot(ctx context.Context) (*sql.Tx, error) {
	return l.store.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
}

// Close waits for entries that Append accepted, then releases the database.
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
	if l.opts.Key != nil {
		ctx, cancel := context.WithTimeout(context.Background(), commitTime)
		defer cancel()
		_, signed, herr := l.head(ctx, l.store.Read)
		err = errors.Join(l.seenErr, herr, l.remember(signed))
	}
	return errors.Join(err, l.store.close())
}

// Verifier is the public key that checks this log.
func (l *Log) Verifier() *audit.Verifier { return l.verifier }

// Name says where the log is. It holds no secret.
func (l *Log) Name() string { return l.store.Name }

func (l *Log) meta(ctx context.Context, q querier, key string) (string, error) {
	var v string
	if err := q.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT value FROM meta WHERE key = ?`), key).Scan(&v); err != nil {
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
