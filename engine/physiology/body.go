// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: the hidden state of a body and how five minutes change it.

import "math"

// traits are what does not change during a stay.
type traits struct {
	ageYears, weightKg, heightCm float64
	female                       bool
	septic                       bool
	heartFailure, esrd           bool
	lungSource                   bool // the infection is a pneumonia
	bloodMl                      float64
	hr0, map0                    float64 // resting heart rate (/min) and MAP (mmHg)
	heart                        float64 // contractility at rest, 1 = healthy
	stiffness                    float64 // pulse pressure per stroke volume, 1 = age 50
	gfr0, creat0, bun0           float64
	hb0, plt0, wbc0, alb0, bili0 float64
	pf0                          float64 // P/F in health
	virulence, kill, immune      float64 // growth, antibiotic kill, own clearance (/h)
	vasoplegia, leakGain         float64
	neEmax, neEC50               float64 // tone added at saturation; ug/kg/min for half of it
	na0, k0, mg0, ca0            float64
	pao2Goal, paco20, hco30      float64 // mmHg the unit aims at; mmHg and mmol/L in health
	sedationDepth                float64
	antibioticAtH                float64 // when the team is ready to give it
	frailty                      float64
}

// body is the hidden state.
type body struct {
	burden, inflammation  float64
	tone, leak            float64
	volumeMl              float64 // intravascular, deviation from normal
	interstitialMl        float64 // deviation from normal
	depression            float64 // septic myocardial depression, 0..1
	gfr                   float64 // fraction of normal
	creatinine, bun       float64
	lungWater             float64
	lactate               float64
	hbMass                float64 // g/dL at normal blood volume
	platelet, wbc         float64
	bilirubin, inr        float64
	alt, ast              float64
	albumin               float64
	hco3, chloride, na    float64
	potassium             float64
	glucose, tempC        float64
	encephalopathy        float64
	toneDrift, hrDrift    float64 // slow chance
	gasDrift, breathDrift float64
	antibioticH           float64 // hours since first dose, -1 none
	diureticH             float64 // hours since the last loop diuretic, large when none
	bolusLeftMl           float64
	hr, mapMmHg, co, s    float64 // circulation now; co relative to rest, s = stressed volume ratio
	press                 float64
	fio2, peep            float64
	pao2, paco2, ph, rr   float64
	vent                  bool
	ventH                 float64 // hours in the present ventilation state
	hypoperfusion         float64 // 0..1
	urineMlH              float64
}

// advance is one step of five minutes under the doses.
func (b *body) advance(t *traits, d Doses, l luck) {
	b.infect(t, d)
	b.toneDrift = b.toneDrift*math.Exp(-dtH/3) + 0.010*l.z[0]
	b.hrDrift = b.hrDrift*math.Exp(-dtH/2) + 1.3*l.z[1]
	b.gasDrift = b.gasDrift*math.Exp(-dtH/5) + 0.022*l.z[12]
	b.breathDrift = b.breathDrift*math.Exp(-dtH/3) + 0.35*l.z[13]
	b.tone = relax(b.tone, 1-t.vasoplegia*b.inflammation+b.toneDrift, 1.2)
	b.leak = relax(b.leak, clamp(b.inflammation*t.leakGain, 0, 1), 4)
	b.depression = relax(b.depression, 0.28*b.inflammation, 8)
	b.fluids(t, d)
	b.circulate(t, d)
	b.kidney(t, l)
	b.metabolise(t, d, l)
	b.lungs(t, d)
	b.oxygenate(t)
	b.slowLabs(t, l)
}

