/** Leases of one connection in two processes, on a real database. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { LeaseStore } from "../../src/engine/store/LeaseStore.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as FeedEpoch from "../../src/stores/postgres/FeedEpoch.ts"
import * as LeaseStores from "../../src/stores/postgres/LeaseStore.ts"
import * as Database from "../support/Postgres.ts"
import { waiting, whileLocked } from "./locking.ts"
import { batch, beginRun, connect, ledgerUpdate, take } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))
const ttl = Duration.seconds(30)

it.layer(layer, { excludeTestServices: true })("Postgres, in two processes", (it) => {
  it.effect("a run that takes a connection has the work of a run that began and ended in the same moment", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const sql = yield* SqlClient.SqlClient
      // The leases of another process, with a statement that waits after PostgreSQL has taken the statement's snapshot.
      const { config } = yield* PgClient.PgClient
      const other = PgClient.layerFrom(Client.make(config))
      const built = yield* Layer.build(
        Layer.fresh(LeaseStores.layer.pipe(Layer.provide(FeedEpoch.layer))).pipe(Layer.provide(other))
      )
      const leases = Context.get(built, LeaseStore)
      const { id } = yield* connect()
      yield* sql`ALTER TABLE idem_migration RENAME TO real_migration`
      yield* sql`CREATE FUNCTION pause_first() RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
          IF pg_try_advisory_xact_lock(4712) THEN PERFORM pg_advisory_xact_lock(4711); END IF;
          RETURN true;
        END $$`
      yield* sql`CREATE VIEW idem_migration AS SELECT * FROM real_migration WHERE pause_first() OFFSET 0`
      const taking = yield* whileLocked(
        sql`SELECT pg_advisory_xact_lock(4711)`,
        Effect.gen(function* () {
          const taking = yield* Effect.forkChild(leases.acquire(id, { holder: "slow", ttl }))
          yield* waiting(1)
          const fence = yield* take(id)
          const runId = yield* beginRun(fence)
          yield* store.commit(fence, batch(runId, { ledgerUpdates: [ledgerUpdate("b", { outcome: "deferred" })] }))
          yield* store.release(fence, {})
          return taking
        })
      ).pipe(
        Effect.ensuring(
          Effect.orDie(
            Effect.andThen(sql`DROP VIEW idem_migration`, sql`ALTER TABLE real_migration RENAME TO idem_migration`)
          )
        )
      )
      const taken = Option.getOrThrow(yield* Fiber.join(taking))
      assert.deepStrictEqual(taken.waiting, { retries: true, deletions: false, deletionsHeld: 0 })
    })
  )
})
