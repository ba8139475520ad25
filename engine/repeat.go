// SPDX-License-Identifier: Apache-2.0

package engine

// This file: when advice is not shown again. It is the one place that says what
// "the same advice" and "unchanged evidence" are.
//
// A card silences a later decision for the same user about the same topic when
// the facts are unchanged, and
//   - the card was overridden (until the facts change), or
//   - the advice is the same and the card was shown within the window.
//
// Facts are unchanged when client, patient and stay, the MAP goal and on which
// side of it MAP is, the drugs that run and what is known of them, the newest
// lactate (value and time), and the rules that block, warn or name a danger are
// the same, and MAP, weight-based rates and bolus volume moved no further than
// Unchanged allows. They are
// compared with the facts of the card that was shown, never with those of a
// suppressed one, so that a slow drift adds up and shows. Advice is the same when
// status, display mode, reasons, direction, drug and the size of the step and of
// the bolus are.
//
// A decision with a hazard never comes here (show.go). A rule that blocks or
// warns and did not speak then is a changed fact, so that no override silences
// it. Whatever cannot be compared counts as changed: a repeat costs attention, a
// missing card may cost more.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// OutcomeOverridden is Prior.Outcome of a card that its user overrode.
const OutcomeOverridden = "overridden"

// Unchanged is how far facts may move and still be the same evidence. Larger
// values silence more; the bounds keep a site from silencing everything.
type Unchanged struct {
	// MAPMmHg is for the newest MAP, 0 to 10 mmHg. Default 5: a fresh MAP
	// arrives every minute and is never quite the same.
	MAPMmHg float64 `yaml:"map_mmhg" json:"map_mmhg"`
	// RateUgKgMin is for each weight-based rate, 0 to 0.02 ug/kg/min. Default
	// 0.005: less than any step of a titration, more than a new weight makes.
	// Other rates must be the same.
	RateUgKgMin float64 `yaml:"rate_ug_kg_min" json:"rate_ug_kg_min"`
	// BolusMl is for the bolus volume charted in 3 h, 0 to 250 mL. Default 100:
	// less than any bolus.
	BolusMl float64 `yaml:"bolus_ml" json:"bolus_ml"`
}

// validate reports the first field that is out of bounds, by its YAML key.
func (u Unchanged) validate() error {
	for _, b := range []struct {
		key     string
		v, high float64
	}{{"map_mmhg", u.MAPMmHg, 10}, {"rate_ug_kg_min", u.RateUgKgMin, 0.02}, {"bolus_ml", u.BolusMl, 250}} {
		if !(b.v >= 0 && b.v <= b.high) {
			return fmt.Errorf("%w: unchanged.%s: %v is outside 0 to %v", ErrConfig, b.key, b.v, b.high)
		}
	}
	return nil
}

// evidence is what advice rests on, in the form in which the log keeps it:
// digests of what must be the same, numbers of what may move. It names nobody.
type evidence struct {
	facts, advice    string // hexadecimal digests
	mapMmHg, bolusMl float64
	ratesUgKgMin     []float64 // of the drugs that run, in the order of the facts
}

// evidenceForm begins every evidence text; another form is never compared.
const evidenceForm = "2"

// String writes e as form/facts/advice/MAP/bolus/rates. Numbers are rounded to
// what is charted, so that a conversion makes no difference.
func (e *evidence) String() string {
	rates := make([]string, len(e.ratesUgKgMin))
	for i, r := range e.ratesUgKgMin {
		rates[i] = strconv.FormatFloat(r, 'f', 4, 64)
	}
	return strings.Join([]string{evidenceForm, e.facts, e.advice,
		strconv.FormatFloat(e.mapMmHg, 'f', 1, 64), strconv.FormatFloat(e.bolusMl, 'f', 0, 64), strings.Join(rates, ",")}, "/")
}

// parseEvidence reads what String wrote; false for anything else.
func parseEvidence(s string) (e evidence, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 6 || parts[0] != evidenceForm {
		return e, false
	}
	e.facts, e.advice = parts[1], parts[2]
	numbers := parts[3:5]
	if parts[5] != "" {
		numbers = append(slices.Clip(numbers), strings.Split(parts[5], ",")...)
	}
	values := make([]float64, len(numbers))
	for i, text := range numbers {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return e, false
		}
		values[i] = v
	}
	e.mapMmHg, e.bolusMl, e.ratesUgKgMin = values[0], values[1], values[2:]
	return e, true
}

// evidenceOf gives the evidence of a decision. It goes through the text, so that
// what is compared now is what will be compared later.
func evidenceOf(c *Case, d *agent.Decision) (*evidence, error) {
	facts, rates := factsOf(c, d)
	e := evidence{ratesUgKgMin: rates}
	var err error
	if e.facts, err = digestOf(facts); err != nil {
		return nil, err
	}
	if e.advice, err = digestOf(adviceOf(c, d)); err != nil {
		return nil, err
	}
	p := &c.Timeline.Present
	if m := p.MAP.Newest; m != nil {
		e.mapMmHg = m.Value
	}
	e.bolusMl = p.Fluids.Bolus3hMl
	rounded, ok := parseEvidence(e.String())
	if !ok {
		return nil, fmt.Errorf("%w: evidence holds something that is no number", ErrUnsound)
	}
	return &rounded, nil
}

