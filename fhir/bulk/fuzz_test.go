// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: what must hold for every manifest, header and file that can come.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

// planned plans a manifest into an empty folder.
func planned(t testing.TB, dir string, m *manifest) *folder {
	f, err := openFolder(dir, Request{Server: "https://ehr.example/fhir", Types: []string{"Patient"}})
	if err != nil {
		t.Fatal(err)
	}
	f.release() // the tests open it again
	if err := f.plan(m); err != nil {
		t.Fatal(err)
	}
	return &f
}

func FuzzManifest(f *testing.F) {
	for _, seed := range []string{
		`{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":true,"output":[{"type":"Patient","url":"https://files.example/a?sig=1","count":3},{"type":"Patient","url":"https://files.example/a?sig=2"}],"error":[]}`,
		`{"transactionTime":"2026-01-01T00:00:00.123+01:00","output":[{"url":"../x"}],"deleted":[{"type":"Bundle","url":"d"}],"outcome":[{"url":"e"}],"link":[{"relation":"next","url":"?page=2"}]}`,
		`{"resourceType":"OperationOutcome","issue":[{"code":"exception","diagnostics":"no"}]}`,
		`{"transactionTime":"2026-01-01T00:00:00Z","output":[{"type":"../../etc","url":"u"}]}`,
		`{"transactionTime":"2026-01-01T00:00:00Z","output":[{"type":"Patient","url":"u","count":-1}]}`,
		`{"transactionTime":"2026-01-01T00:00:00Z","output":[{"type":"Patient","url":"https://169.254.169.254/latest"},{"type":"Patient","url":"https://[::1]/"}]}`,
		`[]`, `<html>`, ``,
	} {
		f.Add([]byte(seed))
	}
	base, err := url.Parse("https://ehr.example/fhir")
	if err != nil {
		f.Fatal(err)
	}
	c := &client{base: base}
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := parseManifest(body)
		if err != nil {
			if !errors.Is(err, ErrManifest) && !errors.Is(err, ErrFailed) {
				t.Fatalf("%v is no error of a manifest", err)
			}
			return
		}
		whole := &manifest{}
		if _, err := whole.append(page, base, c); err != nil {
			return
		}
		for _, l := range slices.Concat(whole.output, whole.deleted, whole.errors) {
			if u, err := url.Parse(l.url); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || own(u.Hostname()) {
				t.Errorf("link %q", l.url)
			}
		}
		dir := t.TempDir()
		fo := planned(t, dir, whole)
		stems := map[string]bool{}
		for _, p := range fo.state.Pieces {
			if !stemShape.MatchString(p.Stem) || stems[p.Stem] || filepath.Dir(fo.path(p.Stem)) != dir {
				t.Errorf("name %q", p.Stem)
			}
			stems[p.Stem] = true
		}
		// What was planned is taken up as it was, however the links come the
		// next time.
		slices.Reverse(whole.output)
		again, err := openFolder(dir, fo.state.Request)
		if err != nil {
			t.Fatal(err)
		}
		defer again.release()
		if err := again.plan(whole); err != nil {
			t.Fatal(err)
		}
		if len(again.state.Pieces) != len(fo.state.Pieces) {
			t.Errorf("%d pieces, then %d", len(fo.state.Pieces), len(again.state.Pieces))
		}
		for _, p := range again.state.Pieces {
			if !stems[p.Stem] {
				t.Errorf("%q has a new name", p.Stem)
			}
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"request":{"server":"https://ehr.example/fhir","level":"","types":["Patient"]},"pieces":[{"stem":"Patient-0001","list":"output","done":{"file":"Patient-0001.ndjson"}}]}`))
	f.Add([]byte(`{"request":{"server":"https://ehr.example/fhir","level":"","types":["Patient"]},"pieces":[{"stem":"../../x-0001"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		fo, err := openFolder(dir, Request{Server: "https://ehr.example/fhir", Types: []string{"Patient"}})
		if err != nil {
			if !errors.Is(err, ErrOccupied) {
				t.Fatal(err)
			}
			return
		}
		defer fo.release()
		for _, p := range fo.state.Pieces {
			for _, n := range append(p.names(), p.Stem+partSuffix) {
				if filepath.Dir(filepath.Join(dir, n)) != dir {
					t.Errorf("name %q leaves the folder", n)
				}
			}
		}
		if err := fo.forget(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte("{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\"}\n"))
	f.Add([]byte("{\"resourceType\":\"Patient\"}\r\n\r\n{\"resourceType\" : \"Patient\""))
	f.Add([]byte("<html>"))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		write := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := &piece{Type: "Patient"}
		write(data)
		found, err := inspect(path, p)
		if err != nil && !errors.Is(err, ErrContent) {
			t.Fatal(err)
		}
		if err == nil && found.Bytes != int64(len(data)) {
			t.Errorf("%d bytes, want %d", found.Bytes, len(data))
		}
		if found.gzipped || bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			return
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(data); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		write(packed.Bytes())
		zipped, zerr := inspect(path, p)
		if (err == nil) != (zerr == nil) || zipped.Resources != found.Resources || zipped.Broken != found.Broken {
			t.Errorf("plain %d resources, %d broken, %v; compressed %d, %d, %v", found.Resources, found.Broken, err, zipped.Resources, zipped.Broken, zerr)
		}
	})
}

func TestNoHeaderMakesAPauseWithoutBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := http.Header{"Retry-After": {rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]+)?(e[0-9]{1,3})?`), rapid.Just("Inf"), rapid.Just("-NaN"),
			rapid.Just(time.Now().Add(time.Duration(rapid.Int64().Draw(t, "off"))).UTC().Format(http.TimeFormat))).Draw(t, "header")}}
		most := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "most"))
		d := backoff(rapid.IntRange(0, 1_000_000).Draw(t, "attempt"), h, most)
		if d < 0 || d > mostPause || most == 0 && d < leastPause || most > 0 && d > most {
			t.Fatalf("a pause of %s for %q, at most %s", d, h, most)
		}
	})
}

func TestNothingForeignReachesATerminalUntouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := plain(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")))
		if len(text) > maxShown+len("…") || strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && (!unicode.IsPrint(r) || r == unicode.ReplacementChar) }) {
			t.Fatalf("%q", text)
		}
	})
}

func TestLinksThatAreNotFollowed(t *testing.T) {
	base, err := url.Parse("https://ehr.example/fhir")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: base}
	for _, text := range []string{"", " ", "http://ehr.example/x", "ftp://ehr.example/x", "https://u:p@ehr.example/x", "file:///etc/passwd",
		"https://localhost/x", "https://127.0.0.1/x", "https://[::1]:8080/x", "https://169.254.169.254/latest", "https://0.0.0.0/x", "https://%zz", "javascript:x"} {
		if u, err := c.link(base, text); err == nil {
			t.Errorf("%q became %s", text, u)
		}
	}
	for text, want := range map[string]string{"/x": "https://ehr.example/x", "x?y=1#z": "https://ehr.example/x?y=1", "https://files.example/a": "https://files.example/a"} {
		if u, err := c.link(base, text); err != nil || u.String() != want {
			t.Errorf("%q became %v, %v", text, u, err)
		}
	}
}

func TestContentRanges(t *testing.T) {
	tests := []struct {
		text        string
		start, size int64
	}{
		{"bytes 5-9/10", 5, 10}, {"bytes 5-9/*", 5, -1}, {"bytes */10", -1, 10}, {"", -1, -1}, {"items 1-2/3", -1, -1}, {"bytes 5-9", -1, -1},
	}
	for _, tc := range tests {
		if start, size := contentRange(tc.text); start != tc.start || size != tc.size {
			t.Errorf("%q is %d of %d", tc.text, start, size)
		}
	}
}
