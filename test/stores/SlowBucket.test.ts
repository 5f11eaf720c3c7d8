/** Commits of large bodies to a bucket that responds slowly to requests for existing bodies. */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as S3Blobs from "../../src/stores/blobs/S3Blobs.ts"
import * as S3Client from "../../src/stores/blobs/S3Client.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import * as S3Servers from "../support/S3Servers.ts"
import { largeItem, running, stored } from "./scenario.ts"

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Advances the test clock at about the pace of real time, because PostgreSQL takes real time between two attempts. */
const slowly = Effect.andThen(
  Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 5))),
  TestClock.adjust("10 millis")
)

/** A store whose large bodies are in a bucket that holds each response to a HEAD, after these bodies were stored. */
const scene = Effect.fnUntraced(function* (bodies: ReadonlyArray<string>) {
  const server = yield* S3Servers.servers.s3rver
  const env = S3Servers.settings(server)
  const client = yield* S3Client.make("IDEM_BLOB_URL", env.IDEM_BLOB_URL).pipe(S3Servers.configured(env))
  const context = yield* Layer.build(
    Postgres.layer.pipe(Layer.provide(S3Blobs.layer(client)), Layer.provide(Database.layer))
  )
  const { commit, id, items } = yield* Effect.gen(function* () {
    const run = yield* running()
    const items = yield* Effect.forEach(bodies, (text, index) =>
      largeItem(`item ${String(index).padStart(3, "0")}`, text)
    )
    return { ...run, items }
  }).pipe(Effect.provideContext(context))
  const { proxy } = server
  proxy.holds = ({ method }) => method === "HEAD"
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      proxy.holds = () => false
      proxy.release()
    })
  )
  const committer = yield* Effect.forkChild(commit({ items }))
  /** Waits until this many HEADs are held. Fails if the commit ends before. */
  const held = (count: number, step: Effect.Effect<void> = Effect.void) =>
    Effect.gen(function* () {
      while (proxy.held.length < count) {
        const ended = committer.pollUnsafe()
        if (ended !== undefined) {
          return yield* Effect.die(
            new Error(`the commit ended: ${Exit.isFailure(ended) ? Cause.pretty(ended.cause) : ""}`)
          )
        }
        yield* step
        yield* turn
      }
    })
  return { committer, proxy, held, stored: Effect.provideContext(stored(id), context) }
})

it.live("a commit of many large bodies asks for several at a time, and once for each", () =>
  Effect.gen(function* () {
    const bodies = Array.from({ length: 40 }, (_, index) => `large body ${index % 20}`)
    const { committer, held, proxy, stored } = yield* scene(bodies)
    yield* held(16)
    proxy.release()
    yield* held(4)
    proxy.release()
    yield* Fiber.join(committer)
    assert.strictEqual(proxy.requests.filter((request) => request.startsWith("HEAD ")).length, 20)
    assert.strictEqual((yield* stored).length, 40)
  }).pipe(Effect.scoped)
)

it.effect("a commit that waits too long for the bucket frees its rows, and is tried again", () =>
  Effect.gen(function* () {
    const { committer, held, proxy, stored } = yield* scene(["a large body"])
    yield* held(1)
    yield* TestClock.adjust("8 seconds")
    yield* held(2, slowly)
    proxy.release()
    yield* Fiber.join(committer)
    assert.deepStrictEqual(yield* stored, ["item 000"])
  }).pipe(Effect.scoped)
)

it.effect("a commit that the bucket does not answer for fails by itself, and says so", () =>
  Effect.gen(function* () {
    const { committer, held, proxy, stored } = yield* scene(["a large body"])
    for (const attempt of [1, 2, 3]) {
      yield* held(attempt, slowly)
      yield* TestClock.adjust("8 seconds")
    }
    const error = yield* Effect.flip(Fiber.join(committer))
    assert.strictEqual(proxy.held.length, 3)
    assert.strictEqual(
      error.message,
      "the store of large bodies did not answer in 8 seconds: the next run stores the batch"
    )
    proxy.release()
    assert.deepStrictEqual(yield* stored, [])
  }).pipe(Effect.scoped)
)
