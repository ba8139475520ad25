// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: every way a call can fail, and for each its HTTP status, its
// OperationOutcome issue code and the words a client may see. It is the only
// place that turns an error into an answer. The words are fixed: no part of an
// error's own text, which can hold chart data, leaves the service.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// The faults of a call. Wrap them; faultOf finds them with errors.Is.
var (
	ErrNotJSON      = errors.New("the body is not one JSON value")
	ErrBadRequest   = errors.New("the request breaks the CDS Hooks contract")
	ErrWrongHook    = errors.New("the service does not answer this hook")
	ErrWrongServer  = errors.New("fhirServer is not the server registered for this client")
	ErrForbidden    = errors.New("the client may not call this service")
	ErrNoService    = errors.New("there is no such service")
	ErrMethod       = errors.New("the method is not allowed")
	ErrMediaType    = errors.New("the content type is not application/json")
	ErrTooLarge     = errors.New("the body is larger than the limit")
	ErrSlowBody     = errors.New("the body did not arrive in time")
	ErrWrongPatient = errors.New("the data are of another patient")
	ErrUnobtainable = errors.New("necessary data could not be had")
	ErrDenied       = errors.New("the FHIR server refused data that are necessary")
	ErrDeadline     = errors.New("the deadline of the call was reached")
	ErrTooMany      = errors.New("the client calls more often than agreed")
	ErrOverloaded   = errors.New("too many calls are under way")
	ErrClientGone   = errors.New("the client went away before the answer")
	ErrNotRecorded  = errors.New("the decision could not be recorded, so it is not given")
	ErrInvalid      = errors.New("the response broke the contract and was not sent")
	ErrInternal     = errors.New("the service failed")
)

// fault is how one kind of error is answered.
type fault struct {
	is     error
	status int
	issue  string // OperationOutcome.issue.code
	reason string // stable word for receipts and metrics
	words  string // what the client is told; "" for the 401, which says nothing
}

// statusClientGone is for the receipt. A client that only closed its own side
// of the connection reads it too.
const statusClientGone = 499

// faults in the order they are looked for: the first match answers.
var faults = []fault{
	{trust.ErrUnauthorized, http.StatusUnauthorized, "login", "unauthorized", ""},
	{ErrSlowBody, http.StatusRequestTimeout, "timeout", "slow-body", "The body did not arrive in time."},
	{ErrClientGone, statusClientGone, "timeout", "client-gone", "The client closed the connection."},
	{ErrNotRecorded, http.StatusInternalServerError, "exception", "not-recorded", "The decision could not be recorded and is therefore withheld. Treat the patient without it."},
	{ErrForbidden, http.StatusForbidden, "forbidden", "forbidden", "This client is not registered for this service."},
	{ErrNoService, http.StatusNotFound, "not-found", "no-service", "There is no such service. See /cds-services."},
	{ErrMethod, http.StatusMethodNotAllowed, "not-supported", "method", "This method is not allowed here. See the Allow header."},
	{ErrMediaType, http.StatusUnsupportedMediaType, "not-supported", "media-type", "Send the body as application/json."},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "too-long", "too-large", "The body is larger than this service accepts. Narrow the prefetch."},
	{ErrNotJSON, http.StatusBadRequest, "structure", "not-json", "The body is not one valid JSON value in UTF-8 without duplicate member names."},
	{ErrWrongHook, http.StatusBadRequest, "value", "wrong-hook", "This service does not answer that hook."},
	{ErrWrongServer, http.StatusBadRequest, "value", "wrong-server", "fhirServer is not the server registered for this client."},
	{ErrWrongPatient, http.StatusBadRequest, "value", "wrong-patient", "Prefetch, the drafted orders, or what the FHIR server sent, holds data of a patient other than context.patientId. Nothing was computed."},
	{ErrBadRequest, http.StatusBadRequest, "invalid", "bad-request", "The request does not follow the CDS Hooks contract."},
	{ErrTooMany, http.StatusTooManyRequests, "throttled", "too-many", "This client calls more often, or more at once, than was agreed. Try again."},
	{ErrOverloaded, http.StatusServiceUnavailable, "throttled", "overloaded", "The service is busy. Try again."},
	{ErrUnobtainable, http.StatusPreconditionFailed, "incomplete", "unobtainable", "Data that the service needs could not be had from prefetch or from the FHIR server."},
	{ErrDenied, http.StatusPreconditionFailed, "incomplete", "denied", "The FHIR server did not let the service read data that it needs."},
	{ErrDeadline, http.StatusServiceUnavailable, "timeout", "deadline", "The answer was not ready in time. Nothing was decided."},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "deadline", "The answer was not ready in time. Nothing was decided."},
	{ErrInternal, http.StatusInternalServerError, "exception", "internal", "The service failed. Nothing was decided."},
}

// faultOf finds how err is answered; what is not known is an internal fault.
func faultOf(err error) fault {
	for _, f := range faults {
		if errors.Is(err, f.is) {
			return f
		}
	}
	return faults[len(faults)-1]
}

// explained carries words that a client may see beside those of its fault:
// a member's name, a prefetch key, never a value.
type explained struct {
	err   error
	words string
}

func (e explained) Error() string { return e.err.Error() + ": " + e.words }
func (e explained) Unwrap() error { return e.err }

// explain wraps err with words for the client. They must hold no chart data.
func explain(err error, words string) error { return explained{err, words} }

// operationOutcome is the FHIR resource that says what went wrong.
type operationOutcome struct {
	ResourceType string         `json:"resourceType"`
	Issue        []outcomeIssue `json:"issue"`
}

type outcomeIssue struct {
	Severity    string       `json:"severity"`
	Code        string       `json:"code"`
	Details     *outcomeText `json:"details,omitempty"`
	Diagnostics string       `json:"diagnostics,omitempty"`
}

type outcomeText struct {
	Text string `json:"text"`
}

// outcomeBody is the body of a failed call: nil for the 401.
func outcomeBody(err error, receipt string) []byte {
	f := faultOf(err)
	if f.words == "" {
		return nil
	}
	words := f.words
	var more explained
	if errors.As(err, &more) {
		words += " " + more.words
	}
	issue := outcomeIssue{Severity: "error", Code: f.issue, Details: &outcomeText{words}}
	if receipt != "" {
		issue.Diagnostics = "receipt " + receipt
	}
	body, merr := json.Marshal(operationOutcome{"OperationOutcome", []outcomeIssue{issue}})
	if merr != nil {
		return []byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}`)
	}
	return body
}
