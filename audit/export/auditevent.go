// SPDX-License-Identifier: Apache-2.0

package export

// This file: a record as a FHIR R4 AuditEvent, after the patterns of IHE BALP
// 1.1: a hook call is a privacy disclosure as its recipient records it, a reading
// of the log is an audit log used. No profile is named in meta: BALP wants
// networks and a patient that not every record has.

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// Site names this service in what it exports.
type Site struct {
	Log string // name of the log, as in its checkpoints
	URL string // where callers reach the service; may be empty
}

// Code systems.
const (
	dcm           = "http://dicom.nema.org/resources/ontology/DCM"
	lifecycle     = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
	entityType    = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	objectRole    = "http://terminology.hl7.org/CodeSystem/object-role"
	sourceType    = "http://terminology.hl7.org/CodeSystem/security-source-type"
	actReason     = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	participation = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	balpEntity    = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
)

// What an event is (DICOM PS3.16 context groups 400 and 403, ISO 21089).
var (
	eventImport      = coding{dcm, "110107", "Import"}
	eventLogUsed     = coding{dcm, "110101", "Audit Log Used"}
	eventApplication = coding{dcm, "110100", "Application Activity"}
	eventLogin       = coding{dcm, "110114", "User Authentication"}
	eventAlert       = coding{dcm, "110113", "Security Alert"}
	startOf          = coding{dcm, "110120", "Application Start"}
	configured       = coding{dcm, "110131", "Software Configuration"}
	disclosed        = coding{System: lifecycle, Code: "disclose"}
	verified         = coding{System: lifecycle, Code: "verify"}
	destroyed        = coding{System: lifecycle, Code: "destroy"}
)

// kindRead and so on are kinds that other rooms write.
const (
	kindConfig  = "config"
	kindErasure = "erasure"
)

// shape is what an event is, from its index alone, so that a search can tell it
// without the body.
func shape(x audit.Index) (kind coding, subtypes []coding, action string) {
	switch x.Kind {
	case cdshooks.KindRefusal:
		if x.HTTP == http.StatusUnauthorized || x.HTTP == http.StatusForbidden {
			return eventLogin, nil, "E"
		}
		return eventImport, []coding{disclosed}, "C"
	case cdshooks.KindDecision, cdshooks.KindFailure, cdshooks.KindBatch:
		return eventImport, []coding{disclosed}, "C"
	case cdshooks.KindFeedback:
		return eventImport, []coding{disclosed, verified}, "C"
	case cdshooks.KindRead:
		return eventLogUsed, nil, "R"
	case kindConfig:
		return eventApplication, []coding{startOf}, "E"
	case cdshooks.KindDisplay:
		return eventAlert, []coding{configured}, "U"
	case kindErasure:
		return eventApplication, []coding{destroyed}, "D"
	}
	return eventApplication, nil, "E"
}

// outcomeOf is the FHIR outcome of an HTTP status: 0 success, 4 minor and 8
// serious failure.
func outcomeOf(status int) string {
	switch {
	case status >= 500 || status == http.StatusPreconditionFailed:
		return "8"
	case status >= 400:
		return "4"
	}
	return "0"
}

func (s Site) observer() reference {
	return reference{Identifier: &identifier{Value: text(s.Log)}, Display: "SepsisAgent CDS"}
}

func uri(address string) *network {
	if address == "" {
		return nil
	}
	return &network{text(address), "5"}
}

// auditEventOf writes a record as an AuditEvent.
func (s Site) auditEventOf(e Event) auditEvent {
	x := e.Index
	kind, subtypes, action := shape(x)
	out := auditEvent{
		ResourceType: "AuditEvent", ID: resourceID(x.ID), Type: kind, Subtype: subtypes, Action: action,
		Recorded: instant(x.Time), Outcome: outcomeOf(x.HTTP), OutcomeDesc: text(strings.Join(x.Reasons, ", ")),
		Source: auditSource{Site: text(s.Log), Observer: s.observer(), Type: []coding{{System: sourceType, Code: "4", Display: "Application Server"}}},
	}
	var call cdshooks.RequestMeta
	if e.Call != nil {
		call = e.Call.Request
	}
	if kind == eventImport {
		out.PurposeOfEvent = []concept{{Coding: []coding{{actReason, "TREAT", "treatment"}}}}
	}
	out.Agent = s.agents(x, call)
	out.Entity = entities(e, call)
	return out
}

