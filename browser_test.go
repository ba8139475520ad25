// SPDX-License-Identifier: Apache-2.0

package main

// This file: the demonstration in a real browser, with the real service behind
// it. It runs where SEPSISAGENT_BROWSER=1 and Chromium is installed; with
// SEPSISAGENT_SHOTS it leaves screenshots in that folder.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser opens a headless tab, or skips.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	if os.Getenv("SEPSISAGENT_BROWSER") != "1" {
		t.Skip("set SEPSISAGENT_BROWSER=1 to run the browser tests")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("SEPSISAGENT_BROWSER=1 but there is no chromium (hint: apt-get install chromium): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	options = append(options, more...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	return ctx
}

// shot saves a screenshot where SEPSISAGENT_SHOTS names a folder.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("SEPSISAGENT_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTheDemonstrationInABrowser picks each patient, reads the answer, follows
// the card's links to evidence and receipt, and finds no request refused by
// the pages' own policy.
func TestTheDemonstrationInABrowser(t *testing.T) {
	ctx := browser(t)
	d := startDemo(t)
	cards := 0
	for i, id := range d.ehr.PatientIDs() {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(d.base+ehrPath+"/patients/"+id)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			shot(t, ctx, "patient-before")
		}
		if _, err := chromedp.RunResponse(ctx, chromedp.Click(`form[action$="/open"] button`)); err != nil {
			t.Fatalf("patient %s: %v", id, err)
		}
		shot(t, ctx, "patient-"+id)
		wantAccessible(t, ctx, "patient "+id)
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.querySelector("article.card") !== null`))
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			continue
		}
		cards++
		d.followLinks(t, ctx, id)
	}
	if cards == 0 {
		t.Error("no patient shows a card")
	}
}

// evidenceOf is the evidence page of the card in the tab, launched from there;
// "" where no card has one. The tab is then at the page.
func evidenceOf(t *testing.T, ctx context.Context) string {
	t.Helper()
	link := ask[string](t, ctx, `[...document.querySelectorAll("article.card a")].map(a => a.href).find(h => h.includes("/launch?card=")) || ""`)
	if link == "" {
		return ""
	}
	resp, err := chromedp.RunResponse(ctx, chromedp.Navigate(link))
	if err != nil || resp == nil || resp.Status != 200 {
		t.Fatalf("launched: %v, %v", resp, err)
	}
	at := ask[string](t, ctx, `document.location.href`)
	if !strings.Contains(at, "/evidence/") || strings.Contains(at, "?") {
		t.Fatalf("launched to %s", at)
	}
	return at
}

// followLinks opens the evidence of the card on the page, and its receipt.
func (d *demo) followLinks(t *testing.T, ctx context.Context, id string) {
	t.Helper()
	link := evidenceOf(t, ctx)
	if link == "" {
		t.Errorf("patient %s: the card has no link to its evidence", id)
		return
	}
	for name, page := range map[string]string{"evidence": link, "receipt": strings.TrimSuffix(link, "/receipt") + "/receipt"} {
		resp, err := chromedp.RunResponse(ctx, chromedp.Navigate(page))
		if err != nil || resp == nil || resp.Status != 200 {
			t.Errorf("patient %s: %s page: %v, %v", id, name, resp, err)
			continue
		}
		heading, err := chromedp.Run(ctx, chromedp.Text(`h1`))
		if err != nil || heading == "" {
			t.Errorf("patient %s: %s page has no heading, %v", id, name, err)
		}
		wantAccessible(t, ctx, name+" of "+id)
		shot(t, ctx, name+"-"+id)
	}
}

// TestAnOrderIsCheckedInABrowser drafts too much of every orderable drug until
// a card speaks against it, and reads the evidence of that card.
func TestAnOrderIsCheckedInABrowser(t *testing.T) {
	ctx := browser(t)
	d := startDemo(t)
	url := d.base + ehrPath + "/patients/" + d.ehr.PatientIDs()[0]
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	for i := range ask[int](t, ctx, `document.querySelectorAll("select[name=order] option").length`) {
		ask[int](t, ctx, fmt.Sprintf(`document.querySelector("select[name=order]").selectedIndex = %d, document.querySelector("input[name=dose]").value = "5000", 0`, i))
		if _, err := chromedp.RunResponse(ctx, chromedp.Click(`form[action$="/order"] button`)); err != nil {
			t.Fatal(err)
		}
		if ask[bool](t, ctx, `document.querySelector("article.card") !== null`) {
			wantAccessible(t, ctx, "order")
			shot(t, ctx, "order-card")
		}
		link := evidenceOf(t, ctx)
		if link == "" {
			continue
		}
		wantReadable(t, ctx, link, "order-evidence")
		if heading := ask[string](t, ctx, `document.querySelector("#orders").textContent`); heading != "The drafted orders" {
			t.Errorf("the page is not about the orders: %q", heading)
		}
		return
	}
	t.Error("no order of 5000 of anything is spoken against")
}
