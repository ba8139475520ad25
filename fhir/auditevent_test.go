// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the AuditEvents and Provenances that audit/export writes, read by
// FHIR types that are not ours, and the rules of FHIR R4 and IHE BALP that they
// must keep. Only this room may import those types.

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// strictly decodes a resource into a type that must know every field.
func strictly(t *testing.T, line []byte, into any) {
	t.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatal(err)
	}
	delete(o, "resourceType")
	delete(o, "contained") // the types leave it out; it is looked at by itself
	rest, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
}

func exported(t *testing.T) [][]byte {
	t.Helper()
	data, err := os.ReadFile("../audit/export/testdata/export.fhir.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(data), []byte("\n"))
}

func roleIs(c *fhir.CodeableConcept, code string) bool {
	return c != nil && len(c.Coding) == 1 && c.Coding[0].Code != nil && *c.Coding[0].Code == code && c.Coding[0].System != nil
}

func TestExportedAuditEventsKeepTheRulesOfFHIRAndBALP(t *testing.T) {
	disclosures := 0
	for _, line := range exported(t) {
		if !bytes.HasPrefix(line, []byte(`{"resourceType":"AuditEvent"`)) {
			continue
		}
		var e fhir.AuditEvent
		strictly(t, line, &e)
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", e.Recorded); err != nil {
			t.Errorf("recorded: %v", err)
		}
		if len(e.Agent) == 0 || e.Action == nil || e.Outcome == nil || e.Type.System == nil || e.Type.Code == nil {
			t.Errorf("without agent, action, outcome or type: %s", line)
		}
		requestors := 0
		for _, a := range e.Agent {
			if a.Requestor {
				requestors++
			}
		}
		if requestors > 1 {
			t.Errorf("%d requestors", requestors)
		}
		for _, x := range e.Entity {
			if x.Name != nil && x.Query != nil {
				t.Error("sev-1: an entity with name and query")
			}
			if x.What == nil && x.Query == nil {
				t.Errorf("an entity that is nothing: %s", line)
			}
		}
		if *e.Type.Code != "110107" {
			continue
		}
		disclosures++
		// BALP PrivacyDisclosure.Recipient
		subtype := slices.ContainsFunc(e.Subtype, func(c fhir.Coding) bool {
			return *c.Code == "disclose" && strings.HasSuffix(*c.System, "iso-21089-lifecycle")
		})
		if !subtype || *e.Action != fhir.AuditEventActionC {
			t.Errorf("a disclosure that is not called one: %s", line)
		}
		for _, a := range e.Agent {
			if roleIs(a.Type, "110152") && !reflect.DeepEqual(*a.Who, e.Source.Observer) {
				t.Error("val-audit-source: the recipient is not the observer")
			}
		}
		for _, code := range []string{"110152", "110153"} {
			if n := len(slices.DeleteFunc(slices.Clone(e.Agent), func(a fhir.AuditEventAgent) bool { return !roleIs(a.Type, code) })); n != 1 {
				t.Errorf("%d agents of role %s in %s", n, code, line)
			}
		}
		if !slices.ContainsFunc(e.Entity, func(x fhir.AuditEventEntity) bool {
			return x.Type != nil && *x.Type.Code == "1" && x.Role != nil && *x.Role.Code == "1" && x.What.Type != nil && *x.What.Type == "Patient"
		}) {
			t.Errorf("a disclosure without patient: %s", line)
		}
	}
	if disclosures < 4 {
		t.Errorf("%d disclosures", disclosures)
	}
}

func TestExportedProvenanceNamesWhoMadeWhatFromWhat(t *testing.T) {
	n := 0
	for _, line := range exported(t) {
		if !bytes.HasPrefix(line, []byte(`{"resourceType":"Provenance"`)) {
			continue
		}
		n++
		var p fhir.Provenance
		strictly(t, line, &p)
		if len(p.Target) == 0 || len(p.Agent) != 1 || p.Recorded == "" {
			t.Fatalf("%s", line)
		}
		var with struct{ Contained []json.RawMessage }
		if err := json.Unmarshal(line, &with); err != nil {
			t.Fatal(err)
		}
		contained := p.Agent[0].Who.Reference != nil && *p.Agent[0].Who.Reference == "#model"
		if contained != (len(with.Contained) == 1) || contained != roleIs(p.Agent[0].Type, "author") || contained == roleIs(p.Agent[0].Type, "verifier") {
			t.Errorf("the model is not the author, or a clinician is: %s", line)
		}
		for _, c := range with.Contained {
			var d fhir.Device
			strictly(t, c, &d)
			if d.Id == nil || *d.Id != "model" {
				t.Errorf("dom-3: %s", c)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d Provenances, want one for each decision and each answer", n)
	}
}
