// SPDX-License-Identifier: Apache-2.0

package engine

// This file: the receipt, and that it is enough to build the same timeline
// again.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ReceiptSchema is the version of Receipt's JSON form.
const ReceiptSchema = "sepsisagent.receipt/1"

// ErrReceipt is wrapped when no receipt can be made that would rebuild the
// decision's timeline. Nothing may be answered then.
var ErrReceipt = errors.New("receipt not possible")

// Receipt makes the record of a decided case from the chart that its timeline
// was built from. It keeps only the records that can influence the decision,
// and proves that they are enough: the timeline built again from what is kept
// must have the same digest. Outcomes are removed.
func (d *Decider) Receipt(c Case, chart *state.Chart, o Outcome) (Receipt, error) {
	if err := c.check(); err != nil {
		return Receipt{}, err
	}
	if chart == nil {
		return Receipt{}, fmt.Errorf("%w: no chart", ErrReceipt)
	}
	digest, err := c.Timeline.Digest()
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	kept, err := d.keep(chart, c.Timeline.At, digest)
	if err != nil {
		return Receipt{}, err
	}
	at := c.Timeline.At
	c.Timeline, c.Transcript = nil, o.Transcript
	return Receipt{
		Schema: ReceiptSchema, ID: c.ID, Hashes: d.hashes, Model: d.agent.Model(),
		Person: kept.Person, Stay: withoutOutcome(kept.Stay, at),
		Gaps: kept.Gaps, Tally: chart.Tally, Rejects: chart.Rejects, Records: withoutOutcomes(kept.Records),
		Case: c, At: at, TimelineDigest: digest, Outcome: o,
	}, nil
}

// keep returns the smallest chart that rebuilds the timeline: the trimmed one,
// else all that was known.
func (d *Decider) keep(chart *state.Chart, at time.Time, digest string) (*state.Chart, error) {
	for _, cut := range []func() *state.Chart{
		func() *state.Chart { return chart.Trim(at, d.cfg.State) },
		func() *state.Chart { return chart.Known(at) },
	} {
		kept := cut()
		tl, err := state.Build(kept, at, d.cfg.State)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
		}
		if again, err := tl.Digest(); err == nil && again == digest {
			return kept, nil
		}
	}
	return nil, fmt.Errorf("%w: the chart does not build the timeline that was decided on", ErrReceipt)
}

// withoutOutcome removes what was not known at T: labels for training.
func withoutOutcome(s state.Stay, at time.Time) state.Stay {
	s.DiedInHospital, s.OutcomeKnown, s.DeathTime = false, false, time.Time{}
	s.DiedWithin90d, s.Died90dKnown = false, false
	if s.End.After(at) {
		s.End = time.Time{}
	}
	return s
}

// withoutOutcomes does the same to records, which must be the caller's own.
func withoutOutcomes(records []state.Record) []state.Record {
	for i := range records {
		records[i].Deceased, records[i].Disposition = "", ""
	}
	return records
}

// Canonical returns the receipt's bytes: JSON with fields in declaration order
// and sorted map keys. The same receipt has the same bytes on every run.
func (r *Receipt) Canonical() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
