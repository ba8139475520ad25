// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Gather, the chart of one hook call: prefetch first, the EHR for
// what is missing, every state on the wire told apart (reference cdshooks.md
// B.3). What became of each key is in the manifest (manifest.go).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Errors of Gather. ErrWrongPatient and ErrResting are others.
var (
	// ErrUnobtainable: necessary data came neither by prefetch nor by FHIR.
	// Answer 412.
	ErrUnobtainable = errors.New("necessary data could not be had")
	// ErrDenied: the FHIR server, or the scope of the access token, refused
	// necessary data. Answer 412.
	ErrDenied = fmt.Errorf("%w: refused by the FHIR server", ErrUnobtainable)
)

// Limits bound what a gather may fetch. Zero means the default.
type Limits struct {
	Budget     time.Duration // for all fetches together
	Pages      int           // per search
	MaxBytes   int64         // per page, decompressed
	TotalBytes int64         // of all pages together, failed ones included
	Parallel   int           // searches at a time
}

// Defaults of Limits. A whole ICU chart has reached 23 MB.
const (
	DefaultBudget     = 4 * time.Second
	DefaultPages      = 40
	DefaultMaxBytes   = 32 << 20
	DefaultTotalBytes = 64 << 20
	DefaultParallel   = 16
)

func (l Limits) withDefaults() Limits {
	l.Budget, l.Pages, l.Parallel = orDefault(l.Budget, DefaultBudget), orDefault(l.Pages, DefaultPages), orDefault(l.Parallel, DefaultParallel)
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = DefaultTotalBytes
	}
	return l
}

// GatherRequest asks for one patient's chart.
type GatherRequest struct {
	Prefetch map[string]json.RawMessage // by the keys of PrefetchTemplates; others are named in the manifest
	From     *Server                    // the registered FHIR server; nil: nothing may be fetched
	Access   Access                     // to it; without a token nothing is fetched
	// Authorize, when set and Access has no token, gets one. It is called at
	// most once, and only when something has to be fetched.
	Authorize   func(ctx context.Context) (Access, error)
	PatientID   string
	EncounterID string    // of the hook's context; chooses the stay where it names one
	Now         time.Time // decision time
	Limits      Limits
}

// Gathered is the chart of a call with its manifest.
type Gathered struct {
	Chart    *state.Chart
	Manifest Manifest
}

// Gather reads prefetch, fetches what is missing and maps the chart. On an
// error the manifest is filled as far as it is known. Errors: ErrWrongPatient,
// ErrUnobtainable, ErrDenied, ErrResting, and those of Chart.
func (m *Mapper) Gather(ctx context.Context, q GatherRequest) (*Gathered, error) {
	if q.PatientID == "" {
		return &Gathered{}, fmt.Errorf("%w: no patient id", ErrNoPatient)
	}
	if q.Access.Patient != "" && q.Access.Patient != q.PatientID {
		return &Gathered{}, fmt.Errorf("%w: the access token is for another patient", ErrWrongPatient)
	}
	g := gathering{m: m, q: q, bag: NewBag(q.PatientID), parts: make([]Part, len(wishes))}
	if q.From != nil {
		g.bag.Base = q.From.Base()
	}
	err := g.run(ctx)
	out := &Gathered{Manifest: Manifest{Parts: g.parts, Undeclared: undeclared(q.Prefetch)}}
	if err != nil {
		return out, err
	}
	stayID := ""
	if q.EncounterID != "" {
		for _, s := range m.Stays(g.bag) {
			if s.ID == q.EncounterID {
				stayID = s.ID
			}
		}
	}
	chart, err := m.Chart(g.bag, stayID, q.Now)
	if err != nil {
		return out, err
	}
	chart.Gaps = append(chart.Gaps, g.gaps...)
	if since := q.Now.AddDate(0, 0, -sparseDays); g.limited && !chart.Stay.Start.IsZero() && chart.Stay.Start.Before(since) {
		chart.Gaps = append(chart.Gaps, state.Gap{What: "volumes of the whole stay", Reason: fmt.Sprintf("only the last %d days were read", sparseDays)})
	}
	out.Chart = chart
	return out, nil
}

// gathering is the state of one call.
type gathering struct {
	m       *Mapper
	q       GatherRequest
	bag     *Bag
	parts   []Part
	gaps    []state.Gap
	limited bool // administrations were fetched for the last days only
	asked   bool // Authorize was called
}

// errand is what is still to be fetched for a key: whole searches, or the
// pages after the one that was prefetched.
type errand struct {
	searches []search
	next     string
	had      int // matches of the page that was prefetched
}

func (e errand) nothing() bool { return len(e.searches) == 0 && e.next == "" }

// authorize gets the access that only fetching needs.
func (g *gathering) authorize(ctx context.Context) {
	if g.asked || g.q.Access.Token != "" || g.q.Authorize == nil || g.q.From == nil {
		return
	}
	g.asked = true
	access, err := g.q.Authorize(ctx)
	if err == nil && (access.Patient == "" || access.Patient == g.q.PatientID) {
		g.q.Access = access
	}
}

// run reads prefetch in order, fetches in parallel, and adds in order again,
// so that the chart does not depend on which answer came first.
func (g *gathering) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.q.Limits.withDefaults().Budget)
	defer cancel()
	open := make([]errand, len(wishes))
	for i, w := range wishes {
		next, err := g.prefetched(ctx, i, w)
		if err != nil {
			return err
		}
		open[i] = next
	}
	results := g.fetch(ctx, open)
	var missing error
	for i, w := range wishes {
		if !open[i].nothing() {
			if err := g.add(i, w, results[i]); err != nil {
				return err
			}
		}
		if err := g.settle(i, w, results[i].resting); err != nil && (missing == nil || errors.Is(err, ErrDenied)) {
			missing = err
		}
	}
	return missing
}

