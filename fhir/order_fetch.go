// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: reading the Medications that drafted orders name by a reference
// and do not bring.

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"
)

// maxMedications bounds what is read for one call. Orders beyond are said not
// to be read.
const maxMedications = 8

// FetchMedications reads Medications by their ids from the server of q, within
// its budget and with its access, and gives those that came. What does not come
// is no error: its orders stay unread, which is said of them.
func (m *Mapper) FetchMedications(ctx context.Context, q GatherRequest, ids []string) []json.RawMessage {
	g := gathering{m: m, q: q}
	g.authorize(ctx)
	access := g.q.Access
	if missing, _ := access.wanting(wish{kind: "Medication"}); q.From == nil || access.Token == "" || missing != "" ||
		access.Patient != "" && access.Patient != q.PatientID {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, q.Limits.withDefaults().Budget)
	defer cancel()
	f := newFetcher(m, g.q)
	ids = ids[:min(len(ids), maxMedications)]
	got := make([]fetched, len(ids))
	var group errgroup.Group
	group.SetLimit(f.limits.Parallel)
	for i, id := range ids {
		group.Go(func() error {
			got[i] = f.pages(ctx, search{kind: "Medication", id: id}.url(), "", 0)
			return nil // each result carries its own fault
		})
	}
	_ = group.Wait()
	var out []json.RawMessage
	for i, r := range got {
		if r.from != FromFetch {
			continue
		}
		for _, p := range r.pages {
			if h := inspect(p.raw, m.want); h.kind == "Medication" && h.id == ids[i] {
				out = append(out, p.raw)
			}
		}
	}
	return out
}
