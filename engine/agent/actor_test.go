// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: that no weights make the actor ask for more vasopressor at a higher
// MAP, and that its files are believed only where every hash fits.

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// noise encodes every timeline as the same random numbers, and is the model of an
// effect otherwise.
type noise struct {
	effect
	seed uint64
}

func (n noise) Encode(*state.Timeline) ([]float32, error) {
	rng := rand.New(rand.NewPCG(n.seed, 1))
	x := make([]float32, world.InputSize)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x, nil
}

// randomActor has weights drawn at random, of any scale.
func randomActor(t interface{ Fatal(...any) }, n noise, scale float64) *agent.Actor {
	const hidden = 8
	net := agent.NewActorNetwork(hidden)
	rng := rand.New(rand.NewPCG(n.seed, 2))
	members := make([][]float32, 2)
	for m := range members {
		members[m] = make([]float32, net.Layout.Size())
		for i := range members[m] {
			members[m][i] = float32(scale * rng.NormFloat64())
		}
	}
	cfg := state.DefaultConfig()
	weights, js, err := agent.EncodeActor(agent.ActorRecord{World: n.Info().Hash, Hidden: hidden, Settings: []byte("{}"),
		VasopressorCuts: cfg.VasopressorCuts, FluidCuts: cfg.FluidCuts}, members)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.NewActor(weights, js, n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNoWeightsMakeTheActorAskForMoreVasopressorAtAHigherMAP(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		a := randomActor(rt, noise{effective(), rapid.Uint64().Draw(rt, "seed")}, rapid.Float64Range(0.01, 2).Draw(rt, "scale"))
		var before [5]float64
		for mmHg := 35.0; mmHg < 130; mmHg += rapid.Float64Range(0.5, 10).Draw(rt, "more") {
			setMAP(tl, mmHg)
			p, ok, err := a.Probabilities(tl)
			if err != nil || !ok {
				rt.Fatal(ok, err)
			}
			sum := 0.0
			for v := range p {
				for _, q := range p[v] {
					if q < 0 {
						rt.Fatalf("probability %g", q)
					}
					sum += q
				}
				if sum < before[v]-1e-5 {
					rt.Fatalf("MAP %.1f: chance of level %d or less falls from %g to %g", mmHg, v, before[v], sum)
				}
				before[v] = sum
			}
			if sum < 0.999 || sum > 1.001 {
				rt.Fatalf("probabilities sum to %g", sum)
			}
		}
	})
}

// TestNoActorMakesAHigherMAPRaiseTheVasopressor: the metamorphic property holds
// for the agent with any actor.
func TestNoActorMakesAHigherMAPRaiseTheVasopressor(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	proposed := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		model := noise{drawModel(rt), rapid.Uint64().Draw(rt, "seed")}
		plain, err := agent.New(model, pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		n, err := plain.With(randomActor(rt, model, rapid.Float64Range(0.01, 1).Draw(rt, "scale")))
		if err != nil {
			rt.Fatal(err)
		}
		a := suggestedNE(rt, n, tl)
		d, err := n.Decide(context.Background(), tl, 0)
		if err != nil {
			rt.Fatal(err)
		}
		for _, o := range d.Options {
			proposed[o.Source]++
			if o.Proposal.Raises() && tl.Present.MAP.Newest.Value >= tl.Present.MAP.GoalMmHg {
				rt.Fatalf("%s is considered with MAP at goal", o.Proposal.Name)
			}
		}
		higher := tl.Present.MAP.Newest.Value + rapid.Float64Range(0, 60).Draw(rt, "more")
		low := *tl.Present.MAP.LastHourMin
		setMAP(tl, higher)
		low.Value = max(low.Value, min(higher, low.Value+rapid.Float64Range(0, 60).Draw(rt, "more low")))
		tl.Present.MAP.LastHourMin = &low
		if b := suggestedNE(rt, n, tl); b > a+1e-9 {
			rt.Fatalf("suggested %g at the lower MAP and %g at the higher", a, b)
		}
	})
	t.Log("options by source:", proposed)
	if !testing.Short() && proposed[agent.SourceActor]+proposed[agent.SourceBoth] == 0 { // few draws may well have none
		t.Error("no actor ever proposed anything: the test says nothing")
	}
}

