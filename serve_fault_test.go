// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service as a process, under load, with what a network and a
// machine do to it: killed, told to stop, flooded, its log gone,
// its configuration changed. What was answered is on record every time.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/load"
)

const (
	// childConfig names the configuration of a service in a process of its own.
	childConfig = "SEPSISAGENT_TEST_SERVE"
	// childFileBytes is how large its files may get, where that is limited.
	childFileBytes = "SEPSISAGENT_TEST_FILE_BYTES"
)

// child is a running service.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	target string
	lines  *bufio.Reader
	house  auditHouse
	audit  AuditConfig // the log, for reading it afterwards
	ehr    *load.EHR
	config string
}

func TestServeChild(t *testing.T) {
	path := os.Getenv(childConfig)
	if path == "" {
		t.Skip("runs as the child of other tests")
	}
	if most, err := strconv.ParseUint(os.Getenv(childFileBytes), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ) // then to write more is an error
		var limit unix.Rlimit
		err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit)
		limit.Cur = most
		if err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)); err != nil {
			t.Fatal(err)
		}
	}
	if code := run([]string{"serve", "--config", path}, strings.NewReader(""), io.Discard, os.Stderr); code != exitOK {
		t.Fatalf("exit status %d", code)
	}
}

// startChild starts a service whose log is in a new folder, or in house.
func startChild(t *testing.T, house auditHouse, http string) *child {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a process")
	}
	ehr, err := load.New("https://ehr.example.org", "https://cds.example.org")
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, house: house, audit: AuditConfig{Path: house.db, KeyFile: house.key}, ehr: ehr}
	c.config = site(t, house, "cdshooks:\n  public_url: https://cds.example.org\n  clients:\n    - {name: ehr, issuer: https://ehr.example.org, jwks: '"+ehr.KeySet()+"', display: inform}\n")
	c.edit("http: {addr: 127.0.0.1:0}", "http: {addr: 127.0.0.1:0"+http+"}")
	c.start()
	c.target = "http://" + c.says(`"msg":"serving".*?"addr":"([^"]+)"`)
	return c
}

// start starts the process.
func (c *child) start() {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0], "-test.run=^TestServeChild$")
	c.cmd.Env = append(os.Environ(), childConfig+"="+c.config, "SEPSISAGENT_FILES__MODEL="+testModel(c.t))
	logs, err := c.cmd.StderrPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	c.lines = bufio.NewReader(logs)
}

// edit changes the configuration file.
func (c *child) edit(old, to string) {
	c.t.Helper()
	text, err := os.ReadFile(c.config)
	if err != nil || !strings.Contains(string(text), old) {
		c.t.Fatalf("%v: %q is not in the file", err, old)
	}
	if err := os.WriteFile(c.config, []byte(strings.Replace(string(text), old, to, 1)), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// says waits for a log line.
func (c *child) says(want string) string {
	c.t.Helper()
	for {
		line, err := c.lines.ReadString('\n')
		if found := regexp.MustCompile(want).FindStringSubmatch(line); found != nil {
			return found[len(found)-1]
		}
		if err != nil {
			c.t.Fatalf("never said %s: %v", want, err)
		}
	}
}

// hush reads the log away, so that it never blocks the service.
func (c *child) hush() { go func() { _, _ = io.Copy(io.Discard, c.lines) }() }

// call makes one call and gives its status; 0: no answer.
func (c *child) call() int {
	r, err := c.ehr.Request(c.t.Context(), c.target, 0, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// wantRecorded looks for every answer in the log, and verifies it.
func (c *child) wantRecorded(answered map[string]int) {
	c.t.Helper()
	log, err := openAudit(context.Background(), c.audit)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	report, err := log.Verify(context.Background())
	if err != nil || !report.OK {
		c.t.Fatalf("the log does not verify: %+v, %v", report, err)
	}
	recorded := map[string]bool{}
	filter := audit.Filter{OldestFirst: true, Limit: audit.MaxLimit}
	for {
		rows, err := log.Query(context.Background(), filter)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, row := range rows {
			stored, err := log.Get(context.Background(), row.Index.ID)
			if err != nil {
				c.t.Fatal(err)
			}
			if r, err := cdshooks.DecodeRecord(stored.Body); err == nil {
				recorded[r.Request.RequestID] = true
			}
		}
		if len(rows) < audit.MaxLimit {
			break
		}
		filter.After = &rows[len(rows)-1].Leaf
	}
	lost := 0
	for id, status := range answered {
		if !recorded[id] && status != 500 {
			lost++
		}
	}
	if lost > 0 || len(answered) == 0 {
		c.t.Errorf("%d of %d answers are not on record", lost, len(answered))
	}
}

func TestWhatWasAnsweredBeforeTheEndIsOnRecord(t *testing.T) {
	for name, how := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "kill -9": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t, newAuditHouse(t), "")
			c.hush()
			ctx, stop := context.WithCancel(t.Context())
			time.AfterFunc(1500*time.Millisecond, func() { _ = c.cmd.Process.Signal(how) })
			time.AfterFunc(2500*time.Millisecond, stop)
			result := c.ehr.Run(ctx, c.target, 4)
			err := c.cmd.Wait()
			if how == syscall.SIGTERM && err != nil {
				t.Errorf("asked to stop it ended with %v", err)
			}
			if result.Statuses()[200] == 0 || len(result.Statuses()) != 1 {
				t.Errorf("statuses %v", result.Statuses())
			}
			c.wantRecorded(result.Answered)
		})
	}
}

