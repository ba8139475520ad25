// SPDX-License-Identifier: Apache-2.0

package world

// This file: that training learns, that it is deterministic, and that its
// derivatives are right.

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

func TestTrainingBeatsPersistenceOnTheToyHospital(t *testing.T) {
	wantLearned(t)
	s := mustToy(t).file.Training.Test
	t.Logf("state_mae %.3f persistence %.3f ridge %.3f nll %.3f coverage %.3f %.3f vent %.3f",
		s.StateMAE, s.PersistenceMAE, s.RidgeMAE, s.NLL, s.Interval80, s.Interval95, s.VentAUROC)
	if !(s.StateMAE < 0.9*s.PersistenceMAE) {
		t.Errorf("state_mae %v against persistence %v", s.StateMAE, s.PersistenceMAE)
	}
	// Few patients, most of them on a vasopressor: intervals err on the wide side.
	if s.Interval80 < 0.7 || s.Interval80 > 0.95 || s.Interval95 < 0.9 {
		t.Errorf("coverage %v and %v", s.Interval80, s.Interval95)
	}
	if s.VentAUROC < 0.7 {
		t.Errorf("ventilation AUROC is %v", s.VentAUROC)
	}
}

func TestTrainingIsTheSameOnOneAndTwoProcessors(t *testing.T) {
	cfg := toyConfig()
	cfg.Members, cfg.Epochs = 1, 2
	var weights [][]byte
	for _, procs := range []int{1, 2} {
		old := runtime.GOMAXPROCS(procs)
		m := trainToy(t, cfg)
		runtime.GOMAXPROCS(old)
		_, w, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, w)
	}
	if !slices.Equal(weights[0], weights[1]) {
		t.Fatal("weights differ between GOMAXPROCS 1 and 2")
	}
}

func TestAnotherSeedGivesAnotherModel(t *testing.T) {
	wantLearned(t)
	cfg := toyConfig()
	cfg.Members, cfg.Epochs, cfg.Seed = 1, 1, 2
	a := trainToy(t, cfg)
	if slices.Equal(a.members[0], mustToy(t).members[0]) {
		t.Fatal("seed changes nothing")
	}
}

// The whole objective, through heads, own path, gains and memory, against
// central finite differences on a random subset of the weights.
func TestObjectiveDerivativesEqualFiniteDifferences(t *testing.T) {
	net := newNetwork(newArchitecture(6, 5))
	rng := rand.New(rand.NewPCG(9, 9))
	theta := net.init(rng)
	for i := range theta {
		theta[i] += float32(0.05 * rng.NormFloat64())
	}
	scale := defaultScale()
	var batch []*sample
	for i, synthetic := range []bool{true, false} {
		c := toyCourse(uint64(20+i), 9, synthetic, false)
		part := scale.samples(&c, i)
		batch = append(batch, &part[2], &part[4])
	}
	p := net.newPass(len(batch), true)
	p.drop1, p.drop2 = nil, nil
	for i, sm := range batch {
		copy(p.x.Row(i), sm.x)
	}
	// The written derivative stops at three places on purpose: real patients do
	// not move the gains, nobody moves usual treatment through the gains, and
	// what follows from perfusion does not move pressure. The finite difference
	// is told the same by weights that switch the first two off, and by gains of
	// perfusion that are 0 until they are looked at themselves.
	w := mix{synthetic: 1, realEffect: 1, vent: 0.3, usual: 0, pairs: 0.2, vaso24: 0.1}
	perfusion := func(each func(i int)) {
		gain := net.gain2
		for col := actShortfall * numF; col < numActs*numF; col++ {
			each(gain.B.Offset + col)
			for row := range gain.W.Rows {
				each(gain.W.Offset + row*gain.W.Cols + col)
			}
		}
	}
	perfusion(func(i int) { theta[i] = 0 })
	norm := entries(batch)
	value := func() float64 {
		net.forward(theta, p)
		scratch := make([]float32, len(theta))
		t := net.objective(theta, scratch, p, batch, scale, w, norm)
		sum := t.loss / float64(norm)
		for i, sm := range batch {
			sum += headLoss(p.out.Row(i), sm, w) / float64(norm)
		}
		return sum
	}
	grad := make([]float32, len(theta))
	derive := func() {
		clear(grad)
		net.forward(theta, p)
		net.objective(theta, grad, p, batch, scale, w, norm)
		net.backward(theta, grad, p)
	}
	derive()
	check := func(i int) {
		const h = 2e-2
		old := theta[i]
		theta[i] = old + h
		up := value()
		theta[i] = old - h
		down := value()
		theta[i] = old
		if want := (up - down) / (2 * h); math.Abs(float64(grad[i])-want) > 2e-3+0.03*math.Abs(want) {
			t.Errorf("weight %d: derivative %v, finite difference %v", i, grad[i], want)
		}
	}
	for _, s := range []nn.Span{net.own, net.gain1.W, net.gain2.W, net.gain2.B, net.memory} {
		for range 40 {
			check(s.Offset + rng.IntN(s.Rows*s.Cols))
		}
	}
	for range 60 { // head biases, without those of usual treatment
		if i := rng.IntN(outSize); i < outUsual || i >= outPairs {
			check(net.head.B.Offset + i)
		}
	}
	perfusion(func(i int) { theta[i] = float32(0.5 * rng.NormFloat64()) })
	derive()
	perfusion(func(i int) {
		if rng.IntN(8) == 0 {
			check(i)
		}
	})
	for f := range numF {
		check(net.memory.Offset + actShortfall*numF + f)
	}
}

