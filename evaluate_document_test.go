// SPDX-License-Identifier: Apache-2.0

package main

// This file: the document and figures of `evaluate world`, from scores that
// hold everything and from scores that hold nothing.

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/world"
)

// storedScores are those that the shipped model keeps of its own test.
func storedScores(t *testing.T) (*world.Evaluation, *world.Model) {
	t.Helper()
	m, err := loadModel("")
	if err != nil {
		t.Fatal(err)
	}
	if m.Record().Test == nil {
		t.Skip("the shipped model keeps no test scores")
	}
	return &world.Evaluation{Scores: *m.Record().Test, Effects: m.Record().Effects}, m
}

func TestTheDocumentLinksEveryFigureItHasAndNoOther(t *testing.T) {
	e, m := storedScores(t)
	variant := func(name string) world.ConfoundedVariant {
		return world.ConfoundedVariant{Name: name, Effects: e.Effects.Effects, Curves: e.Effects.Curves,
			Shape: &world.Shape{Increments: 10, MAPFalls: 3, RiseMmHg: 4, Curves: e.Effects.Curves}}
	}
	study := &world.Confounding{Variants: []world.ConfoundedVariant{variant("records alone"), variant("as shipped")}, Patients: 3, Networks: 1}
	all := append(pictures(e, m.Record()), confoundingPicture(study))
	dir := filepath.Join(t.TempDir(), "figures")
	if err := writePictures(dir, all); err != nil {
		t.Fatal(err)
	}
	doc := worldDocument{e: e, r: m.Record(), info: m.Info(), pictures: all, figures: "figures", cv: &world.CrossValidation{Scores: e.Scores}, study: study}
	text := string(doc.write())
	if strings.Contains(text, "NaN") || strings.Contains(text, "%!") {
		t.Error("a number was not printed as one")
	}
	if !strings.Contains(text, "30.0 % of 10") {
		t.Error("the study of confounding is not printed")
	}
	if n := strings.Count(text, "](figures/world-"); n != len(all) {
		t.Errorf("%d figures linked, %d drawn", n, len(all))
	}
	for _, p := range all {
		svg, err := os.ReadFile(filepath.Join(dir, "world-"+p.name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(svg, []byte("NaN")) || !bytes.Contains(svg, []byte("<title")) || !bytes.Contains(svg, []byte("<desc")) {
			t.Errorf("figure %s is not complete", p.name)
		}
		for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("figure %s: %v", p.name, err)
			}
		}
	}
}

// nothingMeasured is what a cohort without any outcome or next value gives.
func nothingMeasured(t *testing.T) *world.Evaluation {
	t.Helper()
	e := &world.Evaluation{}
	empty := `{"state_mae":null,"persistence_mae":null,"ridge_mae":null,"reference_mae":null,"improvement":null,"nll":null,"interval80_coverage":null,
		"interval95_coverage":null,"vent_auroc":null,"mortality_auroc":null,"mortality_ece":null,"vaso24h_auroc":null,
		"rollout_mae":[null,null,null,null,null,null],"intervals":{}}`
	if err := json.Unmarshal([]byte(empty), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheDocumentSaysWhatWasNotMeasured(t *testing.T) {
	e := nothingMeasured(t)
	r := &world.TrainingRecord{}
	doc := worldDocument{e: e, r: r, pictures: pictures(e, r)}
	text := string(doc.write())
	if !strings.Contains(text, "not measured") || strings.Contains(text, "NaN") || strings.Contains(text, "| met |") {
		t.Errorf("the document of nothing:\n%s", text)
	}
	var out bytes.Buffer
	if err := printScores(&out, e); err != nil || strings.Contains(out.String(), "NaN") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestCounterfactualsAreTheSameForOneSeed(t *testing.T) {
	cfg := defaultConfig().State
	ask := func(seed uint64) (out []byte) {
		for s, err := range counterfactuals(t.Context(), 3, seed, cfg) {
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Contrasts) < 3 || len(s.MAPmmHg) != len(s.NEUgKgMin) || s.Timeline == nil {
				t.Fatalf("a patient without questions: %+v", s)
			}
			for i := 1; i < len(s.MAPmmHg); i++ {
				if s.MAPmmHg[i] < s.MAPmmHg[i-1] {
					t.Errorf("the simulator's pressure falls with norepinephrine: %v", s.MAPmmHg)
				}
			}
			b, err := json.Marshal(s.MAPmmHg)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b...)
		}
		return out
	}
	if a, b := ask(1), ask(1); len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("one seed gives %s and %s", a, b)
	}
	if bytes.Equal(ask(1), ask(2)) {
		t.Error("the seed changes nothing")
	}
}

func TestAFileThatIsNoCrossValidationIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(file, []byte(`{"unknown":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readCrossValidation(file); err == nil {
		t.Error("an unknown key was taken")
	}
	if cv, err := readCrossValidation(""); cv != nil || err != nil {
		t.Errorf("no file: %v %v", cv, err)
	}
}
