// SPDX-License-Identifier: Apache-2.0

// Package launch is the SMART app launch of the evidence page (SMART App
// Launch 2.2, EHR launch): it sends the clinician's browser to the EHR's
// authorization server, takes the code that comes back, and learns from the
// EHR who the clinician is, which patient's chart is open, and which card was
// followed.
//
// It trusts the registered FHIR base, and the authorization server found below
// it or registered with it, to say truly who is signed in. It trusts nothing
// in a request: iss is compared with the registered ones, a callback counts
// only in the browser that began (state), for the code that was asked for
// (PKCE), with an identity made for this launch (nonce, signature, audience),
// at the address of that one EHR, and once. The access token is thrown away:
// nothing is read with it.
package launch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/configs"
)

// ErrRefused: a launch was not let in. Errors of Begin and Finish that a caller
// may cause are *Refusal and wrap it.
var ErrRefused = errors.New("launch refused")

// ErrUnavailable: the EHR could not be asked, or its answer is unusable.
var ErrUnavailable = errors.New("the EHR cannot be asked")

// ErrConfig: the registration of a launch is unusable.
var ErrConfig = errors.New("launch registration")

// Refusal is why a launch was not let in, in a stable word for receipts.
type Refusal struct {
	Reason string
	Err    error // detail for a test or an operator; never sent
}

// Error says the reason.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return "launch refused: " + r.Reason + ": " + r.Err.Error()
	}
	return "launch refused: " + r.Reason
}

// Unwrap makes every Refusal an ErrRefused.
func (r *Refusal) Unwrap() error { return ErrRefused }

func refuse(reason string, err error) error { return &Refusal{Reason: reason, Err: err} }

// Path is where the EHR launches, and below which its users come back.
const Path = "/launch"

// How long a clinician may take to sign in, and may then read the page.
const (
	PendingLife = 5 * time.Minute
	SessionLife = 15 * time.Minute
)

// timeout bounds each request to an EHR, and maxExchanges how many codes are
// exchanged at once: strangers can begin a launch too.
const (
	timeout      = 5 * time.Second
	maxExchanges = 16
)

// scopes are all that is asked for: the context of the launch and who signed
// in. No chart is read.
const scopes = "launch openid fhirUser"

// Config makes an App.
type Config struct {
	// Clients are the registrations; those without a launch are left out.
	Clients []*trust.Client
	// PublicURL is the base URL of this service. Cookies are Secure where it
	// is https.
	PublicURL string
	// Key seals cookies. Replicas share it. 32 bytes at least.
	Key []byte
	// Once reports whether a state is used for the first time, on any replica.
	Once func(ctx context.Context, client, state string, until time.Time) (bool, error)

	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand
}

// App is this service as a SMART app at its EHRs. It is safe for concurrent
// use.
type App struct {
	cfg       Config
	box       *box
	secure    bool
	byISS     map[string]*ehr
	byName    map[string]*ehr
	exchanges chan struct{}
}

// ehr is one registration with what was found out about it.
type ehr struct {
	client *trust.Client
	secret string
	http   *http.Client
	found  endpointsCache
	keys   keyCache
}

// New checks the registrations. Errors wrap ErrConfig.
func New(cfg Config) (*App, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Once == nil || len(cfg.Key) < 32 {
		return nil, fmt.Errorf("%w: no memory of used launches or no key", ErrConfig)
	}
	sealed, err := newBox(cfg.Key, cfg.Random)
	if err != nil {
		return nil, err
	}
	a := &App{
		cfg: cfg, box: sealed, secure: strings.HasPrefix(cfg.PublicURL, "https://"),
		byISS: map[string]*ehr{}, byName: map[string]*ehr{}, exchanges: make(chan struct{}, maxExchanges),
	}
	for _, c := range cfg.Clients {
		if !c.Launch.Enabled() {
			continue
		}
		e := &ehr{client: c, http: c.HTTPClient(timeout)}
		if c.Launch.SecretFile != "" {
			data, err := configs.ReadSecret(c.Launch.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: launch.secret_file: %w", ErrConfig, c.Name, err)
			}
			e.secret = strings.TrimSpace(string(data))
		}
		a.byISS[c.FHIRServer], a.byName[c.Name] = e, e
	}
	return a, nil
}

// Close ends the idle connections to EHRs.
func (a *App) Close() {
	for _, e := range a.byName {
		e.http.CloseIdleConnections()
	}
}

// RedirectURL is the address to register at a client's EHR. Each EHR has its
// own, so that a code of one can never be taken for another's.
func (a *App) RedirectURL(client string) string {
	return a.cfg.PublicURL + Path + "/" + client + "/callback"
}

// Begun is a launch that was taken.
type Begun struct {
	Client   *trust.Client
	Location string       // where to send the browser
	Cookie   *http.Cookie // that it must bring back
}

