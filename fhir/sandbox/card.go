// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the card as an EHR reads it, and its detail as safe HTML.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Card is one CDS Hooks card.
type Card struct {
	UUID      string `json:"uuid"`
	Summary   string `json:"summary"`
	Detail    string `json:"detail"`
	Indicator string `json:"indicator"`
	Source    struct {
		Label string `json:"label"`
		URL   string `json:"url"`
		Topic Coding `json:"topic"`
	} `json:"source"`
	Suggestions       []Suggestion               `json:"suggestions"`
	SelectionBehavior string                     `json:"selectionBehavior"`
	OverrideReasons   []Coding                   `json:"overrideReasons"`
	Links             []Link                     `json:"links"`
	Extension         map[string]json.RawMessage `json:"extension"`

	HTML  template.HTML `json:"-"` // Detail, rendered
	Facts []Fact        `json:"-"` // Extension, flattened
}

// Coding is a code with a name.
type Coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display"`
}

// Suggestion is something a clinician may accept.
type Suggestion struct {
	UUID        string `json:"uuid"`
	Label       string `json:"label"`
	Recommended bool   `json:"isRecommended"`
	Actions     []struct {
		Type        string `json:"type"`
		Description string `json:"description"`
	} `json:"actions"`
}

// Link leads out of the EHR: to a page, or to an app that is launched.
type Link struct {
	Label      string `json:"label"`
	URL        string `json:"url"`
	Type       string `json:"type"`
	AppContext string `json:"appContext"`
}

// Fact is one leaf of a card's extension.
type Fact struct {
	Name, Value string
	URL         bool
}

// Tone is how urgent the card says it is, in words an EHR would show.
func (c *Card) Tone() string {
	switch c.Indicator {
	case "critical":
		return "Critical"
	case "warning":
		return "Warning"
	}
	return "Information"
}

// markdown renders GitHub-flavoured Markdown. Raw HTML is left out by goldmark,
// and so are dangerous link targets; images are left out here, because showing
// one would send a request to wherever the card says.
type markdown struct{ engine goldmark.Markdown }

func newMarkdown() markdown {
	return markdown{goldmark.New(goldmark.WithExtensions(extension.GFM))}
}

func (m markdown) render(source string) (template.HTML, error) {
	src := []byte(source)
	doc := m.engine.Parser().Parse(text.NewReader(src))
	var images []ast.Node
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering && n.Kind() == ast.KindImage {
			images = append(images, n)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", fmt.Errorf("render card detail: %w", err)
	}
	for _, n := range images {
		n.Parent().RemoveChild(n.Parent(), n)
	}
	var out bytes.Buffer
	if err := m.engine.Renderer().Render(&out, src, doc); err != nil {
		return "", fmt.Errorf("render card detail: %w", err)
	}
	// Wide tables scroll inside their own focusable region; "<table>" cannot come
	// from the card's text, which is escaped.
	html := strings.NewReplacer(
		"<table>", `<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>`, "</table>", "</table></div>",
		"<h1", "<h4", "</h1", "</h4", "<h2", "<h4", "</h2", "</h4", "<h3", "<h4", "</h3", "</h4",
	).Replace(out.String())
	return template.HTML(html), nil
}

// render fills what the page shows. Links that are not absolute http(s) are
// dropped: an EHR opens nothing else.
func (c *Card) render(m markdown) {
	html, err := m.render(c.Detail)
	if err != nil {
		html = template.HTML(template.HTMLEscapeString(c.Detail))
	}
	c.HTML = html
	c.Links = slices.DeleteFunc(c.Links, func(l Link) bool { return !isWebURL(l.URL) })
	if !isWebURL(c.Source.URL) {
		c.Source.URL = ""
	}
	names := make([]string, 0, len(c.Extension))
	for name := range c.Extension {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var v any
		if json.Unmarshal(c.Extension[name], &v) == nil {
			c.Facts = flatten(c.Facts, "", v, 0)
		}
	}
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// flatten lists the leaves of an extension value, four levels deep at most.
func flatten(facts []Fact, name string, v any, depth int) []Fact {
	switch x := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if depth < 4 {
				facts = flatten(facts, strings.TrimSpace(name+" "+k), x[k], depth+1)
			}
		}
	case []any, nil:
	case string:
		facts = append(facts, Fact{name, x, isWebURL(x)})
	default:
		facts = append(facts, Fact{name, fmt.Sprint(x), false})
	}
	return facts
}
