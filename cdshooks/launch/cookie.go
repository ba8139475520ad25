// SPDX-License-Identifier: Apache-2.0

package launch

// This file: what the browser keeps: the launch under way, and then the
// session. Both are sealed, so that no replica has to remember them and nobody
// can read or change them.

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
)

// pending is a launch that waits for its code.
type pending struct {
	oidc.Secrets
	Client string `json:"c"`
	Until  int64  `json:"u"` // Unix seconds
}

// Session is a clinician whom an EHR has signed in, for one card.
type Session struct {
	Client  string `json:"c"` // name of the registration
	User    string `json:"w"`
	Patient string `json:"p"`
	Entry   string `json:"e"` // id of the card's receipt
	Until   int64  `json:"u"` // Unix seconds
}

// Names of the cookies. A browser takes the prefixes only from https.
const (
	pendingName = "sepsisagent-launch-"
	sessionName = "sepsisagent-session"
)

// cookie is one of ours. Where the page may be framed by another site, the
// browser has to send it there (SameSite=None), and keeps it for that site
// alone (Partitioned).
func (a *App) cookie(prefix, name, value, path string, life time.Duration, framed bool) *http.Cookie {
	c := &http.Cookie{Name: a.named(prefix, name), Value: value, Path: path, MaxAge: int(life.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if a.secure {
		c.Secure = true
		if framed {
			c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
		}
	}
	return c
}

// named is the name under which the browser holds us to Secure, and with
// __Host- to this very host.
func (a *App) named(prefix, name string) string {
	if a.secure {
		return prefix + name
	}
	return name
}

// expired is the cookie that ends the one of a launch.
func (a *App) expired(name string, framed bool) *http.Cookie {
	c := a.cookie("", "", "", "/", 0, framed)
	c.Name, c.MaxAge = name, -1
	return c
}

// pendingOf names the cookie of one launch: several tabs may launch at once.
func (a *App) pendingOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	return a.named("__Host-", pendingName+hex.EncodeToString(sum[:8]))
}

func (a *App) pendingCookie(p pending, framed bool) (*http.Cookie, error) {
	value, err := a.box.Seal("pending", p)
	if err != nil {
		return nil, err
	}
	c := a.cookie("", "", value, "/", PendingLife, framed)
	c.Name = a.pendingOf(p.State)
	return c, nil
}

// openPending finds the launch that a state belongs to among the cookies.
func (a *App) openPending(state string, cookies []*http.Cookie) (p pending, name string, err error) {
	name = a.pendingOf(state)
	for _, c := range cookies {
		if c.Name != name {
			continue
		}
		switch err := a.box.Open("pending", c.Value, &p); {
		case err != nil:
			return p, name, refuse("state", err)
		case a.cfg.Now().Unix() > p.Until:
			return p, name, refuse("too-late", nil)
		}
		return p, name, nil
	}
	return p, name, refuse("no-cookie", nil)
}

// SessionCookie keeps a session in the browser, for one page and what lies
// below it.
func (a *App) SessionCookie(s Session, path string, framed bool) (*http.Cookie, error) {
	s.Until = a.cfg.Now().Add(SessionLife).Unix()
	value, err := a.box.Seal("session", s)
	if err != nil {
		return nil, err
	}
	return a.cookie("__Secure-", sessionName, value, path, SessionLife, framed), nil
}

// Session is the session of a request that has not ended; ok is false where
// there is none.
func (a *App) Session(cookies []*http.Cookie) (s Session, ok bool) {
	for _, c := range cookies {
		if c.Name != a.named("__Secure-", sessionName) {
			continue
		}
		var found Session
		if a.box.Open("session", c.Value, &found) == nil && a.cfg.Now().Unix() < found.Until {
			return found, true
		}
	}
	return Session{}, false
}