// infect moves infection and inflammation.
func (b *body) infect(t *traits, d Doses) {
	if d.Antibiotic && b.antibioticH < 0 {
		b.antibioticH = 0
	}
	effect := 0.0
	if b.antibioticH >= 0 {
		b.antibioticH += dtH
		effect = b.antibioticH / (b.antibioticH + 2)
	}
	if t.septic {
		b.burden += dtH * b.burden * (t.virulence*(1-b.burden/1.6) - t.immune - t.kill*effect)
		b.burden = clamp(b.burden, 0, 1.6)
	}
	target := 1.25 * b.burden / (0.35 + b.burden)
	tau := 5.0
	if target < b.inflammation {
		tau = 12 // resolves more slowly than it rises
	}
	b.inflammation = relax(b.inflammation, target, tau)
}

// fluids moves volume between vessel, interstitium, urine and air.
func (b *body) fluids(t *traits, d Doses) {
	size := t.weightKg / 70
	b.bolusLeftMl += d.BolusMl
	bolus := math.Min(b.bolusLeftMl, 1000*dtH) // 500 mL in half an hour
	b.bolusLeftMl -= bolus
	in := bolus + dtH*(d.MaintenanceMlH+d.carrierMlH())
	if b.interstitialMl < 0 && b.hypoperfusion < 0.2 { // drinks, or is fed
		in += dtH * 90 * size * clamp(-b.interstitialMl/800, 0, 1)
	}
	exchange := 0.32 * (1 + 1.5*b.leak) * (b.volumeMl - 0.22*b.interstitialMl) // mL/h, both ways
	leak := 260 * size * b.leak
	lymph := 0.012 * math.Max(0, b.interstitialMl) * (1 - 0.5*b.leak)
	toTissue := dtH * (exchange + leak - lymph)
	insensible := dtH * 40 * size * (1 + 0.3*math.Max(0, b.tempC-37))
	b.volumeMl += in - toTissue - dtH*b.urineMlH - 0.4*insensible
	b.interstitialMl += toTissue - 0.6*insensible
	b.volumeMl = clamp(b.volumeMl, -0.45*t.bloodMl, 0.6*t.bloodMl)
	b.interstitialMl = clamp(b.interstitialMl, -4000*size, 30000*size)
}

// tonePress is the vascular tone that vasopressors add: a saturating (Emax)
// response whose potency falls with inflammation and acidosis.
func (b *body) tonePress(t *traits, d Doses) float64 {
	ne := d.NEUgKgMin + d.EpinephrineUgKgMin + d.PhenylephrineUgKgMin/10 + d.DopamineUgKgMin/100
	ec50 := t.neEC50 * (1 + 0.7*b.inflammation) * (1 + 0.8*math.Max(0, 7.25-b.ph))
	press := t.neEmax * ne / (ec50 + ne)
	return press + 0.26*d.VasopressinUMin/(0.02+d.VasopressinUMin)
}

// circulate finds heart rate, cardiac output and pressure for the present
// volume, tone and doses.
func (b *body) circulate(t *traits, d Doses) {
	b.press = relax(b.press, b.tonePress(t, d), 0.10)
	tone := math.Max(0.12, b.tone+b.press)
	capacity := 0.70 * (1 + 0.10*(1-math.Min(1.3, tone))) // vasoplegia pools venous blood
	b.s = clamp((1+b.volumeMl/t.bloodMl-capacity)/0.30, 0.05, 3)
	starling := 1.55 * b.s / (b.s + 0.55)
	inotropy := t.heart * (1 - b.depression) * (1 + 0.25*d.EpinephrineUgKgMin/(0.1+d.EpinephrineUgKgMin) +
		0.10*d.NEUgKgMin/(0.2+d.NEUgKgMin) + 0.35*d.DobutamineUgKgMin/(5+d.DobutamineUgKgMin))
	if b.s > 1.9 { // the failing ventricle gains nothing, then loses
		inotropy *= 1 - 0.12*(b.s-1.9)*(2-math.Min(1, t.heart))
	}
	afterload := 1 / (1 + 0.14*math.Max(0, tone-1)/t.heart)
	target := t.hr0 + 34*math.Pow(math.Max(0, b.inflammation), 0.8) + 7*math.Max(0, b.tempC-37.2) +
		0.75*clamp(78-b.mapMmHg, 0, 40) - 0.3*clamp(b.mapMmHg-92, 0, 40) -
		9*d.NEUgKgMin/(0.25+d.NEUgKgMin) + 12*d.EpinephrineUgKgMin/(0.15+d.EpinephrineUgKgMin) + b.hrDrift
	b.hr = relax(b.hr, clamp(target, 38, 0.92*(220-t.ageYears)+8), 0.15)
	filling := 1 / (1 + math.Max(0, b.hr-105)/170)
	b.co = clamp(b.hr/t.hr0*filling*starling*inotropy*afterload, 0.12, 2.6)
	cvp := b.cvp(t)
	b.mapMmHg = clamp(0.35*cvp+(t.map0-2)*b.co*tone, 18, 175)
	lowFlow := math.Max(0, 0.85-b.co*hbNow(b, t)/12*satNow(b))
	b.hypoperfusion = clamp(1.1*lowFlow+math.Max(0, 60-b.mapMmHg)/38, 0, 1)
}

