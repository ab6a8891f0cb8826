-- Files of online visitors, where files come from, and as whose they age.

-- visitor_id: the online visitor it was uploaded for. origin: SCREENSHOT, FORM, MAIL, as a service said. ages_as: VISITOR,
-- OPERATOR, or NULL for what never ages: by the kind of the uploader, of a service's files by their origin. Nobody writes
-- beside the node that migrates, so that every row has it from here on.
ALTER TABLE files ADD COLUMN visitor_id TEXT;
ALTER TABLE files ADD COLUMN origin TEXT;
ALTER TABLE files ADD COLUMN ages_as TEXT;
UPDATE files SET ages_as = uploader_kind WHERE uploader_kind <> 'SERVICE';
CREATE INDEX files_visitor_created ON files (visitor_id, state, created_at, number)
    WHERE visitor_id IS NOT NULL; -- a visitor's list
CREATE INDEX files_visitor_size ON files (visitor_id, state, size, number) WHERE visitor_id IS NOT NULL;

ALTER TABLE uploads ADD COLUMN target_visitor_id TEXT;
