// SPDX-License-Identifier: Apache-2.0

package world

// This file: that simulation says what the networks say, allocates nothing, and
// how long it takes.

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The fast way (shared past, merged embeddings, table of actions) against the
// plain forward pass, on windows whose last action is the plan's.
func TestSimulationEqualsTheForwardPass(t *testing.T) {
	net := publishedDynamics()
	theta := net.init(rand.New(rand.NewPCG(5, 5)))
	scale := publishedRefScale()
	core := newRefCore(net, theta, &scale)
	for _, k := range []int{0, 3, 9} { // padded, half and full windows
		c := toyCourse(3, 10, false, true)
		var courses [][]uint16
		var windows []*window
		for a := range numPairs {
			bits := bitsOf(state.Levels{Vasopressor: a / 5, Fluid: a % 5})
			courses = append(courses, []uint16{bits})
			w := windowAt(c.timelines[k])
			w.action[outcomeWindow-1] = bits
			windows = append(windows, w)
		}
		p := net.newPass(len(windows), false)
		net.load(p, &scale, windows)
		net.forward(theta, p)
		core.rollout(core.newWork(numPairs, 1, refPaths), windowAt(c.timelines[k]), courses, func(h int, mu, sigma, logit *nn.Mat) {
			for i, v := range mu.Data {
				if d := math.Abs(float64(v - p.mu.Data[i])); d > 1e-5 {
					t.Fatalf("decision %d: mean %d is %v, forward pass %v", k, i, v, p.mu.Data[i])
				}
				if ls, _ := bounded(p.sigma.Data[i]); math.Abs(float64(sigma.Data[i]-ls)) > 1e-5 {
					t.Fatalf("decision %d: log-scale %d is %v, forward pass %v", k, i, sigma.Data[i], ls)
				}
			}
			for i, v := range logit.Data {
				if math.Abs(float64(v-p.logit.Data[i])) > 1e-5 {
					t.Fatalf("decision %d: logit %d is %v, forward pass %v", k, i, v, p.logit.Data[i])
				}
			}
		})
	}
}

// Every later step of a path against the forward pass over a window that holds
// that path's samples.
func TestLaterStepsEqualTheForwardPassOverTheSamples(t *testing.T) {
	net := publishedDynamics()
	theta := net.init(rand.New(rand.NewPCG(6, 6)))
	scale := publishedRefScale()
	core := newRefCore(net, theta, &scale)
	past := windowAt(toyCourse(4, 8, false, true).timelines[7])
	courses := [][]uint16{make([]uint16, Horizon), make([]uint16, Horizon)}
	for h := range Horizon {
		courses[0][h], courses[1][h] = bitsOf(state.Levels{Vasopressor: h % 5}), bitsOf(state.Levels{Fluid: (h + 2) % 5})
	}
	k := core.newWork(2, Horizon, refPaths)
	slid := make([]*window, 2*refPaths)
	for r := range slid {
		w := *past
		w.action[outcomeWindow-1] = courses[r/refPaths][0]
		slid[r] = &w
	}
	core.rollout(k, past, courses, func(h int, mu, _, _ *nn.Mat) {
		p := net.newPass(len(slid), false)
		net.load(p, &scale, slid)
		net.forward(theta, p)
		for r := range slid {
			from := r
			if h == 0 {
				from = r / refPaths
			}
			for f, v := range mu.Row(from) {
				if math.Abs(float64(v-p.mu.Row(r)[f])) > 2e-4 {
					t.Fatalf("step %d, row %d, feature %d: %v, forward pass %v", h, r, f, v, p.mu.Row(r)[f])
				}
			}
			if h+1 == Horizon {
				continue
			}
			// the sample as rollout is about to draw it
			z := make([]float32, numF)
			for f := range numF {
				ls, _ := bounded(p.sigma.Row(r)[f])
				z[f] = mu.Row(from)[f] + float32(math.Exp(float64(ls)))*refNoise[h][r%refPaths][f]
			}
			scale.possible(z)
			w := slid[r]
			mask := w.measured[outcomeWindow-1]
			copy(w.value[:], w.value[1:])
			copy(w.measured[:], w.measured[1:])
			copy(w.action[:], w.action[1:])
			for f := range numF {
				w.value[outcomeWindow-1][f] = float32(scale.value(f, float64(z[f])))
			}
			w.measured[outcomeWindow-1], w.action[outcomeWindow-1] = mask, courses[r/refPaths][h+1]
		}
	})
}

func TestSimulationAllocatesNothing(t *testing.T) {
	core, w, courses := benchmarkCore(6)
	k := core.newWork(len(courses), 6, refPaths)
	visit := func(int, *nn.Mat, *nn.Mat, *nn.Mat) {}
	core.rollout(k, w, courses, visit)
	if n := testing.AllocsPerRun(5, func() { core.rollout(k, w, courses, visit) }); n != 0 {
		t.Errorf("a simulation allocates %v times", n)
	}
}

// benchmarkCore is a network, a full window and the 25 plans of so many steps.
func benchmarkCore(steps int) (*refCore, *window, [][]uint16) {
	net := publishedDynamics()
	scale := publishedRefScale()
	core := newRefCore(net, net.init(rand.New(rand.NewPCG(1, 1))), &scale)
	var courses [][]uint16
	for a := range numPairs {
		course := make([]uint16, steps)
		for h := range course {
			course[h] = bitsOf(state.Levels{Vasopressor: a / 5, Fluid: a % 5})
		}
		courses = append(courses, course)
	}
	return core, windowAt(toyCourse(3, 10, false, true).timelines[9]), courses
}

// The what-if of 25 actions, the window's past included.
func BenchmarkReferenceWhatIf(b *testing.B) {
	for _, steps := range []int{1, 6} {
		core, w, courses := benchmarkCore(steps)
		k := core.newWork(len(courses), steps, refPaths)
		b.Run(map[int]string{1: "25 actions x 1 step", 6: "25 actions x 6 steps x 8 paths"}[steps], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				core.rollout(k, w, courses, func(int, *nn.Mat, *nn.Mat, *nn.Mat) {})
			}
		})
	}
}

// The plain forward pass over windows of six steps: what PyTorch was timed on.
func BenchmarkReferenceForward(b *testing.B) {
	net := publishedDynamics()
	scale, theta, ex := publishedRefScale(), net.init(rand.New(rand.NewPCG(1, 1))), windowsOf(toyExamples(26))
	for _, rows := range []int{1, 25, 256} {
		p := net.newPass(rows, false)
		b.Run(map[int]string{1: "1", 25: "25", 256: "256"}[rows], func(b *testing.B) {
			net.load(p, &scale, ex[:rows])
			for b.Loop() {
				net.forward(theta, p)
			}
		})
	}
}

// One training step of a batch of 256, on as many cores as there are.
func BenchmarkReferenceTrainingStep(b *testing.B) {
	net := publishedDynamics()
	ex := toyExamples(26)[:refBatch]
	scale, theta := publishedRefScale(), net.init(rand.New(rand.NewPCG(1, 1)))
	f := newRefFitter(net, &scale, DefaultRefConfig(), nil, nil, nil)
	opt := nn.NewAdam(len(theta), 0)
	for b.Loop() {
		f.gradient(theta, ex, 1)
		opt.Step(&net.layout, theta, f.grads[0], 1e-9)
	}
}
