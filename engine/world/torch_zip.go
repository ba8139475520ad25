// SPDX-License-Identifier: Apache-2.0

package world

// This file: the archive that torch.save writes since version 1.6: a ZIP whose
// entries are stored as they are, NAME/data.pkl and NAME/data/KEY for each
// storage. Compressed entries are refused, so nothing can grow on reading.

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// Bounds of an archive; the published ones are tenfold smaller.
const (
	maxArchive = 32 << 20
	maxEntries = 512
	maxStorage = maxArchive / 4 // values
)

// DecodeTorch reads the float32 tensors of a state dictionary written by
// torch.save, in its order. No code of the file is run. What is not such a
// file is an error that wraps ErrImport.
func DecodeTorch(file []byte) ([]nn.Tensor, error) {
	tensors, err := decodeTorch(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImport, err)
	}
	return tensors, nil
}

func decodeTorch(file []byte) ([]nn.Tensor, error) {
	if len(file) > maxArchive {
		return nil, fmt.Errorf("%d bytes; at most %d are read", len(file), maxArchive)
	}
	archive, err := openTorch(file)
	if err != nil {
		return nil, err
	}
	pickle, err := archive.read("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	dict, err := readStateDict(pickle)
	if err != nil {
		return nil, err
	}
	out := make([]nn.Tensor, 0, len(dict))
	var total int64
	for _, entry := range dict {
		t, err := archive.tensor(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.name, err)
		}
		if total += int64(len(t.Data)); total > maxStorage { // many views of one storage
			return nil, fmt.Errorf("its tensors have more than %d values", maxStorage)
		}
		out = append(out, t)
	}
	return out, nil
}

// torchArchive holds the entries of one archive by their name below its root.
type torchArchive struct {
	entries  map[string]*zip.File
	storages map[string][]byte
}

func openTorch(file []byte) (*torchArchive, error) {
	r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("not an archive of torch.save (hint: files from before PyTorch 1.6 must be saved again): %w", err)
	}
	if len(r.File) > maxEntries {
		return nil, fmt.Errorf("%d entries; at most %d are read", len(r.File), maxEntries)
	}
	a := &torchArchive{entries: map[string]*zip.File{}, storages: map[string][]byte{}}
	root := ""
	for _, f := range r.File {
		dir, rest, ok := strings.Cut(f.Name, "/")
		if !ok || path.Clean(f.Name) != f.Name || root != "" && dir != root {
			return nil, fmt.Errorf("entry %q does not belong to an archive of torch.save", f.Name)
		}
		root = dir
		if f.Method != zip.Store {
			return nil, fmt.Errorf("entry %q is compressed, which torch.save never does: refused", f.Name)
		}
		if a.entries[rest] != nil {
			return nil, fmt.Errorf("entry %q is there twice", f.Name)
		}
		a.entries[rest] = f
	}
	if order, err := a.read("byteorder", 16); err == nil && string(order) != "little" {
		return nil, fmt.Errorf("its byte order is %q; only little is read", order)
	}
	return a, nil
}

// read returns the bytes of an entry, checked against its checksum.
func (a *torchArchive) read(name string, limit uint64) ([]byte, error) {
	f := a.entries[name]
	if f == nil {
		return nil, fmt.Errorf("entry %q is missing", name)
	}
	if f.UncompressedSize64 > limit {
		return nil, fmt.Errorf("entry %q has %d bytes; at most %d are read", name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	return b, nil
}

// tensor copies a tensor out of its storage.
func (a *torchArchive) tensor(entry namedTensor) (nn.Tensor, error) {
	t := entry.tensor
	if t.storage.kind != pyFloatStorage {
		return nn.Tensor{}, fmt.Errorf("its values are of type %s; only float32 is read", strings.TrimSuffix(strings.TrimPrefix(t.storage.kind, "torch."), "Storage"))
	}
	data, err := a.bytesOf(t.storage)
	if err != nil {
		return nn.Tensor{}, err
	}
	shape, count, last := make([]int, len(t.shape)), int64(1), t.offset
	for i, n := range t.shape {
		shape[i] = int(n)
		if n > 0 && count > maxStorage/n {
			return nn.Tensor{}, fmt.Errorf("shape %v is too large", t.shape)
		}
		count *= n
		if n > 0 {
			last += (n - 1) * t.stride[i] // both below 2^23: no overflow
		}
	}
	if count == 0 || last >= t.storage.count {
		return nn.Tensor{}, fmt.Errorf("shape %v with strides %v from %d does not fit a storage of %d values", t.shape, t.stride, t.offset, t.storage.count)
	}
	out := nn.Tensor{Name: entry.name, Shape: shape, Data: make([]float32, count)}
	index := make([]int64, len(t.shape))
	for i := range out.Data {
		at := t.offset
		for d, n := range index {
			at += n * t.stride[d]
		}
		v := math.Float32frombits(binary.LittleEndian.Uint32(data[4*at:]))
		if !finite(float64(v)) {
			return nn.Tensor{}, fmt.Errorf("value %d is not finite", i)
		}
		out.Data[i] = v
		for d := len(index) - 1; d >= 0; d-- {
			if index[d]++; index[d] < t.shape[d] {
				break
			}
			index[d] = 0
		}
	}
	return out, nil
}

// bytesOf returns a storage's bytes; tensors may share one.
func (a *torchArchive) bytesOf(s torchStorage) ([]byte, error) {
	name := "data/" + s.key
	if b, ok := a.storages[name]; ok && int64(len(b)) == 4*s.count {
		return b, nil
	}
	b, err := a.read(name, maxArchive)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != 4*s.count {
		return nil, fmt.Errorf("storage %q has %d bytes for %d values", s.key, len(b), s.count)
	}
	a.storages[name] = b
	return b, nil
}
