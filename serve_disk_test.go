// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service as a process whose log has no room to grow: on a disk that
// is full, and at the end of what its files may hold, which needs no right to mount
// a disk. What was answered is on record, and the log verifies afterwards.

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sepsisagent/sepsisagent/cdshooks/load"
)

func TestALogWithoutRoomAnswersNothingUnrecorded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	h := newAuditHouse(t)
	small := auditHouse{db: filepath.Join(dir, "a.db"), key: h.key + "2"}
	sepsisagent(t, "audit", "init", "--db", small.db, "--key", small.key, "--origin", "test").want(exitOK)
	c := startChild(t, small, "")
	c.hush()
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 2300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c.runsOutOfRoom(func() error { return os.Remove(filepath.Join(dir, "filler")) })
}

func TestALogWhoseFileMayNotGrowAnswersNothingUnrecorded(t *testing.T) {
	t.Setenv(childFileBytes, strconv.Itoa(1<<20))
	c := startChild(t, newAuditHouse(t), "")
	c.hush()
	c.runsOutOfRoom(func() error {
		var ours unix.Rlimit
		return errors.Join(unix.Getrlimit(unix.RLIMIT_FSIZE, &ours), unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, &ours, nil))
	})
}

// runsOutOfRoom calls until the log cannot be written, makes room, calls again, and
// looks for every answer in the log.
func (c *child) runsOutOfRoom(room func() error) {
	c.t.Helper()
	result := load.Result{Answered: map[string]int{}}
	for range 1000 {
		ctx, stop := context.WithTimeout(c.t.Context(), time.Millisecond) // a call of each
		for id, status := range c.ehr.Run(ctx, c.target, 2).Answered {
			result.Answered[id] = status
		}
		stop()
		if result.Statuses()[500] > 0 {
			break
		}
	}
	if n := result.Statuses(); n[500] == 0 || len(n) > 2 {
		c.t.Fatalf("there always was room: %v", n)
	}
	if got := c.call(); got != 500 {
		c.t.Errorf("a call while there is none: %d", got)
	}
	if err := room(); err != nil {
		c.t.Fatal(err)
	}
	if got := c.call(); got != 200 {
		c.t.Errorf("a call once there is room: %d", got)
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.wantRecorded(result.Answered)
}
