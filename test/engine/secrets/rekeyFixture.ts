/** Connections with sealed credentials, and the key that sealed them. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { credentialsContext } from "../../../src/engine/secrets/Vault.ts"
import * as Rekey from "../../../src/engine/secrets/Rekey.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"

export const newKey = () => Redacted.make<Uint8Array>(randomBytes(32))
export const noEnvironment = ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} }))

export const connect = Effect.fnUntraced(function* (name: string, vault: Vault.Vault["Service"]) {
  const store = yield* WholeStore
  const of = { domain: "gmail", account: `${name}@example.com` }
  return yield* store.createConnection({
    ...of,
    name,
    config: {},
    credentials: yield* vault.seal({ token: `token of ${name}` }, credentialsContext(of)),
    every: Duration.minutes(5)
  })
})

export const connectMany = (count: number, vault: Vault.Vault["Service"]) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => `c${index}`),
    (name) => connect(name, vault)
  )

/** Opens each connection's secret with this vault. */
export const open = (vault: Vault.Vault["Service"]) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.flatMap(
      store.connections,
      Effect.forEach((connection) =>
        vault.unseal(connection.credentials ?? new Uint8Array(), credentialsContext(connection))
      )
    )
  )

export const tokens = (connections: ReadonlyArray<Connection>) =>
  connections.map(({ name }) => ({ token: `token of ${name}` })).toSorted((a, b) => (a.token < b.token ? -1 : 1))

export const rekey = (vault: Vault.Vault["Service"], file?: string) =>
  Effect.provideService(Rekey.rekey(file), Vault.Vault, vault).pipe(Effect.provide([NodeServices.layer, noEnvironment]))
