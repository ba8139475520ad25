// SPDX-License-Identifier: Apache-2.0

package access

// This file: the record of a reading, appended to the log that was read and
// durable before anything is handed out.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

// KindRead is the kind of entries about readings.
const KindRead = "read"

// ReadingSchema names the form of a reading's body.
const ReadingSchema = "sepsisagent.read/1"

// Reading is who read what.
type Reading struct {
	Reader  Reader
	Via     string // api, console, fhir, export
	Command string // what was called, e.g. "GET /audit/records"
	What    any    // what was asked, as it was understood
	Found   int    // how many entries were handed out
	Patient string // where it was about one patient
	Refers  string // where it was about one entry
	Reason  string // why the glass was broken
	Status  int    // 0: 200; of a reading that was refused: 403, 404
}

// Appender is the log.
type Appender interface {
	Append(ctx context.Context, e audit.Entry) (audit.Appended, error)
}

// Record appends a reading. What cannot be recorded must not be handed out.
func Record(ctx context.Context, log Appender, r Reading) error {
	status := r.Status
	if status == 0 {
		status = http.StatusOK
	}
	body, err := json.Marshal(map[string]any{
		"schema": ReadingSchema, "command": r.Command, "what": r.What, "found": r.Found, "roles": r.Reader.Roles,
		"issuer": r.Reader.Issuer, "token": r.Reader.Token, "reason": r.Reason,
	})
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	ix := audit.Index{
		ID: id.String(), Time: time.Now().UTC(), Kind: KindRead, User: r.Reader.User(), Service: "audit-" + r.Via,
		Patient: r.Patient, Refers: r.Refers, HTTP: status,
	}
	if r.Reason != "" {
		ix.Reasons = []string{"break-glass"}
	}
	// The reader may hang up; that they asked stays.
	_, err = log.Append(context.WithoutCancel(ctx), audit.Entry{Index: ix, Salt: salt, Body: body})
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	return nil
}
