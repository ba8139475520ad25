// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Gather, the chart of one hook call: prefetch first, the EHR for
// what is missing, every state on the wire told apart (reference cdshooks.md
// B.3), and a manifest that says where each part came from.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Errors of Gather. ErrWrongPatient is the third.
var (
	// ErrUnobtainable: necessary data came neither by prefetch nor by FHIR.
	// Answer 412.
	ErrUnobtainable = errors.New("necessary data could not be had")
	// ErrDenied: the FHIR server refused necessary data (401, 403). Answer 412.
	ErrDenied = fmt.Errorf("%w: refused by the FHIR server", ErrUnobtainable)
)

// Provenance says how one key was had.
type Provenance string

// The provenances of a key.
const (
	FromPrefetch Provenance = "prefetch"
	FromFetch    Provenance = "fetched"
	IsNull       Provenance = "null"       // the client has none
	IsEmpty      Provenance = "empty"      // a search without results
	IsFailed     Provenance = "failed"     // the client's or our search failed
	IsDenied     Provenance = "denied"     // refused by the FHIR server
	IsPartial    Provenance = "partial"    // pages are missing
	IsWrongType  Provenance = "wrong-type" // not what the template asks for
	IsAbsent     Provenance = "absent"     // not sent, and nothing may be fetched
)

// Part is the manifest line of one key.
type Part struct {
	Key       string     `json:"key"`
	From      Provenance `json:"from"`
	Prefetch  Provenance `json:"prefetch"` // what the request held
	Resources int        `json:"resources"`
	Pages     int        `json:"pages,omitempty"`
	Why       string     `json:"why,omitempty"`
}

// Manifest lists the parts of a gathered chart in a fixed order.
type Manifest struct {
	Parts []Part `json:"parts"`
}

// Limits bound what a gather may fetch.
type Limits struct {
	Budget   time.Duration // for all fetches together; default 4 s
	Pages    int           // per key; default 40
	MaxBytes int64         // per page; default 32 MiB
	Parallel int           // fetches at a time; default 4
}

// Defaults of Limits.
const (
	DefaultBudget   = 4 * time.Second
	DefaultPages    = 40
	DefaultMaxBytes = 32 << 20
	DefaultParallel = 4
)

// GatherRequest asks for one patient's chart.
type GatherRequest struct {
	Prefetch    map[string]json.RawMessage // by the keys of Templates
	Templates   map[string]string          // nil: PrefetchTemplates of the mapper's code maps
	Server      string                     // registered FHIR base; "": nothing may be fetched
	Token       string                     // bearer token, sent to Server only
	HTTP        *http.Client               // nil: a client without redirects
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
// ErrUnobtainable, ErrDenied, and those of Chart.
func (m *Mapper) Gather(ctx context.Context, q GatherRequest) (*Gathered, error) {
	if q.PatientID == "" {
		return &Gathered{}, fmt.Errorf("%w: no patient id", ErrNoPatient)
	}
	if q.Templates == nil {
		q.Templates = PrefetchTemplates(m.maps)
	}
	g := gathering{m: m, q: q, bag: NewBag(q.PatientID), parts: make([]Part, len(wishes))}
	g.bag.Base = q.Server
	err := g.run(ctx)
	out := &Gathered{Manifest: Manifest{Parts: g.parts}}
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
	out.Chart = chart
	return out, nil
}

// gathering is the state of one call.
type gathering struct {
	m     *Mapper
	q     GatherRequest
	bag   *Bag
	parts []Part
	gaps  []state.Gap
}

// run reads prefetch in order, fetches in parallel, and adds in order again,
// so that the chart does not depend on which answer came first.
func (g *gathering) run(ctx context.Context) error {
	open := make([]string, len(wishes)) // where to fetch from; "" not
	for i, w := range wishes {
		next, err := g.prefetched(i, w)
		if err != nil {
			return err
		}
		open[i] = next
	}
	fetched := make([]fetchResult, len(wishes))
	if g.q.Server != "" {
		f, err := newFetcher(g.m, g.q)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, f.limits.Budget)
		defer cancel()
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(f.limits.Parallel)
		for i := range wishes {
			if open[i] != "" {
				group.Go(func() error { fetched[i] = f.all(ctx, open[i]); return nil })
			}
		}
		_ = group.Wait() // each result carries its own error
	}
	var missing error
	for i, w := range wishes {
		if open[i] != "" {
			if err := g.add(i, w, fetched[i]); err != nil {
				return err
			}
		}
		if err := g.settle(i, w); err != nil && (missing == nil || errors.Is(err, ErrDenied)) {
			missing = err
		}
	}
	return missing
}

// prefetched takes the prefetch value of a key and returns what is still to
// be fetched: nothing, the whole query, or the next page.
func (g *gathering) prefetched(i int, w wish) (fetch string, err error) {
	p := &g.parts[i]
	p.Key = w.key
	raw, sent := g.q.Prefetch[w.key]
	if len(raw) > 0 && !json.Valid(raw) {
		raw = json.RawMessage(`"broken JSON"`)
	}
	whole := fill(g.q.Templates[w.key], g.q.PatientID)
	switch kind := kindOf(raw); {
	case !sent || len(raw) == 0:
		p.Prefetch = IsAbsent
		return g.ask(p, whole), nil
	case string(trimSpace(raw)) == "null":
		p.Prefetch, p.From = IsNull, IsNull
		g.bag.Asked(w.kind)
		return "", nil
	case kind == "OperationOutcome":
		// The client asked and failed; asking again by the same rights would
		// only cost the time of the user who waits.
		p.Prefetch, p.From, p.Why = IsFailed, IsFailed, "the client's prefetch failed"
		return "", nil
	case kind == "Bundle" && w.kind != "Patient":
		return g.bundle(i, w, raw)
	case kind == w.kind && w.kind == "Patient":
		p.Prefetch, p.From, p.Resources = FromPrefetch, FromPrefetch, 1
		return "", g.fatal(g.m.Add(g.bag, raw, state.Origin{Via: "prefetch", Key: w.key}))
	default:
		p.Prefetch = IsWrongType
		p.Why = "prefetch value is not a " + w.kind + " search result"
		return g.ask(p, whole), nil
	}
}

