// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit backup`, and the commands for the key of encrypted bodies.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func auditBackup() *cobra.Command {
	var f auditFlags
	var out string
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy the log of a running service into a new file, and verify the copy", Args: noArgs,
		Long: "Copy a SQLite log, also of a running service, into a new file as it is at one moment, and verify the copy.\n" +
			"Nothing is ever overwritten. For PostgreSQL use pg_dump. Encrypted bodies stay encrypted; back up their\n" +
			"keys and the signing key elsewhere.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "out"); err != nil {
				return err
			}
			a, err := f.resolve()
			if err != nil {
				return err
			}
			if a.inPostgres() {
				return errors.New("the log is in PostgreSQL (hint: back it up with pg_dump, see docs/audit.md)")
			}
			v, _, err := verifierOf(a, "")
			if err != nil {
				return err
			}
			if err := sqlite.Backup(cmd.Context(), a.Path, out); err != nil {
				return err
			}
			copied := a
			copied.Path = out
			report, err := copied.verify(cmd.Context(), v, nil)
			if err != nil {
				return err
			}
			return printReport(cmd.OutOrStdout(), report, f.json)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to make")
	return cmd
}

func auditEncryptionKey() *cobra.Command {
	var config, out, from string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "encryption-key", Short: "Make a key for encrypting the bodies of records", Args: noArgs,
		Long: "Make a key for bodies (AES-256-GCM) in a new file of mode 0600. Put it first in\n" +
			"audit.encryption_key_files; new records are encrypted with it from the next start on, older ones by\n" +
			"`audit reseal`. Without the key nobody reads them again: back it up, elsewhere than the log.\n" +
			"With audit.encryption_key_command the file holds the key as the key service wrapped it. --from takes the\n" +
			"key of another file, to wrap it anew or for the first time: no record has to be encrypted again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "out"); err != nil {
				return err
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			var id string
			if from == "" {
				id, err = audit.CreateBodyKeyFile(cmd.Context(), out, cfg.Audit.EncryptionKeyCommand)
			} else {
				id, err = audit.RewrapBodyKeyFile(cmd.Context(), from, out, cfg.Audit.EncryptionKeyCommand)
			}
			if err != nil {
				return err
			}
			wrapped := len(cfg.Audit.EncryptionKeyCommand) > 0
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"key_id": id, "file": out, "wrapped": wrapped})
			}
			note := ""
			if wrapped {
				note = ", wrapped by " + cfg.Audit.EncryptionKeyCommand[0]
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key %s in %s%s\n", id, out, note)
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().StringVar(&out, "out", "", "file to make")
	cmd.Flags().StringVar(&from, "from", "", "file whose key it holds (default: a new key)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func auditReseal() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "reseal", Short: "Encrypt all bodies with the newest key", Args: noArgs,
		Long: "Encrypt every body that is stored plain or under an older key with the first key of\n" +
			"audit.encryption_key_files; the others must still be there to open with. Records and tree do not change.\n" +
			"It may be interrupted, and run beside the service. In PostgreSQL the account must own the tables.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd, func(l *sqllog.Log) error {
				n, err := l.Reseal(cmd.Context())
				if err != nil {
					return fmt.Errorf("%d bodies resealed: %w", n, err)
				}
				if f.json {
					return printJSON(cmd.OutOrStdout(), map[string]int64{"resealed": n})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d bodies resealed\n", n)
				return err
			})
		},
	}
	f.register(cmd)
	return cmd
}

func auditRotateKey() *cobra.Command {
	var f auditFlags
	var why audit.Why
	var file string
	cmd := &cobra.Command{
		Use: "rotate-key", Short: "Replace the key that signs checkpoints", Args: noArgs,
		Long: "Replace the signing key. Old key and new sign that the one replaced the other; whoever has either public\n" +
			"key verifies the whole log, and what the old key signs later is not believed. The new key is made unless\n" +
			"its file exists. Stop the service first, and name the new file in audit.key_file after: with the old key\n" +
			"nothing more can be appended. Give the new public key to those who verify, and to witnesses.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "new-key"); err != nil {
				return err
			}
			if err := why.Validate(); err != nil {
				return misuse("%v (hint: --operator and --reason)", err)
			}
			a, err := f.resolve()
			if err != nil {
				return err
			}
			key, err := audit.ReadKeyFile(a.KeyFile)
			if err != nil {
				return err
			}
			fresh, err := audit.ReadKeyFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				fresh, err = audit.CreateKeyFile(file, key.Name())
			}
			if err != nil {
				return err
			}
			if err := a.rotate(cmd.Context(), key, fresh, why); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"key_file": file, "public_key": fresh.Verifier().String()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "signing key %s from now on (name it in audit.key_file)\npublic key  %s\n", file, fresh.Verifier())
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&file, "new-key", "", "file of the new signing key")
	registerWhy(cmd, &why)
	return cmd
}
