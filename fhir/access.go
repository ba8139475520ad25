// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Access, the right to read one patient's data from a Server, as
// the hook's fhirAuthorization or a backend grant gives it. It lives as long
// as the call.

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/smart/scope"
)

// Access lets one gather read from a Server. The zero Access lets it read
// nothing. It has no form in which it can be printed or stored.
type Access struct {
	// Token is the bearer token. It is sent to the Server and nowhere else.
	Token string
	// Expires is when it ends, by the wall clock; nothing is asked after it.
	// Zero: not told.
	Expires time.Time
	// Scope is what was granted, as the grant says it. A key whose resources
	// it leaves out is denied without a request. Empty, or with names that are
	// not SMART scopes (Epic's): the server decides.
	Scope string
	// Patient is whom the grant is limited to; a gather for anybody else is
	// refused. Empty: not told.
	Patient string
	// Renew, when set, gives another token in place of one that the server
	// answered 401 to. It is called at most once per gather.
	Renew func(ctx context.Context, refused string) (string, error)
}

// String hides the token from every %v.
func (Access) String() string { return "[redacted]" }

// GoString hides the token from %#v.
func (Access) GoString() string { return "[redacted]" }

// MarshalJSON hides the token from encoders.
func (Access) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// bearer is the token of a gather while it runs; its requests share it.
type bearer struct {
	access  Access
	mu      sync.Mutex // guards what follows
	token   string
	renewed bool
}

func (b *bearer) current() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token
}

// renew replaces a refused token, once for all requests; "" when it cannot be.
func (b *bearer) renew(ctx context.Context, refused string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.token != refused:
		return b.token // another request has done it
	case b.access.Renew == nil || b.renewed:
		return ""
	}
	b.renewed = true
	token, err := b.access.Renew(ctx, refused)
	if err != nil || token == "" || token == refused {
		return ""
	}
	b.token = token
	return token
}

// wanting names the SMART scope that is missing for reading a kind of
// resource; "" when it is granted or cannot be told. narrow is the category
// that a grant is limited to, where it covers the key.
func (a Access) wanting(w wish) (missing, narrow string) {
	if a.Scope == "" {
		return "", ""
	}
	var whole, part scope.Rights // to all of the resource type, and to the key's category of it
	for _, text := range strings.Fields(a.Scope) {
		s, ok := scope.Parse(text)
		switch {
		case !ok && !scope.OpensNothing(text):
			return "", "" // not SMART scopes, or not only: the server knows what they mean
		case !ok || !s.Opens(w.kind):
		case s.Query == "":
			whole, part = whole.With(s.Rights), part.With(s.Rights)
		case w.category != "" && s.Category() == w.category:
			part = part.With(s.Rights)
		}
	}
	switch {
	case whole.Suffice(w.kind):
		return "", ""
	case part.Suffice(w.kind):
		return "", w.category
	}
	letters := "rs"
	if w.kind == "Patient" {
		letters = "r"
	}
	return "patient/" + w.kind + "." + letters, ""
}
