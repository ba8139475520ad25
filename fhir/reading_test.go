// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: that a folder gives the same charts whatever the order of its
// lines and files, the number of cores and the kills on the way, and that
// every line is counted once, whatever it holds.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// exportOf is the export of a few synthetic patients, as lines.
func exportOf(t testing.TB, patients int, seed uint64) [][]byte {
	t.Helper()
	var lines [][]byte
	for i := range patients {
		who := strings.NewReplacer("p1", fmt.Sprintf("p%d", i), `"e1"`, fmt.Sprintf(`"e%d"`, i), "Encounter/e1", fmt.Sprintf("Encounter/e%d", i))
		add := func(s string) { lines = append(lines, []byte(strings.TrimSpace(line(who.Replace(s))))) }
		add(testPatient)
		add(testEncounter)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for k := range 40 {
			o := observation("8867-4", valueIn(fmt.Sprint(60+r.IntN(60)), "/min"))
			add(strings.Replace(o, `"o1"`, fmt.Sprintf(`"o%d-%d"`, i, k), 1))
		}
		add(strings.Replace(given(rx("8782"), rate("20", "mcg/kg/min")), `"subject"`, `"context":{"reference":"Encounter/e1"},"subject"`, 1))
		add(observation("99999-9", valueIn("1", "1")))
	}
	return lines
}

// sum is what a folder says of everybody.
type sum struct {
	charts string
	tally  state.Tally
}

