// SPDX-License-Identifier: Apache-2.0

package console

// This file: the integrity of the log: its size, its signed head, and what a
// verification of every record found, with the time at which it did.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
)

// Bounds of verifying: a whole log is read for it.
const (
	verifyEvery = 5 * time.Minute // no more often
	verifyWait  = 2 * time.Second // that a page waits for one under way
)

// verified runs one verification at a time and keeps the last outcome.
type verified struct {
	log interface {
		Verify(ctx context.Context) (audit.Report, error)
	}
	now    func() time.Time
	ctx    context.Context // of verifications; they outlive the call that began them
	cancel context.CancelFunc
	runs   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	last    *outcome
	running chan struct{} // closed when the one under way ends; nil: none
}

// outcome is what a verification found.
type outcome struct {
	report    audit.Report
	err       error
	begun, at time.Time
}

func newVerified(log interface {
	Verify(ctx context.Context) (audit.Report, error)
}, now func() time.Time) *verified {
	ctx, cancel := context.WithCancel(context.Background())
	return &verified{log: log, now: now, ctx: ctx, cancel: cancel}
}

func (v *verified) close() {
	v.cancel()
	v.runs.Wait()
}

// latest gives the last outcome, nil where there is none yet, and whether a
// verification is under way. It begins one where the last is old.
func (v *verified) latest(ctx context.Context) (last *outcome, running bool) {
	v.mu.Lock()
	if v.running == nil && v.ctx.Err() == nil && (v.last == nil || v.now().Sub(v.last.at) >= verifyEvery) {
		done := make(chan struct{})
		v.running = done
		v.runs.Go(func() {
			begun := v.now()
			report, err := v.log.Verify(v.ctx)
			v.mu.Lock()
			v.last, v.running = &outcome{report, err, begun, v.now()}, nil
			v.mu.Unlock()
			close(done)
		})
	}
	under := v.running
	v.mu.Unlock()
	if under != nil {
		wait := time.NewTimer(verifyWait)
		defer wait.Stop()
		select {
		case <-under:
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last, v.running != nil
}

type integrityView struct {
	Head       []fact
	Checkpoint string
	Badge      *badge
	Verified   []fact
	Findings   []fact
	Running    bool
	Origin     string
	Key        string
}

// integrity shows whether the log is what its signatures say.
func (c *Console) integrity(ctx context.Context, v *visit) (answer, error) {
	if err := v.reader.May(access.Integrity, ""); err != nil {
		return answer{}, err
	}
	head, signed, err := c.Log.Head(ctx)
	if err != nil {
		return answer{}, err
	}
	zone := c.Chart().Zone
	view := integrityView{
		Checkpoint: string(signed), Key: c.Log.Verifier().String(), Origin: head.Origin,
		Head: facts(fact{"Records", fmt.Sprint(head.Size), false}, fact{"Root of the tree", head.Root.String(), true}, fact{"Log", head.Origin, false}),
	}
	last, running := c.verified.latest(ctx)
	view.Running = running
	if last == nil {
		return c.shown(v, "integrity.html", "Integrity of the log", "integrity", view)
	}
	r := last.report
	switch {
	case last.err != nil:
		c.Failed("verify", last.err)
		view.Badge = &badge{Words: "NOT VERIFIED: the log could not be read"}
	case !r.OK:
		view.Badge = &badge{Words: fmt.Sprintf("NOT OK: %d problems in %d records", r.Problems, r.Size)}
	default:
		view.Badge = &badge{true, fmt.Sprintf("Verified: %d records, %d signed checkpoints, no problem", r.Size, r.Signed)}
	}
	var witnesses []string
	for name, size := range r.Witnessed {
		witnesses = append(witnesses, fmt.Sprintf("%s, up to %d records", name, size))
	}
	slices.Sort(witnesses)
	if len(witnesses) == 0 {
		witnesses = []string{"none"}
	}
	view.Verified = facts(
		fact{"Verified at", stamp(last.at, zone), false}, fact{"It took", last.at.Sub(last.begun).Round(time.Millisecond).String(), false},
		fact{"Records read", fmt.Sprint(r.Size), false}, fact{"Root computed from them", r.Root, true},
		fact{"Checkpoints that hold", fmt.Sprint(r.Signed), false}, fact{"Erased, with their digests kept", fmt.Sprint(r.Erased), false},
		fact{"Encrypted bodies", fmt.Sprintf("%d, of which not opened %d", r.Encrypted, r.Unopened), false},
		fact{"Witnesses", strings.Join(witnesses, "; "), false},
	)
	for _, f := range r.Findings {
		view.Findings = append(view.Findings, fact{Label: fmt.Sprintf("Record %d %s", f.Leaf, f.ID), Value: f.Problem})
	}
	return c.shown(v, "integrity.html", "Integrity of the log", "integrity", view)
}

// checkpoint sends the signed head, to be kept elsewhere.
func (c *Console) checkpoint(ctx context.Context, v *visit) (answer, error) {
	if err := v.reader.May(access.Integrity, ""); err != nil {
		return answer{}, err
	}
	head, signed, err := c.Log.Head(ctx)
	return answer{body: signed, kind: "text/plain; charset=utf-8", file: fmt.Sprintf("checkpoint-%d.txt", head.Size)}, err
}
