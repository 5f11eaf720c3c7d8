/**
 * Measures how fast the whole engine stores items from a source that responds at once: new items, unchanged items (all
 * forced), and a mixture. Compares it with hand-written batched upserts of the same rows, and with COPY as the lower
 * bound.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash, randomBytes } from "node:crypto"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { from as copyFrom } from "pg-copy-streams"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import type { Connection } from "../../src/engine/model/Connection.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../src/engine/sync/SyncEngine.ts"
import { byteas, int8s, texts } from "../../src/stores/postgres/Parameters.ts"
import { contentOf, idOf, integration } from "../support/InstantSource.ts"
import * as Drivers from "./Drivers.ts"
import { scaled } from "./Scale.ts"
import { median, rangeOf, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"

const batchSize = 100
const rounds = 5

type Bodies = ReadonlyArray<Uint8Array>

const bodiesOf = (count: number, bytes: number): Bodies => Array.from({ length: count }, () => randomBytes(bytes))

const rowOf = (index: number, bytes: Uint8Array) => {
  const content = contentOf(index, bytes)
  return {
    id: idOf(index),
    title: content.title ?? null,
    metadata: JSON.stringify(content.metadata),
    bytes,
    hash: createHash("sha256").update(bytes).digest()
  }
}

/** Hand-written batched upserts: two statements in a transaction. */
const byHand = Effect.fnUntraced(function* (connectionId: string, bodies: Bodies) {
  const sql = yield* SqlClient.SqlClient
  const insertBodies = `INSERT INTO body (hash, size, bytes)
    SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[]) ON CONFLICT (hash) DO NOTHING`
  const insertContent = `INSERT INTO content
      (connection_id, external_id, state, kind, title, media_type, metadata, volatile, body_hash, size, created_at,
       updated_at, changed_xid, change)
    SELECT $1, id, 'stored', 'message', title, 'message/rfc822', metadata::jsonb, '{}', hash, size, now(), now(),
      pg_current_xact_id(), 'stored'
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::int8[]) AS given(id, title, metadata, hash, size)
    ON CONFLICT (connection_id, external_id) DO UPDATE SET body_hash = excluded.body_hash, size = excluded.size,
      metadata = excluded.metadata, updated_at = excluded.updated_at, changed_xid = excluded.changed_xid,
      change = 'updated'`
  for (let from = 0; from < bodies.length; from += batchSize) {
    const batch = bodies.slice(from, from + batchSize).map((bytes, index) => rowOf(from + index, bytes))
    const hashes = byteas(batch.map((one) => one.hash))
    const sizes = int8s(batch.map((one) => BigInt(one.bytes.length)))
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(insertBodies, [hashes, sizes, byteas(batch.map((one) => one.bytes))]).values
        yield* sql.unsafe(insertContent, [
          connectionId,
          texts(batch.map((one) => one.id)),
          texts(batch.map((one) => one.title)),
          texts(batch.map((one) => one.metadata)),
          hashes,
          sizes
        ]).values
      })
    )
  }
})

const hex = (bytes: Uint8Array) => `\\\\x${Buffer.from(bytes).toString("hex")}`
const escaped = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n")

/** The lower bound: COPY of the same rows, in one transaction, without conflicts. */
const byCopy = (drivers: Drivers.Drivers, connectionId: string, bodies: Bodies) =>
  Effect.promise(async () => {
    const now = new Date().toISOString()
    const client = await drivers.pg.connect()
    const copy = (into: string, lines: () => Iterable<string>) =>
      pipeline(Readable.from(lines()), client.query(copyFrom(`COPY ${into} FROM STDIN`)))
    try {
      await client.query("BEGIN")
      await copy("body (hash, size, bytes)", function* () {
        for (const bytes of bodies) {
          yield `${hex(createHash("sha256").update(bytes).digest())}\t${bytes.length}\t${hex(bytes)}\n`
        }
      })
      await copy(
        "content (connection_id, external_id, state, kind, title, media_type, metadata, volatile, body_hash, size, created_at, updated_at)",
        function* () {
          for (const [index, bytes] of bodies.entries()) {
            const row = rowOf(index, bytes)
            const fields = [connectionId, row.id, "stored", "message", row.title ?? "", "message/rfc822"]
            yield `${[...fields, escaped(row.metadata), "{}", hex(row.hash), bytes.length, now, now].join("\t")}\n`
          }
        }
      )
      await client.query("COMMIT")
    } finally {
      client.release()
    }
  })

const timed = <A, E, R>(items: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    yield* effect
    return items / (Number((yield* Clock.currentTimeNanos) - before) / 1e9)
  })

