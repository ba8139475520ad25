// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: templates, style and the policy a browser is given with the pages.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
)

//go:embed pages
var pages embed.FS

var templates = template.Must(template.ParseFS(pages, "pages/*.html"))

//go:embed pages/style.css
var style string

// ContentSecurityPolicy is the policy of every page: the one style sheet that
// is part of it, and nothing else from anywhere. framers are the origins whose
// pages may show it in a frame; none: nobody's.
func ContentSecurityPolicy(framers ...string) string {
	ancestors := "'none'"
	if len(framers) > 0 {
		ancestors = strings.Join(framers, " ")
	}
	return policyHead + ancestors
}

var policyHead = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors "
}()

// frame is what every page has around its content.
type frame struct {
	CSS   template.CSS
	Title string
}

func newFrame(title string) frame { return frame{template.CSS(style), title} }

// fact is one line of a list of facts.
type fact struct{ Label, Value string }

func execute(name string, view any) ([]byte, error) {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, view); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return buf.Bytes(), nil
}

// Notice writes a page that only says something, in place of one that cannot
// be shown.
func Notice(title, text string) ([]byte, error) {
	return execute("notice.html", struct {
		frame
		Text string
	}{newFrame(title), text})
}
