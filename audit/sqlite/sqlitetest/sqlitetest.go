// SPDX-License-Identifier: Apache-2.0

// Package sqlitetest gives tests of other packages a real audit log in SQLite,
// in a folder that goes with the test. It trusts its caller to be a test.
package sqlitetest

import (
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
)

// New makes and opens an empty log, and closes it when the test ends. Without
// o.Key the log has a new one.
func New(t testing.TB, o sqlite.Options) *sqlite.Log {
	t.Helper()
	if o.Key == nil {
		key, _, err := audit.NewKey(nil, "test.example/sepsis")
		if err != nil {
			t.Fatal(err)
		}
		o.Key = key
	}
	path := filepath.Join(t.TempDir(), "audit.db")
	if err := sqlite.Create(t.Context(), path, o); err != nil {
		t.Fatal(err)
	}
	log, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}
