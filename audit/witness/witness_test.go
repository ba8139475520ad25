// SPDX-License-Identifier: Apache-2.0

package witness

// This file: which addresses and keys are taken. What a witness does to a log is in
// audit/audittest, on both stores.

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
)

func TestNewTakesPlainAddressesOverTLSOrOnThisMachine(t *testing.T) {
	key, _, err := audit.NewKey(nil, "log")
	if err != nil {
		t.Fatal(err)
	}
	raw := append([]byte{4}, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte("witness.example/w1\n"), raw...))
	vkey := fmt.Sprintf("witness.example/w1+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(raw))
	for address, good := range map[string]bool{
		"https://witness.example/prefix": true, "https://witness.example/": true, "http://127.0.0.1:80": true, "http://[::1]/x": true, "http://localhost:1": true,
		"http://witness.example": false, "https://user@witness.example": false, "https://witness.example/?q": false, "https://witness.example/#f": false,
		"ftp://witness.example": false, "witness.example": false, "": false, "https://": false, "http://localhost.evil.example": false,
	} {
		w, err := New(address, vkey, nil)
		if good != (err == nil) || !good && !errors.Is(err, audit.ErrWitness) {
			t.Errorf("%q: error %v", address, err)
		}
		if good && w.Name() != "witness.example/w1" {
			t.Errorf("name %q", w.Name())
		}
	}
	if _, err := New("https://witness.example", key.Verifier().String(), nil); !errors.Is(err, audit.ErrKey) {
		t.Errorf("a key of another kind: error %v", err)
	}
}

func FuzzSizeOf(f *testing.F) {
	f.Add([]byte("12\n"))
	f.Add([]byte("-1"))
	f.Add([]byte("007\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if n, err := sizeOf(answer); err == nil && n < 0 {
			t.Errorf("%q is %d", answer, n)
		}
	})
}
