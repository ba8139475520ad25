// SPDX-License-Identifier: Apache-2.0

package console

// This file: a card as it was shown, from the response that was sent.

import (
	"bytes"
	"encoding/json"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// cardView is a card as an EHR shows it, but that nothing in it leads anywhere.
type cardView struct {
	Summary, Indicator, Tone, Source string
	Detail                           template.HTML
	Suggestions                      []suggestionView
	OverrideReasons                  []string
	Links                            []string
}

type suggestionView struct {
	Label       string
	Recommended bool
	Actions     []string
	Accepted    bool
}

// cardsOf reads the cards of a response. accepted are the uuids of what was
// accepted.
func cardsOf(response []byte, accepted map[string]bool) []cardView {
	var sent cdshooks.Response
	if json.Unmarshal(response, &sent) != nil {
		return nil
	}
	var out []cardView
	for _, card := range sent.Cards {
		v := cardView{Summary: card.Summary, Indicator: card.Indicator, Tone: toneWords[card.Indicator], Source: card.Source.Label, Detail: rendered(card.Detail)}
		for _, s := range card.Suggestions {
			sv := suggestionView{Label: s.Label, Recommended: s.IsRecommended, Accepted: accepted[s.UUID]}
			for _, a := range s.Actions {
				sv.Actions = append(sv.Actions, a.Type+": "+a.Description)
			}
			v.Suggestions = append(v.Suggestions, sv)
		}
		for _, r := range card.OverrideReasons {
			v.OverrideReasons = append(v.OverrideReasons, r.Display)
		}
		for _, l := range card.Links {
			v.Links = append(v.Links, l.Label)
		}
		out = append(out, v)
	}
	return out
}

var toneWords = map[string]string{"info": "Information", "warning": "Warning", "critical": "Critical"}

// gfm renders GitHub-flavoured Markdown; raw HTML in it is left out.
var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM))

// rendered is a card's detail. Images and links are left out, but for their
// words: reading the log sends nobody anything. Headings come below ours.
func rendered(source string) template.HTML {
	src := []byte(source)
	doc := gfm.Parser().Parse(text.NewReader(src))
	var leave []ast.Node
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			n.Level = min(6, n.Level+3)
		case *ast.Image, *ast.Link, *ast.AutoLink:
			leave = append(leave, n)
		}
		return ast.WalkContinue, nil
	})
	for _, n := range leave {
		for child := n.FirstChild(); child != nil; child = n.FirstChild() {
			n.Parent().InsertBefore(n.Parent(), n, child)
		}
		if auto, ok := n.(*ast.AutoLink); ok {
			n.Parent().InsertBefore(n.Parent(), n, ast.NewString(auto.Label(src)))
		}
		n.Parent().RemoveChild(n.Parent(), n)
	}
	var out bytes.Buffer
	if err != nil || gfm.Renderer().Render(&out, src, doc) != nil {
		return template.HTML(template.HTMLEscapeString(source))
	}
	// "<table>" cannot come from the text, which is escaped.
	html := bytes.ReplaceAll(out.Bytes(), []byte("<table>"), []byte(`<div class="scroll" tabindex="0" role="region" aria-label="Table of the card"><table>`))
	html = bytes.ReplaceAll(html, []byte("</table>"), []byte("</table></div>"))
	return template.HTML(html)
}
