// SPDX-License-Identifier: Apache-2.0

package main

// This file: the evidence page launched by the EHR of the demonstration, over
// real HTTP, and in a frame of another site in a real browser.

import (
	"context"
	"crypto/tls"
	"html/template"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

// launchable is where the EHR launches the link of the first card it can get.
func launchable(t *testing.T, ehr *sandbox.Sandbox, base string) string {
	t.Helper()
	for _, id := range ehr.PatientIDs() {
		result, err := ehr.Fire(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, card := range result.Cards {
			if len(card.Links) > 0 && card.Links[0].Type == cdshooks.LinkSMART {
				return base + "/patients/" + id + "/launch?card=" + card.UUID + "&link=0"
			}
		}
	}
	t.Fatal("no patient has a card with a link that launches")
	return ""
}

func TestTheDemonstrationLaunchesTheEvidenceAndRecordsWhoReadIt(t *testing.T) {
	d := startDemo(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	resp, err := browser.Get(launchable(t, d.ehr, d.base+ehrPath))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Request.URL.Path, "/evidence/") || resp.Request.URL.RawQuery != "" {
		t.Errorf("%s at %s", resp.Status, resp.Request.URL)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors "+d.base) {
		t.Errorf("policy %s", csp)
	}
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "read"})
	if err != nil || len(rows) != 1 || rows[0].Index.User != "Practitioner/intensivist" || rows[0].Index.Refers == "" {
		t.Errorf("%+v, %v", rows, err)
	}
	// Whoever has the link alone is let in here, and is nobody.
	alone, err := http.Get(resp.Request.URL.String())
	if err != nil {
		t.Fatal(err)
	}
	alone.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	rows, err = d.log.Query(t.Context(), audit.Filter{Kind: "read", OldestFirst: true})
	if err != nil || alone.StatusCode != http.StatusOK || len(rows) != 2 || rows[1].Index.User != "" {
		t.Errorf("%s, %+v, %v", alone.Status, rows, err)
	}
}

// abroad is the service at https://cds.test, an EHR on loopback, and pages of
// other sites that show the evidence in a frame.
type abroad struct {
	ehr  *sandbox.Sandbox
	base string // of the EHR
	log  *sqlite.Log
}

// openAbroad serves the service by TLS, to be framed by origin alone.
func openAbroad(t *testing.T, origin string) abroad {
	t.Helper()
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Files.Model = testModel(t)
	var service, ehr http.Handler
	cds := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { service.ServeHTTP(w, r) }))
	t.Cleanup(cds.Close)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ehr.ServeHTTP(w, r) }))
	t.Cleanup(site.Close)
	_, port, err := net.SplitHostPort(cds.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg.CDSHooks.PublicURL = "https://cds.test:" + port
	toCDS := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // the test's own certificate
			return dialer.DialContext(ctx, network, cds.Listener.Addr().String())
		},
	}}
	t.Cleanup(toCDS.CloseIdleConnections)
	a := abroad{base: site.URL + ehrPath}
	if a.ehr, err = sandbox.New(sandbox.Config{BaseURL: a.base, CDSBaseURL: cfg.CDSHooks.PublicURL, HTTP: toCDS}); err != nil {
		t.Fatal(err)
	}
	ehr = a.ehr.Handler()
	client := demoClient(a.ehr.Client())
	client.Origins, client.Launch.LinkAlone = []string{origin}, false
	cfg.CDSHooks.Clients = []trust.Client{client}
	key, err := audit.CreateKeyFile(filepath.Join(t.TempDir(), "key"), "test.example")
	if err != nil {
		t.Fatal(err)
	}
	a.log = sqlitetest.New(t, sqlite.Options{Key: key})
	r, err := openRooms(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	registry, err := newRegistry(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	deps, err := serviceDeps(r, registry, nil, a.log, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	deps.Validated = func(time.Time) validation.Standing { return validation.Standing{} }
	running, err := cdshooks.New(deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	service = running.Handler()
	return a
}

// TestTheEvidenceIsLaunchedInAFrameOfTheEHRInABrowser launches the page in a frame
// of another site, as an EHR's embedded browser does: with cookies of the partition, and under the policy that names who may frame it.
func TestTheEvidenceIsLaunchedInAFrameOfTheEHRInABrowser(t *testing.T) {
	browsertest.Needed(t)
	framed := ""
	portal := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = template.Must(template.New("").Parse(`<!doctype html><title>EHR</title><h1>The EHR of another site</h1><iframe width="1200" height="1500" src="{{.}}"></iframe>`)).Execute(w, framed)
	}))
	defer portal.Close()
	_, port, err := net.SplitHostPort(portal.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := openAbroad(t, "https://ehr.test:"+port)
	for _, tc := range []struct {
		name, host string
		shown      bool
	}{{"framed", "ehr.test", true}, {"framed-by-a-stranger", "evil.test", false}} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := browsertest.Open(t, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"))
			framed = launchable(t, a.ehr, a.base)
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 1600), chromedp.Navigate("https://"+tc.host+":"+port+"/")); err != nil {
				t.Fatal(err)
			}
			if heading := framedHeading(t, ctx); strings.Contains(heading, "MAP") != tc.shown {
				t.Errorf("the frame says %q", heading)
			}
			browsertest.Shot(t, ctx, "launch-"+tc.name)
		})
	}
	rows, err := a.log.Query(t.Context(), audit.Filter{Kind: "read"})
	if err != nil || len(rows) == 0 || rows[len(rows)-1].Index.User != "Practitioner/intensivist" {
		t.Errorf("%+v, %v", rows, err)
	}
}

// framedHeading waits until the frame in the tab has arrived at the evidence,
// shown or not, and gives the heading that is seen in it.
func framedHeading(t *testing.T, ctx context.Context) string {
	t.Helper()
	for range 100 { // frames of other sites load on their own
		targets, err := chromedp.Targets(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range targets {
			if info.Type != "iframe" || !strings.Contains(info.URL, "/evidence/") {
				continue
			}
			if strings.Contains(info.URL, "?") {
				t.Errorf("the frame is at %s", info.URL)
			}
			frame, leave := chromedp.NewContext(ctx, chromedp.WithTargetID(info.TargetID))
			t.Cleanup(leave)
			// A frame that goes on to another page is asked again.
			heading, err := chromedp.Run(frame, chromedp.Evaluate[string](`document.querySelector("h1") ? document.querySelector("h1").textContent : ""`))
			if err == nil && heading != "" {
				return heading
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the frame does not arrive at the evidence")
	return ""
}
