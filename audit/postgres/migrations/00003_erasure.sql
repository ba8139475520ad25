-- SPDX-License-Identifier: Apache-2.0
-- What is left of an erased entry (erased), bodies that are stored encrypted
-- (sealed; entry.body is empty then) and what witnesses signed (cosignature). An
-- entry and its terms may go only once its digests are put down; tables of others
-- follow by ON DELETE CASCADE on entry (leaf).

-- +goose Up
CREATE TABLE erased (leaf BIGINT PRIMARY KEY, id TEXT COLLATE "C" NOT NULL UNIQUE, digests BYTEA NOT NULL, receipt TEXT COLLATE "C" NOT NULL);
CREATE TABLE sealed (leaf BIGINT PRIMARY KEY, key_id TEXT COLLATE "C" NOT NULL, digest BYTEA NOT NULL, box BYTEA NOT NULL);
ALTER TABLE sealed ALTER COLUMN box SET STORAGE EXTERNAL;
CREATE INDEX sealed_key ON sealed (key_id, leaf);
CREATE TABLE cosignature (size BIGINT NOT NULL, witness TEXT COLLATE "C" NOT NULL, line TEXT COLLATE "C" NOT NULL, PRIMARY KEY (size, witness));
DROP TRIGGER entry_append_only ON entry;
DROP TRIGGER term_append_only ON term;
-- +goose StatementBegin
CREATE FUNCTION audit_erased_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM erased WHERE leaf = OLD.leaf) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_sealing_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF length(NEW.body) = 0 AND NEW.leaf = OLD.leaf AND NEW.id = OLD.id AND NEW.index_json = OLD.index_json AND NEW.salt = OLD.salt
    AND EXISTS (SELECT 1 FROM sealed WHERE leaf = OLD.leaf) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_resealing_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.leaf = OLD.leaf AND NEW.digest = OLD.digest THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER entry_append_only BEFORE TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER entry_erased_only BEFORE DELETE ON entry FOR EACH ROW EXECUTE FUNCTION audit_erased_only();
CREATE TRIGGER entry_sealing_only BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION audit_sealing_only();
CREATE TRIGGER term_append_only BEFORE UPDATE OR TRUNCATE ON term FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER term_erased_only BEFORE DELETE ON term FOR EACH ROW EXECUTE FUNCTION audit_erased_only();
CREATE TRIGGER erased_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erased FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER sealed_append_only BEFORE TRUNCATE ON sealed FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER sealed_erased_only BEFORE DELETE ON sealed FOR EACH ROW EXECUTE FUNCTION audit_erased_only();
CREATE TRIGGER sealed_resealing_only BEFORE UPDATE ON sealed FOR EACH ROW EXECUTE FUNCTION audit_resealing_only();
CREATE TRIGGER cosignature_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cosignature FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
