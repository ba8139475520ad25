// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: what each file of the export is called here. What is here already
// keeps its name, however the server orders and signs its links the next time.

import (
	"fmt"
	"net/url"
)

// plan decides what each file of the export is called here. What is here
// already keeps its name, and what the server no longer names goes.
func (f *folder) plan(m *manifest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := map[string]*piece{}
	for _, p := range f.state.Pieces {
		old[string(p.List)+" "+p.Key] = p
	}
	taken := map[string]bool{}
	for _, p := range f.state.Pieces {
		taken[p.Stem] = true
	}
	f.state.At, f.state.NeedsToken, f.state.Pieces = &m.at, m.needsTok, nil
	next := map[string]int{}
	for _, part := range []struct {
		list  list
		links []link
	}{{output, m.output}, {deleted, m.deleted}, {faults, m.errors}} {
		for _, l := range uniqueLinks(part.links) {
			p := old[string(part.list)+" "+l.key]
			delete(old, string(part.list)+" "+l.key)
			if p == nil {
				p = &piece{Key: l.key, List: part.list, Type: l.kind, Stem: freeStem(part.list, l.kind, next, taken)}
			}
			p.URL, p.Count = l.url, l.count
			f.state.Pieces = append(f.state.Pieces, p)
		}
	}
	for _, p := range old {
		if err := f.drop(p); err != nil {
			return err
		}
	}
	return f.write()
}

// keyed is a link with what stays the same of its address when the server
// signs it anew.
type keyed struct {
	link
	key string
}

// uniqueLinks keys links by their address without the query, where that tells
// them apart, and leaves out what is named twice.
func uniqueLinks(links []link) []keyed {
	bare := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			return text
		}
		u.RawQuery = ""
		return u.String()
	}
	seen := map[string]map[string]bool{}
	for _, l := range links {
		k := bare(l.url)
		if seen[k] == nil {
			seen[k] = map[string]bool{}
		}
		seen[k][l.url] = true
	}
	var out []keyed
	had := map[string]bool{}
	for _, l := range links {
		k := bare(l.url)
		if len(seen[k]) > 1 {
			k = l.url
		}
		if !had[k] {
			had[k] = true
			out = append(out, keyed{l, k})
		}
	}
	return out
}

// freeStem gives the next free name of a type: Observation-0001.
func freeStem(l list, kind string, next map[string]int, taken map[string]bool) string {
	name := kind
	switch {
	case l != output:
		name = string(l)
	case kind == "":
		name = "resources"
	}
	for {
		next[name]++
		stem := fmt.Sprintf("%s-%04d", name, next[name])
		if !taken[stem] {
			taken[stem] = true
			return stem
		}
	}
}

// ending is how a finished file is named. Only output is read by `cohort
// build`.
func (p *piece) ending(gzipped bool) string {
	end := ".ndjson"
	if p.List != output {
		end = ".jsonl"
	}
	if gzipped {
		end += ".gz"
	}
	return end
}

// names are those a finished piece can have.
func (p *piece) names() []string {
	return []string{p.Stem + p.ending(false), p.Stem + p.ending(true)}
}
