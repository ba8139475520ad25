// SPDX-License-Identifier: Apache-2.0

// Package load is many CDS clients at once, for the load generator (.ci/load)
// and for the tests that kill a service under load. Its clients are in closed
// loops: each calls, waits for the answer, and calls again. Every call has a
// token and a request id of its own, so that afterwards each answer can be
// looked for in the audit log.
//
// Its patients are synthetic. It trusts nothing: an answer that is not one is
// counted and not read.
package load

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// Path is the endpoint that is called.
const Path = "/cds-services/sepsis-treatment"

// placeholder stands in a body where each call puts a hookInstance of its own.
const placeholder = "00000000-0000-4000-8000-000000000000"

// beds is how many patients each synthetic chart is the chart of. With all calls
// about a handful of patients, each would soon have hundreds of earlier cards to be
// looked at, as nobody in a hospital has.
const beds = 25

// EHR is a registered client with synthetic patients. It is safe for
// concurrent use.
type EHR struct {
	issuer, audience string
	key              *ecdsa.PrivateKey
	charts           []chart
}

// chart is the body of a call, and the patient's id in it.
type chart struct {
	body, patient []byte
	beds          *[beds]atomic.Pointer[[]byte] // bodies of other patients, once they were called about
}

// of is the chart as that of the patient in another bed.
func (c chart) of(bed int) []byte {
	if bed == 0 {
		return c.body
	}
	if body := c.beds[bed].Load(); body != nil {
		return *body
	}
	body := bytes.ReplaceAll(c.body, c.patient, fmt.Appendf(nil, "%s-bed-%d", c.patient, bed))
	c.beds[bed].Store(&body)
	return body
}

// New makes a client with a key of its own for the service at publicURL.
func New(issuer, publicURL string) (*EHR, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	e := &EHR{issuer: issuer, audience: publicURL + Path, key: key}
	patients, err := physiology.Demo(time.Now().Add(-time.Minute))
	if err != nil {
		return nil, err
	}
	for _, p := range patients {
		resources, err := fhir.Write(p.Course.Chart(), fhir.Style{})
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(map[string]any{
			"hook": "patient-view", "hookInstance": placeholder,
			"context":  map[string]string{"userId": "Practitioner/load", "patientId": p.Course.PersonID()},
			"prefetch": prefetch(resources),
		})
		if err != nil {
			return nil, err
		}
		e.charts = append(e.charts, chart{body, []byte(p.Course.PersonID()), &[beds]atomic.Pointer[[]byte]{}})
	}
	return e, nil
}

// prefetch puts resources under the keys of the discovery document, every key
// present.
func prefetch(resources []json.RawMessage) map[string]any {
	of := map[string]string{
		"Encounter": fhir.KeyEncounters, "Observation": fhir.KeyVitals, "MedicationAdministration": fhir.KeyAdministrations,
		"MedicationRequest": fhir.KeyOrders, "ServiceRequest": fhir.KeyDirectives, "Condition": fhir.KeyConditions, "Procedure": fhir.KeyProcedures,
	}
	entries := map[string][]any{fhir.KeyLabs: {}}
	for _, key := range of {
		entries[key] = []any{}
	}
	out := map[string]any{}
	for _, r := range resources {
		var head struct {
			ResourceType string `json:"resourceType"`
		}
		_ = json.Unmarshal(r, &head) // fhir.Write wrote it
		if head.ResourceType == "Patient" {
			out[fhir.KeyPatient] = r
		} else if key, ok := of[head.ResourceType]; ok {
			entries[key] = append(entries[key], map[string]any{"resource": r})
		}
	}
	for key, list := range entries {
		out[key] = map[string]any{"resourceType": "Bundle", "type": "searchset", "entry": list}
	}
	return out
}

// KeySet is the client's public key set as JSON, for its registration.
func (e *EHR) KeySet() string {
	raw, _ := e.key.PublicKey.Bytes() // P-384: never fails
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-384","kid":"load","use":"sig","x":%q,"y":%q}]}`, b64(raw[1:49]), b64(raw[49:]))
}

// Token signs a token for one call.
func (e *EHR) Token() (string, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodES384, jwt.MapClaims{
		"iss": e.issuer, "aud": e.audience, "iat": now.Unix(), "exp": now.Add(4 * time.Minute).Unix(), "jti": uuid.NewString(),
	})
	t.Header["kid"] = "load"
	return t.SignedString(e.key)
}

// Request is one call about patient i (any number) of the service at target,
// with the given body or, when nil, a whole chart.
func (e *EHR) Request(ctx context.Context, target string, i int, body []byte) (*http.Request, error) {
	if body == nil {
		body = e.charts[i%len(e.charts)].of(i / len(e.charts) % beds)
		body = bytes.Replace(body, []byte(placeholder), []byte(uuid.NewString()), 1)
	}
	token, err := e.Token()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target+Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Request-Id", uuid.NewString())
	return r, nil
}

// Result is what came of a run.
type Result struct {
	Answered map[string]int // HTTP status by request id, of every answer that arrived whole
	Broken   int            // calls whose connection broke or was refused
	Seconds  []float64      // of each call answered 200, sorted
	Took     time.Duration
}

// Run calls from clients loops until ctx ends. Calls under way are finished.
func (e *EHR) Run(ctx context.Context, target string, clients int) Result {
	out := Result{Answered: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var turn atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	via := &http.Client{Transport: transport, Timeout: time.Minute}
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				id, status, took := e.call(via, target, int(turn.Add(1)))
				mu.Lock()
				switch status {
				case 0:
					out.Broken++
				case http.StatusOK:
					out.Seconds = append(out.Seconds, took.Seconds())
					fallthrough
				default:
					out.Answered[id] = status
				}
				mu.Unlock()
				if status == 0 {
					time.Sleep(20 * time.Millisecond) // nobody there: do not spin
				}
			}
		})
	}
	wg.Wait()
	out.Took = time.Since(began)
	slices.Sort(out.Seconds)
	return out
}

// call makes one call; status 0: no whole answer came.
func (e *EHR) call(via *http.Client, target string, i int) (id string, status int, took time.Duration) {
	r, err := e.Request(context.Background(), target, i, nil)
	if err != nil {
		return "", 0, 0
	}
	began := time.Now()
	res, err := via.Do(r)
	if err != nil {
		return "", 0, 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", 0, 0
	}
	return r.Header.Get("X-Request-Id"), res.StatusCode, time.Since(began)
}

// Percentile is the time within which a share p (0 to 1) of the calls answered
// 200 had their answer, in milliseconds; 0 without any.
func (r Result) Percentile(p float64) float64 {
	if len(r.Seconds) == 0 {
		return 0
	}
	return 1000 * r.Seconds[max(0, int(math.Ceil(p*float64(len(r.Seconds))))-1)]
}

// Statuses counts the answers by status.
func (r Result) Statuses() map[int]int {
	out := map[int]int{}
	for _, s := range r.Answered {
		out[s]++
	}
	return out
}
