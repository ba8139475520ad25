// SPDX-License-Identifier: Apache-2.0

package state

// This file: Explain, how each value of a timeline came about: what was
// received, what was done to it, when it became known, why it was chosen, and
// what lost or was not usable. It reads the same view that Build reads, so it
// cannot tell another story. Treatment is in explain_drugs.go.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explanation says where everything in a timeline came from. Its lists are in
// a fixed order: features as in the catalogue, then other concepts by name;
// candidates newest first.
type Explanation struct {
	At       time.Time          `json:"at"`
	Values   []ValueWhy         `json:"values"`
	Infusion []InfusionWhy      `json:"infusions"`
	NETable  string             `json:"ne_table"`
	NEFrom   string             `json:"ne_source"`
	Fluids   []FluidWhy         `json:"fluids"`
	Weights  []Candidate        `json:"weights"`
	Weight   Weight             `json:"weight"`
	SOFA     SOFA               `json:"sofa"` // of the newest step
	Sepsis   Sepsis             `json:"sepsis"`
	Known    []HistoryWhy       `json:"history"` // conditions, procedures and orders
	Gaps     []Gap              `json:"gaps"`
	Ignored  map[string]int     `json:"not_used"` // resources ignored or rejected, by reason
	Rejects  []Reject           `json:"rejects"`
	Counts   map[string]int     `json:"counts"` // resources: read, used, ignored, rejected
	Ledger   map[Ledger]float64 `json:"ledgers_24h_ml"`
}

// ValueWhy is one concept: what the present shows, what the newest step of the
// model holds, and every candidate.
type ValueWhy struct {
	Concept    Concept     `json:"concept"`
	Label      string      `json:"label"`
	Unit       string      `json:"unit"`
	Feature    bool        `json:"feature"` // one of the 39
	Chosen     *Candidate  `json:"chosen,omitempty"`
	Why        string      `json:"why"`            // of the choice, or of there being none
	Step       *StepWhy    `json:"step,omitempty"` // features only
	Candidates []Candidate `json:"candidates,omitempty"`
	Older      int         `json:"older,omitempty"` // candidates before those listed
}

// StepWhy is the value of the newest 4-hour step.
type StepWhy struct {
	Presence string  `json:"presence"` // "measured", "carried", "missing"
	Value    float64 `json:"value"`
	AgeH     float64 `json:"age_h"`
	How      string  `json:"how"`
}

// Candidate is one charted value, used or not.
type Candidate struct {
	Value      float64   `json:"value"`
	Comparator string    `json:"cmp,omitempty"`
	Unit       string    `json:"unit"`
	Received   string    `json:"received"`
	Code       string    `json:"code,omitempty"` // first coding as received: code and system
	Conversion string    `json:"conversion,omitempty"`
	At         time.Time `json:"at"` // when it speaks for
	From       time.Time `json:"from,omitzero"`
	AgeMin     float64   `json:"age_min"`
	Available  time.Time `json:"available"`
	Basis      string    `json:"basis"` // "issued", or the lag that was assumed
	Method     string    `json:"method,omitempty"`
	Status     string    `json:"status,omitempty"`
	Record     string    `json:"record"`
	Via        string    `json:"via,omitempty"`
	Use        string    `json:"use"` // why it is or is not used
}

// How many candidates are listed: those of the newest step, and so many others.
const olderCandidates = 3

// Explain tells how the timeline at the time at comes about. The errors are
// those of Build.
func Explain(c *Chart, at time.Time, cfg Config) (*Explanation, error) {
	b, err := NewBuilder(c, cfg)
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		return nil, fmt.Errorf("explain: %w", ErrNoTime)
	}
	v := b.viewAt(at)
	tl := v.timeline(at)
	e := &Explanation{At: tl.At, NETable: cfg.NETable, NEFrom: NESource(cfg.NETable), Weight: tl.Present.Weight, SOFA: tl.Steps[len(tl.Steps)-1].SOFA,
		Sepsis: tl.Present.Sepsis, Gaps: tl.Gaps, Ignored: c.Tally.Reasons, Rejects: c.Rejects,
		Counts: map[string]int{"read": c.Tally.Read, "used": c.Tally.Used, "ignored": c.Tally.Ignored, "rejected": c.Tally.Rejected}}
	v.explainValues(e, tl)
	v.explainTreatment(e)
	v.explainHistory(e)
	return e, nil
}

