-- The first schema. Times are microseconds since 1970 (BIGINT), ids and hashes are bytes, enums are names.
-- Each index says which query it is for; the plans are asserted in src/adapters/sql/tests/plans.rs.

-- The bytes of one content. sha256 is not unique: an upload that meets a blob on its way out gets one of its own.
CREATE TABLE blobs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    size BIGINT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT NOT NULL,
    engine TEXT NOT NULL,
    signatures TEXT NOT NULL,
    scanned_at BIGINT NOT NULL,
    signature TEXT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX blobs_key ON blobs (key);
CREATE INDEX blobs_sha256 ON blobs (sha256, size); -- find_blob, quarantine

-- sha256 and size are the blob's, copied: they never change, and lists order and filter by them.
CREATE TABLE files (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    code_hash BLOB NOT NULL,
    blob_id BIGINT NOT NULL REFERENCES blobs (id),
    state TEXT NOT NULL,
    display_name TEXT NOT NULL,
    extension TEXT NOT NULL,
    media_type TEXT NOT NULL,
    uploader_kind TEXT NOT NULL,
    uploader_id TEXT NOT NULL,
    home_chat_id TEXT REFERENCES chats (id),
    persistent BOOLEAN NOT NULL,
    width BIGINT,
    height BIGINT,
    sha256 BLOB NOT NULL,
    size BIGINT NOT NULL,
    uploaded_sha256 BLOB NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX files_id ON files (id);
CREATE INDEX files_blob ON files (blob_id); -- whether a blob is still needed; the foreign key
CREATE INDEX files_created ON files (state, created_at, number); -- lists, newest and oldest
CREATE INDEX files_size ON files (state, size, number); -- lists, largest
CREATE INDEX files_uploader_created ON files (state, uploader_kind, uploader_id, created_at, number);
CREATE INDEX files_uploader_size ON files (state, uploader_kind, uploader_id, size, number);
CREATE INDEX files_extension_created ON files (state, extension, created_at, number);
CREATE INDEX files_extension_size ON files (state, extension, size, number);
CREATE INDEX files_sha256 ON files (sha256, state, created_at, number);
CREATE INDEX files_home_chat ON files (home_chat_id) WHERE home_chat_id IS NOT NULL; -- delete_chat
-- Numbers start at 2^32, so that those of imported files stay theirs.
INSERT INTO sqlite_sequence (name, seq) VALUES ('files', 4294967295);

-- A tombstone is a row with deleted = 1.
CREATE TABLE chats (
    id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    owner TEXT,
    closed_at BIGINT,
    upload_override BOOLEAN,
    version BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX chats_live ON chats (deleted, id); -- list_chats
CREATE INDEX chats_owner ON chats (deleted, owner, id);
CREATE INDEX chats_status ON chats (deleted, status, id);

-- The file's time and size are copied, so that a chat's list pages by index at any depth.
CREATE TABLE attachments (
    chat_id TEXT NOT NULL REFERENCES chats (id),
    file_number BIGINT NOT NULL REFERENCES files (number),
    message_id TEXT,
    by_kind TEXT NOT NULL,
    by_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    file_created_at BIGINT NOT NULL,
    file_size BIGINT NOT NULL,
    PRIMARY KEY (file_number, chat_id)
) WITHOUT ROWID;
CREATE INDEX attachments_created ON attachments (chat_id, file_created_at, file_number); -- a chat's list
CREATE INDEX attachments_size ON attachments (chat_id, file_size, file_number);

-- Uploads under way, and the request ids of those that succeeded.
CREATE TABLE uploads (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL,
    node TEXT NOT NULL,
    person_kind TEXT NOT NULL,
    person_id TEXT NOT NULL,
    request_id TEXT,
    target_chat_id TEXT,
    state TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    uploaded_sha256 BLOB,
    file_id BLOB,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
-- Written twice an upload: no index that a running one without a request id does not need.
CREATE UNIQUE INDEX uploads_request ON uploads (person_kind, person_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX uploads_lease ON uploads (state, lease_until); -- list_dead_uploads
CREATE INDEX uploads_ended ON uploads (state, ended_at) WHERE ended_at IS NOT NULL; -- trim_request_ids

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- One row: the version of all settings together.
CREATE TABLE settings_version (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,
    updated_at BIGINT
);
INSERT INTO settings_version (id, version, updated_at) VALUES (1, 0, NULL);

CREATE TABLE settings_history (
    version BIGINT NOT NULL,
    key TEXT NOT NULL,
    old_value TEXT,
    new_value TEXT NOT NULL,
    at BIGINT NOT NULL,
    person_kind TEXT,
    person_id TEXT,
    acting_service TEXT,
    PRIMARY KEY (version, key)
) WITHOUT ROWID;

-- Ids and enums only. seq is assigned by the one writer inside its transaction: a reader never skips one.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    person_kind TEXT,
    person_id TEXT,
    acting_service TEXT,
    file_id BLOB,
    chat_id TEXT,
    reason TEXT,
    detail TEXT
);
