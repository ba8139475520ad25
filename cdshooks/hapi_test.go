// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: whole calls with a HAPI FHIR JPA server as the client's EHR, a
// server that we did not write. `.ci/hapi/run` starts one and sets
// SEPSISAGENT_HAPI to its base; without it the test skips.

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// hapiEHR is the base of a HAPI server that holds a patient, or a skip.
func hapiEHR(t *testing.T, p patient) string {
	t.Helper()
	base := os.Getenv("SEPSISAGENT_HAPI")
	if base == "" {
		t.Skip("no HAPI server: SEPSISAGENT_HAPI is not set (.ci/hapi/run starts one)")
	}
	var entries []any
	for _, r := range p.resources {
		var h struct{ ResourceType, ID string }
		if err := json.Unmarshal(r, &h); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, map[string]any{"resource": r, "request": map[string]string{"method": "PUT", "url": h.ResourceType + "/" + h.ID}})
	}
	body, err := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": entries})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(base, "application/fhir+json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("load: %d %.1000s", res.StatusCode, answer)
	}
	return base
}

// resolved is the prefetch that an EHR makes of the templates in the discovery
// document: tokens replaced by text, each query sent as it then is.
func (c *clinic) resolved(base, patientID string) map[string]json.RawMessage {
	c.t.Helper()
	var doc struct {
		Services []struct{ Prefetch map[string]string }
	}
	if r := c.get("/cds-services"); json.Unmarshal(r.body, &doc) != nil || len(doc.Services) == 0 {
		c.t.Fatalf("discovery: %d %s", r.status, r.body)
	}
	out := map[string]json.RawMessage{}
	for key, template := range doc.Services[0].Prefetch {
		query := strings.ReplaceAll(template, "{{context.patientId}}", patientID)
		res, err := http.Get(base + "/" + query)
		if err != nil {
			c.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			c.t.Fatalf("%s: %d, %v", key, res.StatusCode, err)
		}
		out[key] = body
	}
	return out
}

func TestHAPIAsTheEHROfAWholeCall(t *testing.T) {
	p := fixtures().patients[physiology.SepticShock]
	base := hapiEHR(t, p)
	openAt := func(t *testing.T) *clinic {
		return open(t, func(d *Deps, client *trust.Client) {
			client.FHIRServer, client.Network = base, trust.NetworkLoopback
			d.Config.Deadline, d.Config.FHIRBudget = time.Minute, 55*time.Second
		})
	}
	reference := open(t, nil)
	reference.view(physiology.SepticShock, nil)
	_, want := manifestOf(t, reference, KindDecision)

	for _, tt := range []struct {
		name string
		// prefetch alters what HAPI gave for the templates.
		prefetch func(map[string]json.RawMessage) map[string]json.RawMessage
		vitals   fhir.Provenance // of the prefetch
	}{
		{"nothing is prefetched", func(map[string]json.RawMessage) map[string]json.RawMessage { return nil }, fhir.IsAbsent},
		{"first pages are prefetched", func(all map[string]json.RawMessage) map[string]json.RawMessage { return all }, fhir.IsPartial},
		{"the vitals are missing", func(all map[string]json.RawMessage) map[string]json.RawMessage {
			delete(all, fhir.KeyVitals)
			return all
		}, fhir.IsAbsent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := openAt(t)
			r := c.view(physiology.SepticShock, func(b map[string]any) {
				delete(b, "prefetch")
				if sent := tt.prefetch(c.resolved(base, p.id)); sent != nil {
					b["prefetch"] = sent
				}
				b["fhirServer"] = base
				b["fhirAuthorization"] = map[string]any{"access_token": "any", "token_type": "Bearer", "expires_in": 300,
					"scope": "patient/*.rs", "subject": "cds", "patient": p.id}
			})
			if r.status != http.StatusOK {
				t.Fatalf("%d %s: %s", r.status, r.body, last(c.records(KindFailure)))
			}
			if cards := r.cards(); len(cards) != 1 || cards[0].Extension[ReceiptExtension] == nil {
				t.Errorf("%d cards: %s", len(cards), r.body)
			}
			m, record := manifestOf(t, c, KindDecision)
			for _, part := range m.Parts {
				if part.From != fhir.FromFetch && part.From != fhir.FromPrefetch && part.From != fhir.IsEmpty {
					t.Errorf("%+v", part)
				}
				if part.Key == fhir.KeyVitals && part.Prefetch != tt.vitals {
					t.Errorf("%+v", part)
				}
			}
			if got := record.Receipt.TimelineDigest; got != want.Receipt.TimelineDigest {
				t.Errorf("the timeline is not that of a whole prefetch: %s, want %s", got, want.Receipt.TimelineDigest)
			}
			if got, whole := record.Receipt.Outcome.Decision.Status, want.Receipt.Outcome.Decision.Status; got != whole {
				t.Errorf("decided %s, by a whole prefetch %s", got, whole)
			}
			if report := c.replay(record, c.replayDeps()); !report.OK || !report.Decided {
				t.Errorf("replay: %+v", report)
			}
		})
	}
}
