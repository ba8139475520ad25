// SPDX-License-Identifier: Apache-2.0

package main

// This file: what a person sees while `cohort fetch` runs: how far the server
// says it is, then how many files are here.

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

// sayAgain is how often the same progress of the server is written again where
// no one watches.
const sayAgain = time.Minute

// showEvery is how often what came is shown at most.
const showEvery = 200 * time.Millisecond

// percent finds a percentage in what a server says; the guide leaves its words
// free.
var percent = regexp.MustCompile(`\b(100|[0-9]{1,2})(?:\.[0-9]+)?\s*%`)

// fetchProgress shows events. One goroutine calls it.
type fetchProgress struct {
	w      io.Writer
	server *progress // while the server prepares, in percent
	files  *progress // while files come
	said   string
	when   time.Time
}

func (p *fetchProgress) event(e bulk.Event) {
	switch {
	case e.Note != "":
		fmt.Fprintln(p.w, e.Note)
	case e.Next > 0:
		p.prepare(e)
	case e.Total > 0:
		p.download(e)
	}
}

// prepare shows how far the server says it is.
func (p *fetchProgress) prepare(e bulk.Event) {
	text := "the server prepares the export"
	if e.Waiting != "" {
		text += ": " + e.Waiting
	}
	if !onTerminal(p.w) {
		if text != p.said || time.Since(p.when) >= sayAgain {
			p.said, p.when = text, time.Now()
			fmt.Fprintf(p.w, "%s; asking again in %s\n", text, e.Next.Round(time.Second))
		}
		return
	}
	if p.server == nil {
		p.server = newProgress(p.w, text, 100)
	}
	p.server.bar.Describe(text)
	if m := percent.FindStringSubmatch(e.Waiting); m != nil {
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n > p.server.done {
			p.server.add(n - p.server.done)
		}
	}
}

// download shows how many files are here.
func (p *fetchProgress) download(e bulk.Event) {
	if p.server != nil {
		p.server.finish()
		p.server = nil
	}
	if p.files == nil || p.files.total != int64(e.Total) {
		p.files = newProgress(p.w, "files", int64(e.Total))
	}
	came := max(0, int64(e.Files)-p.files.done)
	if came == 0 && time.Since(p.when) < showEvery { // there is an event for every few kilobytes
		return
	}
	p.when = time.Now()
	p.files.what = fmt.Sprintf("files (%.1f MB)", float64(e.Bytes)/1e6)
	if p.files.bar != nil {
		p.files.bar.Describe(p.files.what)
	}
	p.files.add(came)
}

// finish ends what is shown.
func (p *fetchProgress) finish() {
	for _, shown := range []*progress{p.server, p.files} {
		if shown != nil {
			shown.finish()
		}
	}
}
