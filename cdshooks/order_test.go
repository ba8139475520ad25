// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the order hooks through the real server, on simulated patients and
// on a real chart.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

const (
	selectPath = "/cds-services/" + OrderSelectID
	signPath   = "/cds-services/" + OrderSignID
)

// infusion drafts an infusion, bolus a fluid, as an EHR does.
func infusion(id, drug string, rate float64, unit string) map[string]any {
	return map[string]any{
		"resourceType": "MedicationRequest", "id": id, "status": "draft", "intent": "order",
		"medicationCodeableConcept": map[string]any{"text": drug},
		"dosageInstruction":         []any{map[string]any{"doseAndRate": []any{map[string]any{"rateQuantity": map[string]any{"value": rate, "unit": unit}}}}},
	}
}

func bolus(id, fluid string, ml float64) map[string]any {
	return map[string]any{
		"resourceType": "MedicationRequest", "id": id, "status": "draft", "intent": "order",
		"medicationCodeableConcept": map[string]any{"text": fluid},
		"dosageInstruction":         []any{map[string]any{"doseAndRate": []any{map[string]any{"doseQuantity": map[string]any{"value": ml, "unit": "mL"}}}}},
	}
}

// orderBody is an order hook's request for a patient; no selections: order-sign.
func (c *clinic) orderBody(p patient, selections []string, orders ...map[string]any) map[string]any {
	body := c.body(p)
	hookContext := body["context"].(map[string]any)
	var entries []any
	for _, o := range orders {
		if o["subject"] == nil && o["resourceType"] == "MedicationRequest" {
			o["subject"] = map[string]any{"reference": "Patient/" + p.id}
		}
		entries = append(entries, map[string]any{"resource": o})
	}
	hookContext["draftOrders"] = map[string]any{"resourceType": "Bundle", "type": "collection", "entry": entries}
	body["hook"] = HookOrderSign
	if selections != nil {
		body["hook"], hookContext["selections"] = HookOrderSelect, selections
	}
	return body
}

// order fires an order hook for a simulated patient.
func (c *clinic) order(s physiology.Scenario, selections []string, orders ...map[string]any) reply {
	c.t.Helper()
	body := c.orderBody(fixtures().patients[s], selections, orders...)
	return c.send(body)
}

func (c *clinic) send(body map[string]any) reply {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	path := signPath
	if body["hook"] == HookOrderSelect {
		path = selectPath
	}
	return c.post(path, raw, nil)
}

