// SPDX-License-Identifier: Apache-2.0

package learn

// This file: walking through the stays of a cohort on all cores, with results
// in the order of the cohort, so that no number depends on timing.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// stayKey tells stays apart within a cohort.
func stayKey(row *cohort.Row) string { return row.Source + "\x00" + row.Patient + "\x00" + row.Stay }

// rankOf orders stays by nothing but their ids: neither we nor the data set's
// order choose which are looked at.
func rankOf(key string) string {
	sum := sha256.Sum256([]byte("sepsisagent landmark 1\x00" + key))
	return hex.EncodeToString(sum[:])
}

// choose reads the cohort once without its timelines: which stays there are,
// who is left out, and the digest.
func (e *PolicyEvaluation) choose(rows iter.Seq2[cohort.Row, error], opts *PolicyOptions) (map[string]bool, error) {
	type found struct {
		key, rank string
		synthetic bool
	}
	var stays []found
	seen, last, real := map[string]bool{}, "", false
	digest, err := cohort.Digest(func(yield func(cohort.Row, error) bool) {
		for row, err := range rows {
			if err == nil {
				if key := stayKey(&row); key != last && !seen[key] {
					last, seen[key] = key, true
					if opts.Known != nil && opts.Known(row.Patient) {
						e.LeftOut++
					} else {
						stays = append(stays, found{key, rankOf(key), row.Synthetic})
						real = real || !row.Synthetic
					}
				}
			}
			if !yield(row, err) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	e.DataDigest, e.Synthetic = digest, !real
	if real {
		all := len(stays)
		stays = slices.DeleteFunc(stays, func(f found) bool { return f.synthetic })
		e.LeftSynthetic = all - len(stays)
	}
	if len(stays) == 0 {
		return nil, ErrNoStay
	}
	if opts.Stays > 0 && opts.Stays < len(stays) {
		slices.SortFunc(stays, func(a, b found) int { return cmp.Compare(a.rank, b.rank) })
		e.NotSampled = len(stays) - opts.Stays
		stays = stays[:opts.Stays]
	}
	chosen := make(map[string]bool, len(stays))
	for _, f := range stays {
		chosen[f.key] = true
	}
	return chosen, nil
}

// walker decides for the chosen stays.
type walker struct {
	opts   *PolicyOptions
	chosen map[string]bool
	sweeps []setting
}

func newWalker(opts *PolicyOptions, chosen map[string]bool) *walker {
	return &walker{opts: opts, chosen: chosen, sweeps: settings(opts.Engine.RepeatWindowMin)}
}

// stayResult is what one stay gave.
type stayResult struct {
	points []Point
	swept  sweptStay
	cases  []Case
}

// batch is how many stays per core are worked on before they are handed on.
const batch = 8

// stays yields the result of each chosen stay.
func (w *walker) stays(ctx context.Context, rows iter.Seq2[cohort.Row, error]) iter.Seq2[*stayResult, error] {
	return func(yield func(*stayResult, error) bool) {
		var groups [][]cohort.Row
		flush := func() bool {
			results := make([]*stayResult, len(groups))
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(runtime.GOMAXPROCS(0))
			for i, group := range groups {
				g.Go(func() (err error) {
					results[i], err = w.stay(ctx, group)
					return err
				})
			}
			if err := g.Wait(); err != nil {
				yield(nil, err)
				return false
			}
			for _, r := range results {
				if !yield(r, nil) {
					return false
				}
			}
			groups = groups[:0]
			return true
		}
		for group, err := range cohort.ByStay(rows) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !w.chosen[stayKey(&group[0])] {
				continue
			}
			if groups = append(groups, group); len(groups) >= batch*runtime.GOMAXPROCS(0) && !flush() {
				return
			}
		}
		flush()
	}
}

// stay decides at every row of one stay.
func (w *walker) stay(ctx context.Context, group []cohort.Row) (*stayResult, error) {
	v := &visit{opts: w.opts}
	out := &stayResult{}
	replay, err := newReplay(w.opts, w.sweeps)
	if err != nil {
		return nil, err
	}
	for i := range group {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, _ := cohort.Next(group, i)
		p, tl, made, err := v.point(ctx, &group[i], next)
		if err != nil {
			return nil, err
		}
		if made != nil {
			if err := replay.step(ctx, v.caseAt(&group[i], tl), made, &p); err != nil {
				return nil, err
			}
			if err := p.ask(w.opts.Others, tl); err != nil {
				return nil, err
			}
			if w.opts.Cases > 0 {
				out.cases = append(out.cases, caseOf(&group[i], next, &p, &made.Decision)...)
			}
		}
		p.Terminal, p.TerminalKnown = terminal(&group[i])
		out.points = append(out.points, p)
	}
	out.swept = replay.swept
	out.cases = fewest(out.cases, 1) // one of a stratum per stay is enough to choose from
	return out, nil
}

// ask keeps the probabilities of the other policies.
func (p *Point) ask(others []Candidate, tl *state.Timeline) error {
	for _, c := range others {
		probabilities, ok, err := c.Probabilities(tl)
		if err != nil {
			return err
		}
		var mine []float64
		if ok {
			var flat [Actions]float64
			for vaso := range probabilities {
				copy(flat[5*vaso:], probabilities[vaso][:])
			}
			mine = normalised(flat)
		}
		p.Others = append(p.Others, mine)
	}
	return nil
}
