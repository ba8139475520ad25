// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: whatever passes Validate is written as JSON that keeps the shape
// that chapter C asks for. The shape is checked here on the bytes, by code that
// shares nothing with Validate.

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wholeResponse is a response that uses every member.
func wholeResponse() Response {
	return Response{Cards: []Card{{
		UUID: cardID("a", 1, "card"), Summary: "s", Indicator: "info", Detail: "**d** 5 \\< 6",
		Source:            Source{Label: "l", URL: "https://x.example/", Icon: "https://x.example/i.png", Topic: &Coding{Code: "t", System: "s"}},
		SelectionBehavior: SelectAtMostOne,
		Suggestions: []Suggestion{
			{Label: "l", UUID: cardID("a", 1, "s"), IsRecommended: true, Actions: []Action{{Type: "create", Description: "d", Resource: json.RawMessage(`{"resourceType":"MedicationRequest","status":"draft"}`)}}},
			{Label: "m", UUID: cardID("a", 1, "t"), Actions: []Action{{Type: "delete", Description: "d", ResourceID: "MedicationRequest/o"}}},
		},
		OverrideReasons: []Coding{{Code: "a", System: "b", Display: "c"}},
		Links:           []Link{{Label: "l", URL: "https://x.example/", Type: "absolute"}},
		Extension:       map[string]json.RawMessage{"org.example.x": json.RawMessage("1")},
	}}}
}

func FuzzValidate(f *testing.F) {
	for _, r := range []Response{wholeResponse(), {Cards: []Card{}}} {
		raw, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add([]byte(strings.ReplaceAll(string(raw), "at-most-one", "any")))
		f.Add([]byte(strings.ReplaceAll(string(raw), `"create"`, `"update"`)))
		f.Add([]byte(strings.ReplaceAll(string(raw), `"s"`, `"s\u2029"`)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r Response
		if json.Unmarshal(body, &r) != nil {
			return
		}
		out, err := r.Encode()
		if err != nil {
			return
		}
		var doc map[string]any
		if err := json.Unmarshal(out, &doc); err != nil {
			t.Fatal(err)
		}
		if err := shapeOfResponse(doc); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// shape collects what is wrong with one object.
type shape struct {
	at    string
	wrong []string
}

func (s *shape) want(ok bool, line, format string, args ...any) {
	if !ok {
		s.wrong = append(s.wrong, line+": "+s.at+fmt.Sprintf(format, args...))
	}
}

func (s *shape) members(of map[string]any, line string, allowed ...string) {
	for name, v := range of {
		s.want(slices.Contains(allowed, name), line, "member %s", name)
		s.want(!hollow(v), "C3", "%s is empty", name)
	}
}

func hollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0 || slices.ContainsFunc(v, hollow)
	case map[string]any:
		for _, x := range v {
			if hollow(x) {
				return true
			}
		}
		return len(v) == 0
	}
	return false
}

func text(of map[string]any, name string) string { s, _ := of[name].(string); return s }

func objects(of map[string]any, name string) []map[string]any {
	list, _ := of[name].([]any)
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i], _ = v.(map[string]any)
	}
	return out
}

func isWeb(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

var (
	shapeOfUUID  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	shapeOfTopic = regexp.MustCompile(`^[A-Za-z0-9]{1,100}$`)
	shapeOfRef   = regexp.MustCompile(`^[A-Za-z]+/[^/]+$`)
	// An unescaped < that could open a tag, or an image.
	shapeOfHTML = regexp.MustCompile(`(^|[^\\])<[A-Za-z/!?]|!\[`)
)

func shapeOfResponse(doc map[string]any) error {
	s := &shape{}
	cards, ok := doc["cards"].([]any)
	s.want(ok && len(doc) == 1, "C1, C43", "not an object with cards alone")
	seen := map[string]bool{}
	for i, raw := range cards {
		card, _ := raw.(map[string]any)
		s.at = fmt.Sprintf("cards[%d] ", i)
		s.card(card, seen)
	}
	if len(s.wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(s.wrong, "; "))
	}
	return nil
}

