-- SPDX-License-Identifier: Apache-2.0
-- What is left of an erased entry (erased), bodies that are stored encrypted
-- (sealed; entry.body is empty then) and what witnesses signed (cosignature). An
-- entry and its terms may go only once its digests are put down; tables of others
-- follow by ON DELETE CASCADE on entry (leaf).

-- +goose Up
CREATE TABLE erased (leaf INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digests BLOB NOT NULL, receipt TEXT NOT NULL) STRICT;
CREATE TABLE sealed (leaf INTEGER PRIMARY KEY, key_id TEXT NOT NULL, digest BLOB NOT NULL, box BLOB NOT NULL) STRICT;
CREATE INDEX sealed_key ON sealed (key_id, leaf);
CREATE TABLE cosignature (size INTEGER NOT NULL, witness TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (size, witness)) STRICT, WITHOUT ROWID;
DROP TRIGGER entry_no_delete;
DROP TRIGGER entry_no_update;
DROP TRIGGER term_no_delete;
-- +goose StatementBegin
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry WHEN NOT EXISTS (SELECT 1 FROM erased WHERE leaf = OLD.leaf) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER term_no_delete BEFORE DELETE ON term WHEN NOT EXISTS (SELECT 1 FROM erased WHERE leaf = OLD.leaf) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry WHEN NOT (length(NEW.body) = 0 AND NEW.leaf = OLD.leaf AND NEW.id = OLD.id AND NEW.index_json = OLD.index_json AND NEW.salt = OLD.salt
  AND EXISTS (SELECT 1 FROM sealed WHERE leaf = OLD.leaf)) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER erased_no_update BEFORE UPDATE ON erased BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER erased_no_delete BEFORE DELETE ON erased BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER sealed_no_update BEFORE UPDATE ON sealed WHEN NEW.leaf <> OLD.leaf OR NEW.digest <> OLD.digest BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER sealed_no_delete BEFORE DELETE ON sealed WHEN NOT EXISTS (SELECT 1 FROM erased WHERE leaf = OLD.leaf) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cosignature_no_update BEFORE UPDATE ON cosignature BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cosignature_no_delete BEFORE DELETE ON cosignature BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
PRAGMA user_version = 3;
