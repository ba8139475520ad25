// SPDX-License-Identifier: Apache-2.0

package bulk_test

// This file: how fast files come and are checked, over loopback.

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

// BenchmarkFetch fetches two files of 64 MB; run it with -benchtime 3x.
func BenchmarkFetch(b *testing.B) {
	line := `{"resourceType":"Observation","id":"o","status":"final","note":[{"text":"` + strings.Repeat("x", 900) + "\"}]}\n"
	body := strings.Repeat(line, 64_000_000/len(line))
	var base string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "$export"):
			w.Header().Set("Content-Location", base+"/status")
			w.WriteHeader(http.StatusAccepted)
		case strings.HasSuffix(r.URL.Path, "status"):
			fmt.Fprintf(w, `{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":false,"output":[{"type":"Observation","url":"a"},{"type":"Observation","url":"b"}],"error":[]}`)
		default:
			_, _ = io.WriteString(w, body) // a reader that is gone shows elsewhere
		}
	}))
	defer server.Close()
	base = server.URL
	b.SetBytes(int64(2 * len(body)))
	for b.Loop() {
		out := filepath.Join(b.TempDir(), "out")
		if _, err := bulk.Fetch(b.Context(), bulk.Config{Server: base, Types: []string{"Observation"}, Out: out}); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
	}
}
