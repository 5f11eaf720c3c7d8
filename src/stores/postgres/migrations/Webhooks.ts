/** Webhooks, and their messages. */
import { statements } from "./Statements.ts"

// `webhook_message_one` enforces the order: at most one pending message from the feed.
export const webhooks = statements([
  `CREATE TABLE webhook (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    url text NOT NULL,
    connection_id uuid,
    changes text[],
    secret bytea NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
    reason text,
    cursor text,
    failing_since timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE TABLE webhook_message (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    again boolean NOT NULL DEFAULT false,
    changes integer NOT NULL,
    body text,
    attempts integer NOT NULL DEFAULT 0,
    claim bigint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT clock_timestamp(),
    status integer,
    error text,
    answer text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempted_at timestamptz,
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    CHECK (state = 'delivered' OR body IS NOT NULL)
  )`,
  `CREATE UNIQUE INDEX webhook_message_one ON webhook_message (webhook_id) WHERE state = 'pending' AND NOT again`,
  `CREATE INDEX webhook_message_next ON webhook_message (webhook_id, again, next_attempt_at) WHERE state = 'pending'`,
  `CREATE INDEX webhook_message_history ON webhook_message (webhook_id, state, sequence)`,
  `CREATE INDEX webhook_message_old ON webhook_message (state, attempted_at) WHERE state <> 'pending'`
])

/** Renames the column of redelivered messages to the name in the code. */
export const redelivery = statements(["ALTER TABLE webhook_message RENAME COLUMN again TO redelivered"])
