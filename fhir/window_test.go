// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what we leave unasked by date does not matter: a real chart that
// is fetched within our windows gives the timeline of the whole chart, but for
// readings that are older than the windows and that nothing is decided by.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ownRows are the resources of one real patient, as they are.
func ownRows(t *testing.T, dir, id string) (rows []json.RawMessage) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	mine, self := []byte(`"Patient/`+id+`"`), []byte(`"id":"`+id+`"`)
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(make([]byte, 1<<20), 16<<20)
		for lines.Scan() {
			if line := lines.Bytes(); bytes.Contains(line, mine) || bytes.Contains(line, self) || strings.Contains(path, "Location") {
				rows = append(rows, bytes.Clone(line))
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return rows
}

// row is a resource with what searches look at.
type row struct {
	raw  string
	kind string
	lag  string    // of the observation it is, "" when its code is not read
	ends time.Time // latest time it speaks of; far ahead for a period without an end
}

// rowOf reads a resource's time as FHIR searches by date do: a period without
// an end reaches any.
func rowOf(m *Mapper, raw json.RawMessage) row {
	var x struct {
		ResourceType, EffectiveDateTime, AuthoredOn string
		EffectivePeriod                             *struct{ Start, End string }
		Code                                        struct {
			Coding []struct{ System, Code string }
		}
	}
	_ = json.Unmarshal(raw, &x)
	r := row{raw: string(raw), kind: x.ResourceType}
	text := x.EffectiveDateTime + x.AuthoredOn
	if p := x.EffectivePeriod; p != nil {
		text = p.End
		if text == "" {
			text = "9999-01-01T00:00:00Z"
		}
	}
	r.ends, _ = time.Parse(time.RFC3339, text)
	for _, c := range x.Code.Coding {
		if o := m.x.observations[key{c.System, c.Code}]; o != nil {
			r.lag = o.Lag
		}
	}
	return r
}

// searchFor tells our searches for Observations apart, by codes in them.
func (r row) searchFor(codes string) bool {
	body := strings.Contains(codes, "|29463-7")
	dense, lab := strings.Contains(codes, "|8867-4,"), strings.Contains(codes, "|2160-0,")
	switch r.lag {
	case "monitor", "chart":
		return dense
	case "lab", "gas", "":
		return lab
	case "weight":
		return body
	}
	return !dense && !lab && !body
}

// rowsServer answers searches over rows by type, codes and date.
func rowsServer(t *testing.T, rows []row) *desk {
	return newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		_ = r.ParseForm()
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/fhir/"), "/")
		var from time.Time
		for _, name := range []string{"date", "effective-time", "authoredon"} {
			if text, ok := strings.CutPrefix(r.Form.Get(name), "ge"); ok {
				from, _ = time.Parse(time.RFC3339, text)
			}
		}
		var out []string
		for _, x := range rows {
			switch {
			case x.kind == "Location" && kind == "Encounter" && r.Form.Get("_include") == "Encounter:location":
				out = append(out, x.raw)
			case x.kind != kind, !from.IsZero() && x.ends.Before(from), kind == "Observation" && !x.searchFor(r.Form.Get("code")):
			case kind == "Patient":
				fmt.Fprint(w, x.raw)
				return true
			default:
				out = append(out, x.raw)
			}
		}
		fmt.Fprint(w, string(bundleOf(out...)))
		return true
	})
}

func TestARealChartFetchedByDateGivesTheTimelineOfTheWholeChart(t *testing.T) {
	dir := realData(t, "mimic-iv-demo-fhir")
	m := testMapper(t)
	for _, id := range windowPatients(t, dir) {
		rows := ownRows(t, dir, id)
		whole := NewBag(id)
		whole.Asked("Condition", "Procedure", "MedicationRequest", "MedicationAdministration")
		var held []row
		for _, raw := range rows {
			held = append(held, rowOf(m, raw))
			_ = m.Add(whole, raw, state.Origin{Via: "fetch"})
		}
		d := rowsServer(t, held)
		server := d.server(t, func(o *ServerOptions) { o.Timeout = time.Minute })
		for _, stay := range m.Stays(whole) {
			for _, after := range []time.Duration{12 * time.Hour, 3 * 24 * time.Hour} {
				at := stay.Start.Add(after).Truncate(time.Second)
				if at.After(stay.End) {
					continue
				}
				q := GatherRequest{PatientID: id, EncounterID: stay.ID, Now: at, From: server, Access: Access{Token: "t"}, Limits: Limits{Budget: time.Minute}}
				got, err := m.Gather(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				want, err := m.Chart(whole, stay.ID, at)
				if err != nil {
					t.Fatal(err)
				}
				a, b := timelineMembers(t, got.Chart, at), timelineMembers(t, want, at)
				t.Logf("%d of %d records", len(got.Chart.Records), len(want.Records))
				for name := range b {
					if !bytes.Equal(a[name], b[name]) {
						t.Errorf("%s differs after %v: %s", name, after, difference(a[name], b[name]))
					}
				}
			}
		}
	}
}

// timelineMembers is a timeline by its members, without the newest readings of
// what was last charted before the windows: a drain of last month.
func timelineMembers(t *testing.T, c *state.Chart, at time.Time) map[string]json.RawMessage {
	t.Helper()
	tl, err := state.Build(c, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(tl)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	var present map[string]json.RawMessage
	var readings map[string]json.RawMessage
	if json.Unmarshal(out["present"], &present) != nil || json.Unmarshal(present["readings"], &readings) != nil {
		t.Fatal("the timeline has no present readings")
	}
	for concept, raw := range readings {
		var r struct{ At time.Time }
		_ = json.Unmarshal(raw, &r)
		if r.At.Before(at.AddDate(0, 0, -denseDays)) {
			delete(readings, concept)
		}
	}
	present["readings"], _ = json.Marshal(readings)
	out["present"], _ = json.Marshal(present)
	return out
}

// windowPatients is the patient with the most ICU stays: whose chart reaches back
// furthest.
func windowPatients(t *testing.T, dir string) []string {
	t.Helper()
	stays := map[string]int{}
	f, err := os.Open(filepath.Join(dir, "MimicEncounterICU.ndjson.gz"))
	if err != nil {
		t.Skipf("no ICU encounters: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(make([]byte, 1<<20), 16<<20)
	for lines.Scan() {
		var e struct{ Subject struct{ Reference string } }
		_ = json.Unmarshal(lines.Bytes(), &e)
		stays[strings.TrimPrefix(e.Subject.Reference, "Patient/")]++
	}
	var best []string
	for range 1 {
		top := ""
		for id, n := range stays {
			if top == "" || n > stays[top] || n == stays[top] && id < top {
				top = id
			}
		}
		best = append(best, top)
		delete(stays, top)
	}
	return best
}

// difference shows where two texts part.
func difference(a, b []byte) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-150)
	return fmt.Sprintf("...%s\nwant ...%s", a[from:min(len(a), i+150)], b[from:min(len(b), i+150)])
}
