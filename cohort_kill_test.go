// SPDX-License-Identifier: Apache-2.0

package main

// This file: that `cohort build` goes on after a kill and ends with the bytes
// of a build that was never killed, and that the bytes depend on nothing but
// the patients.

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/fhir/claim"
)

// killedOut names the output of a build that is to be killed.
const killedOut = "SEPSISAGENT_TEST_KILLED_BUILD"

func TestACohortBuildThatWasKilledGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("builds three times")
	}
	args := func(dir, out string) []string {
		return []string{"cohort", "build", "--fhir", dir, "--out", out, "--json"}
	}
	if out := os.Getenv(killedOut); out != "" {
		code := runContext(testContext, args(os.Getenv(killedOut+"_FHIR"), out), strings.NewReader(""), io.Discard, os.Stderr)
		t.Fatalf("not killed, exit status %d", code)
	}
	dir := synthetic(t)
	whole, cut := filepath.Join(t.TempDir(), "c.parquet"), filepath.Join(t.TempDir(), "c.parquet")
	var want, got cohortReport
	sepsisagent(t, args(dir, whole)...).want(exitOK).object(&want)

	log := filepath.Join(workFolder(cut), "0", "rows")
	cmd := exec.Command(os.Args[0], "-test.run=^TestACohortBuildThatWasKilledGoesOn$")
	cmd.Env = append(os.Environ(), killedOut+"="+cut, killedOut+"_FHIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		if info, err := os.Stat(log); err == nil && info.Size() > 10_000 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if _, err := os.Stat(cut); err == nil {
		t.Skip("the build was over before it could be killed")
	}
	info, err := os.Stat(log)
	if err != nil || info.Size() < 10_000 {
		t.Fatalf("the build was killed too early to leave finished parts: %v", err)
	}
	sepsisagent(t, args(dir, cut)...).want(exitOK).object(&got)
	a, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(cut)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the files differ: %d and %d bytes, %v", len(a), len(b), err)
	}
	want.Seconds, got.Seconds = 0, 0
	wantText, _ := json.Marshal(want)
	gotText, _ := json.Marshal(got)
	if string(wantText) != string(gotText) {
		t.Errorf("the reports differ:\n%s\n%s", wantText, gotText)
	}
	left, err := os.ReadDir(filepath.Dir(cut))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the output patient data are left: %v, %v", left, err)
	}
}

func TestASecondBuildOfOneFileIsRefusedWhileOneRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; left out by -short")
	}
	out := filepath.Join(t.TempDir(), "c.parquet")
	release, err := claim.Folder(workFolder(out))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"cohort", "build", "--fhir", synthetic(t), "--out", out, "--json"}
	sepsisagent(t, args...).want(exitFailed).says("in use", "hint")
	release()
	sepsisagent(t, args...).want(exitOK)
}

func TestACohortIsTheSameOnOneCoreAndOnSeveral(t *testing.T) {
	if testing.Short() {
		t.Skip("builds twice")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	digests := map[string]bool{}
	for _, cores := range []int{1, 4} {
		runtime.GOMAXPROCS(cores)
		out := filepath.Join(t.TempDir(), "c.parquet")
		sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", out).want(exitOK)
		info, err := cohort.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		digests[info.Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("%d digests", len(digests))
	}
}
