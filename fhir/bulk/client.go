// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: single requests: who gets the token, what an answer that is no
// success means, and errors that hold no address (a signed link is a secret,
// and a link can name a person).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	maxOutcome  = 1 << 20  // bytes of an error answer that are read
	maxManifest = 64 << 20 // bytes of a manifest
	maxShown    = 300      // bytes of foreign text in a message
	deleteLimit = 10 * time.Second
	maxHops     = 5 // redirects of one download
)

// client makes the requests of one fetch.
type client struct {
	http   *http.Client
	base   *url.URL
	tokens TokenSource
	origin map[string]bool // that may get the token
	own    bool            // http is ours to close
}

func newClient(cfg Config) (*client, error) {
	base, err := baseOf(cfg.Server)
	if err != nil {
		return nil, err
	}
	c := &client{base: base, tokens: cfg.Tokens, origin: map[string]bool{origin(base): true}}
	allowed := []*url.URL{base}
	for _, text := range cfg.TokenOrigins {
		u, err := baseOf(text)
		if err != nil || u.Path != "" {
			return nil, fmt.Errorf("%w: token origin %q (hint: scheme, host and port only, e.g. https://files.hospital.example)", ErrConfig, text)
		}
		c.origin[origin(u)] = true
		allowed = append(allowed, u)
	}
	for _, u := range allowed {
		if cfg.Tokens != nil && u.Scheme != "https" && !loopback(u.Hostname()) {
			return nil, fmt.Errorf("%w: an access token would go to %s in clear text (hint: use https)", ErrConfig, u.Host)
		}
	}
	client := http.Client{}
	if cfg.HTTP != nil {
		client = *cfg.HTTP
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = cfg.Stall
		t.MaxIdleConnsPerHost = cfg.Parallel
		client.Transport = t
		c.own = true
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	c.http = &client
	return c, nil
}

// close lets idle connections go.
func (c *client) close() {
	if c.own {
		c.http.CloseIdleConnections()
	}
}

// link resolves an address the server gave. A server reached over TLS does not
// get to send us to one without, and one elsewhere not to this machine.
func (c *client) link(from *url.URL, text string) (*url.URL, error) {
	ref, err := url.Parse(strings.TrimSpace(text))
	if err != nil || strings.TrimSpace(text) == "" {
		return nil, errors.New("a link that is no address")
	}
	u := from.ResolveReference(ref)
	switch {
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		return nil, errors.New("a link that is not plain http or https")
	case c.base.Scheme == "https" && u.Scheme != "https":
		return nil, errors.New("a link without TLS from a server with TLS")
	case own(u.Hostname()) && !own(c.base.Hostname()):
		return nil, errors.New("a link to this machine from a server elsewhere")
	}
	u.Fragment = ""
	return u, nil
}

// get asks for u. withToken sends the token where its origin may get it. A
// token that is refused is dropped and another asked for, once. The caller
// closes the body.
func (c *client) get(ctx context.Context, u *url.URL, header http.Header, withToken bool) (*http.Response, error) {
	return c.do(ctx, http.MethodGet, u, header, withToken)
}

func (c *client) do(ctx context.Context, method string, u *url.URL, header http.Header, withToken bool) (*http.Response, error) {
	for second := false; ; second = true {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, errors.New("request could not be made")
		}
		for name, values := range header {
			req.Header[name] = values
		}
		req.Header.Set("User-Agent", "sepsisagent-bulk")
		token := ""
		if withToken && c.tokens != nil && c.origin[origin(u)] {
			if token, err = c.tokens.Token(ctx); err != nil {
				return nil, fmt.Errorf("%w: access token: %w", ErrDenied, err)
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
		}
		res, err := c.http.Do(req)
		if err != nil {
			return nil, c.hide(ctx, err)
		}
		dropper, can := c.tokens.(Dropper)
		if res.StatusCode != http.StatusUnauthorized || token == "" || second || !can {
			return res, nil
		}
		closeBody(res)
		dropper.Drop(token)
	}
}

// hide words a failed request without its address.
func (c *client) hide(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// delete cancels an export that is being prepared, or lets the server delete a
// finished one.
func (c *client) delete(ctx context.Context, status string) error {
	u, err := c.link(c.base, status)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	res, err := c.do(ctx, http.MethodDelete, u, http.Header{"Accept": {fhirJSON}}, true)
	if err != nil {
		return err
	}
	defer closeBody(res)
	if res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone {
		return nil
	}
	return fmt.Errorf("answer %d", res.StatusCode)
}

const fhirJSON = "application/fhir+json"

// closeBody reads a little of what is left, so that the connection can be used
// again, and closes.
func closeBody(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 1<<14) // only for the connection's sake
	_ = res.Body.Close()
}

// answer is an answer that is no success.
type answer struct {
	status int
	codes  []string // issue codes of its OperationOutcome
	text   string   // what it says, made safe to show
}

// readAnswer reads what an error answer says.
func readAnswer(res *http.Response) answer {
	a := answer{status: res.StatusCode}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxOutcome))
	if err != nil {
		return a
	}
	a.codes, a.text = outcomeOf(body)
	return a
}

// outcomeOf reads an OperationOutcome; anything else gives nothing.
func outcomeOf(body []byte) (codes []string, text string) {
	var o struct {
		ResourceType string `json:"resourceType"`
		Issue        []struct {
			Code        string `json:"code"`
			Diagnostics string `json:"diagnostics"`
			Details     struct {
				Text string `json:"text"`
			} `json:"details"`
		} `json:"issue"`
	}
	if json.Unmarshal(body, &o) != nil || o.ResourceType != "OperationOutcome" {
		return nil, ""
	}
	var said []string
	for _, i := range o.Issue {
		codes = append(codes, i.Code)
		for _, t := range []string{i.Details.Text, i.Diagnostics} {
			if t != "" {
				said = append(said, t)
			}
		}
	}
	return codes, plain(strings.Join(said, "; "))
}

// plain makes foreign text safe for a terminal and short.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxShown {
		cut := maxShown
		for cut > 0 && text[cut]&0xC0 == 0x80 { // not within a character
			cut--
		}
		text = text[:cut] + "…"
	}
	return text
}

// String words the answer.
func (a answer) String() string {
	s := fmt.Sprintf("answer %d", a.status)
	if a.text != "" {
		s += fmt.Sprintf(", saying %q", a.text)
	}
	return s
}
