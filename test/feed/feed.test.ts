/**
 * A small version of main.ts: eight writers, and consumers that are interrupted and continue from their last cursor.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as SqlClient from "effect/sql/SqlClient"
import * as FeedModule from "../../src/engine/feed/Feed.ts"
import type { ChangeKind } from "../../src/engine/model/Change.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import { holding } from "../stores/changesFixture.ts"
import { item, running } from "../stores/scenario.ts"
import * as Database from "../support/Postgres.ts"
import * as Told from "./Told.ts"
import * as Writers from "./Writers.ts"

const layer = FeedModule.layer.pipe(
  Layer.provideMerge(Postgres.layer),
  Layer.provide(Blobs.layer),
  Layer.provideMerge(Database.layer)
)

/** A consumer that stores the changes that it receives, and then, though not every time, its cursor. */
const consumer = Effect.fnUntraced(function* (isOver: () => boolean, onInterrupted: () => void) {
  const feed = yield* FeedModule.Feed
  const lines: Array<Told.Line> = []
  let cursor: string | undefined
  let start = 0
  const follow = Effect.gen(function* () {
    start += 1
    let after = cursor
    let pages = 0
    while (true) {
      const wasOver = isOver()
      const page = yield* feed.changes({ after, limit: 100, wait: Duration.millis(500) })
      for (const { change, connection, content } of page.changes) {
        lines.push({ connection, externalId: content.externalId, version: Number(content.title), change, start })
      }
      after = page.next
      pages += 1
      if (pages % 3 === 0) cursor = after
      if (wasOver && page.changes.length === 0) return
    }
  })
  while (true) {
    const fiber = yield* Effect.forkChild(follow)
    const ended = yield* Effect.timeoutOption(
      Fiber.join(fiber),
      isOver() ? "1 minute" : yield* Random.nextIntBetween(20, 400)
    )
    if (ended._tag === "Some") return lines
    yield* Fiber.interrupt(fiber)
    onInterrupted()
  }
})

/** An incorrect reader, which reads in order but ignores open transactions. `onRead` is called with its position. */
const careless = Effect.fnUntraced(function* (isOver: () => boolean, onRead: (transaction: bigint) => void) {
  const sql = yield* SqlClient.SqlClient
  const lines: Array<Told.Line> = []
  let place = { xid: "0", connection: "00000000-0000-0000-0000-000000000000", externalId: "" }
  while (true) {
    const wasOver = isOver()
    const rows = yield* sql<{ xid: string; connection: string; externalId: string; title: string; change: ChangeKind }>`
      SELECT changed_xid::text AS xid, connection_id AS connection, external_id AS "externalId", title, change
      FROM content
      WHERE (changed_xid, connection_id, external_id) >
        (${place.xid}::text::xid8, ${place.connection}::uuid, ${place.externalId})
      ORDER BY changed_xid, connection_id, external_id LIMIT 100`
    for (const { change, connection, externalId, title } of rows) {
      lines.push({ connection, externalId, version: Number(title), change, start: 1 })
    }
    place = rows.at(-1) ?? place
    onRead(BigInt(place.xid))
    if (rows.length > 0) continue
    if (wasOver) return lines
    yield* Effect.sleep("5 millis")
  }
})

describe("eight writers at once", () => {
  it.live(
    "every change is told to consumers that are cut off again and again, and a careless reader is seen to miss some",
    () =>
      Effect.gen(function* () {
        let over = false
        const isOver = () => over
        // The transaction that began first commits after the incorrect reader has passed it, and after each consumer
        // was interrupted.
        const { commit, id } = yield* running()
        const sql = yield* SqlClient.SqlClient
        let first = 0n
        const end = yield* holding(
          Effect.gen(function* () {
            yield* commit({ items: [item("first", { title: "1" })] })
            const [row] = yield* sql<{ readonly id: string }>`SELECT pg_current_xact_id()::text AS id`
            first = BigInt(row?.id ?? 0)
            yield* sql`SET LOCAL idle_in_transaction_session_timeout = 0`
          })
        )
        const waits = new Set(["careless", "one", "other"])
        const consumers = yield* Effect.forEach(["one", "other"], (name) =>
          Effect.forkChild(consumer(isOver, () => waits.delete(name)))
        )
        const other = yield* Effect.forkChild(careless(isOver, (at) => at > first && waits.delete("careless")))
        const ending = yield* Effect.forkChild(
          Effect.andThen(Effect.repeat(Effect.sleep("5 millis"), { until: () => waits.size === 0 }), end("commit"))
        )
        const committed: Writers.Ledger = {
          connectionId: id,
          contents: new Map([["first", [{ version: 1, isDeleted: false }]]]),
          changes: 1,
          rolledBack: 0,
          heldOpen: 1
        }
        const written = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, n) => `writer ${n}`),
          (name) => Writers.write(name, 5000 / 8, () => undefined),
          { concurrency: "unbounded" }
        )
        const ledgers = [committed, ...written]
        yield* Fiber.join(ending)
        // A transaction of another test on the same server may still hold the feed back: its pages would be empty.
        yield* awaitVisible
        over = true
        for (const each of consumers) {
          const verdict = Told.judge(ledgers, yield* Fiber.join(each))
          assert.deepStrictEqual(verdict.problems, [])
          assert.isAtLeast(verdict.committed, 5000)
        }
        assert.include(Told.judge(ledgers, yield* Fiber.join(other)).problems, "first was never told")
        // A database of its own for each attempt, because the names of the writers are the same.
      }).pipe(Effect.provide(layer))
  )
})
