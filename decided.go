// SPDX-License-Identifier: Apache-2.0

package main

// This file: one decision from a chart, outside the service, by the same steps
// and into the same record: build, decide, receipt, render. `decide` and
// `evaluate stays` go this way.

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// decided is a decision with everything that was made on the way.
type decided struct {
	chart    *state.Chart
	timeline *state.Timeline
	record   cdshooks.Record
	response cdshooks.Response
	spans    []agent.Span // where the time went; in no record
	// explanation is nil unless it was asked for.
	explanation *state.Explanation
	unread      []unreadCode
}

// outcome is the decision itself.
func (d *decided) outcome() *engine.Outcome { return &d.record.Receipt.Outcome }

// decideChart decides for a chart at one time. id and seed are recorded inputs;
// the display mode is suggest: a command line shows what there is to show.
func (r *rooms) decideChart(ctx context.Context, chart *state.Chart, at time.Time, id, user string, seed uint64) (*decided, error) {
	var spans agent.Spans
	ctx, began := agent.WithSpans(ctx, &spans), time.Now()
	tl, err := state.Build(chart, at, r.cfg.State)
	spans.Add("timeline", began)
	if err != nil {
		return nil, fmt.Errorf("timeline: %w", err)
	}
	c := engine.Case{Timeline: tl, Now: at, Seed: seed, ID: id, User: user, Display: engine.DisplaySuggest}
	outcome, err := r.decider.Decide(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	began = time.Now()
	receipt, err := r.decider.Receipt(c, chart, outcome)
	spans.Add("receipt", began)
	began = time.Now()
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	settings := cdshooks.RenderSettings{
		SourceLabel: r.cfg.CDSHooks.SourceLabel, TopicSystem: r.cfg.CDSHooks.TopicSystem,
		TimeZone: r.cfg.CDSHooks.TimeZone, PatientID: chart.Person.ID,
	}
	response, err := cdshooks.Render(cdshooks.Rendering{
		ID: id, Seed: seed, Display: c.Display, Timeline: tl, Outcome: outcome,
		Model: receipt.Model, Hashes: receipt.Hashes, Settings: settings,
	})
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	sent, err := response.Encode()
	spans.Add("card", began)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return &decided{
		chart: chart, timeline: tl, response: response, spans: spans.All(),
		record: cdshooks.Record{
			Schema: cdshooks.RecordSchema, ID: id, Kind: cdshooks.KindDecision, Status: 200,
			Request:  cdshooks.RequestMeta{Service: "cli", User: user, Patient: chart.Person.ID},
			Display:  &cdshooks.DisplayChoice{Mode: c.Display, Configured: c.Display},
			Settings: &settings, Receipt: &receipt, Response: sent,
		},
	}, nil
}

// newID makes a receipt id.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("receipt id: %w", err)
	}
	return id.String(), nil
}
