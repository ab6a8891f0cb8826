-- Rescan and quarantine.

-- One row: how far the rescan of all blobs is, over all nodes. target, engine, made: the signatures that blobs are judged by.
-- rule: as the domain writes it. top: the highest blob when it began. blobs, left_blobs, left_bytes: counted then. fence:
-- grows with every node that takes it, and with every beginning. window_*: what this hour's budget was spent on.
CREATE TABLE rescan (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    target TEXT NOT NULL,
    engine TEXT NOT NULL,
    made BIGINT,
    rule TEXT NOT NULL,
    phase TEXT NOT NULL,
    position BIGINT NOT NULL,
    top BIGINT NOT NULL,
    blobs BIGINT NOT NULL,
    left_blobs BIGINT NOT NULL,
    left_bytes BIGINT NOT NULL,
    done_blobs BIGINT NOT NULL,
    done_bytes BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    node TEXT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    window_since BIGINT NOT NULL,
    window_bytes BIGINT NOT NULL,
    window_blobs BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);
INSERT INTO rescan (id, target, engine, rule, phase, position, top, blobs, left_blobs, left_bytes, done_blobs, done_bytes,
    hits, node, fence, lease_until, window_since, window_bytes, window_blobs)
    VALUES (1, '', '', '', 'QUARANTINED', 9223372036854775807, 0, 0, 0, 0, 0, 0, 0, '', 0, 0, 0, 0, 0);

-- The signatures that hit in this rescan. hits: blobs. quarantined: those that were put into quarantine. at: when it was
-- stopped because it hits too much. confirmed: somebody's word is that it does not.
CREATE TABLE braked_signatures (
    signature TEXT NOT NULL PRIMARY KEY,
    target TEXT NOT NULL,
    hits BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    at BIGINT
) WITHOUT ROWID;
CREATE INDEX braked_signatures_at ON braked_signatures (signature) WHERE at IS NOT NULL; -- list_braked

-- How often scans of these bytes ended without a verdict, by these signatures.
CREATE TABLE scan_failures (
    sha256 BLOB NOT NULL PRIMARY KEY,
    signatures TEXT NOT NULL,
    times BIGINT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;

-- sha256: of these bytes alone. until: from then on it counts no more; NULL: it always does.
CREATE TABLE releases (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB,
    signature TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_kind TEXT,
    by_id TEXT,
    by_service TEXT,
    at BIGINT NOT NULL,
    until BIGINT
);
CREATE INDEX releases_sha256 ON releases (sha256, signature) WHERE sha256 IS NOT NULL; -- is_released
CREATE INDEX releases_signature ON releases (signature) WHERE sha256 IS NULL; -- is_released
CREATE INDEX releases_until ON releases (until) WHERE until IS NOT NULL; -- find_rescan

-- Since when these bytes are in quarantine; NULL: they are not, or since before this column.
ALTER TABLE blobs ADD COLUMN quarantined_at BIGINT;
CREATE INDEX blobs_quarantined ON blobs (id) WHERE state = 'QUARANTINED'; -- list_quarantine, list_candidates, get_vitals
CREATE INDEX blobs_hit ON blobs (signature, id) WHERE state = 'QUARANTINED'; -- list_quarantine of one, release_batch
CREATE INDEX blobs_not_scanned ON blobs (id) WHERE verdict = 'NOT_SCANNED'; -- list_candidates
CREATE INDEX blobs_released ON blobs (id) WHERE verdict = 'RELEASED'; -- list_candidates
