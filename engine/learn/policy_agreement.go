// SPDX-License-Identifier: Apache-2.0

package learn

// This file: how advice and what clinicians gave lie side by side. Agreement
// is no praise and disagreement no blame: neither of the two is the truth.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// LevelAgreement is a table of [advised][given] levels. What is advised is a
// first step, and what was given is the highest rate of four hours, so that a
// fast titration looks like disagreement.
type LevelAgreement struct {
	Table     [5][5]int `json:"table"`
	Same      Share     `json:"same"`
	WithinOne Share     `json:"within_one"`
	// Unchanged is the share in which going on as before would have been the
	// level given: what a table like this shows without any advice.
	Unchanged Share        `json:"unchanged"`
	Kappa     world.Number `json:"weighted_kappa"` // quadratic weights; null where one side is constant
}

// CourseAgreement is a table of [advised][taken] directions of the
// vasopressor: lower, hold, raise.
type CourseAgreement struct {
	Table [Courses][Courses]int `json:"table"`
	Same  Share                 `json:"same"`
	// Opposed: one raised and the other lowered.
	Opposed Share `json:"opposed"`
	// OnOrBelow is Same where the question is open: a vasopressor runs, or MAP is
	// below goal. Elsewhere both sides rightly do nothing.
	OnOrBelow Share `json:"same_where_open"`
}

// BolusAgreement counts boluses of at least 250 mL in the following 4 h.
type BolusAgreement struct {
	Both      int   `json:"both"`
	OursOnly  int   `json:"advised_only"`
	GivenOnly int   `json:"given_only"`
	Neither   int   `json:"neither"`
	Same      Share `json:"same"`
}

// DoseAtHour is advised and given treatment at one time after admission, at
// the same decision times.
type DoseAtHour struct {
	Hour      int          `json:"hour"`
	Points    int          `json:"points"`
	AdvisedNE world.Number `json:"advised_ne_ug_kg_min"`
	GivenNE   world.Number `json:"given_ne_ug_kg_min"` // mean rate of the 4 h
	BeforeNE  world.Number `json:"running_ne_ug_kg_min"`
	AdvisedMl world.Number `json:"advised_bolus_ml"`
	GivenMl   world.Number `json:"given_bolus_ml"`
}

// givenBolusMl is the least volume charted as bolus that counts as one.
const givenBolusMl = 250

// agree fills in the tables.
func (e *PolicyEvaluation) agree(s *sample) {
	vaso := func(t *Treatment) (int, bool) { return t.Levels.Vasopressor, t.VasoKnown }
	fluid := func(t *Treatment) (int, bool) { return t.Levels.Fluid, t.FluidKnown }
	e.Vasopressor, e.Fluid = s.levels(vaso), s.levels(fluid)
	e.Direction, e.Bolus = s.courses(), s.boluses()
}

func (s *sample) levels(of func(*Treatment) (level int, known bool)) (out LevelAgreement) {
	both := func(p *Point) (advised, given int, ok bool) {
		a, ka := of(&p.Advised)
		g, kg := of(&p.Given)
		return a, g, p.compared() && ka && kg
	}
	for i := range s.points {
		if a, g, ok := both(&s.points[i]); ok {
			out.Table[a][g]++
		}
	}
	out.Same = s.share(func(p *Point) (bool, bool) { a, g, ok := both(p); return a == g, ok })
	out.WithinOne = s.share(func(p *Point) (bool, bool) { a, g, ok := both(p); return max(a-g, g-a) <= 1, ok })
	out.Unchanged = s.share(func(p *Point) (bool, bool) {
		_, g, ok := both(p)
		b, kb := of(&p.Before)
		return b == g, ok && kb
	})
	out.Kappa = world.Number(weightedKappa(out.Table))
	return out
}

// weightedKappa is Cohen's kappa with quadratic weights (Cohen 1968).
func weightedKappa(t [5][5]int) float64 {
	var rows, columns [5]float64
	n := 0.0
	for i, row := range t {
		for j, c := range row {
			rows[i], columns[j], n = rows[i]+float64(c), columns[j]+float64(c), n+float64(c)
		}
	}
	var seen, expected float64
	for i := range t {
		for j := range t[i] {
			w := float64((i - j) * (i - j))
			seen += w * float64(t[i][j])
			expected += w * rows[i] * columns[j] / n
		}
	}
	if !(expected > 0) {
		return math.NaN()
	}
	return 1 - seen/expected
}

func (s *sample) courses() (out CourseAgreement) {
	for i := range s.points {
		p := &s.points[i]
		if g, ok := p.givenCourse(); ok && p.compared() {
			out.Table[p.Course][g]++
		}
	}
	same := func(p *Point) (bool, bool) { g, ok := p.givenCourse(); return p.Course == g, ok && p.compared() }
	out.Same = s.share(same)
	out.Opposed = s.share(func(p *Point) (bool, bool) {
		g, ok := p.givenCourse()
		return p.Course-g == Raise-Lower || g-p.Course == Raise-Lower, ok && p.compared()
	})
	out.OnOrBelow = s.share(func(p *Point) (bool, bool) {
		hit, ok := same(p)
		return hit, ok && (p.AsIs.NEUgKgMin > 0 || belowGoal(p))
	})
	return out
}

func (s *sample) boluses() (out BolusAgreement) {
	ask := func(p *Point) (ours, theirs, ok bool) {
		return p.Advised.BolusMl >= givenBolusMl, p.Given.BolusMl >= givenBolusMl, p.compared() && p.Given.FluidKnown
	}
	for i := range s.points {
		switch ours, theirs, ok := ask(&s.points[i]); {
		case !ok:
		case ours && theirs:
			out.Both++
		case ours:
			out.OursOnly++
		case theirs:
			out.GivenOnly++
		default:
			out.Neither++
		}
	}
	out.Same = s.share(func(p *Point) (bool, bool) { a, g, ok := ask(p); return a == g, ok })
	return out
}

// overTimeHours is how far after admission doses are followed.
const overTimeHours = 72

// overTime follows advised and given treatment where both are known.
func (s *sample) overTime() []DoseAtHour {
	type sums struct{ n, advised, given, before, bolus, givenBolus float64 }
	byHour := map[int]*sums{}
	for i := range s.points {
		p := &s.points[i]
		hour := p.Step * state.StepHours
		if !p.compared() || !p.Given.known() || hour > overTimeHours {
			continue
		}
		t := byHour[hour]
		if t == nil {
			t = &sums{}
			byHour[hour] = t
		}
		t.n++
		t.advised += p.Advised.NEUgKgMin
		t.given += p.GivenMean
		t.before += p.AsIs.NEUgKgMin
		t.bolus += p.Advised.BolusMl
		t.givenBolus += p.Given.BolusMl
	}
	hours := make([]int, 0, len(byHour))
	for h := range byHour {
		hours = append(hours, h)
	}
	slices.Sort(hours)
	out := []DoseAtHour{}
	for _, h := range hours {
		t := byHour[h]
		mean := func(v float64) world.Number { return world.Number(v / t.n) }
		out = append(out, DoseAtHour{h, int(t.n), mean(t.advised), mean(t.given), mean(t.before), mean(t.bolus), mean(t.givenBolus)})
	}
	return out
}
