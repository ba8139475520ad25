// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the drug part of the code maps: how drugs, fluids and products are
// written in YAML, and the look-ups made of them.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// drugSpec describes a drug or fluid. A second entry of the same drug adds
// codes, products and names only.
type drugSpec struct {
	Drug         state.Drug         `yaml:"drug"`
	Class        state.Class        `yaml:"class"`
	Dose         string             `yaml:"dose"` // "mass", "units", "volume" or empty
	MaxUgKgMin   float64            `yaml:"maxUgKgMin"`
	MaxUgMin     float64            `yaml:"maxUgMin"`
	MaxUMin      float64            `yaml:"maxUMin"`
	Tonicity     float64            `yaml:"tonicity"`
	Ledger       state.Ledger       `yaml:"ledger"`
	MlPer        map[string]float64 `yaml:"mlPer"` // volume of one unit of substance, for doses without a volume
	Generic      bool               `yaml:"generic"`
	InfusionOnly bool               `yaml:"infusionOnly"` // single doses are not of interest
	MaxPushUg    float64            `yaml:"maxPushUg"`    // a larger single dose is a bag, run at a rate nobody charted; 0: any may be a push
	MaxPushU     float64            `yaml:"maxPushU"`     // the same of a drug dosed in units
	ActsHours    float64            `yaml:"actsHours"`    // a single dose raises the pressure for so long
	OralIsLocal  bool               `yaml:"oralIsLocal"`  // by mouth it stays in the gut
	Ignore       string             `yaml:"ignore"`       // reason never to count it
	Codes        codes              `yaml:"codes"`
	CodePrefixes codes              `yaml:"codePrefixes"`
	Products     []productSpec      `yaml:"products"`
	Names        []string           `yaml:"names"`
}

// productSpec is what is known of the strength of products by their code. It
// gives the concentration of a bag that is run as it comes, where neither the
// row nor the Medication says it. A Vial is diluted before use: its strength
// is not that of what the pump runs, and is never taken for it.
type productSpec struct {
	Codes    codes   `yaml:"codes"`
	Strength float64 `yaml:"strength"`
	Unit     string  `yaml:"unit"` // of Strength: a mass or units per volume
	Vial     bool    `yaml:"vial"`
}

// addDrugDefinitions takes the entries with a class; addDrugs then lets other
// entries add codes to them, whatever the order of files.
func (x *index) addDrugDefinitions(f mapFile) error {
	for i := range f.Drugs {
		d := &f.Drugs[i]
		if d.Class == "" {
			continue
		}
		if _, ok := x.drugs[d.Drug]; ok {
			return fmt.Errorf("drug %s is defined twice", d.Drug)
		}
		if err := d.check(); err != nil {
			return fmt.Errorf("drug %s: %w", d.Drug, err)
		}
		x.drugs[d.Drug] = d
	}
	return nil
}

// check finds what would let a rate pass that nobody bounded.
func (d *drugSpec) check() error {
	switch d.Dose {
	case "mass":
		if isVasoactive(d.Class) && (d.MaxUgKgMin <= 0 || d.MaxUgMin <= 0) {
			return fmt.Errorf("a vasoactive dosed by mass needs maxUgKgMin and maxUgMin")
		}
	case "units":
		if d.MaxUMin <= 0 {
			return fmt.Errorf("a drug dosed in units needs maxUMin")
		}
	case "", "volume":
	default:
		return fmt.Errorf("dose %q is not mass, units or volume", d.Dose)
	}
	if d.ActsHours < 0 || d.ActsHours > 24 {
		return fmt.Errorf("actsHours %g is not between 0 and 24", d.ActsHours)
	}
	return nil
}

func (x *index) addDrugs(f mapFile) error {
	for i := range f.Drugs {
		d, ok := x.drugs[f.Drugs[i].Drug]
		if !ok {
			return fmt.Errorf("drug %s has codes but no entry with a class", f.Drugs[i].Drug)
		}
		err := x.addDrugCodes(d, f.Drugs[i].Codes)
		for k := range f.Drugs[i].Products {
			if err == nil {
				err = x.addProduct(d, &f.Drugs[i].Products[k])
			}
		}
		if err == nil {
			err = x.each(f.Drugs[i].CodePrefixes, func(k key) error {
				x.drugPrefixes[k.system] = append(x.drugPrefixes[k.system], prefixMeaning[*drugSpec]{k.code, d})
				return nil
			})
		}
		if err != nil {
			return err
		}
		for _, n := range f.Drugs[i].Names {
			x.drugNames = append(x.drugNames, name{asName(n), d})
		}
	}
	x.localWords = append(x.localWords, f.LocalWords...)
	if f.Bolus != nil {
		x.bolus = *f.Bolus
	}
	return nil
}

func (x *index) addDrugCodes(d *drugSpec, c codes) error {
	return x.each(c, func(k key) error {
		if other, ok := x.drugCodes[k]; ok && other != d {
			return fmt.Errorf("code %s of %s means both %s and %s", k.code, k.system, other.Drug, d.Drug)
		}
		x.drugCodes[k] = d
		return nil
	})
}

func (x *index) addProduct(d *drugSpec, p *productSpec) error {
	u, err := ucum.Parse(p.Unit)
	if err != nil {
		return fmt.Errorf("product of %s: %w", d.Drug, err)
	}
	want := map[string]ucum.Unit{"mass": unitUgMl, "units": unitUMl}
	if !u.SameKind(want[d.Dose]) || p.Strength <= 0 {
		return fmt.Errorf("product of %s: %g %s is no strength of a drug dosed in %s", d.Drug, p.Strength, p.Unit, d.Dose)
	}
	if err := x.addDrugCodes(d, p.Codes); err != nil {
		return err
	}
	return x.each(p.Codes, func(k key) error {
		if _, ok := x.products[k]; ok {
			return fmt.Errorf("product %s of %s is listed twice", k.code, k.system)
		}
		x.products[k] = p
		return nil
	})
}

// productOf finds the product that one of the codings names.
func (x *index) productOf(list []state.Coding) *productSpec {
	for _, c := range list {
		if p, ok := x.products[key{c.System, c.Code}]; ok {
			return p
		}
	}
	return nil
}
