// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what is remembered of the display between calls, and the receipt
// that every change of it leaves in the log. What is remembered is what was
// recorded: after a restart it is read back from there.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/drift"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
)

// DisplayChangeSchema names the form of a DisplayChange.
const DisplayChangeSchema = "sepsisagent.display/1"

// What can change.
const (
	ChangeKillSwitch = "kill-switch"
	ChangeValidation = "validation"
	ChangeDrift      = "drift"
)

// States of the kill switch and of drift; of a validation there is in-force and
// the codes of package validation.
const (
	stateOn      = "on"
	stateOff     = "off"
	stateInForce = "in-force"
)

func stateOf(on bool) string {
	if on {
		return stateOn
	}
	return stateOff
}

// DisplayChange is the body of an entry of kind display: one change of what may
// be shown. Client and Unit are there for drift; Unit is empty where it is of
// every unit that the client's registration does not name.
type DisplayChange struct {
	Schema   string             `json:"schema"`
	What     string             `json:"what"`
	State    string             `json:"state"`
	Client   string             `json:"client,omitempty"`
	Unit     string             `json:"unit,omitempty"`
	Why      string             `json:"why"`
	Operator string             `json:"operator,omitempty"` // who did it, where that is known
	Note     string             `json:"note,omitempty"`     // what the operator says about it
	Digest   string             `json:"digest,omitempty"`   // SHA-256 of the validation record's file
	Record   *validation.Record `json:"record,omitempty"`
	Evidence *drift.Summary     `json:"evidence,omitempty"`
}

// place is where forecasts are watched: a client's unit that its registration
// names, or (unit empty) all its others together. A unit that an EHR makes up
// opens no new place.
type place struct{ client, unit string }

func placeOf(c *trust.Client, unit string) place {
	if _, named := c.DisplayByUnit[unit]; !named {
		unit = ""
	}
	return place{c.Name, unit}
}

// watched is what is known of one place.
type watched struct {
	detector drift.Detector
	since    time.Time // outcomes before belong to what an operator has ended
	drifted  time.Time // zero: forecasts hold
}

// shownState is what the display was recorded to be. mu guards all of it, and is
// held while a change is appended: each change leaves one receipt.
type shownState struct {
	mu         sync.Mutex
	thrown     bool   // the kill switch here, as last recorded
	killed     bool   // the last word in the log about it, of whichever replica
	validation string // code and digest
	places     map[place]*watched

	heard map[string]int64    // last leaf heard or loaded, by kind
	own   map[string]struct{} // ids of entries that hear passes over: they are ours
}

// newShownState knows every place, and of none any harm.
func newShownState(d Deps) (*shownState, error) {
	st := &shownState{validation: string(validation.NotValidated) + " ", places: map[place]*watched{}, heard: map[string]int64{}, own: map[string]struct{}{}}
	for _, c := range d.Trust.Clients() {
		st.places[place{c.Name, ""}] = &watched{}
		for unit := range c.DisplayByUnit {
			st.places[place{c.Name, unit}] = &watched{}
		}
	}
	for i, r := range d.Config.Drift.Resets {
		if st.places[place{r.Client, r.Unit}] == nil {
			return nil, fmt.Errorf("%w: drift.resets[%d]: client %q has no unit %q of its own (hint: a unit that display_by_unit names, or none for all others)", ErrConfig, i, r.Client, r.Unit)
		}
	}
	return st, nil
}

// changed appends the receipt of a change and says in the log that it happened.
// It reports whether the receipt is durable. st.mu is held.
func (s *Service) changed(ctx context.Context, c DisplayChange) bool {
	c.Schema = DisplayChangeSchema
	fields := []zap.Field{zap.String("what", c.What), zap.String("state", c.State), zap.String("client", c.Client), zap.String("unit", c.Unit), zap.String("operator", c.Operator)}
	id, err := uuid.NewV7()
	if err == nil {
		var body []byte
		if body, err = json.Marshal(c); err == nil {
			s.shown.own[id.String()] = struct{}{}
			_, err = s.appendEntry(ctx, audit.Index{
				ID: id.String(), Time: s.Now().UTC(), Kind: KindDisplay, Client: c.Client, Service: ServiceID, Unit: c.Unit, User: operatorUser(c.Operator),
				Status: c.State, Reasons: []string{c.What}, Evidence: c.Digest,
				Model: s.Hashes.Model, RulesHash: s.Hashes.Rules, CodeMaps: s.Hashes.CodeMaps,
			}, body)
		}
	}
	if err != nil {
		s.metrics.unrecorded.Inc()
		s.Logger.Error("a change of the display could not be recorded", append(fields, zap.Error(err))...)
		return false
	}
	s.Logger.Warn("display changed", append(fields, zap.String("receipt", id.String()))...)
	return true
}

// operatorUser is an operator as the user of an entry: no user of an EHR has
// such a name.
func operatorUser(name string) string {
	if name == "" {
		return ""
	}
	return "operator/" + name
}

// clearDrift ends a drift, once that is recorded.
func (s *Service) clearDrift(ctx context.Context, at place, operator, why string) bool {
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.places[at]
	if w.drifted.IsZero() {
		return true
	}
	sum := w.detector.Summary()
	if !s.changed(ctx, DisplayChange{What: ChangeDrift, State: stateOff, Client: at.client, Unit: at.unit, Why: why, Operator: operator, Evidence: &sum}) {
		return false
	}
	*w = watched{since: s.Now()}
	return true
}

// maxSwitch is how much of a kill switch file is read.
const maxSwitch = 4 << 10

// readSwitch reads who threw the switch and why, where the file says so in lines
// "operator: NAME" and "why: TEXT". An empty file is as good a switch.
func readSwitch(path string) (operator, why string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", ""
	}
	file, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSwitch))
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "operator":
			operator = oneLine(value)
		case "why":
			why = oneLine(value)
		}
	}
	return operator, why
}

// oneLine makes a text that a person typed fit for a receipt.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), ""))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}
