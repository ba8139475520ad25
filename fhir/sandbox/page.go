// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the page. It is made on the server; forms work without script, the
// script only shows that something is under way.

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// policy of every page: nothing from elsewhere, nothing inline.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// routes builds the handler.
func (s *Sandbox) routes() (http.Handler, error) {
	pages := template.New("").Funcs(template.FuncMap{
		"url":   func(path string) string { return s.base.Path + path },
		"clock": clock,
		"ms":    func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) },
		"kb":    func(n int) string { return fmt.Sprintf("%.0f kB", float64(n)/1000) },
	})
	pages, err := pages.ParseFS(web, "web/*.html")
	if err != nil {
		return nil, fmt.Errorf("sandbox pages: %w", err)
	}
	mux := http.NewServeMux()
	s.fhirRoutes(mux)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.listPage(w, pages) })
	mux.HandleFunc("GET /patients/{id}", func(w http.ResponseWriter, r *http.Request) { s.patientPage(w, r, pages) })
	mux.HandleFunc("GET /patients/{id}/launch", s.launchApp)
	mux.HandleFunc("POST /patients/{id}/open", s.ownForm(s.openPatient))
	mux.HandleFunc("POST /patients/{id}/order", s.ownForm(s.signOrder))
	mux.HandleFunc("POST /patients/{id}/feedback", s.ownForm(s.feedback))
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "busy.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		body, err := web.ReadFile("web/" + name)
		if err != nil {
			return nil, fmt.Errorf("sandbox pages: %w", err)
		}
		mux.HandleFunc("GET /static/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			writeJSON(w, http.StatusOK, kind, body)
		})
	}
	guard := http.NewCrossOriginProtection()
	return http.StripPrefix(s.base.Path, guard.Handler(headers(mux))), nil
}

// headers sets what every answer carries.
func headers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}

// ownForm limits and reads a form of the page.
func (s *Sandbox) ownForm(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<14)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form could not be read", http.StatusBadRequest)
			return
		}
		h(w, r)
	}
}

func (s *Sandbox) listPage(w http.ResponseWriter, pages *template.Template) {
	var list []patientView
	for _, id := range s.order {
		b, err := s.open(id)
		if err != nil {
			http.Error(w, "the patients could not be shown", http.StatusInternalServerError)
			return
		}
		list = append(list, view(&b, s.cfg.Now(), s.lastOf(id)))
	}
	render(w, http.StatusOK, pages, "list.html", map[string]any{"Patients": list})
}

func (s *Sandbox) patientPage(w http.ResponseWriter, r *http.Request, pages *template.Template) {
	id := r.PathValue("id")
	b, err := s.open(id)
	if errors.Is(err, ErrUnknownPatient) {
		render(w, http.StatusNotFound, pages, "missing.html", nil)
		return
	}
	if err != nil {
		http.Error(w, "the patient could not be shown", http.StatusInternalServerError)
		return
	}
	asked, user := s.lastOf(id), users[0].ID
	if asked != nil {
		user = asked.User.ID
	}
	render(w, http.StatusOK, pages, "patient.html", map[string]any{
		"Patient": view(&b, s.cfg.Now(), asked), "Users": users, "User": user, "Orderables": orderables,
	})
}

func (s *Sandbox) lastOf(id string) *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.last[id]
	if r == nil {
		return nil
	}
	c := *r // feedback may be added while the page is made
	c.feedback = map[string]string{}
	for k, v := range r.feedback {
		c.feedback[k] = v
	}
	return &c
}

// openPatient fires the hook and goes to the patient's page.
func (s *Sandbox) openPatient(w http.ResponseWriter, r *http.Request) {
	user, ok := userByID(r.PostForm.Get("user"))
	if !ok {
		user = users[0]
	}
	id := r.PathValue("id")
	if _, err := s.fireAs(r.Context(), id, user); err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, ErrUnknownPatient) {
			status = http.StatusNotFound
		}
		http.Error(w, "the chart could not be opened", status)
		return
	}
	http.Redirect(w, r, s.base.Path+"/patients/"+url.PathEscape(id)+"#advice", http.StatusSeeOther)
}

// feedback reports accept or override of a card to the service.
func (s *Sandbox) feedback(w http.ResponseWriter, r *http.Request) {
	id, f := r.PathValue("id"), r.PostForm
	last := s.lastOf(id)
	if last == nil {
		http.Error(w, "no card to report on", http.StatusConflict)
		return
	}
	var card *Card
	for i := range last.Cards {
		if last.Cards[i].UUID == f.Get("card") && f.Get("card") != "" {
			card = &last.Cards[i]
		}
	}
	if card == nil {
		http.Error(w, "no such card in the newest answer", http.StatusConflict)
		return
	}
	said, err := s.report(r.Context(), last, card, f)
	if err != nil {
		said = "Not reported: " + err.Error()
	}
	s.mu.Lock()
	if now := s.last[id]; now != nil && now.Instance == last.Instance {
		now.feedback[card.UUID] = said
	}
	s.mu.Unlock()
	http.Redirect(w, r, s.base.Path+"/patients/"+url.PathEscape(id)+"#advice", http.StatusSeeOther)
}

// report sends one feedback and says what was reported.
func (s *Sandbox) report(ctx context.Context, last *Result, card *Card, f url.Values) (string, error) {
	item := map[string]any{"card": card.UUID, "outcomeTimestamp": s.cfg.Now().UTC().Format(time.RFC3339)}
	said := ""
	if chosen := f.Get("suggestion"); chosen != "" {
		for _, g := range card.Suggestions {
			if g.UUID == chosen {
				said = "Accepted: " + g.Label
			}
		}
		if said == "" {
			return "", errors.New("the card has no such suggestion")
		}
		item["outcome"], item["acceptedSuggestions"] = "accepted", []any{map[string]string{"id": chosen}}
	} else {
		item["outcome"], said = "overridden", "Overridden"
		reason := map[string]any{}
		for _, c := range card.OverrideReasons {
			if c.Code == f.Get("reason") && c.Code != "" {
				reason["reason"] = map[string]string{"code": c.Code, "system": c.System, "display": c.Display}
				said += ": " + c.Display
			}
		}
		if text := strings.TrimSpace(f.Get("comment")); text != "" {
			reason["userComment"] = text
		}
		if len(reason) > 0 {
			item["overrideReason"] = reason
		}
	}
	body, err := json.Marshal(map[string]any{"feedback": []any{item}})
	if err != nil {
		return "", err
	}
	status, answer, err := s.send(ctx, http.MethodPost, s.cfg.CDSBaseURL+"/cds-services/"+url.PathEscape(last.Service)+"/feedback", body)
	if err != nil {
		return "", err
	}
	if status < 200 || status > 299 {
		return "", fmt.Errorf("the service answered %d %s", status, strings.Join(outcomeTexts(answer), "; "))
	}
	return said, nil
}

// render writes a page whole or not at all.
func render(w http.ResponseWriter, status int, pages *template.Template, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	writeJSON(w, status, "text/html; charset=utf-8", b.Bytes())
}
