// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the FHIR servers of the registered clients. Each is kept for the
// life of the service, so that calls share connections and what is known of
// the server's health; tokens and patients are per call.

import (
	"fmt"
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// fhirServer is the FHIR server registered for a client.
func (s *Service) fhirServer(c *trust.Client) (*fhir.Server, error) {
	s.fhirMu.Lock()
	defer s.fhirMu.Unlock()
	if known := s.fhirServers[c.Name]; known != nil {
		return known, nil
	}
	// A request that hangs leaves a quarter of the budget for its repeat.
	budget := s.Config.fhirBudget()
	server, err := fhir.NewServer(fhir.ServerOptions{Base: c.FHIRServer, HTTP: c.HTTPClient(budget), Timeout: budget * 3 / 4,
		Changed: func(breaker string) {
			s.Logger.Warn("FHIR server", zap.String("client", c.Name), zap.String("breaker", breaker))
		}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	s.fhirServers[c.Name] = server
	return server, nil
}

// Close drops idle connections to FHIR servers. Calls under way go on.
func (s *Service) Close() {
	s.watch.close()
	s.launch.Close()
	s.fhirMu.Lock()
	defer s.fhirMu.Unlock()
	for _, f := range s.fhirServers {
		f.CloseIdleConnections()
	}
}

// FHIRStatus is how the FHIR server of each client fares, by client name; of
// those that have been asked since start.
func (s *Service) FHIRStatus() map[string]fhir.ServerStatus {
	s.fhirMu.Lock()
	servers := maps.Clone(s.fhirServers)
	s.fhirMu.Unlock()
	out := make(map[string]fhir.ServerStatus, len(servers))
	for name, f := range servers {
		out[name] = f.Status()
	}
	return out
}

// fhirHealth exposes FHIRStatus as metrics.
type fhirHealth struct {
	status func() map[string]fhir.ServerStatus
}

var (
	fhirBreaker  = prometheus.NewDesc("sepsisagent_fhir_breaker_open", "Whether a client's FHIR server is left alone after repeated failures: 1 open, 0.5 being tried, 0 no.", []string{"client"}, nil)
	fhirUnderWay = prometheus.NewDesc("sepsisagent_fhir_requests_in_flight", "Requests to a client's FHIR server under way.", []string{"client"}, nil)
	fhirRequests = prometheus.NewDesc("sepsisagent_fhir_requests_total", "Requests to a client's FHIR server by what became of them: sent, of these repeated, of these failed for the server's fault, and not sent because it was left alone.", []string{"client", "kind"}, nil)
)

// Describe names the metrics.
func (h fhirHealth) Describe(to chan<- *prometheus.Desc) {
	to <- fhirBreaker
	to <- fhirUnderWay
	to <- fhirRequests
}

// Collect reads them.
func (h fhirHealth) Collect(to chan<- prometheus.Metric) {
	for client, st := range h.status() {
		open := map[string]float64{fhir.BreakerOpen: 1, fhir.BreakerHalfOpen: 0.5}[st.Breaker]
		to <- prometheus.MustNewConstMetric(fhirBreaker, prometheus.GaugeValue, open, client)
		to <- prometheus.MustNewConstMetric(fhirUnderWay, prometheus.GaugeValue, float64(st.UnderWay), client)
		for kind, n := range map[string]int64{"sent": st.Requests, "repeated": st.Repeats, "failed": st.Failures, "withheld": st.Refused} {
			to <- prometheus.MustNewConstMetric(fhirRequests, prometheus.CounterValue, float64(n), client, kind)
		}
	}
}
