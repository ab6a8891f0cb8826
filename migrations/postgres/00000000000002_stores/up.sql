-- Stores of bytes that are not a folder beside the database.

-- The id of the upload in parts that an intent's bytes go through, durable before the first part: recovery aborts it.
ALTER TABLE uploads ADD COLUMN multipart TEXT;

-- One row: the id that this database and its store of bytes share, and where that store was when the id was claimed.
-- confirmed: the store of bytes has it.
CREATE TABLE store (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id BYTEA NOT NULL,
    place TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL
);
