/**
 * A first sync of 6,046 real emails, beside a bare loop over the same client with the same number of calls in flight:
 * one that stores nothing, and one that inserts each message as it comes. What it cost of the quota, beside the API's
 * floor.
 */
import { gmail } from "googleapis/build/src/apis/gmail/index.js"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash } from "node:crypto"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { Limits } from "../../src/engine/Limits.ts"
import * as Drivers from "./Drivers.ts"
import * as Mailbox from "./Mailbox.ts"
import { scaled } from "./Scale.ts"
import { median, ratioOf, type Row } from "./Table.ts"

const messages = scaled(6046)
const rounds = 3

/** Units of a message by Gmail's table: its own call, and its share of a listing of 500. */
const floor = 20 + 5 / 500

type Sink = (id: string, raw: Buffer) => Promise<unknown>

/** The loop that a person writes in an afternoon: list a page, get each of its messages, go on. */
const bareLoop = async (url: string, token: string, concurrency: number, sink: Sink): Promise<number> => {
  const client = gmail({ version: "v1", rootUrl: url, headers: { authorization: `Bearer ${token}` } })
  let count = 0
  let pageToken: string | undefined
  do {
    const { data } = await client.users.messages.list({
      userId: "me",
      maxResults: 500,
      ...(pageToken === undefined ? {} : { pageToken })
    })
    const ids = (data.messages ?? []).flatMap(({ id }) => (typeof id === "string" ? [id] : []))
    let next = 0
    const work = async () => {
      for (let id = ids[next++]; id !== undefined; id = ids[next++]) {
        const message = await client.users.messages.get({ userId: "me", id, format: "raw" })
        await sink(id, Buffer.from(message.data.raw ?? "", "base64url"))
        count += 1
      }
    }
    await Promise.all(Array.from({ length: concurrency }, work))
    pageToken = data.nextPageToken ?? undefined
  } while (pageToken !== undefined)
  return count
}

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    const result = yield* effect
    return { result, seconds: Number((yield* Clock.currentTimeNanos) - before) / 1e9 }
  })

const loop = Effect.fnUntraced(function* (sink: Sink) {
  const { concurrency } = yield* Limits
  const mailbox = yield* Mailbox.start(messages)
  const { result, seconds } = yield* timed(
    Effect.forEach(mailbox.users, (user) => Effect.promise(() => bareLoop(mailbox.url, user, concurrency, sink)))
  )
  const got = result.reduce((sum, count) => sum + count, 0)
  if (got !== mailbox.messages) return yield* Effect.die(new Error(`got ${got} of ${mailbox.messages}`))
  return got / seconds
}, Effect.scoped)

const ours = Effect.fnUntraced(function* (round: number) {
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
  const { result, seconds } = yield* timed(
    Effect.forEach(connections, ({ connection }) => engine.sync(connection, poll, { spec: "", wait: true }))
  )
  const stored = result.reduce((sum, { counts }) => sum + counts.stored, 0)
  if (stored !== mailbox.messages) return yield* Effect.die(new Error(JSON.stringify(result)))
  return { rate: stored / seconds, units: result.reduce((sum, { counts }) => sum + counts.quotaUnits, 0) / stored }
}, Effect.scoped)

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { pg } = yield* Drivers.make
  yield* sql`CREATE TABLE naive (id text PRIMARY KEY, hash bytea NOT NULL, raw bytea NOT NULL)`
  const insert: Sink = (id, raw) =>
    pg.query({
      name: "insert",
      text: "INSERT INTO naive (id, hash, raw) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
      values: [id, createHash("sha256").update(raw).digest(), raw]
    })
  const found = { ours: new Array<number>(), nothing: new Array<number>(), inserts: new Array<number>() }
  let units = Number.NaN
  for (let round = 0; round < rounds; round += 1) {
    found.nothing.push(yield* loop(() => Promise.resolve()))
    const { rate, units: spent } = yield* ours(round)
    found.ours.push(rate)
    units = spent
    found.inserts.push(yield* loop(insert))
    yield* sql`TRUNCATE naive, content, body`
  }
  return [
    { what: `first sync: ${messages.toLocaleString("en")} real emails`, value: median(found.ours), unit: "messages/s" },
    {
      what: "  a bare loop over googleapis that stores nothing",
      value: median(found.nothing),
      unit: "messages/s",
      ratio: ratioOf(found.ours, found.nothing),
      goal: { atLeast: 0.85 }
    },
    {
      what: "  the same that inserts one by one",
      value: median(found.inserts),
      unit: "messages/s",
      ratio: ratioOf(found.ours, found.inserts)
    },
    { what: "quota: units for each stored message", value: units, unit: "units" },
    {
      what: "  the API's floor, 20 + 5/500",
      value: floor,
      unit: "units",
      ratio: units / floor,
      goal: { atMost: 1.01 }
    }
  ] satisfies ReadonlyArray<Row>
}).pipe(Effect.provide(Mailbox.engine))
