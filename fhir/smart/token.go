// SPDX-License-Identifier: Apache-2.0

package smart

// This file: asking the token endpoint, and reading its answer.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxTokenBytes is the longest access token.
const maxTokenBytes = 16 << 10

// token is an access token with its times, by our own clock.
type token struct {
	value    string
	scope    string // as granted
	obtained time.Time
	renew    time.Time // from here on a new one is fetched
	expires  time.Time
}

// good reports whether the EHR will still take the token when it arrives.
func (t token) good(now time.Time) bool {
	return t.value != "" && now.Before(t.expires.Add(-unusable))
}

func (t token) grant() Grant { return Grant{Token: t.value, Scope: t.scope, Expires: t.expires} }

// TokenError is a refusal by the token endpoint (RFC 6749 5.2). It wraps
// ErrRefused. Its text has the code alone; Description is the EHR's own
// sentence, for an operator's eyes.
type TokenError struct {
	Status      int    // HTTP
	Code        string // invalid_client, invalid_scope, ...; "" when there is none
	Description string // printable ASCII, at most 200 bytes
	Wait        time.Duration
}

// Error names the code and what to look at.
func (e *TokenError) Error() string {
	hint := ""
	switch e.Code {
	case "invalid_client":
		hint = " (hint: does the EHR know the client id and our key set, and was the signing key published before it signed?)"
	case "invalid_scope":
		hint = " (hint: are the scopes of fhir_access granted to us at the EHR?)"
	case "unauthorized_client", "unsupported_grant_type":
		hint = " (hint: is the client registered for client_credentials?)"
	}
	return fmt.Sprintf("%v: %d %s%s", ErrRefused, e.Status, e.Code, hint)
}

// Unwrap makes every TokenError an ErrRefused.
func (e *TokenError) Unwrap() error { return ErrRefused }

// retryAfter is how long a failure is believed that came after before others.
func retryAfter(err error, before int) time.Duration {
	var refused *TokenError
	if errors.As(err, &refused) && refused.Wait > 0 {
		return min(refused.Wait, failureMost)
	}
	return min(failureLife<<min(before, 10), failureLong)
}

// endpoint is where to ask: as registered, or as discovered.
func (s *Source) endpoint(ctx context.Context) (Discovery, error) {
	if s.cfg.TokenURL != "" {
		return Discovery{TokenURL: s.cfg.TokenURL}, nil
	}
	s.mu.Lock()
	found, fresh := s.found, s.cfg.Now().Before(s.foundTil)
	s.mu.Unlock()
	if fresh {
		return found, nil
	}
	found, err := s.discover(ctx)
	if err != nil {
		return Discovery{}, err
	}
	s.mu.Lock()
	s.found, s.foundTil = found, s.cfg.Now().Add(discoveryLife)
	s.mu.Unlock()
	return found, nil
}

// scopes are what is asked for.
func (s *Source) scopes(v1 bool) []string {
	if len(s.cfg.Scopes) > 0 {
		return s.cfg.Scopes
	}
	return Scopes(append(append([]string{}, s.cfg.Need...), s.cfg.Want...), v1)
}

