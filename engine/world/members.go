// SPDX-License-Identifier: Apache-2.0

package world

// This file: a model of some members alone, for those who train a policy on one
// part of the ensemble and score it on another.

import (
	"errors"
	"fmt"
	"slices"
)

// ErrMembers: a model was asked for members that it does not have.
var ErrMembers = errors.New("no such members of the ensemble")

// Only is the model with those of its members alone, numbered from 0; what is
// not a member (calibration, support, the chance of death) is shared. Info still
// names the whole model's weights. The error wraps ErrMembers where a number is
// out of range or given twice, or none is given.
func (m *Model) Only(members ...int) (*Model, error) {
	part := &Model{info: m.info, file: m.file, net: m.net, atlas: m.atlas, ridge: m.ridge, reference: m.reference, death: m.death}
	for i, k := range members {
		if k < 0 || k >= len(m.members) || slices.Contains(members[:i], k) {
			return nil, fmt.Errorf("%w: %d of %v; there are %d", ErrMembers, k, members, len(m.members))
		}
		part.members = append(part.members, m.members[k])
	}
	if len(part.members) == 0 {
		return nil, fmt.Errorf("%w: none is asked for", ErrMembers)
	}
	part.info.Members = len(part.members)
	return part, nil
}
