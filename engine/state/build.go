// SPDX-License-Identifier: Apache-2.0

package state

// This file: Build, the way from a chart to a timeline, and the binning of
// values into steps.

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoTime is returned when a timeline is asked for at the zero time.
var ErrNoTime = errors.New("decision time is not set")

// Build gives the timeline of c at the decision time at. It reads nothing that
// happened or became known later, and its bytes do not depend on the order or
// repetition of events. Events whose value is not finite or not plausible are
// passed over: they belong in Chart.Rejects. Errors wrap ErrConfig or
// ErrNoTime. To build many timelines of one chart use NewBuilder once.
func Build(c *Chart, at time.Time, cfg Config) (*Timeline, error) {
	b, err := NewBuilder(c, cfg)
	if err != nil {
		return nil, err
	}
	return b.Build(at)
}

const stepLen = StepHours * hour

// sofaBins is how many 4-h bins make the 24 hours of a SOFA score.
const sofaBins = 24 / StepHours

// view is one chart read at one time.
type view struct {
	b      *Builder
	t      instant
	weight Weight
	vaso   []run
	fluid  []run
	other  []run
	means  []obs // mean pressures, charted and derived, up to t
	vent   []span
	doses  []dose
}

// Build gives the timeline at the decision time at; see the function Build.
func (b *Builder) Build(at time.Time) (*Timeline, error) {
	if at.IsZero() {
		return nil, fmt.Errorf("build timeline: %w", ErrNoTime)
	}
	return b.viewAt(at).timeline(at), nil
}

// viewAt settles what was known at the time at, and which weight and rates
// follow from it.
func (b *Builder) viewAt(at time.Time) *view {
	v := &view{b: b, t: floorInstant(at)}
	overlap := b.cfg.overlap()
	v.vaso, v.fluid, v.other = doubted(runsAt(b.vaso, v.t, overlap)), runsAt(b.fluid, v.t, overlap), runsAt(b.other, v.t, overlap)
	v.means = v.mean()
	v.vent = v.ventilation()
	v.weight = v.weigh()
	v.doses = v.vasoactiveDoses()
	return v
}

func (v *view) timeline(at time.Time) *Timeline {
	c := v.b.c
	tl := &Timeline{At: v.t.time(), PatientID: c.Person.ID, StayID: c.Stay.ID, Unit: c.Stay.Unit,
		Sex: c.Person.Sex, Synthetic: c.Person.Synthetic, Gaps: sortedGaps(c.Gaps)}
	if !c.Person.BirthDate.IsZero() && !c.Person.BirthDate.After(at) {
		tl.AgeYears, tl.AgeKnown = age(c.Person.BirthDate, at), true
	}
	if !c.Stay.Start.IsZero() {
		tl.HoursInICU = (v.t - floorInstant(c.Stay.Start)).hours()
	}
	tl.Steps = v.steps()
	v.present(tl)
	return tl
}

// age in whole years by the calendar, as a bedside reads it.
func age(birth, at time.Time) float64 {
	birth, at = birth.UTC(), at.UTC()
	years := at.Year() - birth.Year()
	if at.Month() < birth.Month() || at.Month() == birth.Month() && at.Day() < birth.Day() {
		years--
	}
	return float64(years)
}

// gap says whether the chart declares that data of this kind are not charted.
func (v *view) gap(what string) (string, bool) {
	why, ok := v.b.gaps[what]
	return why, ok
}

// mean returns the mean pressures up to t: the charted ones, and computed ones
// at times with no charted one within an hour that is known at t.
func (v *view) mean() []obs {
	s := v.b.upTo(catalogue[MeanBP].Name, v.t)
	if len(v.b.derived) == 0 {
		return s
	}
	out := make([]obs, 0, len(s)+len(v.b.derived))
	i := 0
	for _, d := range v.b.derived {
		if d.at > v.t || !d.known(v.t) || charted(s, d.at, v.t) {
			continue
		}
		// Pressures charted twice at one instant give one computed mean.
		if n := len(out); n > 0 && out[n-1].derived != nil && out[n-1].at == d.at && out[n-1].from == d.from && out[n-1].method == d.method {
			continue
		}
		for i < len(s) && s[i].at <= d.at {
			out = append(out, s[i])
			i++
		}
		out = append(out, d)
	}
	return append(out, s[i:]...)
}

// feature returns the observations of feature f up to t.
func (v *view) feature(f int) []obs {
	if f == MeanBP {
		return v.means
	}
	return v.b.upTo(catalogue[f].Name, v.t)
}

// stayStart is the ICU admission, false when it is not charted.
func (v *view) stayStart() (instant, bool) {
	if v.b.c.Stay.Start.IsZero() {
		return 0, false
	}
	return ceilInstant(v.b.c.Stay.Start), true
}

func (v *view) steps() []Step {
	steps := make([]Step, MaxSteps)
	start, startKnown := v.stayStart()
	for k := range steps {
		end := v.t - instant(MaxSteps-1-k)*stepLen
		s := &steps[k]
		s.Start, s.End = (end - stepLen).time(), end.time()
		s.InStay = !startKnown || end > start
		s.Given = v.exposure(end-stepLen, end, s.InStay)
		s.Vent, s.VentKnown = v.ventilated(end-stepLen, end)
	}
	for f := range NumFeatures {
		if f == Urine {
			v.binUrine(steps)
		} else {
			v.bin(steps, f)
		}
	}
	v.score(steps)
	return steps
}

