// SPDX-License-Identifier: Apache-2.0

package main

// This file: progress on standard error, a bar on a terminal and plain lines
// elsewhere, so that a log file stays readable.

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// plainEvery is how often a plain line is written.
const plainEvery = 5 * time.Second

// progress counts work of one kind.
type progress struct {
	w     io.Writer
	what  string
	total int64 // 0 when unknown
	done  int64
	bar   *progressbar.ProgressBar
	next  time.Time
}

// newProgress starts counting; total 0 means unknown.
func newProgress(w io.Writer, what string, total int64) *progress {
	p := &progress{w: w, what: what, total: total, next: time.Now().Add(plainEvery)}
	if onTerminal(w) {
		size := total
		if size == 0 {
			size = -1
		}
		p.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
	}
	return p
}

// onTerminal says whether a person is watching w.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// lineEnds is what goes before and after a line that the next one replaces on a
// terminal, and follows elsewhere.
func lineEnds(w io.Writer) (before, after string) {
	if onTerminal(w) {
		return "\r\x1b[K", ""
	}
	return "", "\n"
}

// add counts n more.
func (p *progress) add(n int64) {
	p.done += n
	if p.bar != nil {
		// A bar that cannot be drawn is no reason to stop the work.
		_ = p.bar.Add64(n)
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(plainEvery)
		p.line()
	}
}

// finish ends the bar or writes the last line.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	p.line()
}

func (p *progress) line() {
	if p.total > 0 {
		fmt.Fprintf(p.w, "%s: %d of %d\n", p.what, p.done, p.total)
		return
	}
	fmt.Fprintf(p.w, "%s: %d\n", p.what, p.done)
}
