-- Checks of consistency: what they found, and how far the one that maintenance does is.

-- store_id: of which store of bytes. stored: how many findings there are of it.
CREATE TABLE checks (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    store_id BLOB NOT NULL,
    by_kind TEXT,
    by_id TEXT,
    by_service TEXT,
    stored BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX checks_id ON checks (id); -- find_check, add_findings
CREATE INDEX checks_expires ON checks (expires_at); -- begin_check, trim_checks

-- subject: what tells it from others of its kind. size, found: bytes that should be there, and that are. place: where a
-- strange name lies. plain: it may be removed. at: the store's time. rule, file_number, file_id, chat_id: of rows.
CREATE TABLE findings (
    check_number BIGINT NOT NULL REFERENCES checks (number),
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    node TEXT NOT NULL,
    blob_id BIGINT,
    key BLOB,
    sha256 BLOB,
    size BIGINT NOT NULL,
    found BIGINT NOT NULL,
    files BIGINT NOT NULL,
    multipart TEXT,
    place TEXT,
    name BLOB,
    plain BOOLEAN NOT NULL,
    at BIGINT,
    rule TEXT,
    file_number BIGINT,
    file_id BLOB,
    chat_id TEXT,
    repaired_at BIGINT,
    PRIMARY KEY (check_number, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX findings_subject ON findings (check_number, subject, kind); -- add_findings

-- One row: the last blob whose bytes maintenance has looked for, and the last that it has read and hashed.
CREATE TABLE check_place (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sized BIGINT NOT NULL,
    hashed BIGINT NOT NULL
);
INSERT INTO check_place (id, sized, hashed) VALUES (1, 0, 0);

CREATE INDEX uploads_key ON uploads (key); -- list_named
