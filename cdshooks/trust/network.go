// SPDX-License-Identifier: Apache-2.0

package trust

// This file: outgoing connections. The address of a connection is checked
// after name resolution and before the first byte, so that a name that
// resolves to another network today than it did at registration reaches
// nothing.

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// ErrNetwork: an address lies outside the network registered for the client.
var ErrNetwork = errors.New("address outside the registered network")

// HTTPClient returns a client for the addresses of this registration: TLS 1.2
// or later, no redirects, no proxy, no connection outside its network, timeout
// for a whole exchange. Its connections are its own.
func (c *Client) HTTPClient(timeout time.Duration) *http.Client {
	return c.httpClient(timeout, nil)
}

// httpClient is HTTPClient with another resolver of names than the system's.
func (c *Client) httpClient(timeout time.Duration, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
		return checkReachable(address, c.Network)
	}}
	return &http.Client{
		Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    8,
			MaxConnsPerHost:        32,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    2 * time.Second,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// checkReachable refuses an address outside the network.
func checkReachable(address, network string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: unreadable", ErrNetwork)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%w: unreadable", ErrNetwork)
	}
	ip = ip.Unmap()
	ok := ip.IsGlobalUnicast() && !ip.IsPrivate() && !reserved(ip)
	switch network {
	case NetworkLoopback:
		ok = ip.IsLoopback()
	case NetworkPrivate:
		ok = ok || ip.IsPrivate() && ip != cloudMetadata
	}
	if !ok {
		return ErrNetwork
	}
	return nil
}

// reservedNets are ranges that Go counts as global unicast and no EHR lives in.
var reservedNets = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarking
	netip.MustParsePrefix("192.88.99.0/24"), // 6to4 relays
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),          // IPv4-compatible: hides an IPv4 address
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64: hides an IPv4 address
	netip.MustParsePrefix("64:ff9b:1::/48"), // NAT64 of a site
	netip.MustParsePrefix("2001::/32"),      // Teredo: hides an IPv4 address
	netip.MustParsePrefix("2002::/16"),      // 6to4: hides an IPv4 address
	netip.MustParsePrefix("fec0::/10"),      // site-local, as it once was
}

// cloudMetadata is where a cloud tells a machine its secrets, in a range that is
// otherwise a site's own. The IPv4 one is link-local and never reached.
var cloudMetadata = netip.MustParseAddr("fd00:ec2::254")

func reserved(ip netip.Addr) bool {
	for _, p := range reservedNets {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// IsLoopbackHost reports a host that is loopback by its own text.
func IsLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
