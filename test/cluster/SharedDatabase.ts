/** A database, a counting source and connections between them, shared by processes of `idem serve`. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import * as Path from "node:path"
import { inject } from "vitest"
import { credentialsContext } from "../../src/engine/secrets/Vault.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Vault from "../../src/engine/secrets/Vault.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as TestDatabase from "../support/Postgres.ts"
import * as CounterServer from "./CounterServer.ts"
import { envOf } from "./Fleet.ts"

const vault = Vault.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: envOf({ databaseUrl: "" }) })))
)

/** The store and the vault of a fresh database. */
export const layer = Layer.mergeAll(Postgres.layer.pipe(Layer.provide(Blobs.layer)), vault).pipe(
  Layer.provideMerge(TestDatabase.layer)
)

export interface Given {
  readonly name: string
  readonly items: number
  readonly owner?: string
  readonly unitsPerMinute?: number
  readonly every?: Duration.Input
}

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* WholeStore
  const vault = yield* Vault.Vault
  const counter = yield* CounterServer.make
  const [{ name }] = (yield* sql<{ readonly name: string }>`SELECT current_database() AS name`) as [{ name: string }]
  const { password, socket, username } = inject("postgres")
  const query = new URLSearchParams({ host: Path.dirname(socket), user: username, password, connect_timeout: "0" })

  return {
    sql,
    store,
    counter,
    databaseUrl: `postgresql:///${name}?${query.toString()}`,

    /** Makes a connection to a separate account, due at once. */
    connect: Effect.fnUntraced(function* (given: Given) {
      const { every = "1 second", items, name, owner = name, unitsPerMinute } = given
      counter.sizes.set(name, items)
      return yield* store.createConnection({
        name,
        domain: "counter",
        account: owner,
        config: {
          url: counter.url,
          account: name,
          owner,
          ...(unitsPerMinute === undefined ? {} : { quota: { unitsPerMinute } })
        },
        credentials: yield* vault.seal({}, credentialsContext({ domain: "counter", account: owner })),
        every: Duration.fromInputUnsafe(every)
      })
    }),

    /** The number of stored contents of all connections. */
    stored: sql<{ readonly count: number }>`SELECT count(*)::float8 AS count FROM content WHERE state = 'stored'`.pipe(
      Effect.map(([row]) => row?.count ?? 0)
    ),

    /** The stored ids, as `name/id`. */
    ids: sql<{ readonly id: string }>`SELECT c.name || '/' || t.external_id AS id
      FROM content t JOIN connection c ON c.id = t.connection_id WHERE t.state = 'stored'`.pipe(
      Effect.map((rows) => new Set(rows.map(({ id }) => id)))
    ),

    /** The number of runs, and of the items that they stored, by status. */
    runs: sql<{ readonly status: string; readonly count: number; readonly stored: number }>`
      SELECT status, count(*)::float8 AS count, sum(stored)::float8 AS stored FROM run GROUP BY status`.pipe(
      Effect.map((rows) => new Map(rows.map((row) => [row.status, row])))
    )
  }
})

/** Waits until the condition holds. The limit ends only a test that hangs, and is never reached on a slow machine. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({ duration: "10 minutes", orElse: () => Effect.die(new Error("it never came to be")) })
  )

export type SharedDatabase = Effect.Success<typeof make>
