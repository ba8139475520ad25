// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: one feedback call. Each item becomes an entry of its own, named
// after what it says, so that a batch sent twice is stored once. A card that
// is not known here is kept as an orphan: batches arrive late, and what a
// clinician said is not thrown away.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

func (s *Service) feedback(ctx context.Context, c *call) (answer, error) {
	c.record.Kind = KindBatch
	ctx, body, done, err := s.admit(ctx, c, s.audiences(c.id, "/feedback", "")...)
	if err != nil {
		return answer{}, err
	}
	defer done()
	sum := sha256.Sum256(body)
	c.record.Request.Bytes, c.record.Request.Digest = len(body), hex.EncodeToString(sum[:])
	items, err := DecodeFeedback(body)
	if err != nil {
		return answer{}, err
	}
	for i := range items {
		if err := s.storeFeedback(ctx, c, &items[i]); err != nil {
			return answer{}, fmt.Errorf("%w: feedback %d: %w", ErrNotRecorded, i, err)
		}
	}
	return answer{}, nil
}

// storeFeedback appends one item. One that is already there is success.
func (s *Service) storeFeedback(ctx context.Context, c *call, f *Feedback) error {
	client := c.caller.Client.Name
	owner, err := s.cardOwner(ctx, client, c.service.id, f.Card)
	if err != nil {
		return err
	}
	r := Record{
		Schema: RecordSchema, ID: feedbackID(client, f), Kind: KindFeedback, Status: 200, Request: c.record.Request, Feedback: f,
	}
	ix := r.Index(c.at)
	ix.Outcome, ix.Cards = f.Outcome, []string{f.Card}
	if f.Reason != nil {
		ix.Reasons = []string{f.Reason.Code}
	}
	if owner != nil {
		ix.Refers, ix.HookInstance = owner.ID, owner.HookInstance
		ix.User, ix.Patient, ix.Encounter, ix.Unit = owner.User, owner.Patient, owner.Encounter, owner.Unit
		ix.Topic, ix.Evidence, ix.Model, ix.RulesHash, ix.CodeMaps = owner.Topic, owner.Evidence, owner.Model, owner.RulesHash, owner.CodeMaps
		ix.Drugs, ix.Display = owner.Drugs, owner.Display
	} else {
		ix.Reasons = append(ix.Reasons, "orphan")
	}
	body, err := EncodeRecord(&r)
	if err != nil {
		return err
	}
	_, err = s.appendEntry(ctx, ix, body)
	if errors.Is(err, audit.ErrDuplicate) {
		return nil
	}
	if err == nil {
		s.metrics.feedback.WithLabelValues(f.Outcome, topicLabel(ix.Topic), strconv.FormatBool(owner != nil)).Inc()
	}
	return err
}

// feedbackID names an item after what it says. The time comes first, as in a
// UUID of version 7, whose form it has; the rest is a digest.
func feedbackID(client string, f *Feedback) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "feedback\x00%q%q%q%s%q", client, f.Card, f.Outcome, f.At.Format(time.RFC3339Nano), f.AcceptedSuggestions))
	var id uuid.UUID
	copy(id[:], sum[:16])
	ms := uint64(max(0, f.At.UnixMilli())) // a time never set, year 1 in some clients, is the earliest and not the last
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}
