// SPDX-License-Identifier: Apache-2.0

package main

// This file: the audit commands on a log in PostgreSQL, and two replicas that
// share one log, in either store.

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// postgresPlace is a schema of its own on the test's server, as a file that holds
// its address.
func postgresPlace(t *testing.T) (file string) {
	t.Helper()
	server := os.Getenv("SEPSISAGENT_POSTGRES")
	if server == "" {
		t.Skip("SEPSISAGENT_POSTGRES is not set: no PostgreSQL server to test on (hint: .ci/postgres/run go test -run Postgres .)")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("main_%d_%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() {
		if _, err := db.Exec(`DROP SCHEMA ` + schema + ` CASCADE`); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Exec(`CREATE SCHEMA ` + schema); err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"search_path": {schema}}.Encode()
	file = filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(file, []byte(u.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPostgresHoldsALogByTheSameCommands(t *testing.T) {
	file, key := postgresPlace(t), filepath.Join(t.TempDir(), "key")
	where := []string{"--postgres-url-file", file, "--key", key}
	with := func(args ...string) []string { return append(args, where...) }
	sepsisagent(t, with("audit", "verify")...).want(exitFailed).says("audit init")
	sepsisagent(t, with("audit", "init", "--origin", "test")...).want(exitOK).prints("public key")
	sepsisagent(t, with("audit", "init")...).want(exitFailed).says("already exists")
	sepsisagent(t, with("audit", "query", "--json")...).want(exitOK)
	sepsisagent(t, with("audit", "migrate")...).want(exitOK).prints("tables of version ")
	var v verified
	sepsisagent(t, with("audit", "verify", "--json")...).want(exitOK).object(&v)
	if !v.OK || v.Size != 1 {
		t.Errorf("%+v", v)
	}
	sepsisagent(t, with("audit", "query", "--db", "x")...).want(exitMisuse).says("two logs")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, with("audit", "verify")...).want(exitFailed).says("chmod 600")
}

func TestPostgresAndReplicasRefuseATokenUsedOnce(t *testing.T) {
	refuseTwice(t, AuditConfig{PostgresURLFile: postgresPlace(t), Origin: "o", KeyFile: "k"})
}

func TestReplicasOnOneFileRefuseATokenUsedOnce(t *testing.T) {
	refuseTwice(t, AuditConfig{Path: filepath.Join(t.TempDir(), "a.db"), Origin: "o", KeyFile: "k"})
}

// refuseTwice opens one log in two replicas, whose registries must agree on which
// tokens were used.
func refuseTwice(t *testing.T, a AuditConfig) {
	key, _, err := audit.NewKey(nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.create(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	replicas := [2]*sqllog.Log{}
	for i := range replicas {
		if replicas[i], err = a.open(t.Context(), key, 0); err != nil {
			t.Fatal(err)
		}
		defer replicas[i].Close()
	}
	until := time.Now().Add(time.Minute)
	for i, want := range []bool{true, false} {
		var seen trust.Seen = replicas[i]
		first, err := seen.FirstUse(t.Context(), "https://ehr.example.org", "jti", until)
		if err != nil || first != want {
			t.Errorf("replica %d: first %v, %v", i, first, err)
		}
	}
}
