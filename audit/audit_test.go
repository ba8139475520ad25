// SPDX-License-Identifier: Apache-2.0

package audit

// This file: leaves, checkpoints, keys and filters.

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func sample() Entry {
	return Entry{
		Index: Index{ID: "0192f0c0-0000-7000-8000-000000000001", Time: time.Date(2026, 11, 22, 9, 10, 0, 5, time.FixedZone("", 3600)), Kind: "decision", Patient: "Patient/1"},
		Salt:  bytes.Repeat([]byte{7}, 32),
		Body:  []byte(`{"a":1}`),
	}
}

// TestLeafIsWhatTheDocumentSays computes a leaf by hand, from the words of the
// format, so that somebody without our code can do the same.
func TestLeafIsWhatTheDocumentSays(t *testing.T) {
	e := sample()
	index := `{"id":"0192f0c0-0000-7000-8000-000000000001","time":"2026-11-22T08:10:00.000000005Z","kind":"decision","patient":"Patient/1"}`
	keyed := func(s string) string {
		mac := hmac.New(sha256.New, e.Salt)
		mac.Write([]byte(s))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	salt := sha256.Sum256([]byte("salt\x00" + string(e.Salt)))
	want := "sepsisagent-leaf/1\n" + e.Index.ID + "\n" + keyed("index\x00"+index) + "\n" + keyed("body\x00"+string(e.Body)) + "\n" + base64.StdEncoding.EncodeToString(salt[:]) + "\n"
	leaf, err := LeafOf(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(leaf.Bytes()); got != want {
		t.Errorf("leaf\n%s\nwant\n%s", got, want)
	}
	if got, want := leaf.Hash(), tlog.Hash(sha256.Sum256([]byte("\x00"+want))); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

// TestErasedContentKeepsItsLeaf is why the leaf holds digests: with body, salt
// and index gone the digests alone still give the same hash.
func TestErasedContentKeepsItsLeaf(t *testing.T) {
	whole, err := LeafOf(sample())
	if err != nil {
		t.Fatal(err)
	}
	erased := Leaf{ID: whole.ID, IndexDigest: whole.IndexDigest, BodyDigest: whole.BodyDigest, SaltCommitment: whole.SaltCommitment}
	if erased.Hash() != whole.Hash() {
		t.Error("the leaf changed with the content gone")
	}
	if bytes.Contains(whole.Bytes(), []byte("Patient/1")) {
		t.Error("the leaf shows a patient")
	}
}

func TestEveryPartOfAnEntryChangesItsLeaf(t *testing.T) {
	base, err := LeafOf(sample())
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*Entry){
		"id":   func(e *Entry) { e.Index.ID += "x" },
		"salt": func(e *Entry) { e.Salt = bytes.Repeat([]byte{8}, 32) },
		"body": func(e *Entry) { e.Body = []byte(`{"a":2}`) },
	}
	typ := reflect.TypeFor[Index]()
	for i := range typ.NumField() {
		field := typ.Field(i)
		changes[field.Name] = func(e *Entry) {
			v := reflect.ValueOf(&e.Index).Elem().Field(i)
			switch v.Interface().(type) {
			case string:
				v.SetString(v.String() + "changed")
			case int:
				v.SetInt(v.Int() + 1)
			case bool:
				v.SetBool(!v.Bool())
			case []string:
				v.Set(reflect.ValueOf([]string{"changed"}))
			case time.Time:
				v.Set(reflect.ValueOf(e.Index.Time.Add(time.Nanosecond)))
			default:
				t.Fatalf("no change written for %s", field.Name)
			}
		}
	}
	for name, change := range changes {
		e := sample()
		change(&e)
		got, err := LeafOf(e)
		if err != nil {
			t.Fatal(err)
		}
		if got.Hash() == base.Hash() {
			t.Errorf("%s is not covered by the leaf", name)
		}
	}
}

func TestIndexSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ix := Index{
			ID: "x", Kind: rapid.String().Draw(rt, "kind"), Patient: rapid.String().Draw(rt, "patient"),
			Time:  time.Unix(0, rapid.Int64Range(1e18, 2e18).Draw(rt, "ns")),
			Shown: rapid.Bool().Draw(rt, "shown"), HTTP: rapid.IntRange(0, 599).Draw(rt, "http"),
			Drugs: rapid.SliceOfN(rapid.String(), 1, 3).Draw(rt, "drugs"),
		}
		once, err := EncodeIndex(ix)
		if err != nil {
			rt.Fatal(err)
		}
		back, err := DecodeIndex(once)
		if err != nil {
			rt.Fatal(err)
		}
		again, err := EncodeIndex(back)
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(once, again) {
			rt.Fatalf("%s\n%s", once, again)
		}
	})
	if _, err := DecodeIndex([]byte(`{"id":"x","secret":1}`)); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown key: error %v", err)
	}
}

func TestCheckpointSignature(t *testing.T) {
	key, _, err := NewKey(nil, "hospital.example/log")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := NewKey(nil, "hospital.example/log")
	if err != nil {
		t.Fatal(err)
	}
	c := Checkpoint{Origin: "hospital.example/log", Size: 12, Root: tlog.RecordHash([]byte("x"))}
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenCheckpoint(signed, key.Verifier())
	if err != nil || got != c {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := OpenCheckpoint(signed, other.Verifier()); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another key of the same name: error %v", err)
	}
	if _, err := OpenCheckpoint(bytes.Replace(signed, []byte("\n12\n"), []byte("\n13\n"), 1), key.Verifier()); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another size: error %v", err)
	}
	c.Origin = "elsewhere"
	if _, err := c.Sign(key); !errors.Is(err, ErrKey) {
		t.Errorf("another origin: error %v", err)
	}
	if s := fmt.Sprintf("%v %+v %s", key, key, key); strings.Contains(s, "PRIVATE") {
		t.Error("a printed key shows itself")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.key")
	key, err := CreateKeyFile(path, "log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKeyFile(path, "log"); !errors.Is(err, ErrExists) {
		t.Errorf("made twice: error %v", err)
	}
	back, err := ReadKeyFile(path)
	if err != nil || back.Verifier().String() != key.Verifier().String() {
		t.Fatalf("read back: %v", err)
	}
	for mode, good := range map[os.FileMode]bool{0o440: true, 0o644: false, 0o660: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); good != (err == nil) || !good && !errors.Is(err, ErrKey) {
			t.Errorf("mode %o: error %v", mode, err)
		}
	}
	if _, err := ReadKeyFile(path + "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: error %v", err)
	}
	for _, origin := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := NewKey(nil, origin); !errors.Is(err, ErrKey) {
			t.Errorf("origin %q: error %v", origin, err)
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	key, _, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{1}, 64)), "log")
	if err != nil {
		f.Fatal(err)
	}
	signed, err := Checkpoint{Origin: "log", Size: 3}.Sign(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("log\n3\n"))
	v := key.Verifier()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := OpenCheckpoint(data, v)
		if err == nil && (c.Size != 3 || c.Origin != "log") {
			t.Errorf("a checkpoint nobody signed was opened: %+v", c)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("log\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCheckpoint(text)
		if err == nil && c.Text() != text {
			t.Errorf("%q was read as %q", text, c.Text())
		}
	})
}
