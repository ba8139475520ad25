// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
)

func TestAnErrorSaysWithWhatItIsAnswered(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"no error is an answer", nil, http.StatusOK},
		{"nobody known asks", ErrUnauthenticated, http.StatusUnauthorized},
		{"somebody has guessed too often", ErrTooMany, http.StatusTooManyRequests},
		{"a role may not", ErrForbidden, http.StatusForbidden},
		{"a reason is missing", ErrReason, http.StatusForbidden},
		{"there is no such entry", audit.ErrNotFound, http.StatusNotFound},
		{"the question cannot be asked", audit.ErrInvalid, http.StatusBadRequest},
		{"the checkpoint is none", audit.ErrCheckpoint, http.StatusBadRequest},
		{"the log was rolled back", audit.ErrRolledBack, http.StatusConflict},
		{"the key of a body is not here", audit.ErrSealed, http.StatusConflict},
		{"anything else is a fault of ours", errors.New("disk"), http.StatusInternalServerError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := StatusOf(tt.err); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
			if tt.err != nil && StatusOf(fmt.Errorf("asked: %w", tt.err)) != tt.want {
				t.Error("wrapped, it is answered otherwise")
			}
		})
	}
}
