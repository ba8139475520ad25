// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the response of a hook call, and the rules of the contract
// (reference cdshooks.md C) that are checked on every response before it is
// sent. A response that breaks one is a defect of ours: it is not sent.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSummary is the longest summary, in code points: the contract wants fewer
// than 140.
const MaxSummary = 139

// Response is the answer to a hook call.
type Response struct {
	Cards []Card `json:"cards"`
}

// Card is one piece of guidance.
type Card struct {
	UUID              string                     `json:"uuid"`
	Summary           string                     `json:"summary"`
	Indicator         string                     `json:"indicator"`
	Detail            string                     `json:"detail,omitempty"`
	Source            Source                     `json:"source"`
	Suggestions       []Suggestion               `json:"suggestions,omitempty"`
	SelectionBehavior string                     `json:"selectionBehavior,omitempty"`
	OverrideReasons   []Coding                   `json:"overrideReasons,omitempty"`
	Links             []Link                     `json:"links,omitempty"`
	Extension         map[string]json.RawMessage `json:"extension,omitempty"`
}

// The indicators, least urgent first.
const (
	IndicatorInfo     = "info"
	IndicatorWarning  = "warning"
	IndicatorCritical = "critical"
)

// The selection behaviours. Epic knows only any.
const (
	SelectAtMostOne = "at-most-one"
	SelectAny       = "any"
)

// Source is the primary source of a card's guidance.
type Source struct {
	Label string  `json:"label"`
	URL   string  `json:"url,omitempty"`
	Icon  string  `json:"icon,omitempty"`
	Topic *Coding `json:"topic,omitempty"`
}

// Coding is a code of CDS Hooks: code and system are both required.
type Coding struct {
	Code    string `json:"code"`
	System  string `json:"system"`
	Display string `json:"display,omitempty"`
}

// Suggestion is something that a clinician may accept. One without actions
// changes nothing in the chart: accepting it says that the advice is followed.
type Suggestion struct {
	Label         string   `json:"label"`
	UUID          string   `json:"uuid"`
	IsRecommended bool     `json:"isRecommended,omitempty"`
	Actions       []Action `json:"actions,omitempty"`
}

// Action is one change that a suggestion makes when accepted.
type Action struct {
	Type        string          `json:"type"`
	Description string          `json:"description"`
	Resource    json.RawMessage `json:"resource,omitempty"`
	ResourceID  string          `json:"resourceId,omitempty"`
}

// Link leads from a card to more. AppContext goes to the app that a smart link
// launches.
type Link struct {
	Label      string `json:"label"`
	URL        string `json:"url"`
	Type       string `json:"type"`
	AppContext string `json:"appContext,omitempty"`
}

// The types of links.
const (
	LinkAbsolute = "absolute"
	LinkSMART    = "smart"
)

// Encode validates the response and writes it. An error wraps ErrInvalid.
func (r Response) Encode() ([]byte, error) {
	if r.Cards == nil {
		r.Cards = []Card{}
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// Validate checks every rule that the contract sets for a response.
func (r Response) Validate() error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if r.Cards == nil {
		return fmt.Errorf("%w: cards is null", ErrInvalid)
	}
	if err := blank("", tree, map[string]bool{"cards": true}); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	seen := map[string]bool{}
	for i, c := range r.Cards {
		if err := c.validate(seen); err != nil {
			return fmt.Errorf("%w: cards[%d]: %w", ErrInvalid, i, err)
		}
	}
	return nil
}

func (c Card) validate(seen map[string]bool) error {
	if err := once(seen, c.UUID); err != nil {
		return err
	}
	if err := checkSummary(c.Summary); err != nil {
		return err
	}
	switch c.Indicator {
	case IndicatorInfo, IndicatorWarning, IndicatorCritical:
	default:
		return fmt.Errorf("indicator %q is not one of info, warning, critical", c.Indicator)
	}
	if err := checkDetail(c.Detail); err != nil {
		return err
	}
	if err := c.Source.validate(); err != nil {
		return err
	}
	if err := c.validateSuggestions(seen); err != nil {
		return err
	}
	for i, o := range c.OverrideReasons {
		if o.Code == "" || o.System == "" || o.Display == "" {
			return fmt.Errorf("overrideReasons[%d] needs code, system and display", i)
		}
	}
	for i, l := range c.Links {
		if err := l.validate(); err != nil {
			return fmt.Errorf("links[%d]: %w", i, err)
		}
	}
	for key := range c.Extension {
		if !strings.Contains(key, ".") {
			return fmt.Errorf("extension %q is not a reverse-DNS key", key)
		}
	}
	return nil
}

func (l Link) validate() error {
	switch {
	case l.Label == "" || l.Type != LinkAbsolute && l.Type != LinkSMART:
		return errors.New("it needs a label and a type")
	case l.AppContext != "" && l.Type != LinkSMART:
		return errors.New("appContext without an app to launch")
	case l.Type == LinkSMART && strings.ContainsAny(l.URL, "?#"):
		return errors.New("the URL of an app has a query: the client adds iss and launch")
	}
	return webURL(l.URL)
}

func once(seen map[string]bool, id string) error {
	if !uuidForm.MatchString(id) {
		return fmt.Errorf("uuid %q is not a UUID", id)
	}
	if seen[id] {
		return fmt.Errorf("uuid %s is used twice", id)
	}
	seen[id] = true
	return nil
}

func checkSummary(s string) error {
	switch n := utf8.RuneCountInString(s); {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("summary is empty")
	case n > MaxSummary:
		return fmt.Errorf("summary has %d code points, more than %d", n, MaxSummary)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }):
		return fmt.Errorf("summary holds control characters or line breaks")
	}
	return nil
}