func (s *shape) card(c map[string]any, seen map[string]bool) {
	s.members(c, "C1", "uuid", "summary", "indicator", "detail", "source", "suggestions", "selectionBehavior", "overrideReasons", "links", "extension")
	s.id(c, "C14", seen)
	summary := text(c, "summary")
	s.want(strings.TrimSpace(summary) != "" && len([]rune(summary)) < 140 && !strings.ContainsAny(summary, "\r\n\v\f\u0085\u2028\u2029"), "C5", "summary %q", summary)
	s.want(slices.Contains([]string{"info", "warning", "critical"}, text(c, "indicator")), "C7", "indicator")
	s.want(!shapeOfHTML.MatchString(text(c, "detail")), "C16", "detail")
	source, _ := c["source"].(map[string]any)
	s.want(text(source, "label") != "", "C9", "label")
	for _, name := range []string{"url", "icon"} {
		s.want(text(source, name) == "" || isWeb(text(source, name)), "C10, C11", "%s", name)
	}
	topic, _ := source["topic"].(map[string]any)
	s.want(shapeOfTopic.MatchString(text(topic, "code")) && text(topic, "system") != "", "C12, C13", "topic")
	for _, o := range objects(c, "overrideReasons") {
		s.want(text(o, "code") != "" && text(o, "system") != "" && text(o, "display") != "", "C34", "override reason")
	}
	for _, l := range objects(c, "links") {
		s.members(l, "C36", "label", "url", "type", "appContext")
		s.want(text(l, "type") == "smart" || text(l, "appContext") == "", "C38", "appContext")
		s.want(text(l, "type") != "smart" || !strings.ContainsAny(text(l, "url"), "?#"), "C37", "url")
		s.want(text(l, "label") != "" && isWeb(text(l, "url")) && (text(l, "type") == "absolute" || text(l, "type") == "smart"), "C36", "link")
	}
	suggestions := objects(c, "suggestions")
	behaviour := text(c, "selectionBehavior")
	s.want((len(suggestions) == 0) == (behaviour == "") && slices.Contains([]string{"", "any", "at-most-one"}, behaviour), "C19", "behaviour %q", behaviour)
	recommended := 0
	for _, g := range suggestions {
		s.members(g, "C30", "label", "uuid", "isRecommended", "actions")
		s.id(g, "C21", seen)
		s.want(strings.TrimSpace(text(g, "label")) != "", "C20", "label")
		if g["isRecommended"] == true {
			recommended++
		}
		actions := objects(g, "actions")
		s.want(len(actions) <= 1, "C29", "%d actions", len(actions))
		for _, a := range actions {
			s.action(a)
		}
	}
	s.want(recommended <= 1 || behaviour == "any", "C22", "%d recommended", recommended)
}

func (s *shape) id(of map[string]any, line string, seen map[string]bool) {
	id := text(of, "uuid")
	s.want(shapeOfUUID.MatchString(id) && !seen[id], line, "uuid %q", id)
	seen[id] = true
}

func (s *shape) action(a map[string]any) {
	s.members(a, "C23", "type", "description", "resource", "resourceId")
	s.want(strings.TrimSpace(text(a, "description")) != "", "C24", "description")
	resource, isObject := a["resource"].(map[string]any)
	_, hasResource := a["resource"]
	_, hasID := a["resourceId"]
	switch text(a, "type") {
	case "create":
		s.want(isObject && text(resource, "resourceType") != "" && !hasID, "C25", "create")
	case "update":
		s.want(isObject && text(resource, "resourceType") != "" && text(resource, "id") != "" && !hasID, "C26", "update")
	case "delete":
		s.want(!hasResource && shapeOfRef.MatchString(text(a, "resourceId")), "C28", "delete")
	default:
		s.want(false, "C23", "type %q", text(a, "type"))
	}
}