func TestDraftedOrdersAreAnswered(t *testing.T) {
	for _, w := range []struct {
		name      string
		patient   physiology.Scenario
		orders    []map[string]any
		indicator []string // of the cards, most urgent first
		words     string   // in the first card
	}{
		{"starch", physiology.EarlySepsis, []map[string]any{bolus("o1", "hydroxyethyl starch", 500)}, []string{IndicatorWarning}, "balanced crystalloid"},
		{"five litres", physiology.EarlySepsis, []map[string]any{bolus("o1", "lactated ringer", 5000)}, []string{IndicatorCritical}, "Consider"},
		{"a usual bolus in early sepsis", physiology.EarlySepsis, []map[string]any{bolus("o1", "lactated ringer", 500)}, nil, ""},
		{"a first vasopressor below goal", physiology.EarlySepsis, []map[string]any{infusion("o1", "norepinephrine", 0.08, "mcg/kg/min")}, nil, ""},
		{"dopamine first", physiology.EarlySepsis, []map[string]any{infusion("o1", "dopamine", 5, "mcg/kg/min")}, []string{IndicatorWarning}, "norepinephrine"},
		{"a wrong unit", physiology.SepticShock, []map[string]any{infusion("o1", "norepinephrine", 8, "mcg/kg/min")}, []string{IndicatorCritical}, "unit"},
		{"more norepinephrine where vasopressin is due", physiology.RefractoryShock, []map[string]any{infusion("o1", "norepinephrine", 0.9, "mcg/kg/min")}, []string{IndicatorWarning}, "vasopressin"},
		{"volume in overload", physiology.FluidOverload, []map[string]any{bolus("o1", "lactated ringer", 1000)}, []string{IndicatorWarning}, "volume"},
		{"two orders told apart, the worse one first", physiology.EarlySepsis, []map[string]any{bolus("o1", "gelofusine", 500), bolus("o2", "lactated ringer", 5000)}, []string{IndicatorCritical, IndicatorWarning}, "MedicationRequest/o2"},
		{"other drugs only", physiology.SepticShock, []map[string]any{infusion("o1", "paracetamol", 1, "g/h")}, nil, ""},
		{"no sepsis", physiology.PostOperative, []map[string]any{infusion("o1", "norepinephrine", 0.6, "mcg/kg/min")}, nil, ""},
	} {
		t.Run(w.name, func(t *testing.T) {
			c := open(t, nil)
			cards := c.order(w.patient, nil, w.orders...).cards()
			if len(cards) != len(w.indicator) {
				t.Fatalf("%d cards %v: %+v", len(cards), cards, c.findings())
			}
			for i, card := range cards {
				if card.Indicator != w.indicator[i] {
					t.Errorf("card %d is %s: %s", i, card.Indicator, card.Summary)
				}
				if len(card.Suggestions) > 0 && len(card.Suggestions[0].Actions) > 0 {
					t.Errorf("a card acts: %+v", card.Suggestions)
				}
			}
			if len(cards) > 0 {
				if said := cards[0].Summary + cards[0].Detail; !strings.Contains(said, w.words) {
					t.Errorf("no %q in %s", w.words, said)
				}
				t.Log(cards[0].Summary)
			}
			c.replayed(t)
		})
	}
}

// findings are those of the newest decision.
func (c *clinic) findings() []agent.Assessed {
	records := c.records(KindDecision)
	if r := records[len(records)-1].Receipt; r != nil {
		return r.Outcome.Orders
	}
	return nil
}

// replayed replays every decision of the log and wants the same bytes.
func (c *clinic) replayed(t *testing.T) {
	t.Helper()
	for _, r := range c.records(KindDecision) {
		body, err := EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		report, err := Replay(context.Background(), body, ReplayDeps{Charts: c.service.Charts, State: c.service.State, Decider: c.service.Decider, Hashes: c.service.Hashes})
		if err != nil || !report.OK || report.Decided != (r.Receipt != nil) {
			t.Fatalf("replay: %v %+v", err, report)
		}
	}
}

func TestOnlySelectedOrdersAreJudgedAndTheOthersAreContext(t *testing.T) {
	c := open(t, nil)
	orders := func() []map[string]any {
		return []map[string]any{infusion("ne", "norepinephrine", 0.9, "mcg/kg/min"), bolus("hes", "hydroxyethyl starch", 500)}
	}
	if cards := c.order(physiology.RefractoryShock, []string{"MedicationRequest/hes"}, orders()...).cards(); len(cards) != 1 || !strings.Contains(cards[0].Detail, "MedicationRequest/hes") {
		t.Errorf("%+v", cards)
	}
	with := append(orders(), infusion("avp", "vasopressin", 0.03, "units/min"))
	if cards := c.order(physiology.RefractoryShock, []string{"MedicationRequest/ne"}, with...).cards(); len(cards) > 0 && cards[0].Indicator != IndicatorInfo {
		t.Errorf("vasopressin in the same session is not seen: %+v", cards)
	}
	r := c.order(physiology.RefractoryShock, []string{"MedicationRequest/none"}, orders()...)
	c.wantRefusal(r, http.StatusBadRequest, KindRefusal, "bad-request")
	c.replayed(t)
}

