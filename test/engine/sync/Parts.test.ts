/**
 * Parts under the real engine: committed with their pages, complete after many pages in one batch, and removed with
 * their checkpoint.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Integration } from "../../../src/contract/Integration.ts"
import { CheckpointExpired } from "../../../src/contract/IntegrationError.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { noHints } from "../../../src/contract/Hints.ts"
import { Limits } from "../../../src/engine/Limits.ts"
import { ConnectionId } from "../../../src/engine/model/Connection.ts"
import * as PartReader from "../../../src/engine/sync/PartReader.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { fault } from "../../support/MemorySource.ts"
import { integration, PartsSource } from "../../support/PartsSource.ts"
import { engineOver, poll, sync } from "../../support/TestEngine.ts"

const connect = Engine.use((engine) =>
  Effect.map(
    engine.connect({ domain: "parts", name: "parts", config: {}, credentials: {}, every: undefined }),
    ({ connection }) => connection
  )
)

const partsOf = (connection: Effect.Success<typeof connect>, source: PartsSource) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.parts(connection.id, undefined, [...source.folders.keys(), "left over"]), (found) =>
      Object.fromEntries(found)
    )
  )

const whole = (source: PartsSource) =>
  Object.fromEntries(Array.from(source.folders, ([key, items]) => [key, { listed: items.length }]))

/**
 * `expire` makes the next listing that has a checkpoint fail once, like a source that has forgotten the checkpoint.
 * `isReadable` is false for an integration whose checkpoint has another form than the stored one.
 */
const scene = () => {
  const source = new PartsSource()
  const real = integration(source)
  const state = { expire: false, isReadable: true }
  const changed: Integration = {
    ...real,
    readsCheckpoint: () => Effect.sync(() => state.isReadable),
    open: (options) =>
      Effect.map(real.open(options), (session) => ({
        ...session,
        list: (task, checkpoint, parts) => {
          if (!state.expire || Option.isNone(checkpoint)) return session.list(task, checkpoint, parts)
          state.expire = false
          return Stream.fromEffect(fault(new CheckpointExpired({ message: "too old" })))
        }
      }))
  }
  return { source, state, layer: engineOver(Memory.layer, changed) }
}

it.live("every part that a page moved is stored, however many pages one batch ends", () => {
  const { layer, source } = scene()
  return Effect.gen(function* () {
    source.add(60)
    const connection = yield* connect
    assert.strictEqual((yield* sync(connection)).counts.stored, 60)
    assert.deepStrictEqual(yield* partsOf(connection, source), whole(source))
    const listed = source.listed.length
    yield* sync(connection)
    assert.strictEqual(source.listed.length, listed, "nothing is listed twice")
    source.add(3)
    assert.strictEqual((yield* sync(connection)).counts.stored, 3)
    assert.strictEqual(source.listed.length, listed + 3)
  }).pipe(Effect.provide(layer))
})

it.live("a checkpoint that expired takes its parts along: everything is listed again, through the checker", () => {
  const { layer, source, state } = scene()
  return Effect.gen(function* () {
    source.add(20)
    const connection = yield* connect
    yield* sync(connection)
    source.add(1)
    state.expire = true
    const { counts, notes } = yield* sync(connection)
    assert.deepStrictEqual([counts.stored, counts.existing], [1, 20])
    assert.deepStrictEqual(notes, ["too old: listing in full"])
    assert.deepStrictEqual(yield* partsOf(connection, source), whole(source))
  }).pipe(Effect.provide(layer))
})

it.live("a checkpoint that can't be read takes its parts along, those that a later slice lists too", () => {
  const { layer, source, state } = scene()
  return Effect.gen(function* () {
    source.add(20)
    const connection = yield* connect
    yield* sync(connection)
    state.isReadable = false
    const first = yield* poll(connection)
    assert.strictEqual(first.next._tag, "More")
    assert.deepStrictEqual(first.notes, ["the stored checkpoint can't be read: listing in full, deleting nothing"])
    state.isReadable = true
    const second = yield* sync(connection)
    assert.deepStrictEqual(second.notes, [])
    assert.strictEqual(first.counts.existing + second.counts.existing, 20)
    assert.deepStrictEqual(yield* partsOf(connection, source), whole(source))
  }).pipe(
    Effect.provide(layer),
    Effect.updateService(Limits, (defaults) => ({ ...defaults, slicePages: 3 }))
  )
})

it.effect("a listing reads the parts that its pages moved or removed, and none once it begins again", () =>
  Effect.gen(function* () {
    const stored: ReadonlyMap<string, number> = new Map([
      ["moved", 1],
      ["removed", 2],
      ["left alone", 3]
    ])
    const { move, parts, reset } = PartReader.make({
      contents: { ...(yield* WholeStore), parts: () => Effect.succeed(stored) },
      connectionId: ConnectionId.make("one"),
      taskId: undefined,
      fresh: false,
      hinted: noHints
    })
    const read = Effect.map(parts.get([...stored.keys(), "unknown"]), Object.fromEntries)
    move([
      { key: "moved", checkpoint: 4 },
      { key: "removed", checkpoint: null }
    ])
    assert.deepStrictEqual(yield* read, { moved: 4, "left alone": 3 })
    reset()
    assert.deepStrictEqual(yield* read, {})
  }).pipe(Effect.provide(Memory.layer))
)

it.live("parts that can't be read fail the run", () => {
  const { layer, source } = scene()
  return Effect.gen(function* () {
    const store = yield* WholeStore
    source.add(20)
    const connection = yield* connect
    yield* sync(connection)
    source.add(1)
    const away = new StoreError({ message: "the database is away", cause: "gone" })
    const { error } = yield* poll(connection).pipe(
      Effect.provide(wholeStoreLayer({ ...store, parts: () => Effect.fail(away) }))
    )
    assert.deepStrictEqual(error, { reason: "ContentExistenceCheckerError", message: "the database is away" })
  }).pipe(Effect.provide(layer))
})

it.live("a forced task has parts of its own, and leaves those of the connection alone", () => {
  const { layer, source } = scene()
  return Effect.gen(function* () {
    source.add(20)
    const connection = yield* connect
    yield* sync(connection)
    const before = source.listed.length
    const { counts } = yield* sync(connection, { force: true })
    assert.strictEqual(counts.unchanged, 20)
    assert.strictEqual(source.listed.length, before + 20)
    assert.deepStrictEqual(yield* partsOf(connection, source), whole(source))
  }).pipe(Effect.provide(layer))
})

it.live("a dry run reads parts and moves none", () => {
  const { layer, source } = scene()
  return Effect.gen(function* () {
    source.add(20)
    const connection = yield* connect
    const planned = yield* sync(connection, { dryRun: true })
    assert.strictEqual(planned.planned?.download, 20)
    assert.deepStrictEqual(yield* partsOf(connection, source), {})
    yield* sync(connection)
    source.add(2)
    assert.strictEqual((yield* sync(connection, { dryRun: true })).planned?.download, 2)
  }).pipe(Effect.provide(layer))
})

it.live("a part that is too large, or whose key can't be stored, fails the run and says which", () => {
  const source = new PartsSource()
  const broken = integration(source, (moves) => moves.map((move) => ({ ...move, key: `${move.key}\0` })))
  return Effect.gen(function* () {
    source.add(5)
    const { error } = yield* sync(yield* connect)
    assert.deepStrictEqual(error, {
      reason: "Malformed",
      message: "parts, page 1: the key of a part: it may not hold a NUL character"
    })
  }).pipe(Effect.provide(Layer.fresh(engineOver(Memory.layer, broken))))
})
