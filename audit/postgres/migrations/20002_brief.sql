-- SPDX-License-Identifier: Apache-2.0
-- What makes counting fast in a large log: block_brief has of each full block of
-- 1024 leaves what its entries are counted by, packed. It follows from the entries,
-- is checked by verify, and names no patient. An erasure takes the briefs of its
-- blocks away, and nothing else may.

-- +goose Up
CREATE TABLE block_brief (block BIGINT PRIMARY KEY, brief BYTEA NOT NULL);
ALTER TABLE block_brief ALTER COLUMN brief SET STORAGE EXTERNAL;
-- +goose StatementBegin
CREATE FUNCTION audit_unpacking_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM erased WHERE leaf >= OLD.block * 1024 AND leaf < (OLD.block + 1) * 1024) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER block_brief_append_only BEFORE UPDATE OR TRUNCATE ON block_brief FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER block_brief_unpacking_only BEFORE DELETE ON block_brief FOR EACH ROW EXECUTE FUNCTION audit_unpacking_only();
