// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: that an actor learns, is the same on one and two processors, carries
// whom it learned from, and is refused where it would learn from others; and that
// its derivatives are right.

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// trained is a cohort with its world model.
type trained struct {
	rows  []cohort.Row
	model *world.Model
}

// hospital is smallHospital, or the test is skipped.
func hospital(t *testing.T) trained {
	t.Helper()
	if testing.Short() {
		t.Skip("no model is trained with -short")
	}
	h, err := smallHospital()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// smallHospital is a cohort of simulated patients under clinicians, and a world
// model that was trained on it for a moment.
var smallHospital = sync.OnceValues(func() (h trained, err error) {
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: 40, Seed: 5, Behaviour: physiology.BehaviourClinician, Hours: 60})
	if err != nil {
		return h, err
	}
	for c := range courses {
		rows, err := cohort.Rows(c.Chart(), "small", state.DefaultConfig())
		if err != nil {
			return h, err
		}
		h.rows = append(h.rows, rows...)
	}
	cfg := world.DefaultTrainConfig()
	cfg.Members, cfg.Hidden, cfg.Effect, cfg.Centres, cfg.Epochs, cfg.Reference.Epochs = 1, 16, 4, 16, 2, 1
	h.model, err = world.Train(context.Background(), cohort.Seq(h.rows), cfg, nil)
	return h, err
})

func smallActor() ActorConfig {
	cfg := DefaultActorConfig()
	cfg.Members, cfg.Hidden, cfg.Epochs = 2, 16, 12
	return cfg
}

func TestAnActorLearnsWhatCliniciansGiveAndSaysFromWhom(t *testing.T) {
	h := hospital(t)
	var epochs []ActorProgress
	got, err := TrainActor(context.Background(), cohort.Seq(h.rows), h.model, smallActor(), func(p ActorProgress) { epochs = append(epochs, p) })
	if err != nil {
		t.Fatal(err)
	}
	if first, last := epochs[0].ValidationLoss, got.Record.Validation.LogLoss; len(epochs) < 4 || !(last < first) || !(last < math.Log(agent.ActorPairs)) {
		t.Errorf("validation loss %.3f at first, log-loss %.3f in the end, %d epochs", first, last, len(epochs))
	}
	r := got.Record
	if r.World != h.model.Info().Hash || r.DataDigest != h.model.Record().DataDigest || r.Steps == 0 {
		t.Errorf("record of world %.8s, data %.8s, %d steps", r.World, r.DataDigest, r.Steps)
	}
	hashes := map[string]cohort.Split{}
	for i := range h.rows {
		hashes[cohort.PatientHash(h.rows[i].Patient)] = h.rows[i].Part
	}
	if len(r.Patients) == 0 || !slices.IsSorted(r.Patients) {
		t.Errorf("%d patients, sorted %v", len(r.Patients), slices.IsSorted(r.Patients))
	}
	for _, p := range r.Patients {
		if part := hashes[p]; part != cohort.Train && part != cohort.Val {
			t.Errorf("patient %s of split %q taught the actor", p, part)
		}
	}
}

func TestAnActorIsTheSameOnOneAndTwoProcessors(t *testing.T) {
	h := hospital(t)
	cfg := smallActor()
	cfg.Members, cfg.Epochs = 1, 2
	var files [][]byte
	for _, procs := range []int{1, 2} {
		old := runtime.GOMAXPROCS(procs)
		got, err := TrainActor(context.Background(), cohort.Seq(h.rows), h.model, cfg, nil)
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, append(bytes.Clone(got.Weights), got.JSON...))
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the bytes differ between GOMAXPROCS 1 and 2")
	}
	cfg.Seed++
	other, err := TrainActor(context.Background(), cohort.Seq(h.rows), h.model, cfg, nil)
	if err != nil || bytes.HasPrefix(files[0], other.Weights) {
		t.Errorf("another seed gives the same weights (%v)", err)
	}
}

func TestAnActorIsNotTrainedWhereItMustNot(t *testing.T) {
	h := hospital(t)
	stranger := slices.Clone(h.rows)
	for i := range stranger {
		stranger[i].Patient += "-elsewhere"
	}
	tests := slices.DeleteFunc(slices.Clone(h.rows), func(r cohort.Row) bool { return r.Part != cohort.Test })
	stopped, stop := context.WithCancel(context.Background())
	stop()
	bad := smallActor()
	bad.MostWeight = math.NaN()
	for _, c := range []struct {
		name string
		ctx  context.Context
		rows []cohort.Row
		cfg  ActorConfig
		want error
	}{
		{"patients that did not train the world model", context.Background(), stranger, smallActor(), ErrActor},
		{"test patients alone", context.Background(), tests, smallActor(), ErrActor},
		{"settings that cannot work", context.Background(), h.rows, bad, ErrActor},
		{"a context that has ended", stopped, h.rows, smallActor(), context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := TrainActor(c.ctx, cohort.Seq(c.rows), h.model, c.cfg, nil); got != nil || !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", got != nil, err, c.want)
			}
		})
	}
}

