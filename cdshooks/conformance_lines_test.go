// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: tests of single lines of the checklist that nothing else holds.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// announced are the services of a discovery document, as a client sees them.
func announced(t *testing.T, c *clinic) []map[string]any {
	t.Helper()
	var doc struct {
		Services []map[string]any `json:"services"`
	}
	if err := json.Unmarshal(c.get("/cds-services").body, &doc); err != nil || len(doc.Services) == 0 {
		t.Fatal(err)
	}
	return doc.Services
}

var (
	prefetchToken = regexp.MustCompile(`\{\{(.*?)\}\}`)
	plainToken    = regexp.MustCompile(`^(context\.(patientId|userId|encounterId)|userPractitionerId|userPractitionerRoleId|userPatientId|userRelatedPersonId)$`)
	urlSegment    = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
)

func TestConformanceOfDiscovery(t *testing.T) {
	c := open(t, nil)
	services := announced(t, c)
	isText := func(t *testing.T, of map[string]any, names ...string) {
		t.Helper()
		for _, name := range names {
			if s, ok := of[name].(string); !ok || strings.TrimSpace(s) == "" {
				t.Errorf("%v: %s is %v", of["id"], name, of[name])
			}
		}
	}
	templates := func(t *testing.T, look func(key, template string)) {
		t.Helper()
		for _, s := range services {
			prefetch, ok := s["prefetch"].(map[string]any)
			if !ok || len(prefetch) == 0 {
				t.Fatalf("%v has no prefetch", s["id"])
			}
			for key, v := range prefetch {
				text, ok := v.(string)
				if !ok {
					t.Errorf("%s is no text", key)
				}
				look(key, text)
			}
		}
	}
	t.Run("A4: hook, description and id are text", func(t *testing.T) {
		for _, s := range services {
			isText(t, s, "hook", "description", "id")
		}
	})
	t.Run("A5: there is a title", func(t *testing.T) {
		for _, s := range services {
			isText(t, s, "title")
		}
	})
	t.Run("A6: prefetch and usageRequirements are text", func(t *testing.T) {
		for _, s := range services {
			isText(t, s, "usageRequirements")
		}
		templates(t, func(string, string) {})
	})
	t.Run("A7: no version is claimed unless configured", func(t *testing.T) { wantNone(t, services, "version") })
	t.Run("A8: no hookVersion is claimed unless configured", func(t *testing.T) { wantNone(t, services, "hookVersion") })
	t.Run("A10: the id is one segment of a URL", func(t *testing.T) {
		for _, s := range services {
			if id, _ := s["id"].(string); !urlSegment.MatchString(id) {
				t.Errorf("%q", id)
			}
		}
	})
	t.Run("A13: prefetch uses plain tokens of the context", func(t *testing.T) {
		templates(t, func(key, template string) {
			for _, m := range prefetchToken.FindAllStringSubmatch(template, -1) {
				if !plainToken.MatchString(m[1]) {
					t.Errorf("%s: token %q", key, m[1])
				}
			}
		})
	})
	t.Run("A17: templates are relative and sort as FHIR does", func(t *testing.T) {
		templates(t, func(key, template string) {
			if strings.HasPrefix(template, "/") || strings.Contains(template, "sort:") || strings.HasPrefix(template, "http") {
				t.Errorf("%s: %s", key, template)
			}
		})
	})
	t.Run("A18: no parameter is repeated", func(t *testing.T) {
		templates(t, func(key, template string) {
			_, query, _ := strings.Cut(template, "?")
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
			for name, v := range values {
				if len(v) > 1 {
					t.Errorf("%s: %s stands %d times", key, name, len(v))
				}
			}
		})
	})
	t.Run("A22: a client that sends a token is answered too", func(t *testing.T) {
		req, _ := http.NewRequest(http.MethodGet, c.server.URL+"/cds-services", nil)
		req.Header.Set("Authorization", "Bearer "+c.token("/cds-services"))
		if r := c.do(req); r.status != http.StatusOK {
			t.Error(r.status)
		}
	})
}

