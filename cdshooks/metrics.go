// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: metrics. Labels hold registered names and fixed words only: never
// a patient, a user, or anything else from a request.

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type metrics struct {
	registry   *prometheus.Registry
	calls      *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	stage      *prometheus.HistogramVec
	decisions  *prometheus.CounterVec
	suppressed *prometheus.CounterVec
	feedback   *prometheus.CounterVec
	ownAccess  *prometheus.CounterVec
	unrecorded prometheus.Counter
	inFlight   prometheus.Gauge
}

// latencyBuckets follow the budget: 20 ms typical, 500 ms by the contract,
// seconds where an EHR gives up.
var latencyBuckets = []float64{.005, .01, .02, .03, .045, .06, .1, .2, .35, .5, 1, 2, 4, 8}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_calls_total", Help: "Hook and feedback calls by client, status and reason of refusal or failure.",
		}, []string{"client", "endpoint", "status", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sepsisagent_call_seconds", Help: "Time from the first byte to the answer, receipt durable, in seconds.", Buckets: latencyBuckets,
		}, []string{"endpoint"}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sepsisagent_stage_seconds", Help: "Time of one stage of a hook call, in seconds.", Buckets: latencyBuckets,
		}, []string{"stage"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_decisions_total", Help: "Decisions by status, display mode and whether a card was returned.",
		}, []string{"status", "display", "shown"}),
		suppressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_suppressed_total", Help: "Cards that were suppressed as repeats, by topic.",
		}, []string{"topic"}),
		feedback: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_feedback_total", Help: "Feedback by outcome, and whether its card is known.",
		}, []string{"outcome", "known"}),
		ownAccess: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_own_access_total", Help: "Times a FHIR server was to be read by our own right, by client and whether a token could be had.",
		}, []string{"client", "result"}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sepsisagent_unrecorded_total", Help: "Calls answered with an error because their receipt could not be stored.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sepsisagent_calls_in_flight", Help: "Hook calls being worked on.",
		}),
	}
	m.registry.MustRegister(m.calls, m.seconds, m.stage, m.decisions, m.suppressed, m.feedback, m.ownAccess, m.unrecorded, m.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *metrics) call(client, endpoint string, status int, reason string, took time.Duration) {
	m.calls.WithLabelValues(client, endpoint, strconv.Itoa(status), reason).Inc()
	m.seconds.WithLabelValues(endpoint).Observe(took.Seconds())
}

// timed measures one stage: defer s.metrics.timed("decide")().
func (m *metrics) timed(stage string) func() {
	start := time.Now()
	return func() { m.stage.WithLabelValues(stage).Observe(time.Since(start).Seconds()) }
}
