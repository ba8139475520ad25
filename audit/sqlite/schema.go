// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: the tables, and the one list that says which field of an index
// lies in which column. The stored index bytes are what the tree commits to;
// the columns only make them findable, and Verify compares the two.

import (
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

// column is one searchable field of audit.Index.
type column struct {
	name  string
	typ   string
	index bool // has its own SQL index, newest first
	of    func(audit.Index) any
	want  func(audit.Filter) string // "" does not select
}

var columns = []column{
	{"kind", "TEXT", true, func(x audit.Index) any { return x.Kind }, func(f audit.Filter) string { return f.Kind }},
	{"client", "TEXT", false, func(x audit.Index) any { return x.Client }, func(f audit.Filter) string { return f.Client }},
	{"request", "TEXT", true, func(x audit.Index) any { return x.RequestID }, func(f audit.Filter) string { return f.RequestID }},
	{"hook_instance", "TEXT", true, func(x audit.Index) any { return x.HookInstance }, func(f audit.Filter) string { return f.HookInstance }},
	{"service", "TEXT", false, func(x audit.Index) any { return x.Service }, func(f audit.Filter) string { return f.Service }},
	{"user", "TEXT", true, func(x audit.Index) any { return x.User }, func(f audit.Filter) string { return f.User }},
	{"patient", "TEXT", true, func(x audit.Index) any { return x.Patient }, func(f audit.Filter) string { return f.Patient }},
	{"encounter", "TEXT", true, func(x audit.Index) any { return x.Encounter }, func(f audit.Filter) string { return f.Encounter }},
	{"unit", "TEXT", true, func(x audit.Index) any { return x.Unit }, func(f audit.Filter) string { return f.Unit }},
	{"status", "TEXT", true, func(x audit.Index) any { return x.Status }, func(f audit.Filter) string { return f.Status }},
	{"http", "INTEGER", false, func(x audit.Index) any { return int64(x.HTTP) }, nil},
	{"display", "TEXT", false, func(x audit.Index) any { return x.Display }, func(f audit.Filter) string { return f.Display }},
	{"topic", "TEXT", false, func(x audit.Index) any { return x.Topic }, func(f audit.Filter) string { return f.Topic }},
	{"shown", "INTEGER", false, func(x audit.Index) any { return boolean(x.Shown) }, nil},
	{"evidence", "TEXT", false, func(x audit.Index) any { return x.Evidence }, nil},
	{"model", "TEXT", true, func(x audit.Index) any { return x.Model }, func(f audit.Filter) string { return f.Model }},
	{"rules_hash", "TEXT", true, func(x audit.Index) any { return x.RulesHash }, func(f audit.Filter) string { return f.RulesHash }},
	{"code_maps", "TEXT", true, func(x audit.Index) any { return x.CodeMaps }, func(f audit.Filter) string { return f.CodeMaps }},
	{"refers", "TEXT", true, func(x audit.Index) any { return x.Refers }, func(f audit.Filter) string { return f.Refers }},
	{"outcome", "TEXT", false, func(x audit.Index) any { return x.Outcome }, func(f audit.Filter) string { return f.Outcome }},
}

// term is one searchable field of audit.Index that has several values.
type term struct {
	name string
	of   func(audit.Index) []string
	want func(audit.Filter) string
}

var terms = []term{
	{"reason", func(x audit.Index) []string { return x.Reasons }, func(f audit.Filter) string { return f.Reason }},
	{"drug", func(x audit.Index) []string { return x.Drugs }, func(f audit.Filter) string { return f.Drug }},
	{"rule", func(x audit.Index) []string { return x.Rules }, func(f audit.Filter) string { return f.Rule }},
	{"card", func(x audit.Index) []string { return x.Cards }, func(f audit.Filter) string { return f.Card }},
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// schema gives the statements that make an empty log. The triggers guard
// against a slip of the hand, not against an adversary: the tree does that.
func schema() []string {
	var cols strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&cols, "  %s %s NOT NULL,\n", c.name, c.typ)
	}
	stmts := []string{
		`CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
		"CREATE TABLE entry (\n  leaf INTEGER PRIMARY KEY,\n  id TEXT NOT NULL UNIQUE,\n  time_ns INTEGER NOT NULL,\n" +
			cols.String() + "  index_json BLOB NOT NULL,\n  salt BLOB NOT NULL,\n  body BLOB NOT NULL\n) STRICT",
		`CREATE TABLE term (kind TEXT NOT NULL, value TEXT NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (kind, value, leaf)) STRICT, WITHOUT ROWID`,
		`CREATE INDEX term_leaf ON term (leaf)`,
		`CREATE TABLE node (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT`,
		`CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, signed BLOB NOT NULL) STRICT`,
		`CREATE INDEX entry_time ON entry (time_ns)`,
		fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
	}
	for _, c := range columns {
		if c.index {
			stmts = append(stmts, fmt.Sprintf(`CREATE INDEX entry_%s ON entry (%s, leaf) WHERE %s <> ''`, c.name, c.name, c.name))
		}
	}
	for _, table := range []string{"meta", "entry", "term", "node", "checkpoint"} {
		for _, op := range []string{"UPDATE", "DELETE"} {
			stmts = append(stmts, fmt.Sprintf(
				`CREATE TRIGGER %s_no_%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`,
				table, strings.ToLower(op), op, table))
		}
	}
	return stmts
}

// insertEntry is the statement that stores one row.
var insertEntry = func() string {
	names := []string{"leaf", "id", "time_ns"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	names = append(names, "index_json", "salt", "body")
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")
	return fmt.Sprintf(`INSERT INTO entry (%s) VALUES (%s)`, strings.Join(names, ", "), marks)
}()
