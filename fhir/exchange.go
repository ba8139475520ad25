// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: one question to a FHIR server and what became of it. It decides
// what may be repeated, and what counts against the server. A URL or a body
// can identify a patient, so neither goes into what is said about a failure.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
)

// question is one read or search: a GET, or where form is set a search by
// POST, which keeps long code lists and patients out of URLs.
type question struct {
	url  *url.URL
	form string
}

// reply is what one attempt at a question came to.
type reply struct {
	body    []byte
	status  int        // HTTP status; 0: no answer
	from    Provenance // FromFetch, or why not
	why     string
	again   bool          // repeating it may help, and there is time for it
	after   time.Duration // the server's Retry-After
	resting time.Duration // set: not asked, and for how long it will not be
	blame   bool          // it counts against the server
}

// allowance is how many bytes a gather may still read: of one page, and of
// all answers together.
type allowance struct {
	page  int64
	total atomic.Int64
}

// errTooMuch: an answer is over its allowance.
var errTooMuch = errors.New("answer over its limit")

// allowed reads a body, after decompression, within the allowance.
type allowed struct {
	from io.Reader
	left *allowance
	page int64
}

func (a *allowed) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	a.page -= int64(n)
	if a.page < 0 || a.left.total.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// ask puts a question until it is answered, refused, or out of time.
func (s *Server) ask(ctx context.Context, q question, token string, left *allowance) *reply {
	r, err := s.policy.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[*reply]) (*reply, error) {
		return s.attempt(exec.Context(), q, token, left), nil
	})
	if err != nil || r == nil {
		return &reply{from: IsFailed, why: noTime}
	}
	return r
}

const noTime = "no time left to read from the FHIR server"

// attempt asks once.
func (s *Server) attempt(ctx context.Context, q question, token string, left *allowance) *reply {
	if ctx.Err() != nil {
		return &reply{from: IsFailed, why: noTime}
	}
	if !s.breaker.TryAcquirePermit() {
		s.counts.refused.Add(1)
		rest := max(s.breaker.RemainingDelay(), time.Second)
		return &reply{from: IsFailed, resting: rest,
			why: fmt.Sprintf("the FHIR server has failed repeatedly and is not asked before %v have passed", rest.Round(time.Second))}
	}
	s.counts.requests.Add(1)
	s.counts.underWay.Add(1)
	started := time.Now()
	inner, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	r := s.exchange(inner, q, token, left)
	cancel()
	s.counts.underWay.Add(-1)
	if r.status == 0 && ctx.Err() != nil {
		// The call's time ended, not the request's own. That speaks against the
		// server only if it had a fair part of a request's time to answer.
		r.blame, r.again, r.why = time.Since(started) >= s.opts.Timeout/2, false, noTime
		if !r.blame {
			s.undecided()
			return r
		}
	}
	if r.blame {
		s.counts.failures.Add(1)
		s.breaker.RecordFailure()
	} else {
		s.breaker.RecordSuccess()
	}
	if deadline, ok := ctx.Deadline(); ok && r.again && time.Until(deadline) <= max(r.after, s.opts.Backoff) {
		r.again = false
	}
	return r
}

// undecided gives back the breaker's permit of an attempt that showed nothing.
// A trial of a server that was down and has shown nothing is no recovery.
func (s *Server) undecided() {
	if s.breaker.IsHalfOpen() {
		s.breaker.RecordFailure()
	}
}

