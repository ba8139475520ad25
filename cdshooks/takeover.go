// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: one service in place of another in a running process, after the
// configuration was read again. What is counted goes on being counted, what is
// bounded stays bounded by one bound, and what the log says about the display
// is read from the log, as after a restart.

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// adopt takes over from old what does not depend on the configuration, and what
// does where it has not changed.
func (s *Service) adopt(old *Service) {
	s.metrics, s.drains = old.metrics, old.drains
	if s.Config.MaxConcurrent == old.Config.MaxConcurrent {
		s.slots = old.slots
	}
	if s.Config.maxBytesInFlight() == old.Config.maxBytesInFlight() {
		s.bytes = old.bytes
	}
	s.Predecessor = nil
}

// exposeHealth makes the metrics speak of the FHIR servers and the display of
// this service.
func (s *Service) exposeHealth() {
	for _, h := range []prometheus.Collector{fhirHealth{s.FHIRStatus}, displayHealth{s}} {
		s.metrics.registry.Unregister(h) // of the predecessor: the same names
		s.metrics.registry.MustRegister(h)
	}
}

// TakeOver is Start for a service with a predecessor, which stops watching
// first, so that nothing it records comes after this one has read the log. The
// caller then sends calls here, and closes old when those under way there have
// ended. After an error old watches as before, and goes on.
func (s *Service) TakeOver(ctx context.Context, old *Service) error {
	old.watch.close()
	if err := s.Start(ctx); err != nil {
		old.watchOn(ctx)
		return err
	}
	s.exposeHealth()
	return nil
}
