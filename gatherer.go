// SPDX-License-Identifier: Apache-2.0

package main

// This file: fhir's gathering as the service wants it: its errors in the
// service's words, its manifest as JSON.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// gatherer is fhir.Mapper behind the interface of the service.
type gatherer struct{ *fhir.Mapper }

var _ cdshooks.Charts = gatherer{}

// Gather implements cdshooks.Charts.
func (g gatherer) Gather(ctx context.Context, q cdshooks.ChartQuery) (*state.Chart, json.RawMessage, error) {
	got, err := g.Mapper.Gather(ctx, fhir.GatherRequest{
		Prefetch: q.Prefetch, Templates: q.Templates, Server: q.Server, Token: q.Token, HTTP: q.HTTP,
		PatientID: q.PatientID, EncounterID: q.EncounterID, Now: q.At, Limits: fhir.Limits{Budget: q.Budget},
	})
	var manifest json.RawMessage
	if got != nil {
		encoded, encodeErr := json.Marshal(got.Manifest)
		if encodeErr != nil {
			return nil, nil, errors.Join(err, encodeErr)
		}
		manifest = encoded
	}
	if err != nil {
		return nil, manifest, inServiceWords(err)
	}
	return got.Chart, manifest, nil
}

// inServiceWords says which fault of a call an error of fhir is. What is in
// none of the lists is the service's own failure.
func inServiceWords(err error) error {
	for _, t := range []struct{ is, as error }{
		{fhir.ErrWrongPatient, cdshooks.ErrWrongPatient},
		{fhir.ErrDenied, cdshooks.ErrDenied},
		{fhir.ErrUnobtainable, cdshooks.ErrUnobtainable},
		{fhir.ErrNoPatient, cdshooks.ErrUnobtainable},
		{fhir.ErrNoStay, cdshooks.ErrUnobtainable},
		{fhir.ErrMalformed, cdshooks.ErrUnobtainable},
	} {
		if errors.Is(err, t.is) {
			return fmt.Errorf("%w: %w", t.as, err)
		}
	}
	return err
}
