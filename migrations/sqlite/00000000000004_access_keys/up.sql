-- Opaque keys: credentials that are kept as a hash alone.

-- permissions: names, chats: ids or *, each with blanks between. ceiling_service and ceiling_chats: the service behind a
-- person, both or none. created_service: the service that acted for who made it.
CREATE TABLE access_keys (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    hash BLOB NOT NULL,
    person_kind TEXT NOT NULL,
    person_id TEXT NOT NULL,
    permissions TEXT NOT NULL,
    chats TEXT NOT NULL,
    vid TEXT,
    ceiling_service TEXT,
    ceiling_chats TEXT,
    label TEXT NOT NULL,
    created_kind TEXT NOT NULL,
    created_id TEXT NOT NULL,
    created_service TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    retired_at BIGINT
);
CREATE UNIQUE INDEX access_keys_id ON access_keys (id); -- retire_key
CREATE INDEX access_keys_creator ON access_keys (created_kind, created_id, number); -- list_keys of one person
CREATE INDEX access_keys_live ON access_keys (number) WHERE retired_at IS NULL; -- list_keys
CREATE INDEX access_keys_ends ON access_keys (expires_at) WHERE retired_at IS NULL; -- load_keys, how many count

-- One row: grows with every key that is made or retired.
CREATE TABLE access_keys_version (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO access_keys_version (id, version) VALUES (1, 0);
