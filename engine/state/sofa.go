// SPDX-License-Identifier: Apache-2.0

package state

// This file: the standard SOFA score (Vincent 1996; Singer 2016) over the
// worst values of 24 hours. Conventions follow mimic-code: arterial gas only;
// 3 and 4 of the lung only on invasive ventilation; the heart by charted dose
// that has run for at least an hour (Vincent 1996; Config.SOFAPressorH), never
// by level, with vasopressin and phenylephrine not scored; a patient
// whose verbal answer cannot be tested counts as GCS 15; urine only where it
// was charted for at least 22 of the 24 hours. A component without data is -1.

import (
	"math"
)

// worst holds the extremes of one 4-h bin that SOFA needs.
type worst struct {
	pf, pfVent             float64 // lowest P/F off and on invasive ventilation
	platelets, bili, creat float64
	mapMmHg, gcs           float64
	ne, epi, dopa, dobu    float64 // highest ug/kg/min
	running                int     // lowest score that drugs of unknown rate force
	vasoKnown              bool
}

func noWorst() worst {
	inf := math.Inf(1)
	return worst{pf: inf, pfVent: inf, platelets: inf, mapMmHg: inf, gcs: inf, bili: -inf, creat: -inf, vasoKnown: true}
}

func (w *worst) add(o *worst) {
	w.pf, w.pfVent = min(w.pf, o.pf), min(w.pfVent, o.pfVent)
	w.platelets, w.bili, w.creat = min(w.platelets, o.platelets), max(w.bili, o.bili), max(w.creat, o.creat)
	w.mapMmHg, w.gcs = min(w.mapMmHg, o.mapMmHg), min(w.gcs, o.gcs)
	w.ne, w.epi, w.dopa, w.dobu = max(w.ne, o.ne), max(w.epi, o.epi), max(w.dopa, o.dopa), max(w.dobu, o.dobu)
	w.running = max(w.running, o.running)
	w.vasoKnown = w.vasoKnown && o.vasoKnown
}

// score fills Step.SOFA of all steps.
func (v *view) score(steps []Step) {
	n := len(steps) + sofaBins - 1
	bins := make([]worst, n)
	first := v.t - instant(n)*stepLen // start of the oldest bin
	for i := range bins {
		bins[i] = noWorst()
	}
	at := func(t instant) *worst { // bin that holds t, nil outside
		if t <= first || t > v.t {
			return nil
		}
		return &bins[(t-first-1)/stepLen]
	}
	v.worstLabs(first, at)
	v.worstPF(first, at)
	v.worstGCS(first, at)
	v.worstDoses(first, bins)
	start, startKnown := v.stayStart()
	for k := range steps {
		w := noWorst()
		for i := k; i < k+sofaBins; i++ {
			w.add(&bins[i])
		}
		end := v.t - instant(len(steps)-1-k)*stepLen
		if startKnown && end <= start {
			w.vasoKnown = false
		}
		urineMl, urineOK := v.urineDay(end)
		steps[k].SOFA = w.sofa(urineMl, urineOK)
	}
}

func (v *view) worstLabs(first instant, at func(instant) *worst) {
	for _, f := range []int{MeanBP, Platelet, Bilirubin, Creatinine} {
		for _, o := range after(v.feature(f), first) {
			if !o.known(v.t) {
				continue
			}
			w := at(o.at)
			switch f {
			case MeanBP:
				w.mapMmHg = min(w.mapMmHg, o.value)
			case Platelet:
				w.platelets = min(w.platelets, o.value)
			case Bilirubin:
				w.bili = max(w.bili, o.value)
			case Creatinine:
				w.creat = max(w.creat, o.value)
			}
		}
	}
}

// fio2ForPF is how old an inspired oxygen may be to go with a blood gas
// (mimic-code).
const fio2ForPF = 4 * hour

// maxPF is what no lung exceeds at sea level on any oxygen, mmHg, with room for
// error. A higher ratio pairs a gas with an oxygen it was not drawn on, mostly
// one of the operating theatre.
const maxPF = 700

// ratio is one arterial PaO2 with the inspired oxygen that goes with it.
type ratio struct {
	gas, oxygen *obs
	mmHg        float64
}