// rawHTML matches anything a GFM renderer might pass on as HTML, and images.
var rawHTML = regexp.MustCompile(`<[A-Za-z/!?]|!\[`)

// checkDetail refuses HTML and images: a client may render both. Text from the
// chart is escaped by the renderer, where a backslash stands before such a <.
func checkDetail(detail string) error {
	for _, at := range rawHTML.FindAllStringIndex(detail, -1) {
		if at[0] == 0 || detail[at[0]-1] != '\\' {
			return fmt.Errorf("detail holds HTML or an image")
		}
	}
	if !utf8.ValidString(detail) || strings.ContainsFunc(detail, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		return fmt.Errorf("detail holds control characters")
	}
	return nil
}

func (s Source) validate() error {
	if strings.TrimSpace(s.Label) == "" {
		return fmt.Errorf("source.label is empty")
	}
	for _, u := range []string{s.URL, s.Icon} {
		if u == "" {
			continue
		}
		if err := webURL(u); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if s.Topic == nil || s.Topic.Code == "" || s.Topic.System == "" {
		return fmt.Errorf("source.topic needs code and system")
	}
	if len(s.Topic.Code) > 100 || strings.ContainsFunc(s.Topic.Code, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) {
		return fmt.Errorf("source.topic.code %q is not alphanumeric of at most 100 characters", s.Topic.Code)
	}
	return nil
}

func (c Card) validateSuggestions(seen map[string]bool) error {
	if len(c.Suggestions) == 0 {
		if c.SelectionBehavior != "" {
			return fmt.Errorf("selectionBehavior without suggestions")
		}
		return nil
	}
	if c.SelectionBehavior != SelectAtMostOne && c.SelectionBehavior != SelectAny {
		return fmt.Errorf("suggestions need a selectionBehavior")
	}
	recommended := 0
	for i, s := range c.Suggestions {
		if strings.TrimSpace(s.Label) == "" {
			return fmt.Errorf("suggestions[%d] has no label", i)
		}
		if err := once(seen, s.UUID); err != nil {
			return fmt.Errorf("suggestions[%d]: %w", i, err)
		}
		if s.IsRecommended {
			recommended++
		}
		if len(s.Actions) > 1 {
			return fmt.Errorf("suggestions[%d] has %d actions: Epic takes one", i, len(s.Actions))
		}
		for j, a := range s.Actions {
			if err := a.validate(); err != nil {
				return fmt.Errorf("suggestions[%d].actions[%d]: %w", i, j, err)
			}
		}
	}
	if recommended > 1 && c.SelectionBehavior == SelectAtMostOne {
		return fmt.Errorf("%d suggestions are recommended where at most one may be chosen", recommended)
	}
	return nil
}

func (a Action) validate() error {
	if strings.TrimSpace(a.Description) == "" {
		return fmt.Errorf("description is empty")
	}
	switch a.Type {
	case "create", "update":
		o, err := members(a.Resource)
		if err != nil {
			return fmt.Errorf("%s needs a resource", a.Type)
		}
		if kind, err := o.text("resourceType"); err != nil || kind == "" {
			return fmt.Errorf("the resource has no resourceType")
		}
		if id, err := o.text("id"); a.Type == "update" && (err != nil || id == "") {
			return fmt.Errorf("update needs the id of the resource")
		}
		if a.ResourceID != "" {
			return fmt.Errorf("%s has a resourceId, which only delete has", a.Type)
		}
	case "delete":
		if kind, id, _ := strings.Cut(a.ResourceID, "/"); kind == "" || !onlyLetters(kind) || !bareID(id) || len(a.Resource) > 0 {
			return fmt.Errorf("delete needs a resourceId of the form Type/id and no resource")
		}
	default:
		return fmt.Errorf("type %q is not one of create, update, delete", a.Type)
	}
	return nil
}

func onlyLetters(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
}

func webURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("the URL is not absolute http or https")
	}
	return nil
}