func wantNone(t *testing.T, services []map[string]any, name string) {
	t.Helper()
	for _, s := range services {
		if v, ok := s[name]; ok {
			t.Errorf("%v claims %s %v", s["id"], name, v)
		}
	}
}

func TestTheOverlayOfVersion3IsAnnouncedWhereItIsSet(t *testing.T) {
	c := open(t, func(d *Deps, _ *trust.Client) { d.Config.SpecVersion = "3.0.0" })
	for _, s := range announced(t, c) {
		if s["version"] != "3.0.0" || s["hookVersion"] != "1.0" {
			t.Errorf("%v: %v, %v", s["id"], s["version"], s["hookVersion"])
		}
	}
	cfg := DefaultConfig()
	cfg.PublicURL = "https://cds.example.org"
	for _, wrong := range []string{"2.0.1", "STU3", "3", "3.0.0 "} {
		if cfg.SpecVersion = wrong; !errors.Is(cfg.Validate(), ErrConfig) {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestConformanceOfRequests(t *testing.T) {
	c := open(t, nil)
	whole := func() map[string]any {
		return map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "Observation.Read (Labs) (R4) Patient.Read", "subject": "x"}
	}
	t.Run("B5: a token without fhirServer is refused", func(t *testing.T) {
		c.t = t
		c.wantRefusal(c.view(physiology.SepticShock, func(b map[string]any) {
			b["fhirAuthorization"] = whole()
			delete(b, "fhirServer")
		}), http.StatusBadRequest, KindRefusal, "bad-request")
	})
	t.Run("B6: every member of fhirAuthorization is needed", func(t *testing.T) {
		c.t = t
		for name := range whole() {
			c.wantRefusal(c.view(physiology.SepticShock, func(b map[string]any) {
				a := whole()
				delete(a, name)
				b["fhirAuthorization"] = a
			}), http.StatusBadRequest, KindRefusal, "bad-request")
		}
	})
	t.Run("B7: Epic's scopes are taken", func(t *testing.T) {
		c.t = t
		if r := c.view(physiology.SepticShock, func(b map[string]any) { b["fhirAuthorization"] = whole() }); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("B24: no encounterId is normal", func(t *testing.T) {
		c.t = t
		r := c.view(physiology.Improving, func(b map[string]any) { delete(b["context"].(map[string]any), "encounterId") })
		if r.status != http.StatusOK || len(r.cards()) == 0 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("B44: hookInstance and request id are in the record", func(t *testing.T) {
		c.t = t
		const instance = "d1577c69-dfbe-44ad-ba6d-3e05e953b2aa"
		c.view(physiology.SepticShock, func(b map[string]any) { b["hookInstance"] = instance })
		list := c.records(KindDecision)
		if m := list[len(list)-1].Request; m.HookInstance != instance || m.RequestID == "" {
			t.Errorf("%+v", m)
		}
	})
}

func TestConformanceOfSecurity(t *testing.T) {
	c := open(t, nil)
	t.Run("E5: without a token a bad body is not looked at", func(t *testing.T) {
		c.t = t
		c.wantRefusal(c.post(servicePath, []byte("{"), func(r *http.Request) { r.Header.Del("Authorization") }),
			http.StatusUnauthorized, KindRefusal, "unauthorized-no-token")
	})
}

func TestConformanceOfResponses(t *testing.T) {
	refused := func(t *testing.T, change func(*Card)) {
		t.Helper()
		r := wholeResponse()
		if _, err := r.Encode(); err != nil {
			t.Fatal(err)
		}
		change(&r.Cards[0])
		if _, err := r.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("it is sent: %v", err)
		}
	}
	action := func(a Action) func(*Card) {
		return func(c *Card) { c.Suggestions[0].Actions = []Action{a} }
	}
	t.Run("C5: a line separator in the summary", func(t *testing.T) {
		refused(t, func(c *Card) { c.Summary = "one\u2028two" })
	})
	t.Run("C26: an update without id", func(t *testing.T) {
		refused(t, action(Action{Type: "update", Description: "d", Resource: json.RawMessage(`{"resourceType":"MedicationRequest"}`)}))
	})
	t.Run("C28: a delete of no Type/id", func(t *testing.T) {
		refused(t, action(Action{Type: "delete", Description: "d", ResourceID: "just-an-id"}))
	})
	t.Run("C29: two actions in one suggestion", func(t *testing.T) {
		refused(t, func(c *Card) {
			one := c.Suggestions[0].Actions[0]
			c.Suggestions[0].Actions = []Action{one, one}
		})
	})
	t.Run("C19: Epic's clients get any", func(t *testing.T) {
		c := open(t, func(_ *Deps, client *trust.Client) { client.Quirks.SelectionBehavior = SelectAny })
		if got := c.view(physiology.SepticShock, nil).cards()[0].SelectionBehavior; got != SelectAny {
			t.Errorf("%q", got)
		}
	})
	c := open(t, nil)
	card := c.view(physiology.SepticShock, nil).cards()[0]
	t.Run("C22: nothing is preselected", func(t *testing.T) {
		for _, s := range card.Suggestions {
			if s.IsRecommended {
				t.Error(s.Label)
			}
		}
	})
	t.Run("C31: a draft is a proposal for this patient, and says its dose", func(t *testing.T) {
		r := shockCase()
		r.Outcome.Decision.Advice.Vasopressor = nil
		r.Settings.Quirks.Drafts, r.Settings.PatientID = true, "p1"
		out, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		a := out.Cards[0].Suggestions[0].Actions[0]
		hasAll(t, string(a.Resource), `"status":"draft"`, `"intent":"proposal"`, `"reference":"Patient/p1"`)
		hasAll(t, a.Description, "500 mL", "30 min")
	})
	t.Run("C35: override reasons are HL7's", func(t *testing.T) {
		if len(card.OverrideReasons) == 0 {
			t.Error("none")
		}
		for _, o := range card.OverrideReasons {
			if !strings.HasPrefix(o.System, "http://terminology.hl7.org/CodeSystem/") {
				t.Errorf("%+v", o)
			}
		}
	})
	t.Run("C39: a link names no patient and leads to us", func(t *testing.T) {
		if len(card.Links) == 0 {
			t.Error("no link")
		}
		for _, l := range card.Links {
			if !strings.HasPrefix(l.URL, "https://cds.example.org/evidence/") || strings.Contains(l.URL, fixtures().patients[physiology.SepticShock].id) || l.Type != "absolute" {
				t.Error(l.URL)
			}
		}
	})
}

// TestACommentIsInTheRecordAndNowhereElse holds the part of D17 that holds.
func TestACommentIsInTheRecordAndNowhereElse(t *testing.T) {
	const said = "<img src=x> Mr Miller refuses"
	core, logs := observer.New(zap.DebugLevel)
	c := open(t, func(d *Deps, _ *trust.Client) { d.Logger = zap.New(core) })
	card := c.view(physiology.SepticShock, nil).cards()[0]
	r := c.feedback(overridden(card.UUID, map[string]any{"overrideReason": map[string]any{"userComment": said}}))
	if r.status != http.StatusOK || c.records(KindFeedback)[0].Feedback.Comment != said {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var all bytes.Buffer
	for _, e := range logs.All() {
		raw, _ := json.Marshal(e.ContextMap())
		all.WriteString(e.Message)
		all.Write(raw)
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Limit: audit.MaxLimit})
	if err != nil || len(rows) < 2 {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(rows)
	all.Write(raw)
	all.Write(c.get("/metrics").body)
	all.Write(c.get(strings.TrimPrefix(card.Links[0].URL, "https://cds.example.org")).body)
	if bytes.Contains(all.Bytes(), []byte("Miller")) || bytes.Contains(all.Bytes(), []byte("<img")) {
		t.Error("a clinician's comment is outside the record")
	}
}
