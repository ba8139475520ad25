// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the evidence and receipt pages as the service serves them, for
// every ending of a call.

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// pageOf opens the evidence page of a recorded call.
func (c *clinic) pageOf(id string) reply {
	c.t.Helper()
	handle, err := c.service.seal.Handle(id, c.clock().Add(time.Hour))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.get("/evidence/" + handle)
}

func (r reply) want(parts ...string) {
	r.t.Helper()
	for _, part := range parts {
		if !strings.Contains(string(r.body), part) {
			r.t.Errorf("status %d: the page lacks %q", r.status, part)
		}
	}
}

func (r reply) wantNot(parts ...string) {
	r.t.Helper()
	for _, part := range parts {
		if strings.Contains(string(r.body), part) {
			r.t.Errorf("the page holds %q", part)
		}
	}
}

func TestEveryEndingHasAPageThatSaysWhatWasConcluded(t *testing.T) {
	c := open(t, nil)
	words := map[agent.Status]string{
		agent.Suggest: "</span> Suggestion", agent.Affirm: "No change suggested", agent.Abstain: "No advice", agent.NotApplicable: "Does not apply",
	}
	seen := map[agent.Status]bool{}
	for _, s := range sortedKeys(fixtures().patients) {
		c.view(s, nil)
		all := c.records(KindDecision)
		r := all[len(all)-1]
		page := c.pageOf(r.ID)
		if page.status != http.StatusOK {
			t.Fatalf("%s: %d %s", s, page.status, page.body)
		}
		d := r.Receipt.Outcome.Decision
		seen[d.Status] = true
		page.want(words[d.Status], "As of <time", "void after <b>", "not validated for clinical use", "The chart as it was used")
		page.wantNot(fixtures().patients[s].id, "This advice is void", "cannot be shown exactly")
		if len(d.Hazards) > 0 {
			page.want("Danger " + d.Hazards[0].ID)
		}
		if d.Status != agent.Suggest {
			page.wantNot("Suggested</b>", "ceiling")
		}
	}
	for status := range words {
		if !seen[status] && status != agent.Affirm {
			t.Errorf("no patient ends in %s", status)
		}
	}
}

func TestAnOldPageSaysThatItsAdviceIsVoid(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.SepticShock, nil)
	id := c.records(KindDecision)[0].ID
	c.pageOf(id).wantNot("This advice is void")
	c.wait(CardValid + time.Minute)
	c.pageOf(id).want("This advice is void")
}

func TestAPageOfAModeWithoutDosesShowsNone(t *testing.T) {
	for mode, said := range map[string]string{trust.DisplaySilent: "this unit is in silent mode", trust.DisplayInform: "no dose in this display mode"} {
		c := open(t, func(_ *Deps, client *trust.Client) { client.Display = mode })
		c.view(physiology.SepticShock, nil)
		page := c.pageOf(c.records(KindDecision)[0].ID)
		page.want(said)
		page.wantNot("Suggested</b>", "ceiling", "Rules that spoke")
	}
}

func TestAnOrderCheckHasAPageAboutTheOrders(t *testing.T) {
	c := open(t, nil)
	c.order(physiology.SepticShock, []string{"MedicationRequest/big"}, bolus("big", "lactated ringer", 5000), infusion("evil", "<b>norepinephrine</b>", 0.1, "ug/kg/min"))
	all := c.records(KindDecision)
	if len(all) == 0 {
		t.Fatalf("nothing was decided: %s", last(c.records(KindRefusal)))
	}
	r := all[len(all)-1]
	page := c.pageOf(r.ID)
	page.want("Order check", "The drafted orders", "MedicationRequest/big", "As drafted", "Do not delay a vasopressor that is needed", "On its own, without these orders", "Judged beside drafts that were not asked about")
	page.wantNot("<b>norepinephrine", "<dl class=\"advice\"")
	for _, f := range r.Receipt.Outcome.Orders[0].Findings {
		page.want(f.Rule.ID, "Consider instead:")
	}
	if len(r.Receipt.Outcome.Orders[0].Findings) == 0 {
		t.Error("nothing is said about a bolus of 5 L")
	}
}

func TestAnOrderCheckThatShowedNothingHasAPageToo(t *testing.T) {
	c := open(t, nil)
	c.order(physiology.SepticShock, nil, infusion("paracetamol", "acetaminophen", 1, "mg/h"))
	all := c.records(KindDecision)
	page := c.pageOf(all[len(all)-1].ID)
	if page.status != http.StatusOK {
		t.Fatalf("%d", page.status)
	}
	page.want("None of the drafted orders is a vasopressor")
	c.order(physiology.EarlySepsis, nil, bolus("o", "lactated ringer", 500))
	all = c.records(KindDecision)
	page = c.pageOf(all[len(all)-1].ID)
	page.want("Order check", "Nothing to say about the drafted orders", "Nothing to say about it")
}

