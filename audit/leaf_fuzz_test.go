// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"testing"
)

// FuzzDecodeIndex reads hostile index bytes: they are refused, or say the same
// after being written again.
func FuzzDecodeIndex(f *testing.F) {
	for _, s := range []string{`{"id":"a","time":"2026-03-01T10:00:00Z","kind":"decision"}`, `{"id":"a","unknown":1}`, `{}`, `[]`, `{"time":"x"}`, `{"id":"a"}{"id":"b"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ix, err := DecodeIndex(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeIndex(ix)
		if err != nil {
			return // a year that JSON cannot hold
		}
		back, err := DecodeIndex(again)
		if err != nil {
			t.Fatal(err)
		}
		third, err := EncodeIndex(back)
		if err != nil || string(third) != string(again) {
			t.Fatalf("%s became %s (%v)", again, third, err)
		}
	})
}

// FuzzParseKeys reads hostile key texts; none may be taken that cannot be used.
func FuzzParseKeys(f *testing.F) {
	for _, s := range []string{"", "PRIVATE+KEY+x+00000000+AQ==", "x+00000000+AQ==", "a+b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKey(text); err == nil && k == nil {
			t.Fatal("no key and no error")
		}
		if v, err := ParseVerifier(text); err == nil && v == nil {
			t.Fatal("no verifier and no error")
		}
	})
}
