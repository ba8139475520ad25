// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the receipt page: where an entry is in the log, the proof of it,
// and what the decision was made with. Every kind of entry has one, those of
// calls that failed too.

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
)

// ReceiptInput is what the receipt page is made of.
type ReceiptInput struct {
	Record      audit.Record
	Receipt     *engine.Receipt // nil when nothing was decided
	Inclusion   *audit.Inclusion
	Zone        *time.Location
	EvidenceURL string
	Happened    string   // of a call that was not answered: why, in fixed words
	Unread      bool     // what was recorded is no record that this version reads
	Sources     []Source // of the chart, by prefetch key
}

// Source is how one prefetch key of a call was had.
type Source struct {
	Key       string
	How       string // prefetch, fetched, null, partial, denied, ...
	Resources int
	Why       string // where it is not plain
}

type receiptView struct {
	frame
	ID, At, AtISO, StatusWords, Indicator string
	Standing, Checkpoint, EvidenceURL     string
	Happened                              string
	Undecided, Unread                     bool
	Path                                  []string
	Place, MadeWith                       []fact
	Sources                               []Source
}

// kindWords say what an entry is about. A kind that is not here is shown by its
// own name.
var kindWords = map[string]string{
	"decision": "Decision", "refusal": "Call refused", "failure": "Call not answered", "feedback": "Feedback",
	"batch": "Feedback call", "read": "Page opened", "config": "Configuration",
}

// Receipt writes the receipt page.
func Receipt(in ReceiptInput) ([]byte, error) {
	ix := in.Record.Index
	v := receiptView{
		frame: newFrame("Receipt of a sepsis decision"), ID: ix.ID, EvidenceURL: in.EvidenceURL, Sources: in.Sources, Happened: in.Happened,
		At: ix.Time.In(in.Zone).Format("2006-01-02 15:04:05 MST"), AtISO: ix.Time.UTC().Format(time.RFC3339),
		StatusWords: cmp.Or(kindWords[ix.Kind], ix.Kind, "entry"), Indicator: "info",
		Standing:  fmt.Sprintf("Entry %d of the log", in.Record.Leaf),
		Undecided: in.Receipt == nil, Unread: in.Unread,
		Place: []fact{{"Entry", fmt.Sprint(in.Record.Leaf)}, {"Leaf hash", in.Record.LeafHash}, {"Size of the entry", fmt.Sprintf("%d bytes", len(in.Record.Body))}},
	}
	if ix.Status != "" {
		v.StatusWords += ": " + ix.Status
	}
	if ix.HTTP >= 400 {
		v.Indicator = "warning"
		v.Place = append(v.Place, fact{"Answered with", fmt.Sprintf("HTTP %d", ix.HTTP)})
		if len(ix.Reasons) > 0 {
			v.Place = append(v.Place, fact{"Reason", strings.Join(ix.Reasons, ", ")})
		}
	}
	if p := in.Inclusion; p != nil {
		v.Checkpoint = p.Checkpoint
		for _, h := range p.Path {
			v.Path = append(v.Path, h.String())
		}
		v.Standing += ", proven by the signed checkpoint below"
	}
	if in.Receipt != nil {
		v.MadeWith = madeWith(in.Receipt)
	}
	return execute("receipt.html", v)
}

func madeWith(r *engine.Receipt) []fact {
	out := []fact{
		{"Decision", r.ID},
		{"Model", r.Model.Kind + " " + r.Model.Version},
		{"Model hash", r.Hashes.Model},
		{"Trained on", r.Model.Trained},
		{"Rules", r.Hashes.Rules},
		{"Code maps", r.Hashes.CodeMaps},
		{"Configuration", r.Hashes.Config},
		{"Build", r.Hashes.Build},
		{"Timeline digest", r.TimelineDigest},
	}
	if actor := r.Outcome.Decision.Actor; actor != "" {
		out = append(out, fact{"Learned policy", actor})
	}
	if c := r.Outcome.Decision.Consulted; c != nil {
		out = append(out, fact{"Language model", c.Model + ", prompts " + c.Prompts})
	}
	return out
}
