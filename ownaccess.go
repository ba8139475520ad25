// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service's own access to EHRs (SMART Backend Services): its
// keys, and one source of tokens for each client whose registration says backend.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/fhir/smart"
)

// ownAccess holds the keys and the sources; nil is a service that has neither.
type ownAccess struct {
	ring    *smart.Ring // nil: no keys
	names   []string    // of the clients with a source, sorted
	sources map[string]*smart.Source
}

// openOwnAccess reads the keys and makes a source for every client that is
// read by our own right. It asks no EHR.
func openOwnAccess(cfg Config, registry *trust.Registry, templates map[string]string) (*ownAccess, error) {
	o := &ownAccess{sources: map[string]*smart.Source{}}
	var err error
	if cfg.Files.Keys != "" {
		if o.ring, err = smart.OpenRing(cfg.Files.Keys); err != nil {
			return nil, fmt.Errorf("files.keys_file: %w", err)
		}
	}
	need, want := fhir.Reads(templates)
	for _, c := range registry.Clients() {
		a := c.FHIRAccess
		if a.Mode != trust.AccessBackend {
			continue
		}
		own := smart.Config{
			Base: c.FHIRServer, ClientID: a.ClientID, TokenURL: a.TokenURL, Scopes: a.Scopes, Need: need, Want: want,
			Algorithm: a.Algorithm, HTTP: c.HTTPClient(smart.DefaultTimeout),
		}
		if a.SendJKU {
			own.JKU = cfg.CDSHooks.PublicURL + cdshooks.KeySetPath
		}
		source, err := smart.New(own, o.ring)
		if err != nil {
			o.close()
			return nil, fmt.Errorf("client %q: %w", c.Name, err)
		}
		o.names = append(o.names, c.Name)
		o.sources[c.Name] = source
	}
	slices.Sort(o.names)
	return o, nil
}

// grants are the sources in the words of cdshooks.
func (o *ownAccess) grants() map[string]cdshooks.OwnAccess {
	out := map[string]cdshooks.OwnAccess{}
	if o == nil {
		return out
	}
	for name, source := range o.sources {
		out[name] = func(ctx context.Context) (fhir.Access, error) {
			g, err := source.Grant(ctx)
			if err != nil {
				return fhir.Access{}, err
			}
			return fhir.Access{Token: g.Token, Scope: g.Scope, Expires: g.Expires, Renew: source.Renew}, nil
		}
	}
	return out
}

// keySet is what EHRs read at /.well-known/jwks.json.
func (o *ownAccess) keySet() []byte {
	if o == nil {
		return (*smart.Ring)(nil).PublicSet(time.Now())
	}
	return o.ring.PublicSet(time.Now())
}

// check lists the keys and asks every EHR for a token, one line each. It goes
// on after an EHR that refuses, so that one run shows everything there is to
// mend.
func (o *ownAccess) check(ctx context.Context, w io.Writer) error {
	var failed []error
	for _, key := range o.ring.Keys() {
		if _, err := fmt.Fprintf(w, "key %s\n", key); err != nil {
			return err
		}
	}
	for _, name := range o.names {
		report, err := o.sources[name].Check(ctx)
		if err != nil {
			failed = append(failed, fmt.Errorf("client %q: %w", name, err))
			continue
		}
		if _, err := fmt.Fprintf(w, "client %s: %s\n", name, report); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// reload reads the keys again.
func (o *ownAccess) reload() (changed bool, err error) {
	if o.ring == nil {
		return false, nil
	}
	return o.ring.Reload()
}

// keys are the keys in use, in words.
func (o *ownAccess) keys() []string { return o.ring.Keys() }

// close ends the sources.
func (o *ownAccess) close() {
	for _, name := range o.names {
		o.sources[name].Close()
	}
}
