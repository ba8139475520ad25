// SPDX-License-Identifier: Apache-2.0

package main

// This file: a language model in the service: through real hook calls, with its
// conversation in the receipt, and made again without it.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// lastChoice is a model that prescribes the last treatment that it is offered.
type lastChoice struct {
	asked atomic.Int64
	fails atomic.Bool
	key   atomic.Value
}

var offered = regexp.MustCompile(`(?m)^- \[([0-4]),([0-4])\]`)

func (m *lastChoice) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked.Add(1)
	m.key.Store(r.Header.Get("Authorization"))
	var request struct {
		Messages []struct{ Content string } `json:"messages"`
	}
	if m.fails.Load() || json.NewDecoder(r.Body).Decode(&request) != nil || len(request.Messages) < 2 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, open, _ := strings.Cut(request.Messages[1].Content, "## Treatments that may be chosen")
	open, _, _ = strings.Cut(open, "\n\n")
	all := offered.FindAllStringSubmatch(open, -1)
	if len(all) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	pair := all[len(all)-1]
	json.NewEncoder(w).Encode(map[string]any{"model": "last", "choices": []any{map[string]any{"finish_reason": "tool_calls", "message": map[string]any{
		"role": "assistant", "tool_calls": []any{map[string]any{"id": "a", "type": "function", "function": map[string]any{
			"name": "prescription", "arguments": fmt.Sprintf(`{"vasopressor":%s,"iv_fluid":%s}`, pair[1], pair[2]),
		}}},
	}}}})
}

func TestALanguageModelChoosesInTheServiceAndTheReplayAsksNobody(t *testing.T) {
	model := &lastChoice{}
	server := httptest.NewServer(model)
	defer server.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("the-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	withModel := func(c *Config) {
		c.LLM.BaseURL, c.LLM.Model, c.LLM.APIKeyFile, c.LLM.BreakerFailures = server.URL, "last", key, 1000
	}
	d := startDemo(t, withModel)
	outcomes := map[string]int{}
	for _, fails := range []bool{false, true} {
		model.fails.Store(fails)
		for _, id := range d.ehr.PatientIDs() {
			if result, err := d.ehr.Fire(t.Context(), id); err != nil || result.Status != http.StatusOK {
				t.Fatalf("patient %s: %+v, %v", id, result, err)
			}
		}
	}
	server.Close()
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: cdshooks.KindDecision})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.Index.ID)
		body, err := d.log.Get(t.Context(), row.Index.ID)
		if err != nil {
			t.Fatal(err)
		}
		record, err := cdshooks.DecodeRecord(body.Body)
		if err != nil {
			t.Fatal(err)
		}
		c, transcript := record.Receipt.Outcome.Decision.Consulted, record.Receipt.Case.Transcript
		if c == nil || (c.Outcome == agent.ConsultNotAsked) != (transcript == nil) || record.Receipt.Hashes.Prompts != c.Prompts {
			t.Errorf("entry %s: consulted %+v, transcript %v", row.Index.ID, c, transcript != nil)
			continue
		}
		if c.Outcome == agent.ConsultFallback && c.Fault != "http-503" {
			t.Errorf("entry %s: fault %q", row.Index.ID, c.Fault)
		}
		outcomes[c.Outcome]++
		if raw, _ := json.Marshal(record); bytes.Contains(raw, []byte("the-key")) {
			t.Error("the key is in the receipt")
		}
	}
	if outcomes[agent.ConsultChosen] == 0 || outcomes[agent.ConsultChosen] != outcomes[agent.ConsultFallback] {
		t.Errorf("outcomes %v: want as many fallbacks as choices", outcomes)
	}
	if model.key.Load() != "Bearer the-key" {
		t.Errorf("authorization %q", model.key.Load())
	}

	cfg := defaultConfig()
	cfg.Files.Model = testModel(t)
	withModel(&cfg)
	cfg.LLM.Offline = true
	r, err := openRooms(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	asked := model.asked.Load()
	summary, err := replayAll(t.Context(), r, d.log, ids, newProgress(io.Discard, "", 0))
	if err != nil || !summary.OK || summary.Same != len(ids) {
		t.Errorf("replay: %+v, %v", summary, err)
	}
	if model.asked.Load() != asked {
		t.Error("the replay asked the model")
	}
}

