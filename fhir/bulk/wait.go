// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: starting the export and asking until it is ready, as often as the
// server wants to be asked and no more.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pauses between attempts.
const (
	firstPause = time.Second      // and twice as long each time, up to
	longPause  = time.Minute      // where the server does not say how long
	leastPause = time.Second      // whatever the server says
	mostPause  = 10 * time.Minute // a server that asks for a day is asked sooner
)

// patience is how often in a row a server may fail to answer.
const patience = 6

// maxPages is the most pages a manifest may have.
const maxPages = 10_000

// transient are the issue codes that say that trying again can help. The first
// is the parent of the others in FHIR's list of issue types.
var transient = []string{"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"}

// backoff gives the pause before the next attempt: what the server asked for,
// else longer each time.
func backoff(attempt int, header http.Header, most time.Duration) time.Duration {
	d := longPause
	if attempt < 6 {
		d = firstPause << attempt
	}
	if asked, ok := retryAfter(header, time.Now()); ok {
		d = min(asked, mostPause)
	}
	d = max(d, leastPause)
	if most > 0 {
		d = min(d, most)
	}
	return d
}

// retryAfter reads the header, which holds seconds or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil { // some servers write 1.5
		if !(s >= 0) {
			return 0, false
		}
		return time.Duration(min(s, mostPause.Seconds()) * float64(time.Second)), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(now)), true
}

// start kicks the export off, unless one is under way, and remembers where to
// ask for it.
func (f *fetch) start(ctx context.Context) error {
	if f.folder.state.Status != "" {
		return nil
	}
	types := f.cfg.Types
	u := f.cfg.kickOff(f.client.base, types)
	for attempt := 0; ; attempt++ {
		res, err := f.client.get(ctx, u, http.Header{
			"Accept": {fhirJSON},
			// Two lines: a server that looks at the first only sees what matters.
			"Prefer": {"respond-async", "handling=lenient"},
			// A server may otherwise hand out an export of last week again.
			"Cache-Control": {"no-cache"},
		}, true)
		if err == nil && res.StatusCode == http.StatusAccepted {
			status, err := f.client.link(u, res.Header.Get("Content-Location"))
			closeBody(res)
			if err != nil {
				return fmt.Errorf("%w: it accepted and names as the place to ask %w", ErrFailed, err)
			}
			if err := f.folder.started(status.String(), without(f.cfg.Types, types)); err != nil {
				return errors.Join(err, f.client.delete(ctx, status.String()))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var header http.Header
		if err == nil {
			header = res.Header
			err = f.refused(res)
		}
		if fewer := without(types, f.cfg.Optional); errors.Is(err, errObjects) && len(fewer) > 0 && len(fewer) < len(types) {
			f.teller.note("the server objects: asking without " + strings.Join(without(types, fewer), ", "))
			types, u = fewer, f.cfg.kickOff(f.client.base, fewer)
			continue
		}
		if again := errors.Is(err, ErrUnreachable) && attempt+1 < patience; !again {
			return err
		}
		if err := f.pause(ctx, backoff(attempt, header, f.cfg.MaxPoll)); err != nil {
			return err
		}
	}
}

// without gives the types that are not among those left out.
func without(types, left []string) []string {
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool { return slices.Contains(left, t) })
}

// errObjects: the server would start another export, but not this one.
var errObjects = errors.New("it does not do this export")

// refused says why the server did not start the export. ErrUnreachable means
// that asking again can help.
func (f *fetch) refused(res *http.Response) error {
	defer closeBody(res)
	a := readAnswer(res)
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return f.denied(a)
	case a.status/100 == 3:
		return fmt.Errorf("%w: it redirects to another address, which is not followed with a token (hint: give the final FHIR base)", ErrRefused)
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable ||
		a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout:
		return fmt.Errorf("%w: %s", ErrUnreachable, a)
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotImplemented:
		return fmt.Errorf("%w: %s (hint: is this the FHIR base, and does the server offer $export at this level? try another level)", ErrRefused, a)
	case a.status/100 == 2:
		return fmt.Errorf("%w: answer %d instead of 202 (hint: the server has no asynchronous export here)", ErrRefused, a.status)
	}
	return fmt.Errorf("%w: %w: %s (hint: where it objects to a resource type or parameter, ask without it)", ErrRefused, errObjects, a)
}

