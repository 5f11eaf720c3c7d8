/** Reads the changes of a database. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import type { ChangePlace } from "../../src/engine/model/Change.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"

export const read = (after?: ChangePlace) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.changes({ after, limit: 1000 }), ({ changes, next }) => ({
      next,
      told: changes.map(({ change, content }) => `${content.externalId} ${change}`)
    }))
  )

/** Runs the work in one transaction that stays open until `end`. The transaction may then be rolled back. */
export const holding = <A, E>(work: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const worked = yield* Deferred.make<A>()
    const mayEnd = yield* Deferred.make<"commit" | "roll back">()
    const fiber = yield* Effect.forkChild(
      Effect.gen(function* () {
        yield* Deferred.succeed(worked, yield* work)
        if ((yield* Deferred.await(mayEnd)) === "roll back") return yield* Effect.fail("given up" as const)
      }).pipe(sql.withTransaction)
    )
    yield* Deferred.await(worked)
    return (how: "commit" | "roll back") => Effect.andThen(Deferred.succeed(mayEnd, how), Fiber.await(fiber))
  })