// shippedModel is the embedded world model.
func shippedModel(t testing.TB) *world.Model {
	t.Helper()
	m, err := world.Load(configs.FS, "model")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shippedAgent is the native agent as the binary runs it.
func shippedAgent(t testing.TB) *agent.Native {
	t.Helper()
	m := shippedModel(t)
	a, err := agent.OpenActor(configs.FS, "model", m)
	if err != nil {
		t.Fatal(err)
	}
	if a == nil {
		t.Skip("the embedded model has no actor")
	}
	n, err := native(t, m).With(a)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheDecisionNamesTheActorAndWhatItMakesOfTheState(t *testing.T) {
	n := shippedAgent(t)
	d, err := n.Decide(context.Background(), timeline(t, physiology.Improving), 0)
	if err != nil {
		t.Fatal(err)
	}
	if d.Actor != n.Actor().Hash() || d.Learned == nil || len(d.Rounds) == 0 {
		t.Errorf("actor %q, learned %+v, %d rounds", d.Actor, d.Learned, len(d.Rounds))
	}
	d = decide(t, effective(), timeline(t, physiology.Improving))
	if d.Actor != "" || d.Learned != nil {
		t.Errorf("an agent without an actor names %q, %+v", d.Actor, d.Learned)
	}
}

// actorFolder is the embedded model folder as files that may be changed.
func actorFolder(t testing.TB) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, name := range []string{agent.ActorWeights, agent.ActorFile, "SHA256SUMS"} {
		b, err := fs.ReadFile(configs.FS, "model/"+name)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("the embedded model has no actor")
		}
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: b}
	}
	return out
}

func TestADamagedOrForeignActorIsRefusedWithAHint(t *testing.T) {
	m := shippedModel(t)
	for _, c := range []struct {
		name   string
		change func(f fstest.MapFS)
		model  agent.Encoder
		want   string
	}{
		{"a flipped byte in the weights", func(f fstest.MapFS) { flip(f[agent.ActorWeights].Data, -3) }, m, "SHA-256"},
		{"a flipped byte in the description", func(f fstest.MapFS) { flip(f[agent.ActorFile].Data, 40) }, m, "does not belong"},
		{"weights cut short", func(f fstest.MapFS) { f[agent.ActorWeights].Data = f[agent.ActorWeights].Data[:100] }, m, agent.ActorWeights},
		{"weights that are gone but listed", func(f fstest.MapFS) { delete(f, agent.ActorWeights) }, m, "copy the folder again"},
		{"no description", func(f fstest.MapFS) { delete(f, agent.ActorFile) }, m, agent.ActorFile},
		{"sums that do not name it", func(f fstest.MapFS) { f["SHA256SUMS"].Data = []byte("x  y\n") }, m, "train actor"},
		{"another world model", func(fstest.MapFS) {}, noise{effective(), 1}, "train actor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := actorFolder(t)
			c.change(f)
			a, err := agent.OpenActor(f, ".", c.model)
			if a != nil || !errors.Is(err, agent.ErrActor) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", a, err, c.want)
			}
		})
	}
	f := actorFolder(t)
	delete(f, agent.ActorWeights)
	f["SHA256SUMS"].Data = []byte("x  weights.safetensors\n")
	if a, err := agent.OpenActor(f, ".", m); a != nil || err != nil {
		t.Errorf("a folder without an actor gives %v, %v", a, err)
	}
}

func TestAnActorForOtherLevelsOrAnotherModelIsNotTaken(t *testing.T) {
	a := randomActor(t, noise{effective(), 1}, 0.1)
	cfg := agent.DefaultConfig()
	cfg.State.FluidCuts[2]++
	pack, err := policy.Load(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	n, err := agent.New(effective(), pack, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.With(a); !errors.Is(err, agent.ErrActor) {
		t.Errorf("an actor for other levels: %v", err)
	}
	if _, err := native(t, shippedModel(t)).With(a); !errors.Is(err, agent.ErrActor) {
		t.Errorf("an actor of another world model: %v", err)
	}
}

func flip(b []byte, at int) {
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
}

func FuzzNewActor(f *testing.F) {
	folder := actorFolder(f)
	weights, js := folder[agent.ActorWeights].Data, folder[agent.ActorFile].Data
	f.Add(weights[:200], js)
	f.Add([]byte{}, []byte("{}"))
	f.Fuzz(func(t *testing.T, weights, js []byte) {
		if a, err := agent.NewActor(weights, js, noise{effective(), 1}); (a == nil) == (err == nil) {
			t.Fatalf("%v, %v", a, err)
		}
	})
}
