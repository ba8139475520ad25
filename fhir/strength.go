// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: how strong the fluid is that a pump runs. A volume rate becomes a
// mass rate only by a strength that somebody charted or that a product has
// without doubt; there is no usual bag.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// byConcentration turns mL/h into mass or units per minute by the bag content.
func (x *index) byConcentration(d *drugSpec, r *state.Record, mlH float64, a *state.Administration) (float64, ucum.Unit, string) {
	perMl, unit, ok, why := x.concentration(d, r)
	if !ok {
		return 0, unit, why
	}
	a.MlPerH, a.Ledger, a.Tonicity = mlH, state.LedgerCarrier, 1
	if unit == unitU {
		a.Conversion = fmt.Sprintf("%g mL/h * %g [iU]/mL", mlH, perMl)
		return mlH * perMl / 60, unitUMin, ""
	}
	a.Conversion = fmt.Sprintf("%g mL/h * %g ug/mL", mlH, perMl)
	return mlH * perMl / 60, unitUgMin, ""
}

// concentration finds drug per mL, in ug or [iU]: from the row itself, from the
// strength of the ingredient in the medication, or from the code of a product
// that is run as it comes.
func (x *index) concentration(d *drugSpec, r *state.Record) (perMl float64, unit ucum.Unit, ok bool, why string) {
	product := x.productOf(r.Codes)
	if r.Strength != nil {
		return x.strength(d, r.Strength, r.Volume)
	}
	for i := range r.Ingredients {
		in := &r.Ingredients[i]
		if in.Amount == nil || in.Per == nil || x.ingredient(in) != d {
			continue
		}
		if p := x.productOf(in.Codes); p != nil {
			product = p
		}
		perMl, unit, ok, why = x.strength(d, in.Amount, in.Per)
		if ok && product != nil && product.Vial && perMl > product.perMl(d)*0.99 {
			return 0, unit, false, unknownVial
		}
		return perMl, unit, ok, why
	}
	switch {
	case product == nil:
		return 0, unit, false, unknownConc
	case product.Vial:
		return 0, unit, false, unknownVial
	case d.Dose == "units":
		return product.perMl(d), unitU, true, ""
	}
	return product.perMl(d), unitUg, true, ""
}

// perMl is the strength of a product in ug/mL or [iU]/mL, as d is dosed.
func (p *productSpec) perMl(d *drugSpec) float64 {
	u, err := ucum.Parse(p.Unit)
	if err != nil {
		return 0 // addProduct has checked it
	}
	if d.Dose == "units" {
		return u.To(p.Strength, unitUMl)
	}
	return u.To(p.Strength, unitUgMl)
}

// strength reads amount per volume.
func (x *index) strength(d *drugSpec, top, bottom *state.Quantity) (perMl float64, unit ucum.Unit, ok bool, why string) {
	if top == nil || bottom == nil || top.Comparator != "" || bottom.Comparator != "" {
		return 0, unit, false, unknownConc
	}
	amount, okA := number(top.Value)
	volume, okV := number(bottom.Value)
	topUnit, _, reasonTop := x.spelledUnit(top, true)
	bottomUnit, _, reasonBottom := x.spelledUnit(bottom, true)
	if !okA || !okV || amount <= 0 || volume <= 0 || reasonTop != "" || reasonBottom != "" || !bottomUnit.SameKind(unitMl) {
		return 0, unit, false, unknownConc
	}
	volume = bottomUnit.To(volume, unitMl)
	switch {
	case d.Dose == "mass" && topUnit.SameKind(unitUg):
		return topUnit.To(amount, unitUg) / volume, unitUg, true, ""
	case d.Dose == "units" && topUnit.SameKind(unitU):
		return topUnit.To(amount, unitU) / volume, unitU, true, ""
	}
	return 0, unit, false, unknownBagUnits
}
