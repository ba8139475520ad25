-- SPDX-License-Identifier: Apache-2.0
-- The log. No text is compared but for equality, so the collation is bytes. The
-- triggers guard against a slip of the hand, not against an adversary: the tree
-- does that.

-- +goose Up
CREATE TABLE meta (key TEXT COLLATE "C" PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE entry (
  leaf BIGINT PRIMARY KEY,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  time_ns BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  client TEXT COLLATE "C" NOT NULL,
  request TEXT COLLATE "C" NOT NULL,
  hook_instance TEXT COLLATE "C" NOT NULL,
  service TEXT COLLATE "C" NOT NULL,
  "user" TEXT COLLATE "C" NOT NULL,
  patient TEXT COLLATE "C" NOT NULL,
  encounter TEXT COLLATE "C" NOT NULL,
  unit TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  http BIGINT NOT NULL,
  display TEXT COLLATE "C" NOT NULL,
  topic TEXT COLLATE "C" NOT NULL,
  shown BIGINT NOT NULL,
  evidence TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  rules_hash TEXT COLLATE "C" NOT NULL,
  code_maps TEXT COLLATE "C" NOT NULL,
  refers TEXT COLLATE "C" NOT NULL,
  outcome TEXT COLLATE "C" NOT NULL,
  index_json BYTEA NOT NULL,
  salt BYTEA NOT NULL,
  body BYTEA NOT NULL
);
-- A body is packed by the one who appends it; to pack it again costs time and saves nothing.
ALTER TABLE entry ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE term (kind TEXT COLLATE "C" NOT NULL, value TEXT COLLATE "C" NOT NULL, leaf BIGINT NOT NULL, PRIMARY KEY (kind, value, leaf));
CREATE INDEX term_leaf ON term (leaf);
CREATE TABLE node (idx BIGINT PRIMARY KEY, hash BYTEA NOT NULL);
CREATE TABLE checkpoint (size BIGINT PRIMARY KEY, signed BYTEA NOT NULL);
CREATE INDEX entry_time ON entry (time_ns);
CREATE INDEX entry_kind ON entry (kind, leaf) WHERE kind <> '';
CREATE INDEX entry_request ON entry (request, leaf) WHERE request <> '';
CREATE INDEX entry_hook_instance ON entry (hook_instance, leaf) WHERE hook_instance <> '';
CREATE INDEX entry_user ON entry ("user", leaf) WHERE "user" <> '';
CREATE INDEX entry_patient ON entry (patient, leaf) WHERE patient <> '';
CREATE INDEX entry_encounter ON entry (encounter, leaf) WHERE encounter <> '';
CREATE INDEX entry_unit ON entry (unit, leaf) WHERE unit <> '';
CREATE INDEX entry_status ON entry (status, leaf) WHERE status <> '';
CREATE INDEX entry_model ON entry (model, leaf) WHERE model <> '';
CREATE INDEX entry_rules_hash ON entry (rules_hash, leaf) WHERE rules_hash <> '';
CREATE INDEX entry_code_maps ON entry (code_maps, leaf) WHERE code_maps <> '';
CREATE INDEX entry_refers ON entry (refers, leaf) WHERE refers <> '';
-- +goose StatementBegin
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER meta_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON meta FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER term_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON term FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER node_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON node FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER checkpoint_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
