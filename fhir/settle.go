// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what was fetched is added to the chart, and what it means that a
// key could not be had: an error where it is necessary, a gap where it is not.

import (
	"errors"
	"fmt"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

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
func (g *gathering) add(i int, w wish, r fetched) error {
	p := &g.parts[i]
	origin := state.Origin{Via: "fetch", Key: w.key}
	for _, pg := range r.pages {
		if w.kind == "Patient" {
			if kindOf(pg.raw) != "Patient" {
				r.from, r.why = IsWrongType, "the FHIR server sent no Patient"
				break
			}
			if err := g.fatal(g.m.Add(g.bag, pg.raw, origin)); err != nil {
				return err
			}
			p.Resources++
			continue
		}
		if !pg.bundle {
			r.from, r.why = IsWrongType, "the FHIR server sent no Bundle"
			break
		}
		failed, err := g.m.addPage(g.bag, pg.page, origin)
		if err := g.fatal(err); err != nil {
			return err
		}
		if failed {
			r.from, r.why = IsPartial, "an OperationOutcome in the answer reports a failure"
		}
		right, wrong := countKinds(pg.page, w.kind)
		if right == 0 && wrong > 0 {
			r.from, r.why = IsWrongType, "the FHIR server sent a Bundle that holds no "+w.kind+" but other entries"
		}
		p.Resources += right
		p.Pages++
	}
	if r.from != FromFetch && p.Prefetch == IsPartial {
		r.from = IsPartial // the prefetched page still stands
	}
	p.From, p.Why = r.from, r.why
	if x := g.q.Access.Expires; p.From == IsFailed && !x.IsZero() && !time.Now().Before(x) {
		p.Why = "the access token expired during the call"
	}
	if p.From == FromFetch {
		g.bag.Asked(w.kind)
		g.limited = g.limited || w.key == KeyAdministrations && !g.q.Now.IsZero()
		if p.Resources == 0 {
			p.From = IsEmpty
		}
		if _, category := g.q.Access.wanting(w); category != "" {
			p.Why = "the access token opens the category " + category + " only"
		}
	}
	return nil
}

// settle decides what a key that could not be had means: an error where it is
// necessary, a gap where it is not.
func (g *gathering) settle(i int, w wish, resting time.Duration) error {
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
	if w.necessary && (p.From != IsPartial || !w.enough) {
		switch {
		case p.From == IsDenied:
			return fmt.Errorf("%w: %s: %s (hint: let the client prefetch it, or grant the access)", ErrDenied, w.key, why)
		case resting > 0:
			return fmt.Errorf("%s: %w", w.key, &RestingError{resting})
		}
		return fmt.Errorf("%w: %s: %s (hint: let the client prefetch it, or grant fhirAuthorization)", ErrUnobtainable, w.key, why)
	}
	if p.From != IsAbsent {
		g.bag.Asked(w.kind) // the gap says more than Chart could
	}
	for _, what := range w.gaps {
		if !g.bag.asked[w.kind] && what != "directives" {
			continue // Chart reports it
		}
		g.gaps = append(g.gaps, state.Gap{What: what, Reason: why})
	}
	return nil
}
