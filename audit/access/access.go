// SPDX-License-Identifier: Apache-2.0

// Package access decides who may read the audit log over HTTP, and what of it: it
// verifies OpenID Connect bearer tokens, gives each reader the roles that the
// identity provider says, limits failures, and records readings in the log that
// is read.
//
// It trusts the identity provider that is configured to say truly who somebody is
// and which roles they have, for as long as a token lives; and nothing in a
// request. There is no mode without tokens: where no provider is configured,
// nothing is served.
package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// Errors of a request. What a caller is told is no more than the status they
// stand for.
var (
	// ErrUnauthenticated: no token, or one that does not hold. Answer 401.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the token holds, and does not give this right. Answer 403.
	ErrForbidden = errors.New("not allowed")
	// ErrReason: the right is given with a reason only, and there is none that can
	// be recorded. Answer 403, and say that a reason is needed.
	ErrReason = errors.New("a reason is needed (hint: header " + ReasonHeader + ", 10 to 500 characters)")
	// ErrTooMany: too many requests failed. Answer 429.
	ErrTooMany = errors.New("too many failures")
	// ErrConfig: the configuration is unusable; the text says why.
	ErrConfig = errors.New("audit access")
)

// ReasonHeader holds why a patient's records are looked up (break the glass).
const ReasonHeader = "Break-Glass-Reason"

// Role is what a reader is for.
type Role string

// The roles. Nobody has one by default, and none includes another.
const (
	Auditor      Role = "auditor"      // lists entries and opens any of them, by anything but a patient
	Investigator Role = "investigator" // one patient's entries, with a reason
	Operator     Role = "operator"     // integrity and rates: nothing about anybody
)

// Right is what may be done.
type Right string

// The rights.
const (
	Integrity Right = "integrity" // checkpoint and proofs
	Rates     Right = "rates"     // counts of cards and what became of them
	Records   Right = "records"   // entries and their bodies, but not by patient
	Patient   Right = "patient"   // entries of one named patient, their bodies, lists of patients: with a reason
)

var rights = map[Right][]Role{
	Integrity: {Auditor, Investigator, Operator},
	Rates:     {Auditor, Operator},
	Records:   {Auditor},
	Patient:   {Investigator},
}

// Config is who may read the log over HTTP. Without issuer nobody may.
type Config struct {
	// Issuer is the exact iss of tokens. Empty: the log is not served over HTTP.
	Issuer string `yaml:"issuer"`
	// Audience is this service's own name at the provider, which must be in aud.
	// Take one that no other service has: else their tokens open this one.
	Audience string `yaml:"audience"`
	// JWKSURL is where the provider's public keys are.
	JWKSURL string `yaml:"jwks_url"`
	// Network says where JWKSURL may lie: public (default), private or loopback.
	Network string `yaml:"network"`
	// Algorithms that tokens may be signed with. Default: RS256 and ES256.
	Algorithms []string `yaml:"algorithms"`
	// RolesClaim is the claim with the roles of a reader, a list of texts or one
	// with spaces; dots lead into objects (realm_access.roles). Default roles.
	RolesClaim string `yaml:"roles_claim"`
	// Auditors, Investigators and Operators are the values of that claim which
	// stand for each role. Default: none.
	Auditors      []string `yaml:"auditors"`
	Investigators []string `yaml:"investigators"`
	Operators     []string `yaml:"operators"`
	// MaxTokenLife is the longest exp-iat accepted. Default 1 h; at most 12 h.
	MaxTokenLife time.Duration `yaml:"max_token_life"`
	// FailuresPerMinute is how many requests of one address, or of one reader, may
	// fail in a minute before it is told so. Default 10.
	FailuresPerMinute int `yaml:"failures_per_minute"`
	// Login signs people in at the console by redirect. Default: it does not.
	Login LoginConfig `yaml:"login"`
}

// Enabled reports that the log is served over HTTP.
func (c Config) Enabled() bool { return c.Issuer != "" }

const maxTokenLife = 12 * time.Hour

