// SPDX-License-Identifier: Apache-2.0

package console

// This file: the auditor of the demonstration: a gate with one reader, for a log
// of synthetic patients that lasts as long as the run.

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
)

// demoGate knows one token, made at start.
type demoGate struct{ token string }

// DemoGate makes the gate of a demonstration and the token that opens it. Its
// reader has every role and is called so in the log.
func DemoGate() (Gate, string) {
	g := demoGate{rand.Text()}
	return g, g.token
}

func (g demoGate) Authenticate(r *http.Request) (access.Reader, error) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+g.token)) != 1 {
		return access.Reader{}, access.ErrUnauthenticated
	}
	return access.Reader{
		Issuer: "demonstration", Subject: "demo-auditor", Roles: []access.Role{access.Auditor, access.Investigator, access.Operator}, Expires: time.Now().Add(time.Hour),
	}, nil
}

func (demoGate) Failed(access.Reader) {}

func (demoGate) Admit(access.Reader) error { return nil }

func (demoGate) RefusedSignIn(*http.Request) error { return nil }