// ratios returns the P/F pairs after from, oldest first. A venous or
// unspecified gas is never used.
func (v *view) ratios(from instant) []ratio {
	gases := after(v.feature(PaO2), from)
	oxygen := v.feature(FiO2)
	var out []ratio
	for i := range gases {
		g := &gases[i]
		if !g.known(v.t) || g.method != MethodArterial {
			continue
		}
		for k := len(oxygen) - len(after(oxygen, g.at)) - 1; k >= 0 && oxygen[k].at >= g.at-fio2ForPF; k-- {
			if !oxygen[k].known(v.t) {
				continue
			}
			if v.over(&oxygen[k], g.at) {
				break
			}
			if mmHg := 100 * g.value / max(oxygen[k].value, 21); mmHg <= maxPF {
				out = append(out, ratio{gas: g, oxygen: &oxygen[k], mmHg: mmHg})
			}
			break
		}
	}
	return out
}

func (v *view) worstPF(first instant, at func(instant) *worst) {
	for _, r := range v.ratios(first) {
		w := at(r.gas.at)
		if v.ventAt(r.gas.at) {
			w.pfVent = min(w.pfVent, r.mmHg)
		} else {
			w.pf = min(w.pf, r.mmHg)
		}
	}
}

// gcsHold is how long one part of the coma scale waits for the others.
const gcsHold = 6 * hour

// worstGCS adds up eye, verbal and motor of one assessment; a charted total
// counts as it is.
func (v *view) worstGCS(first instant, at func(instant) *worst) {
	put := func(t instant, total float64) {
		if w := at(t); w != nil {
			w.gcs = min(w.gcs, total)
		}
	}
	for _, o := range after(v.b.upTo(ConceptGCSTotal, v.t), first) {
		switch {
		case !o.known(v.t):
		case o.method == MethodIntubated:
			put(o.at, 15)
		default:
			put(o.at, o.value)
		}
	}
	parts := [3][]obs{}
	for i, f := range []int{GCSEye, GCSVerbal, GCSMotor} {
		parts[i] = after(v.feature(f), first-gcsHold-1)
	}
	var last [3]*obs
	for {
		now, found := never, false
		for i := range parts {
			for len(parts[i]) > 0 && !parts[i][0].known(v.t) {
				parts[i] = parts[i][1:]
			}
			if len(parts[i]) > 0 && parts[i][0].at < now {
				now, found = parts[i][0].at, true
			}
		}
		if !found {
			return
		}
		for i := range parts {
			for len(parts[i]) > 0 && (parts[i][0].at == now || !parts[i][0].known(v.t)) {
				if parts[i][0].known(v.t) {
					last[i] = &parts[i][0]
				}
				parts[i] = parts[i][1:]
			}
		}
		total, ok := 0.0, true
		for _, o := range last {
			if o == nil || now-o.at > gcsHold {
				ok = false
				break
			}
			total += o.value
		}
		if !ok {
			continue
		}
		if last[1].method == MethodIntubated || last[1].value == 1 && v.ventAt(now) {
			total = 15
		}
		put(now, total)
	}
}

// worstDoses finds the highest rate of the scored drugs per bin that was kept
// up for SOFAPressorH. A scored drug of unknown rate forces the lowest score
// its presence for that long means.
func (v *view) worstDoses(first instant, bins []worst) {
	_, noChart := v.gap(GapVasopressor)
	hold := hoursOf(v.b.cfg.SOFAPressorH)
	doses := overlapping(v.doses, first-hold, v.t)
	var scored [len(scoredDrugs)][]plateau
	for i, s := range scoredDrugs {
		scored[i] = plateausOf(doses, s.drug)
	}
	for i := range bins {
		w := &bins[i]
		w.vasoKnown = !noChart
		from := first + instant(i)*stepLen
		for n, s := range scoredDrugs {
			rate, unknown := keptIn(scored[n], from, from+stepLen, hold)
			*s.rate(w) = rate
			if unknown {
				w.running = max(w.running, s.least)
			}
		}
		for k := range doses {
			if d := &doses[k]; d.class == ClassUnidentified && !d.known && d.from < from+stepLen && d.to > from {
				w.vasoKnown = false
			}
		}
	}
}

