// SPDX-License-Identifier: Apache-2.0

package trust

// This file: how the evidence page of a client's cards is opened: by a SMART
// app launch from its EHR, or by whoever has the link.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Launch says how the evidence page of a client's cards is opened. Where it is
// empty, cards have no link and their pages do not open.
type Launch struct {
	// ClientID is this service's id at the EHR as a SMART app. Set: cards carry
	// a link of type smart, and the page is shown to a clinician whom the EHR
	// has signed in, with the card's patient in context.
	ClientID string `yaml:"client_id"`
	// SecretFile holds the secret of a confidential app, mode 0600 or 0440.
	// Empty: a public app, which PKCE alone protects.
	SecretFile string `yaml:"secret_file"`
	// Issuer, AuthorizeURL, TokenURL and JWKSURL are the EHR's. Default: found
	// below fhir_server and then of the same origin; one on another origin has
	// to be written here.
	Issuer       string `yaml:"issuer"`
	AuthorizeURL string `yaml:"authorize_url"`
	TokenURL     string `yaml:"token_url"`
	JWKSURL      string `yaml:"jwks_url"`
	// LinkAlone lets whoever has the link of a card read its page until the
	// link expires, without saying who they are. It trusts everybody and
	// everything that sees a card or a browser's history. Default: no.
	LinkAlone bool `yaml:"link_alone"`
}

// Enabled reports whether the EHR can launch the evidence page.
func (l Launch) Enabled() bool { return l.ClientID != "" }

// launchName is what the name of a client that launches may be: it is part of
// the redirect address that is registered at the EHR.
var launchName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// check says why a registration cannot be launched from.
func (l Launch) check(c *Client) error {
	urls := map[string]string{"authorize_url": l.AuthorizeURL, "token_url": l.TokenURL, "jwks_url": l.JWKSURL}
	switch {
	case !l.Enabled() && l != (Launch{LinkAlone: l.LinkAlone}):
		return errors.New("launch has fields that only a launch.client_id uses")
	case !l.Enabled():
		return nil
	case c.FHIRServer == "":
		return errors.New("launch needs fhir_server (hint: the iss that the EHR launches with)")
	case !launchName.MatchString(c.Name):
		return errors.New("launch needs a name of letters, digits, dots and dashes: it is part of the redirect address")
	}
	for name, address := range urls {
		if address == "" {
			continue
		}
		if err := checkAddress(address, c.Network); err != nil {
			return fmt.Errorf("launch.%s: %w", name, err)
		}
	}
	for _, o := range c.Origins {
		if !isOrigin(o) {
			return fmt.Errorf("origin %q is not scheme://host[:port], so the page cannot be framed by it", o)
		}
	}
	return nil
}

// isOrigin reports a web origin in its plain form, which is safe to write into
// a Content-Security-Policy.
func isOrigin(o string) bool {
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && o == u.Scheme+"://"+u.Host && !strings.ContainsAny(o, " ;,'\"*")
}

// Framers are the origins whose pages may show the client's evidence in a
// frame.
func (c *Client) Framers() []string {
	var out []string
	for _, o := range c.Origins {
		if isOrigin(o) {
			out = append(out, o)
		}
	}
	return out
}

// Named is the registration of this name, or nil.
func (r *Registry) Named(name string) *Client {
	for _, c := range r.clients {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// LaunchedOnce reports whether a launch is finished for the first time, by the
// same memory that knows used tokens: replicas that share it share this.
func (r *Registry) LaunchedOnce(ctx context.Context, client, state string, until time.Time) (bool, error) {
	return r.firstUse(ctx, "launch "+client, state, until)
}
