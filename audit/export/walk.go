// SPDX-License-Identifier: Apache-2.0

package export

// This file: the answers to several questions as one list, each record once, in
// the order of the log.

import (
	"context"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Bounds of the work for one page of a search.
const (
	moreFills = 8      // pages read from the log beyond one for each question
	maxRead   = 2000   // records that come with them, of which few may match
	budget    = 10_000 // records that the log looks at for one of these
)

// Log is what a search asks. sqllog.Log is one.
type Log interface {
	// Page gives records that match, in order; more is the leaf after which to go
	// on, nil at the end. See audit/query.
	Page(ctx context.Context, f audit.Filter, budget int) (rows []audit.Row, more *int64, err error)
	Get(ctx context.Context, id string) (audit.Record, error)
}

// stream is one question with what of its answer waits.
type stream struct {
	filter audit.Filter
	rows   []audit.Row
	more   *int64 // where to go on; with started and nil: nowhere
	begun  bool
}

func (s *stream) fill(ctx context.Context, log Log) error {
	if s.begun { // what came did not suffice: few may match
		s.filter.After, s.filter.Limit = s.more, min(2*s.filter.PageSize(), audit.MaxLimit)
	}
	var err error
	s.rows, s.more, err = log.Page(ctx, s.filter, budget)
	s.begun = true
	return err
}

func (s *stream) ended() bool { return s.begun && s.more == nil && len(s.rows) == 0 }

// page is one page of a search: rows that match, and where the next begins, nil
// at the end. It may be short, or empty, and yet have a next: one request does a
// bounded amount of work.
func (s *Search) page(ctx context.Context, log Log) (out []audit.Row, next *int64, err error) {
	streams := make([]*stream, len(s.filters))
	for i, f := range s.filters {
		f.After = s.after
		streams[i] = &stream{filter: f}
	}
	before := func(a, b int64) bool { return a != b && (a < b) == s.oldest }
	for fills, read := 0, 0; ; {
		var head *int64
		var lacking *stream // one that must be read on before anything more is known
		for _, x := range streams {
			switch {
			case len(x.rows) > 0:
				if head == nil || before(x.rows[0].Leaf, *head) {
					head = &x.rows[0].Leaf
				}
			case !x.ended():
				if lacking == nil || !x.begun || lacking.begun && before(*x.more, *lacking.more) {
					lacking = x // the one that is furthest behind
				}
			}
		}
		switch {
		case lacking != nil && (head == nil || !lacking.begun || before(*lacking.more, *head)):
			if lacking.begun && (fills >= len(streams)+moreFills || read >= maxRead) {
				return out, lacking.more, nil
			}
			fills++
			if err := lacking.fill(ctx, log); err != nil {
				return nil, nil, err
			}
			read += len(lacking.rows)
			continue
		case head == nil:
			return out, nil, nil
		}
		leaf := *head
		var row audit.Row
		for _, x := range streams {
			if len(x.rows) > 0 && x.rows[0].Leaf == leaf {
				row, x.rows = x.rows[0], x.rows[1:]
			}
		}
		if !s.matches(row.Index) {
			continue
		}
		out = append(out, row)
		if len(out) == s.count {
			return out, s.rest(streams, leaf), nil
		}
	}
}

// rest is where the next page begins, nil where nothing can come.
func (s *Search) rest(streams []*stream, leaf int64) *int64 {
	for _, x := range streams {
		if !x.ended() {
			return &leaf
		}
	}
	return nil
}
