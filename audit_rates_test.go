// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

func TestRatesAreReadFromTheLogAndTheReadingIsRecorded(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3) // entries of other kinds count for nothing
	var said struct{ Rates []cdshooks.Rate }
	sepsisagent(t, "audit", "rates", "--db", h.db, "--key", h.key, "--json").want(exitOK).object(&said)
	if said.Rates == nil || len(said.Rates) != 0 {
		t.Errorf("%+v", said)
	}
	sepsisagent(t, "audit", "rates", "--db", h.db, "--key", h.key).want(exitOK).prints("OVERRIDDEN")
	sepsisagent(t, "audit", "rates", "--db", h.db, "--key", h.key, "--since", "yesterday").want(exitMisuse).says("--since")
	var page struct{ Entries []audit.Row }
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", h.key, "--kind", "read", "--json").want(exitOK).object(&page)
	if len(page.Entries) != 2 {
		t.Errorf("%d readings are recorded before this one, want two", len(page.Entries))
	}
}
