// SPDX-License-Identifier: Apache-2.0

// Package smart is the service's own access to an EHR: SMART Backend Services
// (SMART App Launch 2.2). It discovers the EHR's token endpoint, proves who we
// are by a signed assertion (private_key_jwt, ES384 or RS384), keeps the access
// token until shortly before it expires, and publishes our public keys.
//
// It trusts the registered FHIR base and nothing that is found out from it: a
// token endpoint on another origin is used only where the registration names
// it, and redirects are not followed. Tokens, keys and assertions are in no
// error and no log; where a token is sent is up to the caller, who must know
// no other address than the same base. Whoever can read a private key of the
// ring can read what the EHR lets us read.
package smart

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors of this package. Every error of Source.Grant wraps ErrNoAccess and
// one of the others, where one is the cause.
var (
	// ErrNoAccess: there is no access token to read the EHR with. Answer as if
	// the EHR had denied the data.
	ErrNoAccess = errors.New("no access token for the FHIR server")
	// ErrConfig: the registration is unusable; the text says what to change.
	ErrConfig = errors.New("backend access")
	// ErrKeys: a key or the ring of keys is unusable.
	ErrKeys = errors.New("signing keys")
	// ErrDiscovery: the EHR's smart-configuration cannot be read, offers no
	// Backend Services, or names a token endpoint that is not registered.
	ErrDiscovery = errors.New("SMART discovery")
	// ErrRefused: the token endpoint refused us. The error is a *TokenError.
	ErrRefused = errors.New("refused by the token endpoint")
	// ErrAnswer: the token endpoint could not be reached or its answer is not
	// one of OAuth 2.
	ErrAnswer = errors.New("no usable answer from the token endpoint")
	// ErrScope: the token granted does not open what a decision needs.
	ErrScope = errors.New("granted scope is too small")
)

// DefaultTimeout bounds discovery and token request together.
const DefaultTimeout = 3 * time.Second

// Bounds of the cache of one Source.
const (
	// maxLife is the longest a token is kept, whatever the EHR says.
	maxLife = time.Hour
	// lifeUnsaid is taken when the EHR does not say how long a token lives.
	lifeUnsaid = time.Minute
	// earlyMost and earlyShare say how long before its end a token is renewed:
	// the lesser of 30 s and a quarter of its life.
	earlyMost, earlyShare = 30 * time.Second, 4
	// unusable is how long before its end a token is no longer sent: it must
	// still be good when the EHR reads it.
	unusable = 2 * time.Second
	// failureLife is how long a first failure answers for the EHR, so that an
	// outage costs one request and not one for every hook. It doubles with
	// each failure in a row up to failureLong: an EHR may lock a client out
	// that is refused again and again.
	failureLife, failureLong = 5 * time.Second, 40 * time.Second
	// failureMost bounds what a Retry-After can ask for.
	failureMost = 5 * time.Minute
	// youngest is the age below which a token that the EHR refuses is not
	// fetched anew: another one would fare no better.
	youngest = 5 * time.Second
	// discoveryLife is how long a discovery document is believed.
	discoveryLife = time.Hour
)

// Config is one registration of ours at one EHR.
type Config struct {
	// Base is the registered FHIR base URL: https, or http on loopback.
	Base string
	// ClientID is our id at the EHR: iss and sub of assertions.
	ClientID string
	// TokenURL is the token endpoint. Empty: discovered below Base, and then
	// of the same origin. Set: used as it is, and nothing is discovered.
	TokenURL string
	// Scopes to ask for. Empty: read and search of Need and Want.
	Scopes []string
	// Need are the resource types without which a token is of no use; a token
	// that does not open them is not used. It is checked as far as Scopes
	// speaks SMART's language.
	Need []string
	// Want are further resource types to ask for.
	Want []string
	// Algorithm to sign with. Empty: one that the EHR says it takes and a
	// current key of the ring has, ES384 before RS384.
	Algorithm string
	// JKU, when set, is the registered address of our key set, sent in the
	// header of assertions.
	JKU string
	// HTTP makes the requests; its redirects are not followed. Required: the
	// caller decides which networks may be reached.
	HTTP *http.Client
	// Timeout bounds one discovery and token request. Default DefaultTimeout.
	Timeout time.Duration

	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand; makes jti
}

// Source gives access tokens for one registration. It is safe for concurrent
// use: callers share one request, and one who gives up does not end it for
// the others.
type Source struct {
	cfg   Config
	base  *url.URL
	ring  *Ring
	http  *http.Client
	life  context.Context // ends with Close
	end   context.CancelFunc
	fetch sync.WaitGroup // requests under way

	mu       sync.Mutex // guards what follows
	closed   bool
	token    token
	flight   *flight
	failure  error
	retryAt  time.Time
	failures int    // in a row
	failedOn uint64 // generation of the ring at the failure
	found    Discovery
	foundTil time.Time
}

// flight is one request that callers wait for.
type flight struct {
	done chan struct{}
	got  token // set before done is closed, like err
	err  error
}

