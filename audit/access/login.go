// SPDX-License-Identifier: Apache-2.0

package access

// This file: signing a reader in by redirect at the identity provider (OpenID
// Connect, authorization code with PKCE, state and nonce). No token of the provider
// is kept: what the id token said of the reader's roles holds for a short life, and
// then the browser asks the provider again.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/configs"
)

// LoginConfig is this service as a client of the identity provider. Without a
// client id, readers bring tokens that they got elsewhere.
type LoginConfig struct {
	// ClientID is what the provider calls this service where people sign in; id
	// tokens have it as aud.
	ClientID string `yaml:"client_id"`
	// SecretFile holds the secret of a confidential client, mode 0600 or 0440.
	// Empty: a public one, which PKCE protects.
	SecretFile string `yaml:"secret_file"`
	// AuthorizeURL, TokenURL and LogoutURL are the provider's endpoints. Empty: as
	// its metadata say, where they lie on the origin of the issuer.
	AuthorizeURL string `yaml:"authorize_url"`
	TokenURL     string `yaml:"token_url"`
	LogoutURL    string `yaml:"logout_url"`
	// Scopes are asked for beside openid, e.g. for the roles claim.
	Scopes []string `yaml:"scopes"`
	// Life is how long a sign-in holds before the provider is asked again; a role
	// that was taken away ends then. Default 15 min; 1 min to 1 h.
	Life time.Duration `yaml:"life"`
}

// Enabled reports that people sign in by redirect.
func (c LoginConfig) Enabled() bool { return c.ClientID != "" }

// How long a sign-in holds by default and at most, how long somebody may take to
// type a password, and how many codes are exchanged at once: strangers can begin a
// sign-in too.
const (
	defaultLife  = 15 * time.Minute
	maxLife      = time.Hour
	pendingLife  = 10 * time.Minute
	maxExchanges = 16
	loginTimeout = 5 * time.Second
)

// check reports the first value that cannot be right, for a provider with this
// issuer in this network.
func (c LoginConfig) check(issuer, network string) error {
	if !c.Enabled() {
		if c.SecretFile != "" || c.AuthorizeURL != "" || c.TokenURL != "" || c.LogoutURL != "" || len(c.Scopes) > 0 || c.Life != 0 {
			return fmt.Errorf("%w: login.client_id is empty, and other values of login are set", ErrConfig)
		}
		return nil
	}
	if c.Life != 0 && (c.Life < time.Minute || c.Life > maxLife) {
		return fmt.Errorf("%w: login.life %v is not between 1m and %v", ErrConfig, c.Life, maxLife)
	}
	for _, s := range c.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\n\"\\") || s == "offline_access" {
			return fmt.Errorf("%w: login.scopes: %q is none that is asked for here", ErrConfig, s)
		}
	}
	for key, address := range map[string]string{"issuer": issuer, "login.authorize_url": c.AuthorizeURL, "login.token_url": c.TokenURL, "login.logout_url": c.LogoutURL} {
		if address == "" {
			continue
		}
		if err := trust.CheckAddress(address, network); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
		}
	}
	return nil
}

// Once reports whether an id is used for the first time, on any replica.
type Once func(ctx context.Context, issuer, id string, until time.Time) (bool, error)

// Login signs readers in. It is safe for concurrent use.
type Login struct {
	gate      *Gate
	provider  *oidc.Provider
	box       *oidc.Box
	redirect  string
	once      Once
	exchanges chan struct{}
}

// NewLogin makes the sign-in of a gate; nil where the configuration has none.
// redirect is the address to come back to, as registered at the provider; where it
// is https, cookies are sent over nothing else. key seals what the browser keeps,
// and is shared by replicas. Errors wrap ErrConfig.
func (g *Gate) NewLogin(redirect string, key func() []byte, once Once) (*Login, error) {
	c := g.cfg.Login
	if !c.Enabled() {
		return nil, nil
	}
	if u, err := url.Parse(redirect); err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: login needs cdshooks.public_url, to which readers come back", ErrConfig)
	}
	if len(key()) < 32 || once == nil {
		return nil, fmt.Errorf("%w: login needs a key that replicas share (hint: files.evidence_key_file, 32 bytes at least)", ErrConfig)
	}
	secret := ""
	if c.SecretFile != "" {
		data, err := configs.ReadSecret(c.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("%w: login.secret_file: %w", ErrConfig, err)
		}
		secret = strings.TrimSpace(string(data))
	}
	box := oidc.NewBox("sepsisagent audit sign-in", key, nil)
	registration := trust.Client{Network: g.cfg.Network}
	return &Login{
		gate: g, box: box, redirect: redirect, once: once, exchanges: make(chan struct{}, maxExchanges),
		provider: oidc.New(oidc.Config{
			ClientID: c.ClientID, Secret: secret, HTTP: registration.HTTPClient(loginTimeout),
			Document: strings.TrimRight(g.cfg.Issuer, "/") + "/.well-known/openid-configuration", Base: g.cfg.Issuer, SameIssuer: true,
			Known: oidc.Endpoints{Issuer: g.cfg.Issuer, Authorize: c.AuthorizeURL, Token: c.TokenURL, JWKS: g.cfg.JWKSURL, Logout: c.LogoutURL},
		}),
	}, nil
}

// Close ends idle connections to the provider.
func (l *Login) Close() { l.provider.Close() }

// Life is how long a sign-in holds.
func (l *Login) Life() time.Duration { return l.gate.cfg.Login.Life }

