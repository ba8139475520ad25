// SPDX-License-Identifier: Apache-2.0

package configs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
)

// mapCodes are the codes of systems with check digits in one code map.
type mapCodes struct{ loinc, snomed []string }

// codesIn collects, at any depth, the lists that stand under loinc and snomed,
// but for the URLs of the systems themselves.
func codesIn(t *testing.T, name string) mapCodes {
	t.Helper()
	data, err := configs.FS.ReadFile("codes/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := configs.Decode(data, &doc); err != nil {
		t.Fatal(err)
	}
	var out mapCodes
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for k, x := range v {
				list, isList := x.([]any)
				if !isList || k != "loinc" && k != "snomed" {
					walk(x)
					continue
				}
				for _, c := range list {
					code, ok := c.(string)
					switch {
					case !ok:
						t.Errorf("%s: %s code %v is not quoted", name, k, c)
					case strings.Contains(code, "://"), strings.HasPrefix(code, "urn:"):
					case k == "loinc":
						out.loinc = append(out.loinc, code)
					default:
						out.snomed = append(out.snomed, code)
					}
				}
			}
		}
	}
	walk(doc)
	return out
}

// luhn is the check digit of a LOINC code.
func luhn(digits string) int {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return (10 - sum%10) % 10
}

var loincForm = regexp.MustCompile(`^(LA)?(\d{1,6})-(\d)$`)

// loincHolds says whether the check digit of a LOINC code holds. The letters of
// an answer count too: five before an even number of digits, two before an odd.
func loincHolds(code string) bool {
	m := loincForm.FindStringSubmatch(code)
	if m == nil {
		return false
	}
	want := luhn(m[2])
	if m[1] != "" {
		want = (want + []int{5, 2}[len(m[2])%2]) % 10
	}
	return int(m[3][0]-'0') == want
}

// verhoeff says whether the check digit of a SNOMED CT identifier holds.
func verhoeff(id string) bool {
	times := func(a, b int) int { // the dihedral group of ten elements
		switch {
		case a < 5 && b < 5:
			return (a + b) % 5
		case a < 5:
			return (a+b)%5 + 5
		case b < 5:
			return (a-b+5)%5 + 5
		}
		return (a - b + 10) % 5
	}
	step := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	c := 0
	for i := range len(id) {
		d := int(id[len(id)-1-i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		for range i % 8 {
			d = step[d]
		}
		c = times(c, d)
	}
	return c == 0 && len(id) >= 6 && len(id) <= 18
}

func TestCheckDigitsOfAllCodes(t *testing.T) {
	for _, good := range []string{"8867-4", "101475-2", "LA6557-8"} {
		if !loincHolds(good) {
			t.Errorf("%s is a LOINC code", good)
		}
	}
	if loincHolds("LA6557-2") || loincHolds("8867-5") || !verhoeff("91302008") || verhoeff("91302009") {
		t.Error("the check digits do not check")
	}
	for _, name := range []string{"loinc.yaml", "conditions.yaml", "drugs.yaml", "mimic.yaml"} {
		codes := codesIn(t, name)
		for _, c := range codes.loinc {
			if !loincHolds(c) {
				t.Errorf("%s: LOINC %s has a wrong check digit", name, c)
			}
		}
		for _, c := range codes.snomed {
			if !verhoeff(c) {
				t.Errorf("%s: SNOMED CT %s has a wrong check digit", name, c)
			}
		}
	}
}

var listed = regexp.MustCompile(`(?m)^\| ((?:LA)?\d{1,6}-\d|\d{6,18}) \| [^|]+ \| [^|]+ \| [^|]+ \|$`)

func TestEveryCodeNamesItsSource(t *testing.T) {
	page, err := os.ReadFile("../docs/codes.md")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(page), "## Removed or corrected")
	named := map[string]bool{}
	for _, m := range listed.FindAllStringSubmatch(text, -1) {
		if named[m[1]] {
			t.Errorf("docs/codes.md lists %s twice", m[1])
		}
		named[m[1]] = true
	}
	used := map[string]bool{}
	for _, name := range []string{"loinc.yaml", "conditions.yaml"} {
		codes := codesIn(t, name)
		for _, c := range append(codes.loinc, codes.snomed...) {
			used[c] = true
			if !named[c] {
				t.Errorf("%s: %s is not in docs/codes.md (hint: confirm it at a source and add a line)", name, c)
			}
		}
	}
	for c := range named {
		if !used[c] {
			t.Errorf("docs/codes.md lists %s, which no code map has", c)
		}
	}
}
