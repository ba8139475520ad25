// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const verifier = "a-verifier-that-is-long-enough-to-be-one-43"

// follow opens an address of the EHR and says where it leads.
func (w *ward) follow(path string) (status int, to *url.URL) {
	w.t.Helper()
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustGet(w.t, w.site.URL+path))
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	if to, err = url.Parse(res.Header.Get("Location")); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, to
}

func mustGet(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// launchedFrom shows a card with a smart link and launches it.
func (w *ward) launchedFrom(n int) (launch string) {
	w.t.Helper()
	w.answer = strings.Replace(card, `"url":"https://cds.example/evidence/1","type":"absolute"`, `"type":"smart","url":"`+w.cds.URL+`/launch","appContext":"h1"`, 1)
	r := w.fire(n)
	if len(r.Cards) != 1 || len(r.Cards[0].Links) != 1 {
		w.t.Fatalf("cards %+v", r.Cards)
	}
	id := w.ehr.PatientIDs()[n]
	status, to := w.follow("/ehr/patients/" + id + "/launch?card=" + r.Cards[0].UUID + "&link=0")
	if status != http.StatusSeeOther || to.Query().Get("iss") != w.ehr.fhirBase() || !strings.HasPrefix(to.String(), w.cds.URL+"/launch?") {
		w.t.Fatalf("%d %s", status, to)
	}
	if _, page := w.get("/ehr/patients/"+id, ""); !strings.Contains(page, "/launch?card=") {
		w.t.Error("the page does not launch the link")
	}
	return to.Query().Get("launch")
}

func (w *ward) asked(launch string) url.Values {
	proof := sha256.Sum256([]byte(verifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {appID}, "redirect_uri": {w.cds.URL + "/launch/sandbox/callback"}, "scope": {"launch openid fhirUser"},
		"state": {"s"}, "aud": {w.ehr.fhirBase()}, "launch": {launch}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(proof[:])}, "code_challenge_method": {"S256"},
	}
}

func (w *ward) exchanged(code, proof string) (int, map[string]any) {
	w.t.Helper()
	status, body := w.do(http.MethodPost, "/ehr/token", "", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {appID}, "code": {code}, "redirect_uri": {w.cds.URL + "/launch/sandbox/callback"}, "code_verifier": {proof},
	})
	var out map[string]any
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		w.t.Fatalf("%d %s", status, body)
	}
	return status, out
}

func TestALinkLaunchesTheAppWithTheUserAndThePatientOfTheCard(t *testing.T) {
	w := newWard(t)
	status, to := w.follow("/ehr/authorize?" + w.asked(w.launchedFrom(1)).Encode())
	back := to.Query()
	if status != http.StatusFound || back.Get("state") != "s" || back.Get("code") == "" || back.Get("iss") != w.ehr.Client().Issuer {
		t.Fatalf("%d %s", status, to)
	}
	status, got := w.exchanged(back.Get("code"), verifier)
	if status != http.StatusOK || got["patient"] != w.ehr.PatientIDs()[1] || got["appContext"] != "h1" || got["token_type"] != "Bearer" {
		t.Errorf("%d %v", status, got)
	}
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(w.ehr.Client().JWKS))
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(got["id_token"].(string), claims, keys.Keyfunc, jwt.WithAudience(appID), jwt.WithIssuer(w.ehr.Client().Issuer)); err != nil {
		t.Fatal(err)
	}
	if claims["nonce"] != "n" || claims["fhirUser"] != "Practitioner/"+users[0].ID {
		t.Errorf("claims %v", claims)
	}
	if own, _ := w.get("/ehr/fhir/Patient/"+w.ehr.PatientIDs()[1], got["access_token"].(string)); own != http.StatusOK {
		t.Errorf("the token of the launch opens its patient with %d", own)
	}
	if status, got := w.exchanged(back.Get("code"), verifier); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("the code again: %d %v", status, got)
	}
}

func TestALaunchIsGrantedAsItWasAskedOrNotAtAll(t *testing.T) {
	w := newWard(t)
	for name, tc := range map[string]struct {
		change func(url.Values)
		want   string // error in the redirect; empty: no redirect at all
	}{
		"another app":               {func(q url.Values) { q.Set("client_id", "x") }, ""},
		"another address":           {func(q url.Values) { q.Set("redirect_uri", "https://evil.example/") }, ""},
		"no proof":                  {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"a proof in the clear":      {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"another server's audience": {func(q url.Values) { q.Set("aud", "https://x.example") }, "invalid_request"},
		"a token in the address":    {func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type"},
		"more than an app may see":  {func(q url.Values) { q.Set("scope", "launch openid fhirUser patient/*.rs") }, "invalid_scope"},
		"a launch nobody began":     {func(q url.Values) { q.Set("launch", "x") }, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			q := w.asked(w.launchedFrom(0))
			tc.change(q)
			status, to := w.follow("/ehr/authorize?" + q.Encode())
			if tc.want == "" {
				if status != http.StatusBadRequest || to.String() != "" {
					t.Errorf("%d %s", status, to)
				}
				return
			}
			if status != http.StatusFound || to.Query().Get("error") != tc.want || to.Query().Get("code") != "" {
				t.Errorf("%d %s", status, to)
			}
		})
	}
	launch := w.launchedFrom(0)
	_, to := w.follow("/ehr/authorize?" + w.asked(launch).Encode())
	if _, again := w.follow("/ehr/authorize?" + w.asked(launch).Encode()); again.Query().Get("error") != "access_denied" {
		t.Errorf("the launch again: %s", again)
	}
	if status, got := w.exchanged(to.Query().Get("code"), "another"+verifier); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("without the proof: %d %v", status, got)
	}
	if status, _ := w.follow("/ehr/patients/" + w.ehr.PatientIDs()[0] + "/launch?card=x&link=9"); status != http.StatusNotFound {
		t.Errorf("no such card: %d", status)
	}
}