// Back is what a reader comes back to.
type Back struct {
	To   string `json:"t"` // a page
	Kept string `json:"k"` // what else the caller wants to have again
}

// pending is a sign-in that waits for its code.
type pending struct {
	oidc.Secrets
	Back
	Until int64 `json:"u"` // Unix seconds
}

// Begin gives the address to send a browser to, and the cookie that it must bring
// back. Errors wrap oidc.ErrUnavailable.
func (l *Login) Begin(ctx context.Context, back Back) (location string, cookie *http.Cookie, err error) {
	now := l.gate.now()
	at, err := l.provider.Endpoints(ctx, now)
	if err != nil {
		return "", nil, err
	}
	p := pending{Back: back, Until: now.Add(pendingLife).Unix()}
	if p.Secrets, err = oidc.NewSecrets(nil); err != nil {
		return "", nil, err
	}
	value, err := l.box.Seal("pending", p)
	if err != nil {
		return "", nil, err
	}
	scopes := strings.Join(append([]string{"openid"}, l.gate.cfg.Login.Scopes...), " ")
	location, err = l.provider.Address(at, p.Secrets, l.redirect, map[string]string{"scope": scopes})
	// Lax: the browser comes back from another site.
	return location, &http.Cookie{
		Name: l.cookieOf(p.State), Value: value, Path: "/", MaxAge: int(pendingLife.Seconds()), HttpOnly: true, Secure: l.secure(), SameSite: http.SameSiteLaxMode,
	}, err
}

func (l *Login) secure() bool { return strings.HasPrefix(l.redirect, "https://") }

// cookieOf names the cookie of one sign-in: several tabs may sign in at once.
func (l *Login) cookieOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	name := "sepsisagent-audit-sign-in-" + hex.EncodeToString(sum[:8])
	if l.secure() {
		return "__Host-" + name
	}
	return name
}

// Finish takes what the browser brings back. spent is the cookie to put in place of
// the one that was used, also beside an error; nil where there was none. Errors:
// *oidc.Refusal, or one that wraps oidc.ErrUnavailable.
func (l *Login) Finish(ctx context.Context, query url.Values, cookies []*http.Cookie) (r Reader, back Back, spent *http.Cookie, err error) {
	fail := func(reason string, err error) (Reader, Back, *http.Cookie, error) {
		return Reader{}, Back{}, spent, oidc.Refuse(reason, err)
	}
	state, err := oidc.One(query, "state", oidc.MaxParameter)
	if err != nil {
		return fail("state", err)
	}
	var p pending
	name, found := l.cookieOf(state), false
	for _, k := range cookies {
		if k.Name == name && l.box.Open("pending", k.Value, &p) == nil && p.State == state {
			found = true
			break
		}
	}
	now := l.gate.now()
	if !found {
		return fail("no-cookie", nil)
	}
	spent = &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: l.secure(), SameSite: http.SameSiteLaxMode}
	if now.Unix() > p.Until {
		return fail("too-late", nil)
	}
	if query.Has("error") {
		return fail("denied", fmt.Errorf("error %.40q", query.Get("error")))
	}
	code, err := oidc.One(query, "code", oidc.MaxCode)
	if err != nil {
		return fail("code", err)
	}
	select {
	case l.exchanges <- struct{}{}:
		defer func() { <-l.exchanges }()
	default:
		return Reader{}, Back{}, spent, fmt.Errorf("%w: too many sign-ins at once", oidc.ErrUnavailable)
	}
	claims, err := l.exchange(ctx, p, code, query)
	if err != nil {
		return Reader{}, Back{}, spent, err
	}
	first, err := l.once(ctx, "audit sign-in", p.State, time.Unix(p.Until, 0).Add(time.Minute))
	if err != nil || !first {
		return fail("replay", err)
	}
	if r, err = l.gate.claimed(claims); err != nil {
		return fail("identity", err)
	}
	r.Expires = now.Add(l.Life())
	return r, p.Back, spent, nil
}

// exchange gives the code back for the claims of an id token made for this sign-in.
func (l *Login) exchange(ctx context.Context, p pending, code string, query url.Values) (map[string]any, error) {
	at, err := l.provider.Endpoints(ctx, l.gate.now())
	if err != nil {
		return nil, err
	}
	// RFC 9207: a server that names itself must be the one that was asked.
	if query.Has("iss") && query.Get("iss") != at.Issuer {
		return nil, oidc.Refuse("other-issuer", nil)
	}
	answer, err := l.provider.Exchange(ctx, at, code, p.Verifier, l.redirect)
	if err != nil {
		return nil, err
	}
	return l.provider.Identify(ctx, at, answer.IDToken, p.Nonce, l.gate.now)
}

// LogoutURL is where the reader ends the session at the provider too; empty where
// the provider has no such address.
func (l *Login) LogoutURL(ctx context.Context) string {
	at, err := l.provider.Endpoints(ctx, l.gate.now())
	if err != nil || at.Logout == "" {
		return ""
	}
	u, err := url.Parse(at.Logout)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", l.gate.cfg.Login.ClientID)
	u.RawQuery = q.Encode()
	return u.String()
}

// Admit reports whether a reader who signed in may go on asking. Errors:
// ErrTooMany.
func (g *Gate) Admit(r Reader) error {
	if g.failures.tooMany(r.User()) {
		return ErrTooMany
	}
	return nil
}

// RefusedSignIn counts a sign-in that did not hold. Errors: ErrTooMany.
func (g *Gate) RefusedSignIn(r *http.Request) error {
	if g.failures.add("address " + addressOf(r)) {
		return ErrTooMany
	}
	return nil
}
