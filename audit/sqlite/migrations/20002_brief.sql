-- SPDX-License-Identifier: Apache-2.0
-- What makes counting fast in a large log: block_brief has of each full block of
-- 1024 leaves what its entries are counted by, packed. It follows from the entries,
-- is checked by verify, and names no patient. An erasure takes the briefs of its
-- blocks away, and nothing else may.

-- +goose Up
CREATE TABLE block_brief (block INTEGER PRIMARY KEY, brief BLOB NOT NULL) STRICT;
-- +goose StatementBegin
CREATE TRIGGER block_brief_no_update BEFORE UPDATE ON block_brief BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER block_brief_no_delete BEFORE DELETE ON block_brief WHEN NOT EXISTS (SELECT 1 FROM erased WHERE leaf >= OLD.block * 1024 AND leaf < (OLD.block + 1) * 1024) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
PRAGMA user_version = 20002;
