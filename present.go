// SPDX-License-Identifier: Apache-2.0

package main

// This file: a log in a file that is deleted, or put in another's place, while
// it is written. The system goes on writing to the file that has no name any
// more, and nobody would ever read what was recorded there.

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sepsisagent/sepsisagent/audit"
)

// errLogGone: the file of the log is not the one that was opened.
var errLogGone = errors.New("the file of the audit log is gone or another (hint: put it back; what was recorded since is in it only if it is the same file)")

// presentLog is a log in a file that must stay where it is.
type presentLog struct {
	auditLog
	path   string
	opened os.FileInfo
}

func newPresentLog(log auditLog, path string) (*presentLog, error) {
	opened, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("audit.path: %w", err)
	}
	return &presentLog{log, path, opened}, nil
}

// check reports that the file is not where it was.
func (l *presentLog) check() error {
	if now, err := os.Stat(l.path); err != nil || !os.SameFile(now, l.opened) {
		return errLogGone
	}
	return nil
}

// Append appends, and then looks whether the file is still there.
func (l *presentLog) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	appended, err := l.auditLog.Append(ctx, e)
	if err == nil {
		err = l.check()
	}
	return appended, err
}

// Size is what readiness asks.
func (l *presentLog) Size(ctx context.Context) (int64, error) {
	if err := l.check(); err != nil {
		return 0, err
	}
	return l.auditLog.Size(ctx)
}