// headLoss is the plain sum that heads differentiates.
func headLoss(out []float32, sm *sample, w mix) (sum float64) {
	for h := range Horizon {
		if sm.vent[h] != unknown {
			l, _ := nn.LogisticNLL(out[outVent+h], float32(sm.vent[h]))
			sum += float64(w.vent * horizonWeight[h] * l)
		}
	}
	var allowed [numPairs]bool
	for i := range allowed {
		allowed[i] = sm.pairs>>i&1 == 1
	}
	var dz [numPairs]float32
	if sm.pairs != 0 {
		sum += float64(w.pairs * nn.SetNLL(dz[:], out[outPairs:outPairs+numPairs], allowed[:]))
	}
	if sm.vaso24 != unknown {
		l, _ := nn.LogisticNLL(out[outVaso24], float32(sm.vaso24))
		sum += float64(w.vaso24 * l)
	}
	return sum * 40
}

func TestBadTrainingIsRefusedWithWhatToChange(t *testing.T) {
	all := toyRows(t)
	part := func(p cohort.Split) []cohort.Row {
		return slices.DeleteFunc(slices.Clone(all), func(r cohort.Row) bool { return r.Part != p })
	}
	for name, c := range map[string]struct {
		change func(*TrainConfig)
		rows   []cohort.Row
	}{
		"no members":             {func(c *TrainConfig) { c.Members = 0 }, all},
		"a rate of zero":         {func(c *TrainConfig) { c.LearningRate = 0 }, all},
		"dropout of everything":  {func(c *TrainConfig) { c.Dropout = 1 }, all},
		"cut-points that fall":   {func(c *TrainConfig) { c.Levels.FluidCuts[0] = 1e6 }, all},
		"epochs that never come": {func(c *TrainConfig) { c.Epochs = 0 }, all},
		"nobody to validate on":  {func(*TrainConfig) {}, part(cohort.Train)},
		"nobody to train on":     {func(*TrainConfig) {}, part(cohort.Val)},
		"a stay with a hole":     {func(*TrainConfig) {}, slices.Delete(slices.Clone(all), 3, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := toyConfig()
			c.change(&cfg)
			if _, err := Train(context.Background(), cohort.Seq(c.rows), cfg, nil); err == nil {
				t.Fatal("trained without an error")
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Train(ctx, cohort.Seq(all), toyConfig(), nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("after cancel: %v", err)
	}
}
