/**
 * A separate process of Memory.test.ts: runs one first sync from a source that responds at once into PostgreSQL, then
 * prints to stdout the most memory that was in use while the source was being called, in bytes. `ids COUNT` lists COUNT
 * small items; `body BYTES` lists one item with a body of that size. The server's socket, user, database and password
 * are in the environment.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { integration } from "../../support/InstantSource.ts"
import { engineOver } from "../../support/TestEngine.ts"

const [what = "", size = "0"] = process.argv.slice(2)

const database = PgClient.layerConfig({
  path: Config.String("TEST_SOCKET"),
  username: Config.String("TEST_USER"),
  password: Config.Redacted("TEST_PASSWORD"),
  database: Config.String("TEST_DATABASE"),
  connectTimeout: Config.succeed(Duration.infinity),
  multiplex: Config.succeed(true)
})

const store = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(database))

const megabyte = 1024 * 1024
const small = new TextEncoder().encode("small")

/** Returns the memory in use, without uncollected garbage, because the time of a collection varies between machines. */
const inUse = (): number => {
  // The second collection waits for the work that the first one left to other threads.
  for (let time = 0; time < 2; time += 1) globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}
const before = inUse()
let peak = before
const look = (): void => {
  peak = Math.max(peak, inUse())
}

const large = Stream.range(1, Number(size) / megabyte).pipe(
  // Chunks come one at a time, as from a socket, because a range is one array.
  Stream.rechunk(1),
  Stream.map((value) => {
    // A reference that holds the body would still hold it some chunks later.
    if (value % 8 === 0) look()
    return new Uint8Array(megabyte).fill(value)
  })
)
const lookedAt = 10_000
const smallAt = (index: number) => {
  if (index % lookedAt === 0) look()
  return small
}
const source = what === "ids" ? integration(Number(size), smallAt) : integration(1, () => large)

/** Nine in ten ids are known, as in a listing after a checkpoint has expired. */
const known = (connectionId: string) =>
  SqlClient.SqlClient.use(
    (sql) => sql`INSERT INTO content (connection_id, external_id, state, created_at, updated_at)
      SELECT ${connectionId}::uuid, 'message-' || lpad(i::text, 9, '0'), 'stored', now(), now()
      FROM generate_series(0, ${Number(size)}::int8 - 1) AS i WHERE i % 10 <> 0`
  )

const program = Effect.gen(function* () {
  const engine = yield* Engine
  const { connection } = yield* engine.connect({
    domain: "instant",
    name: "memory",
    config: {},
    credentials: {},
    every: undefined
  })
  if (what === "ids") yield* known(connection.id)
  const result = yield* engine.sync(connection, poll, { spec: "", wait: true })
  if (result.status !== "succeeded") return yield* Effect.die(new Error(JSON.stringify(result)))
  return result.counts.listed
})
const listed = await program.pipe(
  Effect.provide(engineOver(store, source)),
  Effect.provide(database),
  Effect.runPromise
)
look()
console.log(JSON.stringify({ listed, growth: peak - before }))
