// SPDX-License-Identifier: Apache-2.0

package postgres

// This file: the suite of every store, on a real server, whose address is in
// SEPSISAGENT_POSTGRES (.ci/postgres/run starts one); and what only a server has.
// Each test has a schema of its own.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
	"github.com/sepsisagent/sepsisagent/audit/audittest/scale"
)

const serverEnv = "SEPSISAGENT_POSTGRES"

func TestMain(m *testing.M) {
	flag.Parse()
	audittest.Child(Open)
	goleak.VerifyTestMain(m)
}

// place is a schema's address.
type place string

var places atomic.Int64

func newPlace(t testing.TB) audittest.Place { return newSchema(t) }

func newSchema(t testing.TB) place {
	t.Helper()
	server := os.Getenv(serverEnv)
	if server == "" {
		t.Skipf("%s is not set: no PostgreSQL server to test on (hint: .ci/postgres/run go test ./audit/postgres)", serverEnv)
	}
	name := fmt.Sprintf("audit_%d_%d", os.Getpid(), places.Add(1))
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	root := place(u.String())
	root.exec(t, `CREATE SCHEMA `+name)
	t.Cleanup(func() { root.exec(t, `DROP SCHEMA `+name+` CASCADE`) })
	u.RawQuery = url.Values{"search_path": {name}}.Encode()
	return place(u.String())
}

func (p place) exec(t testing.TB, stmts ...string) {
	t.Helper()
	db, err := p.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p place) Create(ctx context.Context, opts Options) error { return Create(ctx, string(p), opts) }

func (p place) Open(ctx context.Context, opts Options) (*Log, error) {
	return Open(ctx, string(p), opts)
}

func (p place) Verify(ctx context.Context, opts Options, kept []byte) (audit.Report, error) {
	return Verify(ctx, string(p), opts, kept)
}

func (p place) Rotate(ctx context.Context, opts Options, fresh *audit.Key, why audit.Why) error {
	return Rotate(ctx, string(p), opts, fresh, why)
}

func (p place) DB() (*sql.DB, error) {
	_, db, err := connect(context.Background(), string(p), Options{})
	return db, err
}

func (p place) Bind(stmt string) string { return bind(stmt) }

func (p place) Spec() string { return string(p) }

func (p place) DropGuards(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `DROP FUNCTION IF EXISTS audit_append_only, audit_erased_only, audit_sealing_only, audit_resealing_only, audit_unpacking_only CASCADE`)
	return err
}

