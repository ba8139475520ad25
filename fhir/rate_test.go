// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: rates the whole way, from resources to the timeline: the
// hand-computed cases of testdata/rate_cases.yaml.

type rateCase struct {
	Name     string   `yaml:"name"`
	RxNorm   string   `yaml:"rxnorm"`
	ATC      string   `yaml:"atc"`
	SNOMED   string   `yaml:"snomed"`
	Text     string   `yaml:"text"`
	Rate     string   `yaml:"rate"`
	Per      string   `yaml:"per"`
	Bag      []string `yaml:"bag"`
	Strength []string `yaml:"strength"`
	Weight   string   `yaml:"weight"`
	PumpKg   string   `yaml:"pumpKg"`
	Table    string   `yaml:"table"`
	NE       float64  `yaml:"ne"`
	Within   float64  `yaml:"within"`
	Unknown  string   `yaml:"unknown"`
	Why      string   `yaml:"why"`
}

type object map[string]any

// quantityOf reads "[<] number [unit]".
func quantityOf(text string) object {
	out := object{}
	if rest, ok := strings.CutPrefix(text, "< "); ok {
		out["comparator"], text = "<", rest
	}
	value, unit, _ := strings.Cut(text, " ")
	out["value"] = json.Number(value)
	if unit != "" {
		out["unit"] = unit
	}
	return out
}

func ratioObject(top, bottom string) object {
	return object{"numerator": quantityOf(top), "denominator": quantityOf(bottom)}
}

// concept names the drug as the case does.
func (c *rateCase) concept() object {
	out := object{}
	for system, code := range map[string]string{"http://www.nlm.nih.gov/research/umls/rxnorm": c.RxNorm, "http://www.whocc.no/atc": c.ATC, "http://snomed.info/sct": c.SNOMED} {
		if code != "" {
			out["coding"] = []object{{"system": system, "code": code}}
		}
	}
	if c.Text != "" {
		out["text"] = c.Text
	}
	return out
}

// resources are the case as an EHR would send it: an infusion that was set half
// an hour before testNow and still runs.
func (c *rateCase) resources(t testing.TB) []string {
	start := testNow.Add(-30 * time.Minute).Format(time.RFC3339)
	dosage := object{}
	if c.Per != "" {
		dosage["rateRatio"] = ratioObject(c.Rate, c.Per)
	} else {
		dosage["rateQuantity"] = quantityOf(c.Rate)
	}
	var extensions []object
	if c.Bag != nil {
		extensions = append(extensions, object{"url": "urn:x:infusion-concentration", "valueRatio": ratioObject(c.Bag[0], c.Bag[1])})
	}
	if c.PumpKg != "" {
		extensions = append(extensions, object{"url": "urn:x:dosing-weight", "valueQuantity": quantityOf(c.PumpKg)})
	}
	if extensions != nil {
		dosage["extension"] = extensions
	}
	a := object{"resourceType": "MedicationAdministration", "id": "m1", "status": "in-progress", "subject": object{"reference": "Patient/p1"},
		"effectivePeriod": object{"start": start}, "dosage": dosage}
	if c.Strength != nil {
		a["contained"] = []object{{"resourceType": "Medication", "id": "bag",
			"ingredient": []object{{"itemCodeableConcept": c.concept(), "strength": ratioObject(c.Strength[0], c.Strength[1])}}}}
		a["medicationReference"] = object{"reference": "#bag"}
	} else {
		a["medicationCodeableConcept"] = c.concept()
	}
	out := []object{a}
	if c.Weight != "" {
		out = append(out, object{"resourceType": "Observation", "id": "w1", "status": "final", "subject": object{"reference": "Patient/p1"},
			"code": object{"coding": []object{{"system": "http://loinc.org", "code": "29463-7"}}}, "effectiveDateTime": start, "valueQuantity": quantityOf(c.Weight)})
	}
	var text []string
	for _, r := range out {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, string(b))
	}
	return text
}

// timelineOf builds the timeline at testNow of a chart.
func timelineOf(t testing.TB, c *state.Chart, table string) *state.Timeline {
	t.Helper()
	cfg := state.DefaultConfig()
	if table != "" {
		cfg.NETable = table
	}
	tl, err := state.Build(c, testNow, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

func TestRatesAsHandComputed(t *testing.T) {
	data, err := os.ReadFile("testdata/rate_cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []rateCase `yaml:"cases"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	m, agreed := testMapper(t), 0
	for i := range file.Cases {
		c := &file.Cases[i]
		t.Run(c.Name, func(t *testing.T) {
			tl := timelineOf(t, chartOf(t, m, c.resources(t)...), c.Table)
			p := &tl.Present
			by := fmt.Sprintf("%g ug/kg/min", p.NEUgKgMin)
			if !p.VasoKnown {
				by = "unknown, " + p.VasoWhy
			}
			t.Logf("%s: %g by hand, %s by the code", c.Why, c.NE, by)
			within := max(c.Within, 1e-9)
			switch {
			case len(p.Agents) != 1:
				t.Fatalf("agents %+v", p.Agents)
			case c.Unknown == "" && (!p.VasoKnown || math.Abs(p.NEUgKgMin-c.NE) > within):
				t.Errorf("got %s: %+v", by, p.Agents[0])
			case c.Unknown != "" && (p.VasoKnown || !strings.HasSuffix(p.VasoWhy, c.Unknown)):
				t.Errorf("got %s, want unknown: %s", by, c.Unknown)
			case c.Unknown != "" && tl.Last().Given.VasoKnown:
				t.Errorf("the step is known: %+v", tl.Last().Given)
			default:
				agreed++
			}
		})
	}
	t.Logf("norepinephrine equivalents: %d of %d hand-computed cases agree", agreed, len(file.Cases))
	if len(file.Cases) < 25 {
		t.Errorf("only %d cases", len(file.Cases))
	}
}
