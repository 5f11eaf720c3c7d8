/**
 * Eight writers, each with its own connection, that change contents in overlapping transactions: some stay open while
 * others begin and end, and some are rolled back. The committed changes are recorded, and compared with the changes
 * that consumers of the feed receive.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as SqlClient from "effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import { type Item } from "../../src/engine/model/Batch.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { batch, item, page } from "../stores/scenario.ts"

/** The last commit of a content: its version, which is also in its title, and whether it was deleted. */
interface Committed {
  readonly version: number
  readonly isDeleted: boolean
}

export interface Ledger {
  readonly connectionId: ConnectionId
  /** The versions of each external id, in the order of their commits. */
  readonly contents: Map<string, Array<Committed>>
  changes: number
  rolledBack: number
  heldOpen: number
}

/** The changes of a transaction, which count only after its commit. */
interface Work {
  readonly items: ReadonlyArray<Item>
  readonly deleted: ReadonlyArray<string>
}

const givenUp = "given up"

/** Writes until the writer has committed this many changes. */
export const write = Effect.fnUntraced(function* (name: string, count: number, onChanges: (total: number) => void) {
  const store = yield* WholeStore
  const sql = yield* SqlClient.SqlClient
  const { id } = yield* store.createConnection({
    name,
    domain: "model",
    account: name,
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  const taken = yield* Effect.flatMap(store.acquire(id, { holder: name, ttl: Duration.hours(1) }), Effect.fromOption)
  const fence = { connectionId: id, fence: taken.fence }
  const runId = RunId.make(`run of ${name}`)
  yield* store.beginRun(fence, { runId, taskId: undefined })
  const ledger: Ledger = { connectionId: id, contents: new Map(), changes: 0, rolledBack: 0, heldOpen: 0 }
  const stored: Array<string> = []
  let version = 0
  let last = 0

  const anyStored = Effect.suspend(() =>
    Effect.map(Random.nextIntBetween(0, stored.length, { halfOpen: true }), (at) => stored[at] ?? "")
  )

  const versioned = (externalId: string) => {
    version += 1
    return item(externalId, { title: String(version), text: `${name} ${version}` })
  }

  /**
   * Mostly adds new content that never changes again, so that each of these changes must be delivered. Otherwise
   * changes existing content.
   */
  const choose = Effect.gen(function* () {
    const items = new Map<string, Item>()
    const size = yield* Random.nextIntBetween(1, 40)
    for (let n = 0; n < size; n += 1) {
      const isNew = stored.length === 0 || (yield* Random.next) < 0.7
      if (isNew) last += 1
      const externalId = isNew ? `${name}/${last}` : yield* anyStored
      items.set(externalId, versioned(externalId))
    }
    const deleted = new Set<string>()
    while (stored.length > 100 && (yield* Random.next) < 0.5) {
      const externalId = yield* anyStored
      if (!items.has(externalId) && ledger.contents.get(externalId)?.at(-1)?.isDeleted === false)
        deleted.add(externalId)
    }
    return { items: [...items.values()], deleted: [...deleted] } satisfies Work
  })

  const attempt = Effect.fnUntraced(function* (work: Work) {
    const parts = { items: work.items, page: page({ deleted: work.deleted }) }
    const chance = yield* Random.next
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* store.commit(fence, batch(runId, parts))
        yield* store.applyDeletions(fence, { changes: true, listing: true }, undefined)
        if (chance < 0.05) {
          ledger.heldOpen += 1
          yield* Effect.sleep(yield* Random.nextIntBetween(50, 400))
        } else if (chance < 0.5) yield* Effect.sleep(yield* Random.nextIntBetween(0, 20))
        if (chance > 0.9) return yield* Effect.fail(givenUp)
      })
    )
  })

  while (ledger.changes < count) {
    const work = yield* choose
    const isCommitted = yield* attempt(work).pipe(
      Effect.as(true),
      Effect.catchIf(
        (error) => error === givenUp,
        () => Effect.succeed(false)
      )
    )
    if (!isCommitted) {
      ledger.rolledBack += 1
      continue
    }
    for (const { externalId, title } of work.items) {
      const versions = ledger.contents.get(externalId) ?? []
      ledger.contents.set(externalId, [...versions, { version: Number(title), isDeleted: false }])
      if (versions.length === 0 && stored.length < 2000) stored.push(externalId)
    }
    for (const externalId of work.deleted) {
      const versions = ledger.contents.get(externalId) ?? []
      ledger.contents.set(externalId, [...versions, { version: versions.at(-1)?.version ?? 0, isDeleted: true }])
    }
    ledger.changes += work.items.length + work.deleted.length
    onChanges(work.items.length + work.deleted.length)
  }
  return ledger
})
