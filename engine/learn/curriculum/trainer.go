// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: the training as a whole: which stage comes next, the seeds of its
// episodes, and episodes side by side.

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// Progress is reported as a stage goes on. What is not of the stage is 0.
type Progress struct {
	Stage, Done, Of int
	What            string  // part of the stage, where it has parts
	Loss, Watch     float64 // of training and validation patients, nats per step
	Return, Looks   float64 // of stage III: mean return, and pairs simulated per decision
}

// trainer is one training.
type trainer struct {
	cfg       Config
	unit      *Unit
	learner   *learner
	anchor    []float32    // weights after stage II, in stage III
	iteration int          // of stage III, done
	kept      int          // courses of stage II with anything to imitate
	cloned    int          // choices imitated
	save      func() error // nil: nothing is kept on the way
	report    func(Progress)
}

// MostSeed is the largest seed of a training: what the seeds of episodes have
// room for. A larger one would be a smaller one again.
const MostSeed = 1<<16 - 1

// seed is that of one episode: no two stages share one, and none is one that
// scores.
func (t *trainer) seed(stage, i int) uint64 {
	return t.cfg.Imitation.Seed<<48 ^ uint64(stage)<<40 ^ uint64(i)
}

// task is where an episode starts: at recorded and simulated patients by turns,
// where there are both.
func (t *trainer) task(e *environment.Environment, i int) string {
	tasks := e.Tasks()
	if tasks[0] != environment.TaskCohort || i%2 == 0 {
		return tasks[0]
	}
	return environment.TaskSynthetic
}

// each does n things side by side. They must not depend on each other; what they
// leave is the same whatever GOMAXPROCS is. The first error in order is returned.
func (t *trainer) each(ctx context.Context, n int, do func(i int) error, report func(done int)) error {
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("training stopped: %w", err)
			}
			if err := do(i); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; report != nil && done%max(1, n/20) == 0 {
				report(done)
			}
			return nil
		})
	}
	return g.Wait()
}