// obtain asks once. Each request has an assertion of its own.
func (s *Source) obtain(ctx context.Context) (token, error) {
	where, err := s.endpoint(ctx)
	if err != nil {
		return token{}, err
	}
	key, err := s.ring.signer(s.cfg.Algorithm, where.Algorithms)
	if err != nil {
		return token{}, err
	}
	asked := s.now()
	assertion, err := key.assertion(s.cfg.ClientID, where.TokenURL, s.cfg.JKU, asked, s.cfg.Random)
	if err != nil {
		return token{}, err
	}
	scopes := s.scopes(where.V1)
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")},
		"client_assertion_type": {assertionType}, "client_assertion": {assertion},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, fmt.Errorf("%w: %w", ErrAnswer, errRequest)
	}
	// An assertion is good for one request: net/http must not send it again by
	// itself. So it gets a connection of its own, for one that was kept may
	// just be closing, and these requests are minutes apart.
	req.GetBody, req.Close = nil, true
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return token{}, fmt.Errorf("%w: %w", ErrAnswer, unreachable(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return token{}, refusal(res, asked)
	}
	data, err := readJSON(res)
	if err != nil {
		return token{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	got, err := ParseToken(data)
	if err != nil {
		return token{}, err
	}
	if got.Scope == "" { // RFC 6749 5.1: then it is what was asked for
		got.Scope = strings.Join(scopes, " ")
	}
	if lack := missing(s.cfg.Need, scopes, got.Scope); len(lack) > 0 {
		return token{}, fmt.Errorf("%w: it does not open %s (hint: grant %s to us at the EHR)", ErrScope,
			strings.Join(lack, ", "), strings.Join(Scopes(lack, where.V1), " "))
	}
	// The life counts from before we asked, so that a slow answer cannot make
	// a token look younger than it is.
	life := min(got.Life, maxLife)
	return token{
		value: got.Value, scope: got.Scope, obtained: asked, expires: asked.Add(life),
		renew: asked.Add(life - min(earlyMost, life/earlyShare)),
	}, nil
}

// now is the clock of the registration.
func (s *Source) now() time.Time { return s.cfg.Now() }

// Answer is what is used of a token endpoint's answer.
type Answer struct {
	Value string        // the access token; never logged
	Scope string        // as granted; "" when the EHR does not say
	Life  time.Duration // expires_in; one minute when the EHR does not say
}

// ParseToken reads a successful answer (RFC 6749 5.1). Errors wrap ErrAnswer
// and hold nothing of it.
func ParseToken(data []byte) (Answer, error) {
	fail := func(why string) (Answer, error) { return Answer{}, fmt.Errorf("%w: %s", ErrAnswer, why) }
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil || doc == nil {
		return fail("it is not a JSON object")
	}
	a := Answer{Life: lifeUnsaid}
	var kind string
	switch {
	case json.Unmarshal(doc["access_token"], &a.Value) != nil || !bearer(a.Value):
		return fail("access_token is missing or not a bearer token")
	case json.Unmarshal(doc["token_type"], &kind) != nil || !strings.EqualFold(kind, "bearer"):
		return fail("token_type is not Bearer")
	}
	if raw, ok := doc["scope"]; ok && json.Unmarshal(raw, &a.Scope) != nil {
		return fail("scope is not text")
	}
	if raw, ok := doc["expires_in"]; ok && string(raw) != "null" {
		// Some servers write the number as text.
		seconds, err := strconv.ParseInt(string(bytes.Trim(raw, `"`)), 10, 64)
		if err != nil || seconds <= 0 {
			return fail("expires_in is not a positive number of seconds")
		}
		a.Life = time.Duration(min(seconds, int64(maxLife/time.Second))) * time.Second
	}
	return a, nil
}

// bearer reports text that may stand in an Authorization header (RFC 6750 2.1).
func bearer(token string) bool {
	return token != "" && len(token) <= maxTokenBytes && !strings.ContainsFunc(token, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
	})
}

// refusal words an answer that is no success.
func refusal(res *http.Response, now time.Time) error {
	e := &TokenError{Status: res.StatusCode}
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return fmt.Errorf("%w: it redirects, which is not followed (hint: register the address it redirects to)", ErrAnswer)
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		e.Wait = waitFor(res.Header.Get("Retry-After"), now)
	}
	if data, err := readJSON(res); err == nil {
		var doc struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(data, &doc) == nil {
			e.Code, e.Description = word(doc.Error), printable(doc.Description)
		}
	}
	return e
}

// waitFor reads Retry-After, in seconds or as a date.
func waitFor(header string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(strings.TrimSpace(header)); err == nil && s > 0 {
		return time.Duration(min(s, 86400)) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// word keeps an error code when it looks like one.
func word(code string) string {
	if len(code) > 60 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "unknown error"
	}
	return code
}

// printable keeps the ASCII of a sentence, up to 200 bytes.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 200)]
}
