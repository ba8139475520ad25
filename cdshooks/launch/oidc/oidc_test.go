// SPDX-License-Identifier: Apache-2.0

package oidc

// This file: what a provider may say of itself, and boxes. Whole sign-ins are tested
// where they are, in cdshooks and audit/console.

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

const base = "https://ehr.example.org/fhir"

func TestADocumentOfAnotherIssuerIsRefused(t *testing.T) {
	doc := func(issuer, logout string) []byte {
		return []byte(`{"issuer":"` + issuer + `","authorization_endpoint":"https://id.example/a","token_endpoint":"https://id.example/t","jwks_uri":"https://id.example/k","end_session_endpoint":"` + logout + `"}`)
	}
	c := Config{Base: "https://id.example", Known: Endpoints{Issuer: "https://id.example"}, SameIssuer: true}
	if got, err := c.parse(doc("https://id.example", "https://id.example/out")); err != nil || got.Token != "https://id.example/t" || got.Logout != "https://id.example/out" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.parse(doc("https://id.example", "https://evil.example/out")); err != nil || got.Logout != "" {
		t.Errorf("a way out on another origin: %+v, %v", got, err)
	}
	for _, issuer := range []string{"https://id.example/", "https://other.example", ""} {
		if _, err := c.parse(doc(issuer, "")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}

// FuzzConfiguration: whatever a provider says of itself, what is used of it lies on
// its own origin or in the registration.
func FuzzConfiguration(f *testing.F) {
	good := `{"issuer":"https://ehr.example.org","authorization_endpoint":"https://ehr.example.org/a","token_endpoint":"https://ehr.example.org/t","jwks_uri":"https://ehr.example.org/k","code_challenge_methods_supported":["S256"]}`
	for _, seed := range []string{good, `{}`, `null`, `[]`, strings.Replace(good, "https://ehr.example.org/t", "https://evil.example/t", 1), good + good, `{"issuer":"a","issuer":"b"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Config{Base: base}.parse(data)
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, address := range []string{got.Issuer, got.Authorize, got.Token, got.JWKS} {
			u, err := url.Parse(address)
			if err != nil || !strings.EqualFold(u.Host, "ehr.example.org") || !strings.EqualFold(u.Scheme, "https") || u.User != nil {
				t.Fatalf("%q is used", address)
			}
		}
		if set, err := (Config{Base: base, Known: Endpoints{Token: "https://login.example.net/t"}}).parse(data); err != nil || set.Token != "https://login.example.net/t" {
			t.Fatalf("what is registered is not used: %+v, %v", set, err)
		}
	})
}

// FuzzAnswer: a token answer is one object whose members are named once.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"id_token":"a","patient":"p"}`, `{"patient":"a","patient":"b"}`, `{"patient":1}`, `{} {}`, `{"a":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := object(data)
		if err != nil {
			return
		}
		for name := range doc {
			if s, err := text(doc, name); err == nil && len(s) > MaxParameter*8 {
				t.Fatalf("%s has %d bytes", name, len(s))
			}
		}
	})
}
