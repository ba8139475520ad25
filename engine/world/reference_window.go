// SPDX-License-Identifier: Apache-2.0

package world

// This file: what the reference networks read: up to twelve steps of raw
// values with what was given after each, and how it is standardised. One rule
// of alignment holds everywhere: the action of a row is what was given in the
// four hours after that row's state, and it predicts the next row. The
// published episode code shifted it by one (reference/sepsisagent.md 2.9 #6).

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Shapes of the published networks.
const (
	refWindow     = 6               // steps the dynamics network reads
	outcomeWindow = 12              // steps the outcome network reads
	refMasks      = numF - 1        // urine has no mask column
	refMeasures   = numF + refMasks // inputs of a step that belong to features
	refStatics    = 3               // age, male, Charlson comorbidity index
	refActions    = 10              // one-hot vasopressor level, then fluid level
	nothingKnown  = uint16(0)       // an action of which neither level is known
	urineColumn   = state.Urine     // the one feature on a logarithmic scale
)

// window is one decision time as the reference networks read it, with what
// came next. Row outcomeWindow-1 ends at T.
type window struct {
	value    [outcomeWindow][numF]float32 // canonical units; NaN where nothing is known
	measured [outcomeWindow]uint64        // bit f: measured in the step, not carried
	action   [outcomeWindow]uint16        // bits of what was given after the step; that of the last row is what came next
	steps    int                          // rows of the ICU stay; the rows before are padding
	age      float32                      // years; NaN unknown
	male     float32                      // 0, 1; NaN unknown
	future   [Horizon]uint16              // what was given in each step after T
	next     [numF]float32                // measured in the next step, canonical units; NaN where nothing was
	vent     int8                         // invasive ventilation in the next step
}

// windowOf reads decision k of a stay. Only the last row's action, future, next
// and vent come from after the decision.
func windowOf(tls []*state.Timeline, k int) *window {
	w := windowAt(tls[k])
	if k+1 == len(tls) {
		return w
	}
	for h := range min(Horizon, len(tls)-k-1) {
		w.future[h] = actionOf(&settled(tls, k+1+h).Given)
	}
	after := settled(tls, k+1)
	w.action[outcomeWindow-1] = w.future[0]
	for f := range numF {
		if after.Presence[f] == state.Measured {
			w.next[f] = float32(after.Value[f])
		}
	}
	if after.VentKnown {
		w.vent = 0
		if after.Vent {
			w.vent = 1
		}
	}
	return w
}

// windowAt reads a timeline and nothing after it.
func windowAt(tl *state.Timeline) *window {
	w := &window{vent: unknown, age: nan32, male: nan32}
	for f := range w.next {
		w.next[f] = nan32
	}
	if tl.AgeKnown {
		w.age = float32(tl.AgeYears)
	}
	switch tl.Sex {
	case "male":
		w.male = 1
	case "female":
		w.male = 0
	}
	n := min(len(tl.Steps), outcomeWindow)
	steps := tl.Steps[len(tl.Steps)-n:]
	for w.steps < n && (w.steps == 0 || steps[n-1-w.steps].InStay) {
		w.steps++
	}
	for i := range outcomeWindow {
		for f := range numF {
			w.value[i][f] = nan32
		}
	}
	var last [numF]float32 // the published inputs are carried forward without limit; the mask tells
	for f := range last {
		last[f] = nan32
	}
	for i := range n {
		st, row := &steps[i], outcomeWindow-n+i
		for f := range numF {
			if st.Presence[f] != state.Missing {
				last[f] = float32(st.Value[f])
			}
		}
		if i < n-w.steps { // padding: what is known of it is carried into the stay
			continue
		}
		w.value[row] = last
		for f := range numF {
			if st.Presence[f] == state.Measured {
				w.measured[row] |= 1 << f
			}
		}
		if i+1 < n {
			w.action[row] = actionOf(&steps[i+1].Given)
		}
	}
	return w
}

// actionOf is the one-hot action of an exposure; what is unknown has no bit.
func actionOf(g *state.Exposure) (bits uint16) {
	if g.VasoKnown {
		bits |= 1 << g.Levels.Vasopressor
	}
	if g.FluidKnown {
		bits |= 1 << (5 + g.Levels.Fluid)
	}
	return bits
}

// bitsOf is the one-hot action of levels.
func bitsOf(l state.Levels) uint16 { return 1<<l.Vasopressor | 1<<(5+l.Fluid) }