// Begin takes a launch by an EHR. iss must be the registered fhir_server,
// letter by letter. out names the registration where that is known, also
// beside an error.
func (a *App) Begin(ctx context.Context, query url.Values) (out Begun, err error) {
	iss, err := one(query, "iss", maxParameter)
	if err != nil {
		return out, refuse("iss", err)
	}
	e := a.byISS[iss]
	if e == nil {
		return out, refuse("unknown-iss", nil)
	}
	out.Client = e.client
	handle, err := one(query, "launch", maxParameter)
	if err != nil {
		return out, refuse("launch", err)
	}
	found, err := e.endpoints(ctx, a.cfg.Now())
	if err != nil {
		return out, err
	}
	p := pending{Client: e.client.Name, Until: a.cfg.Now().Add(PendingLife).Unix()}
	for _, into := range []*string{&p.State, &p.Nonce, &p.Verifier} {
		if *into, err = a.random(); err != nil {
			return out, err
		}
	}
	if out.Cookie, err = a.pendingCookie(p, len(e.client.Framers()) > 0); err != nil {
		return out, err
	}
	challenge := sha256.Sum256([]byte(p.Verifier))
	u, err := url.Parse(found.authorize)
	if err != nil {
		return out, fmt.Errorf("%w: authorization_endpoint", ErrUnavailable)
	}
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": e.client.Launch.ClientID, "redirect_uri": a.RedirectURL(e.client.Name),
		"scope": scopes, "state": p.State, "aud": e.client.FHIRServer, "launch": handle, "nonce": p.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	out.Location = u.String()
	return out, nil
}

// Launched is what an EHR said of a launch that was let in.
type Launched struct {
	Client  *trust.Client
	User    string // Practitioner/id or PractitionerRole/id
	Patient string // id of the patient whose chart is open
	Context string // appContext: the handle on the card that was followed
}

// Finish takes what the browser brings back from the EHR of this name. spent
// is the cookie to put in place of the one that was used, also after an error;
// nil where there was none. out names the registration that the launch was of
// where that is known, also beside an error.
func (a *App) Finish(ctx context.Context, name string, query url.Values, cookies []*http.Cookie) (out Launched, spent *http.Cookie, err error) {
	state, err := one(query, "state", maxParameter)
	if err != nil {
		return out, nil, refuse("state", err)
	}
	p, cookieName, err := a.openPending(state, cookies)
	if err != nil {
		return out, nil, err
	}
	e := a.byName[p.Client]
	spent = a.expired(cookieName, e != nil && len(e.client.Framers()) > 0)
	switch {
	case subtle.ConstantTimeCompare([]byte(p.State), []byte(state)) != 1:
		return out, spent, refuse("state", nil)
	case e == nil || name != p.Client:
		return out, spent, refuse("other-client", nil)
	}
	out.Client = e.client
	if query.Has("error") {
		return out, spent, refuse("denied", fmt.Errorf("error %.40q", query.Get("error")))
	}
	code, err := one(query, "code", maxCode)
	if err != nil {
		return out, spent, refuse("code", err)
	}
	select {
	case a.exchanges <- struct{}{}:
		defer func() { <-a.exchanges }()
	default:
		return out, spent, fmt.Errorf("%w: too many launches at once", ErrUnavailable)
	}
	found, err := e.endpoints(ctx, a.cfg.Now())
	if err != nil {
		return out, spent, err
	}
	// RFC 9207: a server that names itself must be the one that was asked.
	if iss := query.Get("iss"); query.Has("iss") && iss != found.issuer {
		return out, spent, refuse("other-issuer", nil)
	}
	answer, err := e.exchange(ctx, found, code, p.Verifier, a.RedirectURL(p.Client))
	if err != nil {
		return out, spent, err
	}
	if out.User, err = e.identify(ctx, found, answer.idToken, p.Nonce, a.cfg.Now); err != nil {
		return out, spent, err
	}
	if !idForm.MatchString(answer.patient) {
		return out, spent, refuse("no-patient", nil)
	}
	out.Patient, out.Context = answer.patient, answer.appContext
	first, err := a.cfg.Once(ctx, p.Client, p.State, time.Unix(p.Until, 0).Add(time.Minute))
	if err != nil {
		return out, spent, refuse("replay-unchecked", err)
	}
	if !first {
		return out, spent, refuse("replay", nil)
	}
	return out, spent, nil
}

// Bounds of what comes in an address. Codes of real servers reach 2 kB.
const (
	maxParameter = 2048
	maxCode      = 4096
)

// idForm is an id of FHIR.
var idForm = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// one is a parameter that is there exactly once and is not empty.
func one(q url.Values, name string, most int) (string, error) {
	if v := q[name]; len(v) == 1 && v[0] != "" && len(v[0]) <= most {
		return v[0], nil
	}
	return "", fmt.Errorf("%s is not there exactly once, or is too long", name)
}

// random is a secret of 256 bits, in letters that an address may hold.
func (a *App) random() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(a.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
