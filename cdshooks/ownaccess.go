// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: reading a client's FHIR server by this service's own right, where
// the registration allows it, and the public keys by which an EHR knows us.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// KeySetPath is where EHRs read our public keys.
const KeySetPath = "/.well-known/jwks.json"

// The rights by which a call's FHIR server was read, as recorded.
const (
	byUser = "fhirAuthorization" // the token that the call brought
	byUs   = "backend"           // a token of our own
)

// OwnAccess gets access to one client's FHIR server by the service's own
// right. It is safe for concurrent use; its errors hold no secret and nothing
// of a patient.
type OwnAccess func(ctx context.Context) (fhir.Access, error)

// checkOwnAccess demands own access for exactly those clients whose
// registration allows it.
func checkOwnAccess(clients []*trust.Client, own map[string]OwnAccess) error {
	allowed := map[string]bool{}
	for _, c := range clients {
		if c.FHIRAccess.Mode != trust.AccessBackend {
			continue
		}
		allowed[c.Name] = true
		if own[c.Name] == nil {
			return fmt.Errorf("%w: client %q: fhir_access.mode backend needs keys to sign with (hint: files.keys_file, see docs/integration.md)", ErrConfig, c.Name)
		}
	}
	for _, name := range sortedKeys(own) {
		if !allowed[name] {
			return fmt.Errorf("%w: client %q: its registration does not allow fhir_access by our own right", ErrConfig, name)
		}
	}
	return nil
}

// authorize says by which right the call's chart may be fetched. A call that
// brings a token is read with it and with nothing else: what its user may not
// see must not come by another way.
func (s *Service) authorize(c *call, req *Request, q *ChartQuery) error {
	client := c.caller.Client
	own := s.OwnAccess[client.Name]
	if client.FHIRServer == "" || req.FHIRAuthorization == nil && own == nil && req.FHIRServer == "" {
		return nil
	}
	var err error
	if q.From, err = s.fhirServer(client); err != nil {
		return err
	}
	if a := req.FHIRAuthorization; a != nil {
		// Its life counts by the wall clock from when the call came in.
		q.Access = fhir.Access{Token: a.AccessToken.Reveal(), Scope: a.Scope, Patient: a.Patient,
			Expires: c.received.Add(time.Duration(a.ExpiresInS) * time.Second)}
		c.record.Request.FHIRAccess = byUser
		return nil
	}
	if own != nil {
		q.Authorize = func(ctx context.Context) (fhir.Access, error) {
			access, err := own(ctx)
			if err != nil {
				s.metrics.ownAccess.WithLabelValues(client.Name, "failed").Inc()
				s.Logger.Warn("no token of our own", zap.String("client", client.Name), zap.Error(err))
				return fhir.Access{}, err
			}
			s.metrics.ownAccess.WithLabelValues(client.Name, "granted").Inc()
			c.record.Request.FHIRAccess = byUs
			return access, nil
		}
	}
	return nil
}

// serveKeys answers with our public keys. They are for everybody and change
// rarely, so unlike everything else they may be cached for a short time. The
// type is the plain one: not every EHR knows application/jwk-set+json.
func (s *Service) serveKeys(c *gin.Context) {
	set := []byte(`{"keys":[]}`)
	if s.KeySet != nil {
		set = s.KeySet()
	}
	sum := sha256.Sum256(set)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	c.Header("ETag", etag)
	c.Header("Cache-Control", "public, max-age=300")
	if match := c.GetHeader("If-None-Match"); match == "*" || strings.Contains(match, etag) {
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, "application/json", set)
}
