// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: gas exchange, the ventilator, and everything of the hidden state
// that can be measured.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// pf is the ratio of PaO2 (mmHg) to inspired oxygen fraction.
func (b *body) pf(t *traits) float64 {
	return clamp(t.pf0/(1+1.35*b.lungWater)*math.Exp(b.gasDrift)+4*(b.peep-5)*min(1, b.peep), 45, 520)
}

// ventilate is the unit's fixed protocol for oxygen and ventilator: FiO2 for a
// PaO2 near the patient's goal, intubation for hypoxia, coma or exhaustion, extubation
// after recovery. It does not depend on the treatment under study.
func (b *body) ventilate(t *traits) {
	b.ventH += dtH
	pf := b.pf(t)
	if !b.vent && b.ventH > 0.5 && (pf < 115 || b.encephalopathy > 1.05 || b.ph < 7.12) {
		b.vent, b.ventH, b.peep = true, 0, 8
	}
	if b.vent && b.ventH > 12 && pf > 230 && b.encephalopathy < 0.55 && b.hypoperfusion < 0.15 && b.press < 0.12 {
		b.vent, b.ventH, b.peep = false, 0, 0
	}
	want := clamp(100*t.pao2Goal/pf, 21, 100)
	if b.vent {
		want = math.Max(want, 30)
		b.peep = relax(b.peep, clamp(5+(200-pf)/20, 5, 15), 4)
	}
	b.fio2 = clamp(relax(b.fio2, want, 0.4), 21, 100)
}

// oxygenate finds the gases.
func (b *body) oxygenate(t *traits) {
	b.pao2 = clamp(b.pf(t)*b.fio2/100, 28, 520)
	drive := 0.55*math.Max(0, 24-b.hco3) + 0.08*math.Max(0, 75-b.pao2)
	if b.vent {
		drive = 0.35 * math.Max(0, 24-b.hco3)
	}
	b.paco2 = clamp(relax(b.paco2, t.paco20-1.6*drive+3*b.lungWater-0.8*b.breathDrift, 0.8), 16, 95)
	b.ph = clamp(6.1+math.Log10(b.hco3/(0.0307*b.paco2)), 6.75, 7.72)
	rr := 14 + b.breathDrift + 6*b.inflammation + 1.3*drive + 3*b.lungWater
	if b.vent {
		rr = 16 + 0.5*drive
	}
	b.rr = relax(b.rr, clamp(rr, 8, 46), 0.5)
}

// saturation is haemoglobin oxygen saturation in percent at a PaO2 in mmHg
// (Severinghaus 1979).
func saturation(pao2 float64) float64 {
	x := pao2*pao2*pao2 + 150*pao2
	return 100 / (23400/x + 1)
}

func satNow(b *body) float64 {
	if b.pao2 == 0 {
		return 0.97
	}
	return saturation(b.pao2) / 100
}

// hbNow is haemoglobin (g/dL) as diluted now.
func hbNow(b *body, t *traits) float64 {
	return clamp(b.hbMass/(1+b.volumeMl/t.bloodMl), 3, 22)
}

// Truth is every feature as it is, before anybody measures it, by feature name
// and in canonical units; output_4hourly is the present urine flow over 4 h.
type Truth map[state.Concept]float64

// truth reads the measurable quantities off the hidden state.
func (b *body) truth(t *traits) Truth {
	pulse := clamp(46*t.stiffness*clamp(b.co*t.hr0/b.hr, 0.2, 1.9)/clamp(0.55+0.45*(b.tone+b.press), 0.5, 1.6), 12, 110)
	dbp := clamp(b.mapMmHg-pulse/3, 10, 150)
	hb := hbNow(b, t)
	eye, verbal, motor := b.gcs(t)
	return Truth{
		"heart_rate": b.hr, "sysbp": clamp(dbp+pulse, b.mapMmHg, 240), "diabp": math.Min(dbp, b.mapMmHg),
		"meanbp": b.mapMmHg, "resp_rate": b.rr, "spo2": clamp(saturation(b.pao2), 55, 100), "temp_c": b.tempC,
		"fio2": b.fio2, "gcs_eye": eye, "gcs_verbal": verbal, "gcs_motor": motor,
		"albumin": b.albumin, "alt": b.alt, "ast": b.ast,
		"base_excess": 0.93 * (b.hco3 - 24.4 + 14.8*(b.ph-7.4)), "bicarbonate": b.hco3,
		"bilirubin_total": b.bilirubin, "bun": b.bun,
		"calcium_free": clamp(t.ca0-0.12*b.inflammation-0.02*b.lactate, 0.7, 1.4), "calcium_total": clamp(6.2+0.7*b.albumin, 5.5, 11),
		"chloride": b.chloride, "creatinine": b.creatinine, "glucose": b.glucose,
		"hemoglobin": hb, "hematocrit": clamp(2.862*hb+1.216, 9, 65), "inr": b.inr, "lactate": b.lactate,
		"magnesium": clamp(t.mg0+0.3*(1-b.gfr), 1, 4), "paco2": b.paco2, "pao2": b.pao2, "ph": b.ph,
		"platelet": b.platelet, "potassium": b.potassium, "pt": clamp(11.8*b.inr+0.4, 9, 110), "ptt": clamp(24+9*b.inr, 20, 130),
		"sodium": b.na, "total_co2": b.hco3 + 0.0307*b.paco2, "wbc": b.wbc, "output_4hourly": 4 * b.urineMlH,
		state.ConceptCVP: b.cvp(t), state.ConceptPEEP: b.peep,
	}
}

// gcs is the coma scale: encephalopathy, and sedation while ventilated.
func (b *body) gcs(t *traits) (eye, verbal, motor float64) {
	depth := b.encephalopathy
	if b.vent {
		depth = math.Max(depth, t.sedationDepth)
	}
	eye = math.Round(clamp(4.3-1.9*depth, 1, 4))
	verbal = math.Round(clamp(5.3-2.6*depth, 1, 5))
	motor = math.Round(clamp(6.3-1.7*depth, 1, 6))
	if b.vent {
		verbal = 1
	}
	return eye, verbal, motor
}