// ask notes that a key has to be fetched, when it may be.
func (g *gathering) ask(p *Part, query string) string {
	p.From = p.Prefetch
	if g.q.Server == "" {
		return ""
	}
	return query
}

// bundle takes a prefetched Bundle.
func (g *gathering) bundle(i int, w wish, raw json.RawMessage) (fetch string, err error) {
	p := &g.parts[i]
	pg, err := g.m.openValidPage(raw)
	if err != nil {
		p.Prefetch, p.Why = IsWrongType, "prefetch value is not a Bundle"
		return g.ask(p, fill(g.q.Templates[w.key], g.q.PatientID)), nil
	}
	right, wrong := countKinds(pg, w.kind)
	if right == 0 && wrong > 0 {
		p.Prefetch, p.Why = IsWrongType, "prefetch Bundle holds no "+w.kind+" but other entries"
		return g.ask(p, fill(g.q.Templates[w.key], g.q.PatientID)), nil
	}
	failed, err := g.m.addPage(g.bag, pg, state.Origin{Via: "prefetch", Key: w.key})
	if err := g.fatal(err); err != nil {
		return "", err
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
		p.Prefetch, p.From, p.Why = IsPartial, IsPartial, "prefetch is one page of several"
		if g.q.Server != "" {
			return pg.next, nil
		}
	case pg.total > len(pg.entries):
		// Clients that send one page and drop its links are known; the total
		// is then all that tells.
		p.Prefetch, p.From, p.Why = IsPartial, IsPartial, "prefetch holds less than its total says"
		if g.q.Server != "" {
			p.Resources, p.Pages = 0, 0
			return fill(g.q.Templates[w.key], g.q.PatientID), nil
		}
	case right == 0:
		p.Prefetch, p.From = IsEmpty, IsEmpty
	default:
		p.Prefetch, p.From = FromPrefetch, FromPrefetch
	}
	return "", nil
}

// included are the types that may come beside the one asked for.
var included = map[string]bool{"Medication": true, "Location": true, "Specimen": true, "Organization": true, "Practitioner": true,
	"PractitionerRole": true, "OperationOutcome": true, "Patient": true, "Encounter": true, "Provenance": true, "Device": true}

// countKinds counts the entries of a page that are of the kind asked for and
// those that have no place in it, broken ones among them: a Bundle of nothing
// else is not a search without results.
func countKinds(p page, kind string) (right, wrong int) {
	for _, e := range p.entries {
		switch k := e.head.kind; {
		case k == kind:
			right++
		case !included[k]:
			wrong++
		}
	}
	return right, wrong
}

// fatal keeps the errors that end a call: another patient's data.
func (g *gathering) fatal(err error) error {
	if errors.Is(err, ErrWrongPatient) {
		return err
	}
	return nil
}

// add takes the pages that were fetched for a key.
func (g *gathering) add(i int, w wish, r fetchResult) error {
	p := &g.parts[i]
	for _, raw := range r.pages {
		origin := state.Origin{Via: "fetch", Key: w.key}
		if w.kind == "Patient" {
			if kindOf(raw) != "Patient" {
				r.from, r.why = IsWrongType, "the FHIR server sent no Patient"
				break
			}
			if err := g.fatal(g.m.Add(g.bag, raw, origin)); err != nil {
				return err
			}
			p.Resources++
			continue
		}
		pg, err := g.m.openValidPage(raw)
		if err != nil {
			r.from, r.why = IsWrongType, "the FHIR server sent no Bundle"
			break
		}
		failed, err := g.m.addPage(g.bag, pg, origin)
		if err := g.fatal(err); err != nil {
			return err
		}
		if failed {
			r.from, r.why = IsPartial, "an OperationOutcome in the answer reports a failure"
		}
		right, wrong := countKinds(pg, w.kind)
		if right == 0 && wrong > 0 {
			r.from, r.why = IsWrongType, "the FHIR server sent a Bundle that holds no "+w.kind+" but other entries"
		}
		p.Resources += right
		p.Pages++
	}
	p.From, p.Why = r.from, r.why
	if p.From == FromFetch {
		g.bag.Asked(w.kind)
		if p.Resources == 0 {
			p.From = IsEmpty
		}
	}
	return nil
}

// settle decides what a key that could not be had means: an error where it is
// necessary, a gap where it is not.
func (g *gathering) settle(i int, w wish) error {
	p := &g.parts[i]
	switch p.From {
	case FromPrefetch, FromFetch:
		return nil
	case IsEmpty, IsNull:
		if w.kind != "Patient" {
			return nil
		}
	}
	why := p.Why
	if why == "" {
		why = string(p.From)
	}
	if w.necessary {
		err := ErrUnobtainable
		if p.From == IsDenied {
			err = ErrDenied
		}
		return fmt.Errorf("%w: %s: %s (hint: let the client prefetch it, or grant fhirAuthorization)", err, w.key, why)
	}
	for _, what := range w.gaps {
		if !g.bag.asked[w.kind] && what != "directives" {
			continue // Chart reports it
		}
		g.gaps = append(g.gaps, state.Gap{What: what, Reason: why})
	}
	return nil
}

func trimSpace(raw json.RawMessage) string { return strings.TrimSpace(string(raw)) }
