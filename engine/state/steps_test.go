// SPDX-License-Identifier: Apache-2.0

package state

// This file: timelines written by hand against encoding/json, with every
// member of every type filled by chance, so that a member which is added to a
// type and not to the writer is found.

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	oddTexts   = []string{"", "a", "mm[Hg]", `say "5"`, `back\slash`, "<&>\u2028", "é", "tab\t", "\x7f", "\xff", `,"steps":null,"present":`}
	oddNumbers = []float64{0, math.Copysign(0, -1), 1, -1.5, 0.1 + 0.2, 1e-6, 9e-7, 1e21, 5e20, math.MaxFloat64}
)

// fill gives every member a value by chance.
func fill(r *rand.Rand, v reflect.Value) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Unix(r.Int64N(4e9), r.Int64N(3)*5e8).UTC()
		if r.IntN(3) == 0 {
			*at = time.Time{}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(oddTexts[r.IntN(len(oddTexts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(r.Int64N(7) - 2)
	case reflect.Uint8:
		v.SetUint(r.Uint64N(3))
	case reflect.Float64:
		v.SetFloat(oddNumbers[r.IntN(len(oddNumbers))])
		if r.IntN(2) == 0 {
			v.SetFloat(r.NormFloat64() * 100)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range v.Len() {
				fill(r, v.Index(i))
			}
		}
	case reflect.Map:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(r, key)
				fill(r, value)
				v.SetMapIndex(key, value)
			}
		}
	default:
		panic("a kind of member that the writer does not know: " + v.Kind().String())
	}
}

func drawTimeline(t *rapid.T, r *rand.Rand) *Timeline {
	var tl Timeline
	fill(r, reflect.ValueOf(&tl).Elem())
	if len(tl.Steps) > 0 && rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
		tl.Steps[0].Value[3] = math.NaN()
	}
	return &tl
}

func TestCanonicalIsWhatEncodingJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := drawTimeline(t, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		got, err := tl.Canonical()
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if wantErr := enc.Encode(tl); (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, encoding/json %v", err, wantErr)
		} else if err == nil && !bytes.Equal(got, bytes.TrimSuffix(want.Bytes(), []byte("\n"))) {
			t.Fatalf("got  %s\nwant %s", got, want.Bytes())
		}
	})
}

func TestAnEncoderWritesWhatCanonicalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var enc Encoder
		var steps []Step
		for range rapid.IntRange(1, 4).Draw(t, "timelines") {
			tl := drawTimeline(t, r)
			for range rapid.IntRange(0, 5).Draw(t, "new steps") {
				var s Step
				fill(r, reflect.ValueOf(&s).Elem())
				steps = append(steps, s)
			}
			if len(steps) > 0 && rapid.Bool().Draw(t, "late") { // something came in that changes an old step
				s := &steps[r.IntN(len(steps))]
				s.AgeH[r.IntN(NumFeatures)] *= -1 // of a zero, its sign alone
			}
			steps = steps[max(0, len(steps)-MaxSteps-1):]
			tl.Steps = append(tl.Steps, steps...)
			got, err := enc.Canonical(tl)
			want, wantErr := tl.Canonical()
			if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) && err == nil {
				t.Fatalf("got  %s %v\nwant %s %v", got, err, want, wantErr)
			}
		}
	})
}
