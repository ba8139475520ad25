// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: the suite of every store, on files; and what only files have.

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
	"github.com/sepsisagent/sepsisagent/audit/audittest/scale"
	"github.com/sepsisagent/sepsisagent/audit/audittest/tempdir"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func TestMain(m *testing.M) {
	flag.Parse()
	audittest.Child(Open)
	tempdir.InMemory()
	goleak.VerifyTestMain(m)
}

// place is a path.
type place string

func newPlace(t testing.TB) audittest.Place {
	return place(filepath.Join(t.TempDir(), "audit log?.db"))
}

func (p place) Create(ctx context.Context, opts Options) error { return Create(ctx, string(p), opts) }

func (p place) Open(ctx context.Context, opts Options) (*Log, error) {
	return Open(ctx, string(p), opts)
}

func (p place) Verify(ctx context.Context, opts Options, kept []byte) (audit.Report, error) {
	return VerifyFile(ctx, string(p), opts, kept)
}

func (p place) Rotate(ctx context.Context, opts Options, fresh *audit.Key, why audit.Why) error {
	return Rotate(ctx, string(p), opts, fresh, why)
}

func (p place) DB() (*sql.DB, error) { return connect(string(p), sqllog.DefaultBusy) }

func (p place) Bind(stmt string) string { return stmt }

func (p place) Spec() string { return string(p) }

func (p place) DropGuards(ctx context.Context, db *sql.DB) error {
	for _, table := range []string{"meta", "entry", "term", "node", "checkpoint", "erased", "sealed", "cosignature", "block_time", "block_brief"} {
		for _, op := range []string{"update", "delete"} {
			if _, err := db.ExecContext(ctx, `DROP TRIGGER IF EXISTS `+table+`_no_`+op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p place) Copy(t *testing.T) audittest.Place {
	t.Helper()
	backup := place(filepath.Join(t.TempDir(), "backup.db"))
	if err := Backup(t.Context(), string(p), string(backup)); err != nil {
		t.Fatal(err)
	}
	return backup
}

func TestSQLite(t *testing.T) { audittest.Run(t, newPlace) }

func BenchmarkAppend(b *testing.B) { audittest.Bench(b, newPlace) }

// Where SEPSISAGENT_SCALE_DIR says, the log is kept there for the next run.
func BenchmarkQuestions(b *testing.B) {
	dir := os.Getenv("SEPSISAGENT_SCALE_DIR")
	if dir == "" {
		scale.Questions(b, newPlace, "")
		return
	}
	scale.Questions(b, func(testing.TB) audittest.Place {
		return place(filepath.Join(dir, "receipts-"+os.Getenv("SEPSISAGENT_SCALE")+".db"))
	}, "")
}

func TestOpenRefusesAFileThatIsNoLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, audit.ErrMissing) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("opening made a file")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, audit.ErrMissing) {
		t.Errorf("an empty file: error %v", err)
	}
	junk := filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(junk, []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), junk, Options{}); err == nil {
		t.Error("junk was opened")
	}
}

// firstLog unpacks a log of nine entries that the first version of this program
// wrote, before there were migrations, and gives its public key.
func firstLog(t *testing.T) (path string, v *audit.Verifier) {
	t.Helper()
	f, err := os.Open("testdata/v1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "v1.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err = audit.ParseVerifier(firstPublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return path, v
}

const firstPublicKey = "hospital.example/sepsis+398cfb3b+AY15Dv4aw337/FsTMn+Cj4qki58CrwZmEz9QYrzzy2iS"

func TestALogOfTheFirstVersionIsReadVerifiedAndMigrated(t *testing.T) {
	path, v := firstLog(t)
	sound := func(when string) {
		t.Helper()
		r, err := VerifyFile(t.Context(), path, Options{Verifier: v}, nil)
		if err != nil || !r.OK || r.Size != 9 || r.Signed != 10 {
			t.Fatalf("%s: report %+v, %v", when, r, err)
		}
		l, err := Open(t.Context(), path, Options{Verifier: v})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		rows, err := l.Query(t.Context(), audit.Filter{Rule: "V3", Patient: "Patient/3"})
		if err != nil || len(rows) != 1 || rows[0].Leaf != 3 {
			t.Errorf("%s: rows %+v, %v", when, rows, err)
		}
	}
	sound("as it was")
	newest := int64(1)
	for i := range 2 { // the second time there is nothing to do
		was, is, err := Migrate(t.Context(), path)
		if err != nil || was != newest || is < 3 {
			t.Fatalf("migration %d: from %d to %d, %v", i, was, is, err)
		}
		newest = is
		sound("migrated")
	}
	migrated, fresh := tables(t, path), filepath.Join(t.TempDir(), "new.db")
	key, _, err := audit.NewKey(nil, "new")
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), fresh, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	if made := tables(t, fresh); made != migrated {
		t.Errorf("a migrated log has other tables than a new one:\n%s\nand\n%s", migrated, made)
	}
}

func TestALogOfAnotherVersionIsNotWritten(t *testing.T) {
	path, _ := firstLog(t)
	key, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{Key: key}); !errors.Is(err, sqllog.ErrSchema) {
		t.Errorf("an older one: error %v", err)
	}
	db, err := connect(path, sqllog.DefaultBusy)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`PRAGMA user_version = 99999`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, sqllog.ErrSchema) {
		t.Errorf("a newer one: error %v", err)
	}
	if _, _, err := Migrate(t.Context(), path); !errors.Is(err, sqllog.ErrSchema) {
		t.Errorf("migrating a newer one: error %v", err)
	}
}

// tables are the statements of a file's schema, goose's own left out.
func tables(t *testing.T, path string) string {
	t.Helper()
	db, err := connect(path, sqllog.DefaultBusy)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out string
	if err := db.QueryRow(`SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema
		WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY name)`).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestErasedBytesAreGoneFromTheFiles looks into the files themselves: SQLite would
// otherwise only forget where deleted bytes lie.
func TestErasedBytesAreGoneFromTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	key, _, err := audit.NewKey(nil, "erase")
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), path, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), path, Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 400 {
		e := audittest.Entry(i)
		e.Index.Patient = fmt.Sprintf("Patient/kept-%d", i)
		if i%7 == 3 {
			e.Index.Patient, e.Index.User, e.Index.Drugs = "Patient/forgetme", "Practitioner/forgetme", []string{"drug-forgetme"}
			e.Body = bytes.Repeat([]byte("forgetme "), 1+i*20)
		}
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		for _, name := range []string{path, path + "-wal"} {
			data, err := os.ReadFile(name)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			n += bytes.Count(data, []byte("forgetme"))
		}
		return n
	}
	if count() == 0 {
		t.Fatal("nothing to erase: the test looks in the wrong place")
	}
	done, err := l.Erase(t.Context(), audit.Selection{Patient: "Patient/forgetme"}, audit.Why{Operator: "o", Reason: "r"})
	if err != nil || done.Records != 57 || done.Remains != "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if n := count(); n > 0 {
		t.Errorf("erased bytes lie in the files still, %d times", n)
	}
	if r, err := l.Verify(t.Context()); err != nil || !r.OK || r.Erased != 57 {
		t.Errorf("report %+v, %v", r, err)
	}
}
