// SPDX-License-Identifier: Apache-2.0

// Package tempdir lets short tests write their logs to memory. It is apart from
// the suite, which imports packages whose tests need it. It trusts the machine to
// say whether it has such a place.
package tempdir

import (
	"os"
	"testing"
)

// sharedMemory is a folder in memory, on machines that have one.
const sharedMemory = "/dev/shm"

// InMemory makes the temporary folders of short tests in memory, where the
// machine has a place for that: most of the time of a log on a disk is spent
// waiting for the disk to say that a record is safe, and no test can tell whether
// it was. It is to be called by TestMain, once flags are parsed.
func InMemory() {
	if !testing.Short() {
		return
	}
	probe, err := os.MkdirTemp(sharedMemory, "sepsisagent-")
	if err != nil {
		return
	}
	if os.Remove(probe) == nil {
		_ = os.Setenv("TMPDIR", sharedMemory)
	}
}
