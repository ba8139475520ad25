// SPDX-License-Identifier: Apache-2.0

package main

// This file: the part of the audit configuration that says how records are kept:
// encrypted, for how long, and before which witnesses.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/audit/witness"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// RetentionConfig is how long records of one kind are kept.
type RetentionConfig struct {
	// Kind is decision, feedback, refusal, failure, read, batch or calibration.
	Kind string `yaml:"kind"`
	// Days after which records of the kind may be erased by `sepsisagent audit
	// erase --retention`. HIPAA's documentation is kept for 6 years (2192 days);
	// what else binds a site, its law says.
	Days int `yaml:"days"`
}

// WitnessConfig is a third party that signs checkpoints (C2SP tlog-witness). It
// sees the origin, size and root of the log, and nothing of any record.
type WitnessConfig struct {
	// URL is the witness's submission prefix, https or on this machine.
	URL string `yaml:"url"`
	// PublicKey is the witness's key in note form: name+hash+base64, of type 4.
	PublicKey string `yaml:"public_key"`
}

// stateKinds are kinds of records that the service reads its own state from: who
// may be shown what, and since when. Their erasure would change what it does.
var stateKinds = []string{"config", cdshooks.KindDisplay}

const (
	maxRetentionDays = 36525 // a century
	minWitnessEvery  = 10 * time.Second
	maxWitnessEvery  = 24 * time.Hour
	// firstWitness bounds how long a start waits for witnesses.
	firstWitness = 10 * time.Second
)

// validateKeeping reports the first value that cannot be right.
func (a AuditConfig) validateKeeping() error {
	seen := map[string]bool{}
	for i, r := range a.Retention {
		switch {
		case r.Kind == "" || seen[r.Kind]:
			return fmt.Errorf("audit.retention[%d].kind: %q is empty or named twice", i, r.Kind)
		case r.Days < 1 || r.Days > maxRetentionDays:
			return fmt.Errorf("audit.retention[%d].days: %d is not between 1 and %d", i, r.Days, maxRetentionDays)
		case audit.Permanent(r.Kind):
			return fmt.Errorf("audit.retention[%d].kind: records of kind %s are never erased", i, r.Kind)
		}
		for _, kind := range stateKinds {
			if r.Kind == kind {
				return fmt.Errorf("audit.retention[%d].kind: the service reads its own state from records of kind %s", i, kind)
			}
		}
		seen[r.Kind] = true
	}
	if _, err := a.witnesses(); err != nil {
		return err
	}
	if len(a.Witnesses) > 0 && (a.WitnessEvery < minWitnessEvery || a.WitnessEvery > maxWitnessEvery) {
		return fmt.Errorf("audit.witness_every: %s is outside %s to %s", a.WitnessEvery, minWitnessEvery, maxWitnessEvery)
	}
	return nil
}

// witnesses are those configured.
func (a AuditConfig) witnesses() ([]*witness.Witness, error) {
	var out []*witness.Witness
	for i, c := range a.Witnesses {
		w, err := witness.New(c.URL, c.PublicKey, nil)
		if err != nil {
			return nil, fmt.Errorf("audit.witnesses[%d]: %w", i, err)
		}
		out = append(out, w)
	}
	return out, nil
}

// bodyKeys reads the keys for bodies; nil where none are configured.
func (a AuditConfig) bodyKeys(ctx context.Context) (*audit.BodyKeys, error) {
	if len(a.EncryptionKeyFiles) == 0 {
		if len(a.EncryptionKeyCommand) > 0 {
			return nil, fmt.Errorf("audit.encryption_key_command: %w: no key to unwrap (hint: make one by `sepsisagent audit encryption-key`, and name its file in audit.encryption_key_files)", audit.ErrKey)
		}
		return nil, nil
	}
	keys, err := audit.ReadBodyKeyFiles(ctx, a.EncryptionKeyFiles, a.EncryptionKeyCommand)
	if err != nil {
		return nil, fmt.Errorf("audit.encryption_key_files: %w", err)
	}
	return keys, nil
}

// keeping adds keys for bodies and witnesses to the options of an open log. Who
// only verifies may be without the keys.
func (a AuditConfig) keeping(ctx context.Context, opts sqllog.Options) (sqllog.Options, error) {
	var err error
	opts.Bodies, err = a.bodyKeys(ctx)
	if err != nil && (opts.Key != nil || !errors.Is(err, fs.ErrNotExist)) {
		return opts, err
	}
	all, err := a.witnesses()
	for _, w := range all {
		opts.Witnesses = append(opts.Witnesses, w.Key())
	}
	return opts, err
}

// keepWitnessed has the witnesses sign the log's newest checkpoint, now and then
// regularly, until stop. A witness that does not answer keeps nobody from being
// served; one that knows a longer log does (audit.ErrRolledBack), at the start.
func (a AuditConfig) keepWitnessed(ctx context.Context, l witness.Log, logger *zap.Logger) (stop func(), err error) {
	all, err := a.witnesses()
	if err != nil || len(all) == 0 {
		return func() {}, err
	}
	begin, cancel := context.WithTimeout(ctx, firstWitness)
	defer cancel()
	if err := cosign(begin, all, l, logger); errors.Is(err, audit.ErrRolledBack) {
		return nil, err
	}
	ctx, cancelAll := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(a.WitnessEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = cosign(ctx, all, l, logger) // each failure is logged
			}
		}
	}()
	return func() { cancelAll(); <-done }, nil
}

// cosign asks each witness once and logs what fails.
func cosign(ctx context.Context, all []*witness.Witness, l witness.Log, logger *zap.Logger) error {
	var failed error
	for _, w := range all {
		signed, err := w.Cosign(ctx, l)
		if err != nil {
			logger.Error("audit witness", zap.String("witness", w.Name()), zap.Bool("rolled_back", errors.Is(err, audit.ErrRolledBack)), zap.Error(err))
			failed = errors.Join(failed, err)
			continue
		}
		logger.Debug("audit witness signed", zap.String("witness", w.Name()), zap.Int64("size", signed.Size))
	}
	return failed
}