func TestALanguageModelIsOneMorePolicyOfAnEvaluation(t *testing.T) {
	longOnly(t)
	model := &lastChoice{}
	server := httptest.NewServer(model)
	defer server.Close()
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "llm:\n  base_url: %s\n  model: last\n", server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal([]byte(sepsisagent(t, "evaluate", "policy", "--cohort", simulatedCohort(t, 8), "--config", config, "--json").want(0).out), &e); err != nil {
		t.Fatal(err)
	}
	object(t, object(t, e, "ope"), "llm")
	own := object(t, object(t, object(t, e, "prescribing"), "llm"), "own_decisions")
	if model.asked.Load() == 0 || number(t, own, "count") == 0 {
		t.Errorf("asked %d times, it decided %v", model.asked.Load(), own["count"])
	}
}

func TestWithoutAnEndpointTheSectionChangesNothing(t *testing.T) {
	plain, other := defaultConfig(), defaultConfig()
	other.LLM.Temperature, other.LLM.Model = 1, "unused"
	a, err := plain.decisionHash()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := other.decisionHash(); err != nil || a != b {
		t.Errorf("hash %s, then %s, %v", a, b, err)
	}
	other.LLM.BaseURL = "https://llm.example.org/v1"
	if b, err := other.decisionHash(); err != nil || a == b {
		t.Errorf("a model that is asked is not in the hash: %v", err)
	}
	r, err := openRooms(plain, testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.hashes.Prompts != "" {
		t.Error("prompts are named that nobody uses")
	}
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	cfg.LLM.BaseURL, cfg.LLM.Model, cfg.LLM.APIKeyFile = "https://llm.example.org/v1", "m", key
	if _, err := openRooms(cfg, testModel(t)); err == nil || !strings.Contains(err.Error(), "llm: api_key_file") {
		t.Errorf("error %v", err)
	}
}

// TestOnRealStaysAModelChoosesAndIsToldNoIdentifier lets the model choose on
// real charts and looks for what must not be in a prompt.
func TestOnRealStaysAModelChoosesAndIsToldNoIdentifier(t *testing.T) {
	if testing.Short() {
		t.Skip("reads real exports")
	}
	server := httptest.NewServer(&lastChoice{})
	defer server.Close()
	cfg := defaultConfig()
	cfg.LLM.BaseURL, cfg.LLM.Model = server.URL, "last"
	r, err := openRooms(cfg, testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for _, set := range []string{"mimic-iv-demo-fhir", "eicu-demo-fhir"} {
		for _, chart := range realSample(t, set, 12) {
			for _, hours := range []int{8, 20, 32} {
				at := chart.Stay.Start.Add(time.Duration(hours) * time.Hour)
				d, err := r.decideChart(t.Context(), chart, at, "real", "os/test", 1)
				if err != nil {
					t.Fatalf("%s: %v", set, err)
				}
				outcomes[d.outcome().Decision.Consulted.Outcome]++
				transcript := d.record.Receipt.Case.Transcript
				if transcript == nil {
					continue
				}
				said := transcript.Opening[1].Content
				for _, bad := range []string{chart.Person.ID, chart.Stay.ID, d.timeline.StayID, at.Format("2006-01-02"), at.Format("15:04")} {
					if bad != "" && strings.Contains(said, bad) {
						t.Errorf("%s: the prompt has an identifier or a date", set)
					}
				}
				if d.outcome().Decision.Consulted.Outcome != agent.ConsultChosen || len(said) > 10<<10 {
					t.Errorf("%s: %+v with a prompt of %d bytes", set, d.outcome().Decision.Consulted, len(said))
				}
			}
		}
	}
	t.Logf("consultations on real stays: %v", outcomes)
}
