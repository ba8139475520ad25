// SPDX-License-Identifier: Apache-2.0

//go:build unix && !solaris && !aix

package claim

// This file: the lock of systems that have flock.

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the lock of an open folder, until it is closed, and reports
// whether somebody else has it. Other faults mean that this file system does
// not lock folders, as some network file systems.
func lock(f *os.File) (taken bool) {
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
