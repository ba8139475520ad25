// SPDX-License-Identifier: Apache-2.0

package audit

// This file: keys and lines of witnesses, keys for bodies, and digests of erased
// entries, good and bad.

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// testWitness is a witness with a fixed key.
func testWitness(name string) (vkey string, sign func(text string, at uint64) string) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	raw := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	sign = func(text string, at uint64) string {
		sig := append(binary.BigEndian.AppendUint64(bytes.Clone(sum[:4]), at), ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))...)
		return "\u2014 " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
	}
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(raw)), sign
}

func TestCosignature(t *testing.T) {
	vkey, sign := testWitness("witness.example/w1")
	w, err := ParseWitnessKey(vkey + "\n")
	if err != nil || w.String() != vkey || w.Name() != "witness.example/w1" {
		t.Fatalf("%v, %v", w, err)
	}
	key, _, err := NewKey(nil, "log")
	if err != nil {
		t.Fatal(err)
	}
	c := Checkpoint{Origin: "log", Size: 7, Root: tlog.RecordHash([]byte("x"))}
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Find(signed, []byte(sign(c.Text(), 1_800_000_000)))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := got.Check(signed); err != nil || !at.Equal(time.Unix(1_800_000_000, 0)) {
		t.Errorf("%s, %v", at, err)
	}
	for name, line := range map[string]string{
		"of another tree": sign("log\n8\n"+c.Root.String()+"\n", 1), "of a time beyond counting": sign(c.Text(), 1<<63), "of nothing": "", "with words": "signed!\n",
	} {
		if _, err := w.Find(signed, []byte(line)); !errors.Is(err, ErrWitness) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"nothing": "", "a key that signs notes": key.Verifier().String(), "another hash": strings.Replace(vkey, "+", "+0", 1),
		"no base64": "w+00000000+!", "an empty key": "w+00000000+", "a name with a space": "a b" + vkey[strings.Index(vkey, "+"):],
	} {
		if _, err := ParseWitnessKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzFindCosignature(f *testing.F) {
	vkey, sign := testWitness("w")
	w, err := ParseWitnessKey(vkey)
	if err != nil {
		f.Fatal(err)
	}
	key, _, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{1}, 64)), "log")
	if err != nil {
		f.Fatal(err)
	}
	c := Checkpoint{Origin: "log", Size: 3}
	signed, err := c.Sign(key)
	if err != nil {
		f.Fatal(err)
	}
	good := sign(c.Text(), 9)
	f.Add([]byte(good))
	f.Add([]byte("\u2014 other AAAA\n" + good))
	f.Add([]byte(sign("log\n4\n", 9)))
	f.Fuzz(func(t *testing.T, lines []byte) {
		got, err := w.Find(signed, lines)
		if err == nil && got.Line != good {
			t.Errorf("a line nobody signed was found: %q", got.Line)
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	leaf, err := LeafOf(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(leaf.Bytes())
	f.Add([]byte("sepsisagent-leaf/1\n\n\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLeaf(data)
		if err == nil && !bytes.Equal(l.Bytes(), data) {
			t.Errorf("%q was read as %q", data, l.Bytes())
		}
	})
}

func FuzzParseWitnessKey(f *testing.F) {
	vkey, _ := testWitness("w")
	f.Add(vkey)
	f.Add("w+00000000+BA==")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWitnessKey(text)
		if err == nil && (w.Name() == "" || w.String() != strings.TrimSpace(text)) {
			t.Errorf("%q was read as %q of %q", text, w.String(), w.Name())
		}
	})
}

func TestBodyKeysOpenWhatTheySealedForOneEntryAlone(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	k, err := NewBodyKeys(one, two)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("d"))
	id, box := k.Seal("entry", digest, []byte("body"))
	_, again := k.Seal("entry", digest, []byte("body"))
	if bytes.Equal(box, again) || bytes.Contains(box, []byte("body")) || id != k.Current() {
		t.Error("boxes repeat, or show the body")
	}
	if body, err := k.Open(id, "entry", digest, box); err != nil || string(body) != "body" {
		t.Errorf("%q, %v", body, err)
	}
	second, err := NewBodyKeys(two)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(id, "entry", digest, box); !errors.Is(err, ErrSealed) {
		t.Errorf("another key: error %v", err)
	}
	if _, err := (*BodyKeys)(nil).Open(id, "entry", digest, box); !errors.Is(err, ErrSealed) {
		t.Errorf("no key: error %v", err)
	}
	flipped := bytes.Clone(box)
	flipped[len(flipped)-1] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"another entry":  func() ([]byte, error) { return k.Open(id, "other", digest, box) },
		"another digest": func() ([]byte, error) { return k.Open(id, "entry", sha256.Sum256(nil), box) },
		"a changed bit":  func() ([]byte, error) { return k.Open(id, "entry", digest, flipped) },
		"no box":         func() ([]byte, error) { return k.Open(id, "entry", digest, nil) },
		"the other key":  func() ([]byte, error) { return k.Open(second.Current(), "entry", digest, box) },
	} {
		if _, err := try(); !errors.Is(err, ErrProof) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v", k, k), string(one)) {
		t.Error("printed keys show themselves")
	}
	if _, err := NewBodyKeys([]byte("short")); !errors.Is(err, ErrKey) {
		t.Errorf("a short key: error %v", err)
	}
}

func TestBodyKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "body.key")
	id, err := CreateBodyKeyFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateBodyKeyFile(t.Context(), path, nil); !errors.Is(err, ErrExists) {
		t.Errorf("made twice: error %v", err)
	}
	k, err := ReadBodyKeyFiles(t.Context(), []string{path}, nil)
	if err != nil || k.Current() != id {
		t.Fatalf("%v, %v", k, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBodyKeyFiles(t.Context(), []string{path}, nil); !errors.Is(err, ErrKey) {
		t.Errorf("open to others: error %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	for _, text := range []string{"", "sepsisagent-body-key/1 ", "sepsisagent-body-key/1 c2hvcnQ=", "c2VjcmV0"} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBodyKeyFiles(t.Context(), []string{bad}, nil); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), "c2") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestFollowLeadsFromEitherKeyToAll(t *testing.T) {
	keys := make([]*Key, 3)
	for i := range keys {
		var err error
		if keys[i], _, err = NewKey(nil, "log"); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func(old, fresh *Key, size int64) []byte {
		signed, err := SignRotation(old, fresh, size)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	first, rotations := keys[0].Verifier().String(), [][]byte{rotate(keys[0], keys[1], 5), rotate(keys[1], keys[2], 9)}
	signer := map[int64]int{0: 0, 5: 0, 6: 1, 9: 1, 10: 2, 1000: 2}
	for i, anchor := range keys {
		v, err := anchor.Verifier().Follow(first, rotations)
		if err != nil || v.String() != keys[2].Verifier().String() {
			t.Fatalf("from key %d: %v, %v", i, v, err)
		}
		for size, by := range signer {
			for k, key := range keys {
				signed, err := Checkpoint{Origin: "log", Size: size}.Sign(key)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := OpenCheckpoint(signed, v); (k == by) != (err == nil) || err != nil && !errors.Is(err, ErrCheckpoint) {
					t.Errorf("size %d signed by key %d: error %v", size, k, err)
				}
			}
		}
	}
	stranger, _, err := NewKey(nil, "log")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		anchor    *Key
		rotations [][]byte
	}{
		"a key of no part in it":         {stranger, rotations},
		"the newest without the way":     {keys[2], rotations[:1]},
		"a replacement left out":         {keys[0], rotations[1:]},
		"replacements in another order":  {keys[0], [][]byte{rotations[1], rotations[0]}},
		"a replacement before the last":  {keys[0], [][]byte{rotations[0], rotate(keys[1], keys[2], 5)}},
		"a replacement by a stranger":    {keys[0], [][]byte{rotate(stranger, keys[1], 5)}},
		"words":                          {keys[0], [][]byte{[]byte("words")}},
		"a replacement with bytes added": {keys[0], [][]byte{append([]byte("x"), rotations[0]...)}},
	} {
		if _, err := tc.anchor.Verifier().Follow(first, tc.rotations); !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzOpenRotation(f *testing.F) {
	key := func(b byte) *Key {
		k, _, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{b}, 64)), "log")
		if err != nil {
			f.Fatal(err)
		}
		return k
	}
	old, fresh := key(1), key(2)
	signed, err := SignRotation(old, fresh, 4)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("sepsisagent audit key rotation/1\nlog\n4\na\nb\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := OpenRotation(data)
		if err == nil && r.Size < 0 {
			t.Errorf("%+v", r)
		}
	})
}
