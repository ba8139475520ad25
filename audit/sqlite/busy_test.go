// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: a log in which another process writes for longer than a caller can
// wait.

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func TestWhoCannotWaitIsToldAndNothingIsWrittenForHim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	key, _, err := audit.NewKey(nil, "busy")
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), path, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), path, Options{Key: key, Busy: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := connect(path, sqllog.DefaultBusy)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil) // takes the write lock at once
	if err != nil {
		t.Fatal(err)
	}

	patient := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), audittest.Entry(0))
		patient <- err
	}()
	hurried, stop := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer stop()
	if _, err := l.Append(hurried, audittest.Entry(1)); !errors.Is(err, sqllog.ErrBusy) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append: %v", err)
	}
	again, stop := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer stop()
	if first, err := l.FirstUse(again, "i", "j", time.Now().Add(time.Hour)); err == nil || first {
		t.Errorf("the use of a token that could not be noted: first %v, %v", first, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil {
		t.Errorf("who could wait: %v", err)
	}
	if first, err := l.FirstUse(t.Context(), "i", "j", time.Now().Add(time.Hour)); err != nil || !first {
		t.Errorf("the token once the log is free: first %v, %v", first, err)
	}
	if _, err := l.Get(t.Context(), audittest.Entry(1).Index.ID); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("what its caller was told is not written: %v", err)
	}
	if n, err := l.Size(t.Context()); err != nil || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
}
