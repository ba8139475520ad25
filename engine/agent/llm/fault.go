// SPDX-License-Identifier: Apache-2.0

package llm

// This file: why a conversation ended without a choice. The words are stable:
// receipts, metrics and cards carry them.

// Faults of the endpoint and of what it said. A status of 400 or more is
// "http-" and the status.
const (
	FaultLate       = "late"            // no whole answer within the time there was
	FaultNoTime     = "no-time"         // too little of the deadline was left to ask
	FaultBusy       = "busy"            // too many conversations at once
	FaultResting    = "breaker-open"    // it failed so often that it is left alone for a while
	FaultOffline    = "offline"         // it must not be asked here
	FaultConnection = "connection"      // no connection, or it broke
	FaultTooLarge   = "too-large"       // the answer is over MaxReplyBytes
	FaultGarbled    = "garbled"         // the answer is no chat completion
	FaultEmpty      = "empty"           // a chat completion without a message
	FaultRefused    = "refused"         // the model or a filter refused
	FaultTruncated  = "truncated"       // the message was cut off at its length
	FaultRounds     = "rounds"          // the model did not prescribe within its rounds
	FaultTokens     = "tokens"          // nor within its tokens
	FaultCalls      = "too-many-calls"  // one message with more than maxCalls calls
	FaultTranscript = "transcript-ends" // a recorded conversation breaks off
)

// faultHTTP is the beginning of a fault that is a status.
const faultHTTP = "http-"

// endpointFaults count against the endpoint: after enough of them it is left
// alone. What the model says wrongly does not: the endpoint is well.
func endpointFault(fault string) bool {
	switch fault {
	case FaultLate, FaultConnection, FaultTooLarge, FaultGarbled, FaultEmpty:
		return true
	}
	return len(fault) > len(faultHTTP) && fault[:len(faultHTTP)] == faultHTTP
}
