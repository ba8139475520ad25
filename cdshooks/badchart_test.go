// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// added puts one more resource of the septic-shock patient into a prefetch key
// of a call by a user who has seen no card yet.
func added(key, members string) func(map[string]any) {
	return func(b map[string]any) {
		p := b["prefetch"].(map[string]json.RawMessage)
		subject := `"id":"extra","subject":{"reference":"Patient/` + fixtures().patients[physiology.SepticShock].id + `"},`
		p[key] = json.RawMessage(strings.Replace(string(p[key]), `"entry":[`, `"entry":[{"resource":{`+subject+members+`}},`, 1))
		b["context"].(map[string]any)["userId"] = "Practitioner/" + uuid.NewString()
	}
}

const (
	// MAP of 20: were it used, the decision would show it.
	mapResource = `"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8478-0"}]},`
	now         = `"effectiveDateTime":"2026-03-01T08:59:00Z",`
	noradSoFar  = `"resourceType":"MedicationAdministration","status":"in-progress","effectivePeriod":{"start":"2026-03-01T08:59:00Z"},
		"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"7512"}],"text":"<b>norepinephrine</b> raise to 5"},`
)

func quantity(value, unit string) string {
	return `"valueQuantity":{"value":` + value + `,"unit":"` + unit + `","system":"http://unitsofmeasure.org","code":"` + unit + `"}`
}

func TestBadChartDataAreNamedInTheReceiptAndNeverUsed(t *testing.T) {
	c := open(t, nil)
	decided := func(t *testing.T, change func(map[string]any)) *Record {
		t.Helper()
		c.t = t
		if r := c.view(physiology.SepticShock, change); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		records := c.records(KindDecision)
		return records[len(records)-1]
	}
	clean := decided(t, nil)
	used := decided(t, added(fhir.KeyVitals, mapResource+now+quantity("20", "mm[Hg]")))
	if used.Receipt.Outcome.Evidence == clean.Receipt.Outcome.Evidence {
		t.Fatal("a good MAP of 20 changes nothing, so that this test shows nothing")
	}
	for _, w := range []struct{ name, members, reason string }{
		{"an impossible value", mapResource + now + quantity("900", "mm[Hg]"), "impossible value"},
		{"a value beyond any number", mapResource + now + quantity("2e307", "mm[Hg]"), "impossible value"},
		{"an unknown unit", mapResource + now + quantity("20", "wibble"), "unknown unit"},
		{"no unit", mapResource + now + `"valueQuantity":{"value":20}`, "unit missing"},
		{"a number in quotes", mapResource + now + quantity(`"20"`, "mm[Hg]"), "number in quotes"},
		{"a member of the wrong type", mapResource + now + `"valueQuantity":20`, "a member has the wrong type"},
		{"a member name in the wrong case", mapResource + now + strings.Replace(quantity("20", "mm[Hg]"), "valueQ", "valueq", 1), "member name in the wrong case"},
		{"no date", mapResource + quantity("20", "mm[Hg]"), "no time"},
		{"the future", mapResource + strings.Replace(now, "T08", "T09", 1) + quantity("20", "mm[Hg]"), "after the decision time"},
	} {
		t.Run(w.name, func(t *testing.T) {
			r := decided(t, added(fhir.KeyVitals, w.members))
			rc := r.Receipt
			i := slices.IndexFunc(rc.Rejects, func(r state.Reject) bool { return r.ID == "extra" })
			if i < 0 || rc.Rejects[i].Reason != w.reason {
				t.Errorf("rejects %v, want one for %q", rc.Rejects, w.reason)
			}
			if rc.Outcome.Evidence != clean.Receipt.Outcome.Evidence || rc.Outcome.Decision.Status != agent.Suggest {
				t.Errorf("the decision changed to %s: %v", rc.Outcome.Decision.Status, rc.Outcome.Decision.Reasons)
			}
			if n, was := rc.Tally, clean.Receipt.Tally; n.Read != was.Read+1 || n.Used+n.Ignored+n.Rejected != n.Read {
				t.Errorf("%d resources sent, %d used, %d ignored, %d rejected", n.Read, n.Used, n.Ignored, n.Rejected)
			}
		})
	}
	for _, w := range []struct{ name, dosage, why string }{
		{"a rate without a unit", `"dosage":{"rateQuantity":{"value":0.12020498252240941}}`, "rate without a unit"},
		{"a rate in an unknown unit", `"dosage":{"rateQuantity":{"value":5,"unit":"wibble"}}`, "rate in an unknown unit"},
		{"an impossible rate", `"dosage":{"rateQuantity":{"value":500,"unit":"ug/kg/min","system":"http://unitsofmeasure.org","code":"ug/kg/min"}}`, "rate beyond what is plausible"},
		{"no dosage at all", `"dosage":{"text":"GIVE 50 mg NOW"}`, "amount without a rate"},
	} {
		t.Run(w.name, func(t *testing.T) {
			r := decided(t, added(fhir.KeyAdministrations, noradSoFar+w.dosage))
			d := r.Receipt.Outcome.Decision
			if d.Status != agent.Abstain || d.Reasons[0].Code != agent.ReasonVasopressorUnknown || !strings.Contains(d.Reasons[0].Text, w.why) {
				t.Errorf("%s %v, want to abstain for %q", d.Status, d.Reasons, w.why)
			}
			if s := string(r.Response); strings.Contains(s, "GIVE") || strings.Contains(s, "raise to 5") || strings.Contains(s, "0.1202") {
				t.Errorf("the card repeats what the chart orders: %s", s)
			}
		})
	}
}
