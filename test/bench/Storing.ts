/** How fast the whole engine stores from a source that answers at once, beside batched inserts of the same rows. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash, randomBytes } from "node:crypto"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { Integrations } from "../../src/engine/Integrations.ts"
import { Quotas } from "../../src/engine/Quotas.ts"
import { Store } from "../../src/engine/Store.ts"
import * as Sync from "../../src/engine/Sync.ts"
import { Vault } from "../../src/engine/Vault.ts"
import { byteas, int8s, texts } from "../../src/stores/postgres/Sql.ts"
import { contentOf, idOf, integration } from "../support/InstantSource.ts"
import { median, type Row } from "./Table.ts"

const items = 20_000
const bodyBytes = 2000
const batchSize = 100
const rounds = 3

const vault = Layer.succeed(
  Vault,
  Vault.of({ seal: () => Effect.succeed(new Uint8Array(1)), unseal: () => Effect.succeed({}) })
)

/** The same rows, written by hand: two statements a batch, in one transaction. */
const byHand = Effect.fnUntraced(function* (connectionId: string, bodies: ReadonlyArray<Uint8Array>) {
  const sql = yield* SqlClient.SqlClient
  const insertBodies = `INSERT INTO body (hash, size, bytes)
    SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[]) ON CONFLICT (hash) DO NOTHING`
  const insertContent = `INSERT INTO content
      (connection_id, external_id, state, kind, title, media_type, metadata, volatile, body_hash, size, created_at,
       updated_at, changed_xid)
    SELECT $1, id, 'stored', 'message', title, 'message/rfc822', metadata::jsonb, '{}', hash, size, now(), now(),
      pg_current_xact_id()
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::int8[]) AS given(id, title, metadata, hash, size)
    ON CONFLICT (connection_id, external_id) DO UPDATE SET body_hash = excluded.body_hash, size = excluded.size`
  for (let from = 0; from < items; from += batchSize) {
    const batch = Array.from({ length: batchSize }, (_, index) => {
      const bytes = bodies[from + index] ?? new Uint8Array()
      const content = contentOf(from + index, bytes)
      return { id: idOf(from + index), content, bytes, hash: createHash("sha256").update(bytes).digest() }
    })
    const hashes = byteas(batch.map((one) => one.hash))
    const sizes = int8s(batch.map((one) => BigInt(one.bytes.length)))
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(insertBodies, [hashes, sizes, byteas(batch.map((one) => one.bytes))]).values
        yield* sql.unsafe(insertContent, [
          connectionId,
          texts(batch.map((one) => one.id)),
          texts(batch.map((one) => one.content.title ?? null)),
          texts(batch.map((one) => JSON.stringify(one.content.metadata))),
          hashes,
          sizes
        ]).values
      })
    )
  }
})

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    yield* effect
    return items / (Number((yield* Clock.currentTimeNanos) - before) / 1e9)
  })

const once = Effect.fnUntraced(function* (round: number) {
  const sql = yield* SqlClient.SqlClient
  const store = yield* Store
  // New bodies each round: what is stored already would not be written again.
  const bodies = (): ReadonlyArray<Uint8Array> => Array.from({ length: items }, () => randomBytes(bodyBytes))

  const hand = yield* store.createConnection({
    name: `by hand ${round}`,
    domain: "instant",
    account: "bench",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  const theirs = bodies()
  const bare = yield* timed(byHand(hand.id, theirs))

  const ours = bodies()
  const engine = Effect.gen(function* () {
    const engine = yield* Engine
    const { connection } = yield* engine.connect({
      domain: "instant",
      name: `engine ${round}`,
      config: {},
      credentials: {},
      every: undefined
    })
    return yield* timed(
      Effect.tap(engine.sync(connection, poll, { spec: "", wait: true }), (result) =>
        result.counts.stored === items ? Effect.void : Effect.die(new Error(JSON.stringify(result)))
      )
    )
  })
  const integrations = Integrations.layer({
    instant: Effect.succeed(integration(items, (index) => ours[index] ?? new Uint8Array()))
  })
  const services = Layer.mergeAll(integrations, Quotas.layerMemory, vault, Layer.succeed(Store, store))
  const through = yield* Effect.provide(engine, Layer.provide(Sync.layer, services))

  yield* sql`TRUNCATE content, body`
  return { bare, through }
})

export const run = Effect.gen(function* () {
  yield* once(0)
  const results = yield* Effect.forEach(
    Array.from({ length: rounds }, (_, index) => index + 1),
    once
  )
  const through = median(results.map((one) => one.through))
  return [
    { what: `store: items a second through the engine, ${bodyBytes} bytes each`, perSecond: through },
    {
      what: `  batched inserts of the same rows by hand, ${batchSize} a transaction`,
      perSecond: median(results.map((one) => one.bare)),
      ratio: median(results.map((one) => one.through / one.bare)),
      goal: 0.5
    }
  ] satisfies ReadonlyArray<Row>
})
