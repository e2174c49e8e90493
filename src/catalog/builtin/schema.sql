-- catalog.db, version 1; what later versions add is in store.rs. Text is UTF-8, flags are 0 or 1, `..._json` columns are JSON.
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    bucket_id TEXT NOT NULL,
    update_seq INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE worker (
    host TEXT PRIMARY KEY,
    worker_id TEXT NOT NULL UNIQUE,
    worker_json TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,
    sent_seq INTEGER NOT NULL DEFAULT 0,
    confirmed_seq INTEGER NOT NULL DEFAULT 0,
    out_of_sync INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    name TEXT PRIMARY KEY,
    job_json TEXT NOT NULL,
    hash TEXT NOT NULL,
    deployment_seq INTEGER NOT NULL,
    ports_json TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The file list behind a content hash, for as long as a job or an allocation names it.
CREATE TABLE tree (
    hash TEXT PRIMARY KEY,
    files_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE allocation (
    host TEXT NOT NULL,
    job TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    current_hash TEXT,
    current_version TEXT,
    previous_hash TEXT,
    stopped INTEGER NOT NULL DEFAULT 0,
    attempt_deploy TEXT,
    attempt_action TEXT,
    attempt_hash TEXT,
    attempt_failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (host, job)
) STRICT, WITHOUT ROWID;
