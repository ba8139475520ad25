// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: backups of a log that is written to, and what is restored from them.

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// backups copies a log while it is appended to, and erases in it, and demands that
// the copy is the log as it was at one moment.
func backups(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(20)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for c := range 3 {
		wg.Go(func() {
			for i := 0; !stop.Load() && i < 300; i++ {
				if _, err := h.Append(t.Context(), Entry(10_000*(c+1)+i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if _, err := h.Erase(t.Context(), audit.Selection{Before: Entry(10).Index.Time}, why); err != nil {
		t.Error(err)
	}
	_, early, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backup := h.Copy(t)
	_, late, err := h.Head(t.Context())
	stop.Store(true)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.Verify(t.Context(), sqllog.Options{Verifier: h.key.Verifier()}, early)
	if err != nil || !r.OK || r.Erased != 10 {
		t.Fatalf("the backup against the checkpoint before it: %+v, %v", r, err)
	}
	restore(t, h, backup, r, late)
	h.wantOK(func() int64 { n, _ := h.Size(t.Context()); return n }())
}

// restore has a backup take the place of the log.
func restore(t *testing.T, h *house, backup Place, r audit.Report, late []byte) {
	t.Helper()
	newest, err := audit.OpenCheckpoint(late, h.key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(t.TempDir(), "seen")
	if newest.Size > r.Size { // what came after is lost: nobody serves on without being told
		if err := os.WriteFile(seen, late, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Open(t.Context(), sqllog.Options{Key: h.key, Seen: seen}); !errors.Is(err, audit.ErrRolledBack) {
			t.Errorf("restored over a later checkpoint: error %v", err)
		}
		if short, err := backup.Verify(t.Context(), sqllog.Options{Verifier: h.key.Verifier()}, late); err != nil || short.OK || short.FirstBad == nil || *short.FirstBad != r.Size {
			t.Errorf("verify names %+v, %v, want the first lost record %d", short, err, r.Size)
		}
		if err := os.Remove(seen); err != nil {
			t.Fatal(err)
		}
	}
	l, err := backup.Open(t.Context(), sqllog.Options{Key: h.key, Seen: seen})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(t.Context(), Entry(900_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Get(t.Context(), Entry(15).Index.ID); err != nil {
		t.Errorf("a record from before the backup: %v", err)
	}
	if _, err := l.Get(t.Context(), Entry(5).Index.ID); !errors.Is(err, audit.ErrErased) {
		t.Errorf("an erased record came back: %v", err)
	}
	if again, err := l.Verify(t.Context()); err != nil || !again.OK || again.Size != r.Size+1 {
		t.Errorf("restored and gone on: %+v, %v", again, err)
	}
}
