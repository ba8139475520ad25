// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what the chart says of a list of which only some pages came.

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAPartialListIsNotCalledOneThatWasNotSupplied: the pages that came hold
// nothing, so the list as a whole is as unknown as one of which rows came, and the
// chart says why.
func TestAPartialListIsNotCalledOneThatWasNotSupplied(t *testing.T) {
	for name, tt := range map[string]struct{ key, kind, gap string }{
		"administrations": {KeyAdministrations, "MedicationAdministration", "vasopressor"},
		"orders":          {KeyOrders, "MedicationRequest", "orders"},
		"conditions":      {KeyConditions, "Condition", "conditions"},
		"procedures":      {KeyProcedures, "Procedure", "procedures"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
				if r.URL.Query().Has("page") {
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				w.Header().Set("Content-Type", "application/fhir+json")
				fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"http://%s/fhir/%s?page=2"}],"entry":[]}`, r.Host, tt.kind)
				return true
			})
			prefetch := full()
			delete(prefetch, tt.key)
			g, err := gather(t, GatherRequest{Prefetch: prefetch, From: d.server(t, nil), Access: Access{Token: "t"}})
			if err != nil {
				t.Fatal(err)
			}
			if p := part(t, g, tt.key); p.From != IsPartial {
				t.Errorf("%+v", p)
			}
			var why []string
			for _, gap := range g.Chart.Gaps {
				if gap.What == tt.gap {
					why = append(why, gap.Reason)
				}
			}
			if len(why) != 1 || !strings.Contains(why[0], "403") {
				t.Errorf("%s unknown because of %q", tt.gap, why)
			}
			if tt.key == KeyAdministrations {
				if got := timelineOf(t, g.Chart, "").Present.VasoWhy; got != why[0] {
					t.Errorf("the timeline says %q", got)
				}
			}
		})
	}
}
