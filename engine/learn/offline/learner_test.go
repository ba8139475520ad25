// SPDX-License-Identifier: Apache-2.0

package offline

// This file: gradients against finite differences, and the parts that set one
// method apart from another.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// small is a dataset of random steps with masks, unknown scores and a cut stay.
func small(seed uint64) *Dataset {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &Dataset{Inputs: 3, Actions: 4}
	for i := range 6 {
		e := Episode{Patient: fmt.Sprint(i), Cut: i == 2}
		for range 4 {
			s := Step{Observation: Observation{Features: make([]float32, 3), State: NoState, Previous: NoAction}, Action: rng.IntN(4), Reward: rng.NormFloat64(), SOFA: float64(rng.IntN(8))}
			for j := range s.Features {
				s.Features[j] = float32(rng.NormFloat64())
			}
			if rng.IntN(3) == 0 {
				s.Allowed = []bool{true, true, true, true}
				s.Allowed[(s.Action+1)%4] = false
			}
			if rng.IntN(4) == 0 {
				s.SOFA = math.NaN()
			}
			e.Steps = append(e.Steps, s)
		}
		d.Episodes = append(d.Episodes, e)
	}
	return d
}

func smallConfig(method Method) *Config {
	cfg := Defaults(method)
	cfg.Hidden, cfg.Streams, cfg.Batch, cfg.Validation = 5, min(cfg.Streams, 3), 64, 0.2
	return &cfg
}

// plain draws every row once.
func plainBatch(rows []int) *batch {
	b := newBatch(len(rows))
	copy(b.rows, rows)
	for i := range b.weights {
		b.weights[i] = 1 + float32(i%3)/2
	}
	return b
}

func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	for _, method := range []Method{BC, D3QN, WD3QNE, CQL, BCQ, IQL} {
		cfg := smallConfig(method)
		d := small(7)
		mem := newMemory(d, newScale(d), cfg)
		layout, nets := shape(method, cfg, d.Inputs, d.Actions)
		var o objective
		rows := mem.valued
		loss := func(total float64, _ string) float64 { return total }
		switch method {
		case BC:
			o, rows = newImitation(mem, nets[0], cfg), mem.imitated
		case IQL:
			q1, q2, v := newNetwork(layout, "q1", 3, 5, 4), newNetwork(layout, "q2", 3, 5, 4), newNetwork(layout, "v", 3, 5, 1)
			l := newIQL(mem, cfg, nets[0], q1, q2, v)
			nets = append(nets, q1, q2, v)
			o = l
			// What one network is pulled to is a constant to it, though another's
			// weights move it: each answers for its own part.
			loss = func(_ float64, span string) float64 {
				return map[byte]float64{'p': l.lossPi, 'q': l.lossQs, 'v': l.lossV}[span[0]]
			}
		default:
			o = newQLearning(method, mem, cfg, nets)
		}
		rng := rand.New(rand.NewPCG(3, 4))
		theta := make([]float32, layout.Size())
		for _, n := range nets {
			n.init(theta, rng)
		}
		target := make([]float32, len(theta))
		for i := range target {
			target[i] = theta[i] + float32(rng.NormFloat64()*0.1)
		}
		b := plainBatch(rows)
		grad, scratch := make([]float32, len(theta)), make([]float32, len(theta))
		o.backward(theta, target, grad, b)
		const h = 2e-3
		smooth, all := 0, 0
		middle := map[string]float64{}
		lossAt := func(span string) float64 {
			if q, ok := o.(*qLearning); ok {
				return q.learn(theta, scratch, b) // the goals stay
			}
			return loss(o.backward(theta, target, scratch, b), span)
		}
		for _, span := range layout.Spans {
			middle[span.Name] = lossAt(span.Name)
		}
		for _, span := range layout.Spans {
			for i := span.Offset; i < span.Offset+span.Rows*span.Cols; i++ {
				at := theta[i]
				theta[i] = at + h
				ahead := (lossAt(span.Name) - middle[span.Name]) / h
				theta[i] = at - h
				behind := (middle[span.Name] - lossAt(span.Name)) / h
				theta[i] = at
				want, bend := (ahead+behind)/2, math.Abs(ahead-behind)
				// Where a ReLU turns within the step the two sides differ, and the
				// derivative is that of one of them. Rounding gives 1e-7/h.
				if math.Abs(float64(grad[i])-want) > bend+5e-4+0.01*math.Abs(want) {
					t.Errorf("%s: %s[%d]: derivative %.5f, by finite differences %.5f ahead and %.5f behind", method, span.Name, i-span.Offset, grad[i], ahead, behind)
				}
				if all++; bend < 2e-3+0.05*math.Abs(want) {
					smooth++
				}
			}
		}
		if smooth*10 < all*8 {
			t.Errorf("%s: only %d of %d derivatives are compared closely", method, smooth, all)
		}
	}
}

func TestWD3QNEFollowsCliniciansBelowSOFAFourAlone(t *testing.T) {
	d := small(8)
	for _, c := range []struct {
		sofa    float64
		follows bool
	}{{0, true}, {3, true}, {3.99, true}, {4, false}, {12, false}, {math.NaN(), false}} {
		for i := range d.Episodes {
			for j := range d.Episodes[i].Steps {
				d.Episodes[i].Steps[j].SOFA = c.sofa
				d.Episodes[i].Steps[j].Allowed = nil
			}
		}
		cfg := smallConfig(WD3QNE)
		mem := newMemory(d, newScale(d), cfg)
		_, nets := shape(WD3QNE, cfg, d.Inputs, d.Actions)
		o := newQLearning(WD3QNE, mem, cfg, nets)
		then := mem.steps[1]
		online, frozen := o.ahead.out.Row(0), o.frozen.out.Row(0)
		chosen, own := (then.Action+1)%4, (then.Action+2)%4
		for a := range online {
			online[a], frozen[a] = 0, 0
		}
		online[chosen], frozen[chosen], frozen[own], frozen[then.Action] = 1, 0.2, 0.5, -0.3
		want := float32(-0.3)
		if !c.follows {
			k := nn.Sigmoid((0.2 - 0.5) * float32(mem.unit)) // softmax at the two choices
			want = k*0.2 + (1-k)*0.5
		}
		if got := o.next(0, 0); math.Abs(float64(got-want)) > 1e-6 {
			t.Errorf("SOFA %v: the next state is worth %v, want %v", c.sofa, got, want)
		}
	}
}

