// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: that the derivatives of the whole network are right, that a choice is
// judged against the others of its group, that the three stages give the same
// bytes whatever GOMAXPROCS is and whether they were stopped, and that without
// anything simulated a higher pressure turns towards less vasopressor.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// anyState is one with something simulated in it.
func anyState(seed uint64) seen {
	rng := chance(seed, 7)
	s := seen{x: make([]float32, world.InputSize), aboveMmHg: rng.Float64()*60 - 30, memory: &agent.ActorMemory{}}
	for i := range s.x {
		s.x[i] = float32(rng.NormFloat64())
	}
	for range 3 {
		a := rng.IntN(agent.ActorPairs)
		s.memory.Seen[a], s.memory.Shut[agent.ActorPairs+a] = true, true
		for i := range s.memory.Look[a] {
			s.memory.Look[a][i] = float32(rng.NormFloat64())
		}
	}
	for i := range s.memory.Summary {
		s.memory.Summary[i] = float32(rng.NormFloat64())
	}
	return s
}

func TestDerivativesOfAllHeadsEqualFiniteDifferences(t *testing.T) {
	l := newLearner(8, 0, chance(1, 1))
	states := []seen{anyState(1), anyState(2), {x: anyState(3).x, aboveMmHg: 4}}
	rng := chance(2, 2)
	wantLogits, wantDynamics := nn.NewMat(len(states), agent.ActorActions), nn.NewMat(len(states), agent.ActorDynamics)
	for _, m := range []*nn.Mat{wantLogits, wantDynamics} {
		for i := range m.Data {
			m.Data[i] = float32(rng.NormFloat64())
		}
	}
	// The loss is a fixed sum of all that comes out; what is shut has no part in it.
	loss := func() (sum float64) {
		b := l.forward(states)
		l.foresee(b)
		for i, v := range b.thought.Logits.Data {
			if v > shutBelow {
				sum += float64(v * wantLogits.Data[i])
			}
		}
		for i, v := range b.dynamics.Data {
			sum += float64(v * wantDynamics.Data[i])
		}
		return sum
	}
	b := l.forward(states)
	l.foresee(b)
	for i, v := range b.thought.Logits.Data {
		if v <= shutBelow {
			wantLogits.Data[i] = 0
		}
	}
	l.backward(b, wantLogits, wantDynamics)
	const h = 1e-2
	checked := 0
	for i := 0; i < len(l.theta); i += 1 + len(l.theta)/400 {
		was := l.theta[i]
		l.theta[i] = was + h
		up := loss()
		l.theta[i] = was - h
		down := loss()
		l.theta[i] = was
		want, got := (up-down)/(2*h), float64(l.grad[i])
		if math.Abs(want-got) > 2e-2+2e-2*math.Abs(want) {
			t.Errorf("parameter %d: derivative %.4f, by differences %.4f", i, got, want)
		}
		checked++
	}
	if checked < 300 {
		t.Errorf("only %d derivatives were checked", checked)
	}
}

// shutBelow is a score that nothing open has.
const shutBelow = -1e8

func TestAChoiceIsJudgedAgainstTheOthersOfItsGroupFromItsDecisionOn(t *testing.T) {
	at := func(k int) choice { return choice{at: k} }
	group := []*rollout{
		{earned: []float64{1, 2}, choices: []choice{at(0), at(1)}},
		{earned: []float64{0, 1}, choices: []choice{at(0), at(1)}},
		{earned: []float64{4}, choices: []choice{at(0)}}, // ended after the first
	}
	choices, earned, _ := judge([][]*rollout{group})
	// From decision 0 on they earn 3, 1 and 4; from decision 1 on 2, 1 and nothing.
	want := []float64{3 - (1.+4)/2, 2 - (1.+0)/2, 1 - (3.+4)/2, 1 - (2.+0)/2, 4 - (3.+1)/2}
	spread := 0.
	for _, w := range want {
		spread += w * w / float64(len(want))
	}
	for i, c := range choices {
		if w := want[i] / math.Sqrt(spread); math.Abs(c.worth-w) > 1e-12 {
			t.Errorf("choice %d is worth %v, want %v", i, c.worth, w)
		}
	}
	if math.Abs(earned-8./3) > 1e-12 {
		t.Errorf("mean return %v", earned)
	}
}

