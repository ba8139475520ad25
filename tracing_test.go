// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"
)

func TestSpansReachTheCollectorOfTheConfiguration(t *testing.T) {
	var got collector.ExportTraceServiceRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = proto.Unmarshal(body, &got)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
	}))
	defer server.Close()
	core, logs := observer.New(zap.WarnLevel)
	provider, stop, err := openTraces(t.Context(), TracesConfig{Endpoint: server.URL + "/v1/traces", Ratio: 1}, "build-1", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(context.Background(), "service")
	span.End()
	stop()
	if n := len(got.ResourceSpans); n != 1 || got.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "service" || !strings.Contains(got.ResourceSpans[0].Resource.String(), "build-1") {
		t.Errorf("the collector got %v", &got)
	}
	if logs.Len() > 0 {
		t.Error(logs.All())
	}
	server.Close()
	provider, stop, err = openTraces(t.Context(), TracesConfig{Endpoint: server.URL + "/v1/traces", Ratio: 1}, "build-1", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	_, span = provider.Tracer("test").Start(context.Background(), "service")
	span.End()
	stop()
	if logs.Len() == 0 {
		t.Error("nobody is told that spans are lost")
	}
}

func TestTracesAreSentInClearTextToLoopbackOnly(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  TracesConfig
		says string
	}{
		{"no collector", TracesConfig{Ratio: 1}, ""},
		{"one over https", TracesConfig{Endpoint: "https://c.example.org/v1/traces"}, ""},
		{"one on loopback", TracesConfig{Endpoint: "http://127.0.0.1:4318/v1/traces"}, ""},
		{"one in clear text elsewhere", TracesConfig{Endpoint: "http://c.example.org/v1/traces"}, "not https"},
		{"no URL", TracesConfig{Endpoint: "collector:4318"}, "hint"},
		{"more than all calls", TracesConfig{Ratio: 2}, "ratio"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.cfg.validate()
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Error(err)
			}
		})
	}
}
