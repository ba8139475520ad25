// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: telling the caller what happens.

import (
	"sync"
	"time"
)

// teller passes events on, one at a time.
type teller struct {
	mu   sync.Mutex // guards now and calls of tell
	now  Event
	tell func(Event)
}

func (t *teller) change(with func(*Event)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	with(&t.now)
	if t.tell != nil {
		t.tell(t.now)
	}
	t.now.Note, t.now.Waiting, t.now.Next = "", "", 0
}

func (t *teller) note(text string) { t.change(func(e *Event) { e.Note = text }) }
func (t *teller) waiting(progress string, d time.Duration) {
	t.change(func(e *Event) { e.Waiting, e.Next = plain(progress), d })
}
func (t *teller) files(n, total int) { t.change(func(e *Event) { e.Files, e.Total = n, total }) }
func (t *teller) file()              { t.change(func(e *Event) { e.Files++ }) }
func (t *teller) bytes(n int)        { t.change(func(e *Event) { e.Bytes += int64(n) }) }
