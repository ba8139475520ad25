// SPDX-License-Identifier: Apache-2.0

package cohort

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: hostile bytes in place of a cohort file.

func FuzzRead(f *testing.F) {
	c := &state.Chart{Person: state.Person{ID: "p"}, Stay: state.Stay{ID: "s", Start: admitted, End: admitted.Add(9 * 3600e9)}}
	rows, err := Rows(c, "fuzz", state.DefaultConfig())
	if err != nil {
		f.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := Encode(&buf, Seq(rows)); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add(buf.Bytes()[:buf.Len()-20])
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := decode(bytes.NewReader(b), int64(len(b)), func(Row) bool { n++; return n < 100 })
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%v does not wrap ErrCorrupt", err)
		}
	})
}
