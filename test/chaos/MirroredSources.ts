/** The sources of a seed, each mirrored by its own connection, and the requests to them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SourcePlan } from "./Schedule.ts"
import type { SeedDatabase } from "./SeedDatabase.ts"
import type { ChaosSource } from "./Source.ts"
import * as Ftp from "./sources/Ftp.ts"
import * as Gmail from "./sources/Gmail.ts"
import * as Slack from "./sources/Slack.ts"

export interface MirroredSource {
  readonly name: string
  readonly id: string
  readonly source: ChaosSource
  /** The number of downloads that a person has forced. */
  forced: number
  /** The ids that a person has requested individually. */
  readonly byId: Set<string>
}

const makers = { ftp: Ftp.make, gmail: Gmail.make, slack: Slack.make }

const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))

/** Creates the source of each plan, with its connection. */
export const make = Effect.fnUntraced(function* (plans: ReadonlyArray<SourcePlan>, { ask }: SeedDatabase) {
  const mirrored: Array<MirroredSource> = []
  for (const [index, plan] of plans.entries()) {
    const source = yield* makers[plan.domain](plan)
    const name = `${plan.domain} ${index}`
    const [row] = yield* ask(
      SqlClient.SqlClient.use((sql) =>
        Effect.flatMap(
          sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms)
            VALUES (${name}, ${plan.domain}, ${`me ${index}`}, ${JSON.stringify(source.config)}::json,
              ${new TextEncoder().encode(JSON.stringify(source.credentials))}, 100) RETURNING id::text AS id`,
          decodeIds
        )
      )
    )
    mirrored.push({ name, id: row?.id ?? "", source, forced: 0, byId: new Set() })
  }
  return mirrored
})

export type Requests = ReturnType<typeof countRequests>

/** Counts the requests to these sources, so that events can come after some of them, or just before one. */
export const countRequests = (mirrored: ReadonlyArray<MirroredSource>) => {
  let count = 0
  const waiters = new Set<{ readonly at: number; readonly reached: Deferred.Deferred<void> }>()
  const armed: Array<{ left: number; readonly act: () => void }> = []
  for (const { source } of mirrored) {
    source.onRequest = () => {
      count += 1
      for (const waiter of waiters) if (count >= waiter.at) Deferred.doneUnsafe(waiter.reached, Exit.void)
      for (const one of armed.filter((one) => (one.left -= 1) === 0)) one.act()
    }
  }
  return {
    count: () => count,
    /**
     * Waits for this many more requests, but at most this many milliseconds. With 0 requests, waits for the
     * milliseconds.
     */
    after: (requests: number, milliseconds: number) =>
      Effect.gen(function* () {
        const waiter = { at: count + requests, reached: yield* Deferred.make<void>() }
        waiters.add(waiter)
        yield* requests === 0
          ? Effect.sleep(milliseconds)
          : Effect.timeoutOption(Deferred.await(waiter.reached), milliseconds)
        waiters.delete(waiter)
      }),
    /** Runs an action just before the response to the given number of further requests. */
    before: (requests: number, act: () => void) => void armed.push({ left: requests, act }),
    /** Runs all actions that still wait for requests. */
    actNow: () => {
      for (const one of armed.splice(0)) if (one.left > 0) one.act()
    }
  }
}
