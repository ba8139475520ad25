// SPDX-License-Identifier: Apache-2.0

package configs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
)

func TestASecretIsReadWhenOnlyItsOwnerAndGroupCan(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o640: true, // as Kubernetes mounts a secret, with fsGroup
		0o644: false, 0o444: false, 0o604: false, 0o660: false, 0o620: false, 0o602: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		data, err := configs.ReadSecret(path)
		if good != (err == nil && string(data) == "hush") || !good && !errors.Is(err, configs.ErrSecret) {
			t.Errorf("mode %o: %q, %v", mode, data, err)
		}
	}
	if _, err := configs.ReadSecret(dir); !errors.Is(err, configs.ErrSecret) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := configs.ReadSecret(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, bytes.Repeat([]byte("x"), 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := configs.ReadSecret(huge); !errors.Is(err, configs.ErrSecret) {
		t.Errorf("a huge file: %v", err)
	}
}
