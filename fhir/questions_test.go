// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

var updateQuestions = flag.Bool("update-questions", false, "rewrite fhir/ucum/testdata/questions.json; then run .ci/ucum/run --update")

// unitQuestion asks for a value in another unit; Weight is in g/mol, Charge in
// equivalents per mole.
type unitQuestion struct {
	Value  float64 `json:"value"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	Weight float64 `json:"weight,omitempty"`
	Charge float64 `json:"charge,omitempty"`
}

type questionnaire struct {
	Conversions []unitQuestion `json:"conversions"`
	Substances  []unitQuestion `json:"substances"`
	Texts       []string       `json:"texts"`
}

// substances are the conversions of the code maps that depend on what is
// measured, with the molar masses that they rest on.
var substances = []struct {
	concept state.Concept
	code    string // empty: any code of the concept
	unitQuestion
}{
	{"creatinine", "", unitQuestion{100, "umol/L", "mg/dL", 113.118, 0}},
	{"bilirubin_total", "", unitQuestion{100, "umol/L", "mg/dL", 584.66, 0}},
	{"glucose", "", unitQuestion{10, "mmol/L", "mg/dL", 180.156, 0}},
	{"bun", "3094-0", unitQuestion{10, "mmol/L", "mg/dL", 28.0134, 0}},
	{"bun", "3091-6", unitQuestion{10, "mmol/L", "mg/dL", 28.0134, 0}},
	{"calcium_total", "", unitQuestion{2, "mmol/L", "mg/dL", 40.078, 0}},
	{"calcium_total", "", unitQuestion{4, "meq/L", "mg/dL", 40.078, 2}},
	{"calcium_free", "", unitQuestion{4, "mg/dL", "mmol/L", 40.078, 0}},
	{"calcium_free", "", unitQuestion{2, "meq/L", "mmol/L", 0, 2}},
	{"magnesium", "", unitQuestion{1, "mmol/L", "mg/dL", 24.305, 0}},
	{"magnesium", "", unitQuestion{2, "meq/L", "mg/dL", 24.305, 2}},
	{"lactate", "", unitQuestion{18, "mg/dL", "mmol/L", 90.078, 0}},
	{"sodium", "", unitQuestion{138, "meq/L", "mmol/L", 0, 1}},
}

// oddTexts are read or refused the same by both, but for the differences that
// package ucum lists.
var oddTexts = []string{"mmHg", "mcg", "K/uL", "{beats}/min", "{score}", "10^9/L", "10*-3", "10*+3", "m[Hg]x", "//m", "m..s", "(m", "m)", "(m)", "mmin", "Cel/min",
	"ug/kg/min", "ug/(kg.min)", "ug.kg-1.min-1", "[lb_av]", "%{vol}", "m2", "m+2", "m-2", "L", "l", "dal", "dam", "1e3", "2mg", "/m/s", "/min", "[iU]/kg/h", "{a{b}}",
	"{a", "a}", "[pH]", "m[iU]", "k[IU]", "g%", "Torr", "t", "[CFU]", "[arb'U]", "[ppm]", "osm/kg", "mosm/kg", "meq/L", "U", "kU", "MU", "N", "J", "Hz", "W",
	"[in_i'Hg]", "mm[Hg].s", "100", "0", "m0", "cc", "hr", "sec", "mL/hr", "degF", "[degF]", "Cel", "mCel", "K", "Ym", "fmol", "amol", "[foz_us]", "[tsp_us]", "m^2", "kg.m/s2", "mg/dL ",
	" mg", "MG/DL", "mg/dl", "%", "%%", "1", "1/m", "a", "mo", "wk", "d", "eV", "deg", "B[SPL]", "m/[H2O]", "[HPF]", "{}", "{ }", "10*3{cells}/uL", "10*"}

// questions are made from the code maps: every unit into every other one of
// its kind, some random products of clinical units, and odd texts.
func questions(t *testing.T, x *index) questionnaire {
	t.Helper()
	var q questionnaire
	units := unitsOfTheConfigs(t, x)
	for _, code := range x.unitsDrug {
		units = append(units, code)
	}
	slices.Sort(units)
	units = slices.Compact(units)
	ask := func(value float64, from, to string) {
		a, errA := ucum.Parse(from)
		b, errB := ucum.Parse(to)
		if errA != nil || errB != nil || !a.SameKind(b) {
			t.Fatalf("%s and %s are not of one kind", from, to)
		}
		q.Conversions = append(q.Conversions, unitQuestion{Value: value, From: from, To: to})
	}
	for _, from := range units {
		for _, to := range units {
			if a, _ := ucum.Parse(from); from != to {
				if b, _ := ucum.Parse(to); a.SameKind(b) {
					ask(7.3, from, to)
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(7, 11))
	pick := func(list string) string { f := strings.Fields(list); return f[r.IntN(len(f))] }
	for _, form := range []string{"M/V", "M/W/T", "A/V", "E/V", "P", "V/T", "M.X-1", "N/V", "A/T", "C", "L2", "M/(W.T)", "P.V", "F.L"} {
		for range 20 {
			made := [2]string{}
			for i := range made {
				made[i] = strings.NewReplacer("M", pick("kg g mg ug ng [gr] t"), "X", pick("L dL mL uL"), "V", pick("L dL mL uL l m3 cm3 mm3 [foz_us] [cup_us]"), "W", pick("kg g [lb_av]"), "T", pick("s min h d wk"),
					"A", pick("mol mmol umol nmol"), "E", pick("U mU kat ukat nkat"), "P", pick("Pa kPa mm[Hg] cm[H2O] bar mbar atm [psi]"), "N", pick("10*3 10*6 10*9 10^3 1000"),
					"C", pick("Cel [degF] K"), "L", pick("m cm mm [in_i] [ft_i] [yd_i]"), "F", pick("N kN dyn")).Replace(form)
			}
			value := math.Round(r.Float64()*1e5) / 100
			ask(value, made[0], made[1])
		}
	}
	for _, s := range substances {
		q.Substances = append(q.Substances, s.unitQuestion)
	}
	q.Texts = append(slices.Clone(units), oddTexts...)
	slices.Sort(q.Texts)
	q.Texts = slices.Compact(q.Texts)
	return q
}

// TestTheQuestionsToUCUMAreThoseOfTheConfigs keeps the questions that package
// ucum is tested with equal to what the code maps use.
func TestTheQuestionsToUCUMAreThoseOfTheConfigs(t *testing.T) {
	path := filepath.Join("ucum", "testdata", "questions.json")
	want, err := json.MarshalIndent(questions(t, testMapper(t).x), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *updateQuestions {
		writeFile(t, path, want)
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("the code maps use other units than those asked (hint: go test ./fhir -run Questions -update-questions && .ci/ucum/run --update)")
	}
}

// TestMolarConversionsAgreeWithAnotherUCUM compares the factors of the code
// maps with conversions by molar mass that @lhncbc/ucum-lhc computed. Clinical
// factors are rounded, so that they agree to a thousandth.
func TestMolarConversionsAgreeWithAnotherUCUM(t *testing.T) {
	var answers struct {
		Substances []float64 `json:"substances"`
	}
	data, err := os.ReadFile(filepath.Join("ucum", "testdata", "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &answers); err != nil || len(answers.Substances) != len(substances) {
		t.Fatalf("%d answers to %d questions, %v", len(answers.Substances), len(substances), err)
	}
	m := testMapper(t)
	for i, s := range substances {
		c := m.x.concepts[s.concept]
		if s.code != "" {
			if own := m.x.observations[key{systemLOINC, s.code}].canon; own != nil {
				c = own
			}
		}
		got, _, reason := m.x.canonical(c, &state.Quantity{Value: strconv.FormatFloat(s.Value, 'g', -1, 64), Code: s.From}, "")
		if reason != "" || c.unitCode != s.To || math.Abs(got-answers.Substances[i]) > 1e-3*answers.Substances[i] {
			t.Errorf("%s: %g %s is %g %s (%s), and %g by ucum-lhc", s.concept, s.Value, s.From, got, c.unitCode, reason, answers.Substances[i])
		}
	}
}
