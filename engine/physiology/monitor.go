// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: rounds and laboratory: when what is measured, how noisily, and
// how late it is known.

import (
	"math"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// vitals charts the nursing rounds: on admission, hourly, every 15 minutes on
// vasopressors or in hypotension,
// and a last one just before now.
func (ch *charter) vitals() {
	arterial, urineMl, urineFrom := false, 0.0, 0
	for i := range ch.log {
		m := &ch.log[i]
		urineMl += m.body.urineMlH * dtH
		r := dice(ch.c.patient.seed, "round", i)
		at := m.At.Add(-time.Duration(r.IntN(stepMin)) * time.Minute)
		last := i == len(ch.log)-1
		onDrug := m.Given.NEEquivalent() > 0
		if onDrug && i >= stepsPerHour {
			arterial = true
		}
		if last {
			at = m.At.Add(-4 * time.Minute)
		}
		hourly := i%stepsPerHour == stepsPerHour-1
		close := onDrug || m.body.mapMmHg < 65
		hourly = hourly || i == 0
		if !(hourly || last || close && i%3 == 2) || r.Float64() < 0.03 && !last && i > 0 {
			continue
		}
		tr := m.Truth()
		ch.pressure(at, tr, r.NormFloat64(), r.NormFloat64(), arterial)
		ch.observe(at, 0, reading{"heart_rate", clamp(tr["heart_rate"]+1.5*r.NormFloat64(), 20, 250), 0, "/min", ""})
		ch.observe(at, 0, reading{"spo2", clamp(tr["spo2"]+0.8*r.NormFloat64(), 50, 100), 0, "%", ""})
		if !hourly && !last {
			continue
		}
		ch.observe(at, 0, reading{"resp_rate", clamp(tr["resp_rate"]+1.2*r.NormFloat64(), 4, 60), 0, "/min", ""})
		hour := i / stepsPerHour
		if arterial && hour%4 == 1 {
			ch.pressure(at.Add(-time.Minute), tr, 1.2*r.NormFloat64(), r.NormFloat64(), false)
		}
		ch.rounds4h(hour, last, at, m, tr, r.NormFloat64())
		if every := 1 + (hour/24)%2; i-urineFrom >= every*stepsPerHour-1 {
			ch.observe(at, 0, reading{"output_4hourly", 5 * math.Round(urineMl/5), 0, "mL", ""})
			urineMl, urineFrom = 0, i+1
		}
	}
	ch.body()
}

// rounds4h charts what is looked at every four hours.
func (ch *charter) rounds4h(hour int, last bool, at time.Time, m *Moment, tr Truth, z float64) {
	if hour%4 == 0 || last {
		ch.observe(at, 0, reading{"temp_c", clamp(tr["temp_c"]+0.12*z, 30, 42.5), 1, "Cel", ""})
		method := ""
		if m.body.vent {
			method = state.MethodIntubated
		}
		ch.observe(at, 0, reading{"gcs_eye", tr["gcs_eye"], 0, "{score}", ""})
		ch.observe(at, 0, reading{"gcs_verbal", tr["gcs_verbal"], 0, "{score}", method})
		ch.observe(at, 0, reading{"gcs_motor", tr["gcs_motor"], 0, "{score}", ""})
	}
	if m.body.vent || hour%4 == 0 || last {
		ch.observe(at, 0, reading{"fio2", clamp(5*math.Ceil(tr["fio2"]/5-0.8), 21, 100), 0, "%", ""})
	}
	if m.body.vent && hour%2 == 0 {
		ch.observe(at, 0, reading{state.ConceptPEEP, tr[state.ConceptPEEP], 0, "cm[H2O]", ""})
	}
	if m.Given.NEUgKgMin > 0.15 && hour%4 == 0 {
		ch.observe(at, 0, reading{state.ConceptCVP, clamp(tr[state.ConceptCVP]+z, 0, 30), 0, "mm[Hg]", ""})
	}
}

// pressure charts one blood pressure; the line is closer to the truth than the cuff.
func (ch *charter) pressure(at time.Time, tr Truth, z, zPulse float64, arterial bool) {
	method, sd := state.MethodCuff, 3.2
	if arterial {
		method, sd = state.MethodArterial, 1.6
	}
	mean := clamp(tr["meanbp"]+sd*z, 15, 190)
	up := math.Max(2, tr["sysbp"]-tr["meanbp"]+sd*0.6*zPulse)
	down := math.Max(1, tr["meanbp"]-tr["diabp"]+sd*0.3*zPulse)
	ch.observe(at, 0,
		reading{"sysbp", clamp(mean+up, 20, 290), 0, "mm[Hg]", method},
		reading{"diabp", clamp(mean-down, 5, 190), 0, "mm[Hg]", method},
		reading{"meanbp", mean, 0, "mm[Hg]", method})
}

// body charts height once and weight daily.
func (ch *charter) body() {
	if len(ch.log) == 0 {
		return
	}
	admit := ch.c.patient.admit
	ch.observe(admit.Add(5*time.Minute), 0, reading{state.ConceptHeight, ch.t.heightCm, 0, "cm", ""})
	for day := 0; day*24*stepsPerHour < len(ch.log); day++ {
		b := ch.log[day*24*stepsPerHour].body
		kg := ch.t.weightKg + math.Max(0, b.interstitialMl+b.volumeMl)/1000*0.5
		ch.observe(admit.Add(time.Duration(24*day)*time.Hour+10*time.Minute), 0, reading{state.ConceptWeight, kg, 1, "kg", ""})
	}
}

// labRow says how one analyte is reported.
type labRow struct {
	concept  state.Concept
	cv       float64 // coefficient of variation of the measurement
	decimals int
	unit     string
}

var (
	chemistry = []labRow{
		{"sodium", 0.006, 0, "mmol/L"}, {"potassium", 0.02, 1, "mmol/L"}, {"chloride", 0.008, 0, "mmol/L"},
		{"bicarbonate", 0.03, 0, "mmol/L"}, {"bun", 0.03, 0, "mg/dL"}, {"creatinine", 0.03, 2, "mg/dL"},
		{"glucose", 0.03, 0, "mg/dL"}, {"calcium_total", 0.015, 1, "mg/dL"}, {"magnesium", 0.03, 1, "mg/dL"},
	}
	blood = []labRow{
		{"wbc", 0.04, 1, "10*3/uL"}, {"hemoglobin", 0.02, 1, "g/dL"}, {"hematocrit", 0.02, 1, "%"}, {"platelet", 0.04, 0, "10*3/uL"},
	}
	liver = []labRow{
		{"bilirubin_total", 0.05, 1, "mg/dL"}, {"alt", 0.05, 0, "U/L"}, {"ast", 0.05, 0, "U/L"}, {"albumin", 0.03, 1, "g/dL"},
	}
	clotting = []labRow{{"inr", 0.03, 1, "{INR}"}, {"pt", 0.03, 1, "s"}, {"ptt", 0.04, 1, "s"}}
	gas      = []labRow{
		{"ph", 0.0008, 2, "[pH]"}, {"paco2", 0.02, 0, "mm[Hg]"}, {"pao2", 0.03, 0, "mm[Hg]"}, {"base_excess", 0, 1, "mmol/L"},
		{"total_co2", 0.02, 0, "mmol/L"}, {"calcium_free", 0.02, 2, "mmol/L"},
	}
)

// laboratory draws blood: on admission, then at intervals that shrink with
// shock. Results are available after the laboratory's turn-around time.
func (ch *charter) laboratory() {
	next := map[string]int{"chem": 2, "blood": 2, "liver": 2, "clot": 2, "gas": 6, "lactate": 4}
	for i := range ch.log {
		m := &ch.log[i]
		r := dice(ch.c.patient.seed, "lab", i)
		shock := m.Given.NEEquivalent() > 0 || m.body.mapMmHg < 60
		var tr Truth
		due := func(kind string, every, spread float64) bool {
			if i < next[kind] {
				return false
			}
			next[kind] = i + int((every+spread*r.Float64())*stepsPerHour)
			if tr == nil {
				tr = m.Truth()
			}
			if i >= 3 && r.Float64() < 0.06 { // a tube gets lost, and is drawn again
				next[kind] = i + 9
				return false
			}
			return true
		}
		pick := func(sick, well float64) float64 {
			if shock {
				return sick
			}
			return well
		}
		late := func(minMin, spreadMin int) time.Duration {
			return time.Duration(minMin+r.IntN(spreadMin)) * time.Minute
		}
		send := func(rows []labRow, delay time.Duration, method string) {
			for _, row := range rows {
				v := tr[row.concept] * (1 + row.cv*clamp(r.NormFloat64(), -2.5, 2.5))
				ch.observe(m.At, delay, reading{row.concept, v, row.decimals, row.unit, method})
			}
		}
		if due("chem", pick(6, 11), 3) {
			send(chemistry, late(45, 60), "")
		}
		if due("blood", pick(8, 14), 6) {
			send(blood, late(30, 50), "")
		}
		if due("liver", pick(18, 30), 8) {
			send(liver, late(60, 70), "")
		}
		if due("clot", pick(14, 30), 8) {
			send(clotting, late(50, 60), "")
		}
		if (m.body.vent || shock || m.body.fio2 > 35 || i < 12) && due("gas", pick(4, 7), 2) {
			send(gas, late(6, 15), state.MethodArterial)
		}
		if (ch.t.septic || shock || m.body.vent) && due("lactate", ch.lactateEvery(m), 1.5) {
			send([]labRow{{"lactate", 0.03, 1, "mmol/L"}}, late(8, 30), "")
		}
	}
}

// lactateEvery is how soon a lactate is repeated, hours.
func (ch *charter) lactateEvery(m *Moment) float64 {
	switch {
	case m.body.lactate > 4:
		return 2
	case m.body.lactate > 2:
		return 3.5
	}
	return 5.5
}
