-- Visitors that are erased, and what is forgotten for its age.

-- What an auditor asks for: one row for each erasure. visitor_id: only until it has come to its end. pseudonym: who stands
-- in the visitor's place from then on. by_service: the service that acted for who asked.
CREATE TABLE erasures (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    pseudonym TEXT NOT NULL,
    visitor_id TEXT,
    reason TEXT NOT NULL,
    by_kind TEXT NOT NULL,
    by_id TEXT NOT NULL,
    by_service TEXT,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    uploads BIGINT NOT NULL,
    events BIGINT NOT NULL,
    keys BIGINT NOT NULL,
    held BIGINT NOT NULL,
    shared_blobs BIGINT NOT NULL
);
CREATE UNIQUE INDEX erasures_visitor ON erasures (visitor_id) WHERE visitor_id IS NOT NULL; -- begin_erasure

-- Blobs of files that an erasure under way has purged: at its end they tell what stays, also after a kill. blob_id: no
-- reference, for bytes that nobody needs any more go meanwhile.
CREATE TABLE erasure_blobs (
    erasure_number BIGINT NOT NULL REFERENCES erasures (number),
    blob_id BIGINT NOT NULL,
    PRIMARY KEY (erasure_number, blob_id)
);

-- Each only of the rows that erasures look for: uploads of operators and services pay for none of them.
CREATE INDEX events_visitor ON events (person_id) WHERE person_kind = 'VISITOR'; -- erase_events
CREATE INDEX events_visitor_chat ON events (chat_id) WHERE person_kind = 'VISITOR' AND chat_id IS NOT NULL; -- erase_events
CREATE INDEX events_held ON events (detail) WHERE kind = 'HOLD_PUT' OR kind = 'HOLD_LIFTED'; -- end_erasure
CREATE INDEX uploads_visitor ON uploads (target_visitor_id) WHERE target_visitor_id IS NOT NULL; -- erase_uploads
CREATE INDEX access_keys_visitor ON access_keys (person_id) WHERE person_kind = 'VISITOR'; -- begin_erasure
CREATE INDEX access_keys_vid ON access_keys (vid) WHERE vid IS NOT NULL; -- begin_erasure

CREATE INDEX stubs_purged ON stubs (purged_at); -- trim_events
