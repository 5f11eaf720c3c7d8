/**
 * Measures the bytes that are saved because connections share bodies, which are stored by hash: real emails in one
 * mailbox, the same mailbox in two connections, copies of one email, and a Slack workspace as seen by two of its
 * people. Also measures the cost: removing a connection checks whether other connections have the same bodies.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash } from "node:crypto"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import { integration } from "../../src/integrations/Slack.ts"
import { byteas } from "../../src/stores/postgres/Parameters.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { realEmails } from "../support/realEmails.ts"
import * as SlackServer from "../support/SlackServer.ts"
import * as Mailbox from "./Mailbox.ts"
import { scaled } from "./Scale.ts"
import { median, number, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const removedRows = scaled(20_000)
const rounds = 5

/** Returns the row of stored bytes, compared with all bytes. */
const kept = (what: string, all: number, distinct: number): Row => ({
  what: `sharing: ${what}, of ${number(all / 1e6, 1)} MB`,
  value: distinct / 1e6,
  unit: "MB",
  ratio: distinct / all
})

const sizeOf = (bodies: ReadonlyArray<string>) => bodies.reduce((sum, body) => sum + Buffer.byteLength(body), 0)
const distinct = (bodies: ReadonlyArray<string>) => [
  ...new Map(bodies.map((body) => [createHash("sha256").update(body).digest("hex"), body])).values()
]

/**
 * Returns the body of an email without its headers. Copies that came another way, such as through a mailing list, share
 * it.
 */
const textOf = (email: string) => email.slice(email.indexOf("\n\n"))

const mail = () => {
  const emails = realEmails()
  const once = distinct(emails)
  const copies = once.length - distinct(once.map(textOf)).length
  return [
    kept(`${number(emails.length, 0)} emails of one mailbox`, sizeOf(emails), sizeOf(once)),
    kept("the same mailbox in two connections", 2 * sizeOf(emails), sizeOf(once)),
    {
      what: "sharing: emails with the text of an earlier one under other headers, which are kept twice",
      value: copies,
      unit: "emails",
      ratio: copies / once.length
    }
  ] satisfies ReadonlyArray<Row>
}

const decodeBytes = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ named: Schema.Int, kept: Schema.Int, table: Schema.Int })])
)

/** Two people of a workspace, both of whom see all channels. */
const slack = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const engine = yield* Engine
  const server = yield* SlackServer.make()
  const channels = Array.from({ length: 20 }, (_, index) => server.workspace.addChannel(`channel-${index}`))
  for (let index = 0; index < scaled(10_000); index += 1) {
    server.workspace.post(
      channels[index % channels.length] ?? "",
      `Message ${index} of about one hundred bytes. `.repeat(3)
    )
  }
  const rows: Array<Row> = []
  for (const [name, token] of [["one", server.token] as const, ["two", server.userToken] as const]) {
    const { connection } = yield* engine.connect({
      domain: "slack",
      name,
      config: { slackApiUrl: server.url, quota: { unitsPerMinute: 1_000_000_000 } },
      credentials: { token },
      every: undefined
    })
    yield* engine.sync(connection, poll, { spec: "", wait: true })
    yield* sql`VACUUM body`.unprepared
    const [bytes] = yield* Effect.orDie(
      decodeBytes(
        yield* sql`SELECT (SELECT sum(size) FROM content)::float8 AS named,
          (SELECT sum(size) FROM body)::float8 AS kept, pg_total_relation_size('body')::float8 AS table`
      )
    )
    rows.push(kept(`${name === "one" ? "a Slack workspace" : "the same in two connections"}`, bytes.named, bytes.kept))
    rows.push({ what: "  the table of bodies, with its key", value: bytes.table / 1e6, unit: "MB" })
  }
  return rows
}).pipe(Effect.provide(Mailbox.engineOf(integration)), Effect.scoped)

const decodeHashes = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ hash: Schema.Uint8Array })))

/** Removes contents in the same steps, and their bodies without checking other connections. */
const removeUnshared = Effect.fnUntraced(function* (id: ConnectionId) {
  const sql = yield* SqlClient.SqlClient
  const step = Effect.gen(function* () {
    const rows = yield* sql`DELETE FROM content WHERE connection_id = ${id} AND external_id IN (
        SELECT external_id FROM content WHERE connection_id = ${id} ORDER BY external_id LIMIT 500 FOR UPDATE)
      RETURNING body_hash AS hash`
    const hashes = (yield* Effect.orDie(decodeHashes(rows))).map(({ hash }) => hash)
    yield* sql`DELETE FROM body WHERE hash = ANY(${byteas(hashes)})`
    return hashes.length
  }).pipe(sql.withTransaction)
  yield* Effect.repeat(step, { while: (removed) => removed === 500 })
})

const removal = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* WholeStore
  const filled = Effect.fnUntraced(function* (name: string) {
    const { id } = yield* store.createConnection({
      name,
      domain: "bench",
      account: "sharing",
      config: {},
      credentials: new Uint8Array(),
      every: Duration.hours(1)
    })
    yield* sql`INSERT INTO content (connection_id, external_id, state, body_hash, size, created_at, updated_at)
      SELECT ${id}::uuid, 'message-' || i, 'stored', sha256(convert_to(${name} || i, 'UTF8')), 2000, now(), now()
      FROM generate_series(1, ${removedRows}::int) AS i`
    yield* sql`INSERT INTO body (hash, size, bytes)
      SELECT body_hash, 2000, convert_to(repeat('x', 2000), 'UTF8') FROM content WHERE connection_id = ${id}`
    return id
  })
  const found = yield* Effect.forEach(
    Array.from({ length: rounds }, (_, round) => round),
    Effect.fnUntraced(function* (round) {
      const [ours, theirs] = [yield* filled(`shared ${round}`), yield* filled(`unshared ${round}`)]
      yield* sql`VACUUM ANALYZE content, body`.unprepared
      return {
        ours: yield* Turns.seconds(store.disconnect(ours, true)),
        theirs: yield* Turns.seconds(removeUnshared(theirs))
      }
    })
  )
  const unused = scaled(100_000)
  yield* sql`INSERT INTO body (hash, size, bytes, touched_at)
    SELECT sha256(i::text::bytea), 2000, convert_to(repeat('x', 2000), 'UTF8'), now() - interval '1 day'
    FROM generate_series(1, ${unused}::int) AS i`
  const [ours, theirs] = [found.map((each) => each.ours), found.map((each) => each.theirs)]
  return [
    {
      what: `sharing: removing ${number(removedRows, 0)} contents with bodies of 2 kB`,
      value: median(ours),
      unit: "s"
    },
    {
      what: "  without a look for others that have them",
      value: median(theirs),
      unit: "s",
      ratio: ratioOf(theirs, ours),
      range: ratioRange(theirs, ours)
    },
    {
      what: `sharing: collecting ${number(unused, 0)} bodies that no content names`,
      value: yield* Turns.seconds(store.collectBodies(Duration.hours(3))),
      unit: "s"
    }
  ] satisfies ReadonlyArray<Row>
})

export const run = Effect.gen(function* () {
  return [...mail(), ...(yield* slack), ...(yield* removal)]
})
