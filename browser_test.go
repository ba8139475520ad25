// SPDX-License-Identifier: Apache-2.0

package main

// This file: the demonstration in a real browser, with the real service behind
// it.

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

// TestTheDemonstrationInABrowser picks each patient, reads the answer, follows
// the card's links to evidence and receipt, and finds no request refused by
// the pages' own policy.
func TestTheDemonstrationInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	d := startDemo(t)
	cards := 0
	for i, id := range d.ehr.PatientIDs() {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(d.base+ehrPath+"/patients/"+id)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			browsertest.Shot(t, ctx, "patient-before")
		}
		if _, err := chromedp.RunResponse(ctx, chromedp.Click(`form[action$="/open"] button`)); err != nil {
			t.Fatalf("patient %s: %v", id, err)
		}
		browsertest.Shot(t, ctx, "patient-"+id)
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
	link := browsertest.Ask[string](t, ctx, `[...document.querySelectorAll("article.card a")].map(a => a.href).find(h => h.includes("/launch?card=")) || ""`)
	if link == "" {
		return ""
	}
	resp, err := chromedp.RunResponse(ctx, chromedp.Navigate(link))
	if err != nil || resp == nil || resp.Status != 200 {
		t.Fatalf("launched: %v, %v", resp, err)
	}
	at := browsertest.Ask[string](t, ctx, `document.location.href`)
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
		browsertest.Shot(t, ctx, name+"-"+id)
	}
}

// TestAnOrderIsCheckedInABrowser drafts too much of every orderable drug until
// a card speaks against it, and reads the evidence of that card.
func TestAnOrderIsCheckedInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	d := startDemo(t)
	url := d.base + ehrPath + "/patients/" + d.ehr.PatientIDs()[0]
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	for i := range browsertest.Ask[int](t, ctx, `document.querySelectorAll("select[name=order] option").length`) {
		browsertest.Ask[int](t, ctx, fmt.Sprintf(`document.querySelector("select[name=order]").selectedIndex = %d, document.querySelector("input[name=dose]").value = "5000", 0`, i))
		if _, err := chromedp.RunResponse(ctx, chromedp.Click(`form[action$="/order"] button`)); err != nil {
			t.Fatal(err)
		}
		if browsertest.Ask[bool](t, ctx, `document.querySelector("article.card") !== null`) {
			wantAccessible(t, ctx, "order")
			browsertest.Shot(t, ctx, "order-card")
		}
		link := evidenceOf(t, ctx)
		if link == "" {
			continue
		}
		wantReadable(t, ctx, link, "order-evidence")
		if heading := browsertest.Ask[string](t, ctx, `document.querySelector("#orders").textContent`); heading != "The drafted orders" {
			t.Errorf("the page is not about the orders: %q", heading)
		}
		return
	}
	t.Error("no order of 5000 of anything is spoken against")
}