func TestACallThatFailedHasAPageThatSaysWhy(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.SepticShock, func(body map[string]any) { body["hook"] = "order-dispatch" })
	refused := c.records(KindRefusal)
	if len(refused) != 1 {
		t.Fatalf("%d refusals", len(refused))
	}
	page := c.pageOf(refused[0].ID)
	page.want("Call refused", "This service does not answer that hook.", "Nothing was decided in this call, and no advice was given", "wrong-hook")
	page.wantNot(refused[0].Detail, "audit replay")
}

func TestAnEntryOfAnotherKindIsShownAsAnEntry(t *testing.T) {
	c := open(t, nil)
	id := "0192f0c0-0000-7000-8000-00000000000a"
	if _, err := c.log.Append(context.Background(), audit.Entry{Index: audit.Index{ID: id, Kind: "something-new", Time: clinicNow, Client: "ehr", HTTP: 200}, Salt: make([]byte, 32), Body: []byte("of a later version")}); err != nil {
		t.Fatal(err)
	}
	page := c.pageOf(id)
	page.want("something-new", "cannot be read by this version", "Leaf hash")
	page.wantNot("of a later version", "Nothing was decided")
}

func TestAChartThatReadsOtherwiseThanItWasUsedIsSaidSo(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.SepticShock, nil)
	r := c.records(KindDecision)[0]
	view := PageView{Zone: time.UTC, Now: r.Receipt.At, ReceiptURL: "x"}
	r.Receipt.TimelineDigest = strings.Repeat("0", 64)
	body, err := EvidencePage(c.service.Charts, c.service.State, r, view)
	if err != nil || !strings.Contains(string(body), "cannot be shown exactly as it was used") {
		t.Errorf("the page does not say that the chart differs, %v", err)
	}
	r.Receipt.Person.ID, r.Receipt.Records = "", nil
	r.Receipt.At = time.Time{}
	if body, err = EvidencePage(c.service.Charts, c.service.State, r, view); err != nil || !strings.Contains(string(body), "cannot be shown exactly as it was used") {
		t.Errorf("no page without a chart, %v", err)
	}
}

func TestALinkThatDoesNotWorkGivesAPageThatSaysSo(t *testing.T) {
	c := open(t, nil)
	page := c.get("/evidence/x")
	page.want("<h1>This link does not work</h1>", `lang="en"`)
	if page.status != 404 || page.header.Get("Content-Security-Policy") != evidence.ContentSecurityPolicy() {
		t.Errorf("%d %v", page.status, page.header)
	}
}

func TestEvidenceAndReceiptPages(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.SepticShock, nil).cards()[0]
	path := strings.TrimPrefix(card.Links[0].URL, c.service.Config.PublicURL)
	page := c.get(path)
	if page.status != 200 || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
		t.Fatalf("%d %v", page.status, page.header)
	}
	for _, part := range []string{"forecast, Suggested</title>", "<svg", "norepinephrine", "The chart as it was used", "Made with", "prefetch", "not validated for clinical use"} {
		if !strings.Contains(string(page.body), part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	receipt := c.get(path + "/receipt")
	for _, part := range []string{"Signed checkpoint", "test.example/sepsis", "audit replay", "What was read", "administrations"} {
		if receipt.status != 200 || !strings.Contains(string(receipt.body), part) {
			t.Errorf("%d: the receipt page lacks %q", receipt.status, part)
		}
	}
	for _, body := range [][]byte{page.body, receipt.body} {
		for _, never := range []string{fixtures().patients[physiology.SepticShock].id, "<script", "src="} {
			if strings.Contains(string(body), never) {
				t.Errorf("the page holds %q", never)
			}
		}
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindRead})
	if err != nil || len(rows) != 2 || rows[0].Index.Refers == "" {
		t.Errorf("reading left %d receipts, %v", len(rows), err)
	}
	flipped := path[:len(path)-2] + "AA"
	c.wait(3 * time.Hour)
	for name, p := range map[string]string{"expired": path, "altered": flipped, "nonsense": "/evidence/x", "expired receipt": path + "/receipt"} {
		if r := c.get(p); r.status != 404 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
}
