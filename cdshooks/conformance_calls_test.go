// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: lines of the checklist that are about whole calls: what one leaves
// to the next, and what an EHR is asked.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func TestACallKnowsNothingOfTheDataOfTheCallBefore(t *testing.T) {
	c := open(t, nil)
	decided := func(change func(map[string]any)) string {
		t.Helper()
		r := c.view(physiology.SepticShock, func(b map[string]any) {
			b["context"].(map[string]any)["userId"] = "Practitioner/dr-" + strconv.Itoa(len(c.records(KindDecision)))
			if change != nil {
				change(b)
			}
		})
		if r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		all := c.records(KindDecision)
		text, err := json.Marshal(all[len(all)-1].Receipt.Outcome.Decision)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	without := func(key string) func(map[string]any) {
		return func(b map[string]any) { b["prefetch"].(map[string]json.RawMessage)[key] = bundle(nil) }
	}
	fresh := open(t, nil)
	fresh.view(physiology.SepticShock, without(fhir.KeyVitals))
	first := fresh.records(KindDecision)
	alone, err := json.Marshal(first[0].Receipt.Outcome.Decision)
	if err != nil {
		t.Fatal(err)
	}
	whole := decided(nil)
	bare := decided(without(fhir.KeyVitals))
	if bare != string(alone) {
		t.Errorf("without vital signs, after a call that had them:\n%s\nand as the first call:\n%s", bare, alone)
	}
	if whole == bare {
		t.Error("vital signs make no difference, so this test shows nothing")
	}
	if again := decided(nil); again != whole {
		t.Errorf("with them again:\n%s\nat first:\n%s", again, whole)
	}
}

func TestAnEHRIsNeverAskedToWrite(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	e := newEHR(t, fixtures().patients[physiology.SepticShock])
	inner := e.Config.Handler
	e.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		mu.Unlock()
		inner.ServeHTTP(w, r)
	})
	c := open(t, func(d *Deps, client *trust.Client) {
		client.FHIRServer, client.Network = e.URL+"/fhir", trust.NetworkLoopback
		d.Config.Deadline, d.Config.FHIRBudget = 30*time.Second, 4*time.Second
	})
	r := c.view(physiology.SepticShock, func(b map[string]any) { delete(b, "prefetch"); allow(b, e, 300, "patient/*.*") })
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	e.mu.Lock()
	e.status = http.StatusMethodNotAllowed // what a server might say to be asked in another way
	e.mu.Unlock()
	c.view(physiology.SepticShock, func(b map[string]any) { delete(b, "prefetch"); allow(b, e, 300, "patient/*.*") })
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 10 {
		t.Errorf("%d requests only: %q", len(asked), asked)
	}
	for _, one := range asked {
		if !strings.HasPrefix(one, "GET /fhir/") && !(strings.HasPrefix(one, "POST /fhir/") && strings.HasSuffix(one, "/_search")) {
			t.Errorf("the EHR was asked %q", one)
		}
	}
}

// loaded is what .ci/load recorded.
func loaded(t testing.TB) map[string]float64 {
	t.Helper()
	file, err := os.Open(filepath.Join("..", ".ci", "loaded.tsv"))
	if err != nil {
		t.Fatalf("%v (hint: go run ./.ci/load -record)", err)
	}
	defer file.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "\t")
		if out[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
	}
	return out
}

func TestTheRecordedLoadWasAnsweredWithin500Milliseconds(t *testing.T) {
	n := loaded(t)
	if n["calls"] < 20 || n["p95_ms"] <= 0 || n["p95_ms"] > 500 {
		t.Errorf("%v calls, p95 %v ms", n["calls"], n["p95_ms"])
	}
	if n["unrecorded"] != 0 || n["other_statuses"] != 0 {
		t.Errorf("%v answers are not on record, %v were not 200", n["unrecorded"], n["other_statuses"])
	}
}

// fuzzed is what .ci/fuzz recorded: how often which targets ran without a crash.
func fuzzed(t testing.TB) (executions, targets int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", ".ci", "fuzzed.tsv"))
	if err != nil {
		t.Fatalf("%v (hint: RECORD=1 .ci/fuzz)", err)
	}
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(row), "\t")
		n, err := strconv.Atoi(cells[len(cells)-1])
		if err != nil || len(cells) != 3 {
			t.Fatalf("%q: %v", row, err)
		}
		if n > 0 {
			targets++
		}
		executions += n
	}
	return executions, targets
}

// fuzzTargets is how many there are.
func fuzzTargets(t testing.TB) (n int) {
	t.Helper()
	eachTest(t, func(_ string, f *ast.FuncDecl) {
		if strings.HasPrefix(f.Name.Name, "Fuzz") {
			n++
		}
	})
	return n
}

// forged is how many hostile tokens TestForgedTokensAreRefused tries: the rows
// of its table.
func forged(t testing.TB) (n int) {
	t.Helper()
	eachTest(t, func(path string, f *ast.FuncDecl) {
		if f.Name.Name != "TestForgedTokensAreRefused" {
			return
		}
		ast.Inspect(f, func(node ast.Node) bool {
			if row, ok := node.(*ast.CompositeLit); ok && row.Type == nil && len(row.Elts) == 3 {
				n++
			}
			return true
		})
	})
	return n
}

func TestEveryHostileTokenIsCounted(t *testing.T) {
	if n := forged(t); n < 30 {
		t.Errorf("%d rows: has the table of TestForgedTokensAreRefused another form now?", n)
	}
}

func TestACommentIsEncryptedWhereTheSiteHasAKey(t *testing.T) {
	key, _, err := audit.NewKey(nil, "test.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := audit.NewBodyKeys(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.db")
	if err := sqlite.Create(t.Context(), path, sqlite.Options{Key: key, Bodies: bodies}); err != nil {
		t.Fatal(err)
	}
	log, err := sqlite.Open(t.Context(), path, sqlite.Options{Key: key, Bodies: bodies})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := open(t, func(d *Deps, _ *trust.Client) { d.Log, d.Proofs = log, log })
	card := c.view(physiology.SepticShock, nil).cards()[0]
	if r := c.feedback(overridden(card.UUID, map[string]any{"overrideReason": map[string]any{"userComment": "Mr Miller refuses"}})); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	rows, err := log.Query(t.Context(), audit.Filter{Kind: KindFeedback})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d entries, %v", len(rows), err)
	}
	stored, err := log.Get(t.Context(), rows[0].Index.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := DecodeRecord(stored.Body); err != nil || r.Feedback.Comment != "Mr Miller refuses" {
		t.Errorf("who has the key does not read it: %v", err)
	}
	reading, err := sqlite.Open(t.Context(), path, sqlite.Options{Verifier: key.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	if stored, err := reading.Get(t.Context(), rows[0].Index.ID); !errors.Is(err, audit.ErrSealed) || len(stored.Body) > 0 {
		t.Errorf("who has the disk and no key reads %d bytes, %v", len(stored.Body), err)
	}
}
