// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// parameters takes a template apart.
func parameters(t *testing.T, template string) (kind string, params map[string]string) {
	t.Helper()
	kind, query, _ := strings.Cut(template, "?")
	params = map[string]string{}
	for _, p := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
		name, value, _ := strings.Cut(p, "=")
		if _, twice := params[name]; twice {
			t.Errorf("%s repeats %s", kind, name)
		}
		params[name] = value
	}
	return kind, params
}

func TestPrefetchTemplatesSuitOldClients(t *testing.T) {
	templates := PrefetchTemplates(testMapper(t).CodeMaps())
	if len(templates) != len(wishes) {
		t.Errorf("%d templates for %d keys", len(templates), len(wishes))
	}
	for key, tpl := range templates {
		if rest := strings.ReplaceAll(tpl, patientToken, ""); strings.ContainsAny(rest, "{}% ") {
			t.Errorf("%s uses another token than %s: %s", key, patientToken, tpl)
		}
		_, params := parameters(t, tpl)
		for name := range params {
			if strings.Contains(name, "date") || strings.Contains(name, "time") || strings.Contains(name, "authored") {
				t.Errorf("%s is limited by %s, which needs a token that old clients do not know", key, name)
			}
		}
		if key != KeyPatient && params["patient"] != patientToken {
			t.Errorf("%s is not limited to the patient: %s", key, tpl)
		}
	}
}

func TestTemplatesAskForEveryCodeThatIsReadAndForNoOther(t *testing.T) {
	site := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, site, []byte("version: 1\nname: site\nsystems:\n  site: [\"https://site.example/codes\", \"https://site.example/old\"]\n  other: [\"https://other.example\"]\nprefetch: [site]\nobservations:\n  - {concept: lactate, lag: gas, codes: {site: [LAC], other: [LAC]}}\n"))
	maps, err := LoadCodeMaps(os.DirFS(filepath.Join("..", "configs")), site)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMapper(maps)
	seen := map[string]string{}
	for _, templates := range []map[string]string{PrefetchTemplates(maps), PrefetchOptions{Dates: true, Count: 500}.Templates(maps)} {
		clear(seen)
		for _, name := range []string{KeyVitals, KeyLabs} {
			_, params := parameters(t, templates[name])
			codes := strings.Split(params["code"], ",")
			if !slices.IsSorted(codes) {
				t.Errorf("%s is in no fixed order", name)
			}
			for _, c := range codes {
				if seen[c] != "" {
					t.Errorf("%s is asked for under %s and %s", c, seen[c], name)
				}
				seen[c] = name
				system, code, _ := strings.Cut(c, "|")
				if !m.want([]byte(system), []byte(code)) && !maps.index.panels[key{system, code}] {
					t.Errorf("%s is asked for and never read", c)
				}
			}
		}
	}
	for _, must := range []string{"https://site.example/codes|LAC", "http://loinc.org|600-7", "http://loinc.org|85354-9"} {
		if seen[must] == "" {
			t.Errorf("%s is not asked for", must)
		}
	}
	for _, never := range []string{"https://other.example|LAC", "https://site.example/old|LAC"} {
		if seen[never] != "" {
			t.Errorf("%s is asked for", never)
		}
	}
	for _, f := range state.Catalogue() {
		for _, code := range f.LOINC {
			if seen["http://loinc.org|"+code] == "" {
				t.Errorf("%s %s is not asked for", f.Name, code)
			}
		}
	}
}

