/**
 * A first sync of 6,046 real emails, compared with minimal loops that have the same number of calls in flight: with the
 * same client, without storing or with an insert for each message, and with undici without a client. The quota that was
 * used is compared with the API's minimum.
 */
import { request } from "@effect/platform-node/Undici"
import { gmail, type gmail_v1 } from "googleapis/build/src/apis/gmail/index.js"
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

/** The units of a message in Gmail's table: its own call, and its share of a listing of 500. */
const floor = 20 + 5 / 500

type Sink = (id: string, raw: Buffer) => Promise<unknown>

/** The requests of a loop: for a page of ids, and for a message's `raw`. */
interface Client {
  readonly list: (pageToken: string | undefined) => Promise<gmail_v1.Schema$ListMessagesResponse>
  readonly raw: (id: string) => Promise<string | null | undefined>
}
type ClientOf = (url: string, token: string) => Client

const overGoogleapis: ClientOf = (url, token) => {
  const { messages } = gmail({ version: "v1", rootUrl: url, headers: { authorization: `Bearer ${token}` } }).users
  return {
    list: async (pageToken) =>
      (await messages.list({ userId: "me", maxResults: 500, ...(pageToken === undefined ? {} : { pageToken }) })).data,
    raw: async (id) => (await messages.get({ userId: "me", id, format: "raw" })).data.raw
  }
}

const overUndici: ClientOf = (url, token) => {
  const get = async <A>(path: string): Promise<A> => {
    const answer = await request(`${url}/gmail/v1/users/me/messages${path}`, {
      headers: { authorization: `Bearer ${token}` }
    })
    return (await answer.body.json()) as A
  }
  return {
    list: (pageToken) => get(`?maxResults=500${pageToken === undefined ? "" : `&pageToken=${pageToken}`}`),
    raw: async (id) => (await get<gmail_v1.Schema$Message>(`/${id}?format=raw`)).raw
  }
}

/** The simplest loop: list a page, get each of its messages, and continue. */
const bareLoop = async (client: Client, concurrency: number, sink: Sink): Promise<number> => {
  let count = 0
  let pageToken: string | undefined
  do {
    const data = await client.list(pageToken)
    const ids = (data.messages ?? []).flatMap(({ id }) => (typeof id === "string" ? [id] : []))
    let next = 0
    const work = async () => {
      for (let id = ids[next++]; id !== undefined; id = ids[next++]) {
        await sink(id, Buffer.from((await client.raw(id)) ?? "", "base64url"))
        count += 1
      }
    }
    await Promise.all(Array.from({ length: concurrency }, work))
    pageToken = data.nextPageToken ?? undefined
  } while (pageToken !== undefined)
  return count
}

const measured = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    const cpuBefore = process.cpuUsage()
    const result = yield* effect
    const { system, user } = process.cpuUsage(cpuBefore)
    const seconds = Number((yield* Clock.currentTimeNanos) - before) / 1e9
    return { result, seconds, cpuMicroseconds: user + system }
  })

interface Found {
  /** The messages a second. */
  readonly rate: number
  /** The CPU time of this process, in microseconds a message. */
  readonly cpu: number
}

const loop = Effect.fnUntraced(function* (clientOf: ClientOf, sink: Sink) {
  const { concurrency } = yield* Limits
  const mailbox = yield* Mailbox.start(messages)
  const { cpuMicroseconds, result, seconds } = yield* measured(
    Effect.forEach(mailbox.users, (user) =>
      Effect.promise(() => bareLoop(clientOf(mailbox.url, user), concurrency, sink))
    )
  )
  const got = result.reduce((sum, count) => sum + count, 0)
  if (got !== mailbox.messages) return yield* Effect.die(new Error(`got ${got} of ${mailbox.messages}`))
  return { rate: got / seconds, cpu: cpuMicroseconds / got } satisfies Found
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
  const { cpuMicroseconds, result, seconds } = yield* measured(
    Effect.forEach(connections, ({ connection }) => engine.sync(connection, poll, { spec: "", wait: true }))
  )
  const stored = result.reduce((sum, { counts }) => sum + counts.stored, 0)
  if (stored !== mailbox.messages) return yield* Effect.die(new Error(JSON.stringify(result)))
  return {
    rate: stored / seconds,
    cpu: cpuMicroseconds / stored,
    units: result.reduce((sum, { counts }) => sum + counts.quotaUnits, 0) / stored
  }
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
  const nothing: Sink = () => Promise.resolve()
  const found = {
    ours: new Array<Found>(),
    nothing: new Array<Found>(),
    undici: new Array<Found>(),
    inserts: new Array<Found>()
  }
  let units = Number.NaN
  for (let round = 0; round < rounds; round += 1) {
    found.nothing.push(yield* loop(overGoogleapis, nothing))
    const own = yield* ours(round)
    found.ours.push(own)
    units = own.units
    found.undici.push(yield* loop(overUndici, nothing))
    found.inserts.push(yield* loop(overGoogleapis, insert))
    yield* sql`TRUNCATE naive, content, body`
  }
  const rates = (of: ReadonlyArray<Found>) => of.map(({ rate }) => rate)
  const cpus = (of: ReadonlyArray<Found>) => of.map(({ cpu }) => cpu)
  return [
    {
      what: `first sync: ${messages.toLocaleString("en")} real emails`,
      value: median(rates(found.ours)),
      unit: "messages/s"
    },
    {
      what: "  a bare loop over googleapis that stores nothing",
      value: median(rates(found.nothing)),
      unit: "messages/s",
      ratio: ratioOf(rates(found.ours), rates(found.nothing)),
      goal: { atLeast: 0.85 }
    },
    {
      what: "  the same over undici, without a client",
      value: median(rates(found.undici)),
      unit: "messages/s",
      ratio: ratioOf(rates(found.ours), rates(found.undici))
    },
    {
      what: "  the loop over googleapis that inserts one by one",
      value: median(rates(found.inserts)),
      unit: "messages/s",
      ratio: ratioOf(rates(found.ours), rates(found.inserts))
    },
    { what: "first sync: processor time of a message", value: median(cpus(found.ours)), unit: "µs" },
    {
      what: "  the bare loop over googleapis",
      value: median(cpus(found.nothing)),
      unit: "µs",
      ratio: ratioOf(cpus(found.ours), cpus(found.nothing)),
      goal: { atMost: 1 }
    },
    {
      what: "  the bare loop over undici",
      value: median(cpus(found.undici)),
      unit: "µs",
      ratio: ratioOf(cpus(found.ours), cpus(found.undici))
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
