// SPDX-License-Identifier: Apache-2.0

package main

// This file: the audit console in a real browser: the demo auditor signs in,
// searches, breaks the glass for a patient, and reads a decision's story, the
// integrity of the log and the rates; on a phone, on a desk, in the dark and on
// paper.

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

// fill types into an input, whatever was there.
func fill(t *testing.T, ctx context.Context, selector, text string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.SetValue(selector, text)); err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
}

// press clicks what leads to another page.
func press(t *testing.T, ctx context.Context, selector string) {
	t.Helper()
	if resp, err := chromedp.RunResponse(ctx, chromedp.Click(selector)); err != nil || resp == nil || resp.Status != http.StatusOK {
		t.Fatalf("%s: %+v, %v", selector, resp, err)
	}
}

// wantConsolePage fails where a page of the console cannot be read.
func wantConsolePage(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"small", 320, 640}, {"desk", 1440, 900}} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(size.width, size.height)); err != nil {
			t.Fatal(err)
		}
		if wide := browsertest.Ask[string](t, ctx, `document.documentElement.scrollWidth > window.innerWidth ? [...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 80)).join(" | ") || "unknown" : ""`); wide != "" {
			t.Errorf("%s: scrolls sideways at %d px: %s", name, size.width, wide)
		}
		browsertest.Shot(t, ctx, "console-"+name+"-"+size.name)
	}
	if n := browsertest.Ask[int](t, ctx, `performance.getEntriesByType("resource").length + document.querySelectorAll("script, link, img, iframe, object").length`); n != 0 {
		t.Errorf("%s: the page asks for %d things beside itself", name, n)
	}
	if twice := browsertest.Ask[string](t, ctx, `[...document.querySelectorAll("[id]")].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i).join(" ")`); twice != "" {
		t.Errorf("%s: the same id twice: %s", name, twice)
	}
	browsertest.Ask[int](t, ctx, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
	for _, scheme := range []string{"dark", "light"} {
		media(t, ctx, scheme)
		wantAccessible(t, ctx, name+" in "+scheme)
		browsertest.Shot(t, ctx, "console-"+name+"-"+scheme)
	}
	paper(t, ctx, browsertest.Ask[string](t, ctx, `location.href`), "console-"+name)
}

// TestTheAuditConsoleInABrowser follows a reviewer through the console.
func TestTheAuditConsoleInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	d := startDemo(t)
	patient := ""
	for _, id := range d.ehr.PatientIDs() {
		result, err := d.ehr.Fire(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Cards) > 0 && patient == "" {
			patient = id
		}
	}
	// The card of one patient is overridden in the EHR.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(d.base+ehrPath+"/patients/"+patient)); err != nil {
		t.Fatal(err)
	}
	press(t, ctx, `form[action$="/open"] button`)
	if browsertest.Ask[bool](t, ctx, `document.querySelector('form[action$="/feedback"] button[value=overridden], form[action$="/feedback"] button') !== null`) {
		press(t, ctx, `form[action$="/feedback"] button`)
	}

	if err := chromedp.Do(ctx, chromedp.Navigate(d.base+console.Path+"/")); err != nil {
		t.Fatal(err)
	}
	if browsertest.Ask[bool](t, ctx, `document.body.textContent.includes("Patient/")`) {
		t.Fatal("a stranger sees a patient")
	}
	wantConsolePage(t, ctx, "sign-in")
	press(t, ctx, `button[name=demo]`)
	wantConsolePage(t, ctx, "search")

	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "decision", Patient: patient, OldestFirst: true, Limit: 1})
	if err != nil || len(rows) == 0 {
		t.Fatalf("no decision to read: %v", err)
	}
	of := rows[0].Index.Patient
	browsertest.Ask[int](t, ctx, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
	fill(t, ctx, `input[name=patient]`, of)
	fill(t, ctx, `#why`, "Review of an adverse event, case 17")
	press(t, ctx, `form.ask button`)
	if at := browsertest.Ask[string](t, ctx, `location.href`); strings.Contains(at, of) || strings.Contains(at, strings.TrimPrefix(of, "Patient/")) {
		t.Errorf("the address names the patient: %s", at)
	}
	if n := browsertest.Ask[int](t, ctx, `[...document.querySelectorAll("table.list tbody tr td:nth-child(5)")].filter(e => e.textContent !== "`+of+`").length`); n != 0 {
		t.Errorf("%d rows are of another patient", n)
	}
	wantConsolePage(t, ctx, "found")

	open := func(page, name, heading string) {
		t.Helper()
		if resp, err := chromedp.RunResponse(ctx, chromedp.Navigate(d.base+console.Path+page)); err != nil || resp.Status != http.StatusOK {
			t.Fatalf("%s: %+v, %v", page, resp, err)
		}
		if !browsertest.Ask[bool](t, ctx, `document.body.textContent.includes("`+heading+`")`) {
			t.Errorf("%s does not say %q", name, heading)
		}
		wantConsolePage(t, ctx, name)
	}
	open("/records/"+rows[0].Index.ID, "story", "Proven: record")
	for _, id := range []string{"done", "afterwards", "forecast", "weighed", "rules", "chart", "proof", "card"} {
		if !browsertest.Ask[bool](t, ctx, `document.getElementById("`+id+`") !== null`) {
			t.Errorf("the story has no part %q", id)
		}
	}
	if n := browsertest.Ask[int](t, ctx, `document.querySelectorAll("#forecast ~ * svg, section[aria-labelledby=forecast] svg").length`); n == 0 {
		t.Error("no simulated future is drawn")
	}
	open("/integrity", "integrity", "Verified:")
	open("/rates", "rates", "Alert burden")
}
