// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what became of suggestions, by their kind and by how far MAP was
// below its goal: whether clinicians did the like, and whether a pressure that
// they left alone came back by itself. This is where too ready a hand shows.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// FollowUp is one kind of suggestion at one depth.
type FollowUp struct {
	Kind  string `json:"kind"`
	Depth string `json:"mmhg_below_goal"`
	// Alike is how often clinicians went the same way within 4 h: a vasopressor
	// raised or lowered by their end, or a bolus of at least 250 mL.
	Alike Share `json:"clinicians_alike"`
	// Alone is how often clinicians gave neither vasopressor nor bolus, and
	// Recovered how often the mean MAP of those hours was at goal all the same.
	Alone     Share `json:"left_alone"`
	Recovered Share `json:"recovered_when_left_alone"`
}

// The kinds of suggestion, by what they ask for first.
var followUpKinds = []struct {
	name string
	is   func(p *Point) bool
}{
	{"start a vasopressor", func(p *Point) bool { return p.Course == Raise && p.AsIs.NEUgKgMin == 0 }},
	{"raise a vasopressor", func(p *Point) bool { return p.Course == Raise && p.AsIs.NEUgKgMin > 0 }},
	{"volume alone", func(p *Point) bool { return p.Course == Hold && p.Advised.BolusMl > 0 }},
	{"lower or stop a vasopressor", func(p *Point) bool { return p.Course == Lower }},
}

// followUpDepths are lower ends, in mmHg below goal; the first is at goal or
// above it.
var followUpDepths = []float64{0, 2, 5, 10}

func depthOf(p *Point) int {
	below, band := p.GoalMmHg-p.MAPMmHg, 0
	for i, from := range followUpDepths {
		if below > from {
			band = i + 1
		}
	}
	return band
}

func depthText(band int) string {
	switch {
	case band == 0:
		return "at goal"
	case band == len(followUpDepths):
		return fmt.Sprintf("over %.0f", followUpDepths[band-1])
	}
	return fmt.Sprintf("%.0f to %.0f", followUpDepths[band-1], followUpDepths[band])
}

// followUps counts every kind at every depth that occurs.
func (s *sample) followUps() []FollowUp {
	out := []FollowUp{}
	for _, kind := range followUpKinds {
		for band := range len(followUpDepths) + 1 {
			of := func(p *Point) bool {
				return p.Error == "" && p.Status == agent.Suggest && p.HasNext && p.Given.known() && kind.is(p) && depthOf(p) == band
			}
			f := FollowUp{Kind: kind.name, Depth: depthText(band)}
			f.Alike = s.share(func(p *Point) (bool, bool) { return p.alike(), of(p) })
			if f.Alike.Of == 0 {
				continue
			}
			f.Alone = s.share(func(p *Point) (bool, bool) { return p.leftAlone(), of(p) })
			f.Recovered = s.share(func(p *Point) (bool, bool) {
				return p.NextMAPMmHg >= p.GoalMmHg, of(p) && p.leftAlone() && !math.IsNaN(p.NextMAPMmHg)
			})
			out = append(out, f)
		}
	}
	return out
}

// alike says that clinicians did what was suggested, in kind.
func (p *Point) alike() bool {
	if p.Course == Hold {
		return p.Given.BolusMl >= givenBolusMl
	}
	g, known := p.givenCourse()
	return known && g == p.Course
}

// leftAlone says that clinicians gave neither vasopressor nor bolus.
func (p *Point) leftAlone() bool {
	return p.Given.NEUgKgMin == 0 && p.Given.BolusMl < givenBolusMl
}