// TestAdvantagesComeFromTheStateAlone: what is given is no part of the outcome,
// and a better state is a gain.
func TestAdvantagesComeFromTheStateAlone(t *testing.T) {
	step := func(mapMmHg, lactate float64) *state.Step {
		s := &state.Step{}
		s.Value[state.MeanBP], s.Presence[state.MeanBP] = mapMmHg, state.Measured
		s.Value[state.Lactate], s.Presence[state.Lactate] = lactate, state.Measured
		return s
	}
	for _, c := range []struct {
		name string
		a, b *state.Step
		want float64
	}{
		{"a MAP that comes up to goal", step(55, 1), step(65, 1), 1},
		{"beyond the goal there is nothing to gain", step(65, 1), step(90, 1), 0},
		{"a lactate that clears", step(70, 6), step(70, 2), 0.6},
		{"a lactate that rises", step(70, 2), step(70, 4), -0.3},
	} {
		given := *c.b
		given.Given = state.Exposure{VasoKnown: true, NEMeanUgKgMin: 0.8, NEEndUgKgMin: 0.8}
		given.SOFA.Cardio = 4
		for _, b := range []*state.Step{c.b, &given} {
			if got, ok := costFall(c.a, b, 65); !ok || math.Abs(got-c.want) > 1e-9 {
				t.Errorf("%s: %g, %v; want %g", c.name, got, ok, c.want)
			}
		}
	}
}

// TestTheActorsDerivativesAreRight compares them with differences.
func TestTheActorsDerivativesAreRight(t *testing.T) {
	cfg := smallActor()
	cfg.Hidden, cfg.Dropout = 4, 0
	f := newActorFit(cfg, 3)
	rng := chance(9, 9)
	var batch []*actorStep
	for i := range 5 {
		s := &actorStep{x: make([]float32, world.InputSize), aboveMmHg: 30*rng.Float64() - 10, given: 1 << (5*(i%5) + i), weight: 0.5 + rng.Float64()}
		if i == 0 {
			s.given |= 1<<5 | 1<<10 // only the fluid is known
		}
		for j := range s.x {
			s.x[j] = float32(rng.NormFloat64())
		}
		for j := range s.behaviour {
			s.behaviour[j] = 1. / agent.ActorPairs
		}
		batch = append(batch, s)
	}
	loss := func() float64 { return f.loss(batch) }
	p := f.fill(batch)
	ones := func(rows, cols int) []float32 { return slices.Repeat([]float32{1}, rows*cols) }
	p.Drop1, p.Drop2 = matOf(len(batch), cfg.Hidden, ones), matOf(len(batch), cfg.Hidden, ones)
	f.net.Forward(f.theta, p)
	clear(f.grad)
	f.backward(p, batch)
	p.Drop1, p.Drop2 = nil, nil
	for _, span := range f.net.Layout.Spans {
		for k := 0; k < span.Rows*span.Cols; k += 1 + span.Rows*span.Cols/7 {
			at := span.Offset + k
			keep, h := f.theta[at], float32(1e-2)
			f.theta[at] = keep + h
			up := loss()
			f.theta[at] = keep - h
			down := loss()
			f.theta[at] = keep
			if want := (up - down) / float64(2*h); math.Abs(want-float64(f.grad[at])) > 2e-3+0.03*math.Abs(want) {
				t.Errorf("%s[%d]: derivative %g, by differences %g", span.Name, k, f.grad[at], want)
			}
		}
	}
}

func matOf(rows, cols int, fill func(rows, cols int) []float32) *nn.Mat {
	return &nn.Mat{Rows: rows, Cols: cols, Data: fill(rows, cols)}
}

func TestLookingIsImitatedWhereItChangedTreatmentAndNowhereElse(t *testing.T) {
	at := func(now int) *agent.ActorMemory {
		m := &agent.ActorMemory{}
		m.Summary[now] = 1
		return m
	}
	looks := func(pair int) *decision {
		d := &decision{pair: pair, looks: 1}
		for _, action := range []int{agent.ActorPairs + 7, pair} {
			c := choice{action: action}
			c.memory = at(7)
			d.choices = append(d.choices, c)
		}
		d.choices[1].memory.Shut[agent.ActorPairs+7] = true
		return d
	}
	if got := lesson(looks(12)); len(got) != 2 || got[0].action != agent.ActorPairs+7 || got[1].action != 12 {
		t.Errorf("%d choices: looks that led to another treatment are kept", len(got))
	}
	got := lesson(looks(7))
	if len(got) != 1 || got[0].action != 7 || got[0].memory.Shut[agent.ActorPairs+7] {
		t.Errorf("%d choices: looks that changed nothing teach to prescribe at once, with the simulator still at hand", len(got))
	}
}
