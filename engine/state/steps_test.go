// SPDX-License-Identifier: Apache-2.0

package state

// This file: the steps written by hand against encoding/json.

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCanonicalIsWhatEncodingJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Just(0.0), rapid.Float64(), rapid.Float64Range(-200, 200), rapid.SampledFrom([]float64{1e-6, 9e-7, 1e21, 5e20, math.Copysign(0, -1)}))
		tl := Timeline{At: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC(), PatientID: rapid.SampledFrom([]string{"p", `x,"steps":null,"present":`, "<&>\u2028"}).Draw(t, "id"),
			HoursInICU: number.Draw(t, "hours"), Present: Present{Readings: map[string]Reading{"a<b": {Received: `,"steps":null,"present":`}}}}
		for i := range rapid.IntRange(0, 3).Draw(t, "steps") {
			s := Step{Start: tl.At, End: tl.At.Add(time.Duration(i) * time.Millisecond), Vent: i%2 == 0}
			for f := range NumFeatures {
				s.Value[f], s.AgeH[f], s.Presence[f] = number.Draw(t, "value"), number.Draw(t, "age"), Presence(f%3)
			}
			s.Given.NEMaxUgKgMin, s.SOFA.Resp = number.Draw(t, "ne"), -1
			tl.Steps = append(tl.Steps, s)
		}
		got, err := tl.Canonical()
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if wantErr := enc.Encode(&tl); (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, encoding/json %v", err, wantErr)
		} else if err == nil && !bytes.Equal(got, bytes.TrimSuffix(want.Bytes(), []byte("\n"))) {
			t.Fatalf("got  %s\nwant %s", got, want.Bytes())
		}
	})
}
