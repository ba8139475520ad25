// SPDX-License-Identifier: Apache-2.0

package launch

// This file: the exchange of a code, and the identity that comes with it.

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
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

// answer is what is used of an answer of the token endpoint.
type answer struct {
	idToken, patient, appContext string
}

// exchange gives the code back for what it stands for. The access token that
// comes too is not kept. Errors wrap ErrUnavailable, or are a *Refusal.
func (e *ehr) exchange(ctx context.Context, at endpoints, code, verifier, redirect string) (answer, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier},
	}
	if e.secret == "" {
		form.Set("client_id", e.client.Launch.ClientID)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.token, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, fmt.Errorf("%w: token endpoint", ErrUnavailable)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if e.secret != "" {
		req.SetBasicAuth(url.QueryEscape(e.client.Launch.ClientID), url.QueryEscape(e.secret)) // RFC 6749, 2.3.1
	}
	data, status, err := e.ask(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
	}
	doc, err := object(data)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
	case status >= http.StatusInternalServerError:
		return answer{}, fmt.Errorf("%w: token endpoint answers %d", ErrUnavailable, status)
	case status != http.StatusOK:
		word, _ := text(doc, "error")
		return answer{}, refuse("code-refused", fmt.Errorf("%d %.40q", status, word))
	}
	var out answer
	kind := ""
	for name, into := range map[string]*string{"id_token": &out.idToken, "patient": &out.patient, "appContext": &out.appContext, "token_type": &kind} {
		if *into, err = text(doc, name); err != nil {
			return answer{}, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
		}
	}
	switch {
	case !strings.EqualFold(kind, "Bearer"):
		return answer{}, refuse("token-type", nil)
	case out.idToken == "":
		return answer{}, refuse("no-identity", errors.New("no id_token (hint: allow the scopes openid and fhirUser)"))
	}
	return out, nil
}

// algorithms that an id token may be signed with: all asymmetric.
var algorithms = []string{"RS256", "RS384", "ES256", "ES384"}

// leeway is the clock skew allowed in id tokens.
const leeway = time.Minute

// identify verifies an id token made for this launch and says who signed in.
func (e *ehr) identify(ctx context.Context, at endpoints, token, nonce string, now func() time.Time) (user string, err error) {
	kid, err := keyID(token)
	if err != nil {
		return "", refuse("identity", err)
	}
	keys, err := e.keysFor(ctx, at.jwks, kid, now())
	if err != nil {
		return "", err
	}
	clientID := e.client.Launch.ClientID
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(at.issuer), jwt.WithAudience(clientID), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(now), jwt.WithStrictDecoding(),
	).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		key, err := keys.Keyfunc(t)
		if err != nil {
			return nil, err
		}
		return key, strong(key)
	})
	if err != nil {
		return "", refuse("identity", err)
	}
	audience, _ := claims.GetAudience()
	said, _ := claims["nonce"].(string)
	azp, named := claims["azp"].(string)
	subject, _ := claims.GetSubject()
	issued, _ := claims.GetIssuedAt()
	switch {
	case subtle.ConstantTimeCompare([]byte(said), []byte(nonce)) != 1:
		return "", refuse("nonce", nil)
	case len(audience) > 1 && !named, named && azp != clientID:
		return "", refuse("identity", errors.New("azp is not this service"))
	case subject == "" || issued == nil:
		return "", refuse("identity", errors.New("sub or iat is missing"))
	}
	who, _ := claims["fhirUser"].(string)
	if user = clinician(who, e.client.FHIRServer); user == "" {
		return "", refuse("no-clinician", errors.New("fhirUser is no Practitioner of this FHIR server"))
	}
	return user, nil
}

// clinician is a fhirUser of the EHR's own server as Practitioner/id or
// PractitionerRole/id; "" for anybody else.
func clinician(fhirUser, fhirServer string) string {
	relative, absolute := strings.CutPrefix(fhirUser, strings.TrimRight(fhirServer, "/")+"/")
	if !absolute {
		relative = fhirUser
	}
	kind, id, _ := strings.Cut(relative, "/")
	if kind != "Practitioner" && kind != "PractitionerRole" || !idForm.MatchString(id) {
		return ""
	}
	return kind + "/" + id
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

// keyCache is the key set of an EHR's identities.
type keyCache struct {
	mu   sync.Mutex // guards what follows
	set  keyfunc.Keyfunc
	kids []string
	read time.Time
}

// keysFor is a key set that holds kid, as far as the EHR publishes it. Errors
// wrap ErrUnavailable.
func (e *ehr) keysFor(ctx context.Context, address, kid string, now time.Time) (keyfunc.Keyfunc, error) {
	k := &e.keys
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
	data, status, err := e.ask(req)
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
