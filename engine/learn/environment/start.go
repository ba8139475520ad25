// SPDX-License-Identifier: Apache-2.0

package environment

// This file: where episodes start: at simulated patients, or at recorded ones of
// the training part of a cohort.

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrNoStart is wrapped when a seed or a cohort gives no patient that an
// episode can start at.
var ErrNoStart = errors.New("no state to start from")

// Starts gives the chart that the episode of a seed starts at, and when. The
// same seed and task give the same chart; the chart is the caller's own.
type Starts interface {
	// Tasks lists the names that Chart takes, at least one.
	Tasks() []string
	Chart(seed uint64, task string) (*state.Chart, time.Time, error)
}

// TaskSynthetic starts at a mechanistically simulated patient of any septic
// scenario. The scenarios are tasks of their own.
const TaskSynthetic = "synthetic"

// TaskCohort starts at a recorded patient of the training part.
const TaskCohort = "cohort"

// septic are the scenarios that TaskSynthetic draws from, as often as they stand
// here.
var septic = []physiology.Scenario{
	physiology.EarlySepsis, physiology.SepticShock, physiology.SepticShock, physiology.RefractoryShock,
	physiology.FluidOverload, physiology.StableSepsis, physiology.Improving,
}

// Synthetic starts at patients of engine/physiology who have been treated by its
// clinician for some hours.
type Synthetic struct{ cfg state.Config }

// NewSynthetic reads charts as cfg says.
func NewSynthetic(cfg state.Config) *Synthetic { return &Synthetic{cfg} }

// Tasks implements Starts.
func (s *Synthetic) Tasks() []string {
	out := []string{TaskSynthetic}
	for _, scenario := range septic {
		if !slices.Contains(out, string(scenario)) {
			out = append(out, string(scenario))
		}
	}
	return out
}

// Bounds of the treatment before the start, in hours, and of the patients that
// are tried before a seed is given up.
const (
	leastHours  = 6
	spreadHours = 18
	mostTries   = 64
)

// Chart implements Starts.
func (s *Synthetic) Chart(seed uint64, task string) (*state.Chart, time.Time, error) {
	if !slices.Contains(s.Tasks(), task) {
		return nil, time.Time{}, fmt.Errorf("%w: %.40q (hint: there are %v)", ErrTask, task, s.Tasks())
	}
	clinician, err := physiology.BehaviourClinician.Treatment()
	if err != nil {
		return nil, time.Time{}, err
	}
	r := rand.New(rand.NewPCG(seed, streamStart))
	for range mostTries {
		scenario := physiology.Scenario(task)
		if pick := septic[r.IntN(len(septic))]; task == TaskSynthetic {
			scenario = pick
		}
		patient, h := physiology.New(r.Uint64()>>16, scenario), leastHours+r.IntN(spreadHours)
		course := patient.Run(float64(h), clinician)
		chart, at := course.Chart(), course.Until()
		if !chart.Stay.End.IsZero() {
			continue // dead, or gone home
		}
		tl, err := state.Build(chart, at, s.cfg)
		if err != nil {
			return nil, time.Time{}, err
		}
		if fit(tl) {
			chart.Person.ID, chart.Stay.ID, chart.Stay.Hospital = Simulated, Simulated, ""
			return chart, at, nil
		}
	}
	return nil, time.Time{}, fmt.Errorf("%w: none of %d patients of seed %d is fit for one", ErrNoStart, mostTries, seed)
}

// unfit are the checks that end a decision of the agent that is served; nobody
// is trained on such patients.
var unfit = []string{
	state.CheckComfortCare, state.CheckPregnancy, state.CheckProcedure, state.CheckECMO, state.CheckMechSupport,
	state.CheckBleeding, state.CheckCardiogenic, state.CheckObstructive, state.CheckNeurogenic, state.CheckAnaphylaxis,
	state.CheckPostArrest, state.CheckBurns, state.CheckDKA, state.CheckVasoactive,
}

// fit says that an adult with sepsis stands there, with a current pressure and
// a known treatment, and nothing that the agent is not for.
func fit(tl *state.Timeline) bool {
	p := &tl.Present
	m := p.MAP.Newest
	return tl.Check(state.CheckAdult).Result == state.CheckPresent && p.Sepsis.Met && p.VasoKnown && p.Fluids.Known && tl.HoursInICU >= 0 &&
		m != nil && m.AgeMin <= 120 && !p.MAP.Disagree && !p.MAP.LoneOutlier &&
		!slices.ContainsFunc(unfit, func(key string) bool { return tl.Check(key).Result == state.CheckPresent })
}

// Recorded starts at recorded patients, and at simulated ones where a simulated
// task is asked for.
type Recorded struct {
	*Synthetic
	starts [][]byte // canonical timelines
}

// mostStarts bounds what is kept of a cohort in memory: some 30 kB each.
const mostStarts = 4096

// NewRecorded keeps one state of each stay of the cohort's training patients
// that is fit for a start. The error wraps ErrNoStart where there is none.
func NewRecorded(cfg state.Config, rows iter.Seq2[cohort.Row, error]) (*Recorded, error) {
	type start struct {
		key   string
		bytes []byte
	}
	var kept []start
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		if group[0].Part != cohort.Train {
			continue
		}
		key := cohort.PatientHash(group[0].Patient + "\x00" + group[0].Stay)
		first := int(key[0]) % len(group)
		for i := range group {
			row := &group[(first+i)%len(group)]
			tl, err := row.Timeline()
			if err != nil {
				return nil, err
			}
			if fit(tl) {
				kept = append(kept, start{key, row.Canonical})
				break
			}
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("%w: no training patient of this cohort has sepsis, a current pressure and a known treatment", ErrNoStart)
	}
	slices.SortFunc(kept, func(a, b start) int { return cmp.Compare(a.key, b.key) })
	r := &Recorded{Synthetic: NewSynthetic(cfg)}
	for _, k := range kept[:min(len(kept), mostStarts)] {
		r.starts = append(r.starts, slices.Clone(k.bytes))
	}
	return r, nil
}

// Stays is how many recorded stays there are to start from.
func (r *Recorded) Stays() int { return len(r.starts) }

// Tasks implements Starts.
func (r *Recorded) Tasks() []string { return append([]string{TaskCohort}, r.Synthetic.Tasks()...) }

// Chart implements Starts. What is recalled of a stay may be a little other than
// what was recorded; a state that is not fit any more gives way to the next.
func (r *Recorded) Chart(seed uint64, task string) (*state.Chart, time.Time, error) {
	if task != TaskCohort {
		if !slices.Contains(r.Tasks(), task) {
			return nil, time.Time{}, fmt.Errorf("%w: %.40q (hint: there are %v)", ErrTask, task, r.Tasks())
		}
		return r.Synthetic.Chart(seed, task)
	}
	first := rand.New(rand.NewPCG(seed, streamStart)).IntN(len(r.starts))
	for i := range min(mostTries, len(r.starts)) {
		row := cohort.Row{Canonical: r.starts[(first+i)%len(r.starts)]}
		recorded, err := row.Timeline()
		if err != nil {
			return nil, time.Time{}, err
		}
		chart := recall(recorded)
		tl, err := state.Build(chart, recorded.At, r.cfg)
		if err != nil {
			return nil, time.Time{}, err
		}
		if fit(tl) {
			return chart, recorded.At, nil
		}
	}
	return nil, time.Time{}, fmt.Errorf("%w: %d recorded states in a row cannot go on", ErrNoStart, mostTries)
}
