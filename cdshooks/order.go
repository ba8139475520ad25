// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what order-select and order-sign add to a call: their context, and
// the drafted orders as the case of a decision. Where none of the orders that
// are asked about can be a vasopressor or a fluid, no chart is read: nobody's
// data are needed to say nothing about paracetamol.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// reasonNothingToCheck is Record.Reason of an order call without an order of
// concern.
const reasonNothingToCheck = "nothing-to-check"

// maxSelections bounds the selections of one call.
const maxSelections = 1000

// selectionForm is Type/id. The ids of drafts are the client's own and exceed
// every limit of FHIR.
var selectionForm = regexp.MustCompile(`^[A-Za-z]{1,64}/[^\s/]+$`)

// decodeOrders reads the members that the order hooks add to a context.
func (c *Context) decodeOrders(o object) error {
	if o.has("draftOrders") {
		if _, err := members(o["draftOrders"]); err != nil {
			return fmt.Errorf("%w: draftOrders is not an object", ErrBadRequest)
		}
		c.DraftOrders = o["draftOrders"]
	}
	list, err := o.list("selections")
	if err != nil {
		return err
	}
	if len(list) > maxSelections {
		return fmt.Errorf("%w: selections has more than %d items", ErrBadRequest, maxSelections)
	}
	for _, raw := range list {
		var s string
		if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
			return fmt.Errorf("%w: selections holds something that is not a string", ErrBadRequest)
		}
		c.Selections = append(c.Selections, s)
	}
	return nil
}

// validateOrders checks the context of an order hook. Its errors name members,
// never values.
func (c Context) validateOrders(hook string) error {
	if len(c.DraftOrders) == 0 {
		return explain(ErrBadRequest, "context.draftOrders is missing.")
	}
	if hook != HookOrderSelect {
		return nil
	}
	if len(c.Selections) == 0 {
		return explain(ErrBadRequest, "context.selections is missing or empty.")
	}
	for _, s := range c.Selections {
		if len(s) > 4*maxID || !selectionForm.MatchString(s) {
			return explain(ErrBadRequest, "context.selections holds something that is not Type/id.")
		}
	}
	return nil
}

// ordering takes the drafted orders of a call apart; nil for patient-view.
func (s *Service) ordering(ctx context.Context, c *call, req *Request) (*engine.Ordering, error) {
	if !isOrderHook(req.Hook) {
		return nil, nil
	}
	defer s.timed(ctx, "orders")()
	client := c.caller.Client
	q := fhir.DraftsFor{PatientID: req.Context.PatientID, Base: client.FHIRServer,
		Patient: renamed(req.Prefetch, client.Quirks.PrefetchKeys)[fhir.KeyPatient]}
	read, err := s.Charts.ReadDrafts(req.Context.DraftOrders, q)
	if err == nil && len(read.Wanted) > 0 {
		medications, notAsked := s.medications(ctx, c, req, read.Wanted)
		if notAsked != nil {
			return nil, notAsked
		}
		q.Medications = medications
		read, err = s.Charts.ReadDrafts(req.Context.DraftOrders, q)
	}
	switch {
	case errors.Is(err, fhir.ErrWrongPatient):
		return nil, fmt.Errorf("%w: %w", ErrWrongPatient, err)
	case err != nil:
		return nil, explain(fmt.Errorf("%w: %w", ErrBadRequest, err), "context.draftOrders is not a Bundle of orders that can be read, or holds far too many.")
	}
	o := &engine.Ordering{Hook: req.Hook, Records: read.Records, Others: read.Others, Drafts: s.Charts.Drafts(read.Records)}
	if req.Hook == HookOrderSelect {
		o.Selections = req.Context.Selections
		if !slices.ContainsFunc(o.Selections, func(id string) bool { return slices.Contains(read.Entries, id) }) {
			return nil, explain(ErrBadRequest, "context.selections names no entry of context.draftOrders.")
		}
	}
	return o, nil
}

// medications reads, from the client's server, the medications that orders name
// and do not bring. It may take a quarter of what the chart may; the rest is
// left to the chart.
func (s *Service) medications(ctx context.Context, c *call, req *Request, ids []string) ([]json.RawMessage, error) {
	q := ChartQuery{PatientID: req.Context.PatientID, At: c.at, Budget: s.Config.fhirBudget() / 4}
	if err := s.authorize(c, req, &q); err != nil {
		return nil, err
	}
	started := time.Now()
	defer func() { c.asked = time.Since(started) }()
	return s.Charts.Medications(ctx, q, ids), nil
}

// concerns reports whether there is anything to judge.
func concerns(o *engine.Ordering) bool {
	return slices.ContainsFunc(o.Drafts, func(d state.Draft) bool {
		selected := len(o.Selections) == 0 || slices.Contains(o.Selections, d.ID)
		return selected && (d.Skip == "" || d.Unread)
	})
}

// nothingToCheck answers a call without an order of concern. The orders are on
// its record, with why each was passed over to be had from them.
func (s *Service) nothingToCheck(c *call, o *engine.Ordering) (answer, error) {
	response := Response{Cards: []Card{}}
	sent, err := response.Encode()
	if err != nil {
		return answer{}, err
	}
	c.record.Reason, c.record.Ordering, c.record.Response = reasonNothingToCheck, o, sent
	return answer{response: &response}, nil
}
