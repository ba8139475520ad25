// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// This file: the canonical bytes of one hand-made chart. A change here changes
// the digest in every receipt and cohort: it must be meant.

var update = flag.Bool("update", false, "write golden files")

func goldenChart() *Chart {
	c := icuChart()
	c.Person.ID, c.Stay.ID, c.Stay.Unit = "golden-patient", "golden-stay", "MICU"
	c.Records = []Record{{Type: "Observation", ID: "map-1"}, {Type: "MedicationAdministration", ID: "ne-1"}, {Type: "Observation", ID: "bp-1", Part: "component[2]"}}
	m := measure("meanbp", 61, 0.25, MethodArterial)
	m.Record, m.Received = 0, "61 mm[Hg]"
	ne := infusion(DrugNorepinephrine, 9.6, UnitUgMin, 3.2, open)
	ne.Record, ne.Received, ne.DosingKg = 1, "9.6 mcg/min", 80
	c.Measurements = []Measurement{m, measure("lactate", 3.4, 6, ""), measure("lactate", 2.6, 1, ""), measure("creatinine", 1.6, 5, ""),
		measure("platelet", 96, 5, ""), measure("output_4hourly", 40, 1, ""), measure("base_excess", -6, 5, MethodArterial)}
	c.Administrations = []Administration{ne, fluidRow(ClassCrystalloid, FormBolus, 500, 0, 5, 4.5),
		{Drug: "piperacillin", Class: ClassAntimicrobial, Form: FormBolus, Start: ago(9), Available: ago(9), End: ago(8.5), Record: -1}}
	c.Conditions = []Condition{diagnosis(TagInfection, 12)}
	c.Gaps = []Gap{{GapOrders, "not asked"}}
	return c
}

func TestCanonicalGolden(t *testing.T) {
	got, err := mustBuild(t, goldenChart()).Canonical()
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/timeline.golden.json"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("canonical bytes moved (run with -update when meant):\n%s", cmp.Diff(indent(want), indent(got)))
	}
}

func indent(b []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(b), "", " "); err != nil {
		return string(b)
	}
	return out.String()
}

func TestCanonicalSurvivesJSON(t *testing.T) {
	tl := mustBuild(t, goldenChart())
	b, err := tl.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	var back Timeline
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	again, err := back.Canonical()
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("read back, the bytes differ (%v):\n%s", err, cmp.Diff(indent(b), indent(again)))
	}
	if x, y := digest(t, tl), digest(t, &back); x != y || len(x) != 64 {
		t.Errorf("digests %s and %s", x, y)
	}
}

func digest(t *testing.T, tl *Timeline) string {
	t.Helper()
	d, err := tl.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
