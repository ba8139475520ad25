// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what an operator is told of the display: at start and by `serve
// --check`, at /readyz, and as metrics. Names of clients and units are those of
// the configuration.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sepsisagent/sepsisagent/cdshooks/drift"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
)

// drifts are the places with what is known of them, in order of their names.
func (s *Service) drifts() []placeReport {
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	out := make([]placeReport, 0, len(st.places))
	for at, w := range st.places {
		out = append(out, placeReport{at, w.drifted, w.detector.Summary()})
	}
	slices.SortFunc(out, func(a, b placeReport) int {
		return cmp.Or(strings.Compare(a.client, b.client), strings.Compare(a.unit, b.unit))
	})
	return out
}

type placeReport struct {
	place
	drifted time.Time
	drift.Summary
}

func (p place) String() string {
	if p.unit == "" {
		return "client " + p.client
	}
	return fmt.Sprintf("client %s, unit %q", p.client, p.unit)
}

// Lowered says, one line each, why less is shown than is configured: the kill
// switch, drift, and for every client and unit whose mode is suggest the missing
// local validation. It is empty when every mode is as configured.
func (s *Service) Lowered() []string {
	var out []string
	switch {
	case s.switchThrown():
		out = append(out, "the kill switch is thrown: every display is silent")
	case s.killedElsewhere():
		out = append(out, "the kill switch is thrown at another replica: every display is silent")
	}
	for _, p := range s.drifts() {
		if !p.drifted.IsZero() {
			out = append(out, fmt.Sprintf("%s: forecasts no longer hold since %s: display is silent", p.place, p.drifted.UTC().Format(time.RFC3339)))
		}
	}
	whole := s.Validated(s.Now())
	for _, c := range s.Trust.Clients() {
		units := sortedKeys(c.DisplayByUnit)
		if _, own := c.DisplayByUnit[""]; !own {
			units = append([]string{""}, units...)
		}
		for _, unit := range units {
			if c.DisplayFor(unit) != trust.DisplaySuggest {
				continue
			}
			standing := whole.At(c.Name, unit)
			switch {
			case standing.InForce():
			case standing.Code == validation.WrongUnit && unit == "":
				out = append(out, fmt.Sprintf("%s: display suggest works as inform outside the units that the local validation covers: %s", place{c.Name, unit}, strings.Join(standing.Record.Units, ", ")))
			default:
				out = append(out, fmt.Sprintf("%s: display suggest works as inform: %s", place{c.Name, unit}, standing.Why))
			}
		}
	}
	return out
}

// Validation says how things stand with the local validation, wherever it holds.
func (s *Service) Validation() validation.Standing { return s.Validated(s.Now()) }

// displayReport is what /readyz says of the display. It holds nothing of a
// patient.
func (s *Service) displayReport() string {
	var b strings.Builder
	for _, line := range s.Lowered() {
		fmt.Fprintf(&b, "display: %s\n", line)
	}
	return b.String()
}

// displayHealth exposes the display as metrics.
type displayHealth struct{ of *Service }

var (
	displaySilenced  = prometheus.NewDesc("sepsisagent_display_silenced", "Whether forecasts no longer hold at a client's unit, so that its display is silent: 1 yes.", []string{"client", "unit"}, nil)
	displayEvidence  = prometheus.NewDesc("sepsisagent_drift_evidence", "Evidence that forecasts no longer hold; at cdshooks.drift.false_alarm it is drift.", []string{"client", "unit"}, nil)
	displayInside    = prometheus.NewDesc("sepsisagent_drift_interval80_inside", "Share of the newest comparisons, at most 200, whose pressure lay in the 80 % interval.", []string{"client", "unit"}, nil)
	displayKilled    = prometheus.NewDesc("sepsisagent_display_killed", "Whether the kill switch is thrown: 1 yes.", nil, nil)
	displayValidated = prometheus.NewDesc("sepsisagent_validation_in_force", "Whether a local validation is in force: 1 yes.", nil, nil)
)

// Describe names the metrics.
func (h displayHealth) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{displaySilenced, displayEvidence, displayInside, displayKilled, displayValidated} {
		to <- d
	}
}

// Collect reads them.
func (h displayHealth) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, p := range h.of.drifts() {
		gauge(displaySilenced, yes(!p.drifted.IsZero()), p.client, p.unit)
		gauge(displayEvidence, p.Evidence, p.client, p.unit)
		if p.Recent > 0 {
			gauge(displayInside, p.Inside, p.client, p.unit)
		}
	}
	gauge(displayKilled, yes(h.of.switchThrown() || h.of.killedElsewhere()))
	gauge(displayValidated, yes(h.of.Validated(h.of.Now()).InForce()))
}