interface Found {
  readonly fresh: number
  readonly unchanged: number
  readonly mixed: number
  readonly hand: number
  readonly handAgain: number
  readonly copy: number
}

const once = Effect.fnUntraced(function* (round: number, items: number, bytes: number, drivers: Drivers.Drivers) {
  const sql = yield* SqlClient.SqlClient
  const store = yield* WholeStore
  const connectionOf = (name: string) =>
    store.createConnection({
      name: `${name} ${round} ${bytes}`,
      domain: "instant",
      account: "bench",
      config: {},
      credentials: new Uint8Array(),
      every: Duration.hours(1)
    })
  const empty = sql`TRUNCATE content, body`

  const copied = yield* connectionOf("copy")
  const copy = yield* timed(items, byCopy(drivers, copied.id, bodiesOf(items, bytes)))
  yield* empty

  const written = yield* connectionOf("by hand")
  const theirs = bodiesOf(items, bytes)
  const hand = yield* timed(items, byHand(written.id, theirs))
  const handAgain = yield* timed(items, byHand(written.id, theirs))
  yield* empty

  // The third time, every second item has changed.
  let ours = bodiesOf(items, bytes)
  const engine = Effect.gen(function* () {
    const engine = yield* Engine
    const { connection } = yield* engine.connect({
      domain: "instant",
      name: `engine ${round} ${bytes}`,
      config: {},
      credentials: {},
      every: undefined
    })
    const sync = (
      connection: Connection,
      force: boolean,
      expected: { stored: number; updated: number; unchanged: number }
    ) =>
      timed(
        items,
        Effect.tap(
          engine.sync(connection, { ...poll, force }, { spec: force ? "--force" : "", wait: true }),
          (result) =>
            Object.entries(expected).every(([name, count]) => result.counts[name as keyof typeof expected] === count)
              ? Effect.void
              : Effect.die(new Error(JSON.stringify(result)))
        )
      )
    const fresh = yield* sync(connection, false, { stored: items, updated: 0, unchanged: 0 })
    const unchanged = yield* sync(connection, true, { stored: 0, updated: 0, unchanged: items })
    ours = ours.map((body, index) => (index % 2 === 0 ? body : randomBytes(bytes)))
    const half = Math.floor(items / 2)
    const mixed = yield* sync(connection, true, { stored: 0, updated: half, unchanged: items - half })
    return { fresh, unchanged, mixed }
  })
  const integrations = Integrations.layer({
    instant: Effect.succeed(integration(items, (index) => ours[index] ?? new Uint8Array()))
  })
  const services = Layer.mergeAll(integrations, Quotas.layerMemory, UnsealedVault.layer, wholeStoreLayer(store))
  const through = yield* Effect.provide(engine, Layer.provide(SyncEngine.layer, services))
  yield* empty
  yield* sql`CHECKPOINT`.unprepared
  return { ...through, hand, handAgain, copy } satisfies Found
})

const bench = Effect.fnUntraced(function* (items: number, bytes: number, drivers: Drivers.Drivers) {
  yield* once(0, Math.ceil(items / 10), bytes, drivers)
  const results = yield* Effect.forEach(
    Array.from({ length: rounds }, (_, index) => index + 1),
    (round) => once(round, items, bytes, drivers)
  )
  const all = (name: keyof Found) => results.map((one) => one[name])
  const row = (what: string, name: keyof Found): Row => ({
    what,
    value: median(all(name)),
    unit: "items/s",
    range: rangeOf(all(name))
  })
  const beside = (what: string, ours: keyof Found, theirs: keyof Found, goal?: number): Row => ({
    ...row(`  ${what}`, theirs),
    ratio: ratioOf(all(ours), all(theirs)),
    range: ratioRange(all(ours), all(theirs)),
    goal: goal === undefined ? undefined : { atLeast: goal }
  })
  const size = bytes >= 1000 ? `${bytes / 1000} kB` : `${bytes} bytes`
  return [
    row(`store: through the engine, ${size} each, new`, "fresh"),
    beside("batched upserts of the same rows by hand", "fresh", "hand", 0.7),
    beside("COPY of the same rows", "fresh", "copy"),
    row(`store: ${size} each, forced, all unchanged`, "unchanged"),
    beside("batched upserts of the same rows by hand, again", "unchanged", "handAgain", 0.7),
    row(`store: ${size} each, forced, half of them changed`, "mixed")
  ]
})

export const run = Effect.gen(function* () {
  const drivers = yield* Drivers.make
  return [...(yield* bench(scaled(20_000), 2000, drivers)), ...(yield* bench(scaled(1000), 200_000, drivers))]
})
