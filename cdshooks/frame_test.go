// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: clients that are slow, impatient, many or forged, seen from the
// connection.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// A client that writes its whole body before it reads, as many do, must still
// see why it was refused.
func TestAClientThatSendsItsWholeBodyFirstIsToldWhy(t *testing.T) {
	c := open(t, func(d *Deps, _ *trust.Client) { d.Config.MaxBodyBytes = 16 << 20 })
	big := bytes.Repeat([]byte(" "), 17<<20)
	for name, w := range map[string]struct {
		token string
		want  string
	}{
		"a body over the limit": {c.token(servicePath), " 413 "},
		"no token":              {"", " 401 "},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", c.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", servicePath, w.token, len(big))
			if _, err := conn.Write(big); err != nil {
				t.Fatalf("the connection closed under the body: %v", err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(line, w.want) {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

func TestABodyThatNeverEndsIsCutOffWithAReceipt(t *testing.T) {
	c := open(t, nil)
	slow := httptest.NewUnstartedServer(c.service.Handler())
	slow.Config.ReadTimeout = 200 * time.Millisecond
	slow.Start()
	defer slow.Close()
	conn, err := net.Dial("tcp", slow.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{", servicePath, c.token(servicePath))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 408 ") {
		t.Errorf("%q, %v", line, err)
	}
	found := c.records(KindRefusal)
	if len(found) != 1 || found[0].Reason != "slow-body" {
		t.Errorf("%d receipts, %s", len(found), last(found))
	}
}

func TestAClientThatGoesAwayLeavesAReceipt(t *testing.T) {
	var began, stopped atomic.Bool
	c := open(t, func(d *Deps, _ *trust.Client) {
		f := faulty{Charts: d.Charts, Decider: d.Decider, gather: func(ctx context.Context) error {
			began.Store(true)
			<-ctx.Done()
			stopped.Store(true)
			return ctx.Err()
		}}
		d.Charts = f
	})
	body, _ := json.Marshal(c.body(fixtures().patients[physiology.SepticShock]))
	ctx, leave := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.server.URL+servicePath, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token(servicePath))
	go func() {
		for !began.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		leave()
	}()
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("the call was answered")
	}
	for range 400 {
		if len(c.records(KindFailure)) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	found := c.records(KindFailure)
	if !stopped.Load() || len(found) != 1 || found[0].Reason != "client-gone" || found[0].Status != statusClientGone {
		t.Errorf("stopped %v, receipt %s", stopped.Load(), last(found))
	}
}

func TestAClientThatClosesItsSideIsNotToldThatAllIsWell(t *testing.T) {
	c := open(t, func(d *Deps, _ *trust.Client) {
		d.Charts = faulty{Charts: d.Charts, Decider: d.Decider, gather: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	})
	body, _ := json.Marshal(c.body(fixtures().patients[physiology.PostOperative]))
	conn, err := net.Dial("tcp", c.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", servicePath, c.token(servicePath), len(body), body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 499 ")) || !bytes.Contains(answer, []byte("OperationOutcome")) {
		t.Errorf("%.200s, %v", answer, err)
	}
}

func TestMoreCallsThanAllowedAreTurnedAwayEarly(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{})
	c := open(t, func(d *Deps, _ *trust.Client) {
		d.Config.MaxConcurrent = 1
		d.Charts = faulty{Charts: d.Charts, Decider: d.Decider, gather: func(context.Context) error {
			entered <- struct{}{}
			<-hold
			return nil
		}}
	})
	body, _ := json.Marshal(c.body(fixtures().patients[physiology.PostOperative]))
	first := make(chan reply)
	go func() { first <- c.post(servicePath, body, nil) }()
	<-entered
	c.wantRefusal(c.post(servicePath, body, nil), 503, KindFailure, "overloaded")
	close(hold)
	if r := <-first; r.status != 200 {
		t.Errorf("the call under way was lost: %d", r.status)
	}
}

func TestAForgedTokenThatWaitsForKeysHoldsUpNobody(t *testing.T) {
	keys, asked, hold := publicKeys(fixtures().key), atomic.Int32{}, make(chan struct{})
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			<-hold
		}
		fmt.Fprint(w, keys)
	}))
	t.Cleanup(jwks.Close)
	c := open(t, func(d *Deps, client *trust.Client) {
		d.Config.MaxConcurrent = 1
		client.JWKS, client.JWKSURL, client.FHIRServer, client.Network = "", jwks.URL, "", trust.NetworkLoopback
	})
	body, _ := json.Marshal(c.body(fixtures().patients[physiology.PostOperative]))
	if r := c.post(servicePath, body, nil); r.status != 200 {
		t.Fatal(r.status)
	}
	c.wait(time.Minute) // the address may be asked again
	forged := make(chan reply)
	go func() {
		forged <- c.post(servicePath, body, func(r *http.Request) {
			_, rest, _ := strings.Cut(r.Header.Get("Authorization"), ".")
			r.Header.Set("Authorization", "Bearer "+base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES384","typ":"JWT","kid":"other"}`))+"."+rest)
		})
	}()
	for asked.Load() < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	if r := c.post(servicePath, body, nil); r.status != 200 {
		t.Errorf("a genuine call got %d while a forged one waited: %s", r.status, r.body)
	}
	close(hold)
	if r := <-forged; r.status != 401 {
		t.Errorf("the forged call got %d", r.status)
	}
}
