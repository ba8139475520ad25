// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestADraftedOrderFiresOrderSign(t *testing.T) {
	w := newWard(t)
	id := w.ehr.PatientIDs()[0]
	r, err := w.ehr.Order(t.Context(), id, "norepinephrine", 0.1)
	if err != nil {
		t.Fatal(err)
	}
	c := w.hook()
	if c.body["hook"] != "order-sign" || c.path != "/cds-services/sepsis-order-sign" || r.Order != "Norepinephrine infusion 0.1 ug/kg/min" {
		t.Errorf("%s %v %q", c.path, c.body["hook"], r.Order)
	}
	drafts := c.body["context"].(map[string]any)["draftOrders"].(map[string]any)
	order := drafts["entry"].([]any)[0].(map[string]any)["resource"].(map[string]any)
	if order["status"] != "draft" || order["subject"].(map[string]any)["reference"] != "Patient/"+id || c.body["prefetch"] == nil {
		t.Errorf("%v", order)
	}
	for _, bad := range []struct {
		what string
		dose float64
	}{{"heparin", 1}, {"ringer", 0}, {"ringer", -5}, {"ringer", 1e9}} {
		if _, err := w.ehr.Order(t.Context(), id, bad.what, bad.dose); !errors.Is(err, ErrOrder) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestThePageDraftsAnOrder(t *testing.T) {
	w := newWard(t)
	path := "/ehr/patients/" + w.ehr.PatientIDs()[0]
	if status, _ := w.do(http.MethodPost, path+"/order", "", url.Values{"order": {"starch"}, "dose": {"500"}, "user": {"resident"}}); status >= 400 {
		t.Fatalf("status %d", status)
	}
	if c := w.hook(); c.body["hook"] != "order-sign" || c.body["context"].(map[string]any)["userId"] != "Practitioner/resident" {
		t.Errorf("%v", c.body["context"])
	}
	if _, page := w.get(path, ""); !strings.Contains(page, "Hydroxyethyl starch bolus 500 mL") {
		t.Error("the page does not name the order")
	}
	for name, form := range map[string]url.Values{"no dose": {"order": {"ringer"}}, "a word": {"order": {"ringer"}, "dose": {"much"}}, "not a number": {"order": {"ringer"}, "dose": {"NaN"}}, "another drug": {"order": {"x"}, "dose": {"5"}}} {
		if status, _ := w.do(http.MethodPost, path+"/order", "", form); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
}
