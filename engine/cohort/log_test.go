// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: the log of finished rows, whole, cut short and of another build.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func openedLog(t *testing.T, path, key string) *Log {
	t.Helper()
	l, err := OpenLog(path, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestALogGivesBackWhatWasWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	l := openedLog(t, path, "build 1")
	drawn := rapid.Custom(func(t *rapid.T) []Row { return rowsOf(t, stay(t, "1")) })
	rows := [][]Row{drawn.Example(1), nil, drawn.Example(2)}
	for seed := 3; len(rows[0]) == 0 || len(rows[2]) == 0; seed += 2 {
		rows[0], rows[2] = drawn.Example(seed), drawn.Example(seed+1)
	}
	for i, r := range rows {
		if err := l.Append(r, map[string]int{"part": i}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(l *Log, n int) {
		t.Helper()
		if l.Batches() != n {
			t.Fatalf("%d batches, want %d", l.Batches(), n)
		}
		for i := range n {
			var note map[string]int
			got, err := l.Batch(i, &note)
			if err != nil || note["part"] != i || !cmp.Equal(got, rows[i], cmpopts.EquateEmpty()) {
				t.Errorf("batch %d: %+v, %v, %v", i, note, got, err)
			}
		}
	}
	check(openedLog(t, path, "build 1"), 3)
	// A kill in the middle of a write leaves half a batch.
	if err := os.Truncate(path, info.Size()-7); err != nil {
		t.Fatal(err)
	}
	l = openedLog(t, path, "build 1")
	check(l, 2)
	if err := l.Append(rows[2], map[string]int{"part": 2}); err != nil {
		t.Fatal(err)
	}
	check(openedLog(t, path, "build 1"), 3)
	// A kill before the head of a batch was written leaves zeros for it.
	if info, err = os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()+5000); err != nil {
		t.Fatal(err)
	}
	check(openedLog(t, path, "build 1"), 3)
	check(openedLog(t, path, "build 2"), 0)
}
