-- Files that are purged, and bytes on their way out.

-- What stays of a file: that there was one, and when. Nobody is shown it.
CREATE TABLE stubs (
    number BIGINT NOT NULL PRIMARY KEY,
    id BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL,
    purged_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX stubs_id ON stubs (id); -- a file has one stub

-- A file that was restored is not among them any more.
CREATE INDEX files_deleted ON files (deleted_at, number) WHERE state = 'DELETED'; -- purge_deleted
CREATE INDEX blobs_purging ON blobs (id) WHERE state = 'PURGING'; -- list_leaving
