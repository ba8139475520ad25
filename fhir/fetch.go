// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: fetching what a call's prefetch lacks, page by page, from the one
// FHIR server that is registered for the client. The token never goes anywhere
// else: no redirects, and next links only within the registered base.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// fetched is what came for one key.
type fetched struct {
	pages   []fetchedPage
	from    Provenance
	why     string
	resting time.Duration // the server was not asked, and will not be for so long
	status  int           // HTTP status of the last answer
}

// fetchedPage is one answer: a Bundle taken apart, or a single resource.
type fetchedPage struct {
	raw    json.RawMessage
	bundle bool
	page
}

// fetcher reads from a Server for one gather.
type fetcher struct {
	m      *Mapper
	server *Server
	bearer *bearer
	limits Limits
	left   allowance
}

func newFetcher(m *Mapper, q GatherRequest) *fetcher {
	f := &fetcher{m: m, server: q.From, limits: q.Limits.withDefaults()}
	f.bearer = &bearer{access: q.Access, token: q.Access.Token}
	f.left.page = f.limits.MaxBytes
	f.left.total.Store(f.limits.TotalBytes)
	return f
}

// errOutside: a link leads out of the registered server.
var errOutside = errors.New("a link leaves the registered FHIR server")

// locate resolves a query or a next link and refuses what is not under the
// registered base. on is the URL that the link came with, nil for a query.
func (s *Server) locate(to string, on *url.URL) (*url.URL, error) {
	ref, err := url.Parse(to)
	if err != nil || ref.Opaque != "" || strings.ContainsAny(to, "\\\r\n\t ") {
		return nil, errOutside
	}
	from := s.base // relative links are relative to the base in FHIR, but for a bare query
	if on != nil && strings.HasPrefix(to, "?") {
		from = on
	}
	u := from.ResolveReference(ref)
	if u.Scheme != s.base.Scheme || !strings.EqualFold(hostPort(u), hostPort(s.base)) || u.User != nil ||
		!strings.HasPrefix(u.Path+"/", s.base.Path) || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") ||
		strings.ContainsAny(u.Path, "%\\") || hasDots(ref.Path) {
		return nil, errOutside
	}
	u.Host, u.Fragment, u.RawFragment = s.base.Host, "", ""
	return u, nil
}

// hasDots reports path segments that climb. No server needs them in a link.
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// hostPort is a URL's host with its port written out.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Hostname() + ":" + port
}

// joined puts the results of a key's searches together: complete only if each
// of them is.
func joined(list []fetched) fetched {
	out := fetched{from: FromFetch}
	for _, next := range list {
		out.resting, out.status = max(out.resting, next.resting), next.status
		if next.from != FromFetch && out.from == FromFetch {
			out.from, out.why = next.from, next.why
		}
		out.pages = append(out.pages, next.pages...)
	}
	if out.from != FromFetch && len(out.pages) > 0 {
		out.from = IsPartial
	}
	return out
}

// search runs one search: by GET, or by POST where the URL would be longer
// than servers are sure to take. A server that takes no searches by POST gets
// the codes in several GETs.
func (f *fetcher) search(ctx context.Context, q search) fetched {
	if len(q.url()) > maxURL && !f.server.noForms.Load() {
		r := f.pages(ctx, q.kind+"/_search", q.form(), 0)
		switch r.status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
			if len(r.pages) == 0 {
				f.server.noForms.Store(true)
				break
			}
			return r
		default:
			return r
		}
	}
	var out []fetched
	for _, part := range q.split(maxURL) {
		r := f.pages(ctx, part.url(), "", 0)
		out = append(out, r)
		if r.from != FromFetch {
			break // the key is incomplete, whatever else comes
		}
	}
	return joined(out)
}

// pages reads a query and the pages that follow it. had is how many matches
// came by a page before it.
func (f *fetcher) pages(ctx context.Context, query, form string, had int) fetched {
	r := fetched{from: FromFetch}
	seen, known := map[string]bool{}, map[string]bool{}
	var on *url.URL
	for next := query; next != ""; {
		u, err := f.server.locate(next, on)
		switch {
		case len(r.pages) >= f.limits.Pages:
			r.from, r.why = IsPartial, fmt.Sprintf("more than %d pages", f.limits.Pages)
			return r
		case err != nil:
			r.from, r.why = IsPartial, errOutside.Error()
			return r
		case seen[u.String()]:
			r.from, r.why = IsPartial, "next links run in a circle"
			return r
		}
		if form == "" {
			seen[u.String()] = true
		}
		got := f.get(ctx, question{u, form})
		r.status, r.resting = got.status, got.resting
		if got.from != FromFetch {
			r.from, r.why = got.from, got.why
			if len(r.pages) > 0 {
				r.from = IsPartial
			}
			return r
		}
		pg, kind, err := f.m.readPage(got.body)
		p := fetchedPage{raw: got.body, bundle: kind == "Bundle", page: pg}
		if p.bundle {
			if err != nil {
				r.from, r.why = IsWrongType, "the FHIR server sent a Bundle that cannot be read"
				return r
			}
			if !anyNew(p.page, known) && len(r.pages) > 0 && p.next != "" {
				r.from, r.why = IsPartial, "the FHIR server's pages repeat"
				return r
			}
		}
		r.pages = append(r.pages, p)
		on = u
		if form != "" {
			on = f.server.base.JoinPath(strings.TrimSuffix(query, "/_search"))
		}
		next, form = p.next, ""
	}
	if short(r.pages, had) {
		r.from, r.why = IsPartial, "the FHIR server's pages hold less than its total says"
	}
	return r
}

// short reports pages that hold fewer matches, with those had before, than
// their search found by its own total. Where a server gives no total, nothing
// can be told.
func short(pages []fetchedPage, had int) bool {
	total, matches := 0, map[string]bool{}
	for _, p := range pages {
		total = max(total, p.total)
		for _, e := range p.entries {
			if e.mode != "include" && e.mode != "outcome" {
				matches[e.head.kind+"/"+cmp.Or(e.id, e.fullURL)] = true
			}
		}
	}
	return total > had+len(matches)
}

// anyNew notes the resources of a page and reports whether one was not known.
func anyNew(p page, known map[string]bool) bool {
	before := len(known)
	for _, e := range p.entries {
		known[e.head.kind+"/"+cmp.Or(e.id, e.fullURL)] = true
	}
	return len(known) > before
}

// get puts one question, with a renewed token once the first one is refused.
func (f *fetcher) get(ctx context.Context, q question) *reply {
	if x := f.bearer.access.Expires; !x.IsZero() && !time.Now().Before(x) {
		return &reply{from: IsDenied, why: "the access token has expired"}
	}
	token := f.bearer.current()
	r := f.server.ask(ctx, q, token, &f.left)
	if r.status != http.StatusUnauthorized {
		return r
	}
	if token = f.bearer.renew(ctx, token); token == "" {
		return r
	}
	return f.server.ask(ctx, q, token, &f.left)
}
