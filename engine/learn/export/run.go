// SPDX-License-Identifier: Apache-2.0

package export

// This file: from a cohort to a file of lines.

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrConfig is wrapped by errors about what was asked for.
var ErrConfig = errors.New("export configuration")

// Config says what to export.
type Config struct {
	Stage  int // 1: questions, 2: traces
	Format Format
	Part   cohort.Split
	Limit  int    // most stays, chosen by seed; 0: all
	Times  int    // most decision times of a stay, chosen by seed
	Seed   uint64 // of every choice, and of the luck of simulated steps
}

// DefaultTimes is how many decision times of a stay are taken. Neighbours tell
// nearly the same.
const DefaultTimes = 4

// Validate reports the first field out of bounds; the error wraps ErrConfig.
func (cfg Config) Validate() error {
	switch {
	case cfg.Stage != 1 && cfg.Stage != 2:
		return fmt.Errorf("%w: stage %d: there are 1 and 2", ErrConfig, cfg.Stage)
	case !slices.Contains(Formats, cfg.Format):
		return fmt.Errorf("%w: format %.40q: there are %v", ErrConfig, cfg.Format, Formats)
	case cfg.Part != cohort.Train && cfg.Part != cohort.Val && cfg.Part != cohort.Test:
		return fmt.Errorf("%w: part %.40q: there are train, validation and test", ErrConfig, cfg.Part)
	case cfg.Limit < 0 || cfg.Times < 1 || cfg.Times > cohort.MaxHours/state.StepHours:
		return fmt.Errorf("%w: limit must not be negative, and times must be 1 to %d", ErrConfig, cohort.MaxHours/state.StepHours)
	}
	return nil
}

// Summary is what was written, and what was left out and why, in decision times.
type Summary struct {
	Stage    int            `json:"stage"`
	Format   Format         `json:"format"`
	Part     cohort.Split   `json:"split"`
	Seed     uint64         `json:"seed"`
	Patients int            `json:"patients"` // with a line
	Stays    int            `json:"stays"`    // with a line
	Times    int            `json:"times"`    // decision times with a line
	Kinds    map[string]int `json:"kinds"`
	LeftOut  map[string]int `json:"left_out,omitempty"`
	Count
}

// Deps are what lines are made with.
type Deps struct {
	Env    *environment.Environment
	Native *agent.Native // the planner of stage 2
	// MinGain is how much better a change must be for that planner, on the scale
	// of values: agent.Config.MinGain.
	MinGain float64
	// Rows opens the cohort; it is read twice where there is a limit.
	Rows func() iter.Seq2[cohort.Row, error]
	// Progress is told of each stay that is done; may be nil.
	Progress func()
}

// example is one line to be.
type example struct {
	kind string
	talk talk
}

type exporter struct {
	cfg     Config
	env     *environment.Environment
	native  *agent.Native
	minGain float64
	check   *Checker
	w       *bufio.Writer
	patient map[string]bool
	sum     Summary
}