// withDefaults fills in defaults. Errors wrap ErrConfig.
func (c Config) withDefaults() (Config, error) {
	if c.RolesClaim == "" {
		c.RolesClaim = "roles"
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256"}
	}
	if c.MaxTokenLife == 0 {
		c.MaxTokenLife = time.Hour
	}
	if c.FailuresPerMinute == 0 {
		c.FailuresPerMinute = 10
	}
	if c.Network == "" {
		c.Network = trust.NetworkPublic
	}
	if c.Login.Enabled() && c.Login.Life == 0 {
		c.Login.Life = defaultLife
	}
	refuse := func(why string) (Config, error) { return Config{}, fmt.Errorf("%w: %s", ErrConfig, why) }
	switch {
	case c.Issuer == "":
		return refuse("issuer is empty")
	case c.Audience == "":
		return refuse("audience is empty (hint: the name of this service at the identity provider)")
	case c.JWKSURL == "":
		return refuse("jwks_url is empty")
	case len(c.Auditors)+len(c.Investigators)+len(c.Operators) == 0:
		return refuse("no value of the roles claim stands for a role, so nobody could read (hint: auditors, investigators, operators)")
	case slices.Contains(slices.Concat(c.Auditors, c.Investigators, c.Operators), ""):
		return refuse("an empty value stands for a role")
	case c.MaxTokenLife < 0 || c.MaxTokenLife > maxTokenLife:
		return refuse(fmt.Sprintf("max_token_life %v is not between 0 and %v", c.MaxTokenLife, maxTokenLife))
	case c.FailuresPerMinute < 1 || c.FailuresPerMinute > 10_000:
		return refuse("failures_per_minute is not between 1 and 10000")
	}
	for _, alg := range c.Algorithms {
		if alg != "RS256" && alg != "ES256" {
			return refuse(fmt.Sprintf("algorithm %q is not RS256 or ES256", alg))
		}
	}
	return c, c.Login.check(c.Issuer, c.Network)
}

// Validate reports the first value that cannot be right; a configuration that is
// not enabled is valid when it is empty. Errors wrap ErrConfig.
func (c Config) Validate() error {
	if !c.Enabled() {
		if c.Audience != "" || c.JWKSURL != "" || len(c.Auditors)+len(c.Investigators)+len(c.Operators) > 0 || c.Login.Enabled() {
			return fmt.Errorf("%w: issuer is empty, and other values are set", ErrConfig)
		}
		return nil
	}
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if _, err := trust.NewKeySet(c.JWKSURL, c.Network, c.Algorithms, nil); err != nil {
		return fmt.Errorf("%w: jwks_url: %w", ErrConfig, err)
	}
	return nil
}

// Reader is somebody whose token holds.
type Reader struct {
	Issuer  string
	Subject string
	Token   string // jti, where the token has one
	Roles   []Role
	Expires time.Time
}

// User names the reader in the log.
func (r Reader) User() string { return "oidc/" + r.Subject }

// Has reports whether the reader has a role.
func (r Reader) Has(role Role) bool { return slices.Contains(r.Roles, role) }

// May says whether the reader has a right; Patient needs a reason that Reason
// found. Errors: ErrForbidden, ErrReason.
func (r Reader) May(right Right, reason string) error {
	if !slices.ContainsFunc(rights[right], r.Has) {
		return ErrForbidden
	}
	if right == Patient && reason == "" {
		return ErrReason
	}
	return nil
}

// Reason reads why the glass is broken; empty where the request says nothing.
// Errors: ErrReason for one that says nothing to a person.
func Reason(header http.Header) (string, error) {
	values := header.Values(ReasonHeader)
	if len(values) == 0 {
		return "", nil
	}
	return CheckReason(strings.Join(values, "; "))
}

// CheckReason trims a reason and demands 10 to 500 printable characters.
func CheckReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	n := utf8.RuneCountInString(text)
	if !utf8.ValidString(text) || n < 10 || n > 500 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", ErrReason
	}
	return text, nil
}

// Gate verifies tokens. It is safe for concurrent use.
type Gate struct {
	cfg      Config
	keys     *trust.KeySet
	now      func() time.Time
	failures *failures
}

// New checks the configuration and makes a gate. It asks the provider for
// nothing. now may be nil. Errors wrap ErrConfig.
func New(cfg Config, now func() time.Time) (*Gate, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	keys, err := trust.NewKeySet(cfg.JWKSURL, cfg.Network, cfg.Algorithms, now)
	if err != nil {
		return nil, fmt.Errorf("%w: jwks_url: %w", ErrConfig, err)
	}
	return &Gate{cfg: cfg, keys: keys, now: now, failures: newFailures(cfg.FailuresPerMinute, now)}, nil
}

