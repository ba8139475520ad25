// SPDX-License-Identifier: Apache-2.0

package smart

// This file: a chart read by our own right, both halves together: the tokens
// of this package and the fetching of package fhir.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// ward is a FHIR server with one synthetic patient, beside the token endpoint
// of an EHR, that takes the tokens it is told to.
type ward struct {
	*ehr
	patient string
	mapper  *fhir.Mapper

	mu   sync.Mutex // guards what follows
	good string     // the one token that opens
	seen map[string]int
}

func newWard(t *testing.T, at time.Time) *ward {
	t.Helper()
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	demo, err := physiology.Demo(at.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	resources, err := fhir.Write(demo[0].Course.Chart(), fhir.Style{})
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string][]any{}
	var person json.RawMessage
	for _, r := range resources {
		var head struct{ ResourceType string }
		if err := json.Unmarshal(r, &head); err != nil {
			t.Fatal(err)
		}
		if head.ResourceType == "Patient" {
			person = r
		}
		entries[head.ResourceType] = append(entries[head.ResourceType], map[string]any{"resource": r})
	}
	w := &ward{ehr: newEHR(t), patient: demo[0].Course.PersonID(), mapper: fhir.NewMapper(maps), seen: map[string]int{}}
	w.Config.Handler.(*http.ServeMux).HandleFunc("/fhir/", func(out http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.mu.Lock()
		w.seen[token]++
		open := token == w.good
		w.mu.Unlock()
		out.Header().Set("Content-Type", "application/fhir+json")
		kind := strings.Split(r.URL.Path, "/")[2]
		switch {
		case !open:
			out.WriteHeader(http.StatusUnauthorized)
		case kind == "Patient":
			_, _ = out.Write(person)
		default:
			_ = json.NewEncoder(out).Encode(map[string]any{"resourceType": "Bundle", "type": "searchset", "total": len(entries[kind]), "entry": entries[kind]})
		}
	})
	return w
}

// open says which token opens from now on, and forgets what was sent.
func (w *ward) open(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.good, w.seen = token, map[string]int{}
}

func (w *ward) gather(t *testing.T, s *Source, at time.Time) (*fhir.Gathered, error) {
	t.Helper()
	connections := &http.Client{}
	defer connections.CloseIdleConnections()
	server, err := fhir.NewServer(fhir.ServerOptions{Base: w.URL + "/fhir", HTTP: connections})
	if err != nil {
		t.Fatal(err)
	}
	return w.mapper.Gather(t.Context(), fhir.GatherRequest{
		From: server, PatientID: w.patient, Now: at, Limits: fhir.Limits{Budget: 30 * time.Second},
		Authorize: func(ctx context.Context) (fhir.Access, error) {
			g, err := s.Grant(ctx)
			// The clock of the test is not that of package fhir.
			return fhir.Access{Token: g.Token, Scope: g.Scope, Renew: s.Renew}, err
		},
	})
}

func TestAChartIsReadByOurOwnRightAndOnceMoreWhenTheTokenWasRevoked(t *testing.T) {
	c := newClock()
	w := newWard(t, c.Now())
	w.answer(func(out http.ResponseWriter, _ *http.Request) { w.grant(out, map[string]any{"scope": "system/*.rs"}) })
	s := w.source(c, nil)
	w.open("token-1")
	first, err := w.gather(t, s, c.Now())
	if err != nil || first.Chart == nil {
		t.Fatal(err)
	}
	c.forward(time.Minute)
	w.open("token-2") // the EHR has revoked token-1
	second, err := w.gather(t, s, c.Now())
	if err != nil || second.Chart == nil {
		t.Fatal(err)
	}
	for _, p := range second.Manifest.Parts {
		if p.From != fhir.FromFetch && p.From != fhir.IsEmpty {
			t.Errorf("%s: %s, %s", p.Key, p.From, p.Why)
		}
	}
	if n := w.asked.Load(); n != 2 || len(w.seen) != 2 {
		t.Errorf("the token endpoint was asked %d times, the FHIR server sent %v", n, w.seen)
	}
	w.open("none of ours")
	if _, err := w.gather(t, s, c.Now()); !errors.Is(err, fhir.ErrDenied) {
		t.Errorf("an EHR that takes no token: %v", err)
	}
	if n := w.asked.Load(); n != 2 {
		t.Errorf("a token of this moment was fetched again: %d", n)
	}
}

func TestAChartIsNotReadWhenTheGrantIsTooSmall(t *testing.T) {
	c := newClock()
	w := newWard(t, c.Now())
	w.answer(func(out http.ResponseWriter, _ *http.Request) {
		w.grant(out, map[string]any{"scope": "system/Patient.rs"})
	})
	_, err := w.gather(t, w.source(c, nil), c.Now())
	if !errors.Is(err, fhir.ErrUnobtainable) || len(w.seen) != 0 {
		t.Errorf("error %v, and the FHIR server was sent %v", err, w.seen)
	}
	if strings.Contains(fmt.Sprint(err), "token-") {
		t.Errorf("the error shows a token: %v", err)
	}
}

func TestATypeThatWasNotGrantedIsAGapAndNoRequest(t *testing.T) {
	c := newClock()
	w := newWard(t, c.Now())
	granted := "system/Encounter.rs system/MedicationAdministration.rs system/Observation.rs system/Patient.r system/MedicationRequest.rs"
	w.answer(func(out http.ResponseWriter, _ *http.Request) { w.grant(out, map[string]any{"scope": granted}) })
	w.open("token-1")
	got, err := w.gather(t, w.source(c, nil), c.Now())
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]fhir.Provenance{}
	for _, p := range got.Manifest.Parts {
		from[p.Key] = p.From
	}
	if from[fhir.KeyConditions] != fhir.IsDenied || from[fhir.KeyVitals] != fhir.FromFetch {
		t.Errorf("provenance %v", from)
	}
}
