// SPDX-License-Identifier: Apache-2.0

package main

// This file: the demonstration, end to end over real HTTP: every patient's
// chart opened, every call recorded, the log verified, every decision made
// again from its receipt.

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
)

// startDemo runs the demonstration on a free port of loopback until the test
// ends.
func startDemo(t testing.TB, change ...func(*Config)) *demo {
	t.Helper()
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Files.Model = testModel(t)
	for _, c := range change {
		c(&cfg)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDemo(t.Context(), cfg, "http://"+ln.Addr().String(), t.TempDir(), zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- listen(ctx, cfg.HTTP, ln, d.handler) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("shut down: %v", err)
		}
		d.close()
	})
	return d
}

func TestDemoDecidesForEveryPatientAndRecordsIt(t *testing.T) {
	d := startDemo(t)
	shown := 0
	for _, id := range d.ehr.PatientIDs() {
		result, err := d.ehr.Fire(t.Context(), id)
		if err != nil {
			t.Fatalf("patient %s: %v", id, err)
		}
		if result.Status != http.StatusOK {
			t.Errorf("patient %s: status %d", id, result.Status)
		}
		shown += len(result.Cards)
	}
	if shown == 0 {
		t.Error("no patient of the demonstration gets a card")
	}
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "decision"})
	if err != nil || len(rows) != len(d.ehr.PatientIDs()) {
		t.Fatalf("%d decisions recorded for %d patients, %v", len(rows), len(d.ehr.PatientIDs()), err)
	}
	statuses := map[string]int{}
	for _, row := range rows {
		statuses[row.Index.Status]++
		if row.Index.Display != engine.DisplaySuggest {
			t.Errorf("entry %s: display %q, want suggest in the demonstration", row.Index.ID, row.Index.Display)
		}
	}
	if statuses["suggest"] == 0 || len(statuses) < 3 {
		t.Errorf("the patients do not differ enough: %v", statuses)
	}
	starts, err := d.log.Query(t.Context(), audit.Filter{Kind: "config"})
	if err != nil || len(starts) != 1 || starts[0].Index.Model == "" {
		t.Errorf("the start is recorded %d times, %v", len(starts), err)
	}
	d.wantReplay(t, rows)
}

// wantReplay verifies the log and makes every decision again.
func (d *demo) wantReplay(t *testing.T, rows []audit.Row) {
	t.Helper()
	report, err := d.log.Verify(t.Context())
	if err != nil || !report.OK {
		t.Fatalf("verify: %+v, %v", report, err)
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.Index.ID)
	}
	summary, err := replayAll(t.Context(), testRooms(t), d.log, ids, newProgress(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	if !summary.OK || summary.Same != len(ids) {
		t.Errorf("replay: %+v", summary)
	}
}

func TestDemoServesItsPages(t *testing.T) {
	d := startDemo(t)
	for path, want := range map[string]string{"/": "Ward", "/ehr/": "Ward", "/healthz": "ok", "/readyz": "ready", "/cds-services": "sepsis-treatment", "/model-card": "Model card"} {
		resp, err := http.Get(d.base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, without %q", path, resp.Status, err, want)
		}
	}
	if err := probe(t.Context(), HTTPConfig{Addr: strings.TrimPrefix(d.base, "http://")}); err != nil {
		t.Errorf("healthcheck: %v", err)
	}
	if err := probe(t.Context(), HTTPConfig{Addr: "127.0.0.1:1"}); err == nil {
		t.Error("healthcheck finds a service where none is")
	}
}

func TestDemoLetsNobodyInWithoutAToken(t *testing.T) {
	d := startDemo(t)
	resp, err := http.Post(d.base+"/cds-services/sepsis-treatment", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %s", resp.Status)
	}
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "refusal"})
	if err != nil || len(rows) != 1 {
		t.Errorf("%d refusals recorded, %v", len(rows), err)
	}
}

func TestDemoAnswersToItsOwnNameOnly(t *testing.T) {
	d := startDemo(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.base+"/ehr/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example:80"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %s", resp.Status)
	}
}

func TestDemoStaysOnLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:8080", ":8080", "192.0.2.1:80", "[::]:8080"} {
		sepsisagent(t, "serve", "--demo", "--addr", addr).want(exitMisuse).says("loopback")
	}
	sepsisagent(t, "serve", "--demo", "--config", "x.yaml").want(exitMisuse)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	sepsisagent(t, "serve", "--demo", "--addr", busy.Addr().String()).want(exitFailed).says("--addr")
}

func TestServeDemoStartsByOneCommandAndStops(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- runContext(ctx, []string{"serve", "--demo", "--addr", "127.0.0.1:0"}, strings.NewReader(""), in, io.Discard)
		in.Close()
	}()
	url := firstMatch(t, out, regexp.MustCompile(`http://127\.0\.0\.1:\d+/ehr/`))
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", url, resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	select {
	case code := <-done:
		if code != exitOK {
			t.Errorf("exit status %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the demonstration does not stop")
	}
}

// firstMatch reads until a match and goes on reading in the background, so
// that the writer is never blocked.
func firstMatch(t *testing.T, r io.Reader, want *regexp.Regexp) string {
	t.Helper()
	var text strings.Builder
	buf := make([]byte, 1024)
	for {
		n, err := r.Read(buf)
		text.Write(buf[:n])
		if m := want.FindString(text.String()); m != "" {
			go io.Copy(io.Discard, r)
			return m
		}
		if err != nil {
			t.Fatalf("no %s in the output: %v\n%s", want, err, text.String())
		}
	}
}
