// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: which drug a record is about, by codes, ingredients and at last by
// words, and whether it can be told at all.

import (
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// classRank orders drugs of a mixture: the active one names the row, the
// solvent does not.
var classRank = map[state.Class]int{state.ClassVasopressor: 9, state.ClassInotrope: 8, state.ClassVasoactive: 7, state.ClassAntimicrobial: 6,
	state.ClassSteroid: 5, state.ClassBlood: 4, state.ClassColloid: 3, state.ClassCrystalloid: 2, state.ClassFreeWater: 1}

// drugOf finds the drug of a record: by code, then by code prefix, then by the
// codes and names of its ingredients, and by its own name at last. A bag that is
// coded by its solvent alone is what its name says it holds.
func (x *index) drugOf(r *state.Record) (d *drugSpec, byText bool) {
	d = x.drugByCode(r.Codes)
	for i := range r.Ingredients {
		in := x.drugByCode(r.Ingredients[i].Codes)
		if in == nil {
			in = x.drugByName(r.Ingredients[i].Text)
			byText = byText || in != nil && d == nil
		}
		if in != nil && (d == nil || classRank[in.Class] > classRank[d.Class]) {
			d = in
		}
	}
	if d != nil && d.Dose == "volume" {
		if active := x.vasoactiveByName(r); active != nil {
			return active, true
		}
	}
	if d != nil && !d.Generic {
		return d, byText
	}
	named := x.drugByName(r.Text)
	if named == nil {
		named = x.drugByName(x.displays(r.Codes))
	}
	switch {
	case named == nil:
		return d, byText
	case d == nil:
		return named, true
	case named.Class == d.Class || named.Class == state.ClassCrystalloid && d.Class == state.ClassFreeWater:
		return named, byText // the code names the substance, the text its strength
	}
	return d, byText
}

// displays are the words in codings.
func (x *index) displays(list []state.Coding) string {
	var words []string
	for _, c := range list {
		if habit := x.admins[c.System]; habit != nil && habit.CodesAreNames {
			words = append(words, c.Code)
		}
		if c.Display != "" {
			words = append(words, c.Display)
		}
	}
	return strings.Join(words, " ")
}

// drugByCode prefers the most specific meaning: a product over a substance.
func (x *index) drugByCode(list []state.Coding) *drugSpec {
	var found *drugSpec
	for _, c := range list {
		d, ok := x.drugCodes[key{c.System, c.Code}]
		if !ok {
			for _, p := range x.drugPrefixes[c.System] {
				if strings.HasPrefix(c.Code, p.prefix) {
					d, ok = p.value, true
					break
				}
			}
		}
		if !ok {
			continue
		}
		if found == nil || found.Generic && !d.Generic || classRank[d.Class] > classRank[found.Class] {
			found = d
		}
	}
	return found
}

// drugByName finds the drug that text names. The most active class wins, then
// the longest name.
func (x *index) drugByName(text string) *drugSpec {
	if text == "" {
		return nil
	}
	return x.named.of(nameKey(text), x.readDrugName)
}

func (x *index) readDrugName(text nameKey) (found *drugSpec) {
	low := asName(string(text))
	for _, n := range x.drugNames { // longest first
		if found != nil && classRank[n.drug.Class] <= classRank[found.Class] {
			continue
		}
		if wordIndex(low, n.text) >= 0 {
			found = n.drug
		}
	}
	return found
}

// vasoactiveByName finds a vasoactive drug in the words of the row itself.
func (x *index) vasoactiveByName(r *state.Record) *drugSpec {
	for _, text := range []string{r.Text, x.displays(r.Codes)} {
		if text == "" {
			continue
		}
		low := asName(text)
		for _, n := range x.drugNames {
			if isVasoactive(n.drug.Class) && wordIndex(low, n.text) >= 0 {
				return n.drug
			}
		}
	}
	return nil
}

// nameless says whether a row gives no word for its medication: the Medication
// it refers to was not supplied, or it has only codes that no code map knows.
// What has a name that is none of ours is another drug; what has none may be
// anything.
func (x *index) nameless(r *state.Record) bool {
	if r.Text != "" || x.displays(r.Codes) != "" {
		return false
	}
	for i := range r.Ingredients {
		if r.Ingredients[i].Text != "" || x.displays(r.Ingredients[i].Codes) != "" {
			return false
		}
	}
	return true
}

// additive says whether a fluid that has no name of its own holds an ingredient
// that nobody can name. What the pump runs is then that, and not its solvent.
func (x *index) additive(r *state.Record) bool {
	if r.Text != "" || x.displays(r.Codes) != "" {
		return false
	}
	for i := range r.Ingredients {
		in := &r.Ingredients[i]
		if in.Text == "" && x.displays(in.Codes) == "" && x.drugByCode(in.Codes) == nil {
			return true
		}
	}
	return false
}
