// SPDX-License-Identifier: Apache-2.0

// Package audittest is the suite that every store of the audit log must pass. A
// store's tests say how a log is made, opened and broken into there; what a log
// must do is said here, once.
//
// It trusts the store under test with nothing: every test ends by verifying the
// whole tree, unless it says that it broke it.
package audittest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// Place is where one log may be: an empty place at first. Its methods are those
// of a store's package.
type Place interface {
	Create(ctx context.Context, opts sqllog.Options) error
	Open(ctx context.Context, opts sqllog.Options) (*sqllog.Log, error)
	Verify(ctx context.Context, opts sqllog.Options, kept []byte) (audit.Report, error)
	Rotate(ctx context.Context, opts sqllog.Options, fresh *audit.Key, why audit.Why) error
	// DB connects as somebody who has the database and no key.
	DB() (*sql.DB, error)
	// Bind words a statement, in which arguments are question marks.
	Bind(stmt string) string
	// DropGuards takes away what guards against a slip of the hand.
	DropGuards(ctx context.Context, db *sql.DB) error
	// Copy puts a copy of the log, as a backup would hold it, into another place.
	Copy(t *testing.T) Place
	// Spec lets another process open the log: Opener is given it.
	Spec() string
}

// Opener opens a log by its Spec.
type Opener func(ctx context.Context, spec string, opts sqllog.Options) (*sqllog.Log, error)

// Run runs the whole suite. place gives an empty place that ends with the test.
func Run(t *testing.T, place func(testing.TB) Place) {
	for name, test := range map[string]func(*testing.T, func(testing.TB) Place){
		"a log that does not exist is not opened":            missing,
		"creating never overwrites":                          createTwice,
		"another key is refused":                             otherKey,
		"what is appended is given back":                     giveBack,
		"appending refuses":                                  refusals,
		"appending after close is refused":                   closed,
		"a log opened for reading is not appended to":        readOnly,
		"concurrent appends all arrive once":                 concurrent,
		"several replicas append to one log":                 replicas,
		"a query selects and pages":                          queries,
		"whatever is asked is found, once and in order":      finding,
		"what is counted by is packed, checked and erased":   packing,
		"hostile texts are kept, found and verified":         hostile,
		"proofs hold for another library":                    proofs,
		"a log rolled back is refused":                       rolledBack,
		"any history verifies and is read back":              histories,
		"the tables guard against a slip of the hand":        guards,
		"verify names the first bad record":                  tampering,
		"a rewritten tree still shows":                       rewritten,
		"a tree that was changed is not continued":           notContinued,
		"a record that was changed is not handed out":        changedRecord,
		"a log shorter than its checkpoint is not opened":    shorter,
		"kill -9 loses nothing that was answered":            kill,
		"what is erased is gone, and the log verifies":       erasure,
		"erasure takes what is selected and nothing else":    erasing,
		"a backup of a log in use verifies and is restored":  backups,
		"a legal hold beats erasure":                         holding,
		"an erasure without a record of it shows":            falseErasure,
		"a log goes on after erasures":                       afterErasure,
		"bodies are stored encrypted and given back":         encrypted,
		"encrypted bodies are verified without their key":    withoutBodyKey,
		"encrypted bodies that were changed show":            encryptedTampering,
		"the key of bodies can be changed":                   rekeyed,
		"a key is replaced, and each verifies all":           rotated,
		"what a replaced key signs is not believed":          replacedKey,
		"a witness signs checkpoints":                        cosigning,
		"a witness tells a log that was rolled back":         forgetfulLog,
		"a witness that has seen more is caught up with":     catchUp,
		"a bad witness is refused":                           badWitness,
		"a changed cosignature shows":                        cosignatureTampering,
		"a token is used once, whichever replica it came to": tokenOnce,
		"tokens that expired are forgotten, and no others":   tokenExpiry,
		"tokens are refused where nobody can remember them":  tokenErrors,
	} {
		t.Run(name, func(t *testing.T) { test(t, place) })
	}
}

// house is a log with verbs.
type house struct {
	*sqllog.Log
	Place
	t   testing.TB
	key *audit.Key
}

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	key, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHouse(t testing.TB, place func(testing.TB) Place) *house {
	t.Helper()
	h := &house{Place: place(t), t: t, key: newKey(t)}
	if err := h.Create(t.Context(), sqllog.Options{Key: h.key}); err != nil {
		t.Fatal(err)
	}
	h.Log = h.another(sqllog.Options{Key: h.key})
	return h
}

