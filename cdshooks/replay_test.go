// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func (c *clinic) replay(r *Record, deps ReplayDeps) ReplayReport {
	c.t.Helper()
	body, err := EncodeRecord(r)
	if err != nil {
		c.t.Fatal(err)
	}
	report, err := Replay(context.Background(), body, deps)
	if err != nil {
		c.t.Fatal(err)
	}
	return report
}

func (c *clinic) replayDeps() ReplayDeps {
	s := c.service
	return ReplayDeps{Charts: s.Charts, State: s.State, Decider: s.Decider, Hashes: s.Hashes}
}

func TestEveryDecisionIsMadeAgainByteForByte(t *testing.T) {
	c := open(t, nil)
	for s := range fixtures().patients {
		c.view(s, nil)
	}
	c.view(physiology.SepticShock, nil) // a suppressed repeat, with priors
	c.post(servicePath, []byte("{"), nil)
	decided := 0
	for _, r := range append(c.records(KindDecision), c.records(KindRefusal)...) {
		report := c.replay(r, c.replayDeps())
		if !report.OK || len(report.Differences) > 0 || len(report.Hashes) > 0 {
			t.Errorf("%s %s: %+v", r.Kind, r.ID, report)
		}
		if report.Decided {
			decided++
		}
	}
	if decided != len(fixtures().patients)+1 {
		t.Errorf("%d decisions were replayed", decided)
	}
}

// copied is a deep copy of the only decision of a clinic.
func (c *clinic) copied() *Record {
	c.t.Helper()
	list := c.records(KindDecision)
	return list[len(list)-1]
}

func TestAnAlteredEventRuleOrWeightShows(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.SepticShock, nil)

	t.Run("one event", func(t *testing.T) {
		r, altered := c.copied(), false
		for i := range r.Receipt.Records {
			rec := &r.Receipt.Records[i]
			// A heart rate counts in every step; a cuff pressure beside a line may not.
			if rec.Type == "Observation" && rec.Value != nil && !altered && len(rec.Codes) > 0 && rec.Codes[0].Code == "8867-4" {
				rec.Value.Value, altered = "99", true
			}
		}
		if report := c.replay(r, c.replayDeps()); !altered || report.OK || report.Differences[0].Path != "receipt.timelinedigest" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("one event left out", func(t *testing.T) {
		r := c.copied()
		r.Receipt.Records = r.Receipt.Records[1:]
		if report := c.replay(r, c.replayDeps()); report.OK {
			t.Errorf("%+v", report)
		}
	})
	t.Run("one rule", func(t *testing.T) {
		deps := c.replayDeps()
		deps.Decider, deps.Hashes = otherDecider(t, world.Persistence{}, alteredRules(t))
		report := c.replay(c.copied(), deps)
		if report.OK || len(report.Hashes) != 1 || report.Hashes[0] != "rules" || !strings.HasPrefix(report.Differences[0].Path, "receipt.outcome") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("one weight", func(t *testing.T) {
		deps := c.replayDeps()
		deps.Decider, deps.Hashes = otherDecider(t, shifted{}, fixtures().pack)
		report := c.replay(c.copied(), deps)
		if report.OK || len(report.Hashes) != 1 || report.Hashes[0] != "model" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("the stored card", func(t *testing.T) {
		r := c.copied()
		r.Response = json.RawMessage(strings.Replace(string(r.Response), "norepinephrine", "epinephrine", 1))
		report := c.replay(r, c.replayDeps())
		if report.OK || !strings.HasPrefix(report.Differences[0].Path, "response.cards[0].") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("the stored outcome", func(t *testing.T) {
		r := c.copied()
		r.Receipt.Outcome.Decision.Status = agent.Affirm
		report := c.replay(r, c.replayDeps())
		if report.OK || report.Differences[0].Path != "receipt.outcome.decision.status" {
			t.Errorf("%+v", report)
		}
	})
}

// alteredRules are the embedded packs with one word of one rule changed.
func alteredRules(t *testing.T) *policy.Pack {
	t.Helper()
	changed := fstest.MapFS{}
	paths, err := fs.Glob(configs.FS, "rules/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		data, err := fs.ReadFile(configs.FS, p)
		if err != nil {
			t.Fatal(err)
		}
		changed[p] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(data), "strength: ", "strength: altered "))}
	}
	pack, err := policy.Load(changed)
	if err != nil {
		t.Fatal(err)
	}
	return pack
}

// shifted forecasts one mmHg more than persistence, as a model with one altered
// weight would.
type shifted struct{ world.Persistence }

func (shifted) Info() world.Info {
	i := world.Persistence{}.Info()
	i.Hash = "altered"
	return i
}

func (s shifted) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	out, err := s.Persistence.Forecast(ctx, tl, plans, goal)
	for i := range out {
		for j := range out[i].Steps {
			b := &out[i].Steps[j].Band[state.MeanBP]
			b.Median, b.Lo80, b.Hi80 = b.Median+1, b.Lo80+1, b.Hi80+1
		}
	}
	return out, err
}

func otherDecider(t *testing.T, model world.Forecaster, pack *policy.Pack) (Decider, engine.Hashes) {
	t.Helper()
	native, err := agent.New(model, pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	hashes := engine.Hashes{Build: "test", Model: model.Info().Hash, Rules: pack.Hash(), CodeMaps: fixtures().mapper.CodeMaps().Hash(), Config: "test"}
	d, err := engine.New(native, hashes, engine.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return d, hashes
}

func TestDamagedRecordsAreNamedAsSuch(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.PostOperative, nil)
	body, err := EncodeRecord(c.copied())
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"empty": {}, "another form": {9, 1, 2}, "cut short": body[:len(body)/2], "not compressed": []byte("\x01{}"),
	} {
		if _, err := Replay(context.Background(), damaged, c.replayDeps()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