func TestAGroupWithoutDifferencesTeachesNothing(t *testing.T) {
	group := []*rollout{{earned: []float64{1}, choices: []choice{{}}}, {earned: []float64{1}, choices: []choice{{}}}}
	choices, _, _ := judge([][]*rollout{group})
	for _, c := range choices {
		if c.worth != 0 {
			t.Errorf("worth %v", c.worth)
		}
	}
}

func TestWithoutSimulationAHigherPressureTurnsTowardsLessVasopressor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLearner(8, 0, chance(rapid.Uint64().Draw(rt, "weights"), 1))
		s := anyState(rapid.Uint64().Draw(rt, "state"))
		s.memory = nil
		lower := rapid.Float64Range(-40, 60).Draw(rt, "lower")
		higher := lower + rapid.Float64Range(0, 40).Draw(rt, "rise")
		atLeast := func(above float64, level int) (p float64) {
			s.aboveMmHg = above
			var q [agent.ActorPairs]float32
			nn.Softmax(q[:], l.forward([]seen{s}).thought.Logits.Row(0)[:agent.ActorPairs], 1)
			for a, v := range q {
				if a/5 >= level {
					p += float64(v)
				}
			}
			return p
		}
		for level := 1; level < 5; level++ {
			if a, b := atLeast(lower, level), atLeast(higher, level); b > a+1e-5 {
				rt.Fatalf("at %.1f mmHg above goal level %d or more has %.5f, at %.1f %.5f", lower, level, a, higher, b)
			}
		}
	})
}

