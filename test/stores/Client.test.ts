/** Broken sessions whose connection stays open: the server stops responding, or is read-only. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { inject } from "vitest"
import type { StoreError } from "../../src/engine/store/StoreError.ts"
import { LockStore } from "../../src/engine/store/LockStore.ts"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as LockStoreOfPostgres from "../../src/stores/postgres/LockStore.ts"
import { toStoreError } from "../../src/stores/postgres/SqlErrors.ts"
import { transaction } from "../../src/stores/postgres/Transactions.ts"
import * as Postgres from "../support/Postgres.ts"

/** TLS with a pre-shared key, so that the tests need no certificate. */
const sharedKey = { ciphers: "PSK-AES128-GCM-SHA256", maxVersion: "TLSv1.2" } as const
const psk = Buffer.from("a key of the tests")
const serverTls: Tls.TlsOptions = { ...sharedKey, pskCallback: () => psk }

interface Proxy {
  readonly port: number
  /** From now on, open sessions get no more bytes. Their connections stay open. */
  readonly silence: () => void
}

/** A proxy in front of the test server, which can stop forwarding, like a network or a pooler that hangs. */
const runProxy = (options: { readonly tls: boolean }) => {
  const sockets = new Set<Net.Socket>()
  const silent = new Set<Net.Socket>()
  const join = (client: Net.Socket) => {
    const server = Net.connect(inject("postgres").socket)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on("error", () => socket.destroy())
    }
    client.on("data", (bytes) => server.write(bytes)).on("close", () => server.destroy())
    server.on("data", (bytes) => silent.has(client) || client.write(bytes))
  }
  const listener = Net.createServer((client) => {
    if (!options.tls) return join(client)
    // The first message requests TLS, which the test server does not support.
    client.once("data", () => {
      client.write("S")
      join(new Tls.TLSSocket(client, { ...serverTls, isServer: true }))
    })
  })
  const proxy = Effect.callback<Proxy>((resume) => {
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as Net.AddressInfo
      resume(Effect.succeed({ port, silence: () => sockets.forEach((socket) => silent.add(socket)) }))
    })
  })
  return Effect.acquireRelease(proxy, () =>
    Effect.sync(() => {
      listener.close()
      for (const socket of sockets) socket.destroy()
    })
  )
}

const shortTimeout = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_STATEMENT_TIMEOUT: "1 second" } }))

describe("a server that falls silent", () => {
  for (const tls of [false, true]) {
    it.live(`fails the statements that wait for it, and the next sessions work (${tls ? "TLS" : "no TLS"})`, () =>
      Effect.gen(function* () {
        const proxy = yield* runProxy({ tls })
        const { database, password, username } = inject("postgres")
        const access = { host: "127.0.0.1", port: proxy.port, database, username, password: Redacted.make(password) }
        const ssl = {
          ...sharedKey,
          checkServerIdentity: () => undefined,
          pskCallback: () => ({ psk, identity: "idem" })
        }
        const sql = yield* Effect.provide(Client.make({ ...access, ssl: tls ? ssl : false }), shortTimeout)
        const statement = sql`SELECT 1 AS n`
        const ways = {
          "a look-up": statement,
          "a transaction": transaction(sql)(statement),
          "a reserved session": Effect.scoped(
            Effect.flatMap(sql.reserve, (session) => session.execute("SELECT 1 AS n", [], undefined))
          )
        }
        // On a busy machine, a responsive server may also take this long.
        const works = (way: (typeof ways)[keyof typeof ways]) => Effect.eventually(way)
        for (const [name, way] of Object.entries(ways)) {
          assert.deepStrictEqual(yield* works(way), [{ n: 1 }], name)
          proxy.silence()
          const error = yield* Effect.flip(toStoreError("testing")(way))
          assert.match(error.message, /no answer for 1s, the IDEM_STATEMENT_TIMEOUT/, name)
          assert.deepStrictEqual(yield* works(way), [{ n: 1 }], name)
        }
      }).pipe(Effect.provide(Reactivity.layer))
    )
  }
})

describe("sessions on a server that was made read-only", () => {
  for (const kind of ["a transaction", "a single statement"] as const) {
    it.live(`refuse one write, which says so, and are replaced (${kind})`, () =>
      Effect.gen(function* () {
        const admin = yield* SqlClient.SqlClient
        const [{ name: database } = { name: "" }] = yield* admin<{ name: string }>`SELECT current_database() AS name`
        const { password, socket, username } = inject("postgres")
        const sql = yield* Client.make({ path: socket, username, password: Redacted.make(password), database })
        const locks = yield* Effect.provide(
          LockStore,
          Layer.provide(LockStoreOfPostgres.layer, Layer.succeed(SqlClient.SqlClient, sql))
        )
        const write: Effect.Effect<unknown, StoreError> =
          kind === "a transaction"
            ? transaction(sql)(sql`UPDATE meta SET epoch = epoch`).pipe(toStoreError("writing"))
            : locks.takeLock("a lock", { holder: "me", ttl: Duration.minutes(1) })
        const together = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.all(
            Array.from({ length: 4 }, () => effect),
            { concurrency: "unbounded" }
          )

        // Sessions read the setting when they begin, so these stay read-only, like sessions of a former primary.
        yield* admin`ALTER DATABASE ${admin(database)} SET default_transaction_read_only = on`
        yield* together(sql.withTransaction(sql`SELECT pg_sleep(0.1)`))
        yield* admin`ALTER DATABASE ${admin(database)} RESET default_transaction_read_only`

        const refused = yield* Effect.flip(write)
        assert.match(refused.message, /the database is read-only \(.*\): Idem connects again, and needs the primary/)
        yield* together(write)
      }).pipe(Effect.provide(Layer.merge(Postgres.layer, Reactivity.layer)))
    )
  }
})
