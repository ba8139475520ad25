// SPDX-License-Identifier: Apache-2.0

package world

// This file: what the reader of PyTorch's files refuses, and that nothing makes
// it panic.

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// Pickles that would do something if a pickle machine ran them, or that are
// not what a state dictionary needs.
func TestHostilePicklesAreRefusedByName(t *testing.T) {
	tensor := func(storage string) string {
		var p pickled
		p.WriteString("\x80\x02}(")
		p.text("a")
		p.tensor(storage, "0", []int{1})
		p.WriteString("u.")
		return p.String()
	}
	one := "\x00\x00\x80\x3f"
	for _, c := range []struct{ name, pickle, want string }{
		{"a system call", "\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR.", `"os.system"`},
		{"the same in protocol 0", "cposix\nsystem\n(S'id'\ntR.", `"posix.system"`},
		{"eval", "\x80\x02cbuiltins\neval\n.", `"builtins.eval"`},
		{"a class of torch that can run code", "\x80\x02ctorch.hub\nload\n.", `"torch.hub.load"`},
		{"a name hidden behind an allowed module", "\x80\x02ccollections\nOrderedDict.__init__\n.", "OrderedDict.__init__"},
		{"an instance by name", "\x80\x02(ios\nsystem\n.", "0x69"},
		{"a name from the stack", "\x80\x04\x8c\x02os\x8c\x06system\x93.", "protocol 4"},
		{"a new object", "\x80\x02ccollections\nOrderedDict\n)\x81.", "0x81"},
		{"an extension", "\x80\x02\x82\x01.", "0x82"},
		{"a list", "\x80\x02].", "0x5d"},
		{"bytes", "\x80\x02U\x01a.", "0x55"},
		{"an ordered dictionary of arguments", "\x80\x02ccollections\nOrderedDict\n(K\x01tR.", "with arguments"},
		{"a call of a dictionary", "\x80\x02})R.", "a call of a dictionary"},
		{"a call of a storage type", "\x80\x02ctorch\nFloatStorage\n)R.", "a call of torch.FloatStorage"},
		{"a tensor of nothing", "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "a tensor of 0 arguments"},
		{"float64 values", tensor("DoubleStorage"), "only float32"},
		{"float16 values", tensor("HalfStorage"), "type Half"},
		{"whole numbers", tensor("LongStorage"), "type Long"},
		{"an unknown storage", tensor("EvilStorage"), `"torch.EvilStorage"`},
		{"a dictionary that is no state", "\x80\x02}X\x05\x00\x00\x00epochK\x03s.", `"epoch" is a number`},
		{"a number instead of a dictionary", "\x80\x02K\x01.", "it holds a number"},
		{"a name that is a number", "\x80\x02}K\x01K\x01s.", "a key is a number"},
		{"values left over", "\x80\x02K\x01K\x02.", "left over"},
		{"nothing at all", "", "ends in the middle"},
		{"only an end", ".", "a value is missing"},
		{"a missing mark", "\x80\x02K\x01t.", "a mark is missing"},
		{"a mark for a value", "\x80\x02}(b.", "a value is missing"},
		{"a memo that was never stored", "\x80\x02h\x07.", "memo 7"},
		{"a text longer than the file", "\x80\x02X\xff\xff\x00\x00", "65535"},
		{"a huge number", "\x80\x02\x8a\x09" + strings.Repeat("\x01", 9) + ".", "too large"},
		{"something after the end", tensor("FloatStorage") + "cos\nsystem\n", "follow its end"},
		{"a storage id of another kind", "\x80\x02(X\x01\x00\x00\x00aK\x01K\x01K\x01K\x01tQ.", "no storage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeTorch(archiveOf(t, zip.Store, [2]string{"m/data.pkl", c.pickle}, [2]string{"m/data/0", one}))
			if !errors.Is(err, ErrImport) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	var p pickled
	p.WriteString("\x80\x02}(")
	p.text("a")
	p.tensor("FloatStorage", "0", []int{2, 2})
	p.WriteString("u.")
	good, data := [2]string{"m/data.pkl", p.String()}, [2]string{"m/data/0", strings.Repeat("\x00\x00\x80\x3f", 4)}
	if _, err := DecodeTorch(archiveOf(t, zip.Store, good, data)); err != nil {
		t.Fatalf("the file that the others are made of: %v", err)
	}
	// view makes a tensor of storage 0 (4 values) with any offset, shape and strides.
	view := func(offset int, shape, stride []int) [2]string {
		var p pickled
		p.WriteString("\x80\x02}(")
		p.text("a")
		p.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		p.text("storage")
		p.WriteString("ctorch\nFloatStorage\n")
		p.text("0")
		p.text("cpu")
		p.number(4)
		p.WriteString("tQ")
		p.number(offset)
		p.numbers(shape)
		p.numbers(stride)
		p.WriteString("\x89NtRu.")
		return [2]string{"m/data.pkl", p.String()}
	}
	many := make([][2]string, maxEntries+1)
	for i := range many {
		many[i] = [2]string{fmt.Sprint("m/data/", i), ""}
	}
	raw := func(size uint64) []byte { // an entry that says it is larger than it is
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.CreateRaw(&zip.FileHeader{Name: "m/data.pkl", Method: zip.Store, CRC32: crc32.ChecksumIEEE(nil), UncompressedSize64: size})
		if err == nil {
			_, err = w.Write(nil)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"a compressed bomb", "compressed", archiveOf(t, zip.Deflate, [2]string{"m/data.pkl", strings.Repeat("\x00", 1<<22)})},
		{"too many entries", "entries", archiveOf(t, zip.Store, many...)},
		{"an entry twice", "twice", archiveOf(t, zip.Store, good, good)},
		{"two roots", "does not belong", archiveOf(t, zip.Store, good, [2]string{"n/data/0", data[1]})},
		{"a path that climbs", "torch.save", archiveOf(t, zip.Store, [2]string{"m/../../etc/passwd", ""})},
		{"no root", "does not belong", archiveOf(t, zip.Store, [2]string{"data.pkl", ""})},
		{"no pickle", "data.pkl", archiveOf(t, zip.Store, data)},
		{"no storage", "data/0", archiveOf(t, zip.Store, good)},
		{"a storage of another length", "4 values", archiveOf(t, zip.Store, good, [2]string{"m/data/0", "\x00\x00\x80\x3f"})},
		{"big-endian values", "byte order", archiveOf(t, zip.Store, good, data, [2]string{"m/byteorder", "big"})},
		{"a size that is not true", "bytes", raw(1 << 40)},
		{"an offset behind the storage", "does not fit", archiveOf(t, zip.Store, view(1, []int{2, 2}, []int{2, 1}), data)},
		{"a stride behind the storage", "does not fit", archiveOf(t, zip.Store, view(0, []int{2, 2}, []int{3, 1}), data)},
		{"an empty tensor", "does not fit", archiveOf(t, zip.Store, view(0, []int{0, 2}, []int{2, 1}), data)},
		{"strides of zero that make much of little", "too large", archiveOf(t, zip.Store, view(0, []int{1 << 20, 1 << 20}, []int{0, 0}), data)},
		{"a negative offset", "without storage", archiveOf(t, zip.Store, view(-1, []int{2}, []int{1}), data)},
		{"a negative shape", "without storage", archiveOf(t, zip.Store, view(0, []int{-2}, []int{1}), data)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeTorch(c.file)
			if !errors.Is(err, ErrImport) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func FuzzDecodeTorch(f *testing.F) {
	tiny, err := os.ReadFile("testdata/tiny.pt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tiny)
	f.Fuzz(func(t *testing.T, file []byte) {
		ts, err := DecodeTorch(file)
		if err != nil && !errors.Is(err, ErrImport) {
			t.Fatalf("an error that is not ErrImport: %v", err)
		}
		checkTensors(t, ts)
	})
}

// FuzzStateDict reaches the pickle reader without a sound archive around it.
func FuzzStateDict(f *testing.F) {
	f.Add(stateDict(publishedTensors(true)[:3]))
	f.Add([]byte("\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR."))
	f.Add([]byte("\x80\x02}q\x00(X\x01\x00\x00\x00ah\x00ub."))
	f.Fuzz(func(t *testing.T, pickle []byte) {
		if len(pickle) > 1<<16 {
			t.Skip()
		}
		ts, err := DecodeTorch(archiveOf(t, zip.Store, [2]string{"m/data.pkl", string(pickle)}, [2]string{"m/data/0", "\x00\x00\x80\x3f"}))
		if err != nil && !errors.Is(err, ErrImport) {
			t.Fatalf("an error that is not ErrImport: %v", err)
		}
		checkTensors(t, ts)
	})
}

func checkTensors(t *testing.T, ts []nn.Tensor) {
	for _, x := range ts {
		n := 1
		for _, d := range x.Shape {
			n *= d
		}
		if n != len(x.Data) {
			t.Fatalf("%s: shape %v, %d values", x.Name, x.Shape, len(x.Data))
		}
		for _, v := range x.Data {
			if !finite(float64(v)) {
				t.Fatalf("%s holds %v", x.Name, v)
			}
		}
	}
}
