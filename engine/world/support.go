// SPDX-License-Identifier: Apache-2.0

package world

// This file: how well training data support a state. The context vectors of
// all training steps are summarised by centres; each centre keeps how often
// clinicians gave each pair of levels near it. Only such sums are kept, never
// a patient's own row, and a centre that stands for few patients is dissolved
// into its neighbours.

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// A centre must stand for at least so many real patients, or for none.
const minPatientsPerCentre = 5

// clipZ bounds each measured context value, in standard deviations: beyond it a
// value is extreme, and how extreme does not make a state less familiar. One
// bilirubin of 15 or an anuric step must not outweigh all else that is alike.
const clipZ = 2.5

// neighbours is how many training steps are looked at to count similar ones.
const neighbours = 200

// contextWeight scales the context vector so that distance means what a
// clinician would call different: treatments and ventilation lie in 0..1 and
// count more per unit than a standard deviation of a lab.
var contextWeight = func() []float32 {
	w := make([]float32, contextSize)
	for i, at := range contextOf {
		switch {
		case at == globalAt+inVent:
			w[i] = 1.5
		case at >= treatAt && at < globalAt || at == globalAt+inNEEnd:
			w[i] = 2
		case at == mbp*perFeature+inLast:
			w[i] = 1.5
		default:
			w[i] = 1
		}
	}
	return w
}()

// atlas summarises where the training data lie.
type atlas struct {
	centres   [][]float32         // weighted context vectors
	real, all [][numPairs]float32 // training steps per centre and pair; all includes simulated patients
	realSteps []float32           // real steps per centre, whatever is known of their levels
	far       [strata][]float64   // 101 percentiles of the distance to the nearest usable centre, by stratum
}

// Distances are ranked within a stratum. Few patients are on a vasopressor, so
// they lie further from the centres than the many who are not; ranked against
// everybody, each of them would look unlike the training data.
const (
	realOff = iota
	syntheticOff
	realOn
	syntheticOn
	strata
)

// minStratum is how many steps a stratum needs for percentiles of its own.
const minStratum = 100

// neEndAt is where the context vector holds what runs at T.
var neEndAt = slices.Index(contextOf, globalAt+inNEEnd)

// stratum of a state; c is its weighted context vector.
func stratum(c []float32, synthetic bool) int {
	g := realOff
	if c[neEndAt] > 0 {
		g = realOn
	}
	if synthetic {
		g++
	}
	return g
}

// place writes the weighted context vector of x.
func place(c, x []float32) {
	contextInto(c, x)
	for i := range c {
		c[i] = min(max(c[i], -clipZ), clipZ) * contextWeight[i]
	}
}

func distance(a, b []float32) float64 {
	var sum float64
	for i, v := range a {
		d := float64(v - b[i])
		sum += d * d
	}
	return sum
}

// nearest returns the closest centre and the squared distance to it.
func nearest(centres [][]float32, c []float32) (at int, d float64) {
	d = math.Inf(1)
	for i := range centres {
		if v := distance(centres[i], c); v < d {
			at, d = i, v
		}
	}
	return at, d
}

// newAtlas clusters the training samples into at most k centres (k-means++ and
// Lloyd's iterations, seeded) and counts levels.
func newAtlas(train, validation []*sample, k int, seed uint64) *atlas {
	points := make([][]float32, len(train))
	for i, sm := range train {
		points[i] = make([]float32, contextSize)
		place(points[i], sm.x)
	}
	rng := rand.New(rand.NewPCG(seed, 0xa71a5))
	a := &atlas{centres: spread(points, min(k, len(points)), rng)}
	owner := make([]int, len(points))
	for range 8 {
		a.assign(points, owner)
		a.recentre(points, owner)
	}
	// Dissolving moves points to other centres, so it is asked again until
	// every centre that is left stands for enough patients.
	for a.assign(points, owner); a.dissolve(train, owner); {
		a.assign(points, owner)
	}
	a.recentre(points, owner)
	a.count(train, owner)
	a.percentiles(slices.Concat(train, validation))
	return a
}

// spread picks starting centres far from each other (k-means++).
func spread(points [][]float32, k int, rng *rand.Rand) (centres [][]float32) {
	if k == 0 {
		return nil
	}
	far := make([]float64, len(points))
	for i := range far {
		far[i] = math.Inf(1)
	}
	next := rng.IntN(len(points))
	for len(centres) < k {
		centres = append(centres, append([]float32(nil), points[next]...))
		var sum float64
		for i, p := range points {
			far[i] = math.Min(far[i], distance(p, centres[len(centres)-1]))
			sum += far[i]
		}
		if sum == 0 {
			break
		}
		left := rng.Float64() * sum
		for i, d := range far {
			if left -= d; left <= 0 && d > 0 {
				next = i
				break
			}
		}
	}
	return centres
}

func (a *atlas) assign(points [][]float32, owner []int) {
	for i, p := range points {
		owner[i], _ = nearest(a.centres, p)
	}
}