// scoredDrugs are the drugs of the table, where their rate goes, and what they
// score at any rate.
var scoredDrugs = [...]struct {
	drug  Drug
	rate  func(*worst) *float64
	least int
}{
	{DrugNorepinephrine, func(w *worst) *float64 { return &w.ne }, 3},
	{DrugEpinephrine, func(w *worst) *float64 { return &w.epi }, 3},
	{DrugDopamine, func(w *worst) *float64 { return &w.dopa }, 2},
	{DrugDobutamine, func(w *worst) *float64 { return &w.dobu }, 2},
}

// urineDay returns net urine of the 24 hours that end with the last entry in
// (end - 4 h, end], false when fewer than 22 of those hours were charted. An
// entry covers the time since the entry before it.
func (v *view) urineDay(end instant) (float64, bool) {
	s := v.b.upTo(catalogue[Urine].Name, end)
	last := newest(s, v.t)
	if last == nil || last.at <= end-stepLen {
		return 0, false
	}
	to, from := last.at, last.at-24*hour
	i := len(s) - len(after(s, from))
	prev := instant(math.MinInt64)
	for k := i - 1; k >= 0; k-- {
		if s[k].known(v.t) {
			prev = s[k].at
			break
		}
	}
	if start, ok := v.stayStart(); ok && prev < start {
		prev = start
	}
	covered := instant(0)
	for _, o := range s[i:] {
		if !o.known(v.t) {
			continue
		}
		since := o.at
		switch {
		case o.from < o.at:
			since = max(prev, o.from)
		case prev != math.MinInt64:
			since = max(prev, o.at-12*hour)
		}
		covered += o.at - max(since, from)
		prev = o.at
	}
	if covered < 22*hour {
		return 0, false
	}
	ml, _, ok := v.urine(from, to)
	return ml, ok
}

// sofa scores the extremes of 24 hours.
func (w *worst) sofa(urineMl float64, urineOK bool) SOFA {
	s := SOFA{Resp: w.resp(), Coag: -1, Liver: -1, Cardio: w.cardio(), CNS: -1, Renal: -1}
	if !math.IsInf(w.platelets, 0) {
		s.Coag = below(w.platelets, 150, 100, 50, 20)
	}
	if !math.IsInf(w.bili, 0) {
		s.Liver = reached(w.bili, 1.2, 2, 6, 12)
	}
	if !math.IsInf(w.gcs, 0) {
		s.CNS = below(w.gcs, 15, 13, 10, 6)
	}
	if !math.IsInf(w.creat, 0) {
		s.Renal = reached(w.creat, 1.2, 2, 3.5, 5)
	}
	if urineOK {
		u := 0
		switch {
		case urineMl < 200:
			u = 4
		case urineMl < 500:
			u = 3
		}
		s.Renal = max(s.Renal, u)
	}
	for _, c := range []int{s.Resp, s.Coag, s.Liver, s.Cardio, s.CNS, s.Renal} {
		if c >= 0 {
			s.Total += c
			s.Scored++
		}
	}
	return s
}

func (w *worst) resp() int {
	if math.IsInf(w.pf, 0) && math.IsInf(w.pfVent, 0) {
		return -1
	}
	off := min(2, below(w.pf, 400, 300, 200, 100))
	return max(off, below(w.pfVent, 400, 300, 200, 100))
}

func (w *worst) cardio() int {
	s := w.running
	switch {
	case w.dopa > 15 || w.epi > 0.1 || w.ne > 0.1:
		s = 4
	case w.dopa > 5 || w.epi > 0 || w.ne > 0:
		s = max(s, 3)
	case w.dopa > 0 || w.dobu > 0:
		s = max(s, 2)
	}
	if s > 0 {
		return s
	}
	switch {
	case w.mapMmHg < 70:
		return 1
	case math.IsInf(w.mapMmHg, 0) || !w.vasoKnown:
		// A good pressure alone does not show that no vasopressor held it.
		return -1
	}
	return 0
}

// below counts how many thresholds v is under; reached how many it is at or over.
func below(v float64, thresholds ...float64) int {
	n := 0
	for _, t := range thresholds {
		if v < t {
			n++
		}
	}
	return n
}

func reached(v float64, thresholds ...float64) int {
	n := 0
	for _, t := range thresholds {
		if v >= t {
			n++
		}
	}
	return n
}
