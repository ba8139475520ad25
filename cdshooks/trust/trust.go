// SPDX-License-Identifier: Apache-2.0

// Package trust decides who is calling: it holds the registered CDS clients
// and verifies the signed token that each call carries.
//
// It trusts the registrations in the configuration and nothing in a request:
// the public base URL of this service is configured and never read from a
// header; keys come from the registered set or address; a jku is compared
// with the registered ones before anything is fetched; embedded keys are
// ignored. There is no mode without authentication and no built-in client.
// Every failure is ErrUnauthorized; its reason goes into the receipt and never
// into the answer.
package trust

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ErrUnauthorized: the token is missing, malformed, forged, out of date, used
// before, or not from a registered client. Answer 401 and say nothing more.
var ErrUnauthorized = errors.New("unauthorized")

// ErrConfig: a registration is unusable; the text says which and why.
var ErrConfig = errors.New("client registration")

// Refusal is why a token was refused, in a stable word for receipts.
type Refusal struct {
	Reason string
	Issuer string // as claimed, only when it is a registered one; else ""
	Err    error  // detail for a test or an operator; never sent
}

// Error says the reason, for receipts and tests.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return "unauthorized: " + r.Reason + ": " + r.Err.Error()
	}
	return "unauthorized: " + r.Reason
}

// Unwrap makes every Refusal an ErrUnauthorized.
func (r *Refusal) Unwrap() error { return ErrUnauthorized }

// Display modes of a client's unit (design.md 5.11).
const (
	DisplaySilent  = "silent"  // decide and record, show nothing
	DisplayInform  = "inform"  // show state and hazards, no dose
	DisplaySuggest = "suggest" // show suggestions
)

// Networks that a client's addresses may lie in.
const (
	NetworkPublic   = "public"   // no loopback, private or link-local address
	NetworkPrivate  = "private"  // also private (RFC 1918, RFC 4193) addresses
	NetworkLoopback = "loopback" // only loopback; the one place where http is allowed: demo and tests
)

// Client is one registered CDS client (one EHR instance of one organisation).
// Everything here is trusted: whoever can write it can ask for decisions.
type Client struct {
	// Name is our own short name for the client, used in receipts and metrics.
	Name string `yaml:"name"`
	// Issuer is the exact iss of its tokens.
	Issuer string `yaml:"issuer"`
	// Subject, when set, is the exact sub of its tokens (Epic: the client id).
	Subject string `yaml:"subject"`
	// Tenants, when set, are the accepted values of the tenant claim.
	Tenants []string `yaml:"tenants"`
	// JWKSURL is where its public keys are read when a token names no jku.
	JWKSURL string `yaml:"jwks_url"`
	// JWKS is its key set as JSON text, instead of JWKSURL.
	JWKS string `yaml:"jwks"`
	// JWKSFor are addresses that its tokens may name in jku and that JWKS
	// answers for: they are compared and never fetched, so Network does not
	// bound them.
	JWKSFor []string `yaml:"jwks_for"`
	// JKUs are further key set addresses that its tokens may name in jku. A
	// token that names any other address is refused without a fetch.
	JKUs []string `yaml:"jkus"`
	// Algorithms it may sign with. Default: ES384 and RS384.
	Algorithms []string `yaml:"algorithms"`
	// Audiences are accepted in aud beside the URL of the endpoint called:
	// some EHRs have the audience typed in by hand.
	Audiences []string `yaml:"audiences"`
	// FHIRServer is the base URL of its FHIR API: the only address this
	// service ever sends the client's access token to. Empty: prefetch only.
	FHIRServer string `yaml:"fhir_server"`
	// FHIRAccess says by which right FHIRServer is read. Default: by the token
	// that a call brings.
	FHIRAccess FHIRAccess `yaml:"fhir_access"`
	// Launch says how the evidence page of its cards is opened. Default: not at
	// all.
	Launch Launch `yaml:"launch"`
	// Network says where JWKSURL, JKUs, FHIRServer and the endpoints of Launch
	// and of its tokens may lie. Default: public.
	Network string `yaml:"network"`
	// Services are the ids it may call. Empty: every service.
	Services []string `yaml:"services"`
	// Origins are the exact web origins that may call from a browser, and show
	// the evidence page in a frame.
	Origins []string `yaml:"origins"`
	// Display is the mode of every unit that DisplayByUnit does not name.
	// Default: silent.
	Display string `yaml:"display"`
	// DisplayByUnit sets the mode of single units, by the unit's charted name.
	DisplayByUnit map[string]string `yaml:"display_by_unit"`
	// MaxTokenLife is the longest exp-iat accepted. Default and ceiling: 1 h
	// (Epic's tokens live 15 min).
	MaxTokenLife time.Duration `yaml:"max_token_life"`
	// RatePerSecond is how many calls a second it may make, after a burst of
	// RateBurst (default: twice the rate); more are answered 429. Default: as
	// many as it likes.
	RatePerSecond float64 `yaml:"rate_per_second"`
	RateBurst     int     `yaml:"rate_burst"`
	// MaxConcurrent is how many of its calls are worked on at once; more wait
	// briefly and are then answered 429. Default: three quarters of
	// cdshooks.max_concurrent, or all of it where it is the only client.
	MaxConcurrent int `yaml:"max_concurrent"`
	// Quirks are the client's known departures from the contract.
	Quirks Quirks `yaml:"quirks"`
}

