// SPDX-License-Identifier: Apache-2.0

package export

// This file: the parts of FHIR R4 that an AuditEvent and a Provenance are
// written with. Fields are in the order of the specification, so that the same
// record has the same bytes. They are written, never read.

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
)

type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

type identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Type       string      `json:"type,omitempty"`
	Identifier *identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

type network struct {
	Address string `json:"address"`
	Type    string `json:"type"` // 5: URI
}

type auditAgent struct {
	Type      *concept   `json:"type,omitempty"`
	Who       *reference `json:"who,omitempty"`
	Requestor bool       `json:"requestor"`
	Policy    []string   `json:"policy,omitempty"`
	Network   *network   `json:"network,omitempty"`
}

type auditSource struct {
	Site     string    `json:"site,omitempty"`
	Observer reference `json:"observer"`
	Type     []coding  `json:"type,omitempty"`
}

type detail struct {
	Type  string `json:"type"`
	Value string `json:"valueString"`
}

type auditEntity struct {
	What   *reference `json:"what,omitempty"`
	Type   *coding    `json:"type,omitempty"`
	Role   *coding    `json:"role,omitempty"`
	Query  []byte     `json:"query,omitempty"`
	Detail []detail   `json:"detail,omitempty"`
}

// auditEvent is a FHIR R4 AuditEvent.
type auditEvent struct {
	ResourceType   string        `json:"resourceType"`
	ID             string        `json:"id"`
	Type           coding        `json:"type"`
	Subtype        []coding      `json:"subtype,omitempty"`
	Action         string        `json:"action"`
	Recorded       string        `json:"recorded"`
	Outcome        string        `json:"outcome"`
	OutcomeDesc    string        `json:"outcomeDesc,omitempty"`
	PurposeOfEvent []concept     `json:"purposeOfEvent,omitempty"`
	Agent          []auditAgent  `json:"agent"`
	Source         auditSource   `json:"source"`
	Entity         []auditEntity `json:"entity,omitempty"`
}

type deviceName struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type deviceVersion struct {
	Type  concept `json:"type"`
	Value string  `json:"value"`
}

// device is a FHIR R4 Device: the model that decided.
type device struct {
	ResourceType string          `json:"resourceType"`
	ID           string          `json:"id"`
	Identifier   []identifier    `json:"identifier,omitempty"`
	Manufacturer string          `json:"manufacturer"`
	DeviceName   []deviceName    `json:"deviceName"`
	Type         concept         `json:"type"`
	Version      []deviceVersion `json:"version,omitempty"`
}

type provenanceAgent struct {
	Type       *concept   `json:"type,omitempty"`
	Who        reference  `json:"who"`
	OnBehalfOf *reference `json:"onBehalfOf,omitempty"`
}

type provenanceEntity struct {
	Role string    `json:"role"`
	What reference `json:"what"`
}

// provenance is a FHIR R4 Provenance.
type provenance struct {
	ResourceType string             `json:"resourceType"`
	ID           string             `json:"id"`
	Contained    []device           `json:"contained,omitempty"`
	Target       []reference        `json:"target"`
	Occurred     string             `json:"occurredDateTime,omitempty"`
	Recorded     string             `json:"recorded"`
	Reason       []concept          `json:"reason,omitempty"`
	Activity     *concept           `json:"activity,omitempty"`
	Agent        []provenanceAgent  `json:"agent"`
	Entity       []provenanceEntity `json:"entity,omitempty"`
}

// instant is a FHIR instant, to the millisecond, in UTC.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// uriSystem says that an identifier's value is a URI.
const uriSystem = "urn:ietf:rfc:3986"

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// byID refers to a thing by its id: a UUID as a URN, anything else as it is.
func byID(id, display string) reference {
	if uuidForm.MatchString(id) {
		return reference{Identifier: &identifier{uriSystem, "urn:uuid:" + id}, Display: display}
	}
	return reference{Identifier: &identifier{Value: id}, Display: display}
}

// byHash refers to content by its SHA-256, as RFC 6920 writes it.
func byHash(hash, display string) reference {
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != 32 {
		return reference{Identifier: &identifier{Value: hash}, Display: display}
	}
	return reference{Identifier: &identifier{uriSystem, "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(raw)}, Display: display}
}

var (
	resourceForm = regexp.MustCompile(`^([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}$`)
	idForm       = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)
)

// actors are the types of resource that may have done something.
var actors = map[string]bool{"Practitioner": true, "PractitionerRole": true, "Organization": true, "Device": true, "Patient": true, "RelatedPerson": true}

// inChart refers to a resource of the chart by its Type/id, on the server that
// the call named where it named one. Anything that is not of that form, or not
// of an allowed type, is an identifier.
func inChart(server, ref string, allowed func(kind string) bool) *reference {
	if ref == "" {
		return nil
	}
	m := resourceForm.FindStringSubmatch(ref)
	if m == nil || !allowed(m[1]) {
		return &reference{Identifier: &identifier{Value: ref}}
	}
	if strings.HasPrefix(server, "https://") || strings.HasPrefix(server, "http://") {
		ref = strings.TrimSuffix(server, "/") + "/" + ref
	}
	return &reference{Reference: ref, Type: m[1]}
}

func isActor(kind string) bool { return actors[kind] }

// only allows one type.
func only(kind string) func(string) bool { return func(k string) bool { return k == kind } }
