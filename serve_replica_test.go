// SPDX-License-Identifier: Apache-2.0

package main

// This file: two whole services on one audit log, which is all they share, and
// a log that cannot be written because somebody else holds it or because its
// server is gone.

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/load"
)

// startReplicas starts n services on one log, each with a kill switch and a
// memory of its own. place is how the configuration names the log.
func startReplicas(t *testing.T, n int, place string, a AuditConfig) []*child {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	ehr, err := load.New("https://ehr.example.org", "https://cds.example.org")
	if err != nil {
		t.Fatal(err)
	}
	var out []*child
	for range n {
		dir := t.TempDir()
		c := &child{t: t, ehr: ehr, audit: a, config: filepath.Join(dir, "site.yaml")}
		text := fmt.Sprintf("http: {addr: 127.0.0.1:0}\naudit: {%s, key_file: %s, seen_file: %s}\ncdshooks:\n  public_url: https://cds.example.org\n  kill_switch_file: %s\n  clients:\n    - {name: ehr, issuer: https://ehr.example.org, jwks: '%s', display: inform}\n",
			place, a.KeyFile, filepath.Join(dir, "seen"), filepath.Join(dir, "stop"), ehr.KeySet())
		if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start()
		c.target = "http://" + c.says(`"msg":"serving".*?"addr":"([^"]+)"`)
		c.hush()
		out = append(out, c)
	}
	return out
}

// answer sends a request and gives status and body; 0 without an answer.
func (c *child) answer(r *http.Request) (int, []byte) {
	c.t.Helper()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, body
}

// again is the same request, token and all, to another replica.
func (c *child) again(r *http.Request) *http.Request {
	c.t.Helper()
	body, err := r.GetBody()
	if err != nil {
		c.t.Fatal(err)
	}
	second, err := http.NewRequest(r.Method, c.target+r.URL.Path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	second.Header = r.Header.Clone()
	return second
}

// ready is what /readyz says.
func (c *child) ready() (int, string) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.target+"/readyz", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	status, body := c.answer(r)
	return status, string(body)
}