// smallUnit is a unit on the embedded world model with synthetic starts.
func smallUnit(t *testing.T) *Unit {
	t.Helper()
	model, err := world.Load(configs.FS, "model")
	if err != nil {
		t.Fatal(err)
	}
	train, held, err := Split(model.Info().Members)
	if err != nil {
		t.Fatal(err)
	}
	lens, err := model.Only(train...)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Load(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	native, err := agent.New(lens, rules, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := llm.LoadPrompts(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	cfg := state.DefaultConfig()
	u := &Unit{State: cfg, Model: lens, Judge: rules, TrainMembers: train, HeldMembers: held}
	for _, part := range []struct {
		into    **environment.Environment
		members []int
	}{{&u.Train, train}, {&u.Held, held}} {
		u.Parts = environment.Deps{State: cfg, Lens: lens, Death: lens.DeathInHospital, Judge: rules, Native: native, Prompts: prompts, Starts: environment.NewSynthetic(cfg)}
		for _, k := range part.members {
			one, err := model.Only(k)
			if err != nil {
				t.Fatal(err)
			}
			u.Parts.Dynamics = append(u.Parts.Dynamics, one)
		}
		short := environment.DefaultConfig()
		short.Steps = 4
		if *part.into, err = environment.New(short, u.Parts); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func smallConfig() Config {
	cfg := DefaultConfig()
	cfg.Imitation.Hidden, cfg.Imitation.Epochs = 16, 2
	cfg.Courses, cfg.CloneEpochs, cfg.Iterations, cfg.Groups, cfg.Rollouts, cfg.Scored, cfg.Looks = 60, 1, 12, 2, 2, 2, 3
	return cfg
}

// smallRecords are recorded steps of the small hospital, encoded by the unit's model.
func smallRecords(t *testing.T, u *Unit, cfg Config) *Records {
	t.Helper()
	h := hospital(t)
	set, err := gatherActorSteps(context.Background(), cohort.Seq(h.rows), u.Model, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := weigh(context.Background(), set[cohort.Train], append(set[cohort.Val], set[cohort.Test]...), cfg.Imitation); err != nil {
		t.Fatal(err)
	}
	return &Records{"small", set}
}

func TestTheThreeStagesGiveTheSameBytesHoweverTheyAreRun(t *testing.T) {
	u, cfg := smallUnit(t), smallConfig()
	r := smallRecords(t, u, cfg)
	files := func(dir string) []byte {
		t.Helper()
		var all []byte
		for _, name := range []string{WeightsFile, RecordFile} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		return all
	}
	run := func(dir string, procs, from, to int, stop func(Progress, context.CancelFunc)) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		_, err := Train(ctx, dir, from, to, r, u, cfg, func(p Progress) {
			if stop != nil {
				stop(p, cancel)
			}
		})
		return err
	}
	whole, one, apart, stopped := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	if err := run(whole, 2, 1, 3, nil); err != nil {
		t.Fatal(err)
	}
	want := files(whole)
	if err := run(one, 1, 1, 3, nil); err != nil || !bytes.Equal(files(one), want) {
		t.Errorf("on one processor: %v, other bytes", err)
	}
	for stage := 1; stage <= 3; stage++ {
		if err := run(apart, 2, stage, stage, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files(apart), want) {
		t.Error("stage by stage: other bytes")
	}
	err := run(stopped, 2, 1, 3, func(p Progress, cancel context.CancelFunc) {
		if p.Stage == 3 && p.Done == 11 { // after what iteration 10 has kept
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("not stopped: %v", err)
	}
	if err := run(stopped, 2, 1, 3, nil); err != nil || !bytes.Equal(files(stopped), want) {
		t.Errorf("stopped and gone on: %v, other bytes", err)
	}
	record, err := Read(whole)
	if err != nil || record.Stage != 3 || len(record.Scores) != 3 || len(record.Scores[2].Rows) != 4 || len(record.References) != 8 {
		t.Errorf("%v %+v", err, record)
	}
}

func TestAStageThatCannotBeGoneOnWithIsRefused(t *testing.T) {
	u, cfg := smallUnit(t), smallConfig()
	r := smallRecords(t, u, cfg)
	dir := t.TempDir()
	refused := func(why string, from, to int, r *Records, cfg Config) {
		t.Helper()
		if _, err := Train(t.Context(), dir, from, to, r, u, cfg, nil); !errors.Is(err, ErrCurriculum) {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("stage 2 of nothing", 2, 2, r, cfg)
	if _, err := Train(t.Context(), dir, 1, 1, r, u, cfg, nil); err != nil {
		t.Fatal(err)
	}
	refused("stage 3 after stage 1", 3, 3, r, cfg)
	refused("other data", 2, 2, &Records{"other", r.set}, cfg)
	other := cfg
	other.Clip = 0.3
	refused("other settings", 2, 2, r, other)
	bad := cfg
	bad.Rollouts = 1
	refused("a group of one", 1, 1, r, bad)
	if err := os.WriteFile(filepath.Join(dir, WeightsFile), []byte("no weights"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("damaged weights", 2, 2, r, cfg)
}

func TestRowsAreComparedPatientByPatient(t *testing.T) {
	row := func(returns ...float64) Row {
		r := Row{World: WorldHeld}
		for _, v := range returns {
			r.Earned = append(r.Earned, world.Number(v))
		}
		return r
	}
	nan := math.NaN()
	// Patients differ by far more than the policies do, and still all differ by 0.1.
	d, ok := row(0, 10, nan, -20).Against(row(-0.1, 9.9, nan, -20.1), 1)
	if !ok || math.Abs(float64(d.Value)-0.1) > 1e-9 || math.Abs(float64(d.Low)-0.1) > 1e-9 || math.Abs(float64(d.High)-0.1) > 1e-9 {
		t.Errorf("%+v %v, not 0.1 without doubt", d, ok)
	}
	text, err := json.Marshal(row(1, nan))
	var back Row
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || len(back.Earned) != 2 || !math.IsNaN(float64(back.Earned[1])) {
		t.Errorf("%v %v: who was not admitted earned nothing that is known", back.Earned, err)
	}
	other := row(1, 2)
	other.World = WorldMechanistic
	for name, r := range map[string]Row{"another world": other, "other starts": row(1, nan), "fewer": row(1), "none": {World: WorldHeld}} {
		if _, ok := row(1, 2).Against(r, 1); ok {
			t.Errorf("rows of %s are compared", name)
		}
	}
}

func TestMembersThatScoreAreNotThoseThatTrain(t *testing.T) {
	for members := 2; members <= 16; members++ {
		train, held, err := Split(members)
		if err != nil || len(train) == 0 || len(held) == 0 || len(train)+len(held) != members || train[len(train)-1] >= held[0] {
			t.Errorf("%d members: %v and %v, %v", members, train, held, err)
		}
	}
	if _, _, err := Split(1); !errors.Is(err, ErrCurriculum) {
		t.Errorf("one member: %v", err)
	}
}
