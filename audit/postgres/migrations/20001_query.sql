-- SPDX-License-Identifier: Apache-2.0
-- What makes questions fast in a large log. block_time has the earliest and the
-- latest time of each full block of 1024 leaves, so that a span of time is a few
-- spans of leaves although times are not in the order of leaves. It is written
-- once a block is full, checked by verify, and holds nothing of a patient.

-- +goose Up
CREATE TABLE block_time (block BIGINT PRIMARY KEY, min_ns BIGINT NOT NULL, max_ns BIGINT NOT NULL);
INSERT INTO block_time (block, min_ns, max_ns)
  SELECT leaf / 1024, MIN(time_ns), MAX(time_ns) FROM entry GROUP BY leaf / 1024 HAVING COUNT(*) = 1024;
CREATE INDEX entry_client ON entry (client, leaf) WHERE client <> '';
CREATE INDEX entry_topic ON entry (topic, leaf) WHERE topic <> '';
CREATE INDEX entry_outcome ON entry (outcome, leaf) WHERE outcome <> '';
CREATE TRIGGER block_time_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON block_time FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
