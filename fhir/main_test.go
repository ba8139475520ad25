// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/configs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testMaps are the embedded code maps, read once: nothing changes them.
var testMaps = sync.OnceValues(func() (*CodeMaps, error) { return LoadCodeMaps(configs.FS) })

// testMapper maps by the embedded code maps.
func testMapper(t testing.TB) *Mapper {
	t.Helper()
	maps, err := testMaps()
	if err != nil {
		t.Fatal(err)
	}
	return NewMapper(maps)
}

// realData is the folder of open ICU data, or a skip.
func realData(t testing.TB, set string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real data are not read with -short")
	}
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	dir := filepath.Join(root, set)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data: %s is absent (set SEPSISAGENT_DATA)", dir)
	}
	return dir
}

// embedded is the folder of default files.
func embedded() fs.FS { return configs.FS }

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
