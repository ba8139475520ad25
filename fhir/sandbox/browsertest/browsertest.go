// SPDX-License-Identifier: Apache-2.0

// Package browsertest opens pages in Chromium, for tests. They run where
// SEPSISAGENT_BROWSER=1 and Chromium is installed, with `-run InABrowser`, which is
// why their names end so; with SEPSISAGENT_SHOTS they leave screenshots in that
// folder. The pages are the tests' own and are trusted: Chromium runs without its
// sandbox, which it cannot have in a container.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Needed skips the test where no browser is asked for, and fails one whose name
// does not say that it needs one: `-run InABrowser` would pass it over.
func Needed(t *testing.T) {
	t.Helper()
	if name, _, _ := strings.Cut(t.Name(), "/"); !strings.HasSuffix(name, "InABrowser") {
		t.Fatalf("%s opens a browser (hint: let its name end in InABrowser)", name)
	}
	if os.Getenv("SEPSISAGENT_BROWSER") != "1" {
		t.Skip("set SEPSISAGENT_BROWSER=1 to run the browser tests")
	}
}

// Open is a headless tab that is closed with the test; it skips as Needed does.
func Open(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	Needed(t)
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("SEPSISAGENT_BROWSER=1 but there is no chromium (hint: apt-get install chromium): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	options = append(options, more...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	return ctx
}

// Shot saves a screenshot where SEPSISAGENT_SHOTS names a folder.
func Shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("SEPSISAGENT_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Ask is the value of a script in the page, or of what it promises.
func Ask[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%.80s: %v", script, err)
	}
	return v
}