// Quirks are departures of one EHR from the contract that it cannot be rid of.
type Quirks struct {
	// SelectionBehavior of suggestions: at-most-one (default) or any (Epic
	// knows only any).
	SelectionBehavior string `yaml:"selection_behavior" json:"selectionBehavior,omitempty"`
	// PrefetchKeys renames prefetch keys as the client sends them to the keys
	// of the discovery document (Epic: typed in by hand, e.g. "-patient").
	PrefetchKeys map[string]string `yaml:"prefetch_keys" json:"-"`
	// Drafts lets cards carry draft orders for non-vasoactive fluid boluses
	// (design.md 5.9). Default: no. Epic discards the dose of a draft.
	Drafts bool `yaml:"drafts" json:"drafts,omitempty"`
}

// DisplayFor is the display mode configured for a unit.
func (c *Client) DisplayFor(unit string) string {
	if mode, ok := c.DisplayByUnit[unit]; ok {
		return mode
	}
	return c.Display
}

// MayCall reports whether the client is registered for a service.
func (c *Client) MayCall(service string) bool {
	return len(c.Services) == 0 || slices.Contains(c.Services, service)
}

// withDefaults returns the registration with defaults filled in, or why it is
// unusable.
func (c Client) withDefaults() (*Client, error) {
	fail := func(format string, args ...any) (*Client, error) {
		return nil, fmt.Errorf("%w %q: %s", ErrConfig, c.Name, fmt.Sprintf(format, args...))
	}
	c.Tenants, c.JKUs, c.JWKSFor, c.Audiences = slices.Clone(c.Tenants), slices.Clone(c.JKUs), slices.Clone(c.JWKSFor), slices.Clone(c.Audiences)
	if c.Network == "" {
		c.Network = NetworkPublic
	}
	if c.Display == "" {
		c.Display = DisplaySilent
	}
	if c.Quirks.SelectionBehavior == "" {
		c.Quirks.SelectionBehavior = "at-most-one"
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"ES384", "RS384"}
	}
	if c.MaxTokenLife == 0 {
		c.MaxTokenLife = time.Hour
	}
	switch {
	case c.Name == "" || c.Issuer == "":
		return fail("name and issuer are required")
	case c.Network != NetworkPublic && c.Network != NetworkPrivate && c.Network != NetworkLoopback:
		return fail("network %q is not one of public, private, loopback", c.Network)
	case c.JWKS == "" && c.JWKSURL == "" && len(c.JKUs) == 0:
		return fail("no keys (hint: set jwks_url, or jwks with the key set itself)")
	case c.JWKS == "" && len(c.JWKSFor) > 0:
		return fail("jwks_for without jwks (hint: set jwks to the key set that is at this address)")
	case slices.ContainsFunc(c.JWKSFor, func(a string) bool { return a == "" || slices.Contains(c.JKUs, a) }):
		return fail("an address of jwks_for is empty, or is in jkus too (hint: jkus are fetched, those of jwks_for are not)")
	case c.JWKS != "" && c.JWKSURL != "":
		return fail("both jwks and jwks_url are set (hint: keep one)")
	case c.RatePerSecond < 0 || c.RateBurst < 0 || c.MaxConcurrent < 0 || c.RatePerSecond > 1e6 || c.RateBurst > 1e6 || math.IsNaN(c.RatePerSecond):
		return fail("rate_per_second, rate_burst and max_concurrent are not between 0 and a million")
	case c.RateBurst > 0 && c.RatePerSecond == 0:
		return fail("rate_burst without rate_per_second")
	case c.MaxTokenLife < 0 || c.MaxTokenLife > time.Hour:
		return fail("max_token_life %v is not between 0 and 1h", c.MaxTokenLife)
	case c.Quirks.SelectionBehavior != "at-most-one" && c.Quirks.SelectionBehavior != "any":
		return fail("quirks.selection_behavior %q is not at-most-one or any", c.Quirks.SelectionBehavior)
	}
	for _, alg := range c.Algorithms {
		if _, ok := algorithms[alg]; !ok {
			return fail("algorithm %q is not ES384 or RS384", alg)
		}
	}
	modes := []string{c.Display}
	for _, mode := range c.DisplayByUnit {
		modes = append(modes, mode)
	}
	for _, mode := range modes {
		if mode != DisplaySilent && mode != DisplayInform && mode != DisplaySuggest {
			return fail("display %q is not one of silent, inform, suggest", mode)
		}
	}
	for _, address := range append([]string{c.JWKSURL, c.FHIRServer}, c.JKUs...) {
		if address == "" {
			continue
		}
		if err := checkAddress(address, c.Network); err != nil {
			return fail("%v", err)
		}
	}
	var err error
	if c.FHIRAccess, err = c.FHIRAccess.withDefaults(c.FHIRServer, c.Network); err != nil {
		return fail("%v", err)
	}
	if err := c.Launch.check(&c); err != nil {
		return fail("%v", err)
	}
	return &c, nil
}

