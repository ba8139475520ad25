// SPDX-License-Identifier: Apache-2.0

package main

// This file: the house rules that a machine can check.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sepsisagent/sepsisagent"

// maxLines is the most lines a file may have.
const maxLines = 400

// importTable is the import table of design.md 3: what each package may import of
// ours. A prefix that ends in /... stands for the package and all below it.
var importTable = map[string][]string{
	"":                       {"..."},
	"cdshooks":               {"cdshooks/...", "fhir", "fhir/ucum", "engine", "engine/state", "engine/cohort", "engine/nn", "engine/world", "engine/agent", "engine/figure", "policy", "audit", "configs"},
	"cdshooks/trust":         {"configs"},
	"cdshooks/validation":    {"audit"},
	"cdshooks/drift":         {},
	"cdshooks/launch":        {"cdshooks/launch/oidc", "cdshooks/trust", "configs"},
	"cdshooks/launch/oidc":   {},
	"cdshooks/load":          {"fhir", "engine/physiology"},
	"cdshooks/evidence":      {"engine", "engine/state", "engine/world", "engine/agent", "engine/figure", "policy", "audit", "configs"},
	"fhir":                   {"fhir/ucum", "fhir/smart/scope", "engine/state", "configs"},
	"fhir/bulk":              {"fhir/claim"},
	"fhir/claim":             {},
	"fhir/ucum":              {},
	"fhir/smart":             {"fhir/smart/scope", "configs"},
	"fhir/smart/scope":       {},
	"fhir/sandbox":           {"fhir", "engine/physiology", "engine/state"},
	"engine":                 {"engine/state", "engine/cohort", "engine/nn", "engine/world", "engine/agent", "policy"},
	"engine/state":           {},
	"engine/cohort":          {"engine/state"},
	"engine/nn":              {},
	"engine/world":           {"engine/state", "engine/cohort", "engine/nn"},
	"engine/agent":           {"engine/state", "engine/nn", "engine/world", "policy"},
	"engine/agent/llm":       {"engine/agent", "engine/state", "engine/nn", "engine/world", "policy"},
	"engine/learn":           {"engine", "engine/learn/environment", "engine/state", "engine/cohort", "engine/nn", "engine/world", "engine/agent", "engine/learn/offline", "engine/learn/icusepsis", "engine/learn/planner", "engine/ope", "policy"},
	"engine/learn/offline":   {"engine/nn", "engine/ope"},
	"engine/learn/icusepsis": {"engine/learn/offline"},
	// The planner must not see where its data come from.
	"engine/learn/planner": {"engine/learn/offline", "engine/ope"},
	// The simulated unit renders what a served language model reads, so it may
	// import llm; the wire around it is the second room that may listen.
	"engine/learn/environment": {"engine/state", "engine/cohort", "engine/world", "engine/agent", "engine/agent/llm", "engine/physiology", "policy"},
	"engine/learn/curriculum":  {"engine/learn", "engine/learn/environment", "engine/state", "engine/cohort", "engine/nn", "engine/world", "engine/agent", "engine/physiology", "policy"},
	"engine/learn/openenv":     {"engine/learn/environment", "engine/agent/llm"},
	"engine/learn/export":      {"engine/learn/environment", "engine/state", "engine/cohort", "engine/world", "engine/agent", "engine/agent/llm"},
	"engine/physiology":        {"engine/state"},
	"engine/figure":            {},
	"engine/ope":               {},
	"policy":                   {"engine/state", "engine/world"},
	"audit":                    {},
	// The suite of every store is a package, so that both can run it, and so is the
	// browser of two tests. What questions cost is measured with those who ask them.
	"audit/audittest":          {"audit", "audit/query", "audit/sqllog", "audit/witness"},
	"audit/audittest/tempdir":  {},
	"fhir/sandbox/browsertest": {},
	"audit/sqlite/sqlitetest":  {"audit", "audit/sqlite"},
	"audit/audittest/scale":    {"audit", "audit/access", "audit/console", "audit/audittest", "audit/query", "audit/export", "audit/sqllog", "cdshooks"},
	"audit/sqllog":             {"audit"},
	"audit/witness":            {"audit"},
	"audit/sqlite":             {"audit", "audit/sqllog"},
	"audit/postgres":           {"audit", "audit/sqllog"},
	"audit/query":              {"audit"},
	"audit/story":              {"audit", "audit/query", "cdshooks", "engine", "engine/state", "engine/agent", "policy"},
	// An export reads bodies with the codec that wrote them.
	"audit/export": {"audit", "cdshooks"},
	// Tokens of readers are checked by the code that checks those of clients.
	"audit/access": {"audit", "cdshooks/launch/oidc", "cdshooks/trust", "configs"},
	// The console shows what was recorded with the codec and the pages that the
	// service has for it.
	"audit/console": {"audit", "audit/access", "audit/export", "audit/query", "audit/story", "cdshooks", "cdshooks/evidence", "cdshooks/launch/oidc", "engine/state", "engine/figure"},
	"configs":       {},
}

