// SPDX-License-Identifier: Apache-2.0

package trust

// This file: names that resolve to somewhere else than they did, and other
// ways to write an address.

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server on loopback that answers the nth question for an IPv4
// address by answer(n).
func names(t *testing.T, answer func(n int64) []string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	var asked atomic.Int64
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
			if q.Type == dnsmessage.TypeA {
				for _, a := range answer(asked.Add(1)) {
					reply.Answers = append(reply.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
					})
				}
			}
			if packed, err := reply.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestANameThatNowResolvesIntoThePrivateNetworkReachesNothing(t *testing.T) {
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	const public = "93.184.216.34"
	for name, answer := range map[string]func(int64) []string{
		"public first, then loopback": func(n int64) []string {
			if n == 1 {
				return []string{public}
			}
			return []string{"127.0.0.1"}
		},
		"loopback twice in one answer": func(int64) []string { return []string{"127.0.0.1", "127.0.0.2"} },
		"the metadata of a cloud":      func(int64) []string { return []string{"169.254.169.254"} },
		"this host by no address":      func(int64) []string { return []string{"0.0.0.0"} },
	} {
		t.Run(name, func(t *testing.T) {
			resolver := names(t, answer)
			// The name is looked up once before, as at registration.
			if _, err := resolver.LookupNetIP(t.Context(), "ip4", "ehr.example.org"); err != nil {
				t.Fatal(err)
			}
			for _, network := range []string{NetworkPublic, NetworkPrivate} {
				via := (&Client{Network: network}).httpClient(2*time.Second, resolver)
				res, err := via.Get("http://ehr.example.org:" + port + "/")
				if err == nil {
					res.Body.Close()
				}
				if !errors.Is(err, ErrNetwork) {
					t.Errorf("from %s: %v, want ErrNetwork", network, err)
				}
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server inside was reached %d times", n)
	}
}

func TestNoWayToWriteAPrivateAddressReachesIt(t *testing.T) {
	for _, address := range []string{
		"[::ffff:10.0.0.1]:443", "[::ffff:169.254.169.254]:443", "[::10.0.0.1]:443", "[64:ff9b::a00:1]:443", "[64:ff9b:1::a00:1]:443",
		"[2002:a00:1::]:443", "[2001:0:a00:1::1]:443", "[fe80::1]:443", "[fec0::1]:443", "[fc00::1]:443", "[fd00:ec2::254]:80",
		"[ff02::1]:443", "224.0.0.1:443", "255.255.255.255:443", "192.0.0.8:443", "198.18.0.1:443", "[::]:443", "[fe80::1%lo]:443",
		"2130706433:80", "0x7f000001:80", "127.1:80", "0177.0.0.1:80",
	} {
		if err := checkReachable(address, NetworkPublic); !errors.Is(err, ErrNetwork) {
			t.Errorf("%s is reached: %v", address, err)
		}
	}
	for _, address := range []string{"[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80", "[fe80::1]:443", "[64:ff9b::a00:1]:443"} {
		if err := checkReachable(address, NetworkPrivate); !errors.Is(err, ErrNetwork) {
			t.Errorf("%s is reached from the private network: %v", address, err)
		}
	}
	// As a URL's host they are names like any other, and what these resolve to
	// is checked.
	resolver := names(t, func(int64) []string { return []string{"127.0.0.1"} })
	for _, host := range []string{"2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost.", "ehr.example.org"} {
		res, err := (&Client{Network: NetworkPublic}).httpClient(2*time.Second, resolver).Get("http://" + host + ":9/")
		if err == nil {
			res.Body.Close()
			t.Errorf("%s was reached", host)
		} else if !errors.Is(err, ErrNetwork) && !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: %v", host, err)
		}
	}
}
