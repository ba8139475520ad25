// SPDX-License-Identifier: Apache-2.0

package world

// This file: the reference kind: that its networks are the published ones,
// that training learns, repeats itself and has right derivatives, and that
// simulation says what the networks say.

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

func TestReferenceNetworksHaveThePublishedNumberOfParameters(t *testing.T) {
	if n := publishedDynamics().layout.Size(); n != refDynamicsSize {
		t.Errorf("dynamics: %d parameters, published are %d", n, refDynamicsSize)
	}
	if n := publishedOutcome().layout.Size(); n != refOutcomeSize {
		t.Errorf("outcome: %d parameters, published are %d", n, refOutcomeSize)
	}
}

// toyExamples are windows of the toy hospital.
func toyExamples(stays int) (out []refExample) {
	for i := range uint64(stays) {
		c := toyCourse(i, 10, false, true)
		for k := range c.timelines {
			out = append(out, refExample{w: windowOf(c.timelines, k), died: c.died})
		}
	}
	return out
}

func toyRefConfig() RefConfig {
	cfg := DefaultRefConfig()
	cfg.Epochs = 2
	if testing.Short() {
		cfg.Epochs = 1
	}
	return cfg
}

var toyReferenceOnce = sync.OnceValues(func() (*Reference, error) {
	cfg := DefaultTrainConfig()
	rows, err := toyRowsOnce()
	if err != nil {
		return nil, err
	}
	return TrainReference(context.Background(), cohort.Seq(rows), cfg, toyRefConfig(), nil)
})

func toyReference(t testing.TB) *Reference {
	t.Helper()
	r, err := toyReferenceOnce()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fitAlone fits one network and keeps nothing on the way.
func fitAlone(net *refNet, scale *refScale, cfg RefConfig, train, validation []refExample) ([]float32, error) {
	f := newRefFitter(net, scale, cfg, train, validation, func(Progress) {})
	r, err := f.start()
	if err != nil {
		return nil, err
	}
	return f.network(context.Background(), r, func(*running) error { return nil })
}

func TestReferenceLearnsOnTheToyHospital(t *testing.T) {
	wantLearned(t)
	ex := toyExamples(360)
	scale := fitRefScale(windowsOf(ex[:2400]))
	cfg := toyRefConfig()
	cfg.Epochs, cfg.LearningRate = 14, 4e-3
	theta, err := fitAlone(publishedDynamics(), &scale, cfg, ex[:2400], ex[2400:2800])
	if err != nil {
		t.Fatal(err)
	}
	r := newReference(refFile{Scale: scale}, theta, nil)
	fresh := ex[2800:]
	var model, mean float64
	for i, o := range r.next(windowsOf(fresh)) {
		if y := fresh[i].w.next[mbp]; !isNaN(y) {
			model += math.Abs(float64(y) - o.median[mbp])
			mean += math.Abs(float64(y) - scale.Mean[mbp])
		}
	}
	if !(model < 0.9*mean) {
		t.Errorf("error of MAP %.1f, of the mean %.1f", model, mean)
	}
}

func TestReferenceTrainingIsTheSameOnOneAndTwoProcessors(t *testing.T) {
	ex := toyExamples(16)
	scale := fitRefScale(windowsOf(ex))
	cfg := toyRefConfig()
	cfg.Epochs = 1
	for _, net := range []*refNet{publishedDynamics(), publishedOutcome()} {
		var got [][]float32
		for _, procs := range []int{1, 2} {
			old := runtime.GOMAXPROCS(procs)
			theta, err := fitAlone(net, &scale, cfg, ex[:120], ex[120:])
			runtime.GOMAXPROCS(old)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, theta)
		}
		if !slices.Equal(got[0], got[1]) {
			t.Errorf("%d parameters: weights differ between GOMAXPROCS 1 and 2", net.layout.Size())
		}
	}
}

func TestReferenceDerivativesEqualFiniteDifferences(t *testing.T) {
	ex := toyExamples(1)[:5]
	ex[1].w.next = toyExamples(2)[12].w.next
	for _, dynamics := range []bool{true, false} {
		net := newRefNet(dynamics, 6, 3, 5)
		rng := rand.New(rand.NewPCG(4, 4))
		theta := net.init(rng)
		for i := range theta {
			theta[i] += float32(0.3 * rng.NormFloat64())
		}
		scale := publishedRefScale()
		scale.Limit = 3
		p := net.newPass(len(ex), true)
		net.load(p, &scale, windowsOf(ex))
		p.drop(0.3, rng)
		by := net.terms(ex)
		loss := func() float64 {
			net.forward(theta, p)
			var sum float64
			for i, e := range ex {
				label := e.died
				if dynamics {
					label = e.w.vent
					l, _ := net.lossOf(p, i, &scale, e)
					sum += l.loss / float64(by.values)
				}
				if label != unknown {
					l, _ := nn.LogisticNLL(p.logit.Data[i], float32(label))
					sum += float64(l) / float64(by.labels)
				}
			}
			return sum
		}
		loss()
		grad := make([]float32, len(theta))
		net.objective(p, &scale, ex, by)
		turned := net.newTurned()
		net.turn(theta, turned)
		net.backward(theta, grad, p, turned)
		for _, s := range net.layout.Spans {
			for range 12 {
				i := s.Offset + rng.IntN(s.Rows*s.Cols)
				const step = 2e-3
				old := theta[i]
				theta[i] = old + step
				up := loss()
				theta[i] = old - step
				down := loss()
				theta[i] = old
				want := (up - down) / (2 * step)
				if math.Abs(float64(grad[i])-want) > 3e-3*(1+math.Abs(want)) {
					t.Errorf("dynamics %v, %s, parameter %d: derivative %v, finite difference %v", dynamics, s.Name, i-s.Offset, grad[i], want)
				}
			}
		}
	}
}