// cvp is central venous pressure, mmHg.
func (b *body) cvp(t *traits) float64 {
	return clamp(5*b.s+4*(1-math.Min(1, t.heart))+0.3*b.peep, 0, 28)
}

// kidney moves filtration, urine, creatinine and urea.
func (b *body) kidney(t *traits, l luck) {
	perfusion := clamp((b.mapMmHg-42)/30, 0, 1) * clamp(b.co/0.8, 0.2, 1)
	congestion := clamp((b.cvp(t)-14)/14, 0, 0.5)
	target := (0.10 + 0.90*perfusion) * (1 - 0.42*b.inflammation) * (1 - congestion)
	tau := 9.0
	if target > b.gfr {
		tau = 30
	}
	b.gfr = clamp(relax(b.gfr, clamp(target, 0.03, 1), tau), 0.03, 1)
	loop := 0.0
	if b.diureticH < 8 {
		loop = 2.4 * math.Exp(-b.diureticH/2.5)
	}
	b.diureticH += dtH
	perKg := 0.95 * math.Sqrt(b.gfr) * b.gfr * perfusion * clamp(1+b.volumeMl/900, 0.25, 2.8) * (1 + loop)
	b.urineMlH = t.weightKg * clamp(perKg, 0, 8) * t.gfr0 * (1 + 0.12*clamp(l.z[2], -2.5, 2.5))
	b.creatinine += dtH * 0.055 * (t.creat0 - b.creatinine*b.gfr)
	b.creatinine = clamp(b.creatinine, 0.25, 14)
	b.bun += dtH * 0.045 * (t.bun0*(1+0.5*b.inflammation) - b.bun*b.gfr)
	b.bun = clamp(b.bun, 3, 180)
}

// metabolise moves lactate and acid-base.
func (b *body) metabolise(t *traits, d Doses, l luck) {
	adrenergic := 0.9*math.Max(0, d.NEUgKgMin-0.5) + 2.2*d.EpinephrineUgKgMin
	production := 0.26 + 2.3*b.hypoperfusion + 0.30*b.inflammation + 0.5*adrenergic
	clearance := 0.27 * (1 - 0.30*b.hypoperfusion) * clamp(1.15-b.bilirubin/40, 0.5, 1)
	b.lactate = clamp(b.lactate+dtH*(production-clearance*b.lactate)+0.010*b.lactate*l.z[3], 0.3, 24)
	acids := 0.85*(b.lactate-1) + 0.07*math.Max(0, b.bun-25) + 0.35*math.Max(0, b.chloride-106)
	b.hco3 = clamp(relax(b.hco3, t.hco30-acids, 2.5), 5, 36)
	b.chloride = clamp(relax(b.chloride, 103+0.0007*math.Max(0, b.interstitialMl)+0.25*l.z[4], 20), 82, 130)
	b.na = clamp(relax(b.na, t.na0+0.8*l.z[5], 30), 118, 165)
	b.potassium = clamp(relax(b.potassium, t.k0+0.9*(1-b.gfr)+2.2*(7.38-b.ph)-0.25*b.diuresis()+0.05*l.z[6], 10), 2.4, 7.8)
	b.glucose = clamp(relax(b.glucose, 112+55*b.inflammation+80*d.EpinephrineUgKgMin+6*l.z[7], 6), 45, 480)
	b.tempC = clamp(relax(b.tempC, 36.9+1.5*b.inflammation-1.0*math.Max(0, b.hypoperfusion-0.45)+0.06*l.z[8], 3), 33, 41.5)
}

