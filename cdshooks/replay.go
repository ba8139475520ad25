// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: Replay, which makes a recorded decision again: it maps the stored
// records, builds the timeline, decides and renders, all with the code of a
// live call, and compares the outcome byte for byte. It never compares stored
// bytes with stored bytes.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ReplayDeps are what a replay decides with.
type ReplayDeps struct {
	Charts  Remapper
	State   state.Config
	Decider Decider
	Hashes  engine.Hashes
	// Tolerance is how far numbers may lie apart and still be the same, relative
	// to the larger of them and 1: 0 for the same build on the same kind of
	// processor, 1e-9 for another, whose arithmetic may round otherwise.
	Tolerance float64
}

// ReplayReport says whether a replay came to the same result.
type ReplayReport struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Decided bool   `json:"decided"` // false: the call ended before a decision; there is nothing to make again
	OK      bool   `json:"ok"`      // every byte is the same
	// Hashes names what the replay was made with that is not what the decision
	// was made with: "model", "rules", "codemaps", "config", "prompts",
	// "build". A difference is then no surprise.
	Hashes      []string     `json:"hashes,omitempty"`
	Differences []Difference `json:"differences,omitempty"` // at most MaxDifferences
	// Near is how many values differ within the tolerance. The digest of the
	// timeline is one of them where everything that was decided from it is the same.
	Near int `json:"near,omitempty"`
	// Was and Now are what was said and what would be said now. Now is nil where no
	// decision could be made again.
	Was *Said `json:"was,omitempty"`
	Now *Said `json:"now,omitempty"`

	tolerance float64
}

// Difference is one place where replay and record differ.
type Difference struct {
	Path     string `json:"path"` // e.g. "outcome.decision.status"
	Stored   string `json:"stored"`
	Replayed string `json:"replayed"`
}

// MaxDifferences bounds how many differences a report lists.
const MaxDifferences = 50

// Replay decides the call recorded in body again. An error means that the
// replay could not be made at all; that the result differs is no error.
func Replay(ctx context.Context, body []byte, deps ReplayDeps) (ReplayReport, error) {
	r, err := DecodeRecord(body)
	if err != nil {
		return ReplayReport{}, err
	}
	report := ReplayReport{ID: r.ID, Kind: r.Kind, OK: true, tolerance: deps.Tolerance}
	if r.Receipt == nil {
		return report, nil
	}
	if r.Settings == nil || r.Display == nil {
		return report, fmt.Errorf("%w: a decision without its settings", ErrRecord)
	}
	report.Decided = true
	report.Hashes = otherHashes(r.Receipt.Hashes, deps.Hashes)
	report.Was = said(r.Receipt.Outcome)
	tl, err := rebuild(deps.Charts, deps.State, r)
	if err != nil {
		report.add("receipt.records", "a chart", "error: "+err.Error())
		return report, nil
	}
	digest, err := tl.Digest()
	if err != nil {
		return report, fmt.Errorf("digest: %w", err)
	}
	if r.Receipt.TimelineDigest != digest {
		if deps.Tolerance == 0 {
			report.add("receipt.timelinedigest", r.Receipt.TimelineDigest, digest)
		} else {
			report.Near++ // numbers in it differ; what is decided from it is compared
		}
	}

	c := r.Receipt.Case
	c.Timeline = tl
	if c.Ordering != nil {
		again := *c.Ordering
		again.Drafts = deps.Charts.Drafts(again.Records)
		c.Ordering = &again
	}
	outcome, err := deps.Decider.Decide(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			return report, err
		}
		report.add("receipt.outcome", "a decision", "error: "+err.Error())
		return report, nil
	}
	report.Now = said(outcome)
	if err := report.compare("receipt.outcome", r.Receipt.Outcome, outcome); err != nil {
		return report, err
	}
	report.same("receipt.id", r.Receipt.ID, r.ID)
	report.same("receipt.case.id", c.ID, r.ID)
	report.same("display.mode", r.Display.Mode, c.Display)

	response, err := Render(Rendering{
		ID: c.ID, Seed: c.Seed, Display: r.Display.Mode, Timeline: tl, Outcome: outcome,
		Model: r.Receipt.Model, Hashes: r.Receipt.Hashes, Settings: *r.Settings,
	})
	if err != nil {
		report.Now = nil
		report.add("response", "a response", "error: "+err.Error())
		return report, nil
	}
	sent, err := response.Encode()
	if err != nil {
		report.Now = nil
		report.add("response", "a response", "error: "+err.Error())
		return report, nil
	}
	if len(r.Response) > 0 && !bytes.Equal(sent, r.Response) {
		before, near := len(report.Differences), report.Near
		report.walk("response", parsed(r.Response), parsed(sent))
		if len(report.Differences) == before && report.Near == near && report.OK {
			report.add("response", "other bytes", "of the same meaning")
		}
	}
	return report, nil
}

// otherHashes names the hashes that differ. The build is named too, although
// another build may well decide the same.
func otherHashes(a, b engine.Hashes) []string {
	var out []string
	for _, h := range []struct{ name, a, b string }{
		{"model", a.Model, b.Model}, {"actor", a.Actor, b.Actor}, {"rules", a.Rules, b.Rules}, {"codemaps", a.CodeMaps, b.CodeMaps},
		{"config", a.Config, b.Config}, {"prompts", a.Prompts, b.Prompts}, {"build", a.Build, b.Build},
	} {
		if h.a != h.b {
			out = append(out, h.name)
		}
	}
	return out
}

func (r *ReplayReport) add(path, stored, replayed string) {
	r.OK = false
	if len(r.Differences) < MaxDifferences {
		r.Differences = append(r.Differences, Difference{path, stored, replayed})
	}
}

func (r *ReplayReport) same(path, stored, replayed string) {
	if stored != replayed {
		r.add(path, stored, replayed)
	}
}

// compare compares two values by their JSON, and lists where they part.
func (r *ReplayReport) compare(path string, stored, replayed any) error {
	a, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("compare %s: %w", path, err)
	}
	b, err := json.Marshal(replayed)
	if err != nil {
		return fmt.Errorf("compare %s: %w", path, err)
	}
	if !bytes.Equal(a, b) {
		if r.tolerance == 0 {
			r.OK = false
		}
		r.walk(path, parsed(a), parsed(b))
	}
	return nil
}

func parsed(raw []byte) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	return v
}

func (r *ReplayReport) walk(path string, a, b any) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			names := map[string]bool{}
			for k := range a {
				names[k] = true
			}
			for k := range b {
				names[k] = true
			}
			for _, k := range sortedKeys(names) {
				r.walk(path+"."+k, a[k], b[k])
			}
			return
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				r.walk(fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
			}
			return
		}
	}
	if r.near(a, b) {
		return
	}
	x, y := compact(a), compact(b)
	if x != y {
		r.add(path, x, y)
	}
}

// near counts two numbers that differ within the tolerance.
func (r *ReplayReport) near(a, b any) bool {
	m, ok := a.(json.Number)
	n, also := b.(json.Number)
	if !ok || !also || m == n || r.tolerance == 0 {
		return false
	}
	x, err := m.Float64()
	y, errOther := n.Float64()
	if err != nil || errOther != nil || !(math.Abs(x-y) <= r.tolerance*max(1, math.Abs(x), math.Abs(y))) {
		return false
	}
	r.Near++
	return true
}

func compact(v any) string {
	if v == nil {
		return "absent"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(b) > 400 {
		return string(b[:400]) + " …"
	}
	return string(b)
}
