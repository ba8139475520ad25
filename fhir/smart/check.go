// SPDX-License-Identifier: Apache-2.0

package smart

// This file: trying a registration out, for an operator.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Report is what an EHR answered to a trial.
type Report struct {
	TokenURL  string
	Key       string // id of the key that signed
	Algorithm string
	Scope     string // as granted
	Life      time.Duration
}

// String is one line for a terminal.
func (r Report) String() string {
	return fmt.Sprintf("token endpoint %s takes key %s (%s), grants %s for %s", r.TokenURL, r.Key, r.Algorithm, r.Scope, r.Life)
}

// Check discovers the token endpoint and fetches a token, without using one
// that is kept. On an error the report is filled as far as it is known; where
// the EHR gave a sentence of its own, the error has it.
func (s *Source) Check(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	where, err := s.endpoint(ctx)
	if err != nil {
		return Report{}, err
	}
	r := Report{TokenURL: where.TokenURL}
	key, err := s.ring.signer(s.cfg.Algorithm, where.Algorithms)
	if err != nil {
		return r, err
	}
	r.Key, r.Algorithm = key.ID, key.Algorithm
	got, err := s.obtain(ctx)
	var refused *TokenError
	if errors.As(err, &refused) && refused.Description != "" {
		err = fmt.Errorf("%w: the EHR says %q", err, refused.Description)
	}
	if err != nil {
		return r, err
	}
	r.Scope, r.Life = strings.Join(strings.Fields(got.scope), " "), got.expires.Sub(got.obtained)
	return r, nil
}
