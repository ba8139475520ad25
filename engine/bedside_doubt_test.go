// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: the lines of design.md 5 where a chart can mislead: pressures that
// have to be confirmed, essentials that are old, antimicrobials that are no
// treatment, and sources that could not be read. On synthetic charts, and on the
// real stays in which each was first seen.

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

// pressures are those whose last hours a test rewrites.
var pressures = []string{"meanbp", "sysbp", "diabp"}

func (w *ward) hourlyMedian(mmHg, fromMinutes float64) {
	w.Measurements = append(w.Measurements, state.Measurement{Concept: "meanbp", Value: mmHg, Effective: ago(fromMinutes), End: ago(fromMinutes - 60),
		Available: ago(fromMinutes - 60), Method: state.MethodHourlyMedian, Received: "as charted"})
}

// undiagnosed removes what speaks of infection.
func (w *ward) undiagnosed() {
	w.without(state.ClassAntimicrobial)
	w.Orders = slices.DeleteFunc(w.Orders, func(o state.Order) bool {
		return o.Class == state.ClassAntimicrobial || slices.Contains(o.Tags, state.TagCulture)
	})
	w.Procedures = slices.DeleteFunc(w.Procedures, func(p state.Procedure) bool { return slices.Contains(p.Tags, state.TagCulture) })
	w.Conditions = slices.DeleteFunc(w.Conditions, func(c state.Condition) bool {
		return slices.Contains(c.Tags, state.TagSepsis) || slices.Contains(c.Tags, state.TagInfection)
	})
}

func (w *ward) cefazolin(hoursAgo ...float64) {
	for _, h := range hoursAgo {
		w.Administrations = append(w.Administrations, state.Administration{Drug: "cefazolin", Class: state.ClassAntimicrobial, Form: state.FormPush,
			Start: ago(60 * h), End: ago(60 * h), Available: ago(60 * h), EndAvail: ago(60 * h), Received: "2 g"})
	}
}

func newestMAP(mmHg float64, method string) func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
	return func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
		if m := tl.Present.MAP.Newest; m == nil || m.Value != mmHg || m.Method != method {
			t.Errorf("newest MAP %+v, want %.0f (%s)", m, mmHg, method)
		}
	}
}

