/** The feed of a server that crashed: it may give the ids of its last transactions to later ones. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import type { Store } from "../../src/engine/Store.ts"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { read } from "./changesFixture.ts"
import { item, nextRun, running } from "./scenario.ts"

/** Runs an effect in a process with a session of its own. */
const inProcess =
  ({ database, password, socket, username }: Embedded.Embedded["Service"]) =>
  <A, E>(work: Effect.Effect<A, E, Store | SqlClient.SqlClient>) =>
    Effect.andThen(
      Effect.retry(Postgres.migrate, Schedule.spaced("100 millis")),
      Effect.provide(work, Layer.provide(Postgres.layer, Blobs.layer))
    ).pipe(
      Effect.provide(
        PgClient.layer({ path: socket, database, username, password, connectTimeout: Duration.infinity }),
        { local: true }
      )
    )

/** Begins transactions that write nothing and are given up, and returns their ids. */
const giveUp = (count: number) =>
  SqlClient.SqlClient.use((sql) => {
    const givenUp = Effect.flatMap(sql<{ readonly id: string }>`SELECT pg_current_xact_id()::text AS id`, ([row]) =>
      Effect.fail(row?.id)
    )
    return Effect.forEach(Array.from({ length: count }), () => Effect.flip(sql.withTransaction(givenUp)))
  })

it.live("a reader misses no change whose transaction id was used before a crash, too", () =>
  Effect.gen(function* () {
    const folder = yield* EmbeddedUser.folderWithData
    // The server writes the end of a transaction that was given up to its log with the next commit, or after this time.
    const server = yield* Embedded.make({ folder, settings: { wal_writer_delay: "10s" } })
    const before = yield* Effect.gen(function* () {
      const run = yield* running()
      yield* run.commit({ items: [item("a")] })
      const ids = yield* giveUp(20)
      const page = yield* read()
      assert.deepStrictEqual(page.told, ["a stored"])
      // Ends all processes of the server at once, as a crash does.
      process.kill(server.pid, "SIGQUIT")
      return { run, next: page.next, ids }
    }).pipe(inProcess(server))
    yield* Effect.repeat(EmbeddedUser.runs(server.pid), { until: (runs) => !runs })
    yield* Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const again = yield* nextRun(before.run)
      yield* again.commit({ items: [item("b")] })
      const rows = yield* sql<{
        readonly id: string
      }>`SELECT changed_xid::text AS id FROM content WHERE external_id = 'b'`
      assert.includeMembers(before.ids, [rows[0]?.id])
      yield* giveUp(20)
      assert.deepStrictEqual((yield* read(before.next)).told, ["b stored"])
    }).pipe(inProcess(server))
  }).pipe(Effect.scoped)
)