// another opens the log once more, as another process would. It is closed with
// the test; a log that was broken may rightly complain then.
func (h *house) another(opts sqllog.Options) *sqllog.Log {
	h.t.Helper()
	l, err := h.Place.Open(h.t.Context(), opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			h.t.Logf("close: %v", err)
		}
	})
	return l
}

func (h *house) reopen() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.Log = h.another(sqllog.Options{Key: h.key})
}

// Entry makes the i-th entry of a small hospital.
func Entry(i int) audit.Entry {
	salt := sha256.Sum256(fmt.Appendf(nil, "salt %d", i))
	return audit.Entry{
		Index: audit.Index{
			ID: fmt.Sprintf("0192-%06d", i), Time: time.Date(2026, 11, 22, 8, 0, i, 0, time.UTC), Kind: "decision",
			User: fmt.Sprintf("Practitioner/%d", i%3), Patient: fmt.Sprintf("Patient/%d", i%5), Status: []string{"suggest", "abstain"}[i%2],
			HTTP: 200, Shown: i%2 == 0, Drugs: []string{"norepinephrine"}, Rules: []string{"V1", fmt.Sprintf("V%d", i%4)}, Model: "m1",
		},
		Salt: salt[:],
		Body: fmt.Appendf(nil, "body of entry %d", i),
	}
}

func (h *house) add(n int) {
	h.t.Helper()
	size, err := h.Size(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for i := int(size); i < int(size)+n; i++ {
		got, err := h.Append(h.t.Context(), Entry(i))
		if err != nil {
			h.t.Fatal(err)
		}
		if got.Leaf != int64(i) || got.Size != int64(i+1) {
			h.t.Fatalf("entry %d went to leaf %d of %d", i, got.Leaf, got.Size)
		}
	}
}

// addTogether adds the entries 0 to n-1 in no order.
func (h *house) addTogether(n int) {
	h.t.Helper()
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := c; i < n; i += 64 {
				if _, err := h.Append(h.t.Context(), Entry(i)); err != nil {
					h.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// report verifies with the public key alone.
func (h *house) report(kept []byte) audit.Report {
	h.t.Helper()
	r, err := h.Place.Verify(h.t.Context(), sqllog.Options{Verifier: h.key.Verifier()}, kept)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) wantOK(size int64) {
	h.t.Helper()
	if r := h.report(nil); !r.OK || r.Size != size || r.FirstBad != nil {
		h.t.Fatalf("report %+v, want ok of size %d", r, size)
	}
}

// wantBad verifies and demands a finding whose first leaf is first (-1: none).
func (h *house) wantBad(first int64) {
	h.t.Helper()
	r := h.report(nil)
	switch {
	case r.OK:
		h.t.Fatalf("the log verifies: %+v", r)
	case first < 0 && r.FirstBad != nil:
		h.t.Fatalf("first bad %d, want none: %+v", *r.FirstBad, r.Findings)
	case first >= 0 && r.FirstBad == nil:
		h.t.Fatalf("first bad none, want %d: %+v", first, r.Findings)
	case first >= 0 && *r.FirstBad != first:
		h.t.Fatalf("first bad %d, want %d: %+v", *r.FirstBad, first, r.Findings)
	}
	for _, f := range r.Findings {
		if f.Problem == "" {
			h.t.Error("a finding without words")
		}
	}
}

// statement is one change of what is stored, with its arguments.
type statement struct {
	text string
	args []any
}

func do(text string, args ...any) statement { return statement{text, args} }

// tamper changes what is stored behind the log's back, guards removed, and gives
// the connection for more of it.
func (h *house) tamper(stmts ...statement) *sql.DB {
	h.t.Helper()
	db := h.db()
	if err := h.DropGuards(h.t.Context(), db); err != nil {
		h.t.Fatal(err)
	}
	for _, s := range stmts {
		if _, err := db.Exec(h.Bind(s.text), s.args...); err != nil {
			h.t.Fatalf("%s: %v", s.text, err)
		}
	}
	return db
}

func (h *house) db() *sql.DB {
	h.t.Helper()
	db, err := h.DB()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return db
}