func TestBedsidePressuresToConfirm(t *testing.T) {
	lone := func(w *ward) {
		w.norepinephrine(0.1)
		for _, c := range pressures {
			w.forget(c, 2)
		}
	}
	runLines(t, []line{
		{"5.4 a cuff late in an hour is newer than the median of that hour", physiology.SepticShock, func(w *ward) {
			lone(w)
			w.hourlyMedian(69, 62)
			w.measure("meanbp", 62, 6, state.MethodCuff)
		}, newestMAP(62, state.MethodCuff)},
		{"5.4 a cuff early in an hour is older than its median", physiology.SepticShock, func(w *ward) {
			lone(w)
			w.hourlyMedian(69, 62)
			w.measure("meanbp", 62, 58, state.MethodCuff)
		}, newestMAP(69, state.MethodHourlyMedian)},
		{"5.4 a median and a cuff that disagree ask to confirm MAP, without a dose, and name both", physiology.SepticShock, func(w *ward) {
			lone(w)
			w.hourlyMedian(80, 62)
			w.measure("meanbp", 62, 6, state.MethodCuff)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonMAPConflict)(t, o, tl)
			if text := o.Decision.Reasons[0].Text; !strings.Contains(text, "62") || !strings.Contains(text, "80") {
				t.Errorf("%q does not name both pressures", text)
			}
		}},
		{"5.4 the danger is in the lower of a median and a cuff", physiology.EarlySepsis, func(w *ward) {
			lone(w)
			w.without(state.ClassVasopressor)
			w.hourlyMedian(50, 62)
			w.measure("meanbp", 72, 6, state.MethodCuff)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonMAPConflict)(t, o, tl)
			if !endangered(&o, "H-CONFLICT") || !o.Show {
				t.Errorf("hazards %v, shown %v", o.Decision.Hazards, o.Show)
			}
		}},
		{"5.4 a single low cuff reading far below what the chart leads to expect starts nothing", physiology.Improving, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.lactateIs(1.2)
			for _, c := range pressures {
				w.forget(c, 48)
			}
			for m := 2800.; m >= 65; m -= 60 {
				w.measure("meanbp", 78, m, state.MethodCuff)
			}
			w.measure("meanbp", 54, 5, state.MethodCuff)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonMAPConflict)(t, o, tl)
			if len(o.Decision.Hazards) == 0 || !o.Show {
				t.Errorf("the danger is not shown: %v, %v", o.Decision.Hazards, o.Show)
			}
		}},
		{"5.4 a second low reading bears the first out", physiology.EarlySepsis, func(w *ward) {
			lone(w)
			w.without(state.ClassVasopressor)
			w.forget("meanbp", 9)
			for m := 480.; m >= 75; m -= 60 {
				w.measure("meanbp", 78, m, state.MethodCuff)
			}
			w.measure("meanbp", 57, 20, state.MethodCuff)
			w.measure("meanbp", 54, 5, state.MethodCuff)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			if tl.Present.MAP.Alone || strings.Contains(reasonsOf(&o), "single reading") {
				t.Errorf("alone %v: %s", tl.Present.MAP.Alone, reasonsOf(&o))
			}
		}},
		{"5.7 a stale MAP on a running vasopressor abstains and is shown as a danger without a dose", physiology.SepticShock, func(w *ward) {
			w.norepinephrine(0.1)
			for _, c := range pressures {
				w.forget(c, 2.5)
			}
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonMAPStale)(t, o, tl)
			if !endangered(&o, "H-STALE") || !o.Show {
				t.Errorf("hazards %v, shown %v", o.Decision.Hazards, o.Show)
			}
		}},
		{"5.7 a stale MAP without a vasopressor is no danger of its own", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassVasopressor)
			for _, c := range pressures {
				w.forget(c, 2.5)
			}
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if endangered(&o, "H-STALE") {
				t.Errorf("hazards %v", o.Decision.Hazards)
			}
		}},
		{"5.7 just below goal is said in those words and not hidden", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.without(state.ClassCrystalloid)
			w.mapIs(62)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			i := slices.IndexFunc(o.Decision.Verdicts, func(v policy.Verdict) bool { return v.ID == "H-UNTREATED" })
			if i < 0 || !strings.Contains(o.Decision.Verdicts[i].Text, "just below the goal") || !o.Show {
				t.Errorf("shown %v: %v", o.Show, o.Decision.Verdicts)
			}
		}},
		{"5.3 a bolus at the transfusion threshold shows the conflict with red cells", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.mapIs(62)
			w.forget("hemoglobin", 96)
			w.measure("hemoglobin", 6.2, 700, "")
			w.measure("hemoglobin", 6.1, 60, "")
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if !slices.ContainsFunc(o.Decision.Conflicts, func(c policy.Conflict) bool { return c.Rules == [2]string{"B2", "B2-VOLUME"} }) {
				t.Errorf("%s %+v: conflicts %v", o.Decision.Status, o.Decision.Advice.Fluid, o.Decision.Conflicts)
			}
		}},
	})
}

