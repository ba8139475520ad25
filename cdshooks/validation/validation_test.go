// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

var accepted = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func hash(digit string) string { return strings.Repeat(digit, 64) }

// runs are the hashes of a service.
func runs() Covers {
	return Covers{Model: hash("1"), Actor: hash("2"), Rules: hash("3"), CodeMaps: hash("4"), Config: hash("5")}
}

func number(v float64) *float64 { return &v }

// record is a record that is right, for a service with those hashes.
func record() *Record {
	return &Record{
		Site: "General Hospital", Operator: "Dr Example", Accepted: accepted, Until: accepted.Add(180 * 24 * time.Hour), Software: "test",
		Covers: runs(), Cohort: hash("6"), Patients: 200, Stays: 210, Decisions: 4000,
		Measures: []Measure{
			{Name: "interval80_coverage", Value: 0.801, Low: number(0.79), High: number(0.81), AtLeast: number(0.78), AtMost: number(0.82)},
			{Name: "vent_auroc", Value: 0.95, AtLeast: number(0.8)},
		},
	}
}

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	key, _, err := audit.NewKey(nil, "hospital.example/validation")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t testing.TB, r *Record, key *audit.Key) []byte {
	t.Helper()
	data, err := r.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// open makes the file of a service that trusts the key.
func open(t *testing.T, path string, key *audit.Key) *File {
	t.Helper()
	f, err := NewFile(Config{File: path, Key: key.Verifier().String()}, runs())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARecordIsInForceOnlyForWhatItCovers(t *testing.T) {
	key, stranger := newKey(t), newKey(t)
	now := accepted.Add(time.Hour)
	for _, c := range []struct {
		name   string
		change func(*Record)
		now    time.Time
		client string
		unit   string
		key    *audit.Key
		want   Code
	}{
		{"5.11 a record that fits is in force", nil, now, "ehr", "MICU", key, ""},
		{"5.11 with an accepting clock somewhat ahead it is in force", nil, accepted.Add(-4 * time.Minute), "ehr", "MICU", key, ""},
		{"5.11 before it was accepted it is not", nil, accepted.Add(-time.Hour), "ehr", "MICU", key, NotYetValid},
		{"5.11 in its last second it is in force", nil, accepted.Add(180*24*time.Hour - time.Second), "ehr", "MICU", key, ""},
		{"5.11 when it expires it is not", nil, accepted.Add(180 * 24 * time.Hour), "ehr", "MICU", key, Expired},
		{"5.11 another model is not covered", func(r *Record) { r.Covers.Model = hash("a") }, now, "ehr", "MICU", key, WrongModel},
		{"5.11 another learned policy is not covered", func(r *Record) { r.Covers.Actor = hash("a") }, now, "ehr", "MICU", key, WrongActor},
		{"5.11 a record without a learned policy does not cover one", func(r *Record) { r.Covers.Actor = "" }, now, "ehr", "MICU", key, WrongActor},
		{"5.11 other rules are not covered", func(r *Record) { r.Covers.Rules = hash("a") }, now, "ehr", "MICU", key, WrongRules},
		{"5.11 other code maps are not covered", func(r *Record) { r.Covers.CodeMaps = hash("a") }, now, "ehr", "MICU", key, WrongCodeMaps},
		{"5.11 other settings are not covered", func(r *Record) { r.Covers.Config = hash("a") }, now, "ehr", "MICU", key, WrongConfig},
		{"5.11 prompts of a language model that does not run are not what runs", func(r *Record) { r.Covers.Prompts = hash("a") }, now, "ehr", "MICU", key, WrongPrompts},
		{"5.11 a unit that is named is covered", func(r *Record) { r.Units = []string{"SICU", "MICU"} }, now, "ehr", "MICU", key, ""},
		{"5.11 a unit that is not named is not", func(r *Record) { r.Units = []string{"SICU"} }, now, "ehr", "MICU", key, WrongUnit},
		{"5.11 a chart without a unit is no named unit", func(r *Record) { r.Units = []string{"SICU"} }, now, "ehr", "", key, WrongUnit},
		{"5.11 another client is not covered", func(r *Record) { r.Clients = []string{"other"} }, now, "ehr", "MICU", key, WrongClient},
		{"5.11 a stranger's signature does not count", nil, now, "ehr", "MICU", stranger, BadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, path := record(), filepath.Join(t.TempDir(), "validation.note")
			if c.change != nil {
				c.change(r)
			}
			put(t, path, signed(t, r, c.key))
			got := open(t, path, key).Standing(c.now).At(c.client, c.unit)
			if got.Code != c.want || (got.Why == "") != (c.want == "") || got.Digest == "" {
				t.Errorf("%+v, want %q", got, c.want)
			}
			if (got.Record == nil) != (c.want == BadSignature) {
				t.Errorf("record %v with code %q", got.Record, got.Code)
			}
		})
	}
}

func TestAFileThatIsNoRecordIsRefused(t *testing.T) {
	key := newKey(t)
	note := func(text string) []byte {
		data, err := key.SignNote(text)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	text, err := record().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want Code
	}{
		{"an empty file", nil, BadSignature},
		{"a text without a signature", []byte(text), BadSignature},
		{"a record with one byte changed", []byte(strings.Replace(string(signed(t, record(), key)), "Dr Example", "Dr Elsewho", 1)), BadSignature},
		{"a file that is too large", []byte(strings.Repeat("x", MaxBytes+1)), Malformed},
		{"a signed checkpoint of the log", note("hospital.example/validation\n5\nAAAA\n"), Malformed},
		{"a signed text of another schema", note(strings.Replace(text, "/1\n", "/2\n", 1)), Malformed},
		{"an unknown field", note(strings.Replace(text, `"site"`, `"size": 1, "site"`, 1)), Malformed},
		{"a field given twice", note(strings.Replace(text, `  "site"`, "  \"site\": \"x\",\n  \"site\"", 1)), Malformed},
		{"another spelling of the same", note(strings.Replace(text, "\n  ", "\n   ", 1)), Malformed},
		{"a second value", note(text + "{}\n"), Malformed},
		{"no measures", note(strings.Replace(text, `"measures": [`, `"measures": null, "x": [`, 1)), Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "validation.note")
			put(t, path, c.data)
			if got := open(t, path, key).Standing(accepted); got.Code != c.want || got.Record != nil {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
}

func TestRecordsThatCannotBeRightAreNotSigned(t *testing.T) {
	key := newKey(t)
	for _, c := range []struct {
		name   string
		change func(*Record)
	}{
		{"nobody accepted it", func(r *Record) { r.Operator = "" }},
		{"an operator of two lines", func(r *Record) { r.Operator = "a\nb" }},
		{"a name that is too long", func(r *Record) { r.Site = strings.Repeat("x", 201) }},
		{"no model", func(r *Record) { r.Covers.Model = "" }},
		{"a model that is no hash", func(r *Record) { r.Covers.Model = "model" }},
		{"a hash in capitals", func(r *Record) { r.Covers.Rules = hash("A") }},
		{"no cohort", func(r *Record) { r.Cohort = "" }},
		{"no expiry", func(r *Record) { r.Until = time.Time{} }},
		{"an expiry before the acceptance", func(r *Record) { r.Until = r.Accepted }},
		{"an expiry in two years", func(r *Record) { r.Until = r.Accepted.Add(2 * MaxLife) }},
		{"a time of another zone", func(r *Record) { r.Accepted = r.Accepted.In(time.FixedZone("x", 3600)) }},
		{"no patients", func(r *Record) { r.Patients = 0 }},
		{"fewer stays than patients", func(r *Record) { r.Stays = r.Patients - 1 }},
		{"no decisions", func(r *Record) { r.Decisions = 0 }},
		{"nothing measured", func(r *Record) { r.Measures = nil }},
		{"a measure without a name", func(r *Record) { r.Measures[0].Name = "" }},
		{"a unit without a name", func(r *Record) { r.Units = []string{""} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record()
			c.change(r)
			if _, err := r.Sign(key); !errors.Is(err, ErrRecord) {
				t.Errorf("signed: %v", err)
			}
		})
	}
}

func TestARecordActsWithoutARestart(t *testing.T) {
	key, path, now := newKey(t), filepath.Join(t.TempDir(), "validation.note"), accepted.Add(time.Hour)
	f := open(t, path, key)
	expect := func(want Code) {
		t.Helper()
		if got := f.Standing(now); got.Code != want {
			t.Fatalf("%+v, want %q", got, want)
		}
	}
	expect(NotValidated)
	put(t, path, signed(t, record(), key))
	expect("")
	wrong := record()
	wrong.Covers.Model = hash("a")
	put(t, path+".new", signed(t, wrong, key))
	if err := os.Rename(path+".new", path); err != nil { // as a deployment replaces it: same size, perhaps the same time
		t.Fatal(err)
	}
	expect(WrongModel)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect(NotValidated)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	expect(Unreadable)
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	key := newKey(t)
	_, private, err := audit.NewKey(nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"a file without a key", Config{File: "v.note"}},
		{"a key without a file", Config{Key: key.Verifier().String()}},
		{"a key that is none", Config{File: "v.note", Key: "nothing"}},
		{"the private key", Config{File: "v.note", Key: private}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewFile(c.cfg, runs())
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("accepted: %v", err)
			}
			if strings.Contains(err.Error(), private) {
				t.Error("the error holds the private key")
			}
		})
	}
	file := filepath.Join(t.TempDir(), "key.pub")
	put(t, file, []byte(key.Verifier().String()+"\n"))
	if _, err := NewFile(Config{File: "v.note", Key: file}, runs()); err != nil {
		t.Errorf("a key in a file: %v", err)
	}
}

// FuzzParse: whatever is signed, what is read has one spelling and is right.
func FuzzParse(f *testing.F) {
	text, err := record().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(Schema + "\n{}\n")
	f.Add(Schema + "\nnull\n")
	f.Add(strings.Replace(text, "0.801", "1e999", 1))
	f.Add(strings.Replace(text, "0.801", "8.01e-1", 1))
	f.Add(strings.Replace(text, "Dr Example", `\u0044r Example`, 1))
	f.Add(strings.Replace(text, "2026-03-01T09:00:00Z", "2026-03-01T10:00:00+01:00", 1))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		again, err := r.Text()
		if err != nil || again != text {
			t.Fatalf("read and written it is another text: %v\n%s", err, again)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	})
}
