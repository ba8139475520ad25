// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func TestTheHookIsSignedAndWellFormed(t *testing.T) {
	w := newWard(t)
	w.fire(0)
	c := w.hook()
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(c.body["hookInstance"].(string)) {
		t.Errorf("hookInstance %v", c.body["hookInstance"])
	}
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(w.ehr.Client().JWKS))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Parse(c.token, keys.Keyfunc, jwt.WithValidMethods([]string{"ES384"}), jwt.WithIssuer(w.ehr.Client().Issuer),
		jwt.WithAudience(w.cds.URL+"/cds-services/sepsis-treatment"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Fatal(err)
	}
	claims := token.Claims.(jwt.MapClaims)
	if claims["exp"].(float64)-claims["iat"].(float64) > 300 || claims["jti"] == "" {
		t.Errorf("claims %v", claims)
	}
	if got, _ := w.get("/ehr/jwks.json", ""); got != http.StatusOK {
		t.Errorf("key set answers %d", got)
	}
	w.fire(0)
	if w.hook().token == c.token {
		t.Error("a token was used twice")
	}
}

func TestPrefetchHoldsWhatTheTemplatesAsk(t *testing.T) {
	w := newWard(t)
	w.fire(1)
	prefetch := w.hook().body["prefetch"].(map[string]any)
	if _, ok := prefetch["odd"]; ok {
		t.Error("a template that cannot be resolved was sent")
	}
	if p := prefetch["patient"].(map[string]any); p["resourceType"] != "Patient" || p["id"] != w.ehr.PatientIDs()[1] {
		t.Errorf("patient %v", p)
	}
	vitals := prefetch["vitals"].(map[string]any)
	if n := len(vitals["entry"].([]any)); n < 50 || float64(n) != vitals["total"] {
		t.Errorf("%d vitals of %v", n, vitals["total"])
	}
	if none := prefetch["none"].(map[string]any); none["entry"] != nil || none["total"] != 0.0 {
		t.Errorf("a search without results is %v", none)
	}
}

func TestAccessTokensLiveForTheCallAndOpenOnePatient(t *testing.T) {
	w := newWard(t)
	var during, other int
	var token string
	ids := w.ehr.PatientIDs()
	w.during = func(request map[string]any) {
		token = request["fhirAuthorization"].(map[string]any)["access_token"].(string)
		during, _ = w.get("/ehr/fhir/Patient/"+ids[2], token)
		other, _ = w.get("/ehr/fhir/Patient/"+ids[3], token)
	}
	w.fire(2)
	if during != http.StatusOK || other != http.StatusNotFound {
		t.Errorf("during the call: own patient %d, another patient %d", during, other)
	}
	if after, body := w.get("/ehr/fhir/Patient/"+ids[2], token); after != http.StatusUnauthorized || !strings.Contains(body, "OperationOutcome") {
		t.Errorf("after the call %d %s", after, body)
	}
	if none, _ := w.get("/ehr/fhir/Patient/"+ids[2], ""); none != http.StatusUnauthorized {
		t.Errorf("without a token %d", none)
	}
}

func TestSearchPagesToTheEnd(t *testing.T) {
	w := newWard(t)
	id := w.ehr.PatientIDs()[0]
	token := w.ehr.keys.grantFor(id, time.Now())
	type bundle struct {
		Total int `json:"total"`
		Link  []struct{ Relation, URL string }
		Entry []struct {
			Resource struct {
				ID string `json:"id"`
			} `json:"resource"`
			Search struct {
				Mode string `json:"mode"`
			} `json:"search"`
		}
	}
	next := "/ehr/fhir/Observation?patient=" + id + "&category=laboratory&_count=7"
	seen, total, pages := map[string]bool{}, 0, 0
	for next != "" {
		status, body := w.get(next, token)
		var b bundle
		if err := json.Unmarshal([]byte(body), &b); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v", status, err)
		}
		for _, e := range b.Entry {
			if seen[e.Resource.ID] {
				t.Fatalf("%s twice", e.Resource.ID)
			}
			seen[e.Resource.ID] = true
		}
		total, next = b.Total, ""
		pages++
		for _, l := range b.Link {
			if l.Relation == "next" {
				next = strings.TrimPrefix(l.URL, w.site.URL)
			}
		}
	}
	if len(seen) != total || pages < 2 {
		t.Errorf("%d of %d in %d pages", len(seen), total, pages)
	}
	status, body := w.do(http.MethodPost, "/ehr/fhir/Observation/_search", token,
		url.Values{"patient": {"Patient/" + id}, "code": {"http://loinc.org|32693-4,http://loinc.org|2160-0"}, "colour": {"blue"}})
	if status != http.StatusOK || !strings.Contains(body, "32693-4") || strings.Contains(body, "8867-4") || !strings.Contains(body, "ignored: colour") {
		t.Errorf("POST _search: %d %.300s", status, body)
	}
	if status, _ := w.get("/ehr/fhir/Observation?date=soon", token); status != http.StatusBadRequest {
		t.Errorf("a date that is none: %d", status)
	}
}

