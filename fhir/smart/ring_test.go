// SPDX-License-Identifier: Apache-2.0

package smart

// This file: the keys: every form they come in, the mistakes that are refused,
// and their rotation.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/configs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is one line of a ring file and the key behind it.
type entry struct {
	alg    string
	status Status
	kid    string
	until  string
	text   []byte // the key file; made when nil
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func encoded(t testing.TB, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// newPEM is a new key for an algorithm; RSA keys are slow to make, so there is
// one.
func newPEM(t testing.TB, alg string) []byte {
	t.Helper()
	if alg == "RS384" {
		return encoded(t, rsaKey())
	}
	return encoded(t, newEC(t, elliptic.P384()))
}

func newEC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// writeRing writes a ring file and its keys into dir.
func writeRing(t testing.TB, dir string, entries ...entry) string {
	t.Helper()
	text := "keys:\n"
	for i, e := range entries {
		if e.text == nil {
			e.text = newPEM(t, e.alg)
		}
		name := fmt.Sprintf("%d.pem", i)
		if err := os.WriteFile(filepath.Join(dir, name), e.text, 0o600); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  - {file: %s, status: %s, kid: %q", name, e.status, e.kid)
		if e.until != "" {
			text += ", until: " + e.until
		}
		text += "}\n"
	}
	path := filepath.Join(dir, "keys.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ringIn(t testing.TB, dir string, entries ...entry) *Ring {
	t.Helper()
	r, err := OpenRing(writeRing(t, dir, entries...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ringOf(t testing.TB, entries ...entry) *Ring {
	t.Helper()
	return ringIn(t, t.TempDir(), entries...)
}

// published are the ids of a key set.
func published(t *testing.T, set []byte) map[string]publicKey {
	t.Helper()
	var doc struct{ Keys []publicKey }
	if err := json.Unmarshal(set, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]publicKey{}
	for _, k := range doc.Keys {
		out[k.Kid] = k
	}
	return out
}

func TestKeysComeInEveryUsualForm(t *testing.T) {
	ec := newEC(t, elliptic.P384())
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	r := rsaKey()
	jwkEC := fmt.Sprintf(`{"kty":"EC","crv":"P-384","use":"sig","alg":"ES384","d":%q,"x":%q,"y":%q}`, b64(d), b64(point[1:49]), b64(point[49:]))
	jwkRSA := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB","d":%q,"p":%q,"q":%q}`, b64(r.N.Bytes()), b64(r.D.Bytes()), b64(r.Primes[0].Bytes()), b64(r.Primes[1].Bytes()))
	sec1PEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	forms := map[string]struct {
		text []byte
		alg  string
	}{
		"EC in PKCS 8": {encoded(t, ec), "ES384"},
		"EC in SEC 1":  {sec1PEM, "ES384"},
		"EC in SEC 1 behind its parameters, as openssl ecparam writes it": {append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 5, 43, 129, 4, 0, 34}}), sec1PEM...), "ES384"},
		"EC as JWK":     {[]byte("\n" + jwkEC), "ES384"},
		"RSA in PKCS 8": {encoded(t, r), "RS384"},
		"RSA in PKCS 1": {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)}), "RS384"},
		"RSA as JWK":    {[]byte(jwkRSA), "RS384"},
	}
	ids := map[string]map[string]bool{}
	for name, form := range forms {
		k, err := ParseKey(form.text)
		if err != nil || k.Algorithm != form.alg {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ids[k.Algorithm] == nil {
			ids[k.Algorithm] = map[string]bool{}
		}
		ids[k.Algorithm][k.ID] = true
		if _, err := k.assertion("client", "https://ehr.example.org/token", "", time.Now(), rand.Reader); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for alg, set := range ids {
		if len(set) != 1 {
			t.Errorf("one %s key has the ids %v in its forms", alg, set)
		}
	}
}

// TestThumbprintIsThatOfRFC7638 uses the example of its section 3.1.
func TestThumbprintIsThatOfRFC7638(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	if got := thumbprint(`{"e":"AQAB","kty":"RSA","n":"` + n + `"}`); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %s", got)
	}
}

func TestUnusableKeysAreRefusedAndNotShown(t *testing.T) {
	p256 := newEC(t, elliptic.P256())
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&p256.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("c2VjcmV0", 8)
	for name, tc := range map[string]struct{ text, says string }{
		"empty":                        {"", "openssl"},
		"a P-256 key":                  {string(encoded(t, p256)), "P-384"},
		"an RSA key of 1024 bits":      {string(encoded(t, short)), "1024 bits"},
		"a public key":                 {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "no private key"},
		"an encrypted key":             {"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + secret + "\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"},
		"a damaged key":                {"-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n", "damaged"},
		"a JWK without d":              {`{"kty":"EC","crv":"P-384"}`, "not a private key"},
		"a symmetric JWK":              {`{"kty":"oct","k":"` + secret + `","d":"x"}`, "oct"},
		"a JWK for encryption":         {`{"kty":"EC","crv":"P-384","use":"enc","d":"` + secret + `"}`, "enc"},
		"a JWK with a short d":         {`{"kty":"EC","crv":"P-384","d":"AAAA"}`, "48 bytes"},
		"an RSA JWK without primes":    {`{"kty":"RSA","n":"` + secret + `","e":"AQAB","d":"` + secret + `"}`, "p and q"},
		"an RSA JWK of 384 bits":       {`{"kty":"RSA","n":"` + secret + `","e":"AQAB","d":"` + secret + `","p":"AQAB","q":"AQAB"}`, "2048"},
		"JSON that is cut off":         {`{"kty":`, "not JSON"},
		"a file that is no key at all": {strings.Repeat("x", maxKeyBytes+1), "over"},
	} {
		_, err := ParseKey([]byte(tc.text))
		if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v does not say %q", name, err, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), secret[:16]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	mixed := fmt.Sprintf(`{"kty":"EC","crv":"P-384","d":%q,"x":"AA","y":"AA"}`, base64.RawURLEncoding.EncodeToString(append(make([]byte, 47), 9)))
	if _, err := ParseKey([]byte(mixed)); !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a JWK of two halves: %v", err)
	}
}

func TestRingsWithMistakesAreRefused(t *testing.T) {
	key := newPEM(t, "ES384")
	for name, tc := range map[string]struct {
		entries []entry
		says    string
	}{
		"no keys":                       {nil, "current"},
		"none is current":               {[]entry{{alg: "ES384", status: StatusNext}}, "current"},
		"two current keys of one kind":  {[]entry{{alg: "ES384", status: StatusCurrent}, {alg: "ES384", status: StatusCurrent}}, "second current"},
		"one key twice":                 {[]entry{{text: key, status: StatusCurrent}, {text: key, status: StatusOld}}, "its id"},
		"two keys of one id":            {[]entry{{alg: "ES384", status: StatusCurrent, kid: "a"}, {alg: "ES384", status: StatusNext, kid: "a"}}, "its id"},
		"a status that does not exist":  {[]entry{{alg: "ES384", status: "retired"}}, "retired"},
		"a current key that ends":       {[]entry{{alg: "ES384", status: StatusCurrent, until: "2027-01-01T00:00:00Z"}}, "until"},
		"a file that is no private key": {[]entry{{text: []byte("x"), status: StatusCurrent}}, "0.pem"},
	} {
		_, err := OpenRing(writeRing(t, t.TempDir(), tc.entries...))
		if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v does not say %q", name, err, tc.says)
		}
	}
	dir := t.TempDir()
	path := writeRing(t, dir, entry{alg: "ES384", status: StatusCurrent})
	if err := os.Chmod(filepath.Join(dir, "0.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRing(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if _, err := OpenRing(filepath.Join(dir, "none.yaml")); !errors.Is(err, ErrKeys) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestTheKeySetHasPublicHalvesOnlyAndOldKeysUntilTheirEnd(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ring := ringOf(t,
		entry{alg: "RS384", status: StatusCurrent, kid: "rsa"}, entry{alg: "ES384", status: StatusCurrent, kid: "ec"},
		entry{alg: "ES384", status: StatusNext, kid: "next"}, entry{alg: "ES384", status: StatusOld, kid: "old"},
		entry{alg: "ES384", status: StatusOld, kid: "ending", until: "2026-12-02T00:00:00Z"},
		entry{alg: "ES384", status: StatusOld, kid: "ended", until: "2026-12-01T00:00:00Z"})
	set := ring.PublicSet(now)
	keys := published(t, set)
	for _, kid := range []string{"rsa", "ec", "next", "old", "ending"} {
		if k := keys[kid]; k.Use != "sig" || k.Alg != "ES384" && k.Alg != "RS384" || k.X+k.N == "" {
			t.Errorf("key %s is published as %+v", kid, k)
		}
	}
	if _, is := keys["ended"]; is || len(keys) != 5 {
		t.Errorf("published are %d keys: %s", len(keys), set)
	}
	var raw struct{ Keys []map[string]any }
	if err := json.Unmarshal(set, &raw); err != nil {
		t.Fatal(err)
	}
	for _, k := range raw.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "x5c", "x5t"} {
			if _, is := k[private]; is {
				t.Errorf("the set publishes %s of key %v", private, k["kid"])
			}
		}
	}
	if got := string((*Ring)(nil).PublicSet(now)); got != `{"keys":[]}` {
		t.Errorf("without keys the set is %s", got)
	}
	for _, tc := range []struct {
		registered string
		taken      []string
		want       string
	}{
		{"", nil, "ec"}, {"", []string{"RS384"}, "rsa"}, {"", []string{"RS384", "ES384"}, "ec"}, {"RS384", nil, "rsa"},
		{"RS384", []string{"RS384", "ES384"}, "rsa"}, {"PS256", nil, ""}, {"", []string{"PS256"}, ""}, {"ES384", []string{"RS384"}, ""},
	} {
		k, err := ring.signer(tc.registered, tc.taken)
		if (err == nil) != (tc.want != "") || k != nil && k.ID != tc.want {
			t.Errorf("signer(%q, %v) is %v, %v; want %q", tc.registered, tc.taken, k, err, tc.want)
		}
	}
}