// anyCard calls about the demonstration's patients until there is a card.
func (c *child) anyCard() (call *http.Request, card cdshooks.Card) {
	c.t.Helper()
	for i := range 8 {
		r, err := c.ehr.Request(c.t.Context(), c.target, i, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		status, body := c.answer(r)
		var out cdshooks.Response
		if err := json.Unmarshal(body, &out); status != http.StatusOK || err != nil {
			c.t.Fatalf("%d %s", status, body)
		}
		if len(out.Cards) > 0 {
			return r, out.Cards[0]
		}
	}
	c.t.Fatal("no patient gets a card")
	return nil, card
}

func TestTwoServicesOnOneFileAreOneService(t *testing.T) {
	h := newAuditHouse(t)
	oneService(t, "path: "+h.db, AuditConfig{Path: h.db, KeyFile: h.key})
}

func TestPostgresMakesTwoServicesOneService(t *testing.T) {
	file, key := postgresPlace(t), filepath.Join(t.TempDir(), "key")
	sepsisagent(t, "audit", "init", "--postgres-url-file", file, "--key", key, "--origin", "test").want(exitOK)
	oneService(t, "postgres_url_file: "+file, AuditConfig{PostgresURLFile: file, KeyFile: key})
}

func oneService(t *testing.T, place string, log AuditConfig) {
	both := startReplicas(t, 2, place, log)
	a, b := both[0], both[1]
	first, card := a.anyCard()

	t.Run("a token that one has seen is refused by the other", func(t *testing.T) {
		if status, body := b.answer(b.again(first)); status != http.StatusUnauthorized || len(body) != 0 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("feedback to one joins the decision of the other", func(t *testing.T) {
		body, err := json.Marshal(map[string]any{"feedback": []any{map[string]string{"card": card.UUID, "outcome": "overridden", "outcomeTimestamp": time.Now().UTC().Format(time.RFC3339)}}})
		if err != nil {
			t.Fatal(err)
		}
		token, err := b.ehr.Token()
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, b.target+load.Path+"/feedback", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		if status, body := b.answer(r); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		l, err := openAudit(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		decisions, err := l.Query(t.Context(), audit.Filter{Kind: cdshooks.KindDecision, Card: card.UUID})
		if err != nil || len(decisions) != 1 {
			t.Fatalf("%d decisions of the card, %v", len(decisions), err)
		}
		rows, err := l.Query(t.Context(), audit.Filter{Kind: cdshooks.KindFeedback})
		if err != nil || len(rows) != 1 || rows[0].Index.Refers != decisions[0].Index.ID {
			t.Errorf("feedback %+v is not of decision %s, %v", rows, decisions[0].Index.ID, err)
		}
	})
	t.Run("a kill switch thrown at one silences the other within its poll", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(filepath.Dir(a.config), "stop"), []byte("operator: Nurse Lead\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Minute) // what issue and documents promise
		for {
			if _, says := b.ready(); strings.Contains(says, "kill switch is thrown at another replica") {
				break
			} else if time.Now().After(until) {
				t.Fatalf("after a minute the other replica says %q", says)
			}
			time.Sleep(200 * time.Millisecond)
		}
		for i := range 8 {
			r, err := b.ehr.Request(t.Context(), b.target, i, nil)
			if err != nil {
				t.Fatal(err)
			}
			if status, body := b.answer(r); status != http.StatusOK || string(bytes.TrimSpace(body)) != `{"cards":[]}` {
				t.Errorf("patient %d: %d %s", i, status, body)
			}
		}
	})
	t.Run("what both answered under load until one was killed is on record in one log", func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		time.AfterFunc(time.Second, func() { _ = a.cmd.Process.Kill() })
		var wg sync.WaitGroup
		results := [2]load.Result{}
		for i, c := range both {
			wg.Go(func() { results[i] = c.ehr.Run(ctx, c.target, 2) })
		}
		wg.Wait()
		for i, r := range results {
			if n := r.Statuses(); n[200] == 0 || len(n) != 1 {
				t.Errorf("replica %d: %v", i, n)
			}
			for id, status := range r.Answered {
				results[0].Answered[id] = status
			}
		}
		b.wantRecorded(results[0].Answered)
	})
}

func TestALogThatAnotherProcessHoldsAnswersNothingUnrecorded(t *testing.T) {
	h := newAuditHouse(t)
	held(t, "path: "+h.db, AuditConfig{Path: h.db, KeyFile: h.key}, "sqlite", h.db, `BEGIN EXCLUSIVE`)
}

// An operator's session that was left open, or a migration that hangs.
func TestPostgresWhoseTableIsLockedAnswersNothingUnrecorded(t *testing.T) {
	file, key := postgresPlace(t), filepath.Join(t.TempDir(), "key")
	sepsisagent(t, "audit", "init", "--postgres-url-file", file, "--key", key, "--origin", "test").want(exitOK)
	address, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	held(t, "postgres_url_file: "+file, AuditConfig{PostgresURLFile: file, KeyFile: key}, "pgx", strings.TrimSpace(string(address)), `BEGIN; LOCK TABLE entry IN ACCESS EXCLUSIVE MODE`)
}

// held calls a service while somebody else holds its log.
func held(t *testing.T, place string, a AuditConfig, driver, address, hold string) {
	c := startReplicas(t, 1, place, a)[0]
	if got := c.call(); got != http.StatusOK {
		t.Fatalf("at first: %d", got)
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(hold); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond) // one call
	defer stop()
	began := time.Now()
	result := c.ehr.Run(ctx, c.target, 1)
	if n := result.Statuses(); len(n) != 1 || n[500] == 0 {
		t.Errorf("while somebody holds the log: %v", n)
	}
	t.Logf("refused after %s", time.Since(began).Round(time.Second))
	if _, err := db.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if got := c.call(); got != http.StatusOK {
		t.Errorf("once it is let go: %d", got)
	}
	c.wantRecorded(result.Answered)
}

// wire passes bytes between a service and its database until it is cut.
type wire struct {
	t    *testing.T
	to   string
	addr string

	mu    sync.Mutex
	ln    net.Listener
	conns []net.Conn
}

// mend listens again.
func (w *wire) mend() {
	w.t.Helper()
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr, w.ln = ln.Addr().String(), ln
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
}

// cut ends every connection and takes no new one.
func (w *wire) cut() {
	w.ln.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func TestPostgresThatIsGoneAnswersNothingUnrecorded(t *testing.T) {
	file, key := postgresPlace(t), filepath.Join(t.TempDir(), "key")
	sepsisagent(t, "audit", "init", "--postgres-url-file", file, "--key", key, "--origin", "test").want(exitOK)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, to: u.Host, addr: "127.0.0.1:0"}
	w.mend()
	t.Cleanup(w.cut)
	u.Host = w.addr
	through := filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(through, []byte(u.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startReplicas(t, 1, "postgres_url_file: "+through, AuditConfig{PostgresURLFile: file, KeyFile: key})[0]
	if got := c.call(); got != http.StatusOK {
		t.Fatalf("at first: %d", got)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	time.AfterFunc(time.Second, w.cut)
	result := c.ehr.Run(ctx, c.target, 2)
	if n := result.Statuses(); n[200] == 0 || n[500] == 0 || len(n) != 2 {
		t.Errorf("while the server goes: %v", n)
	}
	if status, says := c.ready(); status != http.StatusServiceUnavailable {
		t.Errorf("readiness without a server: %d %s", status, says)
	}
	w.mend()
	if got := c.call(); got != http.StatusOK {
		t.Errorf("once it is back: %d", got)
	}
	c.wantRecorded(result.Answered)
}