// New checks a registration. It asks nobody. Close the source after use.
func New(cfg Config, ring *Ring) (*Source, error) {
	base, err := url.Parse(strings.TrimRight(cfg.Base, "/"))
	switch {
	case err != nil || !secure(base, base) || base.RawQuery != "":
		return nil, fmt.Errorf("%w: the FHIR base is not an https URL without query", ErrConfig)
	case cfg.ClientID == "":
		return nil, fmt.Errorf("%w: no client id (hint: the one the EHR gave at registration)", ErrConfig)
	case ring == nil:
		return nil, fmt.Errorf("%w: no signing keys (hint: files.keys_file)", ErrConfig)
	case cfg.HTTP == nil:
		return nil, fmt.Errorf("%w: no HTTP client", ErrConfig)
	}
	if cfg.TokenURL != "" {
		if u, err := url.Parse(cfg.TokenURL); err != nil || !secure(u, base) {
			return nil, fmt.Errorf("%w: the token URL is not an https URL", ErrConfig)
		}
	}
	for _, s := range cfg.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
			return nil, fmt.Errorf("%w: scope %q is not one scope (hint: a list, one scope each)", ErrConfig, s)
		}
	}
	if _, err := ring.signer(cfg.Algorithm, nil); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	cfg.Scopes, cfg.Need, cfg.Want = slices.Clone(cfg.Scopes), slices.Clone(cfg.Need), slices.Clone(cfg.Want)
	client := *cfg.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &Source{cfg: cfg, base: base, ring: ring, http: &client}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Grant is an access token and what was said of it. It has no form in which
// its token is printed.
type Grant struct {
	Token   string
	Scope   string    // as granted
	Expires time.Time // by our own clock
}

// String hides the token from every %v.
func (g Grant) String() string { return "[redacted] " + g.Scope }

// GoString hides the token from %#v.
func (g Grant) GoString() string { return g.String() }

// MarshalJSON hides the token from encoders.
func (g Grant) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Grant returns an access token that is good for a while yet. In the last part
// of a token's life the old one is given while a new one is fetched. Errors
// wrap ErrNoAccess, and the context's when it ends first.
func (s *Source) Grant(ctx context.Context) (Grant, error) {
	s.mu.Lock()
	now, have := s.cfg.Now(), s.token
	valid := have.good(now)
	if valid && now.Before(have.renew) {
		s.mu.Unlock()
		return have.grant(), nil
	}
	if s.failure != nil && now.Before(s.retryAt) && s.failedOn == s.ring.generation() {
		err := s.failure
		s.mu.Unlock()
		if valid {
			return have.grant(), nil
		}
		return Grant{}, err
	}
	f := s.join()
	s.mu.Unlock()
	if valid {
		return have.grant(), nil
	}
	select {
	case <-f.done:
		return f.got.grant(), f.err
	case <-ctx.Done():
		return Grant{}, fmt.Errorf("%w: %w", ErrNoAccess, ctx.Err())
	}
}

// Token is Grant for callers that need the token alone.
func (s *Source) Token(ctx context.Context) (string, error) {
	g, err := s.Grant(ctx)
	return g.Token, err
}

// Renew returns a token in place of one that the FHIR server answered 401 to.
// A token that was fetched moments ago is not replaced: another one would fare
// no better. Errors are those of Grant.
func (s *Source) Renew(ctx context.Context, refused string) (string, error) {
	s.Drop(refused)
	token, err := s.Token(ctx)
	if err == nil && token == refused {
		return "", fmt.Errorf("%w: the FHIR server refuses a new token", ErrNoAccess)
	}
	return token, err
}

// Drop forgets a token that the FHIR server answered 401 to, unless it was
// fetched moments ago.
func (s *Source) Drop(refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.value == refused && s.cfg.Now().Sub(s.token.obtained) >= youngest {
		s.token = token{}
	}
}

// join returns the request under way, or starts one. The lock is held.
func (s *Source) join() *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	if s.closed {
		f.err = fmt.Errorf("%w: closed", ErrNoAccess)
		close(f.done)
		return f
	}
	s.flight = f
	s.fetch.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.cfg.Timeout)
		defer cancel()
		generation := s.ring.generation()
		got, err := s.obtain(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrNoAccess, err)
			s.failure, s.failedOn, s.retryAt = err, generation, s.cfg.Now().Add(retryAfter(err, s.failures))
			s.failures++
			// The endpoint may have moved: ask for it again next time.
			s.foundTil = time.Time{}
		} else {
			s.failure, s.failures, s.token = nil, 0, got
		}
		f.got, f.err = got, err
		s.flight = nil
		close(f.done)
	})
	return f
}

// Close ends requests under way and waits for them. Token then fails.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed, s.token = true, token{}
	s.mu.Unlock()
	s.end()
	s.fetch.Wait()
}

// secure reports an absolute URL that a secret may be sent to: https, or http
// on loopback when the registered base is on loopback too.
func secure(u, base *url.URL) bool {
	if u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u) && isLoopback(base)
}