func (a *atlas) recentre(points [][]float32, owner []int) {
	sums, n := make([][]float64, len(a.centres)), make([]float64, len(a.centres))
	for i := range sums {
		sums[i] = make([]float64, contextSize)
	}
	for i, p := range points {
		n[owner[i]]++
		for j, v := range p {
			sums[owner[i]][j] += float64(v)
		}
	}
	for i := range a.centres {
		for j := range a.centres[i] {
			if n[i] > 0 {
				a.centres[i][j] = float32(sums[i][j] / n[i])
			}
		}
	}
}

// dissolve drops centres that are empty or stand for too few real patients.
func (a *atlas) dissolve(train []*sample, owner []int) (changed bool) {
	patients, steps := make([]map[string]bool, len(a.centres)), make([]int, len(a.centres))
	for i, sm := range train {
		steps[owner[i]]++
		if sm.synthetic {
			continue
		}
		if patients[owner[i]] == nil {
			patients[owner[i]] = map[string]bool{}
		}
		patients[owner[i]][sm.patient] = true
	}
	var kept [][]float32
	for i, c := range a.centres {
		if n := len(patients[i]); steps[i] > 0 && (n == 0 || n >= minPatientsPerCentre) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 || len(kept) == len(a.centres) {
		return false
	}
	a.centres = kept
	return true
}

// count fills the tables of levels. A step of which only one level is known
// is shared among the pairs that agree with it.
func (a *atlas) count(train []*sample, owner []int) {
	a.real = make([][numPairs]float32, len(a.centres))
	a.all = make([][numPairs]float32, len(a.centres))
	a.realSteps = make([]float32, len(a.centres))
	for i, sm := range train {
		c := owner[i]
		if !sm.synthetic {
			a.realSteps[c]++
		}
		pair := single(sm.pairs)
		if pair < 0 {
			continue
		}
		a.all[c][pair]++
		if !sm.synthetic {
			a.real[c][pair]++
		}
	}
}

// single returns the one pair of the set, or -1 when the levels are not both
// known.
func single(bits uint32) int {
	if bits == 0 || bits&(bits-1) != 0 {
		return -1
	}
	for i := range numPairs {
		if bits == 1<<i {
			return i
		}
	}
	return -1
}

// percentiles measures how far patients lie from the centres. Those that made
// the centres count too: a centre is a mean over several patients and hardly
// nearer to its own, and those on a vasopressor are few enough as it is. A
// stratum with too few steps takes the percentiles of all its kind, real or
// synthetic; a cohort of one kind lends its percentiles to the other.
func (a *atlas) percentiles(known []*sample) {
	var by [strata][]float64
	c := make([]float32, contextSize)
	for _, sm := range known {
		place(c, sm.x)
		g := stratum(c, sm.synthetic)
		by[g] = append(by[g], a.away(c, sm.synthetic))
	}
	both := [2][]float64{slices.Concat(by[realOff], by[realOn]), slices.Concat(by[syntheticOff], by[syntheticOn])}
	for g := range a.far {
		d := by[g]
		if len(d) < minStratum {
			d = both[g%2]
		}
		if len(d) == 0 {
			d = both[1-g%2]
		}
		a.far[g] = hundredths(d)
	}
}

// hundredths are the 101 percentiles of d, nil when it is empty.
func hundredths(d []float64) []float64 {
	if len(d) == 0 {
		return nil
	}
	d = slices.Sorted(slices.Values(d))
	out := make([]float64, 101)
	for i := range out {
		out[i] = d[(len(d)-1)*i/100]
	}
	return out
}

// away is the distance to the nearest centre that counts: for a real patient
// only centres near which real patients were seen.
func (a *atlas) away(c []float32, synthetic bool) float64 {
	d := math.Inf(1)
	for i, centre := range a.centres {
		if synthetic || a.realSteps[i] > 0 {
			d = math.Min(d, distance(centre, c))
		}
	}
	if math.IsInf(d, 1) {
		_, d = nearest(a.centres, c)
	}
	return math.Sqrt(d)
}

// ood is the percentile (0..1) of the state's distance among patients of
// its stratum that trained or calibrated the model.
func (a *atlas) ood(c []float32, synthetic bool) float64 {
	far := a.far[stratum(c, synthetic)]
	d := a.away(c, synthetic)
	if len(far) == 0 || math.IsInf(d, 0) || math.IsNaN(d) {
		return 1 // nothing is known about such states
	}
	at := sort.SearchFloat64s(far, d)
	return math.Min(float64(at)/float64(len(far)-1), 1)
}

// rankedCentre is a centre and how far it is.
type rankedCentre struct {
	at int
	d  float64
}

// near adds up the level counts of the closest centres until neighbours steps
// are found. For a real patient only real patients are counted.
func (a *atlas) near(w *workspace, c []float32, synthetic bool) (counts [numPairs]float32) {
	order := w.order[:0]
	for i := range a.centres {
		order = append(order, rankedCentre{i, distance(a.centres[i], c)})
	}
	w.order = order
	slices.SortFunc(order, func(a, b rankedCentre) int { return cmp.Or(cmp.Compare(a.d, b.d), a.at-b.at) })
	table := a.real
	if synthetic {
		table = a.all
	}
	var total float32
	for _, o := range order {
		for p, v := range table[o.at] {
			counts[p] += v
			total += v
		}
		if total >= neighbours {
			break
		}
	}
	return counts
}
