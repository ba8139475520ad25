// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: a child process appends as fast as it can and is killed without
// warning; whatever it had answered must be in a log that verifies.

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

const childEnv = "SEPSISAGENT_AUDIT_CHILD"

// childMain is the child: it prints the id of each entry after Append
// returned, which is when a server would answer.
func childMain() bool {
	spec := os.Getenv(childEnv)
	if spec == "" {
		return false
	}
	path, keyFile, _ := strings.Cut(spec, "|")
	key, err := audit.ReadKeyFile(keyFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	l, err := Open(ctx, path, Options{Key: key})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := entry(i)
				e.Index.ID = fmt.Sprintf("p%d-w%d-%d", os.Getpid(), w, i)
				if _, err := l.Append(ctx, e); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(3)
				}
				mu.Lock()
				fmt.Println(e.Index.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return true
}

func TestKillNineLosesNothingThatWasAnswered(t *testing.T) {
	rounds := 10
	switch {
	case *long:
		rounds = 200
	case testing.Short():
		rounds = 2
	}
	dir := t.TempDir()
	keyFile, path := filepath.Join(dir, "key"), filepath.Join(dir, "a.db")
	key, err := audit.CreateKeyFile(keyFile, "kill")
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(ctx, path, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	var answered []string
	for range rounds {
		answered = append(answered, killOnce(t, path, keyFile)...)
	}
	if len(answered) == 0 {
		t.Fatal("no child answered anything: the test shows nothing")
	}
	l, err := Open(ctx, path, Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Verify(ctx)
	if err != nil || !r.OK {
		t.Fatalf("report %+v, error %v", r, err)
	}
	for _, id := range answered {
		if _, err := l.Get(ctx, id); err != nil {
			t.Errorf("answered but lost: %v", err)
		}
	}
	t.Logf("%d kills, %d answered, %d stored", rounds, len(answered), r.Size)
}

func killOnce(t *testing.T, path, keyFile string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path+"|"+keyFile)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	sc := bufio.NewScanner(out)
	stop := 1 + rand.IntN(60)
	for sc.Scan() {
		ids = append(ids, sc.Text())
		if len(ids) == stop {
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	// A line cut by the kill is no answer.
	if n := len(ids); n > 0 && strings.Count(ids[n-1], "-") != 2 {
		ids = ids[:n-1]
	}
	return ids
}