// TestAnOrderInTheShapesOfTheFieldIsRead: ids far beyond 64 characters, a
// medication by reference, a category that is no list, extensions everywhere,
// other types beside it, absolute references.
func TestAnOrderInTheShapesOfTheFieldIsRead(t *testing.T) {
	c := open(t, nil)
	p := fixtures().patients[physiology.EarlySepsis]
	id := strings.Repeat("eK3.", 60)
	order := bolus(id, "", 500)
	delete(order, "medicationCodeableConcept")
	order["medicationReference"] = map[string]any{"reference": "https://ehr.example.org/fhir/Medication/m-1", "display": "HES 6 %"}
	order["category"] = map[string]any{"text": "Inpatient"}
	order["subject"] = map[string]any{"reference": "https://ehr.example.org/fhir/Patient/" + p.id}
	order["extension"] = []any{map[string]any{"url": "http://open.epic.com/FHIR/StructureDefinition/extension/x", "valueString": "y"}}
	body := c.orderBody(p, []string{"MedicationRequest/" + id}, order,
		map[string]any{"resourceType": "Medication", "id": "m-1", "code": map[string]any{"text": "hydroxyethyl starch 6 %"}},
		map[string]any{"resourceType": "NutritionOrder", "id": "n-1", "status": "draft", "patient": map[string]any{"reference": "Patient/" + p.id}})
	body["extension"] = map[string]any{"com.epic.cdshooks.request.criteria-id": "1"}
	cards := c.send(body).cards()
	if len(cards) != 1 || cards[0].Indicator != IndicatorWarning || !strings.Contains(string(cards[0].Extension[OrderExtension]), id) {
		t.Errorf("%+v", cards)
	}
	c.replayed(t)
}

// TestAnOrderSetOfAHundredIsAnswered: an order session can be long, and more
// than anybody orders is refused.
func TestAnOrderSetOfAHundredIsAnswered(t *testing.T) {
	c := open(t, nil)
	many := func(n int) []map[string]any {
		var out []map[string]any
		for i := range n {
			out = append(out, bolus(fmt.Sprintf("o%d", i), "lactated ringer", 250+float64(i)))
		}
		return out
	}
	started := time.Now()
	r := c.order(physiology.SepticShock, nil, many(100)...)
	if cards := r.cards(); len(cards) != 1 || cards[0].Indicator != IndicatorCritical {
		t.Errorf("thirty litres: %d cards", len(cards))
	}
	t.Log(time.Since(started))
	c.replayed(t)
	c.wantRefusal(c.order(physiology.SepticShock, nil, many(400)...), http.StatusBadRequest, KindRefusal, "bad-request")
}

func TestAnOrderOfNoConcernNeedsNoChart(t *testing.T) {
	c := open(t, nil)
	body := c.orderBody(fixtures().patients[physiology.SepticShock], nil, infusion("o", "paracetamol", 1, "g/h"),
		map[string]any{"resourceType": "ServiceRequest", "id": "s", "status": "draft"})
	delete(body, "prefetch")
	delete(body, "fhirServer")
	if cards := c.send(body).cards(); len(cards) != 0 {
		t.Fatalf("%+v", cards)
	}
	r := c.records(KindDecision)[0]
	if r.Reason != reasonNothingToCheck || r.Ordering == nil || len(r.Ordering.Records) != 1 || r.Ordering.Others["ServiceRequest"] != 1 || string(r.Response) != `{"cards":[]}` {
		t.Errorf("%+v", r)
	}
	// With an order of concern the same call lacks its chart.
	body = c.orderBody(fixtures().patients[physiology.SepticShock], nil, infusion("o", "norepinephrine", 0.1, "mcg/kg/min"))
	delete(body, "prefetch")
	delete(body, "fhirServer")
	if got := c.send(body); got.status != http.StatusPreconditionFailed {
		t.Errorf("status %d", got.status)
	}
}

