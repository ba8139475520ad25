// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the two pages: templates, style and the policy a browser is given
// with them.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

//go:embed pages
var pages embed.FS

var templates = template.Must(template.ParseFS(pages, "pages/*.html"))

//go:embed pages/style.css
var style string

// ContentSecurityPolicy is the policy of both pages: the one style sheet that
// is part of them, and nothing else from anywhere.
var ContentSecurityPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// Input is what the pages are made of. Timeline was built again from the
// receipt's own records.
type Input struct {
	Receipt  *engine.Receipt
	Timeline *state.Timeline
	// Withheld: the display mode shows no dose, so that the advice, the options
	// and what speaks of them are left out.
	Withheld   bool
	Summary    string // of the card, or why there was none
	Indicator  string
	Zone       *time.Location
	ReceiptURL string
}

// Evidence writes the evidence page.
func Evidence(in Input) ([]byte, error) {
	return execute("evidence.html", newView(in))
}

// ReceiptInput is what the receipt page is made of.
type ReceiptInput struct {
	Record      audit.Record
	Receipt     *engine.Receipt // nil when nothing was decided
	Inclusion   *audit.Inclusion
	Zone        *time.Location
	EvidenceURL string
	Sources     []Source // of the chart, by prefetch key
}

// Source is how one prefetch key of a call was had.
type Source struct {
	Key       string
	How       string // prefetch, fetched, null, partial, denied, ...
	Resources int
	Why       string // where it is not plain
}

// Receipt writes the receipt page.
func Receipt(in ReceiptInput) ([]byte, error) {
	v := struct {
		CSS                                  template.CSS
		ID, At, AtISO, StatusWords, Standing string
		Checkpoint, EvidenceURL              string
		Path                                 []string
		Place, MadeWith                      []fact
		Sources                              []Source
	}{
		CSS: template.CSS(style), ID: in.Record.Index.ID, EvidenceURL: in.EvidenceURL, Sources: in.Sources,
		At: in.Record.Index.Time.In(in.Zone).Format("2006-01-02 15:04:05 MST"), AtISO: in.Record.Index.Time.UTC().Format(time.RFC3339),
		StatusWords: in.Record.Index.Kind,
		Standing:    fmt.Sprintf("Entry %d of the log", in.Record.Leaf),
		Place: []fact{
			{"Entry", fmt.Sprint(in.Record.Leaf)}, {"Leaf hash", in.Record.LeafHash},
			{"Size of the entry", fmt.Sprintf("%d bytes", len(in.Record.Body))},
		},
	}
	if in.Record.Index.Status != "" {
		v.StatusWords += ": " + in.Record.Index.Status
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

func execute(name string, view any) ([]byte, error) {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, view); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return buf.Bytes(), nil
}

// fact is one line of a list of facts.
type fact struct{ Label, Value string }

func madeWith(r *engine.Receipt) []fact {
	return []fact{
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
}
