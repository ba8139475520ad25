// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the services there are, each with the hook it answers.

// The ids of the services. They are part of URLs and stable across releases.
const (
	ServiceID     = "sepsis-treatment"    // patient-view
	OrderSelectID = "sepsis-order-select" // order-select
	OrderSignID   = "sepsis-order-sign"   // order-sign
)

// The hooks that services answer.
const (
	HookPatientView = "patient-view"
	HookOrderSelect = "order-select"
	HookOrderSign   = "order-sign"
)

// offered is one service as it is announced.
type offered struct {
	id, hook, title, description string
}

// services in the order of discovery.
var services = []offered{
	{ServiceID, HookPatientView, "Sepsis treatment in the ICU",
		"Reads an ICU chart, forecasts the course of sepsis under current and alternative fluid and vasopressor treatment, " +
			"checks each against safety rules, and suggests the smallest change that helps, or says why it cannot. Decision support, not validated for clinical use."},
	{OrderSelectID, HookOrderSelect, "Check of a selected vasopressor or fluid order",
		"Holds the vasopressor and fluid orders just selected against the chart, the same safety rules and the same forecast, " +
			"and answers with nothing, information, a warning or a critical warning with an alternative. Other orders are passed over. Decision support, not validated for clinical use."},
	{OrderSignID, HookOrderSign, "Check of vasopressor and fluid orders before signing",
		"Holds all drafted vasopressor and fluid orders against the chart, the same safety rules and the same forecast, " +
			"and answers with nothing, information, a warning or a critical warning with an alternative. Other orders are passed over. Decision support, not validated for clinical use."},
}

// usage is what every service asks of a client.
const usage = "Registered CDS clients only: each call carries a signed JWT. Without full prefetch the service reads the rest " +
	"from the FHIR server registered for the client, with fhirAuthorization or, where it was agreed, as a SMART Backend Services client."

// serviceOf finds a service by its id.
func serviceOf(id string) (offered, bool) {
	for _, o := range services {
		if o.id == id {
			return o, true
		}
	}
	return offered{}, false
}

// isOrderHook reports a hook that sends draft orders.
func isOrderHook(hook string) bool { return hook == HookOrderSelect || hook == HookOrderSign }
