// SPDX-License-Identifier: Apache-2.0

package nn

// This file: the safetensors format (huggingface/safetensors): the length of a
// JSON header as little-endian uint64, the header, then the tensors' bytes.
// Files come from outside; reading is strict and never allocates more than the
// file's own size.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
)

// ErrSafetensors marks every error about a malformed file. Nothing of such a
// file may be used.
var ErrSafetensors = errors.New("not a sound safetensors file")

// maxHeader bounds the JSON header; the format's own limit is 100 MB.
const maxHeader = 4 << 20

const metaKey = "__metadata__"

// Tensor is one named array of float32.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// header is one entry of the JSON header.
type header struct {
	DType   string    `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// EncodeSafetensors returns the file's bytes. Tensors keep their order in the
// data part; the header is sorted by name, so equal input gives equal bytes.
func EncodeSafetensors(tensors []Tensor, meta map[string]string) ([]byte, error) {
	head := map[string]any{}
	if len(meta) > 0 {
		head[metaKey] = meta
	}
	var offset uint64
	for _, t := range tensors {
		if _, twice := head[t.Name]; twice || t.Name == metaKey || t.Name == "" {
			return nil, fmt.Errorf("encode safetensors: name %q is empty, reserved or used twice", t.Name)
		}
		if n, ok := volume(t.Shape); !ok || n != uint64(len(t.Data)) {
			return nil, fmt.Errorf("encode safetensors: %s: shape %v does not hold %d values", t.Name, t.Shape, len(t.Data))
		}
		end := offset + 4*uint64(len(t.Data))
		head[t.Name] = header{DType: "F32", Shape: t.Shape, Offsets: [2]uint64{offset, end}}
		offset = end
	}
	js, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("encode safetensors header: %w", err)
	}
	for len(js)%8 != 0 { // the format pads with spaces so that data is aligned
		js = append(js, ' ')
	}
	out := make([]byte, 0, 8+uint64(len(js))+offset)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(js)))
	out = append(out, js...)
	for _, t := range tensors {
		for _, v := range t.Data {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out, nil
}

// DecodeSafetensors reads a whole file, sorted by place in the data part. Only
// F32 is read. Overlapping, missing or surplus bytes, unknown types, keys given
// twice, and values that are not finite are errors that wrap ErrSafetensors.
func DecodeSafetensors(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, bad("%d bytes are too few for a header length", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > maxHeader || n > uint64(len(file)-8) {
		return nil, nil, bad("header length %d exceeds the file or the limit of %d", n, maxHeader)
	}
	heads, meta, err := decodeHeader(file[8 : 8+n])
	if err != nil {
		return nil, nil, err
	}
	data := file[8+n:]
	names := make([]string, 0, len(heads))
	for name := range heads {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := heads[names[i]].Offsets, heads[names[j]].Offsets
		if a != b {
			return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
		}
		return names[i] < names[j]
	})
	tensors := make([]Tensor, 0, len(names))
	var at uint64
	for _, name := range names {
		t, err := decodeTensor(name, heads[name], at, data)
		if err != nil {
			return nil, nil, err
		}
		at = heads[name].Offsets[1]
		tensors = append(tensors, t)
	}
	if at != uint64(len(data)) {
		return nil, nil, bad("%d bytes belong to no tensor", uint64(len(data))-at)
	}
	return tensors, meta, nil
}

// decodeTensor reads one tensor that must begin at byte at of data.
func decodeTensor(name string, h header, at uint64, data []byte) (Tensor, error) {
	if h.DType != "F32" {
		return Tensor{}, bad("tensor %q has type %q; only F32 is read", name, h.DType)
	}
	if h.Offsets[0] != at || h.Offsets[1] < at || h.Offsets[1] > uint64(len(data)) {
		return Tensor{}, bad("tensor %q lies at %v: overlapping, with a hole before it, or outside the file", name, h.Offsets)
	}
	n, ok := volume(h.Shape)
	if !ok || n > math.MaxUint64/4 || 4*n != h.Offsets[1]-at {
		return Tensor{}, bad("tensor %q: shape %v does not fill its bytes", name, h.Shape)
	}
	t := Tensor{Name: name, Shape: h.Shape, Data: make([]float32, n)}
	for i := range t.Data {
		v := math.Float32frombits(binary.LittleEndian.Uint32(data[at+4*uint64(i):]))
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return Tensor{}, bad("tensor %q holds a value that is not finite", name)
		}
		t.Data[i] = v
	}
	return t, nil
}

// decodeHeader parses the header strictly: one object, no key twice, no
// unknown member.
func decodeHeader(js []byte) (map[string]header, map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(js))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, nil, bad("the header is not a JSON object")
	}
	heads := map[string]header{}
	var meta map[string]string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, nil, bad("the header is broken: %v", err)
		}
		name, _ := tok.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, nil, bad("header entry %q is broken: %v", name, err)
		}
		if name == metaKey {
			if meta != nil {
				return nil, nil, bad("metadata is given twice")
			}
			if err := json.Unmarshal(raw, &meta); err != nil || meta == nil {
				return nil, nil, bad("metadata is not an object of texts")
			}
			continue
		}
		if _, twice := heads[name]; twice {
			return nil, nil, bad("tensor %q is given twice", name)
		}
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		var h header
		if err := strict.Decode(&h); err != nil {
			return nil, nil, bad("tensor %q: %v", name, err)
		}
		heads[name] = h
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad("the header does not end: %v", err)
	}
	if len(bytes.TrimLeft(js[dec.InputOffset():], " ")) > 0 {
		return nil, nil, bad("something follows the header object")
	}
	return heads, meta, nil
}

// volume is the number of values of a shape; false when it is negative or
// does not fit.
func volume(shape []int) (uint64, bool) {
	n := uint64(1)
	for _, d := range shape {
		if d < 0 || d > math.MaxInt32 {
			return 0, false
		}
		if d != 0 && n > math.MaxInt64/uint64(d) {
			return 0, false
		}
		n *= uint64(d)
	}
	return n, true
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSafetensors, fmt.Sprintf(format, args...))
}
