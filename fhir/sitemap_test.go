// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// readmeMap is the example of configs/codes/README.md as a file.
func readmeMap(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "configs", "codes", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("configs/codes/README.md has no example")
	}
	path := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, path, []byte(example))
	return path
}

func TestASiteAddsItsOwnCodes(t *testing.T) {
	maps, err := LoadCodeMaps(embedded(), readmeMap(t))
	if err != nil {
		t.Fatal(err)
	}
	m := NewMapper(maps)
	local := func(id, code, rest string) string {
		return strings.NewReplacer("http://loinc.org", "urn:hospital:lab", `"id":"o1"`, `"id":"`+id+`"`).Replace(observation(code, rest))
	}
	loinc := func(id, code, rest string) string {
		return strings.Replace(observation(code, rest), `"id":"o1"`, `"id":"`+id+`"`, 1)
	}
	arterial := `"contained":[{"resourceType":"Specimen","id":"s","type":{"coding":[{"system":"urn:hospital:lab","code":"ART"}]},"subject":{"reference":"Patient/p1"}}],"specimen":{"reference":"#s"},`
	ours := chartOf(t, m, local("a", "GLUC7", `"valueQuantity":{"value":10,"unit":"mmol per L"}`), local("b", "KREA", `"valueQuantity":{"value":132.63}`),
		local("c", "PO2", arterial+`"valueQuantity":{"value":10,"unit":"kPa"}`))
	theirs := chartOf(t, m, loinc("a", "14749-6", valueIn("10", "mmol/L")), loinc("b", "14682-9", valueIn("132.63", "umol/L")), loinc("c", "2703-7", valueIn("10", "kPa")))
	if len(ours.Measurements) != 3 || len(theirs.Measurements) != 3 {
		t.Fatalf("got %+v (%v) and %+v (%v)", ours.Measurements, ours.Rejects, theirs.Measurements, theirs.Rejects)
	}
	tl := func(c *state.Chart) [state.NumFeatures]float64 {
		timeline, err := state.Build(c, testNow.Add(-6*time.Hour), state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		return timeline.Steps[len(timeline.Steps)-1].Value
	}
	a, b := tl(ours), tl(theirs)
	for _, f := range []int{state.Glucose, state.Creatinine, state.PaO2} {
		if a[f] != b[f] || !(a[f] > 0) {
			t.Errorf("%s: %g by our codes, %g by LOINC", state.FeatureAt(f).Name, a[f], b[f])
		}
	}
	if maps.Hash() == ownMaps(t).Hash() {
		t.Error("the site's file does not change the hash of the code maps")
	}
	if lab := PrefetchTemplates(maps)[KeyLabs]; !strings.Contains(lab, "urn:hospital:lab|GLUC7") {
		t.Errorf("the prefetch template does not ask for the site's codes: %s", lab)
	}
}

func ownMaps(t *testing.T) *CodeMaps {
	t.Helper()
	maps, err := LoadCodeMaps(embedded())
	if err != nil {
		t.Fatal(err)
	}
	return maps
}

func TestAWrongCodeMapSaysWhatToMend(t *testing.T) {
	const head = "version: 1\nname: site\nsystems:\n  lab: [\"urn:hospital:lab\"]\n  loinc: [\"http://loinc.org\"]\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a code with two meanings", head + "observations:\n  - {concept: lactate, lag: lab, codes: {lab: [GLUC7]}}\n  - {concept: glucose, lag: lab, codes: {lab: [GLUC7]}}\n",
			[]string{"site.yaml: line 8:", "GLUC7", "lactate", "glucose"}},
		{"a code that means something else already", head + "observations:\n  - {concept: glucose, lag: lab, codes: {loinc: [2160-0]}}\n",
			[]string{"site.yaml: line 7:", "2160-0", "creatinine", "glucose"}},
		{"a system nobody defined", head + "observations:\n  - {concept: glucose, lag: lab, codes: {labor: [GLUC7]}}\n",
			[]string{"site.yaml: line 7:", `system "labor" is not defined`, "hint"}},
		{"a concept nobody knows", head + "observations:\n  - {concept: sugar, lag: lab, codes: {lab: [GLUC7]}}\n",
			[]string{"site.yaml: line 7:", `"sugar"`, "hint"}},
		{"a lag nobody defined", head + "observations:\n  - {concept: glucose, lag: soon, codes: {lab: [GLUC7]}}\n",
			[]string{"site.yaml: line 7:", `lag "soon"`, "hint"}},
		{"a unit that is not UCUM", head + "units:\n  any: {zuckerl: wibble}\n",
			[]string{"site.yaml: line 7:", "zuckerl", "unknown unit"}},
		{"a spelling with two meanings", head + "units:\n  any: {mmhg: kPa}\n",
			[]string{"site.yaml: line 7:", "mmhg", "mm[Hg]", "kPa"}},
		{"a misspelt key", head + "observation: []\n", []string{"site.yaml", "line 6", "observation", "unknown key"}},
		{"no version", "name: site\n", []string{"site.yaml", "version: 1"}},
		{"a conversion given again", head + "concepts:\n  - {concept: glucose}\n", []string{"site.yaml: line 7:", "glucose", "twice", "hint"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "site.yaml")
			writeFile(t, path, []byte(tt.text))
			_, err := LoadCodeMaps(embedded(), path)
			if !errors.Is(err, ErrCodeMap) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
	if _, err := LoadCodeMaps(embedded(), filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, ErrCodeMap) {
		t.Errorf("a file that is not there: %v", err)
	}
}
