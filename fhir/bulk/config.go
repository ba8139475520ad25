// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: what may be asked for, checked before anything is sent, and the
// kick-off address made from it.

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// typeName is the shape of a FHIR resource type. It becomes part of a file
// name, so nothing else may pass.
var typeName = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

// idShape is the shape of a FHIR id.
var idShape = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// complete checks c and fills in the defaults.
func (c Config) complete() (Config, error) {
	if c.Level == "" {
		c.Level = LevelPatient
		if c.Group != "" {
			c.Level = LevelGroup
		}
	}
	switch {
	case c.Level != LevelPatient && c.Level != LevelGroup && c.Level != LevelSystem:
		return c, fmt.Errorf("%w: level %q is none of patient, group, system", ErrConfig, c.Level)
	case (c.Level == LevelGroup) != (c.Group != ""):
		return c, fmt.Errorf("%w: level %q with group %q (hint: a group export names its group, no other does)", ErrConfig, c.Level, c.Group)
	case c.Group != "" && !idShape.MatchString(c.Group):
		return c, fmt.Errorf("%w: %q is not the id of a Group (hint: the part after Group/)", ErrConfig, c.Group)
	case len(c.Types) == 0:
		return c, fmt.Errorf("%w: no resource types to ask for", ErrConfig)
	case c.Out == "":
		return c, fmt.Errorf("%w: no folder to write", ErrConfig)
	case c.Parallel < 0 || c.Timeout < 0 || c.Stall < 0 || c.MaxPoll < 0:
		return c, fmt.Errorf("%w: a number or time below zero", ErrConfig)
	}
	c.Types = slices.Compact(slices.Sorted(slices.Values(c.Types)))
	for _, t := range c.Types {
		if !typeName.MatchString(t) {
			return c, fmt.Errorf("%w: %q is not a resource type (hint: e.g. Observation)", ErrConfig, t)
		}
	}
	for _, q := range c.TypeFilters {
		if kind, _, ok := strings.Cut(q, "?"); !ok || !slices.Contains(c.Types, kind) {
			return c, fmt.Errorf("%w: type filter %q (hint: Type?search, of a type that is asked for)", ErrConfig, q)
		}
	}
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	if c.Pause == nil {
		c.Pause = pause
	}
	return c, nil
}

// baseOf reads the FHIR base. What could carry a secret into a file or a
// message has no place in it.
func baseOf(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: the FHIR server is not an absolute http or https address", ErrConfig)
	case u.User != nil:
		return nil, fmt.Errorf("%w: user and password in the FHIR server's address (hint: use a token file)", ErrConfig)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w: the FHIR server's address has a query (hint: give the base, e.g. https://host/fhir)", ErrConfig)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// origin is scheme://host:port with the port always written.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// loopback says whether a host is this machine by its name alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// own says whether a host is this machine, or a neighbour that only this
// machine can reach, such as the metadata service of a cloud.
func own(host string) bool {
	ip := net.ParseIP(host)
	return loopback(host) || ip != nil && (ip.IsUnspecified() || ip.IsLinkLocalUnicast())
}

// kickOff is the address that starts the export of some types.
func (c Config) kickOff(base *url.URL, types []string) *url.URL {
	u := *base
	switch c.Level {
	case LevelGroup:
		u.Path += "/Group/" + c.Group + "/$export"
	case LevelSystem:
		u.Path += "/$export"
	default:
		u.Path += "/Patient/$export"
	}
	q := url.Values{"_outputFormat": {"application/fhir+ndjson"}, "_type": {strings.Join(types, ",")}}
	if !c.Since.IsZero() {
		q.Set("_since", c.Since.Format(time.RFC3339))
	}
	for _, f := range c.TypeFilters {
		if kind, _, _ := strings.Cut(f, "?"); slices.Contains(types, kind) {
			q.Add("_typeFilter", f)
		}
	}
	u.RawQuery = q.Encode()
	return &u
}

// request is what tells one export from another; a stopped fetch is taken up
// only by the same one.
func (c Config) request(base *url.URL) Request {
	r := Request{Server: base.String(), Level: c.Level, Group: c.Group, Types: c.Types, TypeFilters: c.TypeFilters}
	if !c.Since.IsZero() {
		r.Since = c.Since.Format(time.RFC3339)
	}
	return r
}