// fetch runs the errands in parallel.
func (g *gathering) fetch(ctx context.Context, open []errand) []fetched {
	results := make([]fetched, len(open))
	if !slices.ContainsFunc(open, func(e errand) bool { return !e.nothing() }) {
		return results
	}
	f := newFetcher(g.m, g.q)
	if x := g.q.Access.Expires; !x.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, x)
		defer cancel()
	}
	// Each search of a key goes on its own; they are joined in order.
	type task struct{ key, part int }
	parts := make([][]fetched, len(open))
	var tasks []task
	for i, e := range open {
		parts[i] = make([]fetched, max(len(e.searches), 1))
		for j := range parts[i] {
			if !e.nothing() {
				tasks = append(tasks, task{i, j})
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(f.limits.Parallel)
	for _, t := range tasks {
		group.Go(func() error {
			if e := open[t.key]; e.next != "" {
				parts[t.key][t.part] = f.pages(ctx, e.next, "", e.had)
			} else {
				parts[t.key][t.part] = f.search(ctx, e.searches[t.part])
			}
			return nil // each result carries its own fault
		})
	}
	_ = group.Wait()
	for i := range results {
		results[i] = joined(parts[i])
	}
	return results
}

// prefetched takes the prefetch value of a key and returns what is still to
// be fetched.
func (g *gathering) prefetched(ctx context.Context, i int, w wish) (errand, error) {
	p := &g.parts[i]
	p.Key = w.key
	raw, sent := g.q.Prefetch[w.key]
	pg, kind, err := g.m.readPage(raw)
	switch {
	case !sent || len(raw) == 0:
		p.Prefetch = IsAbsent
		return g.ask(ctx, p, w), nil
	case isNull(raw):
		p.Prefetch, p.From = IsNull, IsNull
		g.bag.Asked(w.kind)
		return errand{}, nil
	case kind == "OperationOutcome":
		// The client asked and failed; asking again by the same rights would
		// only cost the time of the user who waits.
		p.Prefetch, p.From, p.Why = IsFailed, IsFailed, "the client's prefetch failed"
		return errand{}, nil
	case kind == "Bundle":
		return g.bundle(ctx, p, w, pg, err)
	case kind == w.kind && w.kind == "Patient":
		p.Prefetch, p.From, p.Resources = FromPrefetch, FromPrefetch, 1
		return errand{}, g.fatal(g.m.Add(g.bag, raw, state.Origin{Via: "prefetch", Key: w.key}))
	default:
		p.Prefetch = IsWrongType
		p.Why = "prefetch value is not a " + w.kind + " search result"
		return g.ask(ctx, p, w), nil
	}
}

// ask notes that a key has to be fetched whole, when it may be.
func (g *gathering) ask(ctx context.Context, p *Part, w wish) errand {
	if !g.mayFetch(ctx, p, w) {
		return errand{}
	}
	return errand{searches: g.m.searches(w, g.q.PatientID, g.q.Now)}
}

// mayFetch reports whether a key may be fetched, or notes why not.
func (g *gathering) mayFetch(ctx context.Context, p *Part, w wish) bool {
	p.From = p.Prefetch
	why := ""
	g.authorize(ctx)
	switch scope, _ := g.q.Access.wanting(w); {
	case g.q.From == nil:
		why = "no FHIR server may be read for this call"
	case g.q.Access.Token == "" && g.asked:
		why = "no access token for the FHIR server could be had"
	case g.q.Access.Token == "":
		why = "no access token for the FHIR server came with the call"
	case scope != "":
		why = "the access token lacks the scope " + scope
		if p.From != IsPartial {
			p.From = IsDenied
		}
	default:
		return true
	}
	if p.Why != "" {
		why = p.Why + "; " + why
	}
	p.Why = why
	return false
}

// bundle takes a prefetched Bundle, of which unread says why it cannot be read.
func (g *gathering) bundle(ctx context.Context, p *Part, w wish, pg page, unread error) (errand, error) {
	if unread != nil {
		p.Prefetch, p.Why = IsWrongType, "prefetch value is not a Bundle"
		return g.ask(ctx, p, w), nil
	}
	right, wrong := countKinds(pg, w.kind)
	if right == 0 && wrong > 0 {
		p.Prefetch, p.Why = IsWrongType, "prefetch Bundle holds no "+w.kind+" but other entries"
		return g.ask(ctx, p, w), nil
	}
	failed, err := g.m.addPage(g.bag, pg, state.Origin{Via: "prefetch", Key: w.key})
	if err := g.fatal(err); err != nil {
		return errand{}, err
	}
	g.bag.Asked(w.kind)
	p.Resources, p.Pages = right, 1
	switch {
	case failed:
		p.Prefetch, p.From, p.Why = IsPartial, IsPartial, "an OperationOutcome in the prefetch reports a failure"
		if right == 0 {
			p.Prefetch, p.From = IsFailed, IsFailed
		}
	case pg.next != "":
		p.Prefetch, p.Why = IsPartial, "prefetch is one page of several"
		if g.mayFetch(ctx, p, w) {
			return errand{next: pg.next, had: right}, nil
		}
	case pg.total > len(pg.entries):
		// Clients that send one page and drop its links are known; the total
		// is then all that tells.
		p.Prefetch, p.Why = IsPartial, "prefetch holds less than its total says"
		return g.ask(ctx, p, w), nil
	case right == 0:
		p.Prefetch, p.From = IsEmpty, IsEmpty
	default:
		p.Prefetch, p.From = FromPrefetch, FromPrefetch
	}
	return errand{}, nil
}
