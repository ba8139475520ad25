// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: drafted orders as nobody should send them. Each is refused with a
// receipt or answered with what is true of it, in bounded time, and replays.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// hostileOrder is a raw drafted order of the patient PID.
func hostileOrder(drug, members string) string {
	return `{"resourceType":"MedicationRequest","id":"o1","status":"draft","intent":"order","subject":{"reference":"Patient/PID"},` +
		`"medicationCodeableConcept":{"text":"` + drug + `"}` + members + `}`
}

func hostileDose(kind, value, unit string) string {
	return `,"dosageInstruction":[{"doseAndRate":[{"` + kind + `":{"value":` + value + `,"unit":"` + unit + `"}}]}]`
}

func TestHostileDraftsAreAnsweredOrRefusedAndReplay(t *testing.T) {
	ne := func(value string) string {
		return hostileOrder("norepinephrine", hostileDose("rateQuantity", value, "mcg/kg/min"))
	}
	ringer := func(kind, value, unit string) string {
		return hostileOrder("lactated ringer", hostileDose(kind, value, unit))
	}
	instructions := func(n int) string {
		one := `{"doseAndRate":[{"rateQuantity":{"value":0.9,"unit":"mcg/kg/min"}}]}`
		return hostileOrder("norepinephrine", `,"dosageInstruction":[`+strings.TrimSuffix(strings.Repeat(one+",", n), ",")+`]`)
	}
	inWords := func(drug, text string) string {
		return hostileOrder(drug, `,"dosageInstruction":[{"text":"`+text+`"}]`)
	}
	dstu2 := strings.NewReplacer(`"MedicationRequest"`, `"MedicationOrder"`, `"subject"`, `"patient"`)
	swap := func(old, now, order string) string { return strings.Replace(order, old, now, 1) }
	for _, w := range []struct {
		name   string
		orders []string
		status int
		say    string // indicator and a part of the first card; empty: no card
	}{
		{"a rate of 1e308", []string{ne("1e308")}, 200, "critical|unit is wrong"},
		{"a rate beyond a float", []string{ne("1e400")}, 200, "info|could not be understood"},
		{"a negative rate", []string{ne("-5")}, 200, "info|could not be understood"},
		{"a rate in quotes", []string{ne(`"0.9"`)}, 200, "info|could not be read"},
		{"a rate of five thousand digits", []string{ne("0." + strings.Repeat("9", 5000))}, 200, "warning|above 0.5"},
		{"grams for micrograms", []string{hostileOrder("norepinephrine", hostileDose("rateQuantity", "0.1", "g/kg/min"))}, 200, "critical|unit is wrong"},
		{"a unit of five hundred parentheses", []string{hostileOrder("norepinephrine", hostileDose("rateQuantity", "1", strings.Repeat("(", 500)+"m"+strings.Repeat(")", 500)))}, 200, "info|unknown unit"},
		{"litres for millilitres", []string{ringer("doseQuantity", "500", "L")}, 200, "critical|volume as written"},
		{"a volume of 1e308", []string{ringer("doseQuantity", "1e308", "mL")}, 200, "critical|volume as written"},
		{"a fluid rate nobody can run", []string{ringer("rateQuantity", "25000", "mL/h")}, 200, "critical|volume as written"},
		{"a negative volume", []string{ringer("doseQuantity", "-500", "mL")}, 200, "info|could not be understood"},
		{"a dose in words only", []string{inWords("norepinephrine", "start at 8 mcg/kg/min")}, 200, "info|in words only"},
		{"a volume in words only", []string{inWords("lactated ringer", "give 500 mL now")}, 200, "info|in words only"},
		{"words that give no dose", []string{inWords("norepinephrine", "16 mg/250 mL, titrate to MAP 65 mmHg")}, 200, ""},
		{"an order of FHIR DSTU2", []string{dstu2.Replace(ne("8"))}, 200, "critical|unit is wrong"},
		{"an order of FHIR DSTU2 for another patient", []string{swap("PID", "other", dstu2.Replace(ne("8")))}, 400, ""},
		{"two orders of one id", []string{ne("0.9"), ringer("doseQuantity", "500", "mL")}, 200, "warning|above 0.5"},
		{"a hundred dosage instructions", []string{instructions(100)}, 200, "warning|"},
		{"five thousand dosage instructions", []string{instructions(5000)}, 400, ""},
		{"twenty thousand other entries", strings.Split(strings.TrimSuffix(strings.Repeat(`{"resourceType":"ServiceRequest"};`, 20000), ";"), ";"), 200, ""},
		{"another order of another patient beside it", []string{ne("0.9"), `{"resourceType":"ServiceRequest","id":"x","subject":{"reference":"Patient/other"}}`}, 400, ""},
		{"the same id on another server", []string{swap("Patient/PID", "https://evil.example/fhir/Patient/PID", ne("0.9"))}, 400, ""},
		{"a subject that is a list", []string{swap(`{"reference":"Patient/PID"}`, `[{"reference":"Patient/other"}]`, ne("0.9"))}, 400, ""},
		{"medications that are made of each other", []string{
			`{"resourceType":"Medication","id":"a","ingredient":[{"itemReference":{"reference":"Medication/b"}}]}`,
			`{"resourceType":"Medication","id":"b","ingredient":[{"itemReference":{"reference":"Medication/a"}}]}`,
			swap(`"medicationCodeableConcept":{"text":"norepinephrine"}`, `"medicationReference":{"reference":"Medication/a"}`, ne("0.9"))}, 200, ""},
		{"control, format and markup characters in an id", []string{swap(`"o1"`, `"o\u0000\u202e\n<script>alert(1)</script>"`, ne("8"))}, 200, "critical|unit is wrong"},
		{"a lone surrogate as id", []string{swap(`"o1"`, `"\ud800"`, ne("8"))}, 200, "critical|unit is wrong"},
		{"an id of 100 kB", []string{swap(`"o1"`, `"`+strings.Repeat("a", 100000)+`"`, ne("8"))}, 200, "critical|unit is wrong"},
	} {
		t.Run(w.name, func(t *testing.T) {
			c := open(t, nil)
			p := fixtures().patients[physiology.SepticShock]
			body := c.orderBody(p, nil)
			drafts := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + strings.Join(w.orders, `},{"resource":`) + `}]}`
			body["context"].(map[string]any)["draftOrders"] = json.RawMessage(strings.ReplaceAll(drafts, "PID", p.id))
			r := c.send(body)
			if w.status != http.StatusOK {
				reason := "wrong-patient"
				if strings.Contains(w.name, "thousand") {
					reason = "bad-request"
				}
				c.wantRefusal(r, w.status, KindRefusal, reason)
				return
			}
			said := ""
			for _, card := range r.cards() {
				said += fmt.Sprintf("%s|%s|%s\n", card.Indicator, card.Summary, card.Extension[OrderExtension])
				if strings.Contains(card.Detail, "<script") || strings.ContainsAny(card.Detail+card.Summary, "\x00\u202e") {
					t.Errorf("markup or characters that hide: %q", card.Detail)
				}
			}
			indicator, words, _ := strings.Cut(w.say, "|")
			if (said == "") != (w.say == "") || !strings.HasPrefix(said, indicator) || !strings.Contains(said, words) {
				t.Errorf("said %q, want %q; found %+v", said, w.say, c.findings())
			}
			c.replayed(t)
		})
	}
}

// TestTheOrderOfACardIsNamedWholeOrNotAtAll: a program acts on it.
func TestTheOrderOfACardIsNamedWholeOrNotAtAll(t *testing.T) {
	long := "MedicationRequest/" + strings.Repeat("e", 1500)
	for id, named := range map[string]bool{
		"MedicationRequest/o1": true, long: true, "MedicationOrder/o.1-x": true,
		"MedicationRequest/": false, "MedicationRequest/a\u202eb": false, "MedicationRequest/a b": false, "MedicationRequest/" + strings.Repeat("e", 5000): false,
	} {
		var value struct{ Reference string }
		got := orderReference(id)
		if (got != nil) != named {
			t.Errorf("%.40q: %v", id, got)
		}
		if named && (json.Unmarshal(got[OrderExtension], &value) != nil || value.Reference != id) {
			t.Errorf("%.40q became %.40q", id, value.Reference)
		}
	}
}
