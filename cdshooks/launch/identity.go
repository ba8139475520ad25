// SPDX-License-Identifier: Apache-2.0

package launch

// This file: who of an EHR signed in, and what the launch is about.

import "strings"

// clinician is a fhirUser of the EHR's own server as Practitioner/id or
// PractitionerRole/id; "" for anybody else.
func clinician(fhirUser, fhirServer string) string {
	relative, absolute := strings.CutPrefix(fhirUser, strings.TrimRight(fhirServer, "/")+"/")
	if !absolute {
		relative = fhirUser
	}
	kind, id, _ := strings.Cut(relative, "/")
	if kind != "Practitioner" && kind != "PractitionerRole" || !idForm.MatchString(id) {
		return ""
	}
	return kind + "/" + id
}
