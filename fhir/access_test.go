// SPDX-License-Identifier: Apache-2.0

package fhir

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
)

func TestATokenIsUsedForItsPatientItsTimeAndItsScopeOnly(t *testing.T) {
	d := newDesk(t, nil)
	for _, tt := range []struct {
		name   string
		access Access
		asked  bool
		from   Provenance
		why    string
	}{
		{"no token", Access{}, false, IsAbsent, "no access token"},
		{"no scope told", Access{Token: "t"}, true, IsEmpty, ""},
		{"all patient data", Access{Token: "t", Scope: "launch patient/*.read openid"}, true, IsEmpty, ""},
		{"all data of the user", Access{Token: "t", Scope: "user/*.*"}, true, IsEmpty, ""},
		{"version 2", Access{Token: "t", Scope: "patient/Condition.rs patient/Patient.r"}, true, IsEmpty, ""},
		{"a backend's", Access{Token: "t", Scope: "system/Condition.cruds"}, true, IsEmpty, ""},
		{"other resources only", Access{Token: "t", Scope: "patient/Observation.rs launch/patient"}, false, IsDenied, "lacks the scope patient/Condition.rs"},
		{"version 2 in two parts", Access{Token: "t", Scope: "patient/Condition.r user/Condition.s"}, true, IsEmpty, ""},
		{"read without search", Access{Token: "t", Scope: "patient/Condition.r"}, false, IsDenied, "lacks the scope patient/Condition.rs"},
		{"write only", Access{Token: "t", Scope: "patient/Condition.write"}, false, IsDenied, "lacks the scope patient/Condition.rs"},
		{"a category of it", Access{Token: "t", Scope: "patient/Condition.rs?category=http://x|encounter-diagnosis"}, false, IsDenied, "lacks"},
		{"Epic's names, which the server knows", Access{Token: "t", Scope: "Observation.Read (Labs) (R4) Patient.Read (R4)"}, true, IsEmpty, ""},
		{"SMART scopes beside names of the server's own", Access{Token: "t", Scope: "patient/Patient.read Condition.Search"}, true, IsEmpty, ""},
		{"a token that has expired", Access{Token: "t", Expires: time.Now().Add(-time.Second)}, false, IsDenied, "expired"},
		{"a token that lives", Access{Token: "t", Expires: time.Now().Add(time.Hour), Patient: "p1"}, true, IsEmpty, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := d.asked.Load()
			p, err := conditions(t, d.server(t, nil), func(q *GatherRequest) { q.Access = tt.access })
			if err != nil || p.From != tt.from || !strings.Contains(p.Why, tt.why) || (d.asked.Load() > before) != tt.asked {
				t.Errorf("%+v, %v, asked %d times", p, err, d.asked.Load()-before)
			}
		})
	}
	_, err := gather(t, GatherRequest{Prefetch: full(), From: d.server(t, nil), Access: Access{Token: "t", Patient: "p2"}})
	if !errors.Is(err, ErrWrongPatient) {
		t.Errorf("a token for another patient: %v", err)
	}
	_, err = gather(t, GatherRequest{Prefetch: lacking(KeyVitals), From: d.server(t, nil), Access: Access{Token: "t", Scope: "patient/Patient.rs"}})
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "patient/Observation.rs") {
		t.Errorf("a scope that leaves necessary data out: %v", err)
	}
}