func TestOrderContextsThatBreakTheContractAreRefused(t *testing.T) {
	c := open(t, nil)
	p := fixtures().patients[physiology.SepticShock]
	set := func(name string, v any) func(map[string]any) {
		return func(b map[string]any) { b["context"].(map[string]any)[name] = v }
	}
	for _, w := range []struct {
		name   string
		hook   string
		change func(map[string]any)
		reason string
	}{
		{"no draftOrders", HookOrderSign, set("draftOrders", nil), "bad-request"},
		{"draftOrders is a list", HookOrderSign, set("draftOrders", []any{}), "bad-request"},
		{"draftOrders is no Bundle", HookOrderSign, set("draftOrders", map[string]any{"resourceType": "Patient"}), "bad-request"},
		{"selections are missing", HookOrderSelect, set("selections", nil), "bad-request"},
		{"selections are empty", HookOrderSelect, set("selections", []string{}), "bad-request"},
		{"a selection is a number", HookOrderSelect, set("selections", []any{1}), "bad-request"},
		{"a selection without a type", HookOrderSelect, set("selections", []string{"o"}), "bad-request"},
		{"the user is a patient", HookOrderSign, set("userId", "Patient/p"), "bad-request"},
		{"an order for another patient", HookOrderSign, set("draftOrders", map[string]any{"resourceType": "Bundle", "entry": []any{map[string]any{"resource": map[string]any{
			"resourceType": "MedicationRequest", "id": "x", "subject": map[string]any{"reference": "Patient/other"}}}}}), "wrong-patient"},
	} {
		t.Run(w.name, func(t *testing.T) {
			c.t = t
			var selections []string
			if w.hook == HookOrderSelect {
				selections = []string{"MedicationRequest/o"}
			}
			body := c.orderBody(p, selections, infusion("o", "norepinephrine", 0.1, "mcg/kg/min"))
			w.change(body)
			c.wantRefusal(c.send(body), http.StatusBadRequest, KindRefusal, w.reason)
		})
	}
	body := c.body(p)
	raw, _ := json.Marshal(body)
	c.wantRefusal(c.post(signPath, raw, nil), http.StatusBadRequest, KindRefusal, "wrong-hook")
}

func TestOrderCardsFollowTheDisplayMode(t *testing.T) {
	for _, mode := range []string{trust.DisplaySilent, trust.DisplayInform, trust.DisplaySuggest} {
		c := open(t, func(_ *Deps, client *trust.Client) { client.Display = mode })
		cards := c.order(physiology.RefractoryShock, nil, infusion("o", "norepinephrine", 0.9, "mcg/kg/min")).cards()
		said := fmt.Sprint(cards)
		switch mode {
		case trust.DisplaySilent:
			if len(cards) != 0 || c.records(KindDecision)[0].Receipt.Outcome.Suppressed != engine.SuppressedSilent {
				t.Errorf("silent: %s", said)
			}
		case trust.DisplayInform:
			if len(cards) != 1 || strings.Contains(said, "0.03 U/min") {
				t.Errorf("inform: %s", said)
			}
		default:
			if len(cards) != 1 || !strings.Contains(said, "0.03 U/min") {
				t.Errorf("suggest: %s", said)
			}
		}
		c.replayed(t)
	}
}

func TestFeedbackOnAnOrderCardIsKept(t *testing.T) {
	c := open(t, nil)
	card := c.order(physiology.EarlySepsis, nil, bolus("o", "hydroxyethyl starch", 500)).cards()[0]
	body := fmt.Sprintf(`{"feedback":[{"card":%q,"outcome":"overridden","outcomeTimestamp":"2026-03-01T09:00:00Z"}]}`, card.UUID)
	if r := c.post(signPath+"/feedback", []byte(body), nil); r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	if said := c.records(KindFeedback); len(said) != 1 || said[0].Request.Service != OrderSignID {
		t.Errorf("%+v", said)
	}
	// A blocking rule speaks again whatever was overridden.
	if len(c.order(physiology.EarlySepsis, nil, bolus("o", "hydroxyethyl starch", 500)).cards()) != 1 {
		t.Error("starch is silenced by an override")
	}
}

