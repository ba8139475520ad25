// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the page in a real browser.

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

func TestAPersonOpensAChartAndAcceptsInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	w := newWard(t)
	w.answer = card
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(w.site.URL+"/ehr/")); err != nil {
		t.Fatal(err)
	}
	browsertest.Shot(t, ctx, "ward")
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`li.bed:nth-child(2) button`)); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text(`article.card`))
	if err != nil || !strings.Contains(text, "MAP 58") {
		t.Fatalf("card %q, %v", text, err)
	}
	if focus := browsertest.Ask[string](t, ctx, `document.activeElement.id`); focus != "advice" {
		t.Errorf("focus is on %q, want the answer", focus)
	}
	if wide := browsertest.Ask[bool](t, ctx, `document.documentElement.scrollWidth > window.innerWidth`); wide {
		t.Error("the page scrolls sideways")
	}
	if size := browsertest.Ask[float64](t, ctx, `parseFloat(getComputedStyle(document.body).fontSize)`); size < 17 {
		t.Errorf("base size %v px", size)
	}
	browsertest.Shot(t, ctx, "card")
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`.suggestions button`)); err != nil {
		t.Fatal(err)
	}
	said, err := chromedp.Run(ctx, chromedp.Text(`.said`))
	if err != nil || !strings.Contains(said, "Accepted: Raise to 0.19") {
		t.Errorf("after accepting: %q, %v", said, err)
	}
}

func TestThePageWorksByKeyboardAndOnAPhoneInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	w := newWard(t)
	w.answer = card
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 800), chromedp.Navigate(w.site.URL+"/ehr/")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
		t.Fatal(err)
	}
	if class := browsertest.Ask[string](t, ctx, `document.activeElement.className`); class != "skip" {
		t.Errorf("the first stop of the Tab key is %q, want the skip link", class)
	}
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("li.bed button").focus()`)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.RunResponse(ctx, chromedp.KeyEvent("\r")); err != nil {
		t.Fatal(err)
	}
	if wide := browsertest.Ask[bool](t, ctx, `document.documentElement.scrollWidth > window.innerWidth`); wide {
		t.Error("the page scrolls sideways on a phone")
	}
	small := browsertest.Ask[string](t, ctx, `[...document.querySelectorAll("button, select, summary")].filter(e => e.getBoundingClientRect().height < 32).map(e => e.outerHTML).join(" ")`)
	if small != "" {
		t.Errorf("too small to touch: %s", small)
	}
	browsertest.Shot(t, ctx, "phone")
}