// Write writes the file at path, in place of one that is there only when all of
// it is written. Every line is checked first. The same arguments give the same
// bytes. Errors wrap ErrConfig, ErrLine, or ErrFile where too few lines came
// about, or are the cohort's, the model's, the rules' or the context's.
func Write(ctx context.Context, path string, cfg Config, deps Deps) (sum Summary, err error) {
	if err := cfg.Validate(); err != nil {
		return Summary{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return Summary{}, fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if sum, err = Encode(ctx, f, cfg, deps); err != nil {
		return Summary{}, err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return Summary{}, err
	}
	return sum, os.Rename(f.Name(), path)
}

// Encode writes the lines to w.
func Encode(ctx context.Context, w io.Writer, cfg Config, deps Deps) (Summary, error) {
	if err := cfg.Validate(); err != nil {
		return Summary{}, err
	}
	check, err := NewChecker(cfg.Format)
	if err != nil {
		return Summary{}, err
	}
	x := &exporter{
		cfg: cfg, env: deps.Env, native: deps.Native, minGain: deps.MinGain, check: check, w: bufio.NewWriter(w), patient: map[string]bool{},
		sum: Summary{Stage: cfg.Stage, Format: cfg.Format, Part: cfg.Part, Seed: cfg.Seed, Kinds: map[string]int{}, LeftOut: map[string]int{}},
	}
	last, err := x.limit(deps.Rows)
	if err != nil {
		return Summary{}, err
	}
	for group, err := range cohort.ByStay(deps.Rows()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return Summary{}, err
		}
		if group[0].Part == cfg.Part && x.key(&group[0], 0) <= last {
			if err := x.stay(ctx, group); err != nil {
				return Summary{}, err
			}
		}
		if deps.Progress != nil {
			deps.Progress()
		}
	}
	if err := x.w.Flush(); err != nil {
		return Summary{}, err
	}
	x.sum.Patients = len(x.patient)
	return x.sum, x.sum.Err()
}

// limit is the key of the last stay that is taken.
func (x *exporter) limit(rows func() iter.Seq2[cohort.Row, error]) (uint64, error) {
	const all = 1<<64 - 1
	if x.cfg.Limit == 0 {
		return all, nil
	}
	var keys []uint64
	for group, err := range cohort.ByStay(rows()) {
		if err != nil {
			return 0, err
		}
		if group[0].Part == x.cfg.Part {
			keys = append(keys, x.key(&group[0], 0))
		}
	}
	if len(keys) <= x.cfg.Limit {
		return all, nil
	}
	slices.Sort(keys)
	return keys[x.cfg.Limit-1], nil
}

// key orders stays, and steps of a stay, by the seed. It is never written.
func (x *exporter) key(r *cohort.Row, step int) uint64 {
	h := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s\x00%s\x00%s\x00%d", x.cfg.Seed, r.Source, r.Patient, r.Stay, step))
	return binary.BigEndian.Uint64(h[:])
}

// stay writes the lines of one stay, in the order of its decision times.
func (x *exporter) stay(ctx context.Context, rows []cohort.Row) error {
	s := &stay{rows: rows}
	order := make([]int, len(rows))
	for k := range rows {
		tl, err := rows[k].Timeline()
		if err != nil {
			return err
		}
		s.timelines, order[k] = append(s.timelines, tl), k
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x.key(&rows[a], rows[a].Step), x.key(&rows[b], rows[b].Step)) })
	found := map[int][]example{}
	for _, k := range order {
		if len(found) == x.cfg.Times {
			break
		}
		examples, err := x.examples(ctx, s, k)
		switch {
		case errors.Is(err, environment.ErrNoStart):
			x.sum.LeftOut[LeftUnfit]++
		case errors.Is(err, errLeft):
			x.sum.LeftOut[err.Error()]++
		case err != nil:
			return err
		default:
			found[k] = examples
		}
	}
	for k := range rows {
		for i := range found[k] {
			if err := x.write(&found[k][i]); err != nil {
				return err
			}
		}
	}
	if len(found) > 0 {
		x.sum.Stays, x.sum.Times = x.sum.Stays+1, x.sum.Times+len(found)
		x.patient[rows[0].Source+"\x00"+rows[0].Patient] = true
	}
	return nil
}

// examples are those of one decision time, at least one.
func (x *exporter) examples(ctx context.Context, s *stay, k int) ([]example, error) {
	if x.cfg.Stage == 2 {
		return x.trace(ctx, x.key(&s.rows[k], s.rows[k].Step), s.timelines[k])
	}
	out, err := x.questions(ctx, s, k)
	if err == nil && len(out) == 0 {
		err = left(LeftQuestion)
	}
	return out, err
}

func (x *exporter) write(e *example) error {
	line, err := e.talk.render(x.cfg.Format)
	if err != nil {
		return err
	}
	if err := x.check.Check(line); err != nil {
		return err
	}
	x.sum.add(line)
	if x.sum.Bytes > MostBytes {
		return x.sum.Err()
	}
	x.sum.Kinds[e.kind]++
	_, err = x.w.Write(append(line, '\n'))
	return err
}
