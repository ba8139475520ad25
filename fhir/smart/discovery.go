// SPDX-License-Identifier: Apache-2.0

package smart

// This file: SMART discovery: reading {base}/.well-known/smart-configuration
// and deciding whether what it says may be used.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// maxDocument is the largest discovery document and token answer.
const maxDocument = 64 << 10

// wellKnown is where a FHIR server describes its authorization.
const wellKnown = "/.well-known/smart-configuration"

// Discovery is what is used of a discovery document.
type Discovery struct {
	// TokenURL is the token endpoint, also the audience of assertions.
	TokenURL string
	// Algorithms the EHR takes for assertions. Empty: it does not say.
	Algorithms []string
	// V1 says that the EHR knows SMART scopes of version 1 only.
	V1 bool
}

// discover reads the document below the registered base.
func (s *Source) discover(ctx context.Context) (Discovery, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.String()+wellKnown, nil)
	if err != nil {
		return Discovery{}, fmt.Errorf("%w: %w", ErrDiscovery, errRequest)
	}
	req.Close = true // the next one is an hour away
	req.Header.Set("Accept", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return Discovery{}, fmt.Errorf("%w: %w", ErrDiscovery, unreachable(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Discovery{}, fmt.Errorf("%w: %s answers %d (hint: is fhir_server right? an EHR without discovery needs fhir_access.token_url)", ErrDiscovery, wellKnown, res.StatusCode)
	}
	data, err := readJSON(res)
	if err != nil {
		return Discovery{}, fmt.Errorf("%w: %w", ErrDiscovery, err)
	}
	return ParseDiscovery(data, s.base)
}

// ParseDiscovery reads a discovery document of the registered base. The token
// endpoint must be of the base's origin: a document that was tampered with
// must not be able to send our assertions elsewhere. Lists that are absent are
// not held against the EHR; lists that are there must have what we need.
// Errors wrap ErrDiscovery.
func ParseDiscovery(data []byte, base *url.URL) (Discovery, error) {
	fail := func(format string, args ...any) (Discovery, error) {
		return Discovery{}, fmt.Errorf("%w: %s", ErrDiscovery, fmt.Sprintf(format, args...))
	}
	var doc map[string]json.RawMessage // by exact names: encoding/json ignores case in structs
	if err := json.Unmarshal(data, &doc); err != nil || doc == nil {
		return fail("the document is not a JSON object")
	}
	var d Discovery
	if err := json.Unmarshal(doc["token_endpoint"], &d.TokenURL); err != nil || d.TokenURL == "" {
		return fail("the document names no token_endpoint")
	}
	u, err := url.Parse(d.TokenURL)
	switch {
	case err != nil || !secure(u, base):
		return fail("token_endpoint is not an https URL")
	case !sameOrigin(u, base):
		return fail("token_endpoint is on another origin than the FHIR server, %s://%.200s (hint: if the EHR's documentation says so too, set fhir_access.token_url)", u.Scheme, u.Host)
	}
	lists := map[string][]string{}
	for _, name := range []string{"token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported", "grant_types_supported", "capabilities"} {
		if raw, ok := doc[name]; ok {
			var list []string
			if err := json.Unmarshal(raw, &list); err != nil {
				return fail("%s is not a list of words", name)
			}
			lists[name] = list
		}
	}
	offers := func(list, word string) bool { return len(lists[list]) == 0 || slices.Contains(lists[list], word) }
	asymmetric := slices.Contains(lists["token_endpoint_auth_methods_supported"], "private_key_jwt")
	switch {
	case !offers("token_endpoint_auth_methods_supported", "private_key_jwt"):
		return fail("the EHR does not take private_key_jwt")
	case !offers("grant_types_supported", "client_credentials"):
		return fail("the EHR does not grant client_credentials")
	case !offers("capabilities", "client-confidential-asymmetric") && !asymmetric:
		return fail("the EHR does not have the capability client-confidential-asymmetric")
	}
	d.Algorithms = lists["token_endpoint_auth_signing_alg_values_supported"]
	d.V1 = slices.Contains(lists["capabilities"], "permission-v1") && !slices.Contains(lists["capabilities"], "permission-v2")
	return d, nil
}

// sameOrigin compares scheme, host and port, the default ports included.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" || u.Scheme != "https" {
			return p
		}
		return "443"
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// isLoopback reports a URL whose host is loopback by its own text.
func isLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

var (
	errRequest = errors.New("the request cannot be made")
	errHTML    = errors.New("an HTML page came instead of JSON (hint: a login page or a proxy is in between)")
	errHuge    = errors.New("the answer is over 64 KiB")
	errBroken  = errors.New("the answer broke off")
	errSlow    = errors.New("the time to ask was over")
	errName    = errors.New("cannot be reached: its host name is not known here")
	errNet     = errors.New("cannot be reached (hint: does a firewall or the network of the registration keep us from it?)")
)

// unreachable words a failed exchange without its address, which an error text
// of net/http holds.
func unreachable(err error) error {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return errSlow
	}
	var name *net.DNSError
	if errors.As(err, &name) {
		return errName
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%w: %s", errNet, op.Op)
	}
	return errNet
}

// readJSON reads a bounded body that does not call itself HTML.
func readJSON(res *http.Response) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil && kind == "text/html" {
		return nil, errHTML
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	switch {
	case err != nil && errors.Is(unreachable(err), errSlow):
		return nil, errSlow
	case err != nil:
		return nil, errBroken
	case len(data) > maxDocument:
		return nil, errHuge
	}
	return data, nil
}
