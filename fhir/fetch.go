// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: fetching from the one FHIR server that is registered for the
// client. The token never goes anywhere else: no redirects, and next links
// only within the same base.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// fetchResult is what came for one query.
type fetchResult struct {
	pages []json.RawMessage
	from  Provenance
	why   string
}

type fetcher struct {
	m      *Mapper
	base   *url.URL
	token  string
	client *http.Client
	limits Limits
}

func newFetcher(m *Mapper, q GatherRequest) (*fetcher, error) {
	base, err := url.Parse(strings.TrimSuffix(q.Server, "/") + "/")
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") {
		return nil, fmt.Errorf("%w: the registered FHIR base is not an absolute URL", ErrUnobtainable)
	}
	f := &fetcher{m: m, base: base, token: q.Token, limits: q.Limits}
	if f.limits.Budget <= 0 {
		f.limits.Budget = DefaultBudget
	}
	if f.limits.Pages <= 0 {
		f.limits.Pages = DefaultPages
	}
	if f.limits.MaxBytes <= 0 {
		f.limits.MaxBytes = DefaultMaxBytes
	}
	if f.limits.Parallel <= 0 {
		f.limits.Parallel = DefaultParallel
	}
	client := http.Client{}
	if q.HTTP != nil {
		client = *q.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	f.client = &client
	return f, nil
}

// errOutside: a link leads out of the registered server.
var errOutside = errors.New("link leaves the registered FHIR server")

// locate resolves a query or a next link and refuses what is not under base.
func (f *fetcher) locate(to string) (*url.URL, error) {
	ref, err := url.Parse(to)
	if err != nil {
		return nil, errOutside
	}
	u := f.base.ResolveReference(ref)
	clean := path.Clean(u.Path)
	if u.Scheme != f.base.Scheme || !strings.EqualFold(u.Host, f.base.Host) || u.User != nil ||
		!strings.HasPrefix(clean+"/", f.base.Path) {
		return nil, errOutside
	}
	u.Fragment = ""
	return u, nil
}

// all reads a query and the pages that follow it.
func (f *fetcher) all(ctx context.Context, query string) fetchResult {
	r := fetchResult{from: FromFetch}
	seen := map[string]bool{}
	for next := query; next != ""; {
		if len(r.pages) >= f.limits.Pages {
			r.from, r.why = IsPartial, fmt.Sprintf("more than %d pages", f.limits.Pages)
			return r
		}
		u, err := f.locate(next)
		if err != nil || seen[u.String()] {
			r.from, r.why = IsPartial, errOutside.Error()
			if err == nil {
				r.why = "next links run in a circle"
			}
			return r
		}
		seen[u.String()] = true
		raw, from, why := f.get(ctx, u)
		if from != FromFetch {
			r.from, r.why = from, why
			if len(r.pages) > 0 {
				r.from = IsPartial
			}
			return r
		}
		r.pages = append(r.pages, raw)
		next = ""
		if kindOf(raw) == "Bundle" {
			pg, err := f.m.openValidPage(raw)
			if err != nil {
				r.from, r.why = IsWrongType, "the FHIR server sent a Bundle that cannot be read"
				return r
			}
			next = pg.next
		}
	}
	return r
}

// get reads one page. Neither URL nor body go into why: both can identify a
// patient.
func (f *fetcher) get(ctx context.Context, u *url.URL) (json.RawMessage, Provenance, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, IsFailed, "request could not be made"
	}
	req.Header.Set("Accept", "application/fhir+json, application/json;q=0.9")
	if f.token != "" {
		req.Header.Set("Authorization", "Bearer "+f.token)
	}
	res, err := f.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, IsFailed, "no time left to read from the FHIR server"
		}
		return nil, IsFailed, "the FHIR server could not be reached"
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, IsDenied, fmt.Sprintf("the FHIR server answered %d", res.StatusCode)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, IsFailed, "the FHIR server redirects, which is not followed"
	case res.StatusCode != http.StatusOK:
		return nil, IsFailed, fmt.Sprintf("the FHIR server answered %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, f.limits.MaxBytes+1))
	switch {
	case err != nil:
		return nil, IsFailed, "the FHIR server's answer broke off"
	case int64(len(body)) > f.limits.MaxBytes:
		return nil, IsFailed, fmt.Sprintf("the FHIR server's answer is over %d bytes", f.limits.MaxBytes)
	case !json.Valid(body):
		return nil, IsWrongType, "the FHIR server's answer is not JSON"
	case kindOf(body) == "OperationOutcome":
		return nil, IsFailed, "the FHIR server answered with an OperationOutcome"
	}
	return body, FromFetch, ""
}