func TestBCQConsidersOnlyWhatIsLikelyEnough(t *testing.T) {
	logits := []float32{0, float32(math.Log(0.31)), float32(math.Log(0.29)), 2}
	for _, c := range []struct {
		share   float64
		allowed []bool
		want    []bool
	}{
		{0.3, []bool{true, true, true, false}, []bool{true, true, false, false}},
		{0.3, nil, []bool{false, false, false, true}},
		{0, nil, []bool{true, true, true, true}},
		{1, []bool{true, true, true, false}, []bool{true, false, false, false}},
	} {
		if got := supported(make([]bool, 4), logits, c.allowed, c.share); !slices.Equal(got, c.want) {
			t.Errorf("share %v of %v: %v, want %v", c.share, c.allowed, got, c.want)
		}
	}
}

func TestACutStayTeachesNoValueAtItsEnd(t *testing.T) {
	d := small(9)
	mem := newMemory(d, newScale(d), smallConfig(D3QN))
	if len(mem.valued) != d.Steps()-1 || slices.Contains(mem.valued, 11) {
		t.Errorf("values are learnt from %v", mem.valued)
	}
	if len(mem.imitated)+len(mem.held) != d.Steps() {
		t.Errorf("%d and %d of %d steps are imitated and held out", len(mem.imitated), len(mem.held), d.Steps())
	}
}

func TestPatientsAreHeldOutWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "patients")
		d := &Dataset{Inputs: 1, Actions: 2}
		for i := range n * 2 {
			d.Episodes = append(d.Episodes, Episode{Patient: fmt.Sprint(i % n), Steps: []Step{{Observation: Observation{Features: []float32{1}}}}})
		}
		share := rapid.Float64Range(0.01, 0.99).Draw(t, "share")
		held := validationPatients(d, share)
		if want := min(max(1, int(math.Round(share*float64(n)))), n-1); len(held) != want {
			t.Fatalf("%d of %d patients are held out, want %d", len(held), n, want)
		}
		slices.Reverse(d.Episodes)
		for id := range validationPatients(d, share) {
			if !held[id] {
				t.Fatal("who is held out depends on the order of stays")
			}
		}
	})
}

func TestReplayDrawsByPriority(t *testing.T) {
	cfg := Config{Priority: 1, PriorityCorrection: 1}
	r := newReplay([]int{10, 11, 12, 13, 14}, &cfg, rand.New(rand.NewPCG(1, 1)))
	errors := []float32{0.09, 0.19, 0.29, 0.39, 0} // with the floor: 0.10 to 0.40, and 0.01
	r.learnt([]int{0, 1, 2, 3, 4}, errors)
	const draws = 20_000
	places, weights, count := make([]int, 10), make([]float32, 10), make([]float64, 5)
	for range draws / len(places) {
		r.draw(places, weights, 0)
		for i, p := range places {
			count[p]++
			// What is drawn more often counts less, by as much.
			if got, want := float64(weights[i]/weights[0]), r.tree[r.leaves+places[0]]/r.tree[r.leaves+p]; math.Abs(got-want) > 1e-4*want {
				t.Fatalf("weights of %d and %d have ratio %v, want %v", p, places[0], got, want)
			}
		}
	}
	for p, n := range count {
		want := (math.Abs(float64(errors[p])) + priorityFloor) / 1.01 * draws
		if math.Abs(n-want) > 4*math.Sqrt(want)+1 {
			t.Errorf("place %d was drawn %.0f times, want %.0f", p, n, want)
		}
	}
}

func TestReplayWithoutPriorityPassesOverEveryStep(t *testing.T) {
	r := newReplay(make([]int, 12), &Config{}, rand.New(rand.NewPCG(2, 2)))
	places, weights := make([]int, 5), make([]float32, 5)
	count := make([]int, 12)
	for range 12 {
		r.draw(places, weights, 0)
		for _, p := range places {
			count[p]++
		}
	}
	if slices.Min(count) != 5 || slices.Max(count) != 5 {
		t.Errorf("in five passes the steps were drawn %v times", count)
	}
}

func TestClustersFindSeparateGroups(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	d := &Dataset{Inputs: 2, Actions: 2}
	for i := range 400 {
		x := []float32{float32(i%4) * 100, float32(i%2) * 50}
		for j := range x {
			x[j] += float32(rng.NormFloat64())
		}
		d.Episodes = append(d.Episodes, Episode{Steps: []Step{{Observation: Observation{Features: x}}}})
	}
	cfg := Defaults(AIClinician)
	cfg.Clusters, cfg.PerCluster = 4, 1
	c, err := fitClusters(t.Context(), d, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	of := map[int]int{}
	for i := range d.Episodes {
		s := c.state(&d.Episodes[i].Steps[0].Observation)
		if was, ok := of[i%4]; ok && was != s {
			t.Fatalf("group %d is in clusters %d and %d", i%4, was, s)
		}
		of[i%4] = s
	}
	if len(of) != 4 {
		t.Errorf("groups are in clusters %v", of)
	}
}