func digestOf(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%w: evidence: %w", ErrUnsound, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// drug is what must be the same about one vasoactive drug. RateUgKgMin, which
// may move, is kept apart.
type drug struct {
	Drug  state.Drug
	State string
	Rate  float64 // of a rate that is not weight-based
	Unit  string  // of Rate
}

// facts are what must be the same about the patient.
type facts struct {
	Client, Patient, Stay string
	Rules                 []string // that block, warn or name a danger
	GoalMmHg              float64
	MAPKnown, VasoKnown   bool
	BelowGoal             bool // an override of less vasopressor must not silence more of it
	FluidsKnown           bool
	Drugs                 []drug
	LactateMmolL          float64
	LactateBound          string // "<" and the like
	LactateAt             int64
}

func factsOf(c *Case, d *agent.Decision) (facts, []float64) {
	tl := c.Timeline
	p := &tl.Present
	f := facts{
		Client: c.Client, Patient: tl.PatientID, Stay: tl.StayID, Rules: hardRules(d),
		GoalMmHg: p.MAP.GoalMmHg, MAPKnown: p.MAP.Newest != nil, VasoKnown: p.VasoKnown, FluidsKnown: p.Fluids.Known,
	}
	if m := p.MAP.Newest; m != nil {
		f.BelowGoal = m.Value < p.MAP.GoalMmHg
	}
	if l := p.Lactate.Now; l != nil {
		f.LactateMmolL, f.LactateBound, f.LactateAt = l.Value, l.Comparator, l.At.Unix()
	}
	agents := slices.Clone(p.Agents)
	slices.SortStableFunc(agents, func(a, b state.Agent) int { return strings.Compare(string(a.Drug), string(b.Drug)) })
	var rates []float64
	for _, a := range agents {
		if a.State == state.AgentStopped {
			continue // that it runs no more is the fact, however long ago it ended
		}
		one := drug{Drug: a.Drug, State: a.State}
		if a.RateUgKgMin > 0 {
			rates = append(rates, a.RateUgKgMin)
			one.Unit = state.UnitUgKgMin
		} else {
			one.Rate, one.Unit = a.Rate, a.RateUnit
		}
		f.Drugs = append(f.Drugs, one)
	}
	return f, rates
}

// hardRules are the ids of the rules that block, of those that warn of the chart
// as it is, and of dangers. Warnings of a simulated future come and go with it.
func hardRules(d *agent.Decision) []string {
	var out []string
	for _, list := range [][]policy.Verdict{d.Hazards, d.Verdicts} {
		for _, v := range list {
			if v.Hazard || v.Effect == policy.Block || v.Effect == policy.Warning && v.When == policy.WhenPresent {
				out = append(out, v.ID)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// said is what must be the same about the advice.
type said struct {
	Status      agent.Status
	Display     string // a card without its dose is another card
	Reasons     []string
	Direction   string
	Drug        state.Drug
	StepUgKgMin float64
	UMin        float64
	BolusMl     float64
}

func adviceOf(c *Case, d *agent.Decision) said {
	s := said{Status: d.Status, Display: c.Display}
	for _, r := range d.Reasons {
		s.Reasons = append(s.Reasons, r.Code)
	}
	if v := d.Advice.Vasopressor; v != nil {
		s.Direction, s.Drug, s.UMin = v.Direction, v.Drug, v.UMin
		if v.Direction != agent.AdviceStop { // that step is the running rate
			s.StepUgKgMin = math.Round(v.FirstStepUgKgMin*100) / 100
		}
	}
	if f := d.Advice.Fluid; f != nil {
		s.BolusMl = f.BolusMl
	}
	return s
}

// factsUnchanged compares evidence now with that of an earlier card.
func (u Unchanged) factsUnchanged(now, then *evidence) bool {
	const rounding = 1e-9 // differences of decimals
	if now.facts != then.facts || len(now.ratesUgKgMin) != len(then.ratesUgKgMin) ||
		math.Abs(now.mapMmHg-then.mapMmHg) > u.MAPMmHg+rounding || math.Abs(now.bolusMl-then.bolusMl) > u.BolusMl+rounding {
		return false
	}
	for i, rate := range now.ratesUgKgMin {
		if math.Abs(rate-then.ratesUgKgMin[i]) > u.RateUgKgMin+rounding {
			return false
		}
	}
	return true
}

// silences reports why a decision about topic is not shown to this user again,
// and the receipt of the card that stands for it: of several the newest, an
// overridden one before others. Both are empty when it is to be shown. The order
// of c.Prior makes no difference.
func (cfg Config) silences(c *Case, topic string, now *evidence) (reason, receipt string) {
	var newest time.Time
	for i := range c.Prior {
		p := &c.Prior[i]
		if p.User != c.User || p.Topic != topic || !p.Shown || p.At.After(c.Now) {
			continue // another's, about something else, never seen, or of a clock that was set back
		}
		then, ok := parseEvidence(p.Evidence)
		if !ok || !cfg.Unchanged.factsUnchanged(now, &then) {
			continue
		}
		why := ""
		switch {
		case p.Outcome == OutcomeOverridden:
			why = SuppressedOverridden
		case then.advice == now.advice && c.Now.Sub(p.At).Minutes() < cfg.RepeatWindowMin:
			why = SuppressedRepeat
		default:
			continue
		}
		stronger := why == SuppressedOverridden && reason == SuppressedRepeat
		weaker := why == SuppressedRepeat && reason == SuppressedOverridden
		later := p.At.After(newest) || p.At.Equal(newest) && p.ReceiptID > receipt
		if reason == "" || stronger || !weaker && later {
			reason, receipt, newest = why, p.ReceiptID, p.At
		}
	}
	return reason, receipt
}
