// SPDX-License-Identifier: Apache-2.0

package export

// This file: exports of one small log in every form, held against files that a
// person has read.

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	site  = Site{Log: "hospital.example/sepsis", URL: "https://cds.hospital.example"}
	start = time.Date(2026, 11, 22, 9, 10, 0, 123456000, time.UTC)
)

const (
	decisionID = "0198c1a0-0000-7000-8000-000000000001"
	cardID     = "0198c1a0-0000-7000-8000-0000000000c1"
	acceptID   = "0198c1a0-0000-7000-8000-0000000000c2"
)

func hash(c string) string { return strings.Repeat(c, 64) }

// call makes the record of a call and its entry.
func call(t testing.TB, r cdshooks.Record, change func(*audit.Index)) audit.Entry {
	t.Helper()
	r.Schema = cdshooks.RecordSchema
	body, err := cdshooks.EncodeRecord(&r)
	if err != nil {
		t.Fatal(err)
	}
	ix := r.Index(start)
	if change != nil {
		change(&ix)
	}
	return audit.Entry{Index: ix, Body: body}
}

// entries are a day at a hospital: a suggestion and two answers to it, a caller
// that was not let in, a chart that could not be read, a reader, a start, and a
// record whose body was erased.
func entries(t testing.TB) []audit.Entry {
	t.Helper()
	request := cdshooks.RequestMeta{
		Service: "sepsis-treatment", Client: "ehr", JTI: "token 1", RequestID: "req-1", Hook: "patient-view", HookInstance: "0198c1a0-0000-4000-8000-00000000000a",
		User: "Practitioner/anna", Patient: "p1", Encounter: "e1", FHIRServer: "https://ehr.example/fhir/", Bytes: 1234, Digest: hash("d"),
	}
	response, err := json.Marshal(cdshooks.Response{Cards: []cdshooks.Card{{
		UUID: cardID, Summary: "MAP 58, goal 65: consider starting norepinephrine at 0.05 ug/kg/min", Indicator: "warning",
		Suggestions: []cdshooks.Suggestion{{Label: "Follow the advice", UUID: acceptID}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	receipt := engine.Receipt{
		Schema: engine.ReceiptSchema, ID: decisionID, At: start.Add(-time.Minute), TimelineDigest: hash("e"),
		Hashes: engine.Hashes{Build: "v1.2.3", Model: hash("1"), Rules: hash("2"), CodeMaps: hash("3"), Config: hash("4"), Actor: hash("5")},
		Model:  world.Info{Kind: "native", Version: "1.0.0", Hash: hash("1")},
	}
	receipt.Outcome.Decision.Status, receipt.Outcome.Topic, receipt.Outcome.Show = "suggest", engine.TopicVasopressor, true
	receipt.Stay.Unit = "MICU"
	refused := request
	refused.Client, refused.User, refused.Patient, refused.Encounter, refused.JTI, refused.FHIRServer = "", "", "", "", "", ""
	failed := request
	failed.RequestID, failed.User, failed.FHIRServer = "req-3", "=HYPERLINK(\"http://evil\")", ""
	feedback := func(id, outcome, comment string, at time.Time) audit.Entry {
		f := &cdshooks.Feedback{Card: cardID, Outcome: outcome, Comment: comment, At: at}
		if outcome == cdshooks.OutcomeAccepted {
			f.AcceptedSuggestions = []string{acceptID}
		} else {
			f.Reason = &cdshooks.Coding{Code: "too-much", System: "https://ehr.example/reasons", Display: "Dose too high"}
		}
		return call(t, cdshooks.Record{ID: id, Kind: cdshooks.KindFeedback, Status: 200, Request: request, Feedback: f}, func(ix *audit.Index) {
			ix.Outcome, ix.Cards, ix.Refers, ix.Unit, ix.Topic = outcome, []string{cardID}, decisionID, "MICU", engine.TopicVasopressor
			ix.Model = hash("1")
			if f.Reason != nil {
				ix.Reasons = []string{f.Reason.Code}
			}
		})
	}
	list := []audit.Entry{
		{Index: audit.Index{ID: "0198c1a0-0000-7000-8000-000000000000", Kind: "config", Service: "sepsis-treatment", Model: hash("1")}, Body: []byte(`{"schema":"sepsisagent.start/1"}`)},
		call(t, cdshooks.Record{ID: decisionID, Kind: cdshooks.KindDecision, Status: 200, Request: request, Receipt: &receipt, Response: response,
			Display: &cdshooks.DisplayChoice{Mode: "suggest", Configured: "suggest"}}, nil),
		feedback("0198c1a1-0000-7000-8000-000000000002", cdshooks.OutcomeAccepted, "", start.Add(time.Minute)),
		feedback("0198c1a2-0000-7000-8000-000000000003", cdshooks.OutcomeOverridden, "=1+1, said <she>", start.Add(2*time.Minute)),
		call(t, cdshooks.Record{ID: "0198c1a3-0000-7000-8000-000000000004", Kind: cdshooks.KindRefusal, Status: 401, Reason: "unauthorized", Request: refused}, nil),
		call(t, cdshooks.Record{ID: "0198c1a4-0000-7000-8000-000000000005", Kind: cdshooks.KindFailure, Status: 412, Reason: "precondition-failed", Request: failed}, nil),
		{Index: audit.Index{ID: "0198c1a5-0000-7000-8000-000000000006", Kind: "read", User: "os/officer", Service: "cli", Refers: decisionID}, Body: []byte(`{"schema":"sepsisagent.read/1","command":"audit show"}`)},
		{Index: audit.Index{ID: "display_7", Kind: cdshooks.KindDisplay, Display: "silent"}, Body: []byte(`{"to":"silent"}`)},
		{Index: audit.Index{ID: "0198c1a7-0000-7000-8000-000000000008", Kind: "decision", Client: "ehr", User: "Practitioner/anna", Patient: "Patient/p2", HTTP: 200, Status: "suggest", Shown: true, Cards: []string{"0198c1a7-0000-7000-8000-0000000000c3"}}},
	}
	for i := range list {
		list[i].Index.Time = start.Add(time.Duration(i) * time.Minute)
		list[i].Salt = bytes.Repeat([]byte{byte(i + 1)}, 32)
	}
	return list
}

// events are the entries as a log would hand them out.
func events(t testing.TB) iter.Seq2[Event, error] {
	t.Helper()
	list := entries(t)
	return func(yield func(Event, error) bool) {
		for i, e := range list {
			leaf, err := audit.LeafOf(e)
			if err != nil {
				t.Fatal(err)
			}
			r := audit.Record{Row: audit.Row{Leaf: int64(i), LeafHash: leaf.Hash().String(), Index: e.Index}, Salt: e.Salt, Body: e.Body}
			if i == len(list)-1 {
				r.Salt = nil // erased
			}
			if !yield(Read(r)) {
				return
			}
		}
	}
}

func export(t testing.TB, f Format) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := Write(&b, f, site, events(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[Format]int{HTI1: 2}[f]; want == 0 && n != 9 || want != 0 && n != want {
		t.Errorf("%s: %d exported", f, n)
	}
	return b.Bytes()
}

func TestExportsAreAsAPersonReadThem(t *testing.T) {
	for f, name := range map[Format]string{CSV: "export.csv", NDJSON: "export.ndjson", FHIR: "export.fhir.ndjson", HTI1: "export.hti1.csv"} {
		t.Run(string(f), func(t *testing.T) {
			got := export(t, f)
			if *update {
				if err := os.WriteFile("testdata/"+name, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s changed; read the difference, then -update:\n%s", name, got)
			}
		})
	}
}

func TestTheSameRecordsGiveTheSameBytes(t *testing.T) {
	for _, f := range Formats() {
		if !bytes.Equal(export(t, f), export(t, f)) {
			t.Errorf("%s differs from run to run", f)
		}
	}
}

func TestParquetHoldsEveryRecordWithItsBody(t *testing.T) {
	data := export(t, Parquet)
	rows, err := parquet.Read[Line](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range events(t) {
		if err != nil {
			t.Fatal(err)
		}
		got, want := rows[n], e.line()
		body, err := e.readable()
		if err != nil {
			t.Fatal(err)
		}
		want.Body = string(body)
		want.Time = want.Time.Truncate(time.Microsecond)
		got.Time = got.Time.UTC()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("row %d\n got %v\nwant %v", n, got, want)
		}
		n++
	}
	if n != len(rows) {
		t.Errorf("%d rows for %d records", len(rows), n)
	}
}

func TestNoCellOfATableIsAFormula(t *testing.T) {
	for _, f := range []Format{CSV, HTI1} {
		for _, comma := range []rune{',', ';', '\t'} {
			r := csv.NewReader(bytes.NewReader(export(t, f)))
			r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
			table, err := r.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, cells := range table {
				for _, cell := range cells {
					if cell != "" && strings.ContainsAny(strings.TrimLeft(cell, " \"")[:min(1, len(strings.TrimLeft(cell, " \"")))], "=+-@") {
						t.Errorf("%s split at %q: the cell %q is a formula", f, comma, cell)
					}
				}
			}
		}
	}
}

func TestHarmlessTextNeverBeginsAFormulaWhereverACellMayBegin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.SampledFrom([]rune("=+-@|%＝ ,;\t\r\n\"'ab1\x00"))).Draw(t, "text")
		got := harmless(s)
		for _, cell := range strings.FieldsFunc(got, func(r rune) bool { return strings.ContainsRune(splits, r) }) {
			if c := strings.TrimLeft(cell, " "); c != "" && strings.ContainsAny(c[:1], "=+-@|%") {
				t.Fatalf("%q became %q, whose cell %q is a formula", s, got, cell)
			}
		}
		if strings.ContainsAny(got, "\r\n\t\x00") {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestABodyThatCannotBeReadEndsTheExport(t *testing.T) {
	if _, err := Read(audit.Record{Body: []byte{1, 2, 3}}); !errors.Is(err, ErrBody) {
		t.Errorf("%v", err)
	}
	bad := func(yield func(Event, error) bool) { yield(Event{}, ErrBody) }
	for _, f := range Formats() {
		if _, err := Write(io.Discard, f, site, bad); !errors.Is(err, ErrBody) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := Write(io.Discard, "xml", site, bad); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
}