func TestAHalfWrittenRingTakesNoKeyAway(t *testing.T) {
	dir := t.TempDir()
	current := entry{alg: "ES384", status: StatusCurrent, text: newPEM(t, "ES384")}
	ring := ringIn(t, dir, current)
	before := string(ring.PublicSet(time.Now()))
	if changed, err := ring.Reload(); changed || err != nil {
		t.Errorf("nothing changed, and Reload says %t, %v", changed, err)
	}
	path := filepath.Join(dir, "keys.yaml")
	if err := os.WriteFile(path, []byte("keys:\n  - {file: 0.pem, sta"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := ring.Reload(); changed || !errors.Is(err, ErrKeys) {
		t.Errorf("a broken file: %t, %v", changed, err)
	}
	if after := string(ring.PublicSet(time.Now())); after != before {
		t.Errorf("the set was %s and is %s", before, after)
	}
	writeRing(t, dir, current, entry{alg: "ES384", status: StatusNext})
	if changed, err := ring.Reload(); !changed || err != nil || len(ring.Keys()) != 2 {
		t.Errorf("a mended file: %t, %v", changed, err)
	}
}

// TestTheOpensslLineOfTheDocumentsMakesAKey runs the commands that
// docs/integration.md tells a site to run.
func TestTheOpensslLinesOfTheDocumentsMakeKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	doc, err := os.ReadFile("../../docs/integration.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, line := range strings.Split(string(doc), "\n") {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "openssl ") {
			continue
		}
		dir := t.TempDir()
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s made %v", line, files)
		}
		text, err := configs.ReadSecret(files[0])
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		ran[k.Algorithm] = true
	}
	if !ran["ES384"] || !ran["RS384"] {
		t.Errorf("the document makes keys for %v", ran)
	}
}
