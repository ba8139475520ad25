// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the HTTP side: routes, headers, CORS, and the frame around every
// hook and feedback call that sees to it that each leaves a receipt before it
// is answered.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/cdshooks/launch"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// Handler returns the service's routes: discovery, service, feedback, evidence
// pages and their launch, our key set, /healthz, /readyz, /metrics and
// /model-card. The caller owns the server and its time limits.
func (s *Service) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.ContextWithFallback = true
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	_ = r.SetTrustedProxies(nil)
	r.Use(s.recovery, s.headers)

	r.GET("/cds-services", s.serveDiscovery)
	r.HEAD("/cds-services", s.serveDiscovery)
	r.POST("/cds-services/:id", s.endpoint("service", s.treat))
	r.POST("/cds-services/:id/feedback", s.endpoint("feedback", s.feedback))
	for _, path := range []string{"/cds-services", "/cds-services/:id", "/cds-services/:id/feedback"} {
		r.OPTIONS(path, s.preflight)
	}
	r.GET("/evidence/:handle", s.serveEvidence)
	r.GET("/evidence/:handle/receipt", s.serveReceipt)
	r.GET(launch.Path, s.serveLaunch)
	r.GET(launch.Path+"/:client/callback", s.serveLaunched)
	health := func(c *gin.Context) { c.String(http.StatusOK, "ok\n") }
	r.GET("/healthz", health)
	r.HEAD("/healthz", health)
	r.GET(KeySetPath, s.serveKeys)
	r.HEAD(KeySetPath, s.serveKeys)
	r.GET("/readyz", s.serveReady)
	r.HEAD("/readyz", s.serveReady)
	r.GET("/metrics", gin.WrapH(s.metrics.handler()))
	if len(s.ModelCard) > 0 {
		r.GET("/model-card", func(c *gin.Context) {
			c.Data(http.StatusOK, "text/markdown; charset=utf-8", s.ModelCard)
		})
	}
	r.NoRoute(s.astray(ErrNoService))
	r.NoMethod(s.astray(ErrMethod))
	return r
}

// astray answers a request that no route takes. One that meant a service is a
// call that failed, and leaves a receipt like any other.
func (s *Service) astray(err error) gin.HandlerFunc {
	call := s.endpoint("none", func(context.Context, *call) (answer, error) { return answer{}, err })
	return func(c *gin.Context) {
		if strings.HasPrefix(c.Request.URL.Path, "/cds-services/") {
			call(c)
			return
		}
		s.plainError(c, err)
	}
}

// recovery answers a panic outside a call, where nothing was decided.
func (s *Service) recovery(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.Logger.Error("panic", zap.String("route", c.FullPath()), zap.ByteString("stack", debug.Stack()))
			s.plainError(c, ErrInternal)
		}
	}()
	c.Next()
}

func (s *Service) plainError(c *gin.Context, err error) {
	if !c.Writer.Written() {
		c.Data(faultOf(err).status, "application/json; charset=utf-8", outcomeBody(err, ""))
	}
	c.Abort()
}

// headers sets what every answer carries.
func (s *Service) headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if strings.HasPrefix(s.Config.PublicURL, "https://") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if strings.HasPrefix(c.Request.URL.Path, "/cds-services") {
		h.Add("Vary", "Origin")
		if origin := c.GetHeader("Origin"); s.Trust.Allows(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id")
			h.Set("Access-Control-Expose-Headers", "X-Request-Id")
			h.Set("Access-Control-Max-Age", "600")
		}
	}
	c.Next()
}

// preflight answers a browser's question, which never carries a token. An
// origin that is not registered gets an answer without permission.
func (s *Service) preflight(c *gin.Context) {
	allow := "POST, OPTIONS"
	if c.FullPath() == "/cds-services" {
		allow = "GET, OPTIONS"
	}
	c.Header("Allow", allow)
	c.Status(http.StatusNoContent)
}

func (s *Service) serveDiscovery(c *gin.Context) {
	c.Header("ETag", s.etag)
	c.Header("Cache-Control", "max-age=60")
	if match := c.GetHeader("If-None-Match"); match == "*" || strings.Contains(match, s.etag) {
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", s.discovery)
}

func (s *Service) serveReady(c *gin.Context) {
	if s.Ready != nil {
		if err := s.Ready(c.Request.Context()); err != nil { // gin reuses c itself for the next request
			s.Logger.Warn("not ready", zap.Error(err))
			c.String(http.StatusServiceUnavailable, "not ready\n")
			return
		}
	}
	c.String(http.StatusOK, "ready\n"+s.displayReport())
}

// answer is what a call ends in. Response is nil when there are no cards to
// give a receipt to.
type answer struct {
	response *Response
	body     []byte
}

// endpoint frames one call: it gives it an id, catches panics, records it, and
// only then answers.
func (s *Service) endpoint(name string, work func(context.Context, *call) (answer, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		started := time.Now()
		call, err := s.newCall(c)
		if err != nil {
			s.plainError(c, err)
			return
		}
		c.Header("X-Request-Id", call.record.Request.RequestID)
		ctx, traced := s.trace(c.Request, name)
		ans, err := s.work(ctx, call, work)
		if err != nil {
			call.fail(err)
		}
		appended, recordErr := s.append(ctx, call)
		if recordErr != nil {
			err = fmt.Errorf("%w: %w", ErrNotRecorded, recordErr)
			call.record.Status = faultOf(err).status
			call.record.Reason = faultOf(err).reason
			s.metrics.unrecorded.Inc()
		}
		if err != nil && !errors.Is(err, ErrSlowBody) { // whoever was too slow is not waited for again
			s.drain(c.Writer, c.Request)
		}
		s.finish(c, call, ans, appended, err)
		if appended != nil && err == nil {
			s.compareLater(call)
		}
		s.metrics.call(call.record.Request.Client, name, call.record.Status, call.record.Reason, time.Since(started))
		s.logCall(name, call, time.Since(started), err)
		traced(&call.record)
	}
}

// work runs the call and turns a panic into a fault.
func (s *Service) work(ctx context.Context, call *call, work func(context.Context, *call) (answer, error)) (ans answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Logger.Error("panic in call", zap.String("id", call.record.ID), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("%w: panic", ErrInternal)
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			err = fmt.Errorf("%w: %w", ErrClientGone, errors.Join(err, ctx.Err()))
		}
	}()
	return work(ctx, call)
}

