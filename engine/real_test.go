// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: real ICU stays through state, rules, agent and receipt. It says
// that the agent is neither mute nor broken on real charts; docs/results.md
// has the tables.

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

// realFolder is a folder of real data, or the test is skipped.
func realFolder(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real data is not read with -short")
	}
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data at %s (set SEPSISAGENT_DATA to the folder that holds %s)", dir, name)
	}
	return dir
}

// TestRealStaysOnChartedNorepinephrineMostlyEndInSuggestOrAffirm: universal
// abstention is failure. Twelve hours after ICU admission, septic stays whose
// vasopressor rates are charted are mostly answered; every decision leaves a
// receipt that rebuilds its timeline.
func TestRealStaysOnChartedNorepinephrineMostlyEndInSuggestOrAffirm(t *testing.T) {
	dir := realFolder(t, "mimic-iv-demo-fhir")
	codes, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	m := fhir.NewMapper(codes)
	folder, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	d := decider(t, shipped(t))
	decided, answered, onNE, ladders := 0, 0, 0, 0
	var reasons []string
	err = folder.Each(context.Background(), func(b *fhir.Bag) error {
		for _, stay := range m.Stays(b) {
			at := stay.Start.Add(12 * time.Hour)
			if stay.Start.IsZero() || !stay.End.IsZero() && at.After(stay.End) {
				continue
			}
			c, err := m.Chart(b, stay.ID, at)
			if err != nil {
				return err
			}
			tl, err := state.Build(c, at, state.DefaultConfig())
			if err != nil {
				return err
			}
			cs := engine.Case{Timeline: tl, Now: at, ID: "real", Display: engine.DisplaySuggest}
			o, err := d.Decide(context.Background(), cs)
			if err != nil {
				return err
			}
			if _, err := d.Receipt(cs, c, o); err != nil {
				return err
			}
			decided++
			if spoke(o.Decision) {
				ladders++
				climb(t, d, cs)
			}
			if !chartedNorepinephrine(tl) {
				continue
			}
			onNE++
			if spoke(o.Decision) {
				answered++
				continue
			}
			for _, r := range o.Decision.Reasons {
				reasons = append(reasons, fmt.Sprintf("%s %s", o.Decision.Status, r.Code))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d stays decided, %d asked again at other pressures; %d septic on charted norepinephrine, %d answered; the others: %v", decided, ladders, onNE, answered, reasons)
	if decided < 60 || ladders < 15 || onNE < 5 || answered*3 < onNE*2 {
		t.Errorf("%d of %d stays on charted norepinephrine were answered (%d decided): %v", answered, onNE, decided, reasons)
	}
}

// shipped is the native agent with the model and rules that the binary carries.
func shipped(t *testing.T) engine.Agent {
	t.Helper()
	model, err := world.Load(configs.FS, "model")
	if err != nil {
		t.Fatal(err)
	}
	pack, err := policy.Load(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	n, err := agent.New(model, pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func spoke(d agent.Decision) bool { return d.Status == agent.Suggest || d.Status == agent.Affirm }

// climb decides the same real chart at rising MAP, the model's input with it:
// the vasopressor that is suggested never rises.
func climb(t *testing.T, d *engine.Decider, c engine.Case) {
	t.Helper()
	tl := *c.Timeline
	tl.Steps = slices.Clone(tl.Steps)
	last := math.Inf(1)
	for mmHg := 45.0; mmHg <= 100; mmHg += 5 {
		newest := *c.Timeline.Present.MAP.Newest
		newest.Value = mmHg
		tl.Present.MAP.Newest, tl.Present.MAP.LastHourMin = &newest, &newest
		tl.Steps[len(tl.Steps)-1].Value[state.MeanBP] = mmHg
		tl.Present.Readings = maps.Clone(c.Timeline.Present.Readings)
		tl.Present.Readings["meanbp"] = newest
		c.Timeline = &tl
		o, err := d.Decide(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !spoke(o.Decision) {
			continue
		}
		ne := tl.Present.NEUgKgMin
		for _, x := range o.Decision.Options {
			if x.Role == agent.RoleSuggested {
				ne = x.Proposal.NENextUgKgMin
			}
		}
		if ne > last+1e-9 {
			t.Errorf("stay %s: %.3f ug/kg/min is suggested at MAP %.0f, %.3f at a lower one", tl.StayID, ne, mmHg, last)
		}
		last = ne
	}
}

func chartedNorepinephrine(tl *state.Timeline) bool {
	if !tl.Present.VasoKnown || !tl.Present.Sepsis.Met {
		return false
	}
	for _, a := range tl.Present.Agents {
		if a.Drug == state.DrugNorepinephrine && a.State == state.AgentRunning && a.NEUgKgMin > 0 {
			return true
		}
	}
	return false
}
