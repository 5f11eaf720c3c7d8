/**
 * A separate process of Memory.ts: runs one first sync from a source that responds at once into the database of
 * `DATABASE_URL`, then prints this process's peaks in bytes to stdout. `ids COUNT` lists COUNT small items; `body
 * BYTES` lists one item with a body of that size.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { integration } from "../support/InstantSource.ts"
import { engineOver } from "../support/TestEngine.ts"

const [what = "", size = "0"] = process.argv.slice(2)
const megabyte = 1024 * 1024

const store = Postgres.layer.pipe(
  Layer.provide(Blobs.layer),
  Layer.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL"), multiplex: Config.succeed(true) }))
)

const large = Stream.range(1, Number(size) / megabyte).pipe(
  // Chunks come one at a time, as from a socket, because a range is one array.
  Stream.rechunk(1),
  Stream.map((value) => new Uint8Array(megabyte).fill(value))
)
const small = (index: number) => new TextEncoder().encode(`small ${index}`)
const source = what === "ids" ? integration(Number(size), small) : integration(1, () => large)

const peak = { resident: 0, heap: 0 }
const watch = setInterval(() => {
  const { heapUsed, rss } = process.memoryUsage()
  peak.resident = Math.max(peak.resident, rss)
  peak.heap = Math.max(peak.heap, heapUsed)
}, 5)

await Effect.gen(function* () {
  const engine = yield* Engine
  const { connection } = yield* engine.connect({
    domain: "instant",
    name: `${what} ${size}`,
    config: {},
    credentials: {},
    every: undefined
  })
  const result = yield* engine.sync(connection, poll, { spec: "", wait: true })
  if (result.counts.stored !== (what === "ids" ? Number(size) : 1)) {
    return yield* Effect.die(new Error(JSON.stringify(result)))
  }
}).pipe(Effect.provide(engineOver(store, source)), Effect.runPromise)
clearInterval(watch)
console.log(JSON.stringify(peak))