// A refused body is read to its end for so long at most, and so many at once:
// strangers are refused too, and a connection that trickles is theirs to hold.
const (
	drainFor  = 5 * time.Second
	maxDrains = 64
)

// drain reads what is left of a refused body, up to the limit: a client that
// is still sending when the connection closes sees a broken pipe and not why.
func (s *Service) drain(w gin.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" {
		return // the client asks before it sends
	}
	leave := func() { // the server reads no more either
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
	}
	select {
	case s.drains <- struct{}{}:
		defer func() { <-s.drains }()
	default:
		leave()
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainFor)) // not on a recorder in a test
	if _, err := io.CopyN(io.Discard, r.Body, s.Config.MaxBodyBytes); !errors.Is(err, io.EOF) {
		leave()
	}
}

// finish sends the answer. The body is whole before the status is written.
func (s *Service) finish(c *gin.Context, call *call, ans answer, appended *recorded, err error) {
	f := faultOf(err)
	switch {
	case err == nil && ans.response != nil:
		body, encodeErr := withReceipt(*ans.response, appended)
		if encodeErr != nil {
			s.plainError(c, ErrInternal)
			return
		}
		c.Data(http.StatusOK, "application/json; charset=utf-8", body)
	case err == nil && ans.body != nil:
		c.Data(http.StatusOK, "application/json; charset=utf-8", ans.body)
	case err == nil:
		c.Status(http.StatusOK)
	case f.status == http.StatusUnauthorized:
		c.Header("WWW-Authenticate", "Bearer")
		c.Status(http.StatusUnauthorized)
	default:
		var resting *fhir.RestingError
		switch {
		case f.status == http.StatusServiceUnavailable, f.status == http.StatusTooManyRequests:
			c.Header("Retry-After", "1")
		case errors.As(err, &resting): // the EHR is not asked before then
			c.Header("Retry-After", strconv.Itoa(int(math.Ceil(resting.For.Seconds()))))
		}
		receipt := ""
		if appended != nil {
			receipt = call.record.ID
		}
		c.Data(f.status, "application/json; charset=utf-8", outcomeBody(err, receipt))
	}
	c.Writer.WriteHeaderNow()
}

// logCall writes the one log line of a call. It holds ids and words, no data.
func (s *Service) logCall(name string, call *call, took time.Duration, err error) {
	m := call.record.Request
	fields := []zap.Field{
		zap.String("endpoint", name), zap.String("id", call.record.ID), zap.String("request", m.RequestID),
		zap.String("hookInstance", m.HookInstance), zap.String("client", m.Client), zap.Int("status", call.record.Status),
		zap.Int("bytes", m.Bytes), zap.Duration("took", took),
	}
	if err == nil {
		s.Logger.Info("call", fields...)
		return
	}
	fields = append(fields, zap.String("reason", call.record.Reason))
	if call.record.Status >= 500 {
		s.Logger.Error("call", fields...)
		return
	}
	s.Logger.Warn("call", fields...)
}

// requestIDForm is what is taken over of a client's request id.
var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// readBody reads a JSON body within the limit, after the caller is known.
func (s *Service) readBody(r *http.Request, w http.ResponseWriter) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, ErrMediaType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, ErrMediaType
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, ErrMediaType
	}
	if r.ContentLength > s.Config.MaxBodyBytes {
		return nil, explain(ErrTooLarge, "The limit is "+strconv.FormatInt(s.Config.MaxBodyBytes, 10)+" bytes.")
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, s.Config.MaxBodyBytes), r.ContentLength)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, explain(ErrTooLarge, "The limit is "+strconv.FormatInt(s.Config.MaxBodyBytes, 10)+" bytes.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ErrSlowBody
	case err != nil:
		return nil, explain(ErrBadRequest, "the body broke off.")
	}
	return body, nil
}

// readAll reads to the end into a buffer that grows with what arrives: a
// Content-Length is a claim, and only its first megabyte is believed at once.
func readAll(r io.Reader, claimed int64) ([]byte, error) {
	buf := make([]byte, 0, min(max(claimed+1, 4<<10), 1<<20))
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
	}
}
