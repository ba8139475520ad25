// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the harness of this package's tests. A clinic is the real service
// on a real log, with real rules, agent and code maps, and patients from the
// simulator. Every test that uses one ends with a verification of the log.

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest/tempdir"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestMain(m *testing.M) {
	flag.Parse()
	tempdir.InMemory()
	goleak.VerifyTestMain(m)
}

const ehrIssuer = "https://ehr.example.org"

// clinicNow is a fixed time of day, so that cards are the same on every run.
var clinicNow = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// fixtures that take time to make, made once.
var fixtures = sync.OnceValue(func() (f struct {
	mapper   *fhir.Mapper
	pack     *policy.Pack
	key      *ecdsa.PrivateKey
	patients map[physiology.Scenario]patient
	err      error
}) {
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		f.err = err
		return f
	}
	f.mapper = fhir.NewMapper(maps)
	if f.pack, f.err = policy.Load(configs.FS); f.err != nil {
		return f
	}
	f.key, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	demo, err := physiology.Demo(clinicNow.Add(-time.Minute))
	if err != nil {
		f.err = err
		return f
	}
	f.patients = map[physiology.Scenario]patient{}
	for _, d := range demo {
		resources, err := fhir.Write(d.Course.Chart(), fhir.Style{})
		if err != nil {
			f.err = err
			return f
		}
		f.patients[d.Scenario] = patient{d.Course.PersonID(), resources}
	}
	return f
})

type patient struct {
	id        string
	resources []json.RawMessage
}

// keyOf is the prefetch key under which a resource type is sent. All
// observations go with the vitals: which of the two searches found one does not
// matter.
var keyOf = map[string]string{
	"Encounter": fhir.KeyEncounters, "Observation": fhir.KeyVitals, "MedicationAdministration": fhir.KeyAdministrations,
	"MedicationRequest": fhir.KeyOrders, "ServiceRequest": fhir.KeyDirectives, "Condition": fhir.KeyConditions, "Procedure": fhir.KeyProcedures,
}

// prefetch gives the patient's resources as a client would send them.
func (p patient) prefetch() map[string]json.RawMessage {
	byKey := map[string][]any{}
	for _, key := range keyOf {
		byKey[key] = []any{}
	}
	byKey[fhir.KeyLabs] = []any{}
	out := map[string]json.RawMessage{}
	for _, r := range p.resources {
		var h struct{ ResourceType string }
		_ = json.Unmarshal(r, &h)
		if h.ResourceType == "Patient" {
			out[fhir.KeyPatient] = r
		} else if key, ok := keyOf[h.ResourceType]; ok {
			byKey[key] = append(byKey[key], map[string]any{"resource": r})
		}
	}
	for key, entries := range byKey {
		out[key] = bundle(entries)
	}
	return out
}

func bundle(entries []any) json.RawMessage {
	b, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "searchset", "entry": entries})
	return b
}

// clinic is one running service with everything around it.
type clinic struct {
	t       *testing.T
	service *Service
	log     *sqlite.Log
	server  *httptest.Server
	mu      sync.Mutex
	now     time.Time
}

