// SPDX-License-Identifier: Apache-2.0

package main

// This file: what others need who trust neither us nor our database: signed
// checkpoints, proofs, and checking both with the public key alone; and `audit
// witness`, which has a third party sign.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/audit/witness"
)

// reading opens the log that the flags name without the signing key: nothing can
// be appended, and nothing of a record is read.
func (f *auditFlags) reading(cmd *cobra.Command, public string, do func(*sqllog.Log) error) error {
	a, err := f.resolve()
	if err != nil {
		return err
	}
	v, _, err := verifierOf(a, public)
	if err != nil {
		return err
	}
	l, err := a.openReading(cmd.Context(), v)
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.Close())
}

func auditCheckpoint() *cobra.Command {
	var f auditFlags
	var public string
	var cosigned bool
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Print the newest signed checkpoint, to be kept elsewhere", Args: noArgs,
		Long: "Print the newest signed checkpoint (C2SP tlog-checkpoint). Kept elsewhere, it finds any later change of\n" +
			"what it covers: `audit verify --checkpoint`. It holds nothing of any record.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.reading(cmd, public, func(l *sqllog.Log) error {
				head, signed, err := l.Head(cmd.Context())
				if err == nil && cosigned {
					if signed, err = l.Cosigned(cmd.Context()); err == nil {
						head, err = audit.OpenCheckpoint(signed, l.Verifier())
					}
				}
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(cmd.OutOrStdout(), map[string]any{"origin": head.Origin, "size": head.Size, "root": head.Root.String(), "checkpoint": string(signed)})
				}
				_, err = cmd.OutOrStdout().Write(signed)
				return err
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&public, "public-key", "", "public key (name+hash+base64), or a file that holds it")
	cmd.Flags().BoolVar(&cosigned, "cosigned", false, "the newest that witnesses signed, with their lines")
	return cmd
}

func auditProve() *cobra.Command {
	var f auditFlags
	var public, from string
	cmd := &cobra.Command{
		Use: "prove [ID]", Short: "Prove that a record is in the log, or that the log continues a checkpoint",
		Long: "Print a proof as JSON that anybody can check who has the public key (`audit check`): that the record ID is\n" +
			"in the signed tree, also if it was erased; or, with --from, that the tree begins with that of an older\n" +
			"signed checkpoint. A proof holds hashes and nothing of any record.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (from != "") {
				return misuse("%s needs one record id, or --from", cmd.CommandPath())
			}
			return f.reading(cmd, public, func(l *sqllog.Log) error {
				if from != "" {
					older, err := os.ReadFile(from)
					if err != nil {
						return err
					}
					proof, err := l.ProveConsistency(cmd.Context(), older)
					if err != nil {
						return err
					}
					return printJSON(cmd.OutOrStdout(), proof)
				}
				leaf, err := l.LeafOf(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				proof, err := l.ProveInclusion(cmd.Context(), leaf)
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), proof)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&public, "public-key", "", "public key (name+hash+base64), or a file that holds it")
	cmd.Flags().StringVar(&from, "from", "", "file with an older signed checkpoint")
	return cmd
}

func auditCheck() *cobra.Command {
	var public string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check PROOF", Short: "Check a proof with the public key, without the log",
		Long: "Check a proof that `audit prove` or the service wrote, with the public key and nothing else.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("%s needs one file", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := require(cmd, "public-key"); err != nil {
				return err
			}
			v, _, err := verifierOf(AuditConfig{}, public)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			said, err := checkProof(data, v)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"ok": true, "proof": said})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok:", said)
			return err
		},
	}
	cmd.Flags().StringVar(&public, "public-key", "", "public key (name+hash+base64), or a file that holds it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// checkProof checks a proof of either kind and says what it proves.
func checkProof(data []byte, v *audit.Verifier) (string, error) {
	var kind struct {
		Older *string `json:"older"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return "", fmt.Errorf("%w: not a proof: %w", audit.ErrProof, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if kind.Older == nil {
		var p audit.Inclusion
		if err := dec.Decode(&p); err != nil {
			return "", fmt.Errorf("%w: not a proof: %w", audit.ErrProof, err)
		}
		head, err := p.Check(v)
		return fmt.Sprintf("record %d with leaf hash %s is in the tree of %d records with root %s", p.Leaf, p.LeafHash, head.Size, head.Root), err
	}
	var p audit.Consistency
	if err := dec.Decode(&p); err != nil {
		return "", fmt.Errorf("%w: not a proof: %w", audit.ErrProof, err)
	}
	if err := p.Check(v); err != nil {
		return "", err
	}
	older, err := audit.OpenCheckpoint([]byte(p.Older), v)
	if err != nil {
		return "", err
	}
	newer, err := audit.OpenCheckpoint([]byte(p.Newer), v)
	return fmt.Sprintf("the tree of %d records begins with that of %d", newer.Size, older.Size), err
}

func auditWitness() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "witness", Short: "Have the configured witnesses sign the newest checkpoint", Args: noArgs,
		Long: "Have the witnesses of audit.witnesses sign the newest checkpoint, and keep what they sign in the log. The\n" +
			"service does so by itself, every audit.witness_every. It fails where a witness has seen a longer or\n" +
			"another log than this.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			all, err := a.witnesses()
			if err == nil && len(all) == 0 {
				err = misuse("the configuration has no audit.witnesses")
			}
			if err != nil {
				return err
			}
			l, err := openAudit(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer l.Close()
			signed := []witness.Signed{}
			var failed error
			for _, w := range all {
				one, err := w.Cosign(cmd.Context(), l)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				signed = append(signed, one)
			}
			if f.json {
				return errors.Join(printJSON(cmd.OutOrStdout(), map[string]any{"signed": signed}), failed)
			}
			for _, one := range signed {
				fmt.Fprintf(cmd.OutOrStdout(), "%s signed the tree of %d records at %s\n", one.Witness, one.Size, one.At.Format(time.RFC3339))
			}
			return failed
		},
	}
	f.register(cmd)
	return cmd
}