const card = `{"cards":[{"uuid":"c-1","summary":"MAP 58: raise <b>norepinephrine</b>","indicator":"warning",
 "detail":"**Now** <script>alert(1)</script> ![x](http://evil.example/x.png) [bad](javascript:alert(1))\n\n| a | b |\n|---|---|\n| 1 | 2 |",
 "source":{"label":"SepsisAgent","url":"javascript:alert(2)"},
 "suggestions":[{"uuid":"s-1","label":"Raise to 0.19"}],"selectionBehavior":"at-most-one",
 "overrideReasons":[{"code":"cds-not-applicable","system":"x","display":"Not applicable"}],
 "links":[{"label":"Evidence","url":"https://cds.example/evidence/1","type":"absolute"},{"label":"Bad","url":"javascript:alert(3)","type":"absolute"}],
 "extension":{"org.sepsisagent.receipt":{"id":"r-77","url":"https://cds.example/receipt/r-77"}}}]}`

func TestTheCardIsShownSafely(t *testing.T) {
	w := newWard(t)
	w.answer = card
	id := w.ehr.PatientIDs()[1]
	if status, _ := w.do(http.MethodPost, "/ehr/patients/"+id+"/open", "", url.Values{"user": {"nurse"}}); status != http.StatusOK {
		t.Fatalf("open answers %d after the redirect", status)
	}
	if got := w.hook().body["context"].(map[string]any)["userId"]; got != "Practitioner/nurse" {
		t.Errorf("user %v", got)
	}
	_, page := w.get("/ehr/patients/"+id, "")
	for _, want := range []string{
		"MAP 58: raise &lt;b&gt;norepinephrine&lt;/b&gt;", "<strong>Now</strong>", `role="region"`, "Raise to 0.19", "Not applicable",
		`href="https://cds.example/evidence/1"`, "r-77", `href="https://cds.example/receipt/r-77"`, ">Warning<", `aria-live="polite"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script>alert", "<img", "javascript:", "evil.example", "style=", "onclick"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestFeedbackReachesTheService(t *testing.T) {
	w := newWard(t)
	w.answer = card
	id := w.ehr.PatientIDs()[1]
	w.fire(1)
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"a suggestion is accepted":          {url.Values{"card": {"c-1"}, "suggestion": {"s-1"}}, `"acceptedSuggestions":[{"id":"s-1"}]`},
		"a card is overridden for a reason": {url.Values{"card": {"c-1"}, "reason": {"cds-not-applicable"}, "comment": {"DNR talk"}}, `"userComment":"DNR talk"`},
		"a card is overridden without one":  {url.Values{"card": {"c-1"}}, `"outcome":"overridden"`},
	} {
		t.Run(name, func(t *testing.T) {
			status, page := w.do(http.MethodPost, "/ehr/patients/"+id+"/feedback", "", c.form)
			if status != http.StatusOK || !strings.Contains(page, `class="said"`) {
				t.Fatalf("page %d", status)
			}
			last := w.calls[len(w.calls)-1]
			body, err := json.Marshal(last.body)
			if err != nil || last.path != "/cds-services/sepsis-treatment/feedback" || !strings.Contains(string(body), c.want) {
				t.Errorf("sent %s to %s", body, last.path)
			}
		})
	}
	for name, form := range map[string]url.Values{"an unknown card": {"card": {"c-9"}}, "no card": {}} {
		if status, _ := w.do(http.MethodPost, "/ehr/patients/"+id+"/feedback", "", form); status != http.StatusConflict {
			t.Errorf("%s: %d", name, status)
		}
	}
}

func TestFaultsAreShownAsFaults(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		want   []string
	}{
		"data unobtainable":  {412, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"incomplete","details":{"text":"vitals: no answer"}}]}`, []string{"could not get the data it needs", "vitals: no answer", "HTTP 412"}},
		"not registered":     {401, ``, []string{"did not accept this EHR"}},
		"own fault":          {500, `{}`, []string{"The service failed", "No advice was given"}},
		"refused":            {400, `{}`, []string{"refused the request"}},
		"not JSON":           {200, `<html>`, []string{"not a CDS Hooks response"}},
		"no list of cards":   {200, `{}`, []string{"without a list of cards"}},
		"nothing to say":     {200, `{"cards":[]}`, []string{"shows nothing", "not a statement that all is well"}},
		"more than it reads": {200, `{"cards":[],"x":"` + strings.Repeat("x", maxAnswerBytes) + `"}`, []string{"could not be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			w.status, w.answer = c.status, c.answer
			w.fire(0)
			_, page := w.get("/ehr/patients/"+w.ehr.PatientIDs()[0], "")
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
	t.Run("no service there", func(t *testing.T) {
		w := newWard(t)
		w.cds.Close()
		if r := w.fire(0); r.Problem == "" || r.Status != 0 {
			t.Errorf("result %+v", r)
		}
	})
}

func TestPagesAreReadableAndClosed(t *testing.T) {
	w := newWard(t)
	res, err := w.http.Get(w.site.URL + "/ehr/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := string(body)
	if n := strings.Count(page, `class="bed"`); n != 8 {
		t.Errorf("%d patients", n)
	}
	for _, want := range []string{`lang="en"`, `class="skip"`, "<main", "<h1", `role="img"`, "Synthetic patients"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if regexp.MustCompile(`(src|href)="(https?:)?//`).MatchString(page) {
		t.Error("the page asks for something from elsewhere")
	}
	for _, path := range []string{"/ehr/static/style.css", "/ehr/static/busy.js", "/ehr/static/icon.svg", "/ehr/fhir/metadata", "/ehr/fhir/.well-known/smart-configuration"} {
		if status, _ := w.get(path, ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _ := w.get("/ehr/patients/nobody", ""); status != http.StatusNotFound {
		t.Errorf("unknown patient: %d", status)
	}
}

func TestAForeignSiteCannotFireHooks(t *testing.T) {
	w := newWard(t)
	req, err := http.NewRequest(http.MethodPost, w.site.URL+"/ehr/patients/"+w.ehr.PatientIDs()[0]+"/open", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Origin", "https://evil.example")
	res, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden || len(w.calls) > 0 {
		t.Errorf("status %d, %d calls", res.StatusCode, len(w.calls))
	}
}

func TestChartsFollowTheClock(t *testing.T) {
	w := newWard(t)
	now := time.Now()
	w.ehr.cfg.Now = func() time.Time { return now }
	newest := func() string {
		w.fire(1)
		vitals, err := json.Marshal(w.hook().body["prefetch"])
		if err != nil {
			t.Fatal(err)
		}
		top := ""
		for _, m := range regexp.MustCompile(`"issued":"([^"]+)"`).FindAllStringSubmatch(string(vitals), -1) {
			top = max(top, m[1])
		}
		return top
	}
	first := newest()
	now = now.Add(3 * time.Hour)
	if second := newest(); second <= first {
		t.Errorf("three hours later the newest vital is %s, before it was %s", second, first)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no base URL":  {CDSBaseURL: "http://127.0.0.1:1"},
		"relative CDS": {BaseURL: "http://127.0.0.1:1/ehr", CDSBaseURL: "/cds"},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWard(t)
	if _, err := w.ehr.Fire(t.Context(), "nobody"); !errors.Is(err, ErrUnknownPatient) {
		t.Errorf("unknown patient: %v", err)
	}
}

func FuzzCardDetail(f *testing.F) {
	f.Add("**a** <b>x</b>\n\n|a|\n|-|\n|1|")
	f.Add("[x](javascript:alert(1)) ![i](http://x/y.png) <table onclick=x>")
	f.Fuzz(func(t *testing.T, detail string) {
		html, err := newMarkdown().render(detail)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script", "<img", "<iframe", "<svg", "<style"} {
			if strings.Contains(strings.ToLower(string(html)), bad) {
				t.Fatalf("%q became %q", detail, html)
			}
		}
	})
}

func ExampleSandbox_Client() {
	ehr, err := New(Config{BaseURL: "http://127.0.0.1:8080/ehr", CDSBaseURL: "http://127.0.0.1:8080"})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := ehr.Client()
	fmt.Println(c.Issuer, c.JWKSURL, c.FHIRBase)
	// Output: http://127.0.0.1:8080/ehr http://127.0.0.1:8080/ehr/jwks.json http://127.0.0.1:8080/ehr/fhir
}
