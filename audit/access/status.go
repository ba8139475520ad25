// SPDX-License-Identifier: Apache-2.0

package access

// This file: the one place that says with which HTTP status a question to the log
// is refused.

import (
	"errors"
	"net/http"

	"github.com/sepsisagent/sepsisagent/audit"
)

// StatusOf is the HTTP status that an error of this package or of the log is
// answered with, and 500 for every other: 401 nobody, 403 not this reader or not
// without a reason, 404 no such entry, 429 too many, 400 no question that can be
// answered, 409 the log does not allow it as it is.
func StatusOf(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrUnauthenticated):
		return http.StatusUnauthorized
	case errors.Is(err, ErrTooMany):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrReason):
		return http.StatusForbidden
	case errors.Is(err, audit.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, audit.ErrInvalid), errors.Is(err, audit.ErrCheckpoint):
		return http.StatusBadRequest
	case errors.Is(err, audit.ErrRolledBack), errors.Is(err, audit.ErrSealed):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}
