-- What nobody may end: one row for each matter. what: FILE, CHAT, VISITOR, OPERATOR; target: its id as people write it;
-- file_number: of a FILE. by_service: the service that acted for who put it.
CREATE TABLE holds (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    what TEXT NOT NULL,
    target TEXT NOT NULL,
    file_number BIGINT,
    matter TEXT NOT NULL,
    by_kind TEXT NOT NULL,
    by_id TEXT NOT NULL,
    by_service TEXT,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX holds_matter ON holds (what, target, matter); -- put_hold, lift_hold, whether a file is held
CREATE INDEX holds_target ON holds (what, target, number); -- list_holds of one
CREATE INDEX holds_file ON holds (file_number) WHERE file_number IS NOT NULL; -- whether a file is held