// bin fills feature f. A step with values measured in (Start, End] takes their
// mean or last, of one source for pressures; without, the last earlier value while its age at the end of
// the step is within the hold time; else it is missing.
func (v *view) bin(steps []Step, f int) {
	feat := &catalogue[f]
	s := v.feature(f)
	hold := hoursOf(feat.HoldHours)
	end := v.t - instant(len(steps)-1)*stepLen
	// Skip what is too old to be carried into the oldest step.
	i := len(s) - len(after(s, end-max(hold, stepLen)-1))
	var last *obs
	for k := range steps {
		sum, n := 0.0, 0
		var newest *obs
		first := i
		for ; i < len(s) && s[i].at <= end; i++ {
			if s[i].known(v.t) {
				last = &s[i]
			}
		}
		in := after(s[first:i], end-stepLen)
		method, one := v.source(f, in)
		for j := range in {
			if in[j].known(v.t) && (!one || in[j].method == method) {
				sum += in[j].value
				n++
				newest = &in[j]
			}
		}
		switch st := &steps[k]; {
		case n > 0:
			st.Presence[f] = Measured
			st.Value[f] = sum / float64(n)
			if feat.Bin == BinLast {
				st.Value[f] = newest.value
			}
			st.AgeH[f] = (end - newest.at).hours()
		case last != nil && end-last.at <= hold && !v.over(last, end):
			st.Presence[f] = Carried
			st.Value[f] = last.value
			st.AgeH[f] = (end - last.at).hours()
		}
		end += stepLen
	}
}

// Observed says of which features a value was measured in the step that ends at
// end, whenever it became known. It reads the future: for counting what a chart
// holds, never for deciding.
func (b *Builder) Observed(end time.Time) (out [NumFeatures]bool) {
	to := floorInstant(end)
	from := to - stepLen
	in := func(s []obs) []obs {
		s = after(s, from)
		return s[:len(s)-len(after(s, to))]
	}
	for f := range NumFeatures {
		out[f] = len(in(b.series[catalogue[f].Name])) > 0
	}
	for _, o := range in(b.derived) {
		out[MeanBP] = out[MeanBP] || !charted(b.series[catalogue[MeanBP].Name], o.at, never)
	}
	v := view{b: b, t: never}
	ml, _, ok := v.urine(from, to)
	out[Urine] = ok && ml <= catalogue[Urine].Hi
	return out
}

// source is the one method whose pressures speak for a step: those of the
// arterial line and the cuff are never averaged. It is the line, where the line
// was read within an hour of the newest reading of the step, else the method of
// the newest reading. one is false for what has no such sources.
func (v *view) source(f int, in []obs) (method string, one bool) {
	if f != SysBP && f != DiaBP && f != MeanBP {
		return "", false
	}
	last := newest(in, v.t)
	if last == nil {
		return "", false
	}
	for i := len(in) - 1; i >= 0 && in[i].at > last.at-lineFresh; i-- {
		if in[i].known(v.t) && in[i].method == MethodArterial {
			return MethodArterial, true
		}
	}
	return last.method, true
}

// binUrine sums urine per step less the irrigant that went in. A step without
// charted urine is missing: zero is a value only where zero was charted. A
// volume charted for a period is spread over it.
func (v *view) binUrine(steps []Step) {
	for k := range steps {
		end := v.t - instant(len(steps)-1-k)*stepLen
		ml, newest, ok := v.urine(end-stepLen, end)
		if !ok || ml > catalogue[Urine].Hi {
			continue
		}
		steps[k].Presence[Urine] = Measured
		steps[k].Value[Urine] = ml
		steps[k].AgeH[Urine] = max(0, (end - newest).hours())
	}
}

// maxCollection is the longest period over which a charted volume is spread.
const maxCollection = 24 * hour

// urine returns net urine in (from, to] and the time of its newest entry;
// false when none is charted.
func (v *view) urine(from, to instant) (ml float64, newest instant, ok bool) {
	sum := func(c Concept) (total float64) {
		for _, o := range after(v.b.upTo(c, v.t), from) {
			if o.at > to+maxCollection {
				break
			}
			part := share(&o, from, to)
			if !o.known(v.t) || part == 0 {
				continue
			}
			if c == catalogue[Urine].Name {
				ok, newest = true, max(newest, min(o.at, to))
			}
			total += o.value * part
		}
		return total
	}
	ml = sum(catalogue[Urine].Name)
	if !ok {
		return 0, 0, false
	}
	return max(0, ml-sum(ConceptUrineIrrig)), newest, true
}

// share is the part of a volume that falls into (from, to].
func share(o *obs, from, to instant) float64 {
	if o.at <= o.from {
		if o.at > from && o.at <= to {
			return 1
		}
		return 0
	}
	lo := max(from, max(o.from, o.at-maxCollection))
	part := min(to, o.at) - lo
	if part <= 0 {
		return 0
	}
	return float64(part) / float64(o.at-max(o.from, o.at-maxCollection))
}
