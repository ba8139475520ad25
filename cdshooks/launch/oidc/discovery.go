// SPDX-License-Identifier: Apache-2.0

package oidc

// This file: where a provider is: as registered, or as its metadata say.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is read from a provider, and of how long it is believed.
const (
	maxAnswer     = 256 << 10
	endpointsLife = time.Hour
	failureLife   = 5 * time.Second // an outage costs one request in so long
)

// endpointsCache remembers endpoints, or that they could not be had.
type endpointsCache struct {
	mu    sync.Mutex // guards what follows
	got   Endpoints
	err   error
	until time.Time
}

// Endpoints are the provider's, read when what is remembered is too old. Callers
// wait for one read. Errors wrap ErrUnavailable.
func (p *Provider) Endpoints(ctx context.Context, now time.Time) (Endpoints, error) {
	k := p.cfg.Known
	if k.Issuer != "" && k.Authorize != "" && k.Token != "" && k.JWKS != "" {
		return k, nil
	}
	p.found.mu.Lock()
	defer p.found.mu.Unlock()
	if now.Before(p.found.until) {
		return p.found.got, p.found.err
	}
	// The read outlives a browser that goes away: others wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	p.found.until = now.Add(endpointsLife)
	if p.found.got, p.found.err = p.discover(ctx); p.found.err != nil {
		p.found.until = now.Add(failureLife)
	}
	return p.found.got, p.found.err
}

func (p *Provider) discover(ctx context.Context) (Endpoints, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.cfg.Document, nil)
	if err != nil {
		return Endpoints{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	data, status, err := p.ask(req)
	switch {
	case err != nil:
		return Endpoints{}, fmt.Errorf("%w: metadata: %w", ErrUnavailable, err)
	case status != http.StatusOK:
		return Endpoints{}, fmt.Errorf("%w: metadata: status %d", ErrUnavailable, status)
	}
	return p.cfg.parse(data)
}

// parse reads a metadata document. What is known is taken from there; everything
// else must be of the base's origin: a document that was tampered with must not
// send codes elsewhere. Errors wrap ErrUnavailable.
func (c Config) parse(data []byte) (Endpoints, error) {
	fail := func(format string, args ...any) (Endpoints, error) {
		return Endpoints{}, fmt.Errorf("%w: metadata: %s", ErrUnavailable, fmt.Sprintf(format, args...))
	}
	set := c.Known
	base, err := url.Parse(c.Base)
	if err != nil {
		return fail("the registered base is no URL")
	}
	doc, err := object(data)
	if err != nil {
		return fail("%v", err)
	}
	if issuer, err := text(doc, "issuer"); c.SameIssuer && (err != nil || issuer != set.Issuer) {
		return fail("it is of another issuer")
	}
	for _, f := range []struct {
		name, hint string
		into       *string
	}{
		{"issuer", "issuer", &set.Issuer}, {"authorization_endpoint", "authorize_url", &set.Authorize},
		{"token_endpoint", "token_url", &set.Token}, {"jwks_uri", "jwks_url", &set.JWKS}, {"end_session_endpoint", "", &set.Logout},
	} {
		if *f.into != "" {
			continue
		}
		said, err := text(doc, f.name)
		if f.hint == "" && (err != nil || !sameOrigin(said, base)) {
			continue // nothing depends on it
		}
		if err != nil || said == "" {
			return fail("it has no %s (hint: set %s)", f.name, f.hint)
		}
		if !sameOrigin(said, base) {
			return fail("%s is on another origin than what is registered (hint: if the provider's documentation says so too, set %s)", f.name, f.hint)
		}
		*f.into = said
	}
	var methods []string
	if raw, ok := doc["code_challenge_methods_supported"]; ok {
		if json.Unmarshal(raw, &methods) != nil || !slices.Contains(methods, "S256") {
			return fail("the provider does not take PKCE with S256")
		}
	}
	return set, nil
}

// sameOrigin reports an absolute URL on the origin of base.
func sameOrigin(address string, base *url.URL) bool {
	u, err := url.Parse(address)
	return err == nil && u.User == nil && u.Fragment == "" && u.Host != "" && strings.EqualFold(u.Scheme, base.Scheme) && strings.EqualFold(u.Host, base.Host)
}

// ask sends a request and reads a bounded answer.
func (p *Provider) ask(req *http.Request) (body []byte, status int, err error) {
	req.Header.Set("Accept", "application/json")
	res, err := p.cfg.HTTP.Do(req)
	if err != nil {
		var u *url.Error // says the address, and so perhaps a code
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	if kind, _, badType := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil && (badType != nil || kind == "text/html") {
		err = errors.New("the answer is not JSON")
	}
	return body, res.StatusCode, err
}

// object reads a JSON object by the exact names of its members; one that is
// named twice is refused.
func object(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	out := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		if _, twice := out[name]; twice {
			return nil, errors.New("a member is named twice")
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, errors.New("not a JSON object")
		}
		out[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return out, nil
}

// text is a member that is text; "" where there is none.
func text(doc map[string]json.RawMessage, name string) (string, error) {
	raw, ok := doc[name]
	if !ok {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || len(s) > MaxParameter*8 {
		return "", fmt.Errorf("%s is not text", name)
	}
	return s, nil
}
