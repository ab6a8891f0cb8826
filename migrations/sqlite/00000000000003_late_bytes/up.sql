-- What one node does and another decides about: no two clocks are compared for it. Leases need nothing here: one node has
-- the database, and its own clock.

-- What was found in which bytes, one row each: also where no blob had them yet. id is the order of hits on the same bytes,
-- for which no clock is asked: a later hit has another.
CREATE TABLE hits (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL,
    signature TEXT NOT NULL,
    engine TEXT NOT NULL,
    signatures TEXT NOT NULL,
    made BIGINT,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX hits_sha256 ON hits (sha256); -- commit_upload, quarantine
