// SPDX-License-Identifier: Apache-2.0

package console

// This file: templates, style, what every page has around its content, and the
// policy a browser is given.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
)

//go:embed pages
var pages embed.FS

var templates = template.Must(template.New("").ParseFS(pages, "pages/*.html"))

//go:embed pages/style.css
var ownStyle string

// style is that of the evidence pages, whose parts are shown here, and ours.
var style = evidence.Style() + ownStyle

// contentSecurityPolicy: the one style sheet that is part of each page, forms to
// ourselves, and nothing else from anywhere.
var contentSecurityPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}()

// frame is what every page has around its content.
type frame struct {
	CSS          template.CSS
	Title, Here  string // Here: which part of the console
	User, Roles  string // empty: nobody is signed in
	Form         string // secret of the session's forms
	Demo         bool
	Search, Rate bool // may this reader
}

// frame of a page for a visit; v may be nil.
func (c *Console) frame(v *visit, title, here string) frame {
	f := frame{CSS: template.CSS(style), Title: title, Here: here, Demo: c.Demo != ""} // style is ours
	if v == nil || v.session == nil {
		return f
	}
	var roles []string
	for _, r := range v.reader.Roles {
		roles = append(roles, string(r))
	}
	f.User, f.Roles, f.Form = v.reader.User(), strings.Join(roles, ", "), v.session.Form
	f.Search = v.reader.Has(access.Auditor) || v.reader.Has(access.Investigator)
	f.Rate = v.reader.May(access.Rates, "") == nil
	return f
}

// execute writes a page: .Frame and .Page in its template.
func (c *Console) execute(name string, f frame, content any) ([]byte, error) {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, struct {
		Frame frame
		Page  any
	}{f, content}); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return buf.Bytes(), nil
}

// shown is a page as an answer.
func (c *Console) shown(v *visit, name, title, here string, content any) (answer, error) {
	body, err := c.execute(name, c.frame(v, title, here), content)
	return answer{body: body}, err
}

// fact is one line of a list of facts. A code is shown as one.
type fact struct {
	Label, Value string
	Code         bool
}

// facts leaves out those without a value.
func facts(all ...fact) []fact {
	var out []fact
	for _, f := range all {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// stamp is a time as a reader in the hospital's zone reads it.
func stamp(at time.Time, zone *time.Location) string {
	if at.IsZero() {
		return ""
	}
	return at.In(zone).Format("2006-01-02 15:04:05 MST")
}
