// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAFolderIsClaimedOnceAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	release, err := Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(dir); !errors.Is(err, ErrTaken) {
		t.Fatalf("claimed twice: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("the claim left %v in the folder, %v", names, err)
	}
	release()
	again, err := Folder(dir)
	if err != nil {
		t.Fatalf("after its release: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	fresh, err := Folder(dir)
	if err != nil {
		t.Fatalf("a folder of the same name that is another: %v", err)
	}
	again()
	fresh()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(file); err == nil {
		t.Error("a file was claimed as a folder")
	}
	dangling := filepath.Join(dir, "link")
	if err := os.Symlink("/nonexistent/x", dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(dangling); err == nil {
		t.Error("a link to nothing was claimed")
	}
}

func TestOfManyWhoRemoveAndClaimOnlyOneHasIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	var holders, claims atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				release, err := Folder(dir)
				if errors.Is(err, ErrTaken) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have it", n)
				}
				claims.Add(1)
				holders.Add(-1)
				_ = os.RemoveAll(dir)
				release()
			}
		})
	}
	group.Wait()
	if claims.Load() == 0 {
		t.Error("nobody ever had it")
	}
}