// denied says who was not accepted.
func (f *fetch) denied(a answer) error {
	if f.cfg.Tokens == nil {
		return fmt.Errorf("%w: %s (hint: the server wants an access token)", ErrDenied, a)
	}
	return fmt.Errorf("%w: %s (hint: is the token good for this server, with scopes for every type that is asked for?)", ErrDenied, a)
}

// await asks until the export is ready and gives its whole manifest.
func (f *fetch) await(ctx context.Context) (*manifest, error) {
	whole := &manifest{}
	seen := map[string]bool{}
	for next := f.folder.state.Status; next != ""; {
		if seen[next] || len(seen) >= maxPages {
			return nil, fmt.Errorf("%w: its pages do not end", ErrManifest)
		}
		seen[next] = true
		u, err := f.client.link(f.client.base, next)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrManifest, err)
		}
		page, err := f.ready(ctx, u)
		if err != nil {
			return nil, err
		}
		if next, err = whole.append(page, u, f.client); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

// ready polls one address until it gives a page of the manifest.
func (f *fetch) ready(ctx context.Context, u *url.URL) (*manifest, error) {
	failures := 0
	for attempt := 0; ; attempt++ {
		page, header, err := f.poll(ctx, u)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case page != nil:
			return page, nil
		case err == nil:
			failures = 0
		case errors.Is(err, ErrUnreachable) && failures+1 < patience:
			failures++
		default:
			return nil, err
		}
		d := backoff(attempt, header, f.cfg.MaxPoll)
		f.teller.waiting(header.Get("X-Progress"), d)
		if err := f.pause(ctx, d); err != nil {
			return nil, err
		}
	}
}

// poll asks once. Neither page nor error means that the export is not ready.
func (f *fetch) poll(ctx context.Context, u *url.URL) (*manifest, http.Header, error) {
	res, err := f.client.get(ctx, u, http.Header{"Accept": {"application/json"}}, true)
	if err != nil {
		return nil, nil, err
	}
	defer closeBody(res)
	switch {
	case res.StatusCode == http.StatusAccepted:
		return nil, res.Header, nil
	case res.StatusCode == http.StatusTooManyRequests:
		return nil, res.Header, nil // asked too often: the export goes on
	case res.StatusCode == http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
		if err != nil {
			return nil, res.Header, fmt.Errorf("%w: the manifest broke off", ErrUnreachable)
		}
		page, err := parseManifest(body)
		return page, res.Header, err
	}
	a := readAnswer(res)
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		if !f.client.origin[origin(u)] {
			return nil, res.Header, fmt.Errorf("%w: %s from %s, which does not get the token (hint: allow that origin if it is the hospital's)", ErrDenied, a, u.Host)
		}
		return nil, res.Header, f.denied(a)
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		return nil, res.Header, fmt.Errorf("%w: %s (hint: run the same command again; a new one is started)", ErrGone, a)
	case a.status/100 == 5 && a.passing():
		return nil, res.Header, fmt.Errorf("%w: %s", ErrUnreachable, a)
	case a.status/100 == 3:
		return nil, res.Header, fmt.Errorf("%w: it redirects the question for the export, which is not followed with a token", ErrRefused)
	}
	return nil, res.Header, fmt.Errorf("%w: %s (hint: ask those who run the server; the same command starts it anew)", ErrFailed, a)
}

// passing says whether a server error can go away by itself: a gateway's, one
// that says so, or one that says nothing.
func (a answer) passing() bool {
	switch a.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return len(a.codes) == 0 || slices.ContainsFunc(a.codes, func(c string) bool { return slices.Contains(transient, c) })
}

func (f *fetch) pause(ctx context.Context, d time.Duration) error { return f.cfg.Pause(ctx, d) }
