-- Runs of maintenance, the plans they carry out, and the clock they go by.

-- rule: as the domain writes it. proposed: the rule of a plan that was not the settings'. fence: grows with every node that
-- takes the run. after_created, after_number: the last file that was dealt with. One runs at a time: runs_one.
CREATE TABLE runs (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    state TEXT NOT NULL,
    tick BIGINT,
    by_kind TEXT,
    by_id TEXT,
    by_service TEXT,
    request_id TEXT,
    plan_id BLOB,
    rule TEXT NOT NULL,
    proposed BOOLEAN NOT NULL,
    node TEXT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    after_created BIGINT NOT NULL,
    after_number BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE UNIQUE INDEX runs_id ON runs (id); -- find_run, cancel_run
CREATE UNIQUE INDEX runs_one ON runs (state) WHERE state = 'RUNNING'; -- begin_run, take_run
CREATE UNIQUE INDEX runs_tick ON runs (tick) WHERE tick IS NOT NULL; -- begin_run, last_tick
CREATE UNIQUE INDEX runs_request ON runs (by_kind, by_id, request_id) WHERE request_id IS NOT NULL; -- begin_run
CREATE INDEX runs_begun ON runs (begun_at); -- trim_runs

-- guard: most files that it may delete; NULL: not bound.
CREATE TABLE run_tasks (
    run_number BIGINT NOT NULL REFERENCES runs (number),
    place BIGINT NOT NULL,
    task TEXT NOT NULL,
    outcome TEXT NOT NULL,
    done BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    guard BIGINT,
    PRIMARY KEY (run_number, place)
) WITHOUT ROWID;

-- complete: it has all its files. after_created, after_number: the last file that it has looked at.
CREATE TABLE plans (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    rule TEXT NOT NULL,
    proposed BOOLEAN NOT NULL,
    token TEXT NOT NULL,
    guard BIGINT NOT NULL,
    by_kind TEXT,
    by_id TEXT,
    by_service TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    complete BOOLEAN NOT NULL,
    after_created BIGINT NOT NULL,
    after_number BIGINT NOT NULL
);
CREATE UNIQUE INDEX plans_id ON plans (id); -- find_plan
CREATE INDEX plans_expires ON plans (expires_at); -- trim_runs, begin_plan

-- The files of a plan in its order: the oldest first.
CREATE TABLE plan_files (
    plan_number BIGINT NOT NULL REFERENCES plans (number),
    created_at BIGINT NOT NULL,
    file_number BIGINT NOT NULL,
    file_id BLOB NOT NULL,
    owner TEXT NOT NULL,
    attached BOOLEAN NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (plan_number, created_at, file_number)
) WITHOUT ROWID;

-- What it found, by reason: counted once, when it has all its files.
CREATE TABLE plan_groups (
    plan_number BIGINT NOT NULL REFERENCES plans (number),
    owner TEXT NOT NULL,
    attached BOOLEAN NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (plan_number, owner, attached)
) WITHOUT ROWID;

-- One row, once maintenance has looked: the highest time that it has seen.
CREATE TABLE clock (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seen BIGINT NOT NULL
);

CREATE INDEX files_aging ON files (created_at, number)
    WHERE state = 'READY' AND NOT persistent AND ages_as IS NOT NULL; -- expire_batch, grow_plan
