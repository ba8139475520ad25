// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: a HAPI FHIR JPA server as the EHR, a server that we did not
// write. `.ci/hapi/run` starts one and sets SEPSISAGENT_HAPI to its base;
// without it these tests skip. What is loaded stays on the server, so every
// test uses patients of its own. The tests are in hapi_gather_test.go,
// hapi_states_test.go and hapi_validate_test.go.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// hapi is a running HAPI server.
type hapi struct {
	t      testing.TB
	base   string
	client *http.Client
	server *Server
}

// hapiServer is the server that SEPSISAGENT_HAPI names, or a skip.
func hapiServer(t testing.TB) *hapi {
	t.Helper()
	base := os.Getenv("SEPSISAGENT_HAPI")
	if base == "" {
		t.Skip("no HAPI server: SEPSISAGENT_HAPI is not set (.ci/hapi/run starts one)")
	}
	h := &hapi{t: t, base: base, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}}}
	t.Cleanup(h.client.CloseIdleConnections)
	server, err := NewServer(ServerOptions{Base: base, HTTP: h.client, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	h.server = server
	return h
}

// call sends a request and returns status and body.
func (h *hapi) call(method, path string, body []byte) (int, []byte) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.base+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/fhir+json")
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, answer
}

// write sends a request that must succeed.
func (h *hapi) write(method, path, body string) {
	h.t.Helper()
	if status, answer := h.call(method, path, []byte(body)); status >= 300 {
		h.t.Fatalf("%s %s: %d %.1000s", method, path, status, answer)
	}
}

// loadFirst are the types that others refer to. HAPI links a reference to what
// is there when it is written, and searches by links.
var loadFirst = []string{"Organization", "Location", "Patient", "Medication", "Specimen", "Encounter"}

// load puts resources by transactions of a bounded size.
func (h *hapi) load(resources []json.RawMessage) {
	h.t.Helper()
	rank := func(r json.RawMessage) int {
		if i := slices.Index(loadFirst, kindOf(r)); i >= 0 {
			return i
		}
		return len(loadFirst)
	}
	resources = slices.Clone(resources)
	slices.SortStableFunc(resources, func(a, b json.RawMessage) int { return rank(a) - rank(b) })
	for chunk := range slices.Chunk(resources, 400) {
		var b bytes.Buffer
		b.WriteString(`{"resourceType":"Bundle","type":"transaction","entry":[`)
		for i, r := range chunk {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"resource":%s,"request":{"method":"PUT","url":%q}}`, r, nameOf(h.t, r))
		}
		b.WriteString(`]}`)
		h.write(http.MethodPost, "", b.String())
	}
}

// nameOf is a resource's Type/id.
func nameOf(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var r struct{ ResourceType, ID string }
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r.ResourceType + "/" + r.ID
}

// gather fetches a patient's chart. HAPI takes any token.
func (h *hapi) gather(m *Mapper, patientID, stayID string, at time.Time, prefetch map[string]json.RawMessage) (*Gathered, error) {
	h.t.Helper()
	return m.Gather(context.Background(), GatherRequest{
		Prefetch: prefetch, From: h.server, Access: Access{Token: "any"},
		PatientID: patientID, EncounterID: stayID, Now: at, Limits: Limits{Budget: 5 * time.Minute},
	})
}

// straight is the bag of resources that went through no server.
func straight(t testing.TB, m *Mapper, patientID string, resources []json.RawMessage) *Bag {
	t.Helper()
	bag := NewBag(patientID)
	bag.Asked("Condition", "Procedure", "MedicationRequest", "MedicationAdministration")
	for _, r := range resources {
		if err := m.Add(bag, r, state.Origin{Via: "bundle"}); err != nil {
			t.Fatalf("%s: %v", nameOf(t, r), err)
		}
	}
	return bag
}

// sameTimeline compares what two charts come to at a time.
func sameTimeline(t testing.TB, got, want *state.Chart, at time.Time) {
	t.Helper()
	a, err := state.Build(got, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	b, err := state.Build(want, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	x, err := a.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(x, y) {
		return
	}
	i := 0
	for i < min(len(x), len(y)) && x[i] == y[i] {
		i++
	}
	from := max(i-200, 0)
	t.Errorf("the timeline differs:\n got  %s\n want %s", x[from:min(i+200, len(x))], y[from:min(i+200, len(y))])
}

// simulated is a fresh synthetic patient, unlike any other on the server.
func simulated(t testing.TB, scenario physiology.Scenario, hours float64) physiology.Course {
	t.Helper()
	treatment, err := physiology.BehaviourRandomised.Treatment()
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("synthetic patient of seed %d", seed)
	return physiology.New(seed, scenario).Run(hours, treatment)
}

// complete fails unless every key was fetched whole.
func complete(t testing.TB, g *Gathered) {
	t.Helper()
	for _, p := range g.Manifest.Parts {
		if p.From != FromFetch && p.From != IsEmpty && p.From != FromPrefetch {
			t.Errorf("%s came by %s: %s", p.Key, p.From, p.Why)
		}
	}
}

// published are the templates as an EHR resolves them: tokens replaced by
// text, and nothing else.
func published(m *Mapper, patientID string) map[string]string {
	out := map[string]string{}
	for key, template := range PrefetchTemplates(m.CodeMaps()) {
		out[key] = "/" + strings.ReplaceAll(template, patientToken, patientID)
	}
	return out
}
