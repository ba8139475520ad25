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
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/configs"
)

// Errors of Begin and Finish that a caller may cause are *Refusal and wrap
// ErrRefused; ErrUnavailable is of an EHR that could not be asked.
var (
	ErrRefused     = oidc.ErrRefused
	ErrUnavailable = oidc.ErrUnavailable
)

// ErrConfig: the registration of a launch is unusable.
var ErrConfig = errors.New("launch registration")

// Refusal is why a launch was not let in, in a stable word for receipts.
type Refusal = oidc.Refusal

func refuse(reason string, err error) error { return oidc.Refuse(reason, err) }

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
	box       *oidc.Box
	secure    bool
	byISS     map[string]*ehr
	byName    map[string]*ehr
	exchanges chan struct{}
}

// ehr is one registration.
type ehr struct {
	*oidc.Provider
	client *trust.Client
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
	key := func() []byte { return cfg.Key }
	a := &App{
		cfg: cfg, box: oidc.NewBox("sepsisagent launch cookie", key, cfg.Random), secure: strings.HasPrefix(cfg.PublicURL, "https://"),
		byISS: map[string]*ehr{}, byName: map[string]*ehr{}, exchanges: make(chan struct{}, maxExchanges),
	}
	for _, c := range cfg.Clients {
		if !c.Launch.Enabled() {
			continue
		}
		l, secret := c.Launch, ""
		if c.Launch.SecretFile != "" {
			data, err := configs.ReadSecret(c.Launch.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: launch.secret_file: %w", ErrConfig, c.Name, err)
			}
			secret = strings.TrimSpace(string(data))
		}
		e := &ehr{client: c, Provider: oidc.New(oidc.Config{
			ClientID: l.ClientID, Secret: secret, HTTP: c.HTTPClient(timeout),
			Document: strings.TrimRight(c.FHIRServer, "/") + "/.well-known/smart-configuration", Base: c.FHIRServer,
			Known: oidc.Endpoints{Issuer: l.Issuer, Authorize: l.AuthorizeURL, Token: l.TokenURL, JWKS: l.JWKSURL},
		})}
		a.byISS[c.FHIRServer], a.byName[c.Name] = e, e
	}
	return a, nil
}

// Close ends the idle connections to EHRs.
func (a *App) Close() {
	for _, e := range a.byName {
		e.Close()
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
	iss, err := oidc.One(query, "iss", oidc.MaxParameter)
	if err != nil {
		return out, refuse("iss", err)
	}
	e := a.byISS[iss]
	if e == nil {
		return out, refuse("unknown-iss", nil)
	}
	out.Client = e.client
	handle, err := oidc.One(query, "launch", oidc.MaxParameter)
	if err != nil {
		return out, refuse("launch", err)
	}
	found, err := e.Endpoints(ctx, a.cfg.Now())
	if err != nil {
		return out, err
	}
	secrets, err := oidc.NewSecrets(a.cfg.Random)
	if err != nil {
		return out, err
	}
	p := pending{Secrets: secrets, Client: e.client.Name, Until: a.cfg.Now().Add(PendingLife).Unix()}
	if out.Cookie, err = a.pendingCookie(p, len(e.client.Framers()) > 0); err != nil {
		return out, err
	}
	out.Location, err = e.Address(found, secrets, a.RedirectURL(e.client.Name), map[string]string{"scope": scopes, "aud": e.client.FHIRServer, "launch": handle})
	return out, err
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
	state, err := oidc.One(query, "state", oidc.MaxParameter)
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
	code, err := oidc.One(query, "code", oidc.MaxCode)
	if err != nil {
		return out, spent, refuse("code", err)
	}
	select {
	case a.exchanges <- struct{}{}:
		defer func() { <-a.exchanges }()
	default:
		return out, spent, fmt.Errorf("%w: too many launches at once", ErrUnavailable)
	}
	found, err := e.Endpoints(ctx, a.cfg.Now())
	if err != nil {
		return out, spent, err
	}
	// RFC 9207: a server that names itself must be the one that was asked.
	if iss := query.Get("iss"); query.Has("iss") && iss != found.Issuer {
		return out, spent, refuse("other-issuer", nil)
	}
	answer, err := e.Exchange(ctx, found, code, p.Verifier, a.RedirectURL(p.Client))
	if err != nil {
		return out, spent, err
	}
	claims, err := e.Identify(ctx, found, answer.IDToken, p.Nonce, a.cfg.Now)
	if err != nil {
		return out, spent, err
	}
	who, _ := claims["fhirUser"].(string)
	if out.User = clinician(who, e.client.FHIRServer); out.User == "" {
		return out, spent, refuse("no-clinician", errors.New("fhirUser is no Practitioner of this FHIR server"))
	}
	for name, into := range map[string]*string{"patient": &out.Patient, "appContext": &out.Context} {
		if *into, err = answer.Text(name); err != nil {
			return out, spent, fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
		}
	}
	if !idForm.MatchString(out.Patient) {
		return out, spent, refuse("no-patient", nil)
	}
	first, err := a.cfg.Once(ctx, p.Client, p.State, time.Unix(p.Until, 0).Add(time.Minute))
	if err != nil {
		return out, spent, refuse("replay-unchecked", err)
	}
	if !first {
		return out, spent, refuse("replay", nil)
	}
	return out, spent, nil
}

// idForm is an id of FHIR.
var idForm = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)
