// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort fetch` against a HAPI FHIR JPA server, which nobody here
// wrote. `.ci/hapi/run` starts one.

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
)

func TestHAPIExportsTheCohortThatWasLoaded(t *testing.T) {
	base := os.Getenv("SEPSISAGENT_HAPI")
	if base == "" {
		t.Skip("no HAPI FHIR server: SEPSISAGENT_HAPI is not set (.ci/hapi/run starts one)")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "source", "fhir")
	sepsisagent(t, "cohort", "synth", "--patients", "2", "--seed", "77", "--out", source).want(exitOK)
	resources, err := sandbox.FolderResources(source)
	if err != nil {
		t.Fatal(err)
	}
	group := loadIntoHAPI(t, base, resources)
	out := filepath.Join(dir, "fhir")
	r := sepsisagent(t, "cohort", "fetch", "--fhir", base, "--group", group, "--out", out, "--max-poll", "2s").want(exitOK)
	t.Log(r.errs, r.out)
	var direct, fetched cohortReport
	sepsisagent(t, "cohort", "build", "--fhir", source, "--out", filepath.Join(dir, "a.parquet"), "--json").want(exitOK).object(&direct)
	sepsisagent(t, "cohort", "build", "--fhir", out, "--out", filepath.Join(dir, "b.parquet"), "--json").want(exitOK).object(&fetched)
	if fetched.Steps == 0 || fetched.Digest != direct.Digest {
		t.Errorf("%d steps, digest %s, coverage %v\nwant %d, %s, %v", fetched.Steps, fetched.Digest, fetched.Coverage, direct.Steps, direct.Digest, direct.Coverage)
	}
}

// loadIntoHAPI puts the resources there, under their own ids, with a Group of
// their patients.
func loadIntoHAPI(t *testing.T, base string, resources []json.RawMessage) (group string) {
	t.Helper()
	type entry struct {
		Resource json.RawMessage   `json:"resource"`
		Request  map[string]string `json:"request"`
	}
	group = "fetched-cohort"
	var entries []entry
	members := []any{}
	put := func(raw json.RawMessage) {
		var x struct{ ResourceType, ID string }
		if err := json.Unmarshal(raw, &x); err != nil {
			t.Fatal(err)
		}
		if x.ResourceType == "Patient" {
			members = append(members, map[string]any{"entity": map[string]string{"reference": "Patient/" + x.ID}})
		}
		entries = append(entries, entry{raw, map[string]string{"method": "PUT", "url": x.ResourceType + "/" + x.ID}})
	}
	// HAPI exports by the links it made when a resource was written, and links
	// only to what was there.
	for _, kinds := range [][]string{{"Patient"}, {"Encounter"}, nil} {
		for _, raw := range resources {
			var x struct{ ResourceType string }
			if err := json.Unmarshal(raw, &x); err != nil {
				t.Fatal(err)
			}
			early := x.ResourceType == "Patient" || x.ResourceType == "Encounter"
			if slices.Contains(kinds, x.ResourceType) || kinds == nil && !early {
				put(raw)
			}
		}
	}
	body, err := json.Marshal(map[string]any{"resourceType": "Group", "id": group, "type": "person", "actual": true, "member": members})
	if err != nil {
		t.Fatal(err)
	}
	put(body)
	for len(entries) > 0 {
		n := min(len(entries), 500)
		page, err := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "batch", "entry": entries[:n]})
		if err != nil {
			t.Fatal(err)
		}
		entries = entries[n:]
		res, err := http.Post(base, "application/fhir+json", bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || strings.Count(string(answer), `"status":"201`)+strings.Count(string(answer), `"status":"200`) < n {
			t.Fatalf("loading: %d, %v\n%.2000s", res.StatusCode, err, answer)
		}
	}
	return group
}
