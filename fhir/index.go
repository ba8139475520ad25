// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: index, the code maps turned into look-ups, and the checks that
// the sections agree with each other.

import (
	"fmt"
	"sort"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// key is a code with its full system URL.
type key struct{ system, code string }

// prefixMeaning is a code prefix of one system; longer prefixes come first.
type prefixMeaning[T any] struct {
	prefix string
	value  T
}

// name is a drug name as it is looked for in text.
type name struct {
	text string
	drug *drugSpec
}

// index answers what a code means. Built once, read concurrently.
type index struct {
	systems      map[string][]string // short name -> URLs
	aliases      map[string]string   // URL -> short name
	unitsAny     map[string]string
	unitsDrug    map[string]string
	units        *readings[unitKey, unitRead]
	named        *readings[nameKey, *drugSpec]
	lags         lagTable
	concepts     map[state.Concept]*canon
	observations map[key]*observationSpec
	panels       map[key]bool
	methodWords  []methodWord
	methodCodes  map[key]*methodWord
	arterial     map[key]bool
	venous       map[key]bool
	specimenRow  map[key]bool
	arterialText map[string]bool
	venousText   map[string]bool
	drugs        map[state.Drug]*drugSpec
	drugCodes    map[key]*drugSpec
	drugPrefixes map[string][]prefixMeaning[*drugSpec] // by system URL
	drugNames    []name                                // longest first
	products     map[key]*productSpec
	localWords   []string
	routes       map[key]string
	routeWords   map[string]string
	bolus        bolusSpec
	admins       map[string]*adminSpec // by system URL
	categories   map[key]*contextSpec
	methods      map[key]*contextSpec
	findings     map[key][]state.Tag
	findPrefixes map[string][]prefixMeaning[state.Tag]
	findText     []findingSpec
	enc          encounterSpec
	icuCodes     map[key]bool
	diedCodes    map[key]bool
	deathSystems map[string]bool
	icuSystems   map[string]bool
	// wanted is every observation code that decoding must not skip.
	wanted map[key]bool
	order  []observationSpec // in file order, for prefetch templates
	// prefetch are the short names of systems that prefetch asks for.
	prefetch map[string]bool
}

func (x *index) build(files []mapFile) error {
	*x = index{
		systems: map[string][]string{}, aliases: map[string]string{}, unitsAny: map[string]string{}, unitsDrug: map[string]string{}, units: newReadings[unitKey, unitRead](), named: newReadings[nameKey, *drugSpec](),
		lags: lagTable{byClass: map[string]float64{}, bySource: map[string]map[string]float64{}}, concepts: map[state.Concept]*canon{}, observations: map[key]*observationSpec{},
		panels: map[key]bool{}, methodCodes: map[key]*methodWord{}, arterial: map[key]bool{}, venous: map[key]bool{}, specimenRow: map[key]bool{},
		arterialText: map[string]bool{}, venousText: map[string]bool{}, drugs: map[state.Drug]*drugSpec{},
		drugCodes: map[key]*drugSpec{}, drugPrefixes: map[string][]prefixMeaning[*drugSpec]{}, products: map[key]*productSpec{}, routes: map[key]string{},
		routeWords: map[string]string{}, admins: map[string]*adminSpec{}, categories: map[key]*contextSpec{},
		methods: map[key]*contextSpec{}, findings: map[key][]state.Tag{}, findPrefixes: map[string][]prefixMeaning[state.Tag]{},
		icuCodes: map[key]bool{}, diedCodes: map[key]bool{}, deathSystems: map[string]bool{}, icuSystems: map[string]bool{},
		wanted: map[key]bool{}, prefetch: map[string]bool{},
	}
	for _, f := range files {
		for _, alias := range f.Prefetch {
			x.prefetch[alias] = true
		}
		for alias, urls := range f.Systems {
			for _, u := range urls {
				if other, ok := x.aliases[u]; ok && other != alias {
					return f.locate(&faultAt{alias, fmt.Errorf("system %s is called both %s and %s", u, other, alias)})
				}
				if _, ok := x.aliases[u]; !ok {
					x.systems[alias] = append(x.systems[alias], u)
				}
				x.aliases[u] = alias
			}
		}
	}
	for _, f := range files {
		for _, step := range []func(mapFile) error{x.addUnits, x.addLags, x.addConcepts, x.addDrugDefinitions} {
			if err := step(f); err != nil {
				return f.locate(err)
			}
		}
	}
	for _, f := range files {
		for _, step := range []func(mapFile) error{x.addObservations, x.addDrugs, x.addContexts, x.addFindings, x.addEncounters} {
			if err := step(f); err != nil {
				return f.locate(err)
			}
		}
	}
	sort.SliceStable(x.drugNames, func(i, j int) bool {
		a, b := x.drugNames[i].text, x.drugNames[j].text
		return len(a) > len(b) || len(a) == len(b) && a < b
	})
	for _, list := range x.drugPrefixes {
		sortPrefixes(list)
	}
	for _, list := range x.findPrefixes {
		sortPrefixes(list)
	}
	if err := x.checkLags(); err != nil {
		return err
	}
	if x.bolus.CrystalloidMlH <= 0 {
		return fmt.Errorf("no bolus section in any file")
	}
	return nil
}

func sortPrefixes[T any](list []prefixMeaning[T]) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i].prefix, list[j].prefix
		return len(a) > len(b) || len(a) == len(b) && a < b
	})
}

