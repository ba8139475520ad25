// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
)

// This file: SOFA by hand. The cases and their arithmetic are in
// testdata/sofa_cases.yaml, where people can read them.

type sofaCase struct {
	Name       string     `yaml:"name"`
	Values     [][]any    `yaml:"values"`     // concept, value, hours ago, method
	Drugs      [][]any    `yaml:"drugs"`      // drug, rate, unit, from, to (null: still running), class
	Ventilated []*float64 `yaml:"ventilated"` // from, to
	Gap        string     `yaml:"gap"`
	Why        string     `yaml:"why"`
	Want       struct {
		Resp, Coag, Liver, Cardio, CNS, Renal int
	} `yaml:"want"`
}

func decodeCases(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// numberOf reads a YAML number, whole or not.
func numberOf(t *testing.T, v any) float64 {
	t.Helper()
	switch n := v.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	}
	t.Fatalf("%v is no number", v)
	return 0
}

func (c *sofaCase) chart(t *testing.T) *Chart {
	out := icuChart()
	for _, v := range c.Values {
		method := ""
		if len(v) > 3 {
			method = v[3].(string)
		}
		out.Measurements = append(out.Measurements, measure(Concept(v[0].(string)), numberOf(t, v[1]), numberOf(t, v[2]), method))
	}
	for _, d := range c.Drugs {
		end := float64(open)
		if d[4] != nil {
			end = numberOf(t, d[4])
		}
		a := infusion(Drug(d[0].(string)), numberOf(t, d[1]), d[2].(string), numberOf(t, d[3]), end)
		if len(d) > 5 {
			a.Class = Class(d[5].(string))
		}
		out.Administrations = append(out.Administrations, a)
	}
	if len(c.Ventilated) > 0 {
		p := Procedure{Tags: []Tag{TagVentInvasive}, Text: "ventilation", Start: ago(*c.Ventilated[0]), Available: ago(*c.Ventilated[0]), Record: -1}
		if to := c.Ventilated[1]; to != nil {
			p.End, p.EndAvail = ago(*to), ago(*to)
		}
		out.Procedures = append(out.Procedures, p)
	}
	if c.Gap != "" {
		out.Gaps = []Gap{{What: c.Gap, Reason: "not charted"}}
	}
	return out
}

func TestSOFAAsHandComputed(t *testing.T) {
	var file struct {
		Cases []sofaCase `yaml:"cases"`
	}
	decodeCases(t, "testdata/sofa_cases.yaml", &file)
	agreed := 0
	for i := range file.Cases {
		c := &file.Cases[i]
		t.Run(c.Name, func(t *testing.T) {
			want := SOFA{Resp: c.Want.Resp, Coag: c.Want.Coag, Liver: c.Want.Liver, Cardio: c.Want.Cardio, CNS: c.Want.CNS, Renal: c.Want.Renal}
			for _, n := range []int{want.Resp, want.Coag, want.Liver, want.Cardio, want.CNS, want.Renal} {
				if n >= 0 {
					want.Total, want.Scored = want.Total+n, want.Scored+1
				}
			}
			got := mustBuild(t, c.chart(t)).Last().SOFA
			t.Logf("%s: %d by hand, %d by the code", c.Why, want.Total, got.Total)
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
				return
			}
			agreed++
		})
	}
	t.Logf("SOFA: %d of %d hand-computed cases agree", agreed, len(file.Cases))
	if len(file.Cases) < 25 {
		t.Errorf("only %d cases", len(file.Cases))
	}
}

func TestAScoreNeedsNoHourWhereASiteSaysSo(t *testing.T) {
	c := icuChart()
	c.Administrations = []Administration{infusion(DrugNorepinephrine, 0.3, UnitUgKgMin, 0.5, open)}
	cfg := DefaultConfig()
	cfg.SOFAPressorH = 0
	tl, err := Build(c, t0, cfg)
	if err != nil || tl.Last().SOFA.Cardio != 4 {
		t.Fatalf("%v, %+v", err, tl.Last().SOFA)
	}
}