// exchange sends one request and reads its answer.
func (s *Server) exchange(ctx context.Context, q question, token string, left *allowance) *reply {
	method, body := http.MethodGet, io.Reader(nil)
	if q.form != "" {
		method, body = http.MethodPost, strings.NewReader(q.form)
	}
	req, err := http.NewRequestWithContext(ctx, method, q.url.String(), body)
	if err != nil {
		return &reply{from: IsFailed, why: "request could not be made"}
	}
	req.Header.Set("Accept", "application/fhir+json, application/json;q=0.9")
	req.Header.Set("Authorization", "Bearer "+token)
	if q.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.client.Do(req)
	if err != nil {
		return unreached(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused(res)
	}
	return answered(res, left)
}

// unreached words a connection that failed. The error itself names addresses.
func unreached(err error) *reply {
	r := &reply{from: IsFailed, why: "the FHIR server could not be reached", again: true, blame: true}
	switch {
	case isTimeout(err):
		r.why = "the FHIR server did not answer in time"
	case isCertificate(err):
		r.why, r.again = "the FHIR server's certificate is not trusted", false
	}
	return r
}

// refused words an answer that is not 200. Only overload and gateways that
// lost their server are worth another try. 404, 410 and 500 can be about one
// patient, so they do not count against the server.
func refused(res *http.Response) *reply {
	r := &reply{from: IsFailed, status: res.StatusCode, why: fmt.Sprintf("the FHIR server answered %d", res.StatusCode)}
	if code := issueCode(res); code != "" {
		r.why += " (" + code + ")"
	}
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		r.from = IsDenied
	case s == http.StatusTooManyRequests:
		r.again = true
	case s == http.StatusBadGateway || s == http.StatusServiceUnavailable || s == http.StatusGatewayTimeout:
		r.again, r.blame = true, true
	case s == http.StatusNotModified:
		r.why = "the FHIR server answered 304 to an unconditional request"
	case s == http.StatusGone:
		r.why = "the FHIR server says that the resource is deleted (410)"
	case s >= 300 && s < 400:
		r.why = "the FHIR server redirects, which is not followed"
	case s >= 200 && s < 300:
		r.from, r.why = IsWrongType, fmt.Sprintf("the FHIR server answered %d without a result", s)
	}
	if r.again {
		r.after = retryAfter(res.Header.Get("Retry-After"), time.Now())
	}
	return r
}

// answered reads the body of a 200.
func answered(res *http.Response, left *allowance) *reply {
	r := &reply{from: IsWrongType, status: res.StatusCode}
	if why := notFHIR(res.Header); why != "" {
		r.why = why
		return r
	}
	body, err := io.ReadAll(&allowed{from: res.Body, left: left, page: left.page})
	switch {
	case errors.Is(err, errTooMuch):
		r.from, r.why = IsFailed, "the FHIR server's answer is larger than may be read"
	case err != nil:
		r.from, r.why, r.again, r.blame, r.status = IsFailed, "the FHIR server's answer broke off", true, true, 0
		if isTimeout(err) {
			r.why = "the FHIR server's answer did not end in time"
		}
	case !json.Valid(body):
		r.why = "the FHIR server's answer is not JSON"
	case kindOf(body) == "OperationOutcome":
		r.from, r.why = IsFailed, "the FHIR server answered with an OperationOutcome"
	default:
		r.from, r.body = FromFetch, body
	}
	return r
}

// notFHIR refuses an answer that says itself that it is no FHIR JSON. Servers
// that name no type, or plain text, are known; their bytes are judged.
func notFHIR(h http.Header) string {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "the FHIR server's answer has an encoding that was not asked for"
	}
	text := h.Get("Content-Type")
	if text == "" {
		return ""
	}
	kind, params, err := mime.ParseMediaType(text)
	if err != nil || !slices.Contains([]string{"application/fhir+json", "application/json", "application/json+fhir", "text/json", "text/plain"}, kind) {
		return "the FHIR server's answer is not FHIR JSON by its content type"
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return "the FHIR server's answer is not UTF-8"
	}
	return ""
}

// maxOutcomeBytes is how much of a refusal is read for its issue code.
const maxOutcomeBytes = 16 << 10

// issueTypes are the codes of OperationOutcome.issue that help whoever
// connects the server. Only these are repeated: its texts can name a patient.
var issueTypes = []string{"invalid", "structure", "required", "value", "security", "login", "unknown", "expired", "forbidden",
	"suppressed", "processing", "not-supported", "not-found", "deleted", "too-long", "code-invalid", "too-costly", "business-rule",
	"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"}

// issueCode is the first issue's code of an OperationOutcome, "" when there is
// none that is known.
func issueCode(res *http.Response) (code string) {
	if notFHIR(res.Header) != "" {
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxOutcomeBytes))
	if err != nil || !json.Valid(body) || kindOf(body) != "OperationOutcome" {
		return ""
	}
	eachMember(body, func(name string, value []byte) {
		if name != "issue" {
			return
		}
		eachElement(value, func(issue []byte) {
			eachMember(issue, func(name string, value []byte) {
				if c := text(value); name == "code" && code == "" && slices.Contains(issueTypes, c) {
					code = c
				}
			})
		})
	})
	return code
}

// retryAfter reads the header in either of its forms; 0 when there is none.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), 24*time.Hour)
	}
	return 0
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func isCertificate(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}