// explainValues fills one entry per feature, and per other concept charted.
func (v *view) explainValues(e *Explanation, tl *Timeline) {
	charted := map[Concept][]int{}
	for i := range v.b.c.Measurements {
		m := &v.b.c.Measurements[i]
		charted[m.Concept] = append(charted[m.Concept], i)
	}
	for f := range catalogue {
		feat := &catalogue[f]
		w := v.explainValue(feat.Name, charted[feat.Name], tl)
		w.Label, w.Feature, w.Step = feat.Label, true, v.explainStep(f, &tl.Steps[len(tl.Steps)-1])
		e.Values = append(e.Values, w)
		delete(charted, feat.Name)
	}
	rest := make([]Concept, 0, len(charted))
	for concept := range charted {
		rest = append(rest, concept)
	}
	slices.Sort(rest)
	for _, concept := range rest {
		w := v.explainValue(concept, charted[concept], tl)
		w.Label = string(concept)
		if concept == ConceptWeight {
			e.Weights = w.Candidates
		}
		e.Values = append(e.Values, w)
	}
	e.Weights = append(v.pumpWeights(), slices.Clone(e.Weights)...)
	for i := range e.Weights {
		c := &e.Weights[i]
		switch r := e.Weight.Reading; {
		case strings.HasPrefix(c.Use, "not used"):
		case r != nil && c.Record == r.RecordID && c.At.Equal(r.At) && c.Value == r.Value:
			c.Use = "used"
		default:
			c.Use = "known; not used"
		}
	}
}

// explainValue lists the candidates of one concept and says which one is shown.
func (v *view) explainValue(concept Concept, refs []int, tl *Timeline) ValueWhy {
	_, _, unit, _ := Range(concept)
	w := ValueWhy{Concept: concept, Unit: unit}
	reading, shown := tl.Present.Readings[string(concept)]
	if concept == catalogue[MeanBP].Name && tl.Present.MAP.Newest != nil {
		reading, shown = *tl.Present.MAP.Newest, true
	}
	inSeries := map[int32]*obs{}
	for i := range v.b.series[concept] {
		o := &v.b.series[concept][i]
		inSeries[o.ref] = o
	}
	var all []Candidate
	for _, i := range refs {
		m := &v.b.c.Measurements[i]
		c := v.candidate(m)
		o, ok := observe(m)
		switch {
		case !ok:
			lo, hi, _, _ := Range(concept)
			c.Use = fmt.Sprintf("not used: outside the plausible %g to %g", lo, hi)
		case o.at > v.t:
			c.Use = "not used: its period ends after the decision"
		case o.avail > v.t:
			c.Use = "not used: not known before " + o.avail.time().Format(time.RFC3339)
		case inSeries[int32(i)] == nil:
			c.Use = "not used: says the same as another one"
		case !inSeries[int32(i)].known(v.t):
			c.Use = "not used: a later report of the same result replaces it"
		case !v.recent(concept, &o):
			c.Use = "not used: older than 7 days"
		case v.over(&o, v.t):
			c.Use = "not used: room air, and oxygen by another device since"
		default:
			c.Use = "known"
		}
		all = append(all, c)
	}
	if concept == catalogue[MeanBP].Name {
		all = append(all, v.derivedCandidates()...)
	}
	slices.SortStableFunc(all, func(x, y Candidate) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(y.Value, x.Value), cmp.Compare(x.Record, y.Record))
	})
	w.Why = v.whyChosen(concept, all, shown, &reading, &tl.Present.MAP)
	if shown {
		for i := range all {
			if c := &all[i]; w.Chosen == nil && c.Use == "known" && c.Record == reading.RecordID && c.At.Equal(reading.At) && c.Value == reading.Value {
				c.Use = "shown"
				chosen := *c
				w.Chosen = &chosen
			}
		}
	}
	from := (v.t - stepLen).time()
	others := 0
	for _, c := range all {
		if !c.At.After(from) && c.Use != "shown" {
			if others++; others > olderCandidates {
				w.Older++
				continue
			}
		}
		w.Candidates = append(w.Candidates, c)
	}
	return w
}

// whyChosen puts the choice, or the want of one, into words.
func (v *view) whyChosen(concept Concept, all []Candidate, shown bool, r *Reading, p *Pressure) string {
	if !shown {
		if len(all) == 0 {
			if why, gap := v.gap(string(concept)); gap {
				return "none: " + why
			}
			return "none: no usable resource in this chart carries it"
		}
		return fmt.Sprintf("none: %d in the chart, none usable at the decision (%s)", len(all), strings.TrimPrefix(all[0].Use, "not used: "))
	}
	known, same, late, other := 0, 0, 0, ""
	for i := range all {
		c := &all[i]
		switch {
		case c.Use != "known":
			if strings.HasPrefix(c.Use, "not used: not known") && c.At.After(r.At) {
				late++
			}
			continue
		case c.At.Equal(r.At) && c.Record != r.RecordID && c.Value != r.Value:
			same++
			other = fmt.Sprintf("%g (%s)", c.Value, cmp.Or(c.Method, c.Record))
		}
		known++
	}
	why := fmt.Sprintf("newest of %d known", known)
	if concept == catalogue[MeanBP].Name {
		why = whyPressure(p, known)
	} else if same > 0 {
		why += fmt.Sprintf("; conflict: %d other at the same instant, e.g. %s; the higher value is shown", same, other)
	}
	if late > 0 {
		why += fmt.Sprintf("; %d newer not yet known", late)
	}
	return why
}

