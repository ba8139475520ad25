// SPDX-License-Identifier: Apache-2.0

package cohort_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// This file: the invariants of design.md 7 on real charts.

// data is the folder of open ICU data; tests skip where it is absent.
func data(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real data are not read with -short")
	}
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	return dir
}

func bytesAt(t *testing.T, c *state.Chart, at time.Time) []byte {
	t.Helper()
	tl, err := state.Build(c, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	b, err := tl.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRealStaysAreReadWithoutTheFuture(t *testing.T) {
	dir := data(t, "mimic-iv-demo-fhir")
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	m := fhir.NewMapper(maps)
	folder, err := m.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	cfg := state.DefaultConfig()
	stays := 0
	err = folder.Each(context.Background(), func(b *fhir.Bag) error {
		for _, s := range m.Stays(b) {
			c, err := m.Chart(b, s.ID, s.Start.Add(1000*24*time.Hour))
			if err != nil {
				return err
			}
			stays++
			at := s.Start.Add(12 * time.Hour)
			want := bytesAt(t, c, at)
			if !bytes.Equal(want, bytesAt(t, c.Known(at), at)) {
				t.Errorf("stay %d: what was not known yet changes the timeline", stays)
			}
			if !bytes.Equal(want, bytesAt(t, c.Trim(at, cfg), at)) {
				t.Errorf("stay %d: trimming changes the timeline", stays)
			}
			builder, err := state.NewBuilder(c, cfg)
			if err != nil {
				return err
			}
			rows, err := cohort.RowsOf(builder, "mimic", 12)
			if err != nil {
				return err
			}
			if len(rows) == 3 && !bytes.Equal(want, rows[2].Canonical) {
				t.Errorf("stay %d: cohort and live timeline differ", stays)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if stays < 80 {
		t.Errorf("only %d stays", stays)
	}
}