func TestACategoryOfObservationsCoversItsKey(t *testing.T) {
	d := newDesk(t, nil)
	for _, tt := range []struct {
		scope  string
		vitals Provenance
		labs   Provenance
	}{
		{"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs", IsEmpty, IsDenied},
		{"patient/Observation.rs?category=laboratory", IsDenied, IsEmpty},
		{"patient/Observation.r patient/Observation.s?category=laboratory", IsDenied, IsEmpty},
		{"patient/Observation.rs?code=8867-4", IsDenied, IsDenied},
		{"patient/Observation.rs?category=laboratory patient/*.read", IsEmpty, IsEmpty},
	} {
		p := full()
		delete(p, KeyVitals)
		delete(p, KeyLabs)
		g, _ := gather(t, GatherRequest{Prefetch: p, From: d.server(t, nil), Access: Access{Token: "t", Scope: tt.scope}})
		if v, l := part(t, g, KeyVitals).From, part(t, g, KeyLabs).From; v != tt.vitals || l != tt.labs {
			t.Errorf("%s: vitals %s, labs %s", tt.scope, v, l)
		}
		if why := part(t, g, KeyLabs).Why; strings.Contains(why, "category laboratory only") != strings.HasSuffix(tt.scope, "laboratory") {
			t.Errorf("%s: the manifest says %q", tt.scope, why)
		}
	}
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	var mu sync.Mutex
	sent := map[string]int{}
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		mu.Lock()
		defer mu.Unlock()
		sent[r.Header.Get("Authorization")]++
		if r.Header.Get("Authorization") != "Bearer new" {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	prefetch := full()
	for _, k := range []string{KeyConditions, KeyProcedures, KeyOrders} {
		delete(prefetch, k)
	}
	for _, next := range []string{"new", "worse", ""} {
		renewals := 0
		clear(sent)
		g, err := gather(t, GatherRequest{Prefetch: prefetch, From: d.server(t, nil), Access: Access{Token: "old", Renew: func(_ context.Context, refused string) (string, error) {
			renewals++
			if refused != "old" {
				t.Errorf("asked to renew %q", refused)
			}
			if next == "" {
				return "", errors.New("no")
			}
			return next, nil
		}}})
		want := map[string]Provenance{"new": IsEmpty, "worse": IsDenied, "": IsDenied}[next]
		if p := part(t, g, KeyConditions); err != nil || p.From != want || renewals != 1 {
			t.Errorf("renewed to %q: %+v, %v, %d renewals, sent %v", next, p, err, renewals, sent)
		}
	}
}

func TestATokenIsGotOnlyWhenSomethingHasToBeFetched(t *testing.T) {
	d := newDesk(t, nil)
	for _, tt := range []struct {
		name     string
		prefetch map[string]json.RawMessage
		err      error
		calls    int
		from     Provenance
	}{
		{"nothing is missing", full(), nil, 0, IsEmpty},
		{"something is", lacking(KeyConditions), nil, 1, IsEmpty},
		{"something is and no token comes", lacking(KeyConditions), errors.New("no"), 1, IsAbsent},
	} {
		calls := 0
		g, err := gather(t, GatherRequest{Prefetch: tt.prefetch, From: d.server(t, nil), Authorize: func(context.Context) (Access, error) {
			calls++
			return Access{Token: "t"}, tt.err
		}})
		if p := part(t, g, KeyConditions); err != nil || calls != tt.calls || p.From != tt.from {
			t.Errorf("%s: %+v, %v, %d calls", tt.name, p, err, calls)
		}
	}
}

func TestAnAccessPrintsNoToken(t *testing.T) {
	a := Access{Token: "hush", Scope: "s"}
	raw, err := json.Marshal(a)
	if text := fmt.Sprintf("%v %+v %#v %s %s", a, a, a, a, raw); err != nil || strings.Contains(text, "hush") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestATokenThatExpiresDuringTheCallIsSaidToHave(t *testing.T) {
	d := newDesk(t, func(_ http.ResponseWriter, r *http.Request, _ int64) bool { <-r.Context().Done(); return true })
	p, err := conditions(t, d.server(t, nil), func(q *GatherRequest) {
		q.Access.Expires, q.Limits.Budget = time.Now().Add(200*time.Millisecond), time.Minute
	})
	if err != nil || p.From == IsEmpty || !strings.Contains(p.Why, "expired") {
		t.Errorf("%+v, %v", p, err)
	}
}