// open starts a clinic. change may alter the dependencies before it does.
func open(t *testing.T, change func(*Deps, *trust.Client)) *clinic {
	t.Helper()
	f := fixtures()
	if f.err != nil {
		t.Fatal(f.err)
	}
	c := &clinic{t: t, now: clinicNow}
	c.log = sqlitetest.New(t, sqlite.Options{})
	native, err := agent.New(world.Persistence{}, f.pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	hashes := engine.Hashes{Build: "test", Model: world.Persistence{}.Info().Hash, Rules: f.pack.Hash(), CodeMaps: f.mapper.CodeMaps().Hash(), Config: "test"}
	decider, err := engine.New(native, hashes, engine.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	client := trust.Client{Name: "ehr", Issuer: ehrIssuer, JWKS: publicKeys(f.key), Display: trust.DisplaySuggest, FHIRServer: "https://ehr.example.org/fhir", Launch: trust.Launch{LinkAlone: true}}
	d := Deps{
		Config: DefaultConfig(), State: state.DefaultConfig(), Charts: MappedCharts{f.mapper},
		Templates: fhir.PrefetchTemplates(f.mapper.CodeMaps()),
		Decider:   decider, Log: c.log, Proofs: c.log, Model: world.Persistence{}.Info(), Hashes: hashes,
		Validated: func(time.Time) validation.Standing { return validation.Standing{} }, Now: c.clock,
	}
	d.Config.PublicURL = "https://cds.example.org"
	if change != nil {
		change(&d, &client)
	}
	if d.Trust, err = trust.New([]trust.Client{client}, trust.Options{Now: c.clock}); err != nil {
		t.Fatal(err)
	}
	if c.service, err = New(d); err != nil {
		t.Fatal(err)
	}
	if err := c.service.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.server = httptest.NewServer(c.service.Handler())
	t.Cleanup(func() {
		c.server.Close()
		c.service.Close()
		http.DefaultClient.CloseIdleConnections()
		report, err := c.log.Verify(context.Background())
		if err != nil || !report.OK {
			t.Errorf("the log does not verify: %+v, %v", report, err)
		}
		if err := c.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *clinic) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// wait moves the clinic's clock.
func (c *clinic) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func publicKeys(k *ecdsa.PrivateKey) string {
	raw, _ := k.PublicKey.Bytes()
	b64 := base64.RawURLEncoding.EncodeToString
	b, _ := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-384", "kid": "k1", "use": "sig", "x": b64(raw[1:49]), "y": b64(raw[49:])}}})
	return string(b)
}

// token signs a fresh token for an endpoint path.
func (c *clinic) token(path string) string {
	t := jwt.NewWithClaims(jwt.SigningMethodES384, jwt.MapClaims{
		"iss": ehrIssuer, "aud": c.service.Config.PublicURL + path, "iat": c.clock().Unix(), "exp": c.clock().Add(5 * time.Minute).Unix(), "jti": uuid.NewString(),
	})
	t.Header["kid"] = "k1"
	s, err := t.SignedString(fixtures().key)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// reply is what a call came back with.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (r reply) cards() []Card {
	r.t.Helper()
	var out Response
	if r.status != http.StatusOK || json.Unmarshal(r.body, &out) != nil {
		r.t.Fatalf("status %d: %s", r.status, r.body)
	}
	return out.Cards
}

const servicePath = "/cds-services/" + ServiceID

// body is a patient-view request, ready to be altered.
func (c *clinic) body(p patient) map[string]any {
	return map[string]any{
		"hook": "patient-view", "hookInstance": uuid.NewString(), "fhirServer": "https://ehr.example.org/fhir",
		"context":  map[string]any{"userId": "Practitioner/dr-1", "patientId": p.id},
		"prefetch": p.prefetch(),
	}
}

// view fires patient-view for a simulated patient. change may alter the body.
func (c *clinic) view(s physiology.Scenario, change func(map[string]any)) reply {
	c.t.Helper()
	p, ok := fixtures().patients[s]
	if !ok {
		c.t.Fatalf("no patient %q", s)
	}
	body := c.body(p)
	if change != nil {
		change(body)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.post(servicePath, raw, nil)
}

// post sends a signed body. change may alter the request.
func (c *clinic) post(path string, body []byte, change func(*http.Request)) reply {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.server.URL+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token(path))
	if change != nil {
		change(req)
	}
	return c.do(req)
}

func (c *clinic) get(path string) reply {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.server.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do(req)
}

func (c *clinic) do(req *http.Request) reply {
	c.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{c.t, res.StatusCode, res.Header, body}
}

// records are all entries of a kind, oldest first.
func (c *clinic) records(kind string) []*Record {
	c.t.Helper()
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: kind, OldestFirst: true})
	if err != nil {
		c.t.Fatal(err)
	}
	var out []*Record
	for _, row := range rows {
		stored, err := c.log.Get(context.Background(), row.Index.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		r, err := DecodeRecord(stored.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// wantRefusal checks status and receipt of a call that was not answered.
func (c *clinic) wantRefusal(r reply, status int, kind, reason string) {
	c.t.Helper()
	if r.status != status {
		c.t.Errorf("status %d, want %d: %s", r.status, status, r.body)
	}
	found := c.records(kind)
	if len(found) == 0 || found[len(found)-1].Reason != reason || found[len(found)-1].Status != status {
		c.t.Errorf("no receipt of a %s for %q: %v", kind, reason, last(found))
	}
	if status == http.StatusUnauthorized {
		if len(r.body) != 0 || r.header.Get("WWW-Authenticate") != "Bearer" {
			c.t.Errorf("a 401 says nothing: %s", r.body)
		}
		return
	}
	var oo operationOutcome
	if json.Unmarshal(r.body, &oo) != nil || oo.ResourceType != "OperationOutcome" || len(oo.Issue) != 1 || oo.Issue[0].Details == nil {
		c.t.Errorf("the body is no OperationOutcome: %s", r.body)
	}
}

func last(list []*Record) string {
	if len(list) == 0 {
		return "none at all"
	}
	r := list[len(list)-1]
	return fmt.Sprintf("%s %d %s (%s)", r.Kind, r.Status, r.Reason, r.Detail)
}