// checkAddress accepts https addresses, and http ones on loopback only.
func checkAddress(address, network string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not an absolute URL", address)
	}
	loopback := IsLoopbackHost(u.Hostname())
	switch {
	case network == NetworkLoopback && !loopback:
		return fmt.Errorf("%q is not on loopback, as network: loopback says", address)
	case network == NetworkLoopback && (u.Scheme == "http" || u.Scheme == "https"):
		return nil
	case u.Scheme != "https":
		return fmt.Errorf("%q is not https", address)
	case loopback:
		return fmt.Errorf("%q is on loopback (hint: network: loopback, for a demo or test only)", address)
	}
	return nil
}

// Caller is who made a call, once its token has been verified.
type Caller struct {
	Client  *Client
	JTI     string
	Subject string
	Tenant  string
	Issued  time.Time
	Expires time.Time
}

// Seen remembers which tokens were used. Implementations are safe for
// concurrent use and atomic: of two calls with one (issuer, jti), exactly one
// is told first. An entry may be forgotten after until. Several replicas must
// share one Seen, or a token can be used once on each. An error refuses the
// token.
type Seen interface {
	FirstUse(ctx context.Context, issuer, jti string, until time.Time) (first bool, err error)
}

// Registry verifies tokens against the registered clients. It is safe for
// concurrent use.
type Registry struct {
	clients map[string]*Client // by issuer
	keys    map[string]*keySource
	seen    Seen
	within  time.Duration
	now     func() time.Time
	leeway  time.Duration
}

// Options are the collaborators of a Registry; zero values are usable.
type Options struct {
	Seen   Seen             // default: an in-memory one, for a single replica
	Now    func() time.Time // default: time.Now
	Leeway time.Duration    // clock skew allowed; default and ceiling 60 s
	// SeenWithin bounds one question to Seen; one without an answer refuses the
	// token. 0: the context of the call does.
	SeenWithin time.Duration
}

// New checks the registrations. No two clients may share a name or an issuer.
// Errors wrap ErrConfig.
func New(clients []Client, opts Options) (*Registry, error) {
	r := &Registry{
		clients: map[string]*Client{}, keys: map[string]*keySource{},
		seen: opts.Seen, within: opts.SeenWithin, now: opts.Now, leeway: opts.Leeway,
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.seen == nil {
		r.seen = NewMemorySeen(r.now)
	}
	if r.leeway <= 0 || r.leeway > time.Minute {
		r.leeway = time.Minute
	}
	names, launches := map[string]bool{}, map[string]bool{}
	for _, given := range clients {
		c, err := given.withDefaults()
		if err != nil {
			return nil, err
		}
		if names[c.Name] || r.clients[c.Issuer] != nil {
			return nil, fmt.Errorf("%w %q: its name or issuer is registered twice", ErrConfig, c.Name)
		}
		if c.Launch.Enabled() && launches[c.FHIRServer] {
			return nil, fmt.Errorf("%w %q: another client is launched from the same fhir_server", ErrConfig, c.Name)
		}
		names[c.Name], r.clients[c.Issuer] = true, c
		launches[c.FHIRServer] = launches[c.FHIRServer] || c.Launch.Enabled()
		if err := r.addKeys(c); err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrConfig, c.Name, err)
		}
	}
	return r, nil
}

// addKeys makes the client's key sources. Sources are kept per client, so that
// one client can never lend its keys to another.
func (r *Registry) addKeys(c *Client) error {
	if c.JWKS != "" {
		set, err := parseKeySet([]byte(c.JWKS))
		if err != nil {
			return err
		}
		if len(set) == 0 {
			return errors.New("jwks holds no key that can verify (hint: each needs a kid, and is EC with P-384 or RSA)")
		}
		r.keys[c.Issuer+" "] = &keySource{set: set, fixed: true}
	}
	for _, address := range append([]string{c.JWKSURL}, c.JKUs...) {
		if address != "" {
			r.keys[c.Issuer+" "+address] = newKeySource(address, c.HTTPClient(keyTimeout), r.now)
		}
	}
	return nil
}

// Clients are the registrations, sorted by name.
func (r *Registry) Clients() []*Client {
	out := make([]*Client, 0, len(r.clients))
	for _, c := range r.clients {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Allows reports whether a browser page of this origin may call, and it is
// exact: no wildcard, no suffix.
func (r *Registry) Allows(origin string) bool {
	for _, c := range r.clients {
		if origin != "" && slices.Contains(c.Origins, origin) {
			return true
		}
	}
	return false
}
