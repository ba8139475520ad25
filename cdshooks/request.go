// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the request of a hook call: its wire form, strict decoding, and
// the rules of the contract (reference cdshooks.md B) it must keep.

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strings"
)

// Request is one hook call as received.
type Request struct {
	Hook              string
	HookInstance      string // lower-cased UUID
	FHIRServer        string // "" when the client offers none
	FHIRAuthorization *FHIRAuthorization
	Context           Context
	// Prefetch holds what the client sent, by key, still raw: a key that is
	// absent, a JSON null and an empty Bundle mean three different things.
	Prefetch  map[string]json.RawMessage
	Extension map[string]json.RawMessage
}

// FHIRAuthorization lets the service read the EHR as the current user for the
// length of the call. The token lives in memory only and has no JSON form.
type FHIRAuthorization struct {
	AccessToken Secret
	TokenType   string
	ExpiresInS  int
	Scope       string // free text: Epic sends names with spaces and parentheses
	Subject     string
	Patient     string
}

// Secret is text that never prints.
type Secret string

// String hides the secret from every %v.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[redacted]" }

// MarshalJSON hides the secret from encoders.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Reveal is the secret itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// Context is the context of a hook; the last two are of the order hooks.
type Context struct {
	UserID      string // Type/id
	PatientID   string // bare logical id
	EncounterID string // bare logical id; often absent
	DraftOrders json.RawMessage
	Selections  []string // Type/id of entries in DraftOrders; only of order-select
}

// userTypes are the resources that may be the user: of patient-view, and
// whether of the order hooks too.
var userTypes = map[string]bool{"Practitioner": true, "PractitionerRole": true, "Patient": false, "RelatedPerson": false}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// idForm is the FHIR id grammar without its limit of 64 characters, which
	// real servers exceed; maxID bounds it instead.
	idForm = regexp.MustCompile(`^[A-Za-z0-9\-._]+$`)
)

const maxID = 512

// DecodeRequest reads a body that may be hostile. It refuses anything but one
// strict JSON object, ignores members it does not know, and does not check the
// contract: Validate does.
func DecodeRequest(body []byte) (*Request, error) {
	o, err := openJSON(body)
	if err != nil {
		return nil, err
	}
	r := &Request{}
	if err := o.texts(map[string]*string{"hook": &r.Hook, "hookInstance": &r.HookInstance, "fhirServer": &r.FHIRServer}); err != nil {
		return nil, named(err)
	}
	r.HookInstance = strings.ToLower(r.HookInstance)
	ctx, err := o.child("context")
	if err != nil {
		return nil, named(err)
	}
	if ctx == nil {
		return nil, explain(ErrBadRequest, "context is missing.")
	}
	if err := ctx.texts(map[string]*string{"userId": &r.Context.UserID, "patientId": &r.Context.PatientID, "encounterId": &r.Context.EncounterID}); err != nil {
		return nil, named(err)
	}
	if isOrderHook(r.Hook) {
		if err := r.Context.decodeOrders(ctx); err != nil {
			return nil, named(err)
		}
	}
	prefetch, err := o.child("prefetch")
	if err != nil {
		return nil, named(err)
	}
	r.Prefetch = prefetch
	extension, err := o.child("extension")
	if err != nil {
		return nil, named(err)
	}
	r.Extension = extension
	if r.FHIRAuthorization, err = decodeAuthorization(o); err != nil {
		return nil, named(err)
	}
	return r, nil
}

// named turns "x is not a string", which holds a member's name and no value,
// into words for the client.
func named(err error) error {
	_, words, found := strings.Cut(err.Error(), ErrBadRequest.Error()+": ")
	if !found {
		return err
	}
	return explain(ErrBadRequest, words+".")
}

