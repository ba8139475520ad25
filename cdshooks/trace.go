// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: where the time of a call goes, as a metric and as spans of
// OpenTelemetry. A span holds ids, words of a fixed list and numbers: no user,
// no patient, nothing of the chart, and no URL, since one may hold a handle.

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope names who made the spans.
const scope = "github.com/sepsisagent/sepsisagent/cdshooks"

// trace begins the span of a call, below the one that the caller names in
// traceparent. The function it gives ends it with what the record says.
func (s *Service) trace(r *http.Request, endpoint string) (context.Context, func(*Record)) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.Traces.Tracer(scope).Start(ctx, endpoint, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, func(record *Record) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		m := &record.Request
		span.SetAttributes(
			attribute.String("sepsisagent.receipt", record.ID), attribute.String("sepsisagent.client", m.Client),
			attribute.String("sepsisagent.service", m.Service), attribute.String("cdshooks.hook_instance", m.HookInstance),
			attribute.Int("http.response.status_code", record.Status), attribute.Int("http.request.body.size", m.Bytes),
		)
		if record.Receipt != nil {
			span.SetAttributes(attribute.String("sepsisagent.decision", string(record.Receipt.Outcome.Decision.Status)))
		}
		if record.Reason != "" {
			span.SetAttributes(attribute.String("error.type", record.Reason))
		}
		if record.Status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, record.Reason)
		}
	}
}

// timed measures one stage of a call: defer s.timed(ctx, "decide")().
func (s *Service) timed(ctx context.Context, stage string) func() {
	_, span := s.Traces.Tracer(scope).Start(ctx, stage)
	start := time.Now()
	return func() {
		s.metrics.stage.WithLabelValues(stage).Observe(time.Since(start).Seconds())
		span.End()
	}
}
