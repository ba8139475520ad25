// SPDX-License-Identifier: Apache-2.0

package icusepsis

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

func zipped(text string) *fstest.MapFile {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return &fstest.MapFile{Data: b.Bytes()}
}

func TestParseRefusesWhatIsNoTable(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"a row too few":        {"1,2\n", "1 rows, want 2"},
		"a row too many":       {"1,2\n3,4\n5,6\n", "more than 2 rows"},
		"a column too few":     {"1\n3,4\n", "1 columns, want 2"},
		"a column too many":    {"1,2,3\n", "more than 2 columns"},
		"a word":               {"1,two\n", "not a finite number"},
		"a number without end": {"1,1e999\n", "not a finite number"},
		"not a number":         {"1,NaN\n", "not a finite number"},
		"an empty field":       {"1,\n", "not a finite number"},
		"an endless line":      {strings.Repeat("1", 1<<17), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(strings.NewReader(test.text), 2, 2, func(int, []float64) error { return nil })
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestRowsThatAreNoDistributionsAreRefused(t *testing.T) {
	for name, row := range map[string][]float64{
		"a negative chance": {-0.5, 1.5}, "a sum below 1": {0.5, 0.4}, "a sum above 1": {0.9, 0.4},
	} {
		t.Run(name, func(t *testing.T) {
			if distribution(row) == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestReadSaysWhichTableIsWrong(t *testing.T) {
	_, err := read(fstest.MapFS{}, "nowhere")
	if !errors.Is(err, ErrTables) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "transitionFunction") {
		t.Errorf("a missing file: %v", err)
	}
	_, err = read(fstest.MapFS{"transitionFunction.csv.gz": {Data: []byte("1,2")}}, ".")
	if !errors.Is(err, ErrTables) || !strings.Contains(err.Error(), "not gzip") {
		t.Errorf("plain text: %v", err)
	}
	half := "0.5" + strings.Repeat(",0", States-1) + "\n"
	_, err = read(fstest.MapFS{"transitionFunction.csv.gz": zipped(half)}, ".")
	if !errors.Is(err, ErrTables) || !strings.Contains(err.Error(), "sum to 0.5") {
		t.Errorf("half a distribution: %v", err)
	}
	cut := zipped(half)
	cut.Data = cut.Data[:len(cut.Data)-9]
	if _, err = read(fstest.MapFS{"transitionFunction.csv.gz": cut}, "."); !errors.Is(err, ErrTables) {
		t.Errorf("a truncated file: %v", err)
	}
}

func TestStatesBeforeTheEndMustNotLeadThere(t *testing.T) {
	var m Tables
	row := make([]float64, States)
	row[End] = 1
	if m.transition(0, row) == nil {
		t.Error("a stay that ends in neither survival nor death was accepted")
	}
	if err := m.transition(Survived*Actions, row); err != nil {
		t.Error(err)
	}
	row[End], row[0] = 0, 1
	if m.transition(Died*Actions, row) == nil {
		t.Error("a life after death was accepted")
	}
}

func TestWhatIsNoPolicyIsRefused(t *testing.T) {
	m := &Tables{next: make([][]arrival, States*Actions), start: make([]float64, States), centres: make([][]float32, States), sofa: make([]float64, States)}
	m.start[0] = 1
	for cell := range m.next {
		m.next[cell] = []arrival{{Survived, 1}}
	}
	for s, says := range map[int]string{0: "sum to", 1: "probabilities"} {
		_, err := m.Value(offline.Func(func(seen offline.Observation) ([]float64, error) {
			if s == 0 {
				return make([]float64, Actions), nil
			}
			return []float64{1}, nil
		}))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("0.25,0.75\n1,0\n"))
	f.Add([]byte("1,2\r\n3,4"))
	f.Add([]byte(",\n,\n"))
	f.Add([]byte("0x1p-2,1_0\n+1,-0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows := 0
		err := parse(bytes.NewReader(text), 2, 2, func(i int, row []float64) error {
			if i != rows || len(row) != 2 {
				t.Errorf("row %d of %d numbers after %d rows", i, len(row), rows)
			}
			for _, v := range row {
				if v-v != 0 {
					t.Errorf("%v was taken for a number", v)
				}
			}
			rows++
			return nil
		})
		if err == nil && rows != 2 {
			t.Errorf("%d rows were accepted", rows)
		}
	})
}