func read(t interface {
	Helper()
	Fatal(...any)
}, m *Mapper, dir string, opt FolderOptions) sum {
	t.Helper()
	f, err := m.OpenFolderWith(context.Background(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := sum{tally: state.Tally{Reasons: map[string]int{}}}
	add := func(x state.Tally) {
		out.tally.Read += x.Read
		out.tally.Used += x.Used
		out.tally.Ignored += x.Ignored
		out.tally.Rejected += x.Rejected
	}
	add(f.Read)
	var all bytes.Buffer
	err = f.Each(context.Background(), func(b *Bag) error {
		defer b.Release() // so that the next one takes the same room
		whole, stays, err := m.StayCharts(b)
		if err != nil {
			add(b.CountNobody())
			return nil
		}
		add(whole.Tally)
		for _, c := range append(stays, whole) {
			c.Tally, c.Rejects = state.Tally{}, nil
			text, err := json.Marshal(c)
			if err != nil {
				return err
			}
			all.Write(append(text, '\n'))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out.charts = all.String()
	return out
}

func TestOrderAndCopiesOfLinesChangeNothing(t *testing.T) {
	m := testMapper(t)
	lines := exportOf(t, 6, 1)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "x.ndjson"), bytes.Join(lines, []byte("\n")))
	want := read(t, m, dir, FolderOptions{})
	if n := want.tally; n.Read != len(lines) || n.Used == 0 || want.charts == "" {
		t.Fatalf("%+v of %d lines", n, len(lines))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for seed := range uint64(4) {
		runtime.GOMAXPROCS(1 + int(seed%2))
		r := rand.New(rand.NewPCG(seed, 2))
		mixed := append(slices.Clone(lines), lines[:len(lines)/3]...)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		other := t.TempDir()
		// The copy of a record keeps the file it first came in, so one name.
		writeFile(t, filepath.Join(other, "x.ndjson"), bytes.Join(mixed, []byte("\r\n\n")))
		got := read(t, m, other, FolderOptions{})
		if got.charts != want.charts {
			t.Fatalf("seed %d: charts differ", seed)
		}
		if n := got.tally; n.Read != len(mixed) || n.Used != want.tally.Used || n.Read != n.Used+n.Ignored+n.Rejected {
			t.Errorf("seed %d: %+v of %d lines", seed, n, len(mixed))
		}
	}
}

func TestEveryLineOfADamagedFolderIsCountedOnce(t *testing.T) {
	m := testMapper(t)
	whole := exportOf(t, 3, 2)
	for _, raw := range hot {
		whole = append(whole, []byte(strings.TrimSpace(line(raw))))
	}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		var lines [][]byte
		n := 0
		for _, l := range whole {
			switch r.IntN(6) {
			case 0:
				l = damage(l, r)
			case 1:
				continue // the patient or the encounter may be missing
			case 2:
				lines = append(lines, l)
			}
			lines = append(lines, l)
		}
		text := bytes.Join(lines, []byte("\n"))
		for _, l := range bytes.Split(text, []byte("\n")) {
			if len(bytes.TrimRight(l, "\r ")) > 0 {
				n++
			}
		}
		dir, err := os.MkdirTemp("", "damaged")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, "x.ndjson"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got := read(t, m, dir, FolderOptions{}).tally
		if got.Read != n || got.Read != got.Used+got.Ignored+got.Rejected {
			t.Fatalf("%d lines: %d read, %d used, %d ignored, %d rejected", n, got.Read, got.Used, got.Ignored, got.Rejected)
		}
	})
}

func TestALineTooLongIsOneReject(t *testing.T) {
	dir := t.TempDir()
	long := append(bytes.Repeat([]byte("x"), maxLine+2*chunkBytes), '\n')
	writeFile(t, filepath.Join(dir, "x.ndjson"), slices.Concat([]byte(line(testPatient)), long, []byte(line(testEncounter)), long[:len(long)-1]))
	f, err := testMapper(t).OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.CountPatients() != 1 || f.Read.Reasons[faultTooLong] != 2 || f.Rejects[0].Origin.Line != 2 || f.Rejects[1].Origin.Line != 4 {
		t.Errorf("%d patients, %+v, %+v", f.CountPatients(), f.Read, f.Rejects)
	}
	if f.Bytes != int64(len(line(testPatient))+len(line(testEncounter))+2*len(long)-1) {
		t.Errorf("%d bytes", f.Bytes)
	}
}

// killedWork names the work folder for a reader that is to be killed.
const killedWork = "SEPSISAGENT_TEST_KILLED_READER"

func TestAReaderThatWasKilledGoesOn(t *testing.T) {
	m := testMapper(t)
	if work := os.Getenv(killedWork); work != "" {
		// The child: as slow as it takes to be killed half-way.
		_, err := m.OpenFolderWith(t.Context(), filepath.Join(work, "in"), FolderOptions{Work: work, every: 1,
			Progress: func(int64) { time.Sleep(50 * time.Millisecond) }})
		t.Fatalf("not killed: %v", err)
	}
	work, lines := t.TempDir(), exportOf(t, 4, 3)
	in := filepath.Join(work, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	text := append(bytes.Join(lines, []byte("\n")), '\n')
	var total int64
	for i, name := range []string{"a.ndjson", "b.ndjson", "c.ndjson.gz"} {
		content := text
		if i == 0 {
			// A pad of a megabyte makes several chunks of one file.
			content = slices.Concat(text[:200], []byte("\n"), bytes.Repeat([]byte(" "), 3<<20), []byte("\n{broken\n"), text)
		}
		total += int64(len(content))
		if strings.HasSuffix(name, ".gz") {
			content = gzipped(t, string(content))
		}
		writeFile(t, filepath.Join(in, name), content)
	}
	want := read(t, m, in, FolderOptions{})
	for range 3 {
		killReader(t, work)
	}
	first := int64(0)
	f, err := m.OpenFolderWith(t.Context(), in, FolderOptions{Work: work, Progress: func(n int64) {
		if first == 0 {
			first = n
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if first <= 200 || f.Bytes != total {
		t.Errorf("went on at %d bytes, %d of %d in the end", first, f.Bytes, total)
	}
	f.Close()
	if got := read(t, m, in, FolderOptions{Work: work}); !reflect.DeepEqual(got, want) {
		t.Errorf("charts or counts differ after the kills: %+v, want %+v", got.tally, want.tally)
	}
	// Another export in the same place begins anew.
	writeFile(t, filepath.Join(in, "b.ndjson"), []byte(line(testPatient)))
	if got, want := read(t, m, in, FolderOptions{Work: work}), read(t, m, in, FolderOptions{}); !reflect.DeepEqual(got, want) {
		t.Errorf("an old checkpoint was taken for a new export: %+v, want %+v", got.tally, want.tally)
	}
}

// killReader starts a reader and kills it when its checkpoint has moved.
func killReader(t *testing.T, work string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAReaderThatWasKilledGoesOn$")
	cmd.Env = append(os.Environ(), killedWork+"="+work)
	before, _ := os.ReadFile(filepath.Join(work, "read.json"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		now, _ := os.ReadFile(filepath.Join(work, "read.json"))
		if len(now) > 0 && !bytes.Equal(now, before) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatal("the reader ended by itself")
	}
}

// TestTheSpillKeepsAllOfARecord fails when a Record or an entry gains a member
// that the spill does not know of.
func TestTheSpillKeepsAllOfARecord(t *testing.T) {
	m := testMapper(t)
	check := func(t interface{ Fatalf(string, ...any) }, e *entry) {
		var d dictionary
		d.reset()
		text := d.appendEntry(nil, e)
		r := spillReader{text: string(d.bytes)}
		r.dictionary(uint64(len(d.bytes)))
		r.text = string(text)
		got, err := r.entry(nil)
		if err != nil || r.text != "" {
			t.Fatalf("%v, %d bytes left", err, len(r.text))
		}
		a, _ := json.Marshal([]any{e.kind, e.id, e.stamp, e.digest, e.decoded.specimen, e.decoded.drugRef, e.decoded.drugText, e.decoded.records})
		b, _ := json.Marshal([]any{got.kind, got.id, got.stamp, got.digest, got.decoded.specimen, got.decoded.drugRef, got.decoded.drugText, got.decoded.records})
		if !bytes.Equal(a, b) {
			t.Fatalf("wrote %s\nread  %s", a, b)
		}
		for cut := range text {
			r := spillReader{text: string(text[:cut]), words: r.words}
			if _, err := r.entry(nil); err == nil {
				t.Fatalf("%d of %d bytes are taken for a whole entry", cut, len(text))
			}
		}
	}
	for _, raw := range hot {
		h := inspect([]byte(raw), m.want)
		d, err := m.decodeHot([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		e := newEntry(&h, d, []byte(raw), state.Origin{})
		for i := range d.records {
			d.records[i].Type, d.records[i].ID = h.kind, h.id
		}
		check(t, e)
	}
	if n := reflect.TypeFor[decoded]().NumField(); n != 7 {
		t.Errorf("decoded has %d members: does appendEntry know them all?", n)
	}
	// What no Observation or MedicationAdministration is decoded to.
	foreign := map[string]bool{"Type": true, "ID": true, "Origin": true, "Intent": true, "Specimen": true, "Ingredients": true, "Clinical": true, "Verify": true,
		"Gender": true, "BirthDate": true, "Deceased": true, "Class": true, "PartOf": true, "Provider": true, "Disposition": true}
	kind := reflect.TypeFor[state.Record]()
	for i := range kind.NumField() {
		if name := kind.Field(i).Name; !foreign[name] {
			r := state.Record{Type: kindObservation, ID: "x"}
			fill(reflect.ValueOf(&r).Elem().Field(i))
			check(t, &entry{kind: kindObservation, id: "x", decoded: &decoded{records: []state.Record{r}}})
		}
	}
}

// fill sets a value of any of the types a Record is made of.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("a text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(1))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// FuzzSpill reads damaged temporary files.
func FuzzSpill(f *testing.F) {
	m := testMapper(f)
	var d dictionary
	d.reset()
	for _, raw := range hot {
		h := inspect([]byte(raw), m.want)
		dec, err := m.decodeHot([]byte(raw))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d.appendEntry(nil, newEntry(&h, dec, []byte(raw), state.Origin{})), d.bytes)
	}
	f.Fuzz(func(t *testing.T, text, words []byte) {
		r := spillReader{text: string(words)}
		r.dictionary(uint64(len(words)))
		r.text = string(text)
		_ = r.each(func(it item) error {
			_, err := it.entry(nil)
			return err
		})
	})
}
