// SPDX-License-Identifier: Apache-2.0

package main

// This file: what of the audit log is served over HTTP, and who may read it. Where
// no identity provider is configured (audit.access), nothing of it is.

import (
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// auditSurface is what the parts of the surface share: the JSON API, the console
// and the FHIR search.
type auditSurface struct {
	gate    *access.Gate
	log     *sqllog.Log
	appends access.Appender // where readings are recorded
	rooms   func() *rooms   // of the service as it runs now
	logger  *zap.Logger
}

// withAudit serves the audit log before next, to whom cfg says.
func withAudit(next http.Handler, cfg access.Config, s auditSurface) (http.Handler, error) {
	if !cfg.Enabled() {
		return next, nil
	}
	var err error
	if s.gate, err = access.New(cfg, nil); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s.mountAPI(mux)
	s.mountFHIR(mux)
	var signIn console.SignIn
	if cfg.Login.Enabled() {
		login, err := s.gate.NewLogin(s.rooms().cfg.CDSHooks.PublicURL+console.CallbackPath, s.key, s.log.FirstUse)
		if err != nil {
			return nil, err
		}
		signIn = login
	}
	s.mountConsole(mux, s.gate, signIn, "")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/audit/") || strings.HasPrefix(r.URL.Path, "/fhir/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
