// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: metrics. Labels hold registered names and fixed words only: never
// a patient, a user, or anything else from a request.

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sepsisagent/sepsisagent/engine"
)

type metrics struct {
	registry   *prometheus.Registry
	calls      *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	stage      *prometheus.HistogramVec
	decisions  *prometheus.CounterVec
	suppressed *prometheus.CounterVec
	lowered    *prometheus.CounterVec
	consulted  *prometheus.CounterVec
	feedback   *prometheus.CounterVec
	ownAccess  *prometheus.CounterVec
	compared   *prometheus.CounterVec
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
			Name: "sepsisagent_suppressed_total", Help: "Cards that were not shown although there was something to say, by reason and topic.",
		}, []string{"reason", "topic"}),
		lowered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_display_lowered_total", Help: "Decisions whose display mode was not the configured one, by both modes and why.",
		}, []string{"configured", "mode", "why"}),
		consulted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_llm_consultations_total", Help: "Decisions that a language model was to make, by outcome and fault. Fault late: the answer was discarded.",
		}, []string{"outcome", "fault"}),
		feedback: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_feedback_total", Help: "Feedback by outcome, topic of the card, and whether the card is known.",
		}, []string{"outcome", "topic", "known"}),
		ownAccess: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_own_access_total", Help: "Times a FHIR server was to be read by our own right, by client and whether a token could be had.",
		}, []string{"client", "result"}),
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sepsisagent_forecasts_compared_total", Help: "Forecasts compared with what came: inside or outside the 80 % interval, or why they were not compared.",
		}, []string{"client", "result"}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sepsisagent_unrecorded_total", Help: "Calls answered with an error because their receipt could not be stored.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sepsisagent_calls_in_flight", Help: "Hook calls being worked on.",
		}),
	}
	m.registry.MustRegister(m.calls, m.seconds, m.stage, m.decisions, m.suppressed, m.lowered, m.consulted, m.feedback, m.ownAccess, m.compared, m.unrecorded, m.inFlight,
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

// decided counts a decision: what it came to, and how it was shown.
func (m *metrics) decided(o *engine.Outcome, d *DisplayChoice, shown bool) {
	m.decisions.WithLabelValues(string(o.Decision.Status), d.Mode, strconv.FormatBool(shown)).Inc()
	if o.Suppressed != "" {
		m.suppressed.WithLabelValues(o.Suppressed, topicLabel(o.Topic)).Inc()
	}
	if d.Mode != d.Configured {
		m.lowered.WithLabelValues(d.Configured, d.Mode, d.Code).Inc()
	}
	if c := o.Decision.Consulted; c != nil {
		m.consulted.WithLabelValues(c.Outcome, faultLabel(c.Fault)).Inc()
	}
}

// topicLabel is one of the known topics.
func topicLabel(topic string) string {
	if _, ok := topics[topic]; ok || topic == engine.TopicOrder {
		return topic
	}
	return "other"
}

// faultLabel is a fault with statuses put together by their hundreds.
func faultLabel(fault string) string {
	status, ok := strings.CutPrefix(fault, "http-")
	switch {
	case !ok:
		return fault
	case len(status) == 3:
		return "http-" + status[:1] + "xx"
	}
	return "http-other"
}
