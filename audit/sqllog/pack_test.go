// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: that a brief gives back what was packed, and that nothing in a
// database makes reading one fail otherwise than by an error.

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
)

func everything(each func(*audit.Counted)) want {
	return want{test: func(*audit.Shape, bool) bool { return true }, since: math.MinInt64, until: math.MaxInt64, each: each}
}

func TestABriefGivesBackWhatWasPacked(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "b", "Practitioner/1"}), rapid.String())
	id := rapid.OneOf(text, rapid.Just("0198c1a0-0000-7000-8000-000000000001"), rapid.Just("0198C1A0-0000-7000-8000-000000000001"), rapid.Just("00000000-0000-0000-0000-000000000000"))
	rapid.Check(t, func(t *rapid.T) {
		var p packer
		var packed, read []audit.Counted
		for range rapid.IntRange(0, 30).Draw(t, "entries") {
			c := audit.CountedOf(audit.Index{
				ID: id.Draw(t, "id"), Time: time.Unix(0, rapid.Int64().Draw(t, "time")), Kind: text.Draw(t, "kind"), Client: text.Draw(t, "client"),
				User: text.Draw(t, "user"), Unit: text.Draw(t, "unit"), Topic: text.Draw(t, "topic"), Model: text.Draw(t, "model"),
				Status: text.Draw(t, "status"), Outcome: text.Draw(t, "outcome"), Shown: rapid.Bool().Draw(t, "shown"),
				Reasons: rapid.SampledFrom([][]string{nil, {"x"}, {"x", "y"}}).Draw(t, "reasons"),
				Cards:   rapid.SampledFrom([][]string{nil, {"card"}}).Draw(t, "cards"), Refers: id.Draw(t, "refers"),
			})
			p.add(c)
			packed = append(packed, c)
		}
		if err := unpack(p.bytes(), everything(func(c *audit.Counted) { read = append(read, *c) })); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(packed, read); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	var p packer
	p.add(audit.CountedOf(audit.Index{ID: "a", Kind: "decision", Shown: true, Reasons: []string{"r"}}))
	p.add(audit.CountedOf(audit.Index{ID: "0198c1a0-0000-7000-8000-000000000001", Kind: "feedback", Refers: "a", Cards: []string{"c"}}))
	f.Add(p.bytes())
	f.Add((&packer{}).bytes())
	f.Fuzz(func(t *testing.T, brief []byte) {
		n := 0
		err := unpack(brief, everything(func(*audit.Counted) { n++ }))
		if err != nil && !errors.Is(err, errBrief) || n > len(brief) {
			t.Fatalf("%d entries, %v", n, err)
		}
	})
}