// Authenticate finds the reader of a request. A valid token passes whatever
// others at its address did; a reader who failed too often does not.
// Errors: ErrUnauthenticated, ErrTooMany.
func (g *Gate) Authenticate(r *http.Request) (Reader, error) {
	reader, err := Reader{}, ErrUnauthenticated
	if values := r.Header.Values("Authorization"); len(values) == 1 {
		scheme, token, ok := strings.Cut(values[0], " ")
		if ok && strings.EqualFold(scheme, "Bearer") {
			reader, err = g.Verify(r.Context(), strings.TrimSpace(token))
		}
	}
	if err != nil {
		if g.failures.add("address " + addressOf(r)) {
			return Reader{}, ErrTooMany
		}
		return Reader{}, err
	}
	if g.failures.tooMany(reader.User()) {
		return Reader{}, ErrTooMany
	}
	return reader, nil
}

// Failed counts a request of a reader that was refused, or that asked for an
// entry which there is not: many of them are somebody who guesses.
func (g *Gate) Failed(r Reader) { g.failures.add(r.User()) }

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	return host
}

// Verify checks a token. Errors: ErrUnauthenticated, with a cause for tests that
// is never sent.
func (g *Gate) Verify(ctx context.Context, raw string) (Reader, error) {
	refuse := func(err error) (Reader, error) { return Reader{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err) }
	header, claims, err := trust.Unverified(raw)
	if err != nil {
		return refuse(err)
	}
	alg, _ := header["alg"].(string)
	kid, _ := header["kid"].(string)
	typ, _ := header["typ"].(string)
	switch {
	case !slices.Contains(g.cfg.Algorithms, alg):
		return refuse(errors.New("the algorithm is not allowed"))
	case kid == "":
		return refuse(errors.New("no kid"))
	case typ != "" && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt"):
		return refuse(errors.New("typ is not JWT"))
	case claims["iss"] != any(g.cfg.Issuer): // before a key is looked for
		return refuse(errors.New("another issuer"))
	}
	key, err := g.keys.Key(ctx, kid, alg)
	if err != nil {
		return refuse(err)
	}
	_, err = jwt.NewParser(
		jwt.WithValidMethods([]string{alg}), jwt.WithIssuer(g.cfg.Issuer), jwt.WithAudience(g.cfg.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(g.now), jwt.WithStrictDecoding(),
	).Parse(raw, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		return refuse(err)
	}
	return g.reader(claims)
}

// leeway is the clock skew allowed.
const leeway = time.Minute

// reader reads the claims of a token whose signature holds.
func (g *Gate) reader(claims map[string]any) (Reader, error) {
	refuse := func(why string) (Reader, error) { return Reader{}, fmt.Errorf("%w: %s", ErrUnauthenticated, why) }
	m := jwt.MapClaims(claims)
	issued, err := m.GetIssuedAt()
	if err != nil || issued == nil {
		return refuse("iat is missing")
	}
	expires, err := m.GetExpirationTime()
	if err != nil || expires == nil {
		return refuse("exp is missing")
	}
	if life := expires.Sub(issued.Time); life <= 0 || life > g.cfg.MaxTokenLife {
		return refuse("it lives too long")
	}
	r, err := g.claimed(claims)
	if err != nil {
		return refuse(err.Error())
	}
	r.Expires = expires.Time
	return r, nil
}

// claimed reads who somebody is and which roles they have, from claims that hold.
func (g *Gate) claimed(claims map[string]any) (Reader, error) {
	r := Reader{Issuer: g.cfg.Issuer}
	r.Subject, _ = claims["sub"].(string)
	r.Token, _ = claims["jti"].(string)
	if r.Subject == "" || len(r.Subject) > 255 || strings.ContainsFunc(r.Subject, func(c rune) bool { return !unicode.IsPrint(c) }) || len(r.Token) > 255 {
		return Reader{}, errors.New("sub or jti is not a short text")
	}
	said := textsAt(claims, g.cfg.RolesClaim)
	for _, x := range []struct {
		role Role
		by   []string
	}{{Auditor, g.cfg.Auditors}, {Investigator, g.cfg.Investigators}, {Operator, g.cfg.Operators}} {
		if slices.ContainsFunc(x.by, func(v string) bool { return slices.Contains(said, v) }) {
			r.Roles = append(r.Roles, x.role)
		}
	}
	return r, nil
}

// textsAt gives the texts of a claim. A claim whose name has dots is found by its
// whole name before it is taken for a path.
func textsAt(claims map[string]any, path string) []string {
	v, ok := claims[path]
	for !ok {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			return nil
		}
		inner, is := claims[name].(map[string]any)
		if !is {
			return nil
		}
		claims, path = inner, rest
		v, ok = claims[path]
	}
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
