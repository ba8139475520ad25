// SPDX-License-Identifier: Apache-2.0

package main

// This file: every command of the README is run, in its order, in an empty
// folder, as a reader would.

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// quicker makes a command of the README short enough for a test, without
// changing what it does.
var quicker = map[string][]string{
	"train world": {"--members", "1", "--epochs", "1"},
}

// elsewhere are commands that other tests run, or that are this test.
var elsewhere = map[string]string{
	"go test ./...":         "is running now",
	"go run . serve --demo": "TestServeDemoStartsByOneCommandAndStops; its port may be taken here",
}

// exampleServer is the FHIR server of the README; a server in this process
// takes its place.
const exampleServer = "https://ehr.hospital.example/fhir"

// siteConfig is the YAML of the README.
var siteConfig = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestEveryCommandOfTheReadmeRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a model")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if dir := testModel(t); dir != "" {
		t.Setenv("SEPSISAGENT_FILES__MODEL", dir)
	}
	t.Setenv("SEPSISAGENT_HTTP__ADDR", "127.0.0.1:0")
	t.Chdir(t.TempDir())
	m := siteConfig.FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README shows no site configuration")
	}
	if err := os.WriteFile("site.yaml", m[1], 0o600); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, line := range shellLines(string(readme)) {
		if why, ok := elsewhere[line]; ok {
			t.Logf("%s: %s", line, why)
			continue
		}
		args, ok := strings.CutPrefix(line, "sepsisagent ")
		if !ok {
			t.Errorf("%q is neither run nor excused by this test", line)
			continue
		}
		ran++
		runReadmeLine(t, strings.Fields(args))
	}
	if ran < 8 {
		t.Errorf("only %d commands were run: are the fences of the README still ```sh?", ran)
	}
}

// runReadmeLine runs one command; a server is stopped once it is up.
func runReadmeLine(t *testing.T, args []string) {
	t.Helper()
	for name, more := range quicker {
		if strings.HasPrefix(strings.Join(args, " "), name) {
			args = append(args, more...)
		}
	}
	for i, a := range args {
		switch a {
		case "PATIENT":
			args[i] = anyPatient(t, "demo-data")
		case exampleServer:
			args[i] = exportServer(t, nil)
		}
	}
	if args[0] == "serve" && args[len(args)-1] != "--check" {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		logs, in := io.Pipe()
		done := make(chan int, 1)
		go func() {
			done <- runContext(ctx, args, strings.NewReader(""), io.Discard, in)
			in.Close()
		}()
		firstMatch(t, logs, regexp.MustCompile(`"msg":"serving"`))
		stop()
		select {
		case code := <-done:
			if code != exitOK {
				t.Errorf("%v: exit status %d", args, code)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%v does not stop", args)
		}
		return
	}
	sepsisagent(t, args...).want(exitOK)
}

func anyPatient(t *testing.T, dir string) string {
	t.Helper()
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := fhir.NewMapper(maps).OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	patients, err := folder.Patients()
	if err != nil {
		t.Fatal(err)
	}
	return patients[0]
}

// shellLines gives the commands of all ```sh fences.
func shellLines(text string) []string {
	var out []string
	in := false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```sh"):
			in = true
		case strings.HasPrefix(line, "```"):
			in = false
		case in && strings.TrimSpace(line) != "":
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
