// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Server, the one FHIR server that is registered for a client. It
// outlives calls, so that what one call learns about the server (it is down,
// it is full) spares the next ones; no call's token or patient is kept in it.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// ErrServer: a Server cannot be made of these options.
var ErrServer = errors.New("FHIR server")

// ServerOptions say how a FHIR server is reached and how much of it is used.
type ServerOptions struct {
	// Base is the registered FHIR base URL. Nothing outside it is ever asked,
	// whatever a request or a next link says. Required.
	Base string
	// HTTP connects to it. It decides which networks and TLS versions may be
	// used (trust.Client.HTTPClient) and must not add credentials; redirects
	// are never followed, whatever it says. Required.
	HTTP *http.Client
	// Concurrent is how many requests of all calls together may be under way;
	// more wait, within their own time. Default 16.
	Concurrent int
	// Timeout bounds one request, body included, inside the time of its call.
	// Default 3 s.
	Timeout time.Duration
	// Retries is how often a request that can be repeated safely is repeated.
	// Default 2; negative: never.
	Retries int
	// Backoff is the wait before the first repeat; it doubles, and is jittered
	// by half. A longer Retry-After is kept to. Default 100 ms.
	Backoff time.Duration
	// Failures in a row after which the server is left alone. Default 20: a
	// call without prefetch sends eleven searches at once, and all of them may
	// meet a gateway that restarts; their repeats must still be sent.
	Failures int
	// Rest is for how long; then one request tries it. Default 10 s.
	Rest time.Duration
	// Changed, when set, is told each new state of the breaker. It must not
	// block.
	Changed func(breaker string)
}

// Defaults of ServerOptions.
const (
	DefaultConcurrent     = 16
	DefaultRequestTimeout = 3 * time.Second
	DefaultRetries        = 2
	DefaultBackoff        = 100 * time.Millisecond
	DefaultFailures       = 20
	DefaultRest           = 10 * time.Second
)

// Server is a registered FHIR server. It is safe for concurrent use by all
// calls of its client.
type Server struct {
	opts    ServerOptions
	base    *url.URL // ends with a slash
	client  *http.Client
	policy  failsafe.Executor[*reply]
	breaker circuitbreaker.CircuitBreaker[*reply]
	// noForms is set once the server has refused a search by POST, so that the
	// next ones go by GET at once.
	noForms atomic.Bool
	counts  struct{ requests, repeats, failures, refused, underWay atomic.Int64 }
}

// NewServer checks the options and makes a Server. It opens no connection.
// Errors are ErrServer.
func NewServer(o ServerOptions) (*Server, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Base, "/") + "/")
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" ||
		base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%w: the registered base is not an absolute http or https URL without query", ErrServer)
	}
	if o.HTTP == nil {
		return nil, fmt.Errorf("%w: no HTTP client (hint: trust.Client.HTTPClient makes one that keeps to the registered network)", ErrServer)
	}
	o.Concurrent = orDefault(o.Concurrent, DefaultConcurrent)
	o.Timeout = orDefault(o.Timeout, DefaultRequestTimeout)
	o.Backoff = orDefault(o.Backoff, DefaultBackoff)
	o.Failures = orDefault(o.Failures, DefaultFailures)
	o.Rest = orDefault(o.Rest, DefaultRest)
	if o.Retries == 0 {
		o.Retries = DefaultRetries
	}
	s := &Server{opts: o, base: base}
	client := *o.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil // a cookie would carry one call over into another
	s.client = &client
	s.breaker = circuitbreaker.NewBuilder[*reply]().
		WithFailureThreshold(uint(o.Failures)).WithSuccessThreshold(1).WithDelay(o.Rest).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			if o.Changed != nil {
				o.Changed(e.NewState.String())
			}
		}).Build()
	// Each attempt takes its own place in the bulkhead and gives it back before
	// the wait for the next one. The places are waited for as long as the
	// call's context lets it.
	s.policy = failsafe.With[*reply](
		retrypolicy.NewBuilder[*reply]().
			HandleIf(func(r *reply, _ error) bool { return r != nil && r.again }).
			WithMaxRetries(max(o.Retries, 0)).WithDelayFunc(s.delay).ReturnLastFailure().
			OnRetry(func(failsafe.ExecutionEvent[*reply]) { s.counts.repeats.Add(1) }).Build(),
		bulkhead.NewBuilder[*reply](uint(o.Concurrent)).WithMaxWaitTime(time.Hour).Build(),
	)
	return s, nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// delay is the wait before an attempt is repeated: what the server asked for,
// else a growing one. Jitter keeps the calls that failed together from coming
// back together.
func (s *Server) delay(exec failsafe.ExecutionAttempt[*reply]) time.Duration {
	wait := s.opts.Backoff << min(exec.Retries(), 6)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1))
	if last := exec.LastResult(); last != nil && last.after > wait {
		return last.after // with no jitter below it
	}
	return wait
}

// Base is the registered base URL, without a slash at its end.
func (s *Server) Base() string { return strings.TrimSuffix(s.base.String(), "/") }

// CloseIdleConnections drops connections that no request uses.
func (s *Server) CloseIdleConnections() { s.client.CloseIdleConnections() }

// The states of a Server's breaker.
const (
	BreakerClosed   = "closed"    // the server is asked
	BreakerOpen     = "open"      // it has failed repeatedly and is left alone
	BreakerHalfOpen = "half-open" // one request is trying it
)

// ServerStatus is how a Server fares. It names no patient and no address.
type ServerStatus struct {
	Breaker  string
	Rest     time.Duration // until it is tried again, when open
	UnderWay int64         // requests now
	Requests int64         // sent since start, repeats among them
	Repeats  int64
	Failures int64 // counted against the server
	Refused  int64 // not sent, because the breaker was open
}

// Status is how the server fares now, for metrics.
func (s *Server) Status() ServerStatus {
	return ServerStatus{
		Breaker: s.breaker.State().String(), Rest: s.breaker.RemainingDelay(),
		UnderWay: s.counts.underWay.Load(), Requests: s.counts.requests.Load(), Repeats: s.counts.repeats.Load(),
		Failures: s.counts.failures.Load(), Refused: s.counts.refused.Load(),
	}
}

// ErrResting: the server has failed repeatedly and is left alone for a while.
// It is an ErrUnobtainable.
var ErrResting = fmt.Errorf("%w: the FHIR server has failed repeatedly and is left alone for now", ErrUnobtainable)

// RestingError is ErrResting with the time after which the server is tried
// again.
type RestingError struct{ For time.Duration }

func (e *RestingError) Error() string {
	return fmt.Sprintf("%v (hint: it is tried again after %v)", ErrResting, e.For.Round(time.Second))
}

// Unwrap makes every RestingError an ErrResting.
func (e *RestingError) Unwrap() error { return ErrResting }