func TestReferenceForecastsArePossibleAndRepeatThemselves(t *testing.T) {
	r := toyReference(t)
	c := toyCourse(7, 10, false, true)
	plans := []Plan{{Name: "nothing"}, {Name: "much"}}
	for range Horizon {
		plans[0].Doses = append(plans[0].Doses, Dose{})
		plans[1].Doses = append(plans[1].Doses, Dose{NEUgKgMin: 0.5, FluidMl: 1000})
	}
	for _, k := range []int{0, 4, 9} {
		a, err := r.Forecast(context.Background(), c.timelines[k], plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Forecast(context.Background(), c.timelines[k], plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			for h := range a[i].Steps {
				if a[i].Steps[h] != b[i].Steps[h] {
					t.Fatalf("plan %d step %d differs between two calls", i, h)
				}
				band := &a[i].Steps[h].Band
				for f := range numF {
					x := band[f]
					if !(x.Lo95 <= x.Lo80 && x.Lo80 <= x.Median && x.Median <= x.Hi80 && x.Hi80 <= x.Hi95) || x.Lo95 < features[f].ModelLo || x.Hi95 > features[f].ModelHi {
						t.Fatalf("%s at step %d: %+v", features[f].Name, h, x)
					}
				}
				if !(band[dbp].Median <= band[mbp].Median && band[mbp].Median <= band[sbp].Median) {
					t.Fatalf("pressures %v %v %v", band[dbp].Median, band[mbp].Median, band[sbp].Median)
				}
			}
		}
	}
}

func TestReferenceAloneIsOutOfSupport(t *testing.T) {
	r := toyReference(t)
	tl := toyCourse(7, 10, false, true).timelines[9]
	fc, err := r.Forecast(context.Background(), tl, []Plan{{Doses: []Dose{{}}}}, 65)
	if err != nil {
		t.Fatal(err)
	}
	if fc[0].Support != 0 || fc[0].Similar != 0 || fc[0].OOD != 1 {
		t.Errorf("support %v, similar %v, strangeness %v", fc[0].Support, fc[0].Similar, fc[0].OOD)
	}
	if _, err := r.Behaviour(tl); !errors.Is(err, ErrNoBehaviour) {
		t.Errorf("behaviour: %v", err)
	}
}

func TestReferenceRefusesWeightsThatGiveNoNumbers(t *testing.T) {
	good := toyReference(t)
	theta := append([]float32(nil), good.dynamics...)
	theta[publishedDynamics().mu.B.Offset] = float32(math.NaN())
	r := newReference(good.file, theta, nil)
	if _, err := r.Forecast(context.Background(), toyCourse(1, 6, false, true).timelines[5], []Plan{{Doses: []Dose{{}}}}, 65); !errors.Is(err, ErrNotFinite) {
		t.Errorf("error %v", err)
	}
}

// One rule of alignment: the action of a row is what was given after it.
func TestAWindowHoldsWhatWasGivenAfterEachStep(t *testing.T) {
	c := toyCourse(11, 9, false, false)
	w := windowOf(c.timelines, 7)
	for i := outcomeWindow - w.steps; i < outcomeWindow; i++ {
		step := 7 - (outcomeWindow - 1 - i)
		given := newest(c.timelines[step+1]).Given
		if want := bitsOf(given.Levels); w.action[i] != want {
			t.Errorf("row %d: action %b, given after it %b", i, w.action[i], want)
		}
		if got, want := float64(w.value[i][mbp]), newest(c.timelines[step]).Value[mbp]; math.Abs(got-want) > 1e-4 {
			t.Errorf("row %d: MAP %v, want %v", i, got, want)
		}
	}
	if w.steps != 8 {
		t.Errorf("%d steps, want 8", w.steps)
	}
	if now := windowAt(c.timelines[7]); now.action[outcomeWindow-1] != nothingKnown {
		t.Error("the newest row already holds an action")
	}
}

func TestAReferenceModelSurvivesItsFilesAndNothingElseDoes(t *testing.T) {
	r, dir := toyReference(t), t.TempDir()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := LoadReference(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got.Info() != r.Info() || !slices.Equal(got.dynamics, r.dynamics) || !slices.Equal(got.outcome, r.outcome) {
		t.Error("the model read is not the model written")
	}
	if m, err := Open(os.DirFS(dir), "."); err != nil || m.Info() != r.Info() || len(m.Card()) == 0 {
		t.Errorf("opened %v, %v", m, err)
	}
	for _, name := range []string{weightsName, modelName, sumsName} {
		whole, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		broken := bytes.Clone(whole)
		broken[len(broken)/2] ^= 1
		if err := os.WriteFile(dir+"/"+name, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadReference(os.DirFS(dir), "."); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s with one bit changed: %v", name, err)
		}
		if err := os.WriteFile(dir+"/"+name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
