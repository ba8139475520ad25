// SPDX-License-Identifier: Apache-2.0

package nn

// This file: what safetensors files are read, and that no bytes can do harm.

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// raw makes a file from a header text and data bytes.
func raw(head string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(b, head...), make([]byte, data)...)
}

func TestSafetensorsRoundTrip(t *testing.T) {
	in := []Tensor{
		{Name: "b", Shape: []int{2, 3}, Data: []float32{1, 2, 3, -4, 5.5, 0}},
		{Name: "a", Shape: []int{0}, Data: []float32{}},
		{Name: "c", Shape: []int{}, Data: []float32{7}},
	}
	file, err := EncodeSafetensors(in, map[string]string{"kind": "native"})
	if err != nil {
		t.Fatal(err)
	}
	if (len(file)-4*7)%8 != 0 {
		t.Errorf("data begin at %d, not aligned to 8", len(file)-4*7)
	}
	out, meta, err := DecodeSafetensors(file)
	if err != nil {
		t.Fatal(err)
	}
	if meta["kind"] != "native" || len(out) != 3 {
		t.Fatalf("read %d tensors, metadata %v", len(out), meta)
	}
	again, err := EncodeSafetensors(out, meta)
	if err != nil || !reflect.DeepEqual(again, file) {
		t.Fatalf("writing what was read gives other bytes (%v)", err)
	}
}

func TestTrap24WeightsAreSafetensorsAndBadOnesAreRefused(t *testing.T) {
	nan := raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 0)
	nan = binary.LittleEndian.AppendUint32(nan, math.Float32bits(float32(math.NaN())))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"too short":                       {[]byte{1, 2}, "too few"},
		"header longer than the file":     {raw("{}", 0)[:9], "exceeds"},
		"header length near overflow":     {[]byte{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, "exceeds"},
		"header not an object":            {raw("[]", 0), "not a JSON object"},
		"header cut short":                {raw(`{"a":`, 0), "broken"},
		"bytes after the header object":   {raw(`{} {}`, 0), "follows"},
		"unknown type":                    {raw(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 8), "only F32"},
		"unknown member":                  {raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "unknown field"},
		"the same name twice":             {raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "twice"},
		"overlap":                         {raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "overlapping"},
		"hole":                            {raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "hole"},
		"outside the file":                {raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4), "outside"},
		"surplus bytes":                   {raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8), "no tensor"},
		"shape does not fill":             {raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, 4), "fill"},
		"shape that overflows":            {raw(`{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,4]}}`, 4), "fill"},
		"negative shape":                  {raw(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "fill"},
		"negative offset":                 {raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4), "offsets"},
		"a value that is not a number":    {nan, "not finite"},
		"metadata that are not all texts": {raw(`{"__metadata__":{"a":1}}`, 0), "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := DecodeSafetensors(c.file)
			if !errors.Is(err, ErrSafetensors) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestEncodeRefusesWhatItCouldNotRead(t *testing.T) {
	for name, ts := range map[string][]Tensor{
		"empty name":  {{Name: "", Shape: []int{0}}},
		"same name":   {{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}},
		"wrong shape": {{Name: "a", Shape: []int{2}, Data: []float32{1}}},
	} {
		if _, err := EncodeSafetensors(ts, nil); err == nil {
			t.Errorf("%s: written without an error", name)
		}
	}
}

func FuzzDecodeSafetensors(f *testing.F) {
	good, _ := EncodeSafetensors([]Tensor{{Name: "a", Shape: []int{2}, Data: []float32{1, 2}}}, map[string]string{"k": "v"})
	f.Add(good)
	f.Add(raw(`{}`, 0))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		ts, meta, err := DecodeSafetensors(b)
		if err != nil {
			if !errors.Is(err, ErrSafetensors) {
				t.Fatalf("unmarked error %v", err)
			}
			return
		}
		for _, x := range ts {
			if x.Name == "" {
				return // readable, but not a name we write
			}
		}
		if _, err := EncodeSafetensors(ts, meta); err != nil {
			t.Fatalf("read but cannot be written: %v", err)
		}
	})
}
