// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit init` and `audit verify`, and opening the log for the
// other audit commands.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// auditFlags name a log: from the configuration, or by flags that override it.
type auditFlags struct {
	config, db, postgres, key string
	json                      bool
}

func (f *auditFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file")
	cmd.Flags().StringVar(&f.db, "db", "", "SQLite file of the log (default: audit.path of the configuration)")
	cmd.Flags().StringVar(&f.postgres, "postgres-url-file", "", "file with the address of the log in PostgreSQL (default: audit.postgres_url_file)")
	cmd.Flags().StringVar(&f.key, "key", "", "file of the signing key (default: audit.key_file)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// resolve gives the audit configuration with the flags applied. A log named by
// flag has its own memory of checkpoints, or none.
func (f *auditFlags) resolve() (AuditConfig, error) {
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return AuditConfig{}, err
	}
	a := cfg.Audit
	switch {
	case f.db != "" && f.postgres != "":
		return AuditConfig{}, misuse("--db and --postgres-url-file name two logs; give one")
	case f.db != "" && (f.db != a.Path || a.inPostgres()):
		a.Path, a.PostgresURL, a.PostgresURLFile, a.SeenFile = f.db, "", "", ""
	case f.postgres != "" && f.postgres != a.PostgresURLFile:
		a.PostgresURL, a.PostgresURLFile, a.SeenFile = "", f.postgres, ""
	}
	a.KeyFile = cmp.Or(f.key, a.KeyFile)
	return a, nil
}

// openAudit opens the log for appending: reading it is logged in it.
func openAudit(ctx context.Context, a AuditConfig) (*sqllog.Log, error) {
	return openAuditWaiting(ctx, a, 0)
}

// openAuditWaiting waits for others who have the log locked no longer than wait.
func openAuditWaiting(ctx context.Context, a AuditConfig, wait time.Duration) (*sqllog.Log, error) {
	key, err := audit.ReadKeyFile(a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%w (hint: name the key with --key or audit.key_file; `sepsisagent audit init` makes one)", err)
	}
	return a.open(ctx, key, wait)
}

func auditInit() *cobra.Command {
	var f auditFlags
	var origin string
	cmd := &cobra.Command{
		Use: "init", Short: "Make a new, empty audit log and its signing key", Args: noArgs,
		Long: "Make a new, empty audit log. The signing key is made too unless its file exists.\n" +
			"Nothing is ever overwritten. Keep the public key that is printed: with it anybody can verify the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			a.Origin = cmp.Or(origin, a.Origin)
			key, err := audit.ReadKeyFile(a.KeyFile)
			if errors.Is(err, fs.ErrNotExist) {
				key, err = audit.CreateKeyFile(a.KeyFile, a.Origin)
			}
			if err != nil {
				return err
			}
			if err := a.create(cmd.Context(), key); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"db": a.where(), "key_file": a.KeyFile, "public_key": key.Verifier().String()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "log         %s\nsigning key %s (keep it secret, and back it up)\npublic key  %s\n", a.where(), a.KeyFile, key.Verifier())
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&origin, "origin", "", "name of the log in its checkpoints (default: audit.origin)")
	return cmd
}

func auditVerify() *cobra.Command {
	var f auditFlags
	var public, kept, file string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check every record, the whole tree and every signature", Args: noArgs,
		Long: "Check every record, the whole tree and every signed checkpoint, and name the first bad record.\n" +
			"Only the public key is needed. Without --public-key and without the signing key, the public key\n" +
			"stored in the log is used, which finds accidents but nobody who replaced that key too.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			if file != "" && public == "" {
				return misuse("--export is checked with --public-key, which the file does not hold")
			}
			verifier, trusted, err := verifierOf(a, public)
			if err != nil {
				return err
			}
			if file != "" {
				return verifyExport(cmd, file, verifier, f.json)
			}
			var checkpoint []byte
			if kept != "" {
				if checkpoint, err = os.ReadFile(kept); err != nil {
					return fmt.Errorf("checkpoint kept elsewhere: %w", err)
				}
			}
			report, err := a.verify(cmd.Context(), verifier, checkpoint)
			if err != nil {
				return err
			}
			if !trusted {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: checked with the public key stored in the log itself; give --public-key to check it with yours")
			}
			return printReport(cmd.OutOrStdout(), report, f.json)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&public, "public-key", "", "public key (name+hash+base64), or a file that holds it")
	cmd.Flags().StringVar(&file, "export", "", "check this NDJSON of `audit export --proofs` and not a log")
	cmd.Flags().StringVar(&kept, "checkpoint", "", "a signed checkpoint kept elsewhere, which the log must continue")
	return cmd
}

// verifierOf finds the public key: as given, else of the signing key, else nil
// (trusted false) for the one in the log.
func verifierOf(a AuditConfig, public string) (v *audit.Verifier, trusted bool, err error) {
	if public != "" {
		if data, err := os.ReadFile(public); err == nil {
			public = strings.TrimSpace(string(data))
		}
		v, err := audit.ParseVerifier(public)
		return v, true, err
	}
	key, err := audit.ReadKeyFile(a.KeyFile)
	switch {
	case err == nil:
		return key.Verifier(), true, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	default:
		return nil, false, err
	}
}

func printReport(w io.Writer, r audit.Report, asJSON bool) error {
	if asJSON {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		if r.OK {
			fmt.Fprintf(w, "ok: %d records, %d signed checkpoints\n", r.Size, r.Signed)
		} else {
			fmt.Fprintf(w, "NOT OK: %d problems in %d records\n", r.Problems, r.Size)
		}
		fmt.Fprintf(w, "root %s\norigin %s\n", r.Root, r.Origin)
		if r.Erased > 0 {
			fmt.Fprintf(w, "erased %d: checked by their digests, and against the records of their erasure\n", r.Erased)
		}
		if r.Encrypted > 0 {
			fmt.Fprintf(w, "encrypted %d: %d opened and compared, of %d the digest was checked and not what is stored (their key is not here)\n", r.Encrypted, r.Encrypted-r.Unopened, r.Unopened)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Witnessed)) {
			fmt.Fprintf(w, "witness %s signed up to record %d\n", name, r.Witnessed[name])
		}
		for _, f := range r.Findings {
			fmt.Fprintf(w, "record %d %s: %s\n", f.Leaf, f.ID, f.Problem)
		}
	}
	if !r.OK {
		return errQuiet
	}
	return nil
}
