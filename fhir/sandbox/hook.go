// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the CDS Hooks client: discovery, prefetch from the sandbox's own
// store, patient-view and order-sign with a signed token, feedback.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Answers beyond this are refused.
const maxAnswerBytes = 4 << 20

// User is somebody who opens charts.
type User struct {
	ID, Name, Role string
}

// users of the demonstration; the first is who opens charts by default.
var users = []User{
	{"intensivist", "Dr. Lena Ortiz", "intensivist"},
	{"resident", "Dr. Samuel Boateng", "resident"},
	{"nurse", "Mira Kovač", "ICU nurse"},
}

func userByID(id string) (User, bool) {
	for _, u := range users {
		if u.ID == id {
			return u, true
		}
	}
	return User{}, false
}

func (u User) resource() []byte { return fmt.Appendf(nil, practitioner, u.ID, u.Name) }

// service is one entry of the discovery answer.
type service struct {
	Hook     string            `json:"hook"`
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Prefetch map[string]string `json:"prefetch"`
}

// Result is what came of firing a hook. Problem is empty when the service
// answered with cards, which may be none.
type Result struct {
	At       time.Time
	User     User
	Order    string // what was about to be signed; empty: the chart was opened
	Service  string
	Instance string
	Status   int // HTTP status, 0 when there was no answer
	Elapsed  time.Duration
	Sent     int // bytes of the request
	Prefetch []string
	Cards    []Card
	Problem  string   // one sentence for a clinician
	Details  []string // what the service said about it
	feedback map[string]string
}

// FeedbackOf says what was reported about a card, "" for nothing.
func (r *Result) FeedbackOf(card string) string { return r.feedback[card] }

// Fire opens the patient's chart as the user: it calls the service's
// patient-view hook with prefetch and keeps the result for the page. The error
// is ErrUnknownPatient or a fault of the sandbox itself; whatever the service
// answers, or does not, is a Result.
func (s *Sandbox) Fire(ctx context.Context, patientID string) (*Result, error) {
	return s.fireAs(ctx, patientID, users[0])
}

func (s *Sandbox) fireAs(ctx context.Context, patientID string, user User) (*Result, error) {
	b, err := s.open(patientID)
	if err != nil {
		return nil, err
	}
	return s.fire(ctx, patientID, &b, "patient-view", nil, &Result{User: user})
}

