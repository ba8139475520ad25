// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what /metrics counts, and what a card says about who decided.

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// consulting decides as its decider does, and says that a language model was to.
type consulting struct {
	Decider
	with *agent.Consultation
}

func (d *consulting) Decide(ctx context.Context, c engine.Case) (engine.Outcome, error) {
	o, err := d.Decider.Decide(ctx, c)
	if d.with != nil {
		said := *d.with
		o.Decision.Consulted = &said
	}
	return o, err
}

// wantMetrics checks lines of /metrics.
func (c *clinic) wantMetrics(lines ...string) {
	c.t.Helper()
	body := string(c.get("/metrics").body)
	for _, line := range lines {
		if !strings.Contains(body, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var have []string
			for l := range strings.Lines(body) {
				if strings.HasPrefix(l, name) {
					have = append(have, strings.TrimSpace(l))
				}
			}
			c.t.Errorf("/metrics lacks %s; it has\n%s", line, strings.Join(have, "\n"))
		}
	}
}

func TestMetricsCountDecisionsSuppressionsAndOverrides(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "stop")
	c := open(t, func(d *Deps, _ *trust.Client) { d.Config.KillSwitchFile = stop })
	card := c.view(physiology.SepticShock, nil).cards()[0]
	c.view(physiology.SepticShock, nil)
	c.view(physiology.PostOperative, nil)
	c.feedback(overridden(card.UUID, nil), overridden("123456", nil))
	c.view(physiology.SepticShock, nil)
	c.view(physiology.SepticShock, asUser("Patient/p1"))
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.view(physiology.SepticShock, nil)
	c.wantMetrics(
		`sepsisagent_decisions_total{display="suggest",shown="true",status="suggest"} 1`,
		`sepsisagent_decisions_total{display="suggest",shown="false",status="suggest"} 2`,
		`sepsisagent_decisions_total{display="suggest",shown="false",status="not-applicable"} 1`,
		`sepsisagent_decisions_total{display="silent",shown="false",status="suggest"} 2`,
		`sepsisagent_suppressed_total{reason="repeat",topic="vasopressor"} 1`,
		`sepsisagent_suppressed_total{reason="overridden",topic="vasopressor"} 1`,
		`sepsisagent_suppressed_total{reason="display-silent",topic="vasopressor"} 2`,
		`sepsisagent_display_lowered_total{configured="suggest",mode="silent",why="role"} 1`,
		`sepsisagent_display_lowered_total{configured="suggest",mode="silent",why="kill-switch"} 1`,
		`sepsisagent_feedback_total{known="true",outcome="overridden",topic="vasopressor"} 1`,
		`sepsisagent_feedback_total{known="false",outcome="overridden",topic="other"} 1`,
	)
}

func TestACardAndTheMetricsSayWhoDecided(t *testing.T) {
	decider := &consulting{}
	c := open(t, func(d *Deps, _ *trust.Client) { decider.Decider, d.Decider = d.Decider, decider })
	for i, x := range []struct {
		with *agent.Consultation
		says string
	}{
		{nil, "Decided by the native agent\n"},
		{&agent.Consultation{Model: "the<model>", Outcome: agent.ConsultChosen}, "Chosen by language model the&lt;model&gt; among the treatments that rules and simulation left"},
		{&agent.Consultation{Model: "m", Outcome: agent.ConsultFallback, Fault: "late"}, "Decided by the native agent, because language model m gave no usable answer (late)"},
		{&agent.Consultation{Model: "m", Outcome: agent.ConsultFallback, Fault: "http-503"}, "gave no usable answer (http-503)"},
		{&agent.Consultation{Model: "m", Outcome: agent.ConsultFallback, Fault: "http-502"}, "gave no usable answer (http-502)"},
		{&agent.Consultation{Model: "m", Outcome: agent.ConsultNotAsked}, "Decided by the native agent; there was nothing for language model m to choose"},
	} {
		decider.with = x.with
		cards := c.view(physiology.SepticShock, asUser("Practitioner/"+string(rune('a'+i)))).cards()
		if len(cards) != 1 || !strings.Contains(cards[0].Detail, x.says) {
			t.Errorf("%d cards, and none says %q", len(cards), x.says)
		}
	}
	c.wantMetrics(
		`sepsisagent_llm_consultations_total{fault="",outcome="chosen"} 1`,
		`sepsisagent_llm_consultations_total{fault="",outcome="not-asked"} 1`,
		`sepsisagent_llm_consultations_total{fault="late",outcome="fallback"} 1`,
		`sepsisagent_llm_consultations_total{fault="http-5xx",outcome="fallback"} 2`,
	)
}

func TestALoweredDisplayModeIsSaidEverywhere(t *testing.T) {
	c := open(t, func(d *Deps, client *trust.Client) {
		d.Validated = nil
		client.DisplayByUnit = map[string]string{"Burns": trust.DisplaySilent, "Surgical": trust.DisplaySuggest}
	})
	lines := c.service.Lowered()
	if len(lines) != 2 || !strings.Contains(lines[0], "client ehr: display suggest works as inform: no local validation") || !strings.Contains(lines[1], `unit "Surgical"`) {
		t.Errorf("at start it says %q", lines)
	}
	if r := c.view(physiology.SepticShock, nil); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	want := DisplayChoice{Mode: trust.DisplayInform, Configured: trust.DisplaySuggest, Code: string(validation.NotValidated), Why: "no local validation of this model is on record"}
	if got := *c.lastDecision().Display; got != want {
		t.Errorf("the receipt says %+v", got)
	}
	c.wantMetrics(`sepsisagent_display_lowered_total{configured="suggest",mode="inform",why="not-validated"} 1`)
	if lines := open(t, nil).service.Lowered(); len(lines) != 0 {
		t.Errorf("a validated model is lowered: %q", lines)
	}
}
