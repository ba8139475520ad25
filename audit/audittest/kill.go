// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: a child process appends as fast as it can, erases now and then, and
// is killed without warning; whatever it had answered and not erased must be in a
// log that verifies.

import (
	"bufio"
	"context"
	"errors"
	"flag"
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
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

const childEnv = "SEPSISAGENT_AUDIT_CHILD"

var long = flag.Bool("long", false, "run the kill loop 200 times instead of 10")

// Child is to be called by TestMain, once flags are parsed: where this process is
// the child it appends for ever, and Child does not return. It prints the id of
// each entry after Append returned, which is when a server would answer.
func Child(open Opener) {
	spec := os.Getenv(childEnv)
	if spec == "" {
		return
	}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	ctx := context.Background()
	keyFile, place, _ := strings.Cut(spec, "|")
	key, err := audit.ReadKeyFile(keyFile)
	fail(err)
	l, err := open(ctx, place, sqllog.Options{Key: key})
	fail(err)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := Entry(i)
				e.Index.ID = fmt.Sprintf("p%d-w%d-%d", os.Getpid(), w, i)
				_, err := l.Append(ctx, e)
				fail(err)
				mu.Lock()
				fmt.Println(e.Index.ID)
				mu.Unlock()
				if w == 0 && i%5 == 4 { // a kill may come in the middle of an erasure
					_, err := l.Erase(ctx, audit.Selection{ID: e.Index.ID}, why)
					fail(err)
				}
			}
		})
	}
	wg.Wait()
}

func kill(t *testing.T, place func(testing.TB) Place) {
	rounds := 10
	switch {
	case *long:
		rounds = 200
	case testing.Short():
		rounds = 2
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	key, err := audit.CreateKeyFile(keyFile, "kill")
	if err != nil {
		t.Fatal(err)
	}
	p := place(t)
	if err := p.Create(t.Context(), sqllog.Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	var answered []string
	for range rounds {
		answered = append(answered, killOnce(t, keyFile+"|"+p.Spec())...)
	}
	if len(answered) == 0 {
		t.Fatal("no child answered anything: the test shows nothing")
	}
	l, err := p.Open(t.Context(), sqllog.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Verify(t.Context())
	if err != nil || !r.OK {
		t.Fatalf("report %+v, error %v", r, err)
	}
	for _, id := range answered {
		if _, err := l.Get(t.Context(), id); err != nil && !errors.Is(err, audit.ErrErased) {
			t.Errorf("answered but lost: %v", err)
		}
	}
	t.Logf("%d kills, %d answered, %d stored, %d erased", rounds, len(answered), r.Size, r.Erased)
}

func killOnce(t *testing.T, spec string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+spec)
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
