// SPDX-License-Identifier: Apache-2.0

package main

// This file: the evidence page in a real browser: on a phone, on a desk, in the
// dark, on paper; for patients of the demonstration and for real stays. With
// SEPSISAGENT_AXE, the path of axe.min.js, its accessibility is checked too.

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

// media switches between light and dark.
func media(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
}

// wantAccessible fails on everything that axe finds in the page.
func wantAccessible(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	path := os.Getenv("SEPSISAGENT_AXE")
	if path == "" {
		t.Log("accessibility is not checked (hint: SEPSISAGENT_AXE=path of axe.min.js, see .ci/axe)")
		return
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	browsertest.Ask[bool](t, ctx, string(source)+";true")
	found := browsertest.Ask[string](t, ctx, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target + " " + n.failureSummary).join("; "))))`)
	var violations []string
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("%s: %.600s", name, v)
	}
}

// wantReadable opens a page in every way that a clinician might, and fails
// where it cannot be read: sideways scrolling, an element that needs something
// from elsewhere, a text too small, a Tab key that leads nowhere.
func wantReadable(t *testing.T, ctx context.Context, url, name string) {
	t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"small", 320, 640}, {"phone", 390, 844}, {"desk", 1440, 900}, {"wide", 2560, 1300}} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(size.width, size.height), chromedp.Navigate(url)); err != nil {
			t.Fatal(err)
		}
		if wide := browsertest.Ask[string](t, ctx, `document.documentElement.scrollWidth > window.innerWidth ? [...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 80)).join(" | ") || "unknown" : ""`); wide != "" {
			t.Errorf("%s: scrolls sideways at %d px: %s", name, size.width, wide)
		}
		browsertest.Shot(t, ctx, name+"-"+size.name)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	if n := browsertest.Ask[int](t, ctx, `performance.getEntriesByType("resource").length + document.querySelectorAll("script, link, img, iframe, object, form").length`); n != 0 {
		t.Errorf("%s: the page asks for %d things beside itself", name, n)
	}
	if small := browsertest.Ask[string](t, ctx, `[...document.querySelectorAll("svg text")].filter(e => e.getBoundingClientRect().height < 11).map(e => e.textContent).join(" ")`); small != "" {
		t.Errorf("%s: too small to read: %s", name, small)
	}
	if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
		t.Fatal(err)
	}
	if class := browsertest.Ask[string](t, ctx, `document.activeElement.className`); class != "skip" {
		t.Errorf("%s: the first stop of the Tab key is %q, want the skip link", name, class)
	}
	for _, scheme := range []string{"dark", "light"} {
		media(t, ctx, scheme)
		browsertest.Ask[int](t, ctx, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
		wantAccessible(t, ctx, name+" in "+scheme)
		browsertest.Shot(t, ctx, name+"-all-"+scheme)
	}
	paper(t, ctx, url, name)
}

// paper prints the page and fails when what is folded on the screen is missing.
func paper(t *testing.T, ctx context.Context, url, name string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF())
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("SEPSISAGENT_SHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".pdf"), pdf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	// The renderer takes the medium up with its next frame.
	browsertest.Ask[bool](t, ctx, `new Promise((done) => { const look = () => matchMedia("print").matches ? requestAnimationFrame(() => done(true)) : requestAnimationFrame(look); look(); })`)
	folded := browsertest.Ask[string](t, ctx, `[...document.querySelectorAll("details:not([open]) > :not(summary)")].filter(e => !e.checkVisibility({contentVisibilityAuto: true})).map(e => e.previousElementSibling.textContent).join(", ")`)
	if folded != "" {
		t.Errorf("%s: not on paper: %s", name, folded)
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatal(err)
	}
}

// TestTheEvidenceOfTheDemonstrationIsReadableInABrowser reads the evidence of two
// patients of the demonstration as a browser shows it.
func TestTheEvidenceOfTheDemonstrationIsReadableInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	d := startDemo(t)
	read := 0
	for _, id := range d.ehr.PatientIDs() {
		result, err := d.ehr.Fire(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, card := range result.Cards {
			if len(card.Links) > 0 && read < 2 {
				wantReadable(t, ctx, d.base+"/evidence/"+card.Links[0].AppContext, "evidence-"+id)
				read++
			}
		}
	}
	if read == 0 {
		t.Error("no patient has a card with a link")
	}
}

// realDecision decides for a real chart, at the first moment of a stay that ends
// in a suggestion, else at one that has a forecast, else at the last one tried.
func realDecision(t testing.TB, r *rooms, charts []*state.Chart) *decided {
	t.Helper()
	var last *decided
	for _, chart := range charts {
		for h := 12; h <= 36; h += 12 {
			d, err := r.decideChart(t.Context(), chart, chart.Stay.Start.Add(time.Duration(h)*time.Hour), "0190b6a4-0000-7000-8000-000000000000", "Practitioner/test", 1)
			if err != nil {
				continue
			}
			decision := d.outcome().Decision
			if decision.Status == agent.Suggest {
				return d
			}
			if last == nil || len(decision.Options) > 0 || len(last.outcome().Decision.Options) == 0 {
				last = d
			}
		}
	}
	if last == nil {
		t.Fatal("no stay of the sample can be decided")
	}
	return last
}

// page writes the evidence page of a decision as the service would.
func (r *rooms) page(t testing.TB, d *decided) []byte {
	t.Helper()
	body, err := cdshooks.EvidencePage(cdshooks.MappedCharts{Mapper: r.mapper}, r.cfg.State, &d.record, cdshooks.PageView{Zone: time.UTC, Now: d.record.Receipt.At, ReceiptURL: "x/receipt"})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestTheEvidenceOfRealStaysIsReadableInABrowser does the same for two
// stays of the open ICU data.
func TestTheEvidenceOfRealStaysIsReadableInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("real data are left out of -short")
	}
	ctx := browsertest.Open(t)
	r := testRooms(t)
	for set, stays := range map[string]int{"mimic-iv-demo-fhir": 12, "eicu-demo-fhir": 60} {
		d := realDecision(t, r, realSample(t, set, stays))
		body := r.page(t, d)
		if strings.Contains(string(body), d.chart.Person.ID) {
			t.Errorf("%s: the page names the patient", set)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Security-Policy", evidence.ContentSecurityPolicy())
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(body)
		}))
		wantReadable(t, ctx, server.URL, "real-"+set)
		server.Close()
	}
}

// testRooms opens model, rules and maps as the commands do.
func testRooms(t testing.TB) *rooms {
	t.Helper()
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRooms(cfg, testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// BenchmarkEvidencePage writes the page of the largest receipt of a real
// sample: remapping, timeline and all.
func BenchmarkEvidencePage(b *testing.B) {
	r := testRooms(b)
	d := realDecision(b, r, realSample(b, "mimic-iv-demo-fhir", 12))
	b.ReportMetric(float64(len(d.record.Receipt.Records)), "records")
	for b.Loop() {
		r.page(b, d)
	}
}