// Copy is what docs/audit.md says of backups: pg_dump, and psql into a database of
// its own. Where these are not installed, one transaction copies the tables.
func (p place) Copy(t *testing.T) audittest.Place {
	t.Helper()
	u, err := url.Parse(string(p))
	if err != nil {
		t.Fatal(err)
	}
	schema := u.Query().Get("search_path")
	u.RawQuery = ""
	if _, err := exec.LookPath("pg_dump"); err != nil {
		return p.copyTables(t, schema)
	}
	name := fmt.Sprintf("restored_%d_%d", os.Getpid(), places.Add(1))
	root := place(u.String())
	root.exec(t, `CREATE DATABASE `+name)
	t.Cleanup(func() { root.exec(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	dump := filepath.Join(t.TempDir(), "dump.sql")
	run := func(program string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
	run("pg_dump", "--schema="+schema, "--file="+dump, u.String())
	u.Path = "/" + name
	run("psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file="+dump, u.String())
	u.RawQuery = url.Values{"search_path": {schema}}.Encode()
	return place(u.String())
}

// copyTables copies every table as it is at one moment, guards left out.
func (p place) copyTables(t *testing.T, from string) place {
	t.Helper()
	backup := newSchema(t)
	db, err := backup.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, table := range []string{"meta", "entry", "term", "node", "checkpoint", "erased", "sealed", "cosignature", "block_time", "block_brief", "used_token", "goose_db_version"} {
		for _, stmt := range []string{`CREATE TABLE %s (LIKE %[2]s.%[1]s INCLUDING ALL)`, `INSERT INTO %s SELECT * FROM %[2]s.%[1]s`} {
			if _, err := tx.ExecContext(t.Context(), fmt.Sprintf(stmt, table, from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return backup
}

func TestPostgres(t *testing.T) { audittest.Run(t, newPlace) }

func BenchmarkAppend(b *testing.B) { audittest.Bench(b, newPlace) }

func BenchmarkQuestions(b *testing.B) { scale.Questions(b, newPlace, "VACUUM ANALYZE") } // as autovacuum does

func TestPostgresRefusesAServerThatMayForget(t *testing.T) {
	p := newSchema(t)
	u, err := url.Parse(string(p))
	if err != nil {
		t.Fatal(err)
	}
	// fsync is the server's and stays on here; a role's default is as good a test.
	p.exec(t, `DROP ROLE IF EXISTS forgetful`, `CREATE ROLE forgetful LOGIN`)
	t.Cleanup(func() { p.exec(t, `DROP ROLE forgetful`) })
	p.exec(t, `ALTER ROLE forgetful SET synchronous_commit = off`)
	u.User = url.User("forgetful")
	_, db, err := connect(t.Context(), u.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var set string
	if err := db.QueryRow(`SHOW synchronous_commit`).Scan(&set); err != nil || set != "on" {
		t.Errorf("synchronous_commit is %s, %v: the connection does not insist", set, err)
	}
}

// A plan is kept while the log grows, so what is planned while it is empty matters.
func TestPostgresReadsNoWholeTableOfAnEmptyLog(t *testing.T) {
	p := newSchema(t)
	key, _, err := audit.NewKey(nil, "empty")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Create(t.Context(), Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	_, db, err := connect(t.Context(), string(p), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids := `'a'` + strings.Repeat(`, 'a'`, 31) // of a batch
	for _, question := range []string{
		`SELECT id FROM entry WHERE id IN (` + ids + `) UNION ALL SELECT id FROM erased WHERE id IN (` + ids + `)`,
		`SELECT idx, hash FROM node WHERE idx IN (1, 2, 3)`,
		`SELECT signed FROM checkpoint ORDER BY size DESC LIMIT 1`,
		`SELECT leaf, index_json FROM entry WHERE leaf >= 0 AND leaf < 1024 ORDER BY leaf`,
		`SELECT leaf FROM term WHERE kind = 'drug' AND value = 'vasopressin' ORDER BY leaf DESC LIMIT 100`,
	} {
		rows, err := db.Query(`EXPLAIN ` + question)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "Seq Scan") || strings.Contains(line, "JIT") {
				t.Errorf("%s: %s", question, line)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPostgresServesWithFewRights(t *testing.T) {
	p := newSchema(t)
	key, _, err := audit.NewKey(nil, "few")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Create(t.Context(), Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(p))
	if err != nil {
		t.Fatal(err)
	}
	schema := u.Query().Get("search_path")
	p.exec(t, `CREATE ROLE serving LOGIN`, `GRANT USAGE ON SCHEMA `+schema+` TO serving`,
		`GRANT SELECT, INSERT ON meta, entry, term, node, checkpoint, sealed, cosignature, block_time, block_brief, used_token TO serving`, `GRANT SELECT ON goose_db_version, erased TO serving`, `GRANT DELETE ON used_token TO serving`)
	t.Cleanup(func() { p.exec(t, `DROP OWNED BY serving`, `DROP ROLE serving`) })
	u.User = url.User("serving")
	l, err := Open(t.Context(), u.String(), Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(t.Context(), audittest.Entry(0)); err != nil {
		t.Error(err)
	}
	if first, err := l.FirstUse(t.Context(), "i", "j", audittest.Entry(0).Index.Time); err != nil || !first {
		t.Errorf("first %v, %v", first, err)
	}
	db, err := place(u.String()).DB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, stmt := range []string{`DELETE FROM entry`, `DROP TRIGGER entry_append_only ON entry`, `TRUNCATE entry`, `ALTER TABLE entry DISABLE TRIGGER ALL`} {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("%s went through", stmt)
		}
	}
}

func TestPostgresReplicasMayMigrateAtOnce(t *testing.T) {
	p := newSchema(t)
	key, _, err := audit.NewKey(nil, "migrate")
	if err != nil {
		t.Fatal(err)
	}
	// As the first version left it.
	db, err := p.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	old, err := goose.NewProvider(dialect.Goose, db, dialect.Migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), string(p), Options{Key: key}); err == nil {
		t.Error("an older log was opened for writing")
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, to, err := Migrate(t.Context(), string(p)); err != nil || to < 3 {
				t.Errorf("to %d, %v", to, err)
			}
		})
	}
	wg.Wait()
	if err := p.Create(t.Context(), Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	l, err := p.Open(t.Context(), Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheckURL(t *testing.T) {
	tests := []struct {
		name, address, says string // says "": it is taken
	}{
		{"a server on this machine", "postgres://u@127.0.0.1:5432/db", ""},
		{"a socket on this machine", "postgres://u@/db?host=/run/postgresql", ""},
		{"a server whose certificate is checked", "postgres://u@db.example.org/db?sslmode=verify-full", ""},
		{"a schema", "postgresql://u@[::1]/db?search_path=audit", ""},
		{"a network without TLS", "postgres://u@db.example.org/db", "verify-full"},
		{"a network with TLS to whomever", "postgres://u@db.example.org/db?sslmode=require", "verify-full"},
		{"TLS if the server likes", "postgres://u@localhost/db?sslmode=prefer", "sslmode"},
		{"two hosts, of which one is checked", "postgres://u@localhost,evil.example.org/db", "host"},
		{"two hosts by parameter", "postgres://u@localhost/db?host=/run/postgresql", "socket"},
		{"a remote host by parameter", "postgres://u@/db?host=evil.example.org", "absolute"},
		{"a parameter twice", "postgres://u@localhost/db?sslmode=disable&sslmode=require", "once"},
		{"a parameter that weakens durability", "postgres://u@localhost/db?synchronous_commit=off", "not known"},
		{"options", "postgres://u@localhost/db?options=-c%20fsync%3Doff", "not known"},
		{"no user", "postgres://localhost/db", "user"},
		{"no database", "postgres://u@localhost/", "database"},
		{"another scheme", "mysql://u@localhost/db", "postgres://"},
		{"words", "host=localhost user=u", "postgres://"},
		{"nothing", "", "postgres://"},
		{"no URL, and a password in it", "postgres://u:hush%zz@localhost/db", "not a URL"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckURL(tc.address)
			switch {
			case tc.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.says != "" && (!errors.Is(err, ErrURL) || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("error %v, want one that says %q", err, tc.says)
			case err != nil && strings.Contains(err.Error(), "hush"):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestAServerThatIsNotThereIsNamedWithoutThePassword(t *testing.T) {
	_, err := Open(t.Context(), "postgres://u:hush@127.0.0.1:1/db", Options{})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("error %v", err)
	}
}

func TestTextIsKeptAsItIsOrNamedBeyondDoubt(t *testing.T) {
	long := strings.Repeat("ü", 300)
	sum := sha256.Sum256([]byte(long))
	for in, want := range map[string]string{
		"": "", "Patient/1": "Patient/1", "ü": "ü",
		long: strings.Repeat("ü", 256) + " sha256:" + hex.EncodeToString(sum[:]),
	} {
		if got := text(in); got != want {
			t.Errorf("%.20q became %q", in, got)
		}
	}
	if text("a\x00") == text("a\uFFFD") || strings.Contains(text("a\x00"), "\x00") {
		t.Error("a NUL is kept, or is taken for another value")
	}
}
