/** The time of one page's check and one page's commit as the table grows, compared with the times for a small table. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash, randomBytes } from "node:crypto"
import { type Batch, type Item } from "../../src/engine/model/Batch.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import type { Fence } from "../../src/engine/store/Fence.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { idOf } from "../support/InstantSource.ts"
import { scaled } from "./Scale.ts"
import { median, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const sizes = [10_000, 100_000, 1_000_000, 10_000_000].map(scaled)
const pageSize = 500
const batchSize = 100
const bodyBytes = 2000
const runId = RunId.make("growth")

const itemOf = (index: number, bodyBytes: number): Item => {
  const bytes = randomBytes(bodyBytes)
  return {
    externalId: `new-${randomBytes(8).toString("hex")}`,
    revision: undefined,
    kind: "message",
    title: `Message ${index}`,
    occurredAt: undefined,
    mediaType: "message/rfc822",
    metadata: { threadId: "thread" },
    volatile: {},
    body: { _tag: "Inline", hash: createHash("sha256").update(bytes).digest(), bytes }
  }
}

/** Makes the commit of a page of 100 new items with random bodies. */
export const batchOf = (page: number, runId: RunId, bodyBytes: number): Batch => ({
  runId,
  taskId: undefined,
  items: Array.from({ length: batchSize }, (_, index) => itemOf(index, bodyBytes)),
  listed: [],
  inScope: true,
  ledgerUpdates: [],
  done: [],
  page: {
    checkpoint: page,
    scope: "scope",
    deleted: [],
    patches: [],
    seen: [],
    listing: undefined,
    parts: [],
    forgetsParts: false,
    covers: [],
    complete: false
  },
  counts: { listed: batchSize },
  problems: []
})

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* WholeStore
  const context = yield* Effect.context<never>()
  const promise = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromiseWith(context)(effect)
  const int8 = (value: number) => PgTypes.int8(BigInt(value))
  const { id } = yield* store.createConnection({
    name: "growth",
    domain: "bench",
    account: "growth",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  const taken = yield* store.acquire(id, { holder: "bench", ttl: Duration.hours(5) })
  if (taken._tag === "None") return yield* Effect.die("not taken")
  const fence: Fence = { connectionId: id, fence: taken.value.fence }
  yield* store.beginRun(fence, { runId, taskId: undefined })

  const found: Array<{ readonly size: number; readonly check: number; readonly commit: number }> = []
  let filled = 0
  for (const size of sizes) {
    // Each row has its own body and was changed, so that all indexes grow.
    yield* sql`INSERT INTO content (connection_id, external_id, state, kind, title, metadata, body_hash, occurred_at,
        created_at, updated_at, changed_xid, change)
      SELECT ${id}::uuid, 'message-' || lpad(i::text, 9, '0'), 'stored', 'message', 'Message ' || i,
        '{"threadId": "thread"}', sha256(i::text::bytea), now() - i * interval '1 minute', now(), now(),
        pg_current_xact_id(), 'stored'
      FROM generate_series(${int8(filled)}::int8, ${int8(size - 1)}::int8) AS i`
    filled = size
    yield* sql`VACUUM ANALYZE content`.unprepared
    yield* sql`CHECKPOINT`.unprepared
    let turn = 0
    const page = () => {
      turn = (turn + 7919) % Math.max(1, Math.floor((2 * size) / pageSize))
      return Array.from({ length: pageSize }, (_, index) => idOf((turn * pageSize) / 2 + index))
    }
    let pages = 0
    const rates = yield* Turns.rates(
      {
        check: () => promise(store.existing(id, page())),
        commit: () => promise(store.commit(fence, batchOf((pages += 1), runId, bodyBytes)))
      },
      { rounds: 9, millis: 400 }
    )
    found.push({ size, check: 1000 / median(rates.check), commit: 1000 / median(rates.commit) })
  }

  const [first] = found
  const rows = (name: "check" | "commit", what: string): ReadonlyArray<Row> =>
    found.map((one, index) => ({
      what:
        index === 0
          ? `growth: ${what}, ${one.size.toLocaleString("en")} rows`
          : `  ${one.size.toLocaleString("en")} rows`,
      value: one[name],
      unit: "ms",
      ...(index === 0 || first === undefined ? {} : { ratio: one[name] / first[name], goal: { atMost: 1.5 } })
    }))
  return [
    ...rows("check", `one page's check of ${pageSize}`),
    ...rows("commit", `one page's commit of ${batchSize} new items of 2 kB`)
  ]
})