// source is one parsed Go file.
type source struct {
	path  string // slash-separated, from the root
	pkg   string // folder
	test  bool
	lines int
	text  string
	file  *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, path, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(path)
		pkg := strings.TrimSuffix(filepath.ToSlash(filepath.Dir(path)), ".")
		out = append(out, source{slash, pkg, strings.HasSuffix(path, "_test.go"), strings.Count(string(data), "\n"), string(data), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d Go files found: the test looks in the wrong place", len(out))
	}
	return out
}

func importsOf(s source) []string {
	var out []string
	for _, i := range s.file.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func allowed(table []string, pkg string) bool {
	return slices.ContainsFunc(table, func(a string) bool {
		prefix, all := strings.CutSuffix(a, "...")
		prefix = strings.TrimSuffix(prefix, "/")
		return a == pkg || all && (prefix == "" || pkg == prefix || strings.HasPrefix(pkg, prefix+"/"))
	})
}

func TestImportTable(t *testing.T) {
	for _, s := range sources(t) {
		table, known := importTable[s.pkg]
		if !known {
			t.Errorf("%s: room %q is not in the import table (design.md 3)", s.path, s.pkg)
			continue
		}
		for _, imp := range importsOf(s) {
			ours, is := strings.CutPrefix(imp, module+"/")
			switch {
			// A test may also use rooms that supply or check what it tests,
			// but never break a leaf open the other way round.
			case is && s.test:
			case is && !allowed(table, ours):
				t.Errorf("%s imports %s: %s may import only %v", s.path, ours, s.pkg, table)
			case strings.HasPrefix(imp, "github.com/samply/") && s.pkg != "fhir":
				t.Errorf("%s imports %s: only fhir may", s.path, imp)
			case imp == "net/http" && !s.test && s.pkg != "engine/agent/llm" && s.pkg != "engine/learn/openenv" && (s.pkg == "engine" || strings.HasPrefix(s.pkg, "engine/")):
				t.Errorf("%s imports net/http: a decision must not reach out", s.path)
			}
		}
	}
}

func TestNoRoomIsNamedForNothing(t *testing.T) {
	for _, s := range sources(t) {
		for _, bad := range []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "models"} {
			if s.file.Name.Name == bad || slices.Contains(strings.Split(s.pkg, "/"), bad) {
				t.Errorf("%s: a package called %s says nothing", s.path, bad)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	docs := map[string][]string{}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		seen[s.pkg] = true
		if s.file.Doc != nil && strings.HasPrefix(strings.TrimSpace(s.file.Doc.Text()), "Package ") || s.pkg == "" && s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), "Command ") {
			docs[s.pkg] = append(docs[s.pkg], s.path)
			if !strings.Contains(s.file.Doc.Text(), "trust") {
				t.Errorf("%s: the package comment does not say what the package trusts", s.path)
			}
		}
	}
	for pkg := range seen {
		if len(docs[pkg]) != 1 {
			t.Errorf("package %q has %d package comments %v, want one", pkg, len(docs[pkg]), docs[pkg])
		}
	}
}

func TestEveryFileNamesItsLicence(t *testing.T) {
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.text, "// SPDX-License-Identifier: Apache-2.0\n") {
			t.Errorf("%s does not begin with the SPDX line", s.path)
		}
	}
	licence, err := os.ReadFile("LICENSE")
	if err != nil || !strings.Contains(string(licence), "Apache License") || !strings.Contains(string(licence), "END OF TERMS AND CONDITIONS") {
		t.Errorf("LICENSE is not the Apache License: %v", err)
	}
}

func TestNoFileIsTooLongToRead(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines {
			t.Errorf("%s has %d lines, at most %d", s.path, s.lines, maxLines)
		}
	}
}

func TestModuleHasNoReplace(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod: %s: go install refuses modules with replace", line)
		}
	}
}

// TestDockerfileBuildLine runs the line of the Dockerfile that builds the
// binary, because no container engine is at hand, and starts what it built.
func TestDockerfileBuildLine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole binary")
	}
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for _, l := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(l, "RUN ") && strings.Contains(l, "go build") {
			line = strings.TrimPrefix(l, "RUN ")
		}
	}
	if !strings.Contains(line, "CGO_ENABLED=0") || !strings.Contains(line, "/out/sepsisagent") {
		t.Fatalf("the Dockerfile's build line is %q", line)
	}
	bin := filepath.Join(t.TempDir(), "sepsisagent")
	line = strings.Replace(line, "/out/sepsisagent", bin, 1)
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if out, err := exec.Command(bin, "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), "sepsisagent version") {
		t.Errorf("the built binary: %v\n%s", err, out)
	}
	for _, must := range []string{"FROM scratch", "USER 65532", "HEALTHCHECK", `ENTRYPOINT ["/sepsisagent"]`} {
		if !strings.Contains(string(data), must) {
			t.Errorf("the Dockerfile has no %q", must)
		}
	}
}
