// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"errors"
	"testing"
	"time"
)

func TestAddressesOutsideTheNetworkAreNotReached(t *testing.T) {
	for _, c := range []struct {
		address, network string
		ok               bool
	}{
		{"93.184.216.34:443", NetworkPublic, true},
		{"127.0.0.1:80", NetworkPublic, false},
		{"[::1]:80", NetworkPublic, false},
		{"[::ffff:127.0.0.1]:80", NetworkPublic, false},
		{"10.0.0.1:443", NetworkPublic, false},
		{"10.0.0.1:443", NetworkPrivate, true},
		{"127.0.0.1:443", NetworkPrivate, false},
		{"169.254.169.254:80", NetworkPrivate, false},
		{"100.64.0.1:443", NetworkPublic, false},
		{"0.0.0.0:80", NetworkPrivate, false},
		{"127.0.0.1:80", NetworkLoopback, true},
		{"10.0.0.1:80", NetworkLoopback, false},
		{"[64:ff9b::7f00:1]:80", NetworkPublic, false},
	} {
		if err := checkReachable(c.address, c.network); (err == nil) != c.ok {
			t.Errorf("%s from %s: %v", c.address, c.network, err)
		}
	}
	s := newKeyServer(t)
	client := (&Client{Network: NetworkPublic}).HTTPClient(time.Second)
	if _, err := client.Get(s.URL); !errors.Is(err, ErrNetwork) {
		t.Errorf("got %v, want ErrNetwork", err)
	}
}

func TestUnusableRegistrationsAreRefusedAtStart(t *testing.T) {
	base := func() Client { return Client{Name: "ehr", Issuer: issuer, JWKSURL: "https://ehr.example.org/jwks"} }
	for name, change := range map[string]func(*Client){
		"no issuer":                      func(c *Client) { c.Issuer = "" },
		"no keys":                        func(c *Client) { c.JWKSURL = "" },
		"two kinds of keys":              func(c *Client) { c.JWKS = keySet() },
		"http outside loopback":          func(c *Client) { c.JWKSURL = "http://ehr.example.org/jwks" },
		"loopback without saying so":     func(c *Client) { c.FHIRServer = "https://127.0.0.1/fhir" },
		"loopback that is not":           func(c *Client) { c.Network = NetworkLoopback },
		"a symmetric algorithm":          func(c *Client) { c.Algorithms = []string{"HS256"} },
		"an unknown display mode":        func(c *Client) { c.Display = "loud" },
		"an unknown display mode of one": func(c *Client) { c.DisplayByUnit = map[string]string{"MICU": "loud"} },
		"tokens that live two hours":     func(c *Client) { c.MaxTokenLife = 2 * time.Hour },
		"an unknown selection behaviour": func(c *Client) { c.Quirks.SelectionBehavior = "all" },
		"a FHIR access of its own kind":  func(c *Client) { c.FHIRAccess.Mode = "always" },
		"our own right without a server": func(c *Client) { c.FHIRAccess = FHIRAccess{Mode: AccessBackend, ClientID: "app"} },
		"our own right without an id": func(c *Client) {
			c.FHIRServer, c.FHIRAccess = "https://ehr.example.org/fhir", FHIRAccess{Mode: AccessBackend}
		},
		"a token endpoint without TLS": func(c *Client) {
			c.FHIRServer = "https://ehr.example.org/fhir"
			c.FHIRAccess = FHIRAccess{Mode: AccessBackend, ClientID: "app", TokenURL: "http://ehr.example.org/token"}
		},
		"scopes that nothing asks for": func(c *Client) { c.FHIRAccess.Scopes = []string{"system/*.rs"} },
		"a broken key set":             func(c *Client) { c.JWKSURL, c.JWKS = "", "{" },
	} {
		c := base()
		change(&c)
		if _, err := New([]Client{c}, Options{}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New([]Client{base(), base()}, Options{}); !errors.Is(err, ErrConfig) {
		t.Errorf("registered twice: %v", err)
	}
	reg, err := New([]Client{base()}, Options{})
	if err != nil || reg.Clients()[0].DisplayFor("MICU") != DisplaySilent {
		t.Errorf("silent is the default: %v", err)
	}
}
