/**
 * Measures the cost of derivation: a first sync of real emails while this process follows the feed, compared with the
 * same sync without following, and the size of the rows that are derived from these emails. The follower catches up
 * after the sync, as in `serve`.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { poll } from "../../src/contract/SyncTask.ts"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { projection } from "../../src/integrations/gmail/Projection.ts"
import * as Mailbox from "./Mailbox.ts"
import { scaled } from "./Scale.ts"
import { median, ratioOf, type Row } from "./Table.ts"

const messages = scaled(6046)
const rounds = 7

const decodeNumbers = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ derived: Schema.Finite, bodies: Schema.Finite, stored: Schema.Finite })])
)

/** Returns the messages a second of one first sync. */
const sync = Effect.fnUntraced(function* (round: string) {
  const mailbox = yield* Mailbox.start(messages)
  const engine = yield* Engine
  const connections = yield* Effect.forEach(mailbox.users, (user) =>
    engine.connect({
      domain: "gmail",
      name: `${user} ${round}`,
      config: Mailbox.configOf(mailbox.url),
      credentials: { accessToken: user },
      every: undefined
    })
  )
  const before = performance.now()
  yield* Effect.forEach(connections, ({ connection }) => engine.sync(connection, poll, { spec: "", wait: true }))
  return (mailbox.messages * 1000) / (performance.now() - before)
}, Effect.scoped)

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const deriver = yield* PostgresDeriver.make
  const empty = Effect.gen(function* () {
    yield* deriver.rebuild
    yield* sql`TRUNCATE content, body, derived.content, derived.text, derived.mail, derived.mail_address, derived.search,
      derived.pending`
    yield* deriver.catchUp
  })
  const found = { without: new Array<number>(), following: new Array<number>() }
  for (let round = 0; round < rounds; round += 1) {
    yield* empty
    found.without.push(yield* sync(`${round} without`))
    yield* empty
    const follower = yield* Effect.forkChild(deriver.follow)
    // Waits until the process follows the feed: its lock, tables and threads exist.
    yield* Effect.sleep("3 seconds")
    found.following.push(yield* sync(`${round} following`))
    yield* Fiber.interrupt(follower)
  }
  const before = performance.now()
  yield* deriver.catchUp
  const seconds = (performance.now() - before) / 1000
  yield* sql`VACUUM FULL`.unprepared
  const [{ bodies, derived, stored }] = yield* Effect.flatMap(
    sql`SELECT (SELECT sum(size)::float8 FROM derived.content) AS bodies,
      (SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class
        WHERE relnamespace = 'derived'::regnamespace AND relkind = 'r') AS derived,
      pg_total_relation_size('body')::float8 AS stored`,
    (rows) => Effect.orDie(decodeNumbers(rows))
  )
  const megabytes = (bytes: number) => bytes / 1024 ** 2
  return [
    {
      what: `derivation: first sync of ${messages.toLocaleString("en")} real emails, followed`,
      value: median(found.following),
      unit: "messages/s"
    },
    {
      what: "  the same without",
      value: median(found.without),
      unit: "messages/s",
      ratio: ratioOf(found.following, found.without),
      goal: { atLeast: 0.98 }
    },
    { what: "derivation: what the follower had left, derived", value: messages / seconds, unit: "messages/s" },
    { what: "derivation: all tables of these emails", value: megabytes(derived), unit: "MB" },
    {
      what: "  the bodies, as they came",
      value: megabytes(bodies),
      unit: "MB",
      ratio: derived / bodies,
      goal: { atMost: 0.65 }
    },
    { what: "  the bodies, as they are stored", value: megabytes(stored), unit: "MB", ratio: derived / stored }
  ] satisfies ReadonlyArray<Row>
}).pipe(
  Effect.provide(
    Layer.merge(
      Mailbox.engine,
      Layer.succeed(ProjectionRegistry, { all: Effect.succeed(new Map([["gmail", projection]])) })
    )
  )
)
