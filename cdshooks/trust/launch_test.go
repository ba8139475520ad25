// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestARegistrationOfALaunchIsWholeOrRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Client)
		says   string // "": good
	}{
		{"none at all", func(c *Client) { c.Launch = Launch{} }, ""},
		{"links alone", func(c *Client) { c.Launch = Launch{LinkAlone: true} }, ""},
		{"an id", func(*Client) {}, ""},
		{"endpoints on another origin", func(c *Client) { c.Launch.TokenURL = "https://login.example.net/token" }, ""},
		{"a secret without an id", func(c *Client) { c.Launch = Launch{SecretFile: "x"} }, "client_id"},
		{"no FHIR server", func(c *Client) { c.FHIRServer = "" }, "fhir_server"},
		{"a name that no address can hold", func(c *Client) { c.Name = "a/b" }, "name"},
		{"a name that leads upwards", func(c *Client) { c.Name = ".." }, "name"},
		{"a token endpoint in the clear", func(c *Client) { c.Launch.TokenURL = "http://login.example.net/token" }, "token_url"},
		{"keys on loopback", func(c *Client) { c.Launch.JWKSURL = "https://127.0.0.1/k" }, "jwks_url"},
		{"an origin that is a policy", func(c *Client) { c.Origins = []string{"https://a.example; script-src *"} }, "origin"},
		{"an origin of everybody", func(c *Client) { c.Origins = []string{"https://*"} }, "origin"},
		{"an origin with a path", func(c *Client) { c.Origins = []string{"https://a.example/"} }, "origin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Client{
				Name: "ehr", Issuer: "https://ehr.example.org", JWKSURL: "https://ehr.example.org/jwks.json", FHIRServer: "https://ehr.example.org/fhir",
				Origins: []string{"https://ehr.example.org"}, Launch: Launch{ClientID: "app"},
			}
			tc.change(&c)
			_, err := New([]Client{c}, Options{})
			if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error %v, want one about %q", err, tc.says)
			}
		})
	}
}

func TestTwoClientsAreNotLaunchedFromOneServer(t *testing.T) {
	c := Client{Name: "a", Issuer: "a", JWKSURL: "https://a.example/k", FHIRServer: "https://ehr.example.org/fhir", Launch: Launch{ClientID: "app"}}
	d := c
	d.Name, d.Issuer = "b", "b"
	if _, err := New([]Client{c, d}, Options{}); !errors.Is(err, ErrConfig) {
		t.Errorf("error %v", err)
	}
	d.Launch = Launch{}
	r, err := New([]Client{c, d}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Named("b") == nil || r.Named("c") != nil || r.Named("") != nil {
		t.Error("clients are not found by name")
	}
}

func TestALaunchIsFinishedOnce(t *testing.T) {
	r, err := New(nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	until := r.now().Add(1e9 * 60)
	for i, want := range []bool{true, false} {
		if first, err := r.LaunchedOnce(t.Context(), "ehr", "state", until); err != nil || first != want {
			t.Errorf("%d: %t, %v", i, first, err)
		}
	}
	if first, err := r.LaunchedOnce(t.Context(), "other", "state", until); err != nil || !first {
		t.Errorf("of another client: %t, %v", first, err)
	}
}

func TestOnlyPlainOriginsMayFrame(t *testing.T) {
	c := Client{Origins: []string{"https://a.example", "null", "https://b.example:8443", "https://c.example x", "*"}}
	if got := c.Framers(); !slices.Equal(got, []string{"https://a.example", "https://b.example:8443"}) {
		t.Errorf("framers %v", got)
	}
}
