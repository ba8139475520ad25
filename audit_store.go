// SPDX-License-Identifier: Apache-2.0

package main

// This file: which store the audit log is in. The configuration decides, here
// and nowhere else; whoever uses the log does not see the difference.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/postgres"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/configs"
)

// inPostgres says that the log is in PostgreSQL, and not in the file Path.
func (a AuditConfig) inPostgres() bool { return a.PostgresURL != "" || a.PostgresURLFile != "" }

// validate reports the first value that cannot be right. The file with the
// address is read only where the log is opened: not every command needs it.
func (a AuditConfig) validate() error {
	switch {
	case a.PostgresURL != "" && a.PostgresURLFile != "":
		return errors.New("audit.postgres_url and audit.postgres_url_file are both set (hint: keep one)")
	case a.PostgresURL != "" && postgres.HasPassword(a.PostgresURL):
		return errors.New("audit.postgres_url: it holds a password (hint: put the address into a file of mode 0600 and name that in audit.postgres_url_file)")
	case a.PostgresURL != "":
		if err := postgres.CheckURL(a.PostgresURL); err != nil {
			return fmt.Errorf("audit.postgres_url: %w", err)
		}
	case a.Path == "" && !a.inPostgres():
		return errors.New("audit.path: empty (hint: there is no serving without receipts)")
	}
	switch {
	case a.KeyFile == "":
		return errors.New("audit.key_file: empty (hint: checkpoints are always signed)")
	case a.SeenFile != "" && a.SeenFile == a.Path:
		return errors.New("audit.seen_file: is the log itself")
	case a.Origin == "":
		return errors.New("audit.origin: empty")
	}
	if err := a.Access.Validate(); err != nil {
		return fmt.Errorf("audit.access: %w", err)
	}
	return a.validateKeeping()
}

// address is where in PostgreSQL the log is.
func (a AuditConfig) address() (string, error) {
	if a.PostgresURLFile == "" {
		return a.PostgresURL, nil
	}
	data, err := configs.ReadSecret(a.PostgresURLFile)
	if err != nil {
		return "", fmt.Errorf("audit.postgres_url_file: %w", err)
	}
	address := strings.TrimSpace(string(data))
	if err := postgres.CheckURL(address); err != nil {
		return "", fmt.Errorf("audit.postgres_url_file: %w", err)
	}
	return address, nil
}

// where names the log for people. It holds no secret.
func (a AuditConfig) where() string {
	switch {
	case a.PostgresURLFile != "":
		return "PostgreSQL, as " + a.PostgresURLFile + " says"
	case a.PostgresURL != "":
		return a.PostgresURL
	}
	return a.Path
}

// create makes the log.
func (a AuditConfig) create(ctx context.Context, key *audit.Key) error {
	if !a.inPostgres() {
		return sqlite.Create(ctx, a.Path, sqllog.Options{Key: key})
	}
	address, err := a.address()
	if err != nil {
		return err
	}
	return postgres.Create(ctx, address, sqllog.Options{Key: key})
}

// open opens the log for appending: reading it is logged in it. Others who have it
// locked are waited for as long as wait says; 0: sqllog.DefaultBusy.
func (a AuditConfig) open(ctx context.Context, key *audit.Key, wait time.Duration) (*sqllog.Log, error) {
	opts, err := a.keeping(ctx, sqllog.Options{Key: key, Seen: a.SeenFile, Busy: wait})
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, opts)
}

// openReading opens the log for reading only. v may be nil.
func (a AuditConfig) openReading(ctx context.Context, v *audit.Verifier) (*sqllog.Log, error) {
	opts, err := a.keeping(ctx, sqllog.Options{Verifier: v})
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, opts)
}

func (a AuditConfig) openWith(ctx context.Context, opts sqllog.Options) (*sqllog.Log, error) {
	if !a.inPostgres() {
		return sqlite.Open(ctx, a.Path, opts)
	}
	address, err := a.address()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, address, opts)
}

// verify checks every record of the log. v may be nil; so may kept.
func (a AuditConfig) verify(ctx context.Context, v *audit.Verifier, kept []byte) (audit.Report, error) {
	opts, err := a.keeping(ctx, sqllog.Options{Verifier: v})
	if err != nil {
		return audit.Report{}, err
	}
	if !a.inPostgres() {
		return sqlite.VerifyFile(ctx, a.Path, opts, kept)
	}
	address, err := a.address()
	if err != nil {
		return audit.Report{}, err
	}
	return postgres.Verify(ctx, address, opts, kept)
}

// rotate replaces the log's signing key.
func (a AuditConfig) rotate(ctx context.Context, key, fresh *audit.Key, why audit.Why) error {
	opts, err := a.keeping(ctx, sqllog.Options{Key: key, Seen: a.SeenFile})
	if err != nil {
		return err
	}
	if !a.inPostgres() {
		return sqlite.Rotate(ctx, a.Path, opts, fresh, why)
	}
	address, err := a.address()
	if err != nil {
		return err
	}
	return postgres.Rotate(ctx, address, opts, fresh, why)
}

// migrate brings the log's tables to this build's version.
func (a AuditConfig) migrate(ctx context.Context) (from, to int64, err error) {
	if !a.inPostgres() {
		return sqlite.Migrate(ctx, a.Path)
	}
	address, err := a.address()
	if err != nil {
		return 0, 0, err
	}
	return postgres.Migrate(ctx, address)
}

func auditMigrate() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the tables of a log to the version of this build", Args: noArgs,
		Long: "Bring the tables of a log that an older build made to the version of this one. Records, tree and\n" +
			"checkpoints stay as they are. Back the log up first, and verify it after. Where the log is in\n" +
			"PostgreSQL, the account needs the right to make tables, which serving does not.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			from, to, err := a.migrate(cmd.Context())
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), map[string]int64{"from": from, "to": to})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "tables of version %d, were %d\n", to, from)
			return err
		},
	}
	f.register(cmd)
	return cmd
}
