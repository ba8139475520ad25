// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the page in a real browser. It runs where SEPSISAGENT_BROWSER=1
// and Chromium is installed.

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser opens a headless tab, or skips.
func browser(t *testing.T) context.Context {
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
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	return ctx
}

// keep saves a screenshot where SEPSISAGENT_SHOTS names a folder.
func keep(t *testing.T, ctx context.Context, name string) {
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

func ask[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

func TestAPersonOpensAChartAndAcceptsInABrowser(t *testing.T) {
	ctx := browser(t)
	w := newWard(t)
	w.answer = card
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(w.site.URL+"/ehr/")); err != nil {
		t.Fatal(err)
	}
	keep(t, ctx, "ward")
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`li.bed:nth-child(2) button`)); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text(`article.card`))
	if err != nil || !strings.Contains(text, "MAP 58") {
		t.Fatalf("card %q, %v", text, err)
	}
	if focus := ask[string](t, ctx, `document.activeElement.id`); focus != "advice" {
		t.Errorf("focus is on %q, want the answer", focus)
	}
	if wide := ask[bool](t, ctx, `document.documentElement.scrollWidth > window.innerWidth`); wide {
		t.Error("the page scrolls sideways")
	}
	if size := ask[float64](t, ctx, `parseFloat(getComputedStyle(document.body).fontSize)`); size < 17 {
		t.Errorf("base size %v px", size)
	}
	keep(t, ctx, "card")
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`.suggestions button`)); err != nil {
		t.Fatal(err)
	}
	said, err := chromedp.Run(ctx, chromedp.Text(`.said`))
	if err != nil || !strings.Contains(said, "Accepted: Raise to 0.19") {
		t.Errorf("after accepting: %q, %v", said, err)
	}
}

func TestThePageWorksByKeyboardAndOnAPhone(t *testing.T) {
	ctx := browser(t)
	w := newWard(t)
	w.answer = card
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 800), chromedp.Navigate(w.site.URL+"/ehr/")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
		t.Fatal(err)
	}
	if class := ask[string](t, ctx, `document.activeElement.className`); class != "skip" {
		t.Errorf("the first stop of the Tab key is %q, want the skip link", class)
	}
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("li.bed button").focus()`)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.RunResponse(ctx, chromedp.KeyEvent("\r")); err != nil {
		t.Fatal(err)
	}
	if wide := ask[bool](t, ctx, `document.documentElement.scrollWidth > window.innerWidth`); wide {
		t.Error("the page scrolls sideways on a phone")
	}
	small := ask[string](t, ctx, `[...document.querySelectorAll("button, select, summary")].filter(e => e.getBoundingClientRect().height < 32).map(e => e.outerHTML).join(" ")`)
	if small != "" {
		t.Errorf("too small to touch: %s", small)
	}
	keep(t, ctx, "phone")
}