// refScale standardises as published: plain z-scores, urine after log1p. The
// static z-scores are those of age and comorbidity; the sex is 0 or 1.
type refScale struct {
	Mean         [numF]float64 `json:"mean"`
	SD           [numF]float64 `json:"sd"`
	AgeMean      float64       `json:"age_mean"`
	AgeSD        float64       `json:"age_sd"`
	CharlsonMean float64       `json:"charlson_mean"`
	CharlsonSD   float64       `json:"charlson_sd"`
	// Limit bounds inputs and targets, in standard deviations. 0: no bound, as
	// published; networks trained here have one, so that a single wild reading
	// cannot rule the gradient.
	Limit float64 `json:"limit"`
}

// check refuses a scale that cannot divide.
func (s *refScale) check() error {
	for f := range numF {
		if !finite(s.Mean[f]) || !finite(s.SD[f]) || !(s.SD[f] > 0) {
			return fmt.Errorf("scale of %s: mean %v, standard deviation %v", features[f].Name, s.Mean[f], s.SD[f])
		}
	}
	if !finite(s.AgeMean) || !finite(s.AgeSD) || !(s.AgeSD > 0) || !finite(s.CharlsonMean) || !finite(s.CharlsonSD) || !(s.CharlsonSD > 0) {
		return fmt.Errorf("scale of age or comorbidity")
	}
	if !(s.Limit >= 0) || !finite(s.Limit) {
		return fmt.Errorf("limit %v", s.Limit)
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// z standardises; a value that is not known is the mean.
func (s *refScale) z(f int, v float32) float32 {
	if isNaN(v) {
		return 0
	}
	t := float64(v)
	if f == urineColumn {
		t = math.Log1p(math.Max(t, 0))
	}
	t = (t - s.Mean[f]) / s.SD[f]
	if s.Limit > 0 {
		t = clamp(t, -s.Limit, s.Limit)
	}
	return float32(t)
}

// value undoes z, inside the feature's model range.
func (s *refScale) value(f int, z float64) float64 {
	t := s.Mean[f] + z*s.SD[f]
	if f == urineColumn {
		t = math.Expm1(t)
	}
	return clamp(t, features[f].ModelLo, features[f].ModelHi)
}

// statics writes the three static inputs. Comorbidity is not charted in a form
// the product reads, so it is the mean, as is an unknown age; an unknown sex is
// half way.
func (s *refScale) statics(w *window, out []float32) {
	out[0], out[1], out[2] = 0, 0.5, 0
	if !isNaN(w.age) {
		out[0] = float32((float64(w.age) - s.AgeMean) / s.AgeSD)
	}
	if !isNaN(w.male) {
		out[1] = w.male
	}
}

// measures writes the inputs of row i that belong to features: 39 values and
// 38 masks. A mask says measured in this step: what is carried or imputed is
// not marked as measured (2.9 #7). Padding is all zero, as published.
func (s *refScale) measures(w *window, i int, out []float32) {
	for f := range numF {
		out[f] = s.z(f, w.value[i][f])
		if f < refMasks {
			out[numF+f] = float32(w.measured[i] >> f & 1)
		}
	}
}

// fitRefScale measures the scale of training windows: of values measured in
// the newest row, each counted once. A feature seen fewer than 30 times keeps
// the published numbers.
func fitRefScale(windows []*window) refScale {
	s := publishedRefScale()
	s.Limit = zLimit
	var n, sum, squares [numF]float64
	var ages, age, age2 float64
	for _, w := range windows {
		row := &w.value[outcomeWindow-1]
		for f := range numF {
			if w.measured[outcomeWindow-1]>>f&1 == 0 {
				continue
			}
			v := float64(row[f])
			if f == urineColumn {
				v = math.Log1p(math.Max(v, 0))
			}
			n[f], sum[f], squares[f] = n[f]+1, sum[f]+v, squares[f]+v*v
		}
		if !isNaN(w.age) {
			a := float64(w.age)
			ages, age, age2 = ages+1, age+a, age2+a*a
		}
	}
	for f := range numF {
		if n[f] < 30 {
			continue
		}
		mean := sum[f] / n[f]
		if sd := math.Sqrt(math.Max(squares[f]/n[f]-mean*mean, 0)); sd > 1e-3 {
			s.Mean[f], s.SD[f] = mean, sd
		}
	}
	if ages >= 30 {
		mean := age / ages
		if sd := math.Sqrt(math.Max(age2/ages-mean*mean, 0)); sd > 1 {
			s.AgeMean, s.AgeSD = mean, sd
		}
	}
	return s
}

// publishedRefScale is the published scaler (reference/sepsisagent.md 2.3) to
// the digits given there; an import reads the files' own numbers.
func publishedRefScale() refScale {
	s := refScale{AgeMean: 63.764, AgeSD: 16.096, CharlsonMean: 5.3, CharlsonSD: 2.956}
	for f := range numF {
		s.Mean[f], s.SD[f] = published[f][0], published[f][1]
	}
	s.Mean[urineColumn], s.SD[urineColumn] = 4.658, 2.081
	return s
}
