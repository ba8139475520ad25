// SPDX-License-Identifier: Apache-2.0

package main

// This file: where the spans of calls go: by OTLP over HTTP to the collector of
// the configuration, or nowhere.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// TracesConfig is where OpenTelemetry spans go. They hold ids and durations and
// nothing of a patient; who reads them learns which client called when.
type TracesConfig struct {
	// Endpoint is the OTLP/HTTP address of a collector, e.g.
	// https://collector.example.org:4318/v1/traces. Clear text is taken on
	// loopback only. Empty: no spans.
	Endpoint string `yaml:"endpoint"`
	// Ratio is the share of calls that are traced, whatever their caller asks
	// for. Default 1.
	Ratio float64 `yaml:"ratio"`
}

// validate checks the section.
func (c TracesConfig) validate() error {
	if c.Ratio < 0 || c.Ratio > 1 || c.Ratio != c.Ratio {
		return errors.New("traces.ratio: not between 0 and 1")
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("traces.endpoint: not an http or https URL (hint: https://collector.example.org:4318/v1/traces)")
	case u.Scheme == "http" && !trust.IsLoopbackHost(u.Hostname()):
		return errors.New("traces.endpoint: not https (hint: clear text is for a collector on loopback)")
	}
	return nil
}

// flushTimeout bounds how long the last spans may hold up the end.
const flushTimeout = 5 * time.Second

// openTraces gives the provider of spans; stop sends what is left. A collector
// that is down loses spans and nothing else.
func openTraces(ctx context.Context, cfg TracesConfig, build string, logger *zap.Logger) (_ trace.TracerProvider, stop func(), err error) {
	if cfg.Endpoint == "" {
		return noop.NewTracerProvider(), func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.Endpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("traces.endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("spans not sent", zap.Error(err)) }))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithSampler(sdktrace.TraceIDRatioBased(cfg.Ratio)),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "sepsisagent"), attribute.String("service.version", build))),
	)
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("spans not sent", zap.Error(err))
		}
	}, nil
}
