// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: FHIR servers that fail in every way a network knows, seen from
// the EHR that waits for cards: which status it gets, and what is on record.

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// bomb is a small gzip file of a large text: one member, over and over.
func bomb(size int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), size>>20)
}

// abstains: some of the data came, so that there is an answer, without a dose.
const abstains = "abstains"

func TestAFaultOfTheFHIRServerIsAnErrorWithAReceiptOrAGapThatIsNamed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(func() {
		other.Close()
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("another server was asked %d times", n)
		}
	})
	packed := bomb(300 << 20)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	page := func(next string) string {
		return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":%q}],"entry":[]}`, next)
	}
	var pages atomic.Int64
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		reason string
	}{
		"slow": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}, "unobtainable"},
		"401":              {status(401), "denied"},
		"403":              {status(403), "denied"},
		"500":              {status(500), "unobtainable"},
		"503":              {status(503), "unobtainable"},
		"redirects":        {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/fhir", http.StatusFound) }, "unobtainable"},
		"links to another": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page(other.URL+"/fhir/Condition")) }, abstains},
		"links to itself by another name": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, page("http://localhost:"+r.Host[strings.LastIndex(r.Host, ":")+1:]+"/fhir/Condition?page=2"))
		}, abstains},
		"pages for ever": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, page(fmt.Sprintf("http://%s/fhir/Condition?page=%d", r.Host, pages.Add(1))))
		}, abstains},
		"claims more than it sends": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			fmt.Fprint(w, `{"resourceType":"Bundle","entry":[]}`)
		}, "unobtainable"},
		"claims less than it sends": {func(w http.ResponseWriter, _ *http.Request) {
			c, b, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(b, "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 20\r\n\r\n{\"resourceType\":\"Bundle\",\"entry\":[]}")
			_ = b.Flush()
			_ = c.Close()
		}, "unobtainable"},
		"half a body": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"resourceType":"Bundle","entry":[`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "unobtainable"},
		"a gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed)
		}, "unobtainable"},
		"a header without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", strings.Repeat("a", 1<<20))
		}, "unobtainable"},
		"nested without end": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"resourceType":"Bundle","entry":`+strings.Repeat("[", 1<<20))
		}, "unobtainable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			ehr := httptest.NewServer(tt.answer)
			defer ehr.Close()
			c := open(t, func(d *Deps, client *trust.Client) {
				client.Network, client.FHIRServer = trust.NetworkLoopback, ehr.URL+"/fhir"
				d.Config.Deadline, d.Config.FHIRBudget = 20*time.Second, 1500*time.Millisecond
			})
			r := c.view(physiology.SepticShock, func(b map[string]any) {
				b["fhirServer"] = ehr.URL + "/fhir"
				b["fhirAuthorization"] = map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "user/*.read", "subject": "s"}
				delete(b["prefetch"].(map[string]json.RawMessage), fhir.KeyAdministrations)
			})
			kind := KindFailure
			if tt.reason == abstains {
				kind = KindDecision
			} else {
				c.wantRefusal(r, http.StatusPreconditionFailed, KindFailure, tt.reason)
			}
			m, record := manifestOf(t, c, kind)
			said := false
			for _, p := range m.Parts {
				said = said || p.Key == fhir.KeyAdministrations && p.Why != ""
			}
			if !said || record.Status != r.status {
				t.Errorf("the receipt does not say why: %+v", m.Parts)
			}
			if all := len(c.records(KindDecision)) + len(c.records(KindFailure)) + len(c.records(KindRefusal)); all != 1 {
				t.Errorf("%d receipts of one call", all)
			}
			if kind == KindDecision {
				if d := record.Receipt.Outcome.Decision; d.Status != "abstain" || d.Advice.Vasopressor != nil || d.Advice.Fluid != nil {
					t.Errorf("%s with %+v on a list that is not whole", d.Status, d.Advice)
				}
			}
		})
	}
}
