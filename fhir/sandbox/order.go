// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: drafting an order and firing order-sign with it. The order exists
// only in the request: the sandbox has no order entry, and nothing is given.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"
)

// orderable is one thing that can be drafted.
type orderable struct {
	ID, Name, Unit string
	RxNorm         string // ingredient; empty: by name only
	Rate           bool   // dosed as a rate, not as an amount
}

var orderables = []orderable{
	{"norepinephrine", "Norepinephrine infusion", "ug/kg/min", "7512", true},
	{"vasopressin", "Vasopressin infusion", "[iU]/min", "11149", true},
	{"dopamine", "Dopamine infusion", "ug/kg/min", "3628", true},
	{"ringer", "Lactated Ringer bolus", "mL", "847630", false},
	{"starch", "Hydroxyethyl starch bolus", "mL", "", false},
}

// ErrOrder says that what was to be drafted cannot be.
var ErrOrder = errors.New("this cannot be ordered here")

// Order drafts an order of an orderable, in its own unit, and fires order-sign
// with it. Errors are ErrOrder and those of Fire.
func (s *Sandbox) Order(ctx context.Context, patientID, what string, dose float64) (*Result, error) {
	return s.orderAs(ctx, patientID, what, dose, users[0])
}

func (s *Sandbox) orderAs(ctx context.Context, patientID, what string, dose float64, user User) (*Result, error) {
	b, err := s.open(patientID)
	if err != nil {
		return nil, err
	}
	for _, o := range orderables {
		if o.ID != what {
			continue
		}
		if !(dose > 0 && dose <= 100_000) {
			return nil, fmt.Errorf("%w: a dose of %g", ErrOrder, dose)
		}
		more := map[string]any{"draftOrders": map[string]any{
			"resourceType": "Bundle", "type": "collection", "entry": []any{map[string]any{"resource": o.draft(patientID, dose)}},
		}}
		return s.fire(ctx, patientID, &b, "order-sign", more, &Result{User: user, Order: o.words(dose)})
	}
	return nil, fmt.Errorf("%w: %q", ErrOrder, what)
}

// words are the order as the page names it.
func (o orderable) words(dose float64) string {
	return fmt.Sprintf("%s %s %s", o.Name, strconv.FormatFloat(dose, 'f', -1, 64), o.Shown())
}

// Shown is the unit as a person writes it.
func (o orderable) Shown() string {
	if o.Unit == "[iU]/min" {
		return "U/min"
	}
	return o.Unit
}

// draft is the order as a FHIR resource.
func (o orderable) draft(patientID string, dose float64) map[string]any {
	medication := map[string]any{"text": o.Name}
	if o.RxNorm != "" {
		medication["coding"] = []any{map[string]string{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": o.RxNorm, "display": o.Name}}
	}
	quantity := map[string]any{"value": dose, "unit": o.Shown(), "system": "http://unitsofmeasure.org", "code": o.Unit}
	doseAndRate := map[string]any{"doseQuantity": quantity}
	if o.Rate {
		doseAndRate = map[string]any{"rateQuantity": quantity}
	}
	return map[string]any{
		"resourceType": "MedicationRequest", "id": uuid.NewString(), "status": "draft", "intent": "order",
		"subject": map[string]string{"reference": "Patient/" + patientID}, "medicationCodeableConcept": medication,
		"dosageInstruction": []any{map[string]any{"doseAndRate": []any{doseAndRate}}},
	}
}

// signOrder drafts an order from the form, fires the hook and goes to the
// patient's page.
func (s *Sandbox) signOrder(w http.ResponseWriter, r *http.Request) {
	user, ok := userByID(r.PostForm.Get("user"))
	if !ok {
		user = users[0]
	}
	id := r.PathValue("id")
	dose, err := strconv.ParseFloat(r.PostForm.Get("dose"), 64)
	if err == nil {
		_, err = s.orderAs(r.Context(), id, r.PostForm.Get("order"), dose, user)
	}
	switch {
	case errors.Is(err, ErrUnknownPatient):
		http.Error(w, "no such patient", http.StatusNotFound)
		return
	case errors.Is(err, ErrOrder), errors.Is(err, strconv.ErrSyntax), errors.Is(err, strconv.ErrRange):
		http.Error(w, "this order cannot be drafted: choose one of the list and a dose above 0", http.StatusBadRequest)
		return
	case err != nil:
		http.Error(w, "the order could not be checked", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, s.base.Path+"/patients/"+url.PathEscape(id)+"#advice", http.StatusSeeOther)
}
