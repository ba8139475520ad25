// SPDX-License-Identifier: Apache-2.0

package main

// This file: what strangers can do to a service that speaks TLS and HTTP/2
// itself, before they have said who they are: handshakes that never end, streams
// that are opened and taken back, headers without an end. Other calls are
// answered meanwhile, and memory stays bounded.

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sepsisagent/sepsisagent/cdshooks/load"
)

// maxFlooded is how much memory the service may have used at most, in kB. A
// calm one uses a third of it.
const maxFlooded = 512 << 10

// overTLS makes a service of its own that speaks TLS.
func overTLS(t *testing.T, more string) *child {
	t.Helper()
	cert, key := certificateFiles(t, t.TempDir(), 1, time.Now().Add(time.Hour))
	c := startChild(t, newAuditHouse(t), more+", tls: {cert_file: "+cert+", key_file: "+key+"}")
	c.hush()
	c.target = "https" + strings.TrimPrefix(c.target, "http")
	return c
}

// callTLS makes one call over TLS; 0: no answer.
func (c *child) callTLS() int {
	c.t.Helper()
	r, err := c.ehr.Request(c.t.Context(), c.target, 0, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.ProtoMajor != 2 {
		c.t.Errorf("spoken: %s", res.Proto)
	}
	return res.StatusCode
}

// peakKB is the most memory that the service has used.
func (c *child) peakKB() int {
	c.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/status")
	if err != nil {
		c.t.Skipf("no /proc: %v", err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		c.t.Skip("/proc tells no peak of memory")
	}
	kB, err := strconv.Atoi(string(found[1]))
	if err != nil {
		c.t.Fatal(err)
	}
	return kB
}

func TestHandshakesThatNeverEndLeaveCallsServed(t *testing.T) {
	c := overTLS(t, ", max_connections: 64")
	addr := strings.TrimPrefix(c.target, "https://")
	if got := c.callTLS(); got != http.StatusOK {
		t.Fatalf("at first: %d", got)
	}
	var conns []net.Conn
	for i := range 400 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		defer conn.Close()
		// Nothing, the head of a record that is never sent, or a first record of noise.
		_, _ = io.WriteString(conn, []string{"", "\x16\x03\x01\x3f\xff", "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff"}[i%3])
	}
	if got := c.callTLS(); got != http.StatusOK {
		t.Errorf("a call among 400 handshakes: %d", got)
	}
	for i, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(2*readHeaderTimeout + 10*time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("handshake %d is waited for to this day", i)
		}
	}
	for range 200 { // whole handshakes, and nothing said after
		if conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
			defer conn.Close()
		}
	}
	if got := c.callTLS(); got != http.StatusOK {
		t.Errorf("a call among 200 silent connections: %d", got)
	}
	if kB := c.peakKB(); kB > maxFlooded {
		t.Errorf("%d kB were used", kB)
	}
}

// speaker is one HTTP/2 connection whose frames a test writes itself.
type speaker struct {
	t     *testing.T
	conn  *tls.Conn
	frame *http2.Framer
	block bytes.Buffer
	words *hpack.Encoder
	ended chan map[http2.ErrCode]int // how often streams and the connection were refused with each code
}

func (c *child) speak() *speaker {
	c.t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(c.target, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		c.t.Fatal(err)
	}
	s := &speaker{t: c.t, conn: conn, frame: http2.NewFramer(conn, conn), ended: make(chan map[http2.ErrCode]int, 1)}
	s.words = hpack.NewEncoder(&s.block)
	if err := s.frame.WriteSettings(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		refused := map[http2.ErrCode]int{}
		for {
			f, err := s.frame.ReadFrame()
			if err != nil {
				s.ended <- refused
				return
			}
			switch f := f.(type) {
			case *http2.GoAwayFrame:
				refused[f.ErrCode]++
			case *http2.RSTStreamFrame:
				refused[f.ErrCode]++
			}
		}
	}()
	return s
}

// ask opens a stream with a stranger's call whose body does not come.
func (s *speaker) ask(stream uint32) error {
	s.block.Reset()
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "x"}, {":path", load.Path}, {"content-type", "application/json"}} {
		if err := s.words.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	return s.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: s.block.Bytes(), EndHeaders: true})
}

// refusals is what the connection was told by its end.
func (s *speaker) refusals() map[http2.ErrCode]int {
	s.t.Helper()
	select {
	case n := <-s.ended:
		return n
	case <-time.After(30 * time.Second):
		s.conn.Close()
		return <-s.ended
	}
}

func TestStreamsThatAreTakenBackAndHeadersWithoutEndLeaveCallsServed(t *testing.T) {
	c := overTLS(t, "")
	if got := c.callTLS(); got != http.StatusOK {
		t.Fatalf("at first: %d", got)
	}
	t.Run("streams opened and reset at once, as fast as can be", func(t *testing.T) {
		for range 4 {
			s := c.speak()
			for i := range uint32(20_000) {
				if s.ask(2*i+1) != nil || s.frame.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
					break // it was made to go
				}
			}
			s.conn.Close()
			<-s.ended
		}
		if got := c.callTLS(); got != http.StatusOK {
			t.Errorf("a call after it: %d", got)
		}
	})
	t.Run("ten thousand streams at once on one connection", func(t *testing.T) {
		s := c.speak()
		for i := range uint32(10_000) {
			if s.ask(2*i+1) != nil {
				break
			}
		}
		if got := c.callTLS(); got != http.StatusOK {
			t.Errorf("a call beside it: %d", got)
		}
		s.conn.Close()
		<-s.ended
	})
	t.Run("headers that go on for ever", func(t *testing.T) {
		s := c.speak()
		if err := s.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for ; sent < 4<<20; sent += 1 << 10 {
			if s.frame.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 1<<10)) != nil {
				break
			}
		}
		if sent >= 4<<20 {
			t.Errorf("%d bytes of one header were taken", sent)
		}
		_ = s.refusals()
		if got := c.callTLS(); got != http.StatusOK {
			t.Errorf("a call after it: %d", got)
		}
	})
	if kB := c.peakKB(); kB > maxFlooded {
		t.Errorf("%d kB were used", kB)
	}
}
