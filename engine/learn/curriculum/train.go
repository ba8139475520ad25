// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: Train, the stages one after another, each scored when it is done.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// Train goes through the stages up to the given one, 1 to 3, from where the folder
// is, and keeps network, record and scores there after each. Stage 1 begins anew.
// A folder of other data, another world model or other settings is an error, never
// gone on with. The result depends on records, unit and cfg and nothing else.
func Train(ctx context.Context, dir string, from, to int, r *Records, u *Unit, cfg Config, report func(Progress)) (*Record, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if from < 1 || from > to || to > Stages {
		return nil, fmt.Errorf("%w: there is no stage %d to %d", ErrCurriculum, from, to)
	}
	fresh := &Record{Schema: Schema, World: u.Model.Info().Hash, DataDigest: r.digest, Settings: cfg, Train: u.TrainMembers, Held: u.HeldMembers}
	record, err := Read(dir)
	switch {
	case err != nil:
		return nil, err
	case from == 1 && (record == nil || record.Stage >= to || !sameTraining(record, fresh)):
		record = fresh
	case record == nil:
		return nil, fmt.Errorf("%w: the folder has no stage %d (hint: leave --stage out, or train the stages before first)", ErrCurriculum, from-1)
	case !sameTraining(record, fresh):
		return nil, fmt.Errorf("%w: the folder's stages are of other data, settings or another world model (hint: begin with --stage 1)", ErrCurriculum)
	case record.Stage < from-1:
		return nil, fmt.Errorf("%w: the folder is at stage %d (hint: train stage %d first)", ErrCurriculum, record.Stage, record.Stage+1)
	case record.Stage >= to:
		return nil, fmt.Errorf("%w: the folder is at stage %d already (hint: begin with --stage 1)", ErrCurriculum, record.Stage)
	}
	t := &trainer{cfg: cfg, unit: u, kept: record.Courses, cloned: record.Choices, iteration: record.Iterations}
	t.report = func(p Progress) {
		if p.What == "" || p.What == partCloning {
			record.Curve = append(record.Curve, p)
		}
		if report != nil {
			report(p)
		}
	}
	if record.Stage > 0 {
		if err := t.load(dir, record); err != nil {
			return nil, err
		}
	}
	t.save = func() error { record.Iterations = t.iteration; return t.write(dir, record) }
	for stage := record.Stage + 1; stage <= to; stage++ {
		if err := t.stage(ctx, stage, r, record); err != nil {
			return nil, err
		}
		if err := t.write(dir, record); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// sameTraining says whether two records are of one training.
func sameTraining(a, b *Record) bool {
	x, err := json.Marshal(a.Settings)
	y, err2 := json.Marshal(b.Settings)
	return err == nil && err2 == nil && string(x) == string(y) && a.World == b.World && a.DataDigest == b.DataDigest && slices.Equal(a.Train, b.Train)
}

// stage trains one and scores it.
func (t *trainer) stage(ctx context.Context, stage int, r *Records, record *Record) (err error) {
	switch stage {
	case 1:
		err = t.study(ctx, r)
	case 2:
		err = t.clone(ctx, r)
	case 3:
		err = t.practise(ctx, r)
	}
	if err != nil {
		return err
	}
	record.Stage, record.Iterations, record.Courses, record.Choices = stage, t.iteration, t.kept, t.cloned
	score := StageScore{Stage: stage, IHM: t.foresight(r, agent.ActorDeath), VR: t.foresight(r, agent.ActorNeed), Next: t.nextMAE(r)}
	for _, world := range []string{WorldHeld, WorldMechanistic} {
		if stage == 1 {
			for _, p := range t.references() {
				row, err := t.scored(ctx, world, p)
				if err != nil {
					return err
				}
				record.References = append(record.References, row)
			}
		}
		for _, simulator := range []bool{false, true} {
			row, err := t.scored(ctx, world, person{fmt.Sprintf("stage %d", stage), simulator, func(uint64) doctor {
				return t.unit.learned(t.learner, simulator, t.cfg.Looks, likeliestAction)
			}})
			if err != nil {
				return err
			}
			score.Rows = append(score.Rows, row)
		}
	}
	record.Scores = append(record.Scores, score)
	return nil
}

func (t *trainer) scored(ctx context.Context, world string, p person) (Row, error) {
	t.report(Progress{Stage: 0, What: "scoring " + p.name + ", " + world})
	return t.score(ctx, world, p)
}
