// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the display mode of a call, and why it is lower than the configured
// one (design.md 5.11). It is looked up on every call, so that a kill switch or
// an expired validation acts at once; each choice is in the call's receipt and
// counted.

import (
	"errors"
	"fmt"
	"os"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// Codes of a DisplayChoice that is not the configured one.
const (
	LoweredKilled       = "kill-switch"
	LoweredRole         = "role"
	LoweredNotValidated = "not-validated"
)

// display is the mode in force: the configured one, unless the kill switch, the
// user's role or a missing local validation lowers it.
func (s *Service) display(client *trust.Client, unit, role string) DisplayChoice {
	configured := client.DisplayFor(unit)
	lowered := func(mode, code, why string) DisplayChoice {
		return DisplayChoice{Mode: mode, Configured: configured, Code: code, Why: why}
	}
	switch {
	case configured == trust.DisplaySilent:
	case s.killed():
		return lowered(trust.DisplaySilent, LoweredKilled, "kill switch")
	case role != "Practitioner" && role != "PractitionerRole":
		return lowered(trust.DisplaySilent, LoweredRole, "the user is not a practitioner")
	case configured == trust.DisplaySuggest:
		if err := s.validated(); err != nil {
			return lowered(trust.DisplayInform, LoweredNotValidated, err.Error())
		}
	}
	return DisplayChoice{Mode: configured, Configured: configured}
}

// errNotValidated: nobody has looked whether the model holds here.
var errNotValidated = errors.New("no local validation of this model is on record")

// validated reports why display mode suggest is not allowed now, if it is not.
func (s *Service) validated() error {
	if s.Validated == nil {
		return errNotValidated
	}
	if err := s.Validated(s.Model.Hash, s.Now()); err != nil {
		return fmt.Errorf("local validation: %w", err)
	}
	return nil
}

// Lowered says, one line per client and unit, where the configured display mode
// is suggest and inform is what will be shown, because this model has no valid
// local validation on record. It is empty when every mode is as configured.
func (s *Service) Lowered() []string {
	err := s.validated()
	if err == nil {
		return nil
	}
	var out []string
	for _, c := range s.Trust.Clients() {
		if c.Display == trust.DisplaySuggest {
			out = append(out, fmt.Sprintf("client %s: display suggest works as inform: %v", c.Name, err))
		}
		for _, unit := range sortedKeys(c.DisplayByUnit) {
			if c.DisplayByUnit[unit] == trust.DisplaySuggest {
				out = append(out, fmt.Sprintf("client %s, unit %q: display suggest works as inform: %v", c.Name, unit, err))
			}
		}
	}
	return out
}

// killed looks for the kill switch. A file that cannot be looked for counts as
// being there.
func (s *Service) killed() bool {
	if s.Config.KillSwitchFile == "" {
		return false
	}
	_, err := os.Stat(s.Config.KillSwitchFile)
	return !errors.Is(err, os.ErrNotExist)
}
