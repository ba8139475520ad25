// SPDX-License-Identifier: Apache-2.0

package postgres

// This file: reading the address of the database, strictly. What it says, PG*
// variables and service files do not override.

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrURL: the address of the database is not one this service connects to. The
// text never repeats the address: it may hold a password.
var ErrURL = errors.New("PostgreSQL address unusable")

// connectTime bounds one attempt to connect.
const connectTime = 10 * time.Second

// CheckURL says whether Open would try an address: postgres://, one host, a
// database, no parameter but sslmode, sslrootcert, sslcert, sslkey, search_path
// and host (a folder with the server's socket), and sslmode=verify-full unless
// the server is on this machine. Nothing is connected to. Errors wrap ErrURL.
func CheckURL(address string) error {
	_, err := checkURL(address)
	return err
}

// HasPassword says whether an address holds a password.
func HasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password")
}

func checkURL(address string) (*url.URL, error) {
	refuse := func(format string, args ...any) (*url.URL, error) {
		return nil, fmt.Errorf("%w: %s", ErrURL, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(address)
	if err != nil {
		return refuse("it is not a URL (hint: postgres://user@host:5432/database?sslmode=verify-full)")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse("its parameters are not those of a URL")
	}
	for name, values := range q {
		if !slices.Contains([]string{"sslmode", "sslrootcert", "sslcert", "sslkey", "search_path", "host"}, name) {
			return refuse("parameter %q is not known", name)
		}
		if len(values) != 1 || values[0] == "" {
			return refuse("parameter %s is not given once", name)
		}
	}
	socket := q.Get("host")
	switch {
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return refuse("it does not begin with postgres://")
	case u.Fragment != "" || strings.Contains(u.Host, ","):
		return refuse("it names more than one host, or a fragment")
	case socket != "" && !filepath.IsAbs(socket):
		return refuse("parameter host is a folder with the server's socket, absolute")
	case socket != "" && u.Hostname() != "":
		return refuse("it names a host and a socket (hint: keep one)")
	case socket == "" && u.Hostname() == "":
		return refuse("it names no host")
	case u.User.Username() == "":
		return refuse("it names no user")
	case strings.Trim(u.Path, "/") == "" || strings.Contains(strings.Trim(u.Path, "/"), "/"):
		return refuse("it names no database")
	case socket == "" && !local(u.Hostname()) && q.Get("sslmode") != "verify-full":
		return refuse("over a network it takes sslmode=verify-full, with sslrootcert for a certificate of your own")
	case !slices.Contains([]string{"", "disable", "require", "verify-ca", "verify-full"}, q.Get("sslmode")):
		return refuse("sslmode is disable, require, verify-ca or verify-full")
	}
	return u, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func parseURL(address string) (*pgx.ConnConfig, error) {
	u, err := checkURL(address)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	if q.Get("sslmode") == "" {
		q.Set("sslmode", "disable") // on this machine; else it was demanded
	}
	u.RawQuery = q.Encode()
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		// pgx names the certificate files that it could not read, and hides the
		// password.
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	cfg.Fallbacks = nil // the host and the TLS that were asked for, and no other
	cfg.ConnectTimeout = connectTime
	delete(cfg.RuntimeParams, "options")
	return cfg, nil
}
