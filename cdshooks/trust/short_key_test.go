// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/rsa"
	"math/big"
	"testing"
)

func TestAnRSAKeyOfLessThan2048BitsIsRefused(t *testing.T) {
	for bits, taken := range map[uint]bool{1024: false, 2047: false, 2048: true} {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		n.SetBit(n, 0, 1)
		if _, err := parseKeySet([]byte(keySet(rsaJWK("r", &rsa.PublicKey{N: n, E: 65537})))); (err == nil) != taken {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}