// agents are who took part: the EHR that sent, this service that received, and
// the user.
func (s Site) agents(x audit.Index, call cdshooks.RequestMeta) []auditAgent {
	var out []auditAgent
	if x.Client != "" {
		sender := auditAgent{Type: &concept{Coding: []coding{{dcm, "110153", "Source Role ID"}}},
			Who: &reference{Identifier: &identifier{Value: text(x.Client)}}, Network: uri(call.FHIRServer)}
		if call.JTI != "" {
			sender.Policy = []string{"urn:ietf:params:oauth:jti:" + url.PathEscape(call.JTI)}
		}
		out = append(out, sender)
	}
	observer := s.observer()
	out = append(out, auditAgent{Type: &concept{Coding: []coding{{dcm, "110152", "Destination Role ID"}}}, Who: &observer, Network: uri(s.URL)})
	if who := inChart(call.FHIRServer, text(x.User), isActor); who != nil {
		out = append(out, auditAgent{Type: &concept{Coding: []coding{{participation, "IRCP", "information recipient"}}}, Who: who, Requestor: true})
	}
	return out
}

// entities are what was touched: patient, encounter, the request by its id, the
// record itself, and what it is about.
func entities(e Event, call cdshooks.RequestMeta) []auditEntity {
	x := e.Index
	var out []auditEntity
	person, object := &coding{entityType, "1", "Person"}, &coding{entityType, "2", "System Object"}
	role := func(code, display string) *coding { return &coding{objectRole, code, display} }
	if what := inChart(call.FHIRServer, relative("Patient", text(x.Patient)), only("Patient")); what != nil {
		out = append(out, auditEntity{What: what, Type: person, Role: role("1", "Patient")})
	}
	if what := inChart(call.FHIRServer, relative("Encounter", text(x.Encounter)), only("Encounter")); what != nil {
		out = append(out, auditEntity{What: what, Type: object, Role: role("4", "Domain Resource")})
	}
	if x.RequestID != "" {
		out = append(out, auditEntity{What: &reference{Identifier: &identifier{Value: text(x.RequestID)}}, Type: &coding{System: balpEntity, Code: "XrequestId"}})
	}
	itself := byID(x.ID, "record of the audit log")
	out = append(out, auditEntity{What: &itself, Type: object, Role: role("3", "Report"), Detail: details(e)})
	if x.Refers != "" {
		about := byID(text(x.Refers), "record that this one is about")
		out = append(out, auditEntity{What: &about, Type: object, Role: role("3", "Report")})
	}
	if x.Kind == cdshooks.KindRead && e.Call == nil && json.Valid(e.Body) {
		out = append(out, auditEntity{Type: object, Role: role("24", "Query"), Query: e.Body})
	}
	return out
}

// details are the fields of a record that FHIR has no element for. What a
// clinician wrote is not among them.
func details(e Event) []detail {
	x := e.Index
	var out []detail
	for _, d := range []detail{
		{"kind", x.Kind}, {"log-record", strconv.FormatInt(e.Leaf, 10)}, {"leaf-hash", e.LeafHash}, {"service", x.Service},
		{"hook-instance", x.HookInstance}, {"http-status", number(x.HTTP)}, {"decision-status", x.Status}, {"display", x.Display},
		{"topic", x.Topic}, {"shown", shown(x)}, {"unit", x.Unit}, {"feedback", x.Outcome},
		{"drugs", strings.Join(x.Drugs, " ")}, {"rules", strings.Join(x.Rules, " ")}, {"cards", strings.Join(x.Cards, " ")},
		{"model", x.Model}, {"rules-hash", x.RulesHash}, {"code-maps", x.CodeMaps},
	} {
		if d.Value = text(d.Value); d.Value != "" {
			out = append(out, d)
		}
	}
	return out
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func shown(x audit.Index) string {
	if x.Kind != cdshooks.KindDecision {
		return ""
	}
	return strconv.FormatBool(x.Shown)
}

// text is a text that FHIR allows: no control characters, no space around it.
func text(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s))
}

// resourceID is the id of a resource for a record: its own, or where FHIR does
// not allow that, a digest of it.
func resourceID(id string) string {
	if idForm.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// writeFHIR writes an AuditEvent for every record, and a Provenance after that
// of a decision or of feedback: one resource a line.
func writeFHIR(w io.Writer, site Site, events iter.Seq2[Event, error]) (int, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	n := 0
	for e, err := range events {
		if err != nil {
			return n, err
		}
		if err := enc.Encode(site.auditEventOf(e)); err != nil {
			return n, fmt.Errorf("record %d: %w", e.Leaf, err)
		}
		if p := site.provenanceOf(e); p != nil {
			if err := enc.Encode(p); err != nil {
				return n, fmt.Errorf("record %d: %w", e.Leaf, err)
			}
		}
		n++
	}
	return n, nil
}
