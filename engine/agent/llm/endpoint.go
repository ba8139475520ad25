// SPDX-License-Identifier: Apache-2.0

package llm

// This file: the endpoint. Every answer is bounded in size and time, no
// redirect is followed, error bodies are not read, and an endpoint that keeps
// failing is left alone for a while.

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sashabaranov/go-openai"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// MaxReplyBytes is the most that one answer of the endpoint may have.
const MaxReplyBytes = 128 << 10

// minBudget is the least time worth asking in.
const minBudget = 20 * time.Millisecond

var errTooLarge = errors.New("answer too large")

// statusError is an answer that is no 2xx. Its body is never read: it may
// repeat the prompt.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.code) }

// endpoint is an OpenAI-compatible server. It is safe for concurrent use.
type endpoint struct {
	cfg      Config
	client   *openai.Client
	http     *http.Client
	places   chan struct{} // one is held by each conversation
	breaker  circuitbreaker.CircuitBreaker[any]
	requests atomic.Int64
}

func newEndpoint(cfg Config, deps Deps) (*endpoint, error) {
	if err := openai.NewReasoningValidator().Validate(cfg.request(nil, 0)); err != nil {
		return nil, fmt.Errorf("%w: model: %w (hint: such models take no temperature; serve one that does)", ErrConfig, err)
	}
	e := &endpoint{cfg: cfg, places: make(chan struct{}, cfg.MaxConcurrent)}
	transport := deps.Transport
	if transport == nil {
		own, err := newTransport(deps.CA)
		if err != nil {
			return nil, err
		}
		transport = own
	}
	e.http = &http.Client{
		Transport:     bounded{transport, &e.requests},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	settings := openai.DefaultConfig(deps.APIKey)
	settings.BaseURL, settings.HTTPClient = strings.TrimRight(cfg.BaseURL, "/"), e.http
	e.client = openai.NewClientWithConfig(settings)
	e.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(uint(cfg.BreakerFailures)).WithSuccessThreshold(1).WithDelay(cfg.BreakerRest).Build()
	return e, nil
}

// newTransport makes a transport that knows no proxy: the values it carries go
// to the configured address and nowhere else.
func newTransport(ca []byte) (*http.Transport, error) {
	t := &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 90 * time.Second,
		MaxIdleConnsPerHost: 8, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	if len(ca) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%w: ca_file: no certificate in it (hint: PEM)", ErrConfig)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

func (e *endpoint) close() { e.http.CloseIdleConnections() }

// begin takes a place and bounds the conversation's time: by Timeout, and by
// what the hook's deadline leaves but for Reserve.
func (e *endpoint) begin(ctx context.Context) (context.Context, func(string), string) {
	if e.cfg.Offline {
		return nil, nil, FaultOffline
	}
	budget := e.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)-e.cfg.Reserve)
	}
	if budget < minBudget {
		return nil, nil, FaultNoTime
	}
	select {
	case e.places <- struct{}{}:
	default:
		return nil, nil, FaultBusy
	}
	if !e.breaker.TryAcquirePermit() {
		<-e.places
		return nil, nil, FaultResting
	}
	inner, cancel := context.WithTimeout(ctx, budget)
	return inner, func(fault string) {
		cancel()
		<-e.places
		e.record(ctx, fault)
	}, ""
}

// record tells the breaker how a conversation went. One that ended because
// whoever asked went away says nothing about the endpoint; but a trial has to
// be given back, or no other would ever be allowed.
func (e *endpoint) record(ctx context.Context, fault string) {
	switch {
	case ctx.Err() != nil:
		if e.breaker.IsHalfOpen() {
			e.breaker.RecordFailure()
		}
	case endpointFault(fault):
		e.breaker.RecordFailure()
	default:
		e.breaker.RecordSuccess()
	}
}

// next sends the conversation and checks what comes back. An answer that comes
// when the time is over is discarded, however good it is.
func (e *endpoint) next(ctx context.Context, request openai.ChatCompletionRequest) (*agent.Reply, string) {
	response, err := e.client.CreateChatCompletion(ctx, request)
	if ctx.Err() != nil {
		return nil, FaultLate
	}
	if err != nil {
		return nil, faultOfError(err)
	}
	if len(response.Choices) == 0 {
		return nil, FaultEmpty
	}
	choice := response.Choices[0]
	if len(response.Choices) > 1 || choice.Message.Role != "" && choice.Message.Role != openai.ChatMessageRoleAssistant {
		return nil, FaultGarbled
	}
	reply := &agent.Reply{
		Model: response.Model, Content: choice.Message.Content, Refusal: choice.Message.Refusal,
		Finish: string(choice.FinishReason), Tokens: response.Usage.TotalTokens,
	}
	for _, c := range choice.Message.ToolCalls {
		if c.Type != "" && c.Type != openai.ToolTypeFunction {
			return nil, FaultGarbled
		}
		reply.Calls = append(reply.Calls, agent.Call{Name: c.Function.Name, Arguments: c.Function.Arguments})
	}
	if floor := roughTokens(request, reply); reply.Tokens < floor {
		reply.Tokens = floor // no count, or one that cannot be true
	}
	return reply, ""
}

// faultOfError sorts an error of the client. Nothing of its text is kept: it
// may repeat what was sent.
func faultOfError(err error) string {
	var status *statusError
	var transport *url.Error
	switch {
	case errors.As(err, &status):
		return fmt.Sprintf("%s%d", faultHTTP, status.code)
	case errors.Is(err, errTooLarge):
		return FaultTooLarge
	case errors.As(err, &transport), errors.Is(err, io.ErrUnexpectedEOF):
		return FaultConnection
	}
	return FaultGarbled
}

// roughTokens is the least number of tokens a conversation can have: no
// tokenizer makes one token of more than eight bytes on average.
func roughTokens(request openai.ChatCompletionRequest, reply *agent.Reply) int {
	n := len(reply.Content)
	for _, c := range reply.Calls {
		n += len(c.Name) + len(c.Arguments)
	}
	for _, m := range request.Messages {
		n += len(m.Content)
	}
	return n / 8
}

// bounded counts requests, mends what the client cannot say, and bounds what
// comes back.
type bounded struct {
	next     http.RoundTripper
	requests *atomic.Int64
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	b.requests.Add(1)
	req, err := withZero(req)
	if err != nil {
		return nil, err
	}
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		res.Body.Close()
		return nil, &statusError{res.StatusCode}
	}
	res.Body = &boundedBody{res.Body, MaxReplyBytes}
	return res, nil
}

// leftOut stands for a temperature of 0 (Config.request). Inside of texts the
// quotation marks are escaped, so that it is found nowhere but at the top.
var leftOut, zero = []byte(`"temperature":1e-45,`), []byte(`"temperature":0,`)

// withZero writes a temperature of 0 as the number it is.
func withZero(req *http.Request) (*http.Request, error) {
	if req.Body == nil {
		return req, nil
	}
	body, err := io.ReadAll(req.Body)
	if err := errors.Join(err, req.Body.Close()); err != nil {
		return nil, err
	}
	body = bytes.Replace(body, leftOut, zero, 1)
	out := req.Clone(req.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return out, nil
}

// CloseIdleConnections lets http.Client reach the transport behind.
func (b bounded) CloseIdleConnections() {
	if c, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
