-- Files of online visitors, where files come from, and as whose they age.

-- visitor_id: the online visitor it was uploaded for. origin: SCREENSHOT, FORM, MAIL, as a service said. ages_as: VISITOR,
-- OPERATOR, or NULL for what never ages: by the kind of the uploader, of a service's files by their origin.
ALTER TABLE files ADD COLUMN visitor_id TEXT COLLATE "C";
ALTER TABLE files ADD COLUMN origin TEXT;
ALTER TABLE files ADD COLUMN ages_as TEXT;
UPDATE files SET ages_as = uploader_kind WHERE uploader_kind <> 'SERVICE';
CREATE INDEX files_visitor_created ON files (visitor_id, state, created_at, number)
    WHERE visitor_id IS NOT NULL; -- a visitor's list
CREATE INDEX files_visitor_size ON files (visitor_id, state, size, number) WHERE visitor_id IS NOT NULL;

-- A node of the last release goes on inserting rows, and knows nothing of ages_as: those of persons get it here. Of a
-- service's it knows no origin, so that NULL is right. It costs the rows of newer nodes a comparison each.
CREATE FUNCTION files_age() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ages_as := NEW.uploader_kind;
    RETURN NEW;
END
$$;
CREATE TRIGGER files_age BEFORE INSERT ON files FOR EACH ROW
    WHEN (NEW.ages_as IS NULL AND NEW.uploader_kind <> 'SERVICE') EXECUTE FUNCTION files_age();

ALTER TABLE uploads ADD COLUMN target_visitor_id TEXT;
