// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit show`, the flags by which `audit replay` selects, and the
// record of who read what at the command line, made before anything is printed.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// recordReading appends who read what. The reader of the command line is the
// operating system's user.
func recordReading(ctx context.Context, l *sqllog.Log, command, refers string, what any) error {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	patient, err := patientIn(what)
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	err = appendOwn(ctx, l, audit.Index{Kind: "read", User: "os/" + name, Service: "cli", Patient: patient, Refers: refers},
		map[string]any{"schema": "sepsisagent.read/1", "command": command, "what": what})
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	return nil
}

// patientIn is the patient that a question names, so that the record of it is found
// under the patient, and erased with the others.
func patientIn(what any) (string, error) {
	data, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	var asked any
	if err := json.Unmarshal(data, &asked); err != nil {
		return "", err
	}
	fields, _ := asked.(map[string]any)
	for _, part := range []any{asked, fields["filter"], fields["question"]} {
		if named, ok := part.(map[string]any); ok {
			if patient, _ := named["patient"].(string); patient != "" {
				return patient, nil
			}
		}
	}
	return "", nil
}

// appendOwn appends an entry of this program itself, with a fresh id, time and
// salt.
func appendOwn(ctx context.Context, l cdshooks.Log, ix audit.Index, content any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if ix.ID, err = newID(); err != nil {
		return err
	}
	ix.Time = time.Now().UTC()
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	_, err = l.Append(ctx, audit.Entry{Index: ix, Salt: salt, Body: body})
	return err
}

// instant reads an RFC 3339 time or a date (midnight UTC); empty is zero.
func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, misuse("--%s is not a time: %q (hint: 2026-11-22T09:10:00Z or 2026-11-22)", flag, text)
}

// shown is one record as `audit show` prints it.
type shown struct {
	audit.Row
	Salt  []byte          `json:"salt"`
	Body  json.RawMessage `json:"body"`
	Proof audit.Inclusion `json:"proof"`
}

func auditShow() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one record with its checked proof of inclusion",
		Long: "Show one record: its fields, what was stored, and the proof that it is in the signed tree, checked here.\n" +
			"The reading is itself recorded in the log.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("%s needs one record id", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			l, err := openAudit(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer l.Close()
			if err := recordReading(cmd.Context(), l, "audit show", args[0], args[0]); err != nil {
				return err
			}
			record, err := l.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			proof, err := l.ProveInclusion(cmd.Context(), record.Leaf)
			if err != nil {
				return err
			}
			head, err := proof.Check(l.Verifier())
			if err != nil {
				return err
			}
			body, err := readableBody(record.Body)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), shown{Row: record.Row, Salt: record.Salt, Body: body, Proof: proof})
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "record %d of %d, proof of inclusion checked against root %s\n", record.Leaf, head.Size, head.Root)
			if err := printJSON(out, record.Index); err != nil {
				return err
			}
			return printJSON(out, body)
		},
	}
	f.register(cmd)
	return cmd
}

// readableBody gives a stored body as JSON: a call's record unpacked, JSON as it
// is, anything else as base64.
func readableBody(body []byte) (json.RawMessage, error) {
	if record, err := cdshooks.DecodeRecord(body); err == nil {
		return json.Marshal(record)
	}
	if json.Valid(body) {
		return body, nil
	}
	return json.Marshal(body)
}