func TestStatusesThatAreAskedForAreThoseThatAreRead(t *testing.T) {
	m := testMapper(t)
	read := func(kind, member, value string) bool {
		order := map[string]string{"status": "active", "intent": "order"}
		order[member] = value
		body := `{"resourceType":"` + kind + `","id":"o1","status":"` + order["status"] + `","intent":"` + order["intent"] + `","subject":{"reference":"Patient/p1"},"authoredOn":"2150-01-01T00:00:00Z",`
		if kind == "MedicationRequest" {
			body += `"medicationCodeableConcept":` + `{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"7512"}]}}`
		} else {
			body += `"code":{"coding":[{"system":"http://snomed.info/sct","code":"304253006"}]}}`
		}
		b := NewBag("p1")
		for _, r := range []string{testPatient, testEncounter, body} {
			if err := m.Add(b, []byte(r), state.Origin{Via: "bundle"}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := m.Chart(b, "", testNow.AddDate(200, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		return len(c.Orders) == 1
	}
	values := map[string][]string{
		"MedicationRequest.status": {"active", "on-hold", "cancelled", "completed", "entered-in-error", "stopped", "draft", "unknown"},
		"ServiceRequest.status":    {"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"},
		"MedicationRequest.intent": {"proposal", "plan", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option"},
		"ServiceRequest.intent":    {"proposal", "plan", "directive", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option"},
	}
	for key, kind := range map[string]string{KeyOrders: "MedicationRequest", KeyDirectives: "ServiceRequest"} {
		_, params := parameters(t, PrefetchTemplates(m.CodeMaps())[key])
		for _, member := range []string{"status", "intent"} {
			asked := strings.Split(params[member], ",")
			for _, v := range values[kind+"."+member] {
				if slices.Contains(asked, v) != read(kind, member, v) {
					t.Errorf("%s.%s %s: asked for %v, read %v", kind, member, v, slices.Contains(asked, v), read(kind, member, v))
				}
			}
		}
	}
}

func TestTemplatesCanBeLimitedToDaysForNewClients(t *testing.T) {
	maps := testMapper(t).CodeMaps()
	dated := PrefetchOptions{Dates: true, Count: 500}.Templates(maps)
	for key, want := range map[string]string{KeyVitals: "date", KeyLabs: "date", KeyAdministrations: "effective-time", KeyOrders: "authoredon"} {
		if _, params := parameters(t, dated[key]); params[want] != "ge{{today() - 31 days}}" || params["_count"] != "500" {
			t.Errorf("%s: %v", key, params)
		}
	}
	for _, key := range []string{KeyPatient, KeyEncounters, KeyConditions, KeyProcedures, KeyDirectives} {
		if strings.Contains(dated[key], "today()") {
			t.Errorf("%s is limited: %s", key, dated[key])
		}
	}
}

// Servers take URLs of 8,000 characters; an EHR that resolves a template
// escapes it, and adds its base.
func TestTemplatesFitIntoURLs(t *testing.T) {
	for key, tpl := range PrefetchTemplates(testMapper(t).CodeMaps()) {
		kind, params := parameters(t, strings.ReplaceAll(tpl, patientToken, strings.Repeat("x", 64)))
		n := len(kind)
		for name, value := range params {
			n += 2 + len(name) + len(url.QueryEscape(value))
		}
		t.Logf("%s: %d characters", key, n)
		if n > 7000 {
			t.Errorf("%s is %d characters as a URL (hint: split the key)", key, n)
		}
	}
}

func TestThePageAboutPrefetchSaysWhatIsSo(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "docs", "prefetch.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, w := range wishes {
		line := ""
		for l := range strings.SplitSeq(page, "\n") {
			if strings.HasPrefix(l, "| `"+w.key+"` |") {
				line = l
			}
		}
		if !strings.Contains(line, w.kind) || strings.Contains(line, "412") != w.necessary || strings.Contains(line, "exposure unknown") != w.enough {
			t.Errorf("%s: %q", w.key, line)
		}
		for _, p := range w.params {
			if _, included, ok := strings.Cut(p.value, ":"); ok && p.name == "_include" && !strings.Contains(strings.ToLower(line), "with "+included) {
				t.Errorf("%s does not say that %s comes with it: %q", w.key, included, line)
			}
		}
	}
	for _, fact := range []string{
		fmt.Sprintf("%d days of what is charted often, %d of outputs", denseDays, sparseDays), fmt.Sprintf("{{today() - %d days}}", sparseDays),
		fmt.Sprintf("%d requests at a time", DefaultConcurrent),
		fmt.Sprintf("at most %d pages a search, %d MiB a page, %d MiB a call", DefaultPages, DefaultMaxBytes>>20, DefaultTotalBytes>>20),
		fmt.Sprintf("After %d failures in a row the EHR is left alone for %d s", DefaultFailures, int(DefaultRest.Seconds())), "longer than 2,000 characters", "shorter than 7,000 characters", "`POST _search`",
	} {
		if !strings.Contains(page, fact) {
			t.Errorf("the page does not say %q", fact)
		}
	}
	for _, p := range []Provenance{FromFetch, IsNull, IsEmpty, IsFailed, IsDenied, IsPartial, IsWrongType, IsAbsent} {
		if !strings.Contains(page, "`"+string(p)+"`") {
			t.Errorf("the page does not tell of %s", p)
		}
	}
}
