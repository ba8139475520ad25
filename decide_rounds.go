// SPDX-License-Identifier: Apache-2.0

package main

// This file: `decide --explain`: how the agent came to its plan, round by round,
// and where the time went. The rounds are part of the decision and of its
// receipt; the times are of neither.

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// rounds prints what was proposed and simulated in each round, and by whom.
func (l *lines) rounds(d *agent.Decision) {
	if len(d.Rounds) == 0 {
		return
	}
	l.say("\nproposed, simulated and refined")
	for i, r := range d.Rounds {
		l.say("  round %d: %s", i+1, strings.Join(r.Asked, "; "))
		if r.Why != "" {
			l.say("    %s", r.Why)
		}
		if r.Best == "" {
			l.say("    nothing is permitted")
			continue
		}
		l.say("    best so far: %s, value %.3f", r.Best, r.Value)
	}
	l.table("  OPTION\tPROPOSED BY\tVALUE", func(t io.Writer) {
		for _, o := range d.Options {
			fmt.Fprintf(t, "  %s\t%s\t%.3f\n", o.Proposal.Name, o.Source, o.Value)
		}
	})
	switch {
	case d.Actor == "":
		l.say("  no learned policy beside this model: guideline moves alone")
	case d.Learned == nil:
		l.say("  learned policy %.12s was not asked", d.Actor)
	default:
		l.say("  learned policy %.12s: less vasopressor %.0f %%, more %.0f %%, more fluid %.0f %%", d.Actor, 100*d.Learned.LessVasopressor, 100*d.Learned.MoreVasopressor, 100*d.Learned.MoreFluid)
	}
}

// spans prints where the time of the decision went.
func (l *lines) spans(all []agent.Span) {
	if len(all) == 0 {
		return
	}
	l.say("\ntime")
	for _, s := range all {
		l.say("  %-9s %8.2f ms in %d", s.Name, float64(s.Took)/float64(time.Millisecond), s.N)
	}
}
