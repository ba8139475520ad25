// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestSpansSayWhereTheTimeWentAndNothingOfThePatient(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	c := open(t, func(d *Deps, _ *trust.Client) { d.Traces = provider })
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	body := c.body(fixtures().patients[physiology.SepticShock])
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := c.post(servicePath, raw, func(req *http.Request) {
		req.Header.Set("Traceparent", "00-"+parent+"-00f067aa0ba902b7-01")
	})
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	refused := c.view(physiology.SepticShock, func(b map[string]any) { delete(b, "hook") })
	if refused.status != http.StatusBadRequest {
		t.Fatal(refused.status)
	}
	stages, all := map[string]bool{}, ""
	for _, s := range spans.GetSpans() {
		if s.SpanContext.TraceID().String() == parent {
			stages[s.Name] = true
		}
		all += fmt.Sprint(s.Name, s.Attributes, s.Events, s.Status, "\n")
	}
	for _, want := range []string{"service", "authenticate", "decode", "gather", "timeline", "prior", "decide", "render", "record"} {
		if !stages[want] {
			t.Errorf("no span of %s below the caller's", want)
		}
	}
	for _, want := range []string{body["hookInstance"].(string), "suggest", "bad-request", "sepsis-treatment"} {
		if !strings.Contains(all, want) {
			t.Errorf("no span says %q", want)
		}
	}
	for _, secret := range []string{fixtures().patients[physiology.SepticShock].id, "dr-1", "eyJ", "/evidence/"} {
		if strings.Contains(all, secret) {
			t.Errorf("a span holds %q", secret)
		}
	}
}