// each calls use for every code of c with every URL of its system.
func (x *index) each(c codes, use func(key) error) error {
	aliases := make([]string, 0, len(c))
	for alias := range c {
		aliases = append(aliases, alias)
	}
	sort.Strings(aliases)
	for _, alias := range aliases {
		urls, ok := x.systems[alias]
		if !ok {
			return &faultAt{alias, fmt.Errorf("system %q is not defined (hint: add it under systems, with its URL)", alias)}
		}
		for _, url := range urls {
			for _, code := range c[alias] {
				if err := use(key{url, code}); err != nil {
					return &faultAt{code, err}
				}
			}
		}
	}
	return nil
}

// mark puts every code of c into set.
func (x *index) mark(c codes, set map[key]bool) error {
	return x.each(c, func(k key) error { set[k] = true; return nil })
}

func (x *index) addUnits(f mapFile) error {
	for into, from := range map[*map[string]string]map[string]string{&x.unitsAny: f.Units.Any, &x.unitsDrug: f.Units.Drug} {
		for spelling, code := range from {
			if _, err := ucum.Parse(code); err != nil {
				return &faultAt{spelling, fmt.Errorf("unit spelling %q: %w", spelling, err)}
			}
			k := squeeze(spelling)
			if other, ok := (*into)[k]; ok && other != code {
				return &faultAt{spelling, fmt.Errorf("unit spelling %q means both %s and %s", spelling, other, code)}
			}
			(*into)[k] = code
		}
	}
	return nil
}

func (x *index) addConcepts(f mapFile) error {
	for _, spec := range f.Concepts {
		if _, ok := x.concepts[spec.Concept]; ok {
			return &faultAt{string(spec.Concept), fmt.Errorf("concept %s is defined twice (hint: conversions are given once, for all codes; codes go under observations)", spec.Concept)}
		}
		c, err := newCanon(spec)
		if err != nil {
			return err
		}
		x.concepts[spec.Concept] = c
	}
	return nil
}