func whyPressure(p *Pressure, known int) string {
	why := fmt.Sprintf("newest of %d known", known)
	switch {
	case p.Newest.Method == MethodArterial && p.CuffNow != nil && p.CuffNow.At.After(p.Newest.At):
		why = fmt.Sprintf("arterial line read within the hour goes before the newer cuff (%g)", p.CuffNow.Value)
	case p.Newest.Method == MethodArterial && p.CuffNow != nil:
		why += fmt.Sprintf("; arterial line before cuff (%g)", p.CuffNow.Value)
	}
	if p.Derived {
		why += "; computed, no mean pressure charted within the hour"
	}
	if p.Disagree {
		why += "; CONFLICT: two sources disagree"
	}
	if p.LoneOutlier {
		why += "; CONFLICT: far off its neighbours"
	}
	return why
}

// candidate describes one measurement.
func (v *view) candidate(m *Measurement) Candidate {
	_, _, unit, _ := Range(m.Concept)
	c := Candidate{Value: m.Value, Comparator: m.Comparator, Unit: unit, Received: m.Received, Conversion: m.Conversion, At: m.Effective,
		Available: m.Available, Basis: "issued", Method: m.Method, Status: m.Status, Record: v.b.c.recordID(m.Record)}
	if !m.End.IsZero() && !m.End.Equal(m.Effective) {
		c.From, c.At = m.Effective, m.End
	}
	if m.Lagged {
		c.Basis = fmt.Sprintf("not issued; %.0f min assumed", m.Available.Sub(c.At).Minutes())
	}
	c.AgeMin = (v.t - ceilInstant(c.At)).minutes()
	if m.Record >= 0 && m.Record < len(v.b.c.Records) {
		r := &v.b.c.Records[m.Record]
		c.Code, c.Via = firstCoding(r.Codes), strings.TrimSpace(r.Origin.Via+" "+r.Origin.Key)
	}
	return c
}

// firstCoding is the first code with its system.
func firstCoding(list []Coding) string {
	for _, k := range list {
		if k.Code != "" {
			return k.System + "|" + k.Code
		}
	}
	return ""
}

// derivedCandidates are the mean pressures computed at T.
func (v *view) derivedCandidates() []Candidate {
	var out []Candidate
	for i := range v.means {
		o := &v.means[i]
		if o.derived == nil {
			continue
		}
		c := v.candidate(o.derived)
		c.Available, c.Basis, c.Use = o.avail.time(), "its parts", "known"
		out = append(out, c)
	}
	return out
}

// explainStep says how the newest step got its value.
func (v *view) explainStep(f int, st *Step) *StepWhy {
	feat := &catalogue[f]
	w := &StepWhy{Value: st.Value[f], AgeH: st.AgeH[f]}
	var used []string
	in := after(v.feature(f), v.t-stepLen)
	method, one := v.source(f, in)
	for _, o := range in {
		if o.known(v.t) && (!one || o.method == method) {
			used = append(used, fmt.Sprintf("%.4g", o.value))
		}
	}
	if n := len(used); n > 8 {
		used = append(append(slices.Clone(used[:7]), "..."), used[n-1])
	}
	switch st.Presence[f] {
	case Measured:
		w.Presence = "measured"
		switch feat.Bin {
		case BinSum:
			w.How = "sum over the step of what was charted for it, less irrigant: " + strings.Join(used, " + ")
		case BinLast:
			w.How = "last in the step of " + strings.Join(used, ", ")
		default:
			w.How = "mean in the step of " + strings.Join(used, ", ")
			if one && method != "" {
				w.How += ", all by " + method
			}
		}
	case Carried:
		w.Presence, w.How = "carried", fmt.Sprintf("last value before the step, held for up to %g h", feat.HoldHours)
	default:
		w.Presence, w.How = "missing", "nothing known in the step"
		if o := newest(v.feature(f), v.t); o != nil {
			w.How += fmt.Sprintf("; the newest is %.1f h old, held for %g h", (v.t - o.at).hours(), feat.HoldHours)
			if v.over(o, v.t) {
				w.How += " but for oxygen by another device since"
			}
		}
	}
	return w
}