func decodeAuthorization(o opened) (*FHIRAuthorization, error) {
	auth, err := o.child("fhirAuthorization")
	if err != nil || auth == nil {
		return nil, err
	}
	a := &FHIRAuthorization{}
	token := ""
	if err := auth.texts(map[string]*string{
		"access_token": &token, "token_type": &a.TokenType, "scope": &a.Scope, "subject": &a.Subject, "patient": &a.Patient,
	}); err != nil {
		return nil, err
	}
	a.AccessToken = Secret(token)
	if auth.has("expires_in") {
		var seconds float64
		if err := json.Unmarshal(auth["expires_in"], &seconds); err != nil || seconds != math.Trunc(seconds) || math.Abs(seconds) > 1e9 {
			return nil, fmt.Errorf("%w: expires_in is not an integer", ErrBadRequest)
		}
		a.ExpiresInS = int(seconds)
	}
	return a, nil
}

// Validate checks the contract of the envelope and of the context of its hook.
// Its errors name members, never values.
func (r *Request) Validate() error {
	switch {
	case r.Hook == "":
		return explain(ErrBadRequest, "hook is missing.")
	case r.Hook != HookPatientView && !isOrderHook(r.Hook):
		return ErrWrongHook
	case !uuidForm.MatchString(r.HookInstance):
		return explain(ErrBadRequest, "hookInstance is not a UUID of the form 8-4-4-4-12.")
	}
	if err := r.Context.validate(r.Hook); err != nil {
		return err
	}
	if r.FHIRServer != "" {
		u, err := url.Parse(r.FHIRServer)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return explain(ErrBadRequest, "fhirServer is not a base URL.")
		}
	}
	if r.FHIRAuthorization != nil {
		if r.FHIRServer == "" {
			return explain(ErrBadRequest, "fhirAuthorization needs fhirServer.")
		}
		return r.FHIRAuthorization.validate(r.Context.PatientID)
	}
	return nil
}

func (c Context) validate(hook string) error {
	kind, id, ok := strings.Cut(c.UserID, "/")
	orders, known := userTypes[kind]
	switch {
	case c.UserID == "":
		return explain(ErrBadRequest, "context.userId is missing.")
	case isOrderHook(hook) && (!ok || !orders || !bareID(id)):
		return explain(ErrBadRequest, "context.userId is not Type/id of a Practitioner or PractitionerRole.")
	case !ok || !known || !bareID(id):
		return explain(ErrBadRequest, "context.userId is not Type/id of a Practitioner, PractitionerRole, Patient or RelatedPerson.")
	case c.PatientID == "":
		return explain(ErrBadRequest, "context.patientId is missing.")
	case !bareID(c.PatientID):
		return explain(ErrBadRequest, "context.patientId is not a bare logical id.")
	case c.EncounterID != "" && !bareID(c.EncounterID):
		return explain(ErrBadRequest, "context.encounterId is not a bare logical id.")
	}
	if isOrderHook(hook) {
		return c.validateOrders(hook)
	}
	return nil
}

func bareID(s string) bool {
	return len(s) <= maxID && idForm.MatchString(s) && s != "." && s != ".."
}

func (a *FHIRAuthorization) validate(patientID string) error {
	switch {
	case a.AccessToken == "":
		return explain(ErrBadRequest, "fhirAuthorization.access_token is missing.")
	case strings.ContainsFunc(string(a.AccessToken), func(r rune) bool { return r <= ' ' || r > '~' }):
		return explain(ErrBadRequest, "fhirAuthorization.access_token is not a bearer token.")
	case a.TokenType != "Bearer":
		return explain(ErrBadRequest, "fhirAuthorization.token_type is not Bearer.")
	case a.ExpiresInS <= 0:
		return explain(ErrBadRequest, "fhirAuthorization.expires_in is missing or not positive.")
	case a.Scope == "":
		return explain(ErrBadRequest, "fhirAuthorization.scope is missing.")
	case a.Subject == "":
		return explain(ErrBadRequest, "fhirAuthorization.subject is missing.")
	case a.Patient != "" && a.Patient != patientID:
		return ErrWrongPatient
	}
	return nil
}