func (x *index) addObservations(f mapFile) error {
	for i := range f.Observations {
		o := &f.Observations[i]
		if _, ok := x.concepts[o.Concept]; !ok {
			return &faultAt{string(o.Concept), fmt.Errorf("observations: concept %q is not defined (hint: the names are those of concepts in loinc.yaml)", o.Concept)}
		}
		if _, ok := x.lags.byClass[o.Lag]; !ok {
			return &faultAt{string(o.Concept), fmt.Errorf("observations: %s: lag %q is not defined (hint: the classes are those of lags.yaml, e.g. lab)", o.Concept, o.Lag)}
		}
		if a := o.OtherAnswers; a != nil && !isOne(a.Concept) {
			return &faultAt{string(o.Concept), fmt.Errorf("observations: %s: otherAnswers: %q is not a concept that can be 1 (hint: %s)", o.Concept, a.Concept, state.ConceptO2Device)}
		}
		if o.AssumeUnit != "" {
			if _, err := ucum.Parse(o.AssumeUnit); err != nil {
				return &faultAt{string(o.Concept), fmt.Errorf("observations: %s: assumeUnit: %w", o.Concept, err)}
			}
		}
		if len(o.Convert) > 0 {
			var err error
			if o.canon, err = x.concepts[o.Concept].of(o.Convert); err != nil {
				return &faultAt{string(o.Concept), fmt.Errorf("observations: %s: %w", o.Concept, err)}
			}
		}
		err := x.each(o.Codes, func(k key) error {
			if other, ok := x.observations[k]; ok {
				return fmt.Errorf("code %s of %s means both %s and %s", k.code, k.system, other.Concept, o.Concept)
			}
			x.observations[k], x.wanted[k] = o, true
			return nil
		})
		if err != nil {
			return err
		}
		x.order = append(x.order, *o)
	}
	x.methodWords = append(x.methodWords, f.MethodWords...)
	for i := range f.MethodWords {
		w := &f.MethodWords[i]
		if err := x.each(w.Codes, func(k key) error { x.methodCodes[k] = w; return nil }); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		codes codes
		set   map[key]bool
	}{{f.Panels, x.panels}, {f.Specimens.Arterial, x.arterial}, {f.Specimens.Venous, x.venous}, {f.Specimens.Observation, x.specimenRow}} {
		if err := x.mark(step.codes, step.set); err != nil {
			return err
		}
	}
	for _, t := range f.Specimens.ArterialText {
		x.arterialText[t] = true
	}
	for _, t := range f.Specimens.VenousText {
		x.venousText[t] = true
	}
	return x.mark(f.Specimens.Observation, x.wanted)
}

// isOne says whether 1 is all that a concept can be.
func isOne(c state.Concept) bool {
	lo, hi, _, ok := state.Range(c)
	return ok && lo == 1 && hi == 1
}

func (x *index) addContexts(f mapFile) error {
	for kind, c := range f.Routes {
		if err := x.each(c, func(k key) error { x.routes[k] = kind; return nil }); err != nil {
			return err
		}
	}
	for kind, words := range f.RouteWords {
		for _, w := range words {
			x.routeWords[w] = kind
		}
	}
	for i := range f.Admins {
		urls, ok := x.systems[f.Admins[i].System]
		if !ok {
			return fmt.Errorf("administrations: system %q is not defined", f.Admins[i].System)
		}
		for _, u := range urls {
			x.admins[u] = &f.Admins[i]
		}
	}
	for _, section := range []struct {
		from []contextSpec
		into map[key]*contextSpec
	}{{f.Categories, x.categories}, {f.Methods, x.methods}} {
		for i := range section.from {
			if err := x.each(section.from[i].Codes, func(k key) error { section.into[k] = &section.from[i]; return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *index) addFindings(f mapFile) error {
	for _, finding := range f.Findings {
		err := x.each(finding.Codes, func(k key) error {
			x.findings[k] = append(x.findings[k], finding.Tag)
			if finding.Tag == state.TagCulture || finding.Tag == state.TagDNR || finding.Tag == state.TagComfortCare {
				x.wanted[k] = true
			}
			return nil
		})
		if err == nil {
			err = x.each(finding.CodePrefixes, func(k key) error {
				x.findPrefixes[k.system] = append(x.findPrefixes[k.system], prefixMeaning[state.Tag]{k.code, finding.Tag})
				return nil
			})
		}
		if err != nil {
			return err
		}
		if len(finding.Text) > 0 {
			x.findText = append(x.findText, finding)
		}
	}
	return nil
}

func (x *index) addEncounters(f mapFile) error {
	e := f.Encounters
	x.enc.ICUTypes = append(x.enc.ICUTypes, e.ICUTypes...)
	x.enc.ICUWords = append(x.enc.ICUWords, e.ICUWords...)
	x.enc.NotICUWords = append(x.enc.NotICUWords, e.NotICUWords...)
	x.enc.DiedText = append(x.enc.DiedText, e.DiedText...)
	for _, s := range e.ICUIdentifierSystems {
		x.icuSystems[s] = true
	}
	for _, s := range e.DeathsAfterDischarge {
		x.deathSystems[s] = true
	}
	if err := x.mark(e.ICUCodes, x.icuCodes); err != nil {
		return err
	}
	return x.mark(e.DiedCodes, x.diedCodes)
}
