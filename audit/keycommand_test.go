// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
)

func TestMain(m *testing.M) {
	audittest.KeyService()
	os.Exit(m.Run())
}

// service is this test binary as a key service with a master key.
func service(t *testing.T, master string) audit.KeyCommand {
	t.Helper()
	t.Setenv(audittest.KeyServiceEnv, master)
	return audit.KeyCommand{os.Args[0]}
}

func TestAWrappedKeyIsOpenedByItsServiceAlone(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	file := filepath.Join(dir, "wrapped")
	command := service(t, "one")
	id, err := audit.CreateBodyKeyFile(ctx, file, command)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := audit.ReadBodyKeyFiles(ctx, []string{file}, command)
	if err != nil || keys.Current() != id {
		t.Fatalf("%v, %v", keys, err)
	}
	if _, err := audit.ReadBodyKeyFiles(ctx, []string{file}, nil); !errors.Is(err, audit.ErrKey) || !strings.Contains(err.Error(), "encryption_key_command") {
		t.Errorf("without a command: %v", err)
	}
	if _, err := audit.ReadBodyKeyFiles(ctx, []string{file}, service(t, "two masters")); !errors.Is(err, audit.ErrKey) || !strings.HasSuffix(err.Error(), ": access denied: cipher: message authentication failed") {
		t.Errorf("by another service: %v", err)
	}
	if _, err := audit.ReadBodyKeyFiles(ctx, []string{file}, audit.KeyCommand{filepath.Join(dir, "none")}); !errors.Is(err, audit.ErrKey) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("by a program that is not there: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := audit.ReadBodyKeyFiles(done, []string{file}, command); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAKeyIsWrappedAnewWithoutChanging(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	plain, wrapped, again := filepath.Join(dir, "plain"), filepath.Join(dir, "wrapped"), filepath.Join(dir, "again")
	id, err := audit.CreateBodyKeyFile(ctx, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	command := service(t, "one")
	for _, step := range [][2]string{{plain, wrapped}, {wrapped, again}} {
		if got, err := audit.RewrapBodyKeyFile(ctx, step[0], step[1], command); err != nil || got != id {
			t.Fatalf("%v: %s, %v", step, got, err)
		}
	}
	keys, err := audit.ReadBodyKeyFiles(ctx, []string{again, plain}, command)
	if err != nil || keys.Current() != id {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := audit.RewrapBodyKeyFile(ctx, plain, wrapped, command); !errors.Is(err, audit.ErrExists) {
		t.Errorf("over another file: %v", err)
	}
	a, errA := os.ReadFile(wrapped)
	b, errB := os.ReadFile(again)
	if errA != nil || errB != nil || string(a) == string(b) {
		t.Errorf("it was not wrapped anew: %v, %v", errA, errB)
	}
}

func TestWhatAKeyServiceMustNotAnswer(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if _, err := audit.CreateBodyKeyFile(t.Context(), good, service(t, "one")); err != nil {
		t.Fatal(err)
	}
	for master, says := range map[string]string{
		"words": "no object", "two": "more than one object", "endless": "writes more than 65536 bytes", "plain": "does not encrypt", "other": "is not key",
	} {
		t.Run(master, func(t *testing.T) {
			command := service(t, master)
			file := filepath.Join(t.TempDir(), "key")
			if _, err := audit.CreateBodyKeyFile(t.Context(), file, command); !errors.Is(err, audit.ErrKey) || !strings.Contains(err.Error(), says) {
				t.Errorf("wrapping: %v", err)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("a file was left")
			}
			if _, err := audit.ReadBodyKeyFiles(t.Context(), []string{good}, command); !errors.Is(err, audit.ErrKey) {
				t.Errorf("unwrapping: %v", err)
			}
		})
	}
}

func TestADamagedWrappedKeyIsRefused(t *testing.T) {
	command := service(t, "one")
	for name, text := range map[string]string{
		"nothing wrapped": "sepsisagent-wrapped-body-key/1 0011223344556677 \n",
		"no id":           "sepsisagent-wrapped-body-key/1  AAAA\n",
		"not base64":      "sepsisagent-wrapped-body-key/1 0011223344556677 ???\n",
		"another version": "sepsisagent-wrapped-body-key/2 0011223344556677 AAAA\n",
		"cut off":         "sepsisagent-wrapped-body-key/1 0011223344556677 AAAA\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := audit.ReadBodyKeyFiles(t.Context(), []string{file}, command); !errors.Is(err, audit.ErrKey) {
				t.Errorf("got %v", err)
			}
		})
	}
}