func TestReadinessEndsBeforeTheServiceDoes(t *testing.T) {
	c := startChild(t, newAuditHouse(t), ", drain_delay: 2s")
	c.hush()
	ready := func() int {
		res, err := http.Get(c.target + "/readyz")
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := ready(); got != 200 {
		t.Fatalf("readiness %d", got)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if ready() == 503 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := ready(); got != 503 {
		t.Errorf("readiness %d while it drains", got)
	}
	if got := c.call(); got != 200 {
		t.Errorf("a call while it drains: %d", got)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestFloodsLeaveCallsServed(t *testing.T) {
	c := startChild(t, newAuditHouse(t), ", max_connections: 64")
	c.hush()
	addr := strings.TrimPrefix(c.target, "http://")
	open := func(text string) net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, text) // a connection that was made to go is as good
		return conn
	}
	status := func(conn net.Conn) string {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line
	}
	var first net.Conn
	for i := range 300 { // idle, and slow with a header
		conn := open([]string{"", "POST " + load.Path + " HTTP/1.1\r\nHost: x\r\nX-A: a"}[i%2])
		if i == 0 {
			first = conn
		}
	}
	if got := c.call(); got != 200 {
		t.Errorf("a call among 300 silent connections: %d", got)
	}
	if line := status(first); line != "" {
		t.Errorf("the oldest silent connection was told %q", line)
	}
	flood := open("GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Flood: "+strings.Repeat("a", 1000)+"\r\n", 60) + "\r\n")
	if line := status(flood); !strings.Contains(line, " 431 ") {
		t.Errorf("a flood of headers: %q", line)
	}
	slow := open(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", load.Path))
	began := time.Now()
	if line := status(slow); !strings.Contains(line, " 401 ") || time.Since(began) > 15*time.Second {
		t.Errorf("a stranger's slow body: %q after %s", line, time.Since(began))
	}
	if got := c.call(); got != 200 {
		t.Errorf("a call after the floods: %d", got)
	}
}

func TestALogWhoseFileIsDeletedAnswersNothing(t *testing.T) {
	c := startChild(t, newAuditHouse(t), "")
	c.hush()
	if got := c.call(); got != 200 {
		t.Fatalf("at first: %d", got)
	}
	if err := os.Rename(c.house.db, c.house.db+".away"); err != nil {
		t.Fatal(err)
	}
	if got := c.call(); got != 500 {
		t.Errorf("a call without a log: %d", got)
	}
	res, err := http.Get(c.target + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("readiness without a log: %d", res.StatusCode)
	}
	if err := os.Rename(c.house.db+".away", c.house.db); err != nil {
		t.Fatal(err)
	}
	if got := c.call(); got != 200 {
		t.Errorf("once it is back: %d", got)
	}
}

func TestSIGHUPChangesClientsAndRulesAndAnUnusableFileChangesNothing(t *testing.T) {
	c := startChild(t, newAuditHouse(t), "")
	hup := func() {
		t.Helper()
		if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.call(); got != 200 {
		t.Fatalf("at first: %d", got)
	}
	c.edit("issuer: https://ehr.example.org", "issuer: https://another.example.org")
	hup()
	c.says(`"msg":"configuration read","changed":true`)
	if got := c.call(); got != 401 {
		t.Errorf("a client that is registered no more: %d", got)
	}
	c.edit("issuer: https://another.example.org", "isuer: https://ehr.example.org")
	hup()
	c.says(`"msg":"configuration not read, what was there stays in use"`)
	c.edit("isuer:", "issuer:")
	c.edit("http: {addr: 127.0.0.1:0}", "http: {addr: 127.0.0.1:1}")
	hup()
	c.says(`"msg":"configuration not read.*a restart only`)
	c.edit("127.0.0.1:1}", "127.0.0.1:0}")
	hup()
	c.says(`"msg":"configuration read","changed":true`)
	if got := c.call(); got != 200 {
		t.Errorf("registered again: %d", got)
	}
	hup()
	c.says(`"msg":"configuration read","changed":false`)
	c.hush()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
	log, err := openAudit(t.Context(), AuditConfig{Path: c.house.db, KeyFile: c.house.key})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	rows, err := log.Query(t.Context(), audit.Filter{Kind: "config", OldestFirst: true})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d receipts of a start and two changes, %v", len(rows), err)
	}
	for i, row := range rows {
		stored, err := log.Get(t.Context(), row.Index.ID)
		if err != nil || strings.Contains(string(stored.Body), `"replaced"`) != (i > 0) || row.Index.RulesHash == "" {
			t.Errorf("receipt %d: %v, %s", i, err, stored.Body)
		}
	}
}
