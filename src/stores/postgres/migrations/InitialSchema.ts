/** The first schema: connections, content, ledger, runs, tasks, bodies, quotas. */
import { statements } from "./Statements.ts"

// The key of content includes the state, so that the checker is answered from the index alone. Foreign keys would cost
// a probe for each content row; the fence's lock on the connection's row replaces them.
export const first = statements([
  `CREATE TABLE meta (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    database_id uuid NOT NULL DEFAULT gen_random_uuid(),
    epoch bigint NOT NULL DEFAULT 1,
    blob_folder boolean NOT NULL DEFAULT false
  )`,
  `INSERT INTO meta DEFAULT VALUES`,
  `CREATE TABLE connection (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text COLLATE "C" NOT NULL CONSTRAINT connection_name UNIQUE,
    domain text NOT NULL,
    account text NOT NULL,
    config json NOT NULL,
    credentials bytea,
    every_ms float8 NOT NULL,
    fence bigint NOT NULL DEFAULT 1,
    paused text,
    checkpoint json,
    scope text,
    next_poll_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    lease_holder text,
    lease_until timestamptz,
    failures integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE TABLE polling (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder text NOT NULL,
    held_until timestamptz NOT NULL
  )`,
  `CREATE INDEX connection_due ON connection (due_at) WHERE paused IS NULL`,
  `CREATE TABLE body (
    hash bytea PRIMARY KEY,
    size bigint NOT NULL,
    bytes bytea,
    touched_at timestamptz NOT NULL DEFAULT now()
  ) WITH (toast_tuple_target = 8160)`,
  `ALTER TABLE body ALTER COLUMN bytes SET STORAGE EXTERNAL`,
  `CREATE TABLE blob (
    hash bytea PRIMARY KEY,
    upload uuid NOT NULL UNIQUE,
    size bigint NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE TABLE blob_upload (
    upload uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    started_at timestamptz NOT NULL DEFAULT now()
  )`,
  `CREATE TABLE blob_chunk (
    upload uuid NOT NULL,
    position integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (upload, position)
  )`,
  `ALTER TABLE blob_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL`,
  `CREATE TABLE content (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('stored', 'failed', 'dead', 'gone', 'deferred', 'deleted')),
    pending text CHECK (pending IN ('failed', 'dead', 'deferred')),
    reason text,
    message text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    tried_revision text,
    revision text,
    kind text,
    title text,
    occurred_at timestamptz,
    media_type text,
    metadata jsonb NOT NULL DEFAULT '{}',
    volatile jsonb NOT NULL DEFAULT '{}',
    body_hash bytea,
    size bigint NOT NULL DEFAULT 0,
    in_scope boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    changed_xid xid8,
    PRIMARY KEY (connection_id, external_id) INCLUDE (state)
  )`,
  `CREATE INDEX content_ledger ON content (connection_id, external_id) WHERE pending IS NOT NULL`,
  `CREATE INDEX content_retry ON content (connection_id, pending, next_attempt_at) WHERE pending IS NOT NULL`,
  `CREATE INDEX content_body ON content USING hash (body_hash)`,
  `CREATE INDEX content_past ON content (connection_id, state, external_id) WHERE state IN ('gone', 'deleted')`,
  `CREATE TABLE task (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_id uuid NOT NULL,
    task json NOT NULL,
    spec text NOT NULL,
    checkpoint json,
    scope text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
  )`,
  `CREATE INDEX task_open ON task (connection_id, created_at) WHERE finished_at IS NULL`,
  `CREATE TABLE task_done (
    task_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (task_id, external_id)
  )`,
  `CREATE TABLE run (
    id text PRIMARY KEY,
    connection_id uuid NOT NULL,
    task_id uuid,
    status text NOT NULL CHECK (status IN ('running', 'succeeded', 'partial', 'failed', 'interrupted')),
    listed bigint NOT NULL DEFAULT 0,
    forced bigint NOT NULL DEFAULT 0,
    retried bigint NOT NULL DEFAULT 0,
    existing bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    gone bigint NOT NULL DEFAULT 0,
    deferred bigint NOT NULL DEFAULT 0,
    patched bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    deletions_held bigint NOT NULL DEFAULT 0,
    downloads bigint NOT NULL DEFAULT 0,
    api_calls bigint NOT NULL DEFAULT 0,
    quota_units float8 NOT NULL DEFAULT 0,
    checker_queries bigint NOT NULL DEFAULT 0,
    problems jsonb NOT NULL DEFAULT '[]',
    notes jsonb NOT NULL DEFAULT '[]',
    error_reason text,
    error_message text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
  )`,
  `CREATE INDEX run_history ON run (connection_id, started_at)`,
  `CREATE INDEX run_running ON run (connection_id) WHERE status = 'running'`,
  `CREATE TABLE listing (
    connection_id uuid PRIMARY KEY,
    listing text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deletes boolean NOT NULL,
    marking boolean NOT NULL
  )`,
  `CREATE TABLE seen (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (connection_id, external_id)
  )`,
  `CREATE TABLE staged_deletion (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    cause text NOT NULL CHECK (cause IN ('event', 'absence')),
    held boolean NOT NULL DEFAULT false,
    staged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connection_id, external_id)
  )`,
  // Times of these three tables are milliseconds since the epoch. Their fill factor leaves room to update a row within
  // its page.
  `CREATE UNLOGGED TABLE rate_limit_bucket (
    key text COLLATE "C" PRIMARY KEY,
    tokens float8 NOT NULL,
    refilled_at float8 NOT NULL,
    asked_at float8 NOT NULL,
    remaining float8 NOT NULL
  ) WITH (fillfactor = 20)`,
  `CREATE UNLOGGED TABLE rate_limit_window (
    key text COLLATE "C" PRIMARY KEY,
    count float8 NOT NULL,
    expires_at float8 NOT NULL,
    asked_at float8 NOT NULL,
    answer float8 NOT NULL
  ) WITH (fillfactor = 20)`,
  `CREATE UNLOGGED TABLE rate_limit_adaptive (
    key text COLLATE "C" PRIMARY KEY,
    phase text NOT NULL CHECK (phase IN ('cooldown', 'learning', 'learned')),
    epoch bigint NOT NULL,
    cooldown_until float8 NOT NULL,
    learning_started_at float8 NOT NULL DEFAULT 0,
    observed float8 NOT NULL DEFAULT 0,
    learned_limit float8 NOT NULL DEFAULT 0,
    learned_window float8 NOT NULL DEFAULT 0,
    expires_at float8 NOT NULL,
    asked_at float8 NOT NULL DEFAULT 0,
    delay float8 NOT NULL DEFAULT 0
  ) WITH (fillfactor = 20)`
])