func (b *body) diuresis() float64 {
	if b.diureticH > 12 {
		return 0
	}
	return 1
}

// lungs moves lung water and the ventilator.
func (b *body) lungs(t *traits, d Doses) {
	if d.Diuretic {
		b.diureticH = 0
	}
	size := t.weightKg / 70
	flood := math.Max(0, b.interstitialMl-1500*size)/(6500*size)*(1+0.8*b.leak) +
		0.45*math.Max(0, b.s-1.35)*(2.2-math.Min(1.2, t.heart))
	target := flood + 0.30*b.leak
	if t.lungSource {
		target += 0.75 * b.inflammation
	}
	tau := 2.5
	if target < b.lungWater {
		tau = 14
	}
	b.lungWater = relax(b.lungWater, clamp(target, 0, 4), tau)
	b.ventilate(t)
}

// slowLabs moves what changes over days.
func (b *body) slowLabs(t *traits, l luck) {
	inf := b.inflammation
	b.platelet = clamp(relax(b.platelet, t.plt0*(1-0.62*inf)+2*l.z[9], 40), 6, 900)
	b.wbc = clamp(relax(b.wbc, t.wbc0+11*inf+0.3*l.z[10], 14), 0.2, 80)
	b.bilirubin = clamp(relax(b.bilirubin, t.bili0*(1+2.4*inf)+3*b.hypoperfusion, 48), 0.1, 40)
	b.inr = clamp(relax(b.inr, 1.05+0.55*inf+0.6*b.hypoperfusion+0.05*math.Max(0, b.bilirubin-2), 30), 0.8, 9)
	hit := 900 * math.Max(0, b.hypoperfusion-0.25)
	b.ast = clamp(b.ast+dtH*(hit-0.028*(b.ast-32-25*inf)), 8, 9000)
	b.alt = clamp(b.alt+dtH*(0.7*hit-0.018*(b.alt-28-18*inf)), 6, 7000)
	b.albumin = clamp(relax(b.albumin, t.alb0*(1-0.30*inf)-0.00006*math.Max(0, b.interstitialMl), 36), 0.9, 5.2)
	b.hbMass = clamp(b.hbMass-dtH*0.010+0.004*l.z[11], 4, 20)
	b.encephalopathy = clamp(relax(b.encephalopathy, 0.55*inf+0.9*b.hypoperfusion+0.01*math.Max(0, b.bun-50), 5), 0, 1.6)
}

// dies draws death in this step from a hazard that grows with shock, lactate,
// hypoxia, age and frailty; a healthy state has almost none.
func (b *body) dies(t *traits, u float64) bool {
	h := 0.00010 * math.Exp(0.035*(t.ageYears-60)) * t.frailty
	h += 0.0075 * t.frailty * math.Max(0, b.lactate-3)
	h += 0.0004 * math.Max(0, 52-b.mapMmHg) * math.Max(0, 52-b.mapMmHg)
	h += 0.012 * math.Max(0, 0.55-b.pao2/100)
	h += 0.2 * math.Max(0, 7.12-b.ph)
	h += 0.0022 * t.frailty * math.Max(0, b.inflammation-0.45)
	return u < 1-math.Exp(-h*dtH)
}
