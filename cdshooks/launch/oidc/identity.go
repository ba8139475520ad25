// SPDX-License-Identifier: Apache-2.0

package oidc

// This file: the exchange of a code, and the identity that comes with it.

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Answer is what is used of an answer of the token endpoint.
type Answer struct {
	IDToken string
	members map[string]json.RawMessage
}

// Text is a further member that is text; "" where there is none.
func (a Answer) Text(name string) (string, error) { return text(a.members, name) }

// Exchange gives the code back for what it stands for. The access token that
// comes too is not kept. Errors wrap ErrUnavailable, or are a *Refusal.
func (p *Provider) Exchange(ctx context.Context, at Endpoints, code, verifier, redirect string) (Answer, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier},
	}
	if p.cfg.Secret == "" {
		form.Set("client_id", p.cfg.ClientID)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: token endpoint", ErrUnavailable)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.cfg.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.Secret)) // RFC 6749, 2.3.1
	}
	data, status, err := p.ask(req)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
	}
	doc, err := object(data)
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
	case status >= http.StatusInternalServerError:
		return Answer{}, fmt.Errorf("%w: token endpoint answers %d", ErrUnavailable, status)
	case status != http.StatusOK:
		word, _ := text(doc, "error")
		return Answer{}, Refuse("code-refused", fmt.Errorf("%d %.40q", status, word))
	}
	out := Answer{members: doc}
	kind := ""
	for name, into := range map[string]*string{"id_token": &out.IDToken, "token_type": &kind} {
		if *into, err = text(doc, name); err != nil {
			return Answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
		}
	}
	switch {
	case !strings.EqualFold(kind, "Bearer"):
		return Answer{}, Refuse("token-type", nil)
	case out.IDToken == "":
		return Answer{}, Refuse("no-identity", errors.New("no id_token (hint: allow the scope openid)"))
	}
	return out, nil
}

// algorithms that an id token may be signed with: all asymmetric.
var algorithms = []string{"RS256", "RS384", "ES256", "ES384"}

// leeway is the clock skew allowed in id tokens.
const leeway = time.Minute

// Identify verifies an id token made for this sign-in and gives its claims; sub is
// text there, and not empty.
func (p *Provider) Identify(ctx context.Context, at Endpoints, token, nonce string, now func() time.Time) (map[string]any, error) {
	kid, err := keyID(token)
	if err != nil {
		return nil, Refuse("identity", err)
	}
	keys, err := p.keysFor(ctx, at.JWKS, kid, now())
	if err != nil {
		return nil, err
	}
	clientID := p.cfg.ClientID
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(at.Issuer), jwt.WithAudience(clientID), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(now), jwt.WithStrictDecoding(),
	).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		key, err := keys.Keyfunc(t)
		if err != nil {
			return nil, err
		}
		return key, strong(key)
	})
	if err != nil {
		return nil, Refuse("identity", err)
	}
	audience, _ := claims.GetAudience()
	said, _ := claims["nonce"].(string)
	azp, named := claims["azp"].(string)
	subject, _ := claims.GetSubject()
	issued, _ := claims.GetIssuedAt()
	switch {
	case subtle.ConstantTimeCompare([]byte(said), []byte(nonce)) != 1:
		return nil, Refuse("nonce", nil)
	case len(audience) > 1 && !named, named && azp != clientID:
		return nil, Refuse("identity", errors.New("azp is not this service"))
	case subject == "" || issued == nil:
		return nil, Refuse("identity", errors.New("sub or iat is missing"))
	}
	return claims, nil
}

// keyID is the kid of a token whose signature is not yet known to hold.
func keyID(token string) (string, error) {
	if len(token) > 16<<10 {
		return "", errors.New("the id token is too long")
	}
	t, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return "", errors.New("the id token is malformed")
	}
	kid, _ := t.Header["kid"].(string)
	if _, crit := t.Header["crit"]; kid == "" || crit {
		return "", errors.New("the id token has no kid, or a crit")
	}
	return kid, nil
}

// strong refuses keys that are too weak, or shared secrets.
func strong(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return nil
		}
	case *ecdsa.PublicKey:
		return nil
	}
	return errors.New("the key is too weak or of a kind that does not sign identities")
}

// How long a key set is believed, and how soon it may be read again for a key
// that is not in it.
const (
	keysLife  = 5 * time.Minute
	keysAgain = 10 * time.Second
)

// keyCache is the key set of a provider's identities.
type keyCache struct {
	mu   sync.Mutex // guards what follows
	set  keyfunc.Keyfunc
	kids []string
	read time.Time
}

// keysFor is a key set that holds kid, as far as the provider publishes it. Errors
// wrap ErrUnavailable.
func (p *Provider) keysFor(ctx context.Context, address, kid string, now time.Time) (keyfunc.Keyfunc, error) {
	k := &p.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.read)
	if k.set != nil && age < keysLife && (slices.Contains(k.kids, kid) || age < keysAgain) {
		return k.set, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: key set", ErrUnavailable)
	}
	data, status, err := p.ask(req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: key set: %w", ErrUnavailable, err)
	}
	set, err := keyfunc.NewJWKSetJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%w: the key set is unusable", ErrUnavailable)
	}
	all, err := set.Storage().KeyReadAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: the key set is unusable", ErrUnavailable)
	}
	k.set, k.read, k.kids = set, now, nil
	for _, key := range all {
		k.kids = append(k.kids, key.Marshal().KID)
	}
	return set, nil
}