// fire calls the service of a hook, with more in its context, and keeps the
// result for the page.
func (s *Sandbox) fire(ctx context.Context, patientID string, b *bed, hook string, more map[string]any, r *Result) (*Result, error) {
	r.At, r.Instance, r.feedback = s.cfg.Now(), uuid.NewString(), map[string]string{}
	svc, problem := s.discover(ctx, hook)
	if problem != nil {
		r.fail("The decision support service could not be reached.", problem)
	} else if err := s.call(ctx, b, svc, more, r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.last[patientID] = r
	s.mu.Unlock()
	return r, nil
}

func (r *Result) fail(sentence string, err error) {
	r.Problem = sentence
	if err != nil {
		r.Details = append(r.Details, err.Error())
	}
}

// discover finds the service of a hook.
func (s *Sandbox) discover(ctx context.Context, hook string) (service, error) {
	status, body, err := s.send(ctx, http.MethodGet, s.cfg.CDSBaseURL+"/cds-services", nil)
	if err != nil {
		return service{}, err
	}
	if status != http.StatusOK {
		return service{}, fmt.Errorf("discovery answered %d", status)
	}
	var list struct {
		Services []service `json:"services"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return service{}, fmt.Errorf("discovery: %w", err)
	}
	for _, svc := range list.Services {
		if svc.Hook == hook {
			return svc, nil
		}
	}
	return service{}, fmt.Errorf("the service offers no %s hook", hook)
}

// call fires the hook of a service and fills the result.
func (s *Sandbox) call(ctx context.Context, b *bed, svc service, more map[string]any, r *Result) error {
	patient, stay := b.chart.Person.ID, b.chart.Stay.ID
	hookContext := map[string]string{"userId": "Practitioner/" + r.User.ID, "patientId": patient, "encounterId": stay}
	prefetch, keys, err := s.fill(svc.Prefetch, hookContext, b.store)
	if err != nil {
		return err
	}
	whole := map[string]any{}
	for k, v := range hookContext {
		whole[k] = v
	}
	maps.Copy(whole, more)
	token := s.keys.grantFor(patient, s.cfg.Now())
	defer s.keys.revoke(token)
	body, err := json.Marshal(map[string]any{
		"hook": svc.Hook, "hookInstance": r.Instance, "fhirServer": s.fhirBase(), "context": whole, "prefetch": prefetch,
		"fhirAuthorization": map[string]any{
			"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()),
			"scope": "patient/*.rs", "subject": "sepsisagent", "patient": patient,
		},
	})
	if err != nil {
		return fmt.Errorf("encode hook request: %w", err)
	}
	r.Service, r.Sent, r.Prefetch = svc.ID, len(body), keys
	started := time.Now()
	status, answer, err := s.send(ctx, http.MethodPost, s.cfg.CDSBaseURL+"/cds-services/"+url.PathEscape(svc.ID), body)
	r.Elapsed, r.Status = time.Since(started), status
	if err != nil {
		r.fail("The decision support service could not be reached.", err)
		return nil
	}
	s.read(answer, r)
	return nil
}

// read turns an answer into cards or a fault.
func (s *Sandbox) read(answer []byte, r *Result) {
	if r.Status != http.StatusOK {
		r.Problem, r.Details = faultText(r.Status), outcomeTexts(answer)
		return
	}
	var response struct {
		Cards []Card `json:"cards"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		r.fail("The service answered something that is not a CDS Hooks response.", err)
		return
	}
	if response.Cards == nil {
		r.fail("The service answered without a list of cards.", nil)
		return
	}
	for i := range response.Cards {
		response.Cards[i].render(s.markdown)
	}
	r.Cards = response.Cards
}

// faultText says in one sentence what a status means at the bedside.
func faultText(status int) string {
	switch {
	case status == http.StatusPreconditionFailed:
		return "The service could not get the data it needs:"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "The service did not accept this EHR as a registered client."
	case status >= 500:
		return "The service failed. No advice was given."
	}
	return "The service refused the request."
}

// outcomeTexts reads the issues of an OperationOutcome.
func outcomeTexts(body []byte) []string {
	var o struct {
		Issue []struct {
			Diagnostics string `json:"diagnostics"`
			Details     struct {
				Text string `json:"text"`
			} `json:"details"`
		} `json:"issue"`
	}
	if json.Unmarshal(body, &o) != nil {
		return nil
	}
	var out []string
	for _, i := range o.Issue {
		for _, text := range []string{i.Details.Text, i.Diagnostics} {
			if text != "" {
				out = append(out, text)
			}
		}
	}
	return out
}

var contextToken = regexp.MustCompile(`\{\{\s*([A-Za-z.]+)\s*\}\}`)

// fill resolves the service's prefetch templates against the store. A template
// with a token that cannot be resolved is left out, as the specification asks.
func (s *Sandbox) fill(templates, hookContext map[string]string, st *store) (map[string]json.RawMessage, []string, error) {
	out := map[string]json.RawMessage{}
	var keys []string
	for key, template := range templates {
		unresolved := false
		query := contextToken.ReplaceAllStringFunc(template, func(m string) string {
			name := contextToken.FindStringSubmatch(m)[1]
			if name == "userPractitionerId" {
				return strings.TrimPrefix(hookContext["userId"], "Practitioner/")
			}
			v, ok := hookContext[strings.TrimPrefix(name, "context.")]
			unresolved = unresolved || !ok
			return v
		})
		if unresolved || strings.Contains(query, "{{") {
			continue
		}
		raw, err := s.lookUp(query, st)
		if err != nil {
			return nil, nil, fmt.Errorf("prefetch %q: %w", key, err)
		}
		out[key] = raw
		keys = append(keys, key)
	}
	return out, keys, nil
}

// lookUp answers one resolved template: a read or a search in one page.
func (s *Sandbox) lookUp(query string, st *store) (json.RawMessage, error) {
	path, search, isSearch := strings.Cut(query, "?")
	if !isSearch {
		kind, id, _ := strings.Cut(path, "/")
		if raw, ok := st.read(kind, id); ok {
			return raw, nil
		}
		if u, ok := userByID(id); ok && kind == "Practitioner" {
			return u.resource(), nil
		}
		return json.RawMessage("null"), nil
	}
	q, err := url.ParseQuery(search)
	if err != nil {
		return nil, err
	}
	return s.bundle(path, q, st, 0, 50_000)
}

// send calls the CDS service with a fresh client token for exactly this URL.
func (s *Sandbox) send(ctx context.Context, method, to string, body []byte) (int, []byte, error) {
	token, err := s.keys.sign(s.Client().Issuer, s.Client().JWKSURL, to, s.cfg.Now())
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err == nil && len(answer) > maxAnswerBytes {
		err = fmt.Errorf("answer is larger than %d bytes", maxAnswerBytes)
	}
	return res.StatusCode, answer, err
}
