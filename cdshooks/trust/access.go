// SPDX-License-Identifier: Apache-2.0

package trust

// This file: by which right a client's FHIR API is read.

import (
	"errors"
	"fmt"
)

// The modes of FHIRAccess.
const (
	AccessToken   = "token"   // with the access token that a call brings, or not at all
	AccessBackend = "backend" // where a call brings none, with one of our own
)

// FHIRAccess says by which right the service reads a client's FHIR API. A call
// that brings fhirAuthorization is always read with that, and never with
// anything else.
type FHIRAccess struct {
	// Mode: token (default) or backend. A token of our own opens what was
	// granted to this service, which can be more than the user of the call may
	// see: set backend by written agreement only.
	Mode string `yaml:"mode"`
	// ClientID is this service's id at the EHR. Required for backend.
	ClientID string `yaml:"client_id"`
	// TokenURL is the EHR's token endpoint. Default: discovered below
	// fhir_server, and then of the same origin; one on another origin has to
	// be written here. Signed assertions of who we are go to it.
	TokenURL string `yaml:"token_url"`
	// Scopes to ask for. Default: read and search of the resource types that
	// the prefetch templates name, and no others.
	Scopes []string `yaml:"scopes"`
	// Algorithm to sign with, ES384 or RS384. Default: what the EHR says it
	// takes and a current key of files.keys_file has, ES384 before RS384.
	Algorithm string `yaml:"algorithm"`
	// SendJKU names the address of our key set in assertions, for an EHR that
	// asks for it. Default: no.
	SendJKU bool `yaml:"send_jku"`
}

// withDefaults returns the access with its default mode, or why it is unusable.
func (a FHIRAccess) withDefaults(fhirServer, network string) (FHIRAccess, error) {
	switch {
	case a.Mode == "" && a.unused(), a.Mode == AccessToken && a.unused():
		a.Mode = AccessToken
		return a, nil
	case a.Mode == "" || a.Mode == AccessToken:
		return a, errors.New("fhir_access has fields that only mode: backend uses")
	case a.Mode != AccessBackend:
		return a, fmt.Errorf("fhir_access.mode %q is not token or backend", a.Mode)
	case fhirServer == "":
		return a, errors.New("fhir_access.mode backend needs fhir_server")
	case a.ClientID == "":
		return a, errors.New("fhir_access.mode backend needs client_id (hint: the one that the EHR gave to this service)")
	case a.Algorithm != "" && algorithms[a.Algorithm] == kindNone:
		return a, fmt.Errorf("fhir_access.algorithm %q is not ES384 or RS384", a.Algorithm)
	case a.TokenURL != "":
		if err := checkAddress(a.TokenURL, network); err != nil {
			return a, fmt.Errorf("fhir_access.token_url: %w", err)
		}
	}
	return a, nil
}

// unused reports that no field but the mode is set.
func (a FHIRAccess) unused() bool {
	return a.ClientID == "" && a.TokenURL == "" && len(a.Scopes) == 0 && a.Algorithm == "" && !a.SendJKU
}
