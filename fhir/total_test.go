// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A server's total is all that tells when it leaves out a next link, as HAPI
// FHIR does (hapi_gather_test.go).
func TestATotalThatIsNotReachedMakesAKeyPartial(t *testing.T) {
	one := func(total int, next, id string) string {
		o := strings.Replace(observation("8867-4", valueIn("88", "/min")), `"o1"`, `"`+id+`"`, 1)
		return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","total":%d,"link":[%s],
			"entry":[{"search":{"mode":"match"},"resource":%s},{"search":{"mode":"outcome"},"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational"}]}}]}`, total, next, o)
	}
	link := `{"relation":"next","url":"Observation?page=2"}`
	for _, tt := range []struct {
		name         string
		prefetch     string // of the vitals; "": none
		first, after string
		err          error
	}{
		{"one page, total reached", "", one(1, "", "a"), "", nil},
		{"one page, no total", "", one(0, "", "a"), "", nil},
		{"one page of two without a link", "", one(2, "", "a"), "", ErrUnobtainable},
		{"two pages, total reached", "", one(2, link, "a"), one(2, "", "b"), nil},
		{"two pages that hold the same", "", one(2, link, "a"), one(2, "", "a"), ErrUnobtainable},
		{"a prefetched page continued, total reached", one(2, link, "a"), "", one(2, "", "b"), nil},
		{"a prefetched page continued, total not reached", one(3, link, "a"), "", one(3, "", "b"), ErrUnobtainable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ehr(t, func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/fhir/Observation") {
					return false
				}
				if r.URL.Query().Get("page") == "2" {
					fmt.Fprint(w, tt.after)
				} else if r.FormValue("_total") != "accurate" {
					t.Error("no total is asked for")
				} else if strings.Contains(r.FormValue("code"), "8867-4") {
					fmt.Fprint(w, tt.first)
				} else {
					fmt.Fprint(w, string(bundleOf()))
				}
				return true
			})
			prefetch := full()
			delete(prefetch, KeyVitals)
			if tt.prefetch != "" {
				prefetch[KeyVitals] = json.RawMessage(tt.prefetch)
			}
			g, err := gather(t, GatherRequest{Prefetch: prefetch, From: at(t, s.URL+"/fhir", s.Client()), Access: Access{Token: "secret"}})
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("error %v, want %v: %+v", err, tt.err, g.Manifest)
			}
			if p := part(t, g, KeyVitals); tt.err != nil && p.From != IsPartial {
				t.Errorf("%+v", p)
			}
		})
	}
}
