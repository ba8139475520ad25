// SPDX-License-Identifier: Apache-2.0

package main

// This file: the audit console in a browser, for whoever may read the log over
// HTTP; and in the demonstration, for its demo auditor.

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// mountConsole serves the console. demo is the token of the demo auditor; empty:
// there is none. signIn may be nil.
func (s auditSurface) mountConsole(mux *http.ServeMux, gate console.Gate, signIn console.SignIn, demo string) *console.Console {
	c := console.New(console.Deps{
		Log: s.log, Gate: gate, SignIn: signIn, Key: s.key, Appends: s.appends, Demo: demo,
		Chart: func() console.Chart {
			r := s.rooms()
			zone, err := time.LoadLocation(r.cfg.CDSHooks.TimeZone)
			if err != nil { // checked at start
				zone = time.UTC
			}
			return console.Chart{Remapper: cdshooks.MappedCharts{Mapper: r.mapper}, State: r.cfg.State, Zone: zone, PublicURL: r.cfg.CDSHooks.PublicURL}
		},
		Failed: func(page string, err error) {
			s.logger.Error("audit console", zap.String("page", page), zap.Error(err))
		},
	})
	mux.Handle(console.Path+"/", c)
	mux.Handle("GET "+console.Path, http.RedirectHandler(console.Path+"/", http.StatusSeeOther))
	return c
}

// key seals what browsers of readers keep: that of the evidence pages, which
// replicas share.
func (s auditSurface) key() []byte { return []byte(s.rooms().cfg.CDSHooks.EvidenceKey.Reveal()) }
