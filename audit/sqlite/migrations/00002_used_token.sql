-- SPDX-License-Identifier: Apache-2.0
-- Tokens that were used, until they expire, so that none is used twice: not after
-- a restart, not on another replica. No part of the tree.

-- +goose Up
CREATE TABLE used_token (id BLOB PRIMARY KEY, until_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX used_token_until ON used_token (until_ns);
PRAGMA user_version = 2;
