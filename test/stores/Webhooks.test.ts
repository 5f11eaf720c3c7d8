import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "../../src/stores/memory/WebhookStore.ts"
import * as Postgres from "../../src/stores/postgres/WebhookStore.ts"
import * as Database from "../support/Postgres.ts"
import * as Laws from "./lawsOfWebhooks.ts"
import { Time } from "./scenario.ts"

/** Time passes when all that is written is older. */
const aging = Layer.effect(
  Time,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      pass: (by: Duration.Duration) => {
        const span = sql`${Duration.toMillis(by)}::float8 * interval '1 millisecond'`
        return Effect.andThen(
          sql`UPDATE webhook SET failing_since = failing_since - ${span}, created_at = created_at - ${span}`,
          sql`UPDATE webhook_message SET next_attempt_at = next_attempt_at - ${span},
            attempted_at = attempted_at - ${span}, created_at = created_at - ${span}`
        ).pipe(Effect.orDie, Effect.asVoid)
      }
    })
  )
)

Laws.suite("Memory", Layer.merge(Memory.layer, Layer.succeed(Time, { pass: (by) => TestClock.adjust(by) })))
Laws.suite("Postgres", Layer.merge(Postgres.layer, aging).pipe(Layer.provide(Database.layer)))
