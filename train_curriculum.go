// SPDX-License-Identifier: Apache-2.0

package main

// This file: the three-stage curriculum of `train actor`.

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// trainCurriculum goes through the stages from one to another.
func trainCurriculum(ctx context.Context, cfg Config, file, out string, model *world.Model, settings curriculum.Config, from, to int, progress io.Writer) (*curriculum.Record, error) {
	actor, err := openActor(model, out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", out, err)
	}
	unit, err := simulatedUnit(cfg, model, actor, file)
	if err != nil {
		return nil, err
	}
	records, err := curriculum.Gather(ctx, cohort.Read(file), model, settings)
	if err != nil {
		return nil, err
	}
	return curriculum.Train(ctx, out, from, to, records, unit, settings, curriculumLines(progress))
}

// simulatedUnit is the unit in which a network is trained on some members of the
// world model and scored on the others. actor may be nil.
func simulatedUnit(cfg Config, model *world.Model, actor *agent.Actor, file string) (*curriculum.Unit, error) {
	train, held, err := curriculum.Split(model.Info().Members)
	if err != nil {
		return nil, err
	}
	lens, err := model.Only(train...)
	if err != nil {
		return nil, err
	}
	rules, err := loadRules(cfg.Files.Rules)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	native, err := agent.New(lens, rules, cfg.Agent)
	if err != nil {
		return nil, err
	}
	service, err := native.With(actor)
	if err != nil {
		return nil, err
	}
	prompts, err := llm.LoadPrompts(configs.FS)
	if err != nil {
		return nil, err
	}
	recorded, err := environment.NewRecorded(cfg.State, cohort.Read(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	deps := func(members []int, starts environment.Starts) (environment.Deps, error) {
		d := environment.Deps{State: cfg.State, Lens: lens, Death: lens.DeathInHospital, Judge: rules, Native: native, Prompts: prompts, Starts: starts}
		for _, k := range members {
			one, err := model.Only(k)
			if err != nil {
				return d, err
			}
			d.Dynamics = append(d.Dynamics, one)
		}
		return d, nil
	}
	unit := &curriculum.Unit{State: cfg.State, Model: lens, Judge: rules, Service: service, TrainMembers: train, HeldMembers: held}
	for _, part := range []struct {
		into    **environment.Environment
		members []int
		starts  environment.Starts
	}{{&unit.Train, train, recorded}, {&unit.Held, held, environment.NewSynthetic(cfg.State)}} {
		if unit.Parts, err = deps(part.members, part.starts); err != nil {
			return nil, err
		}
		if *part.into, err = environment.New(environment.DefaultConfig(), unit.Parts); err != nil {
			return nil, err
		}
	}
	return unit, nil
}

// curriculumLines reports as a stage goes on.
func curriculumLines(w io.Writer) func(curriculum.Progress) {
	start, end := lineEnds(w)
	begun := time.Now()
	return func(p curriculum.Progress) {
		text := fmt.Sprintf("stage %d, %d of %d", p.Stage, p.Done, p.Of)
		switch {
		case p.Stage == 0:
			text = p.What
		case p.Stage == 1:
			text += fmt.Sprintf(": loss %.4f, validation %.4f", p.Loss, p.Watch)
		case p.Stage == 2 && p.Loss > 0:
			text += fmt.Sprintf(" %s: loss %.4f", p.What, p.Loss)
		case p.Stage == 2:
			text += " " + p.What
		default:
			text += fmt.Sprintf(": return %.4f, %.2f pairs simulated per decision", p.Return, p.Looks)
		}
		fmt.Fprintf(w, "%s%s (%s)%s", start, text, time.Since(begun).Round(time.Second), end)
	}
}
