-- SPDX-License-Identifier: Apache-2.0
-- The log as its first version made it. It is never edited: a file made by that
-- version is taken to have exactly this. The triggers guard against a slip of the
-- hand, not against an adversary: the tree does that.

-- +goose Up
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
  leaf INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  time_ns INTEGER NOT NULL,
  kind TEXT NOT NULL,
  client TEXT NOT NULL,
  request TEXT NOT NULL,
  hook_instance TEXT NOT NULL,
  service TEXT NOT NULL,
  user TEXT NOT NULL,
  patient TEXT NOT NULL,
  encounter TEXT NOT NULL,
  unit TEXT NOT NULL,
  status TEXT NOT NULL,
  http INTEGER NOT NULL,
  display TEXT NOT NULL,
  topic TEXT NOT NULL,
  shown INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  model TEXT NOT NULL,
  rules_hash TEXT NOT NULL,
  code_maps TEXT NOT NULL,
  refers TEXT NOT NULL,
  outcome TEXT NOT NULL,
  index_json BLOB NOT NULL,
  salt BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE TABLE term (kind TEXT NOT NULL, value TEXT NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (kind, value, leaf)) STRICT, WITHOUT ROWID;
CREATE INDEX term_leaf ON term (leaf);
CREATE TABLE node (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, signed BLOB NOT NULL) STRICT;
CREATE INDEX entry_time ON entry (time_ns);
CREATE INDEX entry_kind ON entry (kind, leaf) WHERE kind <> '';
CREATE INDEX entry_request ON entry (request, leaf) WHERE request <> '';
CREATE INDEX entry_hook_instance ON entry (hook_instance, leaf) WHERE hook_instance <> '';
CREATE INDEX entry_user ON entry (user, leaf) WHERE user <> '';
CREATE INDEX entry_patient ON entry (patient, leaf) WHERE patient <> '';
CREATE INDEX entry_encounter ON entry (encounter, leaf) WHERE encounter <> '';
CREATE INDEX entry_unit ON entry (unit, leaf) WHERE unit <> '';
CREATE INDEX entry_status ON entry (status, leaf) WHERE status <> '';
CREATE INDEX entry_model ON entry (model, leaf) WHERE model <> '';
CREATE INDEX entry_rules_hash ON entry (rules_hash, leaf) WHERE rules_hash <> '';
CREATE INDEX entry_code_maps ON entry (code_maps, leaf) WHERE code_maps <> '';
CREATE INDEX entry_refers ON entry (refers, leaf) WHERE refers <> '';
-- +goose StatementBegin
CREATE TRIGGER meta_no_update BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER meta_no_delete BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER term_no_update BEFORE UPDATE ON term BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER term_no_delete BEFORE DELETE ON term BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER node_no_update BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER node_no_delete BEFORE DELETE ON node BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
PRAGMA user_version = 1;
