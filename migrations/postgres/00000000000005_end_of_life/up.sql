-- The end of a file's life.

-- restored_at: when it was last brought back; its age counts from then.
ALTER TABLE files ADD COLUMN restored_at BIGINT;