func TestInformationAboutAnOrderIsNotRepeatedButAnotherOrderIs(t *testing.T) {
	c := open(t, nil)
	small := func(rate float64) reply {
		return c.order(physiology.EarlySepsis, nil, infusion("o", "epinephrine", rate, "mcg/kg/min"))
	}
	if cards := small(0.05).cards(); len(cards) != 1 || cards[0].Indicator != IndicatorInfo {
		t.Fatalf("%+v", cards)
	}
	if len(small(0.05).cards()) != 0 {
		t.Error("the same information twice")
	}
	if len(small(0.08).cards()) != 1 {
		t.Error("another order is taken for a repeat")
	}
	c.replayed(t)
}

// TestTextOfAnOrderCannotMarkUpACard: ids and names are a stranger's text.
func TestTextOfAnOrderCannotMarkUpACard(t *testing.T) {
	c := open(t, nil)
	evil := bolus("x](https://evil.example)<img src=x>", "hydroxyethyl starch **<b>free</b>** ![x](http://evil.example/x.png)", 500)
	card := c.order(physiology.EarlySepsis, nil, evil).cards()[0]
	if strings.Contains(card.Detail, "<img") || strings.Contains(card.Detail, "](https://evil") || strings.Contains(card.Summary, "<b>") {
		t.Error(card.Detail)
	}
}

func TestAnOrderOnARealChartIsAnsweredRecordedAndReplayed(t *testing.T) {
	id, at, chart := realStay(t)
	c := open(t, nil)
	c.now = at.UTC()
	p := patient{id: id}
	body := c.orderBody(p, nil, infusion("ne", "norepinephrine", 1.2, "mcg/kg/min"), bolus("hes", "hetastarch", 500), bolus("lr", "lactated ringer", 250))
	body["prefetch"] = chart
	started := time.Now()
	r := c.send(body)
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	orders := c.findings()
	t.Logf("%s in %v, %d cards", c.records(KindDecision)[0].Receipt.Outcome.Decision.Status, time.Since(started), len(r.cards()))
	for _, o := range orders {
		t.Logf("%s: unjudged %q, forecast %v, %d findings", o.Draft.Drug, o.Unjudged, o.Forecast != nil, len(o.Findings))
	}
	if len(orders) != 3 || len(orders[1].Findings) == 0 || orders[1].Findings[0].Severity != agent.SeverityWarning {
		t.Errorf("starch in a real stay: %+v", orders[1])
	}
	c.replayed(t)
}

// FuzzOrderContext: whatever stands in a context, the request is refused or
// every draft can be read and recorded.
func FuzzOrderContext(f *testing.F) {
	f.Add([]byte(`{"userId":"Practitioner/1","patientId":"p","draftOrders":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MedicationRequest","id":"a"}}]},"selections":["MedicationRequest/a"]}`))
	f.Add([]byte(`{"userId":"Practitioner/1","patientId":"p","draftOrders":{},"selections":[null]}`))
	f.Add([]byte(`{"userId":"PractitionerRole/1","patientId":"p","draftOrders":{"resourceType":"Bundle","entry":{}},"selections":"x"}`))
	maps := fixtures()
	if maps.err != nil {
		f.Fatal(maps.err)
	}
	f.Fuzz(func(t *testing.T, hookContext []byte) {
		body := append([]byte(`{"hook":"order-select","hookInstance":"d1577c69-dfbe-44ad-ba6d-3e05e953b2ea","context":`), hookContext...)
		req, err := DecodeRequest(append(body, '}'))
		if err != nil || req.Validate() != nil {
			return
		}
		read, err := maps.mapper.ReadDrafts(req.Context.DraftOrders, fhir.DraftsFor{PatientID: req.Context.PatientID})
		if err != nil {
			return
		}
		o := engine.Ordering{Hook: req.Hook, Selections: req.Context.Selections, Records: read.Records, Others: read.Others}
		if o.Drafts = maps.mapper.Drafts(o.Records); len(o.Drafts) != len(o.Records) {
			t.Fatal("a record without a draft")
		}
		if _, err := json.Marshal(o); err != nil {
			t.Fatal(err)
		}
		_ = concerns(&o)
	})
}