func TestBedsideEvidenceOfSepsis(t *testing.T) {
	runLines(t, []line{
		{"5.6 cefazolin alone for a day may be prophylaxis, and the reason says so", physiology.SepticShock, func(w *ward) {
			w.undiagnosed()
			w.cefazolin(20, 12, 4)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonSepsisUnknown)(t, o, tl)
			if !strings.Contains(reasonsOf(&o), "cefazolin") {
				t.Errorf("%s", reasonsOf(&o))
			}
		}},
		{"5.6 cefazolin for longer than prophylaxis takes is evidence", physiology.SepticShock, func(w *ward) {
			w.undiagnosed()
			w.cefazolin(30, 20, 4)
		}, suspected},
		{"5.6 cefazolin with a culture is evidence", physiology.SepticShock, func(w *ward) {
			w.undiagnosed()
			w.cefazolin(4)
			w.Orders = append(w.Orders, state.Order{Tags: []state.Tag{state.TagCulture}, Status: "active", Text: "blood culture", Start: ago(300), Available: ago(300)})
		}, suspected},
		{"5.6 cefazolin beside another antimicrobial leaves that as evidence", physiology.SepticShock, func(w *ward) {
			w.undiagnosed()
			w.cefazolin(4)
			w.Administrations = append(w.Administrations, state.Administration{Drug: "meropenem", Class: state.ClassAntimicrobial, Form: state.FormPush,
				Start: ago(100), End: ago(100), Available: ago(100), EndAvail: ago(100), Received: "1 g"})
		}, suspected},
		{"5.6 evidence that could not be looked for is not checked: abstain, with its dangers", physiology.SepticShock, func(w *ward) {
			w.undiagnosed()
			w.without(state.ClassVasopressor)
			w.mapIs(50)
			w.Gaps = append(w.Gaps, state.Gap{What: state.GapOrders, Reason: "not supplied"}, state.Gap{What: state.GapConditions, Reason: "not supplied"})
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonSepsisUnknown)(t, o, tl)
			if len(o.Decision.Hazards) == 0 || !o.Show {
				t.Errorf("hazards %v, shown %v", o.Decision.Hazards, o.Show)
			}
		}},
	})
}

func suspected(t *testing.T, o engine.Outcome, tl *state.Timeline) {
	if !tl.Present.Sepsis.Suspected || reasoned(&o, agent.ReasonNoEvidence) {
		t.Errorf("%s %s; evidence %v", o.Decision.Status, reasonsOf(&o), tl.Present.Sepsis.Evidence)
	}
}

func reasonsOf(o *engine.Outcome) string {
	var out []string
	for _, r := range o.Decision.Reasons {
		out = append(out, r.Text)
	}
	return strings.Join(out, "; ")
}

func endangered(o *engine.Outcome, id string) bool {
	return slices.ContainsFunc(o.Decision.Hazards, func(v policy.Verdict) bool { return v.ID == id })
}

// TestRealStaysThatMisledAreConfirmedFirst: eICU demo stays at the times at which
// readers found the advice wrong.
func TestRealStaysThatMisledAreConfirmedFirst(t *testing.T) {
	dir := realFolder(t, "eicu-demo-fhir")
	codes, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	m := fhir.NewMapper(codes)
	folder, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	d := decider(t, asTheBinary(t))
	type look struct {
		line  string
		after time.Duration
		check func(t *testing.T, o engine.Outcome, tl *state.Timeline)
	}
	looks := map[string]look{
		"stay-971247": {"5.4 the cuff of minutes ago stands before the hour's median", 3 * time.Hour, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			newestMAP(30, state.MethodCuff)(t, o, tl)
			abstains(agent.ReasonMAPConflict)(t, o, tl)
		}},
		"stay-1823442": {"5.4 one low cuff after hours at goal starts no norepinephrine", 15*time.Hour + 30*time.Minute, abstains(agent.ReasonMAPConflict)},
		"stay-3035601": {"5.6 cefazolin after surgery brings no advice on sepsis", 49*time.Hour + 30*time.Minute, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonSepsisUnknown)(t, o, tl)
			if tl.Present.Sepsis.Prophylaxis == "" {
				t.Errorf("%+v", tl.Present.Sepsis)
			}
		}},
	}
	seen := 0
	err = folder.Each(context.Background(), func(b *fhir.Bag) error {
		for _, stay := range m.Stays(b) {
			l, ok := looks[stay.ID]
			if !ok {
				continue
			}
			seen++
			at := stay.Start.Add(l.after)
			c, err := m.Chart(b, stay.ID, at)
			if err != nil {
				return err
			}
			tl, err := state.Build(c, at, state.DefaultConfig())
			if err != nil {
				return err
			}
			o, err := d.Decide(context.Background(), engine.Case{Timeline: tl, Now: at, ID: "real", Display: engine.DisplaySuggest})
			if err != nil {
				return err
			}
			t.Run(stay.ID+" "+l.line, func(t *testing.T) { l.check(t, o, tl) })
		}
		return nil
	})
	if err != nil || seen != len(looks) {
		t.Errorf("%d of %d stays were read: %v", seen, len(looks), err)
	}
}
