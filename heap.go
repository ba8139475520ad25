// SPDX-License-Identifier: Apache-2.0

package main

// This file: how much memory the collector may leave uncollected, to spend less
// time on it.

import (
	"os"
	"runtime/debug"
)

const (
	// buildHeap is how large the heap of a cohort build grows before it is collected
	// whatever else, 448 MiB. It is soft: a single patient can be larger.
	buildHeap = 448 << 20
	// serveHeap is that of the service, 768 MiB: more than calls as they are ever
	// take, and less than hostile bodies together would.
	serveHeap = 768 << 20
)

// leaveHeap collects the heap when it has grown by percent, and whatever it has
// grown by near limit. Who sets GOGC or GOMEMLIMIT decides instead.
func leaveHeap(percent int, limit int64) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(limit)
}
