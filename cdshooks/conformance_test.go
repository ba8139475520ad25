// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the checklist of conformance to CDS Hooks, line by line: which
// test holds it, why it does not apply, or that nothing holds it. The words of
// a line are ours; the checklist is made of CDS Hooks 2.0.1 and its 3.0 draft,
// Da Vinci CRD, the vendors' documentation and the tests of Inferno.
// docs/conformance.md is printed from it: go test ./cdshooks -run Conformance -update.

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// line is one line of the checklist.
type line struct {
	id, says string
	verdict
}

// verdict is how a line stands: held by tests, not applicable, or lacking.
type verdict struct {
	tests    []string // TestName or TestName/subtest
	not, gap string
}

func held(tests ...string) verdict { return verdict{tests: tests} }
func not(why string) verdict       { return verdict{not: why} }

// chapters are the chapters of the checklist and how many lines each has.
var chapters = []struct {
	letter, title string
	lines         int
}{
	{"A", "Discovery", 23}, {"B", "Requests and errors", 46}, {"C", "Cards", 44}, {"D", "Feedback", 19},
	{"E", "Security", 37}, {"F", "Reading the EHR", 19}, {"G", "Working in a ward", 14}, {"H", "Inferno, Da Vinci CRD server 2.0.1", 16},
}

func checklist() []line {
	return slices.Concat(conformanceDiscovery, conformanceRequest, conformanceResponse, conformanceFeedback, conformanceSecurity, conformanceAccess)
}

func chapter(letter string) []line {
	var out []line
	for _, l := range checklist() {
		if l.id[:1] == letter {
			out = append(out, l)
		}
	}
	return out
}

func TestConformanceIsTracedLineByLine(t *testing.T) {
	known := namedTests(t)
	total := 0
	for _, c := range chapters {
		lines := chapter(c.letter)
		total += c.lines
		if len(lines) != c.lines {
			t.Errorf("chapter %s has %d lines, not %d", c.letter, len(lines), c.lines)
		}
		for i, l := range lines {
			if want := c.letter + strconv.Itoa(i+1); l.id != want {
				t.Errorf("%s stands where %s belongs", l.id, want)
			}
			if n := min(1, len(l.tests)) + min(1, len(l.not)) + min(1, len(l.gap)); n != 1 || l.says == "" {
				t.Errorf("%s has %d verdicts", l.id, n)
			}
			for _, name := range l.tests {
				if !known[name] {
					t.Errorf("%s: there is no test %q", l.id, name)
				}
			}
		}
	}
	if n := len(checklist()); n != total {
		t.Errorf("%d lines, not %d", n, total)
	}
}

// eachTest shows every test and fuzz target of the module, with its file.
func eachTest(t testing.TB, look func(path string, f *ast.FuncDecl)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				look(path, f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// namedTests are the tests and fuzz targets of the module, and every piece of
// text in each, one of which is the name of a subtest.
func namedTests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	eachTest(t, func(_ string, f *ast.FuncDecl) {
		known[f.Name.Name] = true
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
				if text, err := strconv.Unquote(s.Value); err == nil {
					known[f.Name.Name+"/"+text] = true
				}
			}
			return true
		})
	})
	return known
}

func TestConformancePageIsPrintedFromTheTable(t *testing.T) {
	path := filepath.Join("..", "docs", "conformance.md")
	got := conformancePage(t)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("docs/conformance.md is not what the table prints, %v (hint: -update)", err)
	}
}

func conformancePage(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("# Conformance to CDS Hooks\n\nPrinted by `go test ./cdshooks -run Conformance -update` from the table in `cdshooks/conformance*_test.go`, which a test\n" +
		"keeps complete: every test named here exists. A test that is named holds the line as far as it goes. The lines are our\n" +
		"own summary of CDS Hooks 2.0.1 (and its 3.0 draft), Da Vinci CRD, vendors' documentation and the Inferno test kit;\n" +
		"no outside body has certified anything, and Inferno itself has not been run.\n\n" +
		"| chapter | lines | held by a test | does not apply | not held |\n|---|---|---|---|---|\n")
	count := func(lines []line) (n [3]int) {
		for _, l := range lines {
			switch {
			case l.not != "":
				n[1]++
			case l.gap != "":
				n[2]++
			default:
				n[0]++
			}
		}
		return n
	}
	row := func(name string, lines []line) {
		n := count(lines)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, len(lines), n[0], n[1], n[2])
	}
	for _, c := range chapters {
		row(c.letter+" "+c.title, chapter(c.letter))
	}
	row("all", checklist())
	executions, targets := fuzzed(t)
	n := loaded(t)
	fmt.Fprintf(&b, "\n| number | from |\n|---|---|\n")
	fmt.Fprintf(&b, "| %d fuzz executions without a crash, of %d of %d targets | `RECORD=1 .ci/fuzz`, into `.ci/fuzzed.tsv` |\n", executions, targets, fuzzTargets(t))
	fmt.Fprintf(&b, "| %d hostile tokens refused, each for its own reason | `TestForgedTokensAreRefused` |\n", forged(t))
	fmt.Fprintf(&b, "| %.1f calls/s by %.0f closed loops for %.0f s on %.0f cores whose load average was %.1f: p50 %.0f ms, p90 %.0f ms, p95 %.0f ms, p99 %.0f ms; %.0f answers, %.0f unrecorded | `go run ./.ci/load -clients %.0f -for %.0fs -record`, into `.ci/loaded.tsv` |\n",
		n["calls_per_s"], n["clients"], n["seconds"], n["cores"], n["load_average"], n["p50_ms"], n["p90_ms"], n["p95_ms"], n["p99_ms"], n["calls"], n["unrecorded"], n["clients"], n["seconds"])
	for _, c := range chapters {
		fmt.Fprintf(&b, "\n## %s %s\n\n| line | says | held by |\n|---|---|---|\n", c.letter, c.title)
		for _, l := range chapter(c.letter) {
			by := "`" + strings.Join(l.tests, "`, `") + "`"
			switch {
			case l.not != "":
				by = "does not apply: " + l.not
			case l.gap != "":
				by = "**not held**: " + l.gap
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", l.id, l.says, by)
		}
	}
	return b.Bytes()
}
