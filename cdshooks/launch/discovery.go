// SPDX-License-Identifier: Apache-2.0

package launch

// This file: where an EHR's authorization server is: as registered, or as the
// FHIR base says.

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

// Bounds of what is read from an EHR, and of how long it is believed.
const (
	maxAnswer     = 256 << 10
	endpointsLife = time.Hour
	failureLife   = 5 * time.Second // an outage costs one request in so long
)

// endpoints is what is used of an EHR's SMART configuration.
type endpoints struct {
	issuer, authorize, token, jwks string
}

// endpointsCache remembers endpoints, or that they could not be had.
type endpointsCache struct {
	mu    sync.Mutex // guards what follows
	got   endpoints
	err   error
	until time.Time
}

// endpoints are the EHR's, read when what is remembered is too old. Callers
// wait for one read. Errors wrap ErrUnavailable.
func (e *ehr) endpoints(ctx context.Context, now time.Time) (endpoints, error) {
	l := e.client.Launch
	set := endpoints{l.Issuer, l.AuthorizeURL, l.TokenURL, l.JWKSURL}
	if set.issuer != "" && set.authorize != "" && set.token != "" && set.jwks != "" {
		return set, nil
	}
	e.found.mu.Lock()
	defer e.found.mu.Unlock()
	if now.Before(e.found.until) {
		return e.found.got, e.found.err
	}
	// The read outlives a browser that goes away: others wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	e.found.until = now.Add(endpointsLife)
	if e.found.got, e.found.err = e.discover(ctx, set); e.found.err != nil {
		e.found.until = now.Add(failureLife)
	}
	return e.found.got, e.found.err
}

func (e *ehr) discover(ctx context.Context, set endpoints) (endpoints, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(e.client.FHIRServer, "/")+"/.well-known/smart-configuration", nil)
	if err != nil {
		return endpoints{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	data, status, err := e.ask(req)
	switch {
	case err != nil:
		return endpoints{}, fmt.Errorf("%w: smart-configuration: %w", ErrUnavailable, err)
	case status != http.StatusOK:
		return endpoints{}, fmt.Errorf("%w: smart-configuration answers %d", ErrUnavailable, status)
	}
	return parseConfiguration(data, e.client.FHIRServer, set)
}

// parseConfiguration reads a SMART configuration of a registered base. What set
// names is taken from there; everything else must be of the base's origin: a
// document that was tampered with must not send codes elsewhere. Errors wrap
// ErrUnavailable.
func parseConfiguration(data []byte, fhirServer string, set endpoints) (endpoints, error) {
	fail := func(format string, args ...any) (endpoints, error) {
		return endpoints{}, fmt.Errorf("%w: smart-configuration: %s", ErrUnavailable, fmt.Sprintf(format, args...))
	}
	base, err := url.Parse(fhirServer)
	if err != nil {
		return fail("the registered base is no URL")
	}
	doc, err := object(data)
	if err != nil {
		return fail("%v", err)
	}
	for _, f := range []struct {
		name, hint string
		into       *string
	}{
		{"issuer", "issuer", &set.issuer}, {"authorization_endpoint", "authorize_url", &set.authorize},
		{"token_endpoint", "token_url", &set.token}, {"jwks_uri", "jwks_url", &set.jwks},
	} {
		if *f.into != "" {
			continue
		}
		if *f.into, err = text(doc, f.name); err != nil || *f.into == "" {
			return fail("it has no %s (hint: launch.%s)", f.name, f.hint)
		}
		u, err := url.Parse(*f.into)
		switch {
		case err != nil || u.User != nil || u.Fragment != "" || u.Host == "":
			return fail("%s is not an absolute URL", f.name)
		case !strings.EqualFold(u.Scheme, base.Scheme) || !strings.EqualFold(u.Host, base.Host):
			return fail("%s is on another origin than the FHIR server (hint: if the EHR's documentation says so too, set launch.%s)", f.name, f.hint)
		}
	}
	var methods []string
	if raw, ok := doc["code_challenge_methods_supported"]; ok {
		if json.Unmarshal(raw, &methods) != nil || !slices.Contains(methods, "S256") {
			return fail("the EHR does not take PKCE with S256")
		}
	}
	return set, nil
}

// ask sends a request and reads a bounded answer.
func (e *ehr) ask(req *http.Request) (body []byte, status int, err error) {
	req.Header.Set("Accept", "application/json")
	res, err := e.http.Do(req)
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
	if err := json.Unmarshal(raw, &s); err != nil || len(s) > maxParameter*8 {
		return "", fmt.Errorf("%s is not text", name)
	}
	return s, nil
}
