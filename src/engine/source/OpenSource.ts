/** Opens a connection's source with its stored config and credentials. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { AnyOpenOptions, DecodedConfig, Integration } from "../../contract/Integration.ts"
import * as IntegrationFaults from "./IntegrationFaults.ts"
import * as ConfigErrors from "./ConfigErrors.ts"
import * as SourceNetwork from "../network/SourceNetwork.ts"
import { Integrations } from "./Integrations.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as PageValidation from "./PageValidation.ts"
import { Quotas } from "./Quotas.ts"
import * as CredentialRefresh from "./CredentialRefresh.ts"
import type { Connection } from "../model/Connection.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { fenceOf } from "../store/Fence.ts"
import { credentialsContext, Vault } from "../secrets/Vault.ts"

/** The stored config or credentials of a connection can't be used to open it. */
export class NotOpenable extends Schema.TaggedError<NotOpenable>()("NotOpenable", {
  reason: Schema.String,
  message: Schema.String
}) {}

/** A connection's integration with its decoded config and credentials. */
export interface Source {
  readonly integration: Integration
  readonly config: DecodedConfig
  readonly credentials: Schema.Json
}

/** Decodes the connection's config, and unseals its credentials. Fails with the reason if it can't be opened. */
export const decode = Effect.fnUntraced(function* (connection: Connection) {
  const integrations = yield* Integrations
  const vault = yield* Vault
  const fail = (reason: string, message: string) => Effect.fail(new NotOpenable({ reason, message }))
  const integration = yield* integrations
    .get(connection.domain)
    .pipe(Effect.catchTag("UsageError", (error) => fail("UnknownDomain", error.message)))
  const config = yield* integration
    .decodeConfig(connection.config)
    .pipe(
      Effect.catchTag("SchemaError", (error) =>
        fail("Config", `its config no longer fits: ${ConfigErrors.explain(error.issue, { secret: false })}`)
      )
    )
  if (connection.credentials === null) {
    return yield* fail("Unauthorized", "its credentials were forgotten")
  }
  const credentials = yield* vault
    .unseal(connection.credentials, credentialsContext(connection))
    .pipe(Effect.catchTag("VaultError", (error) => fail("Vault", error.message)))
  return { integration, config, credentials } satisfies Source
})

/** Returns the budgets that the calls of this account spend. */
export const budgetsOf = Effect.fnUntraced(function* (
  integration: Integration,
  of: { readonly config: DecodedConfig; readonly credentials: Schema.Json; readonly account: string }
) {
  const { account, credentials, config } = of
  const [first, ...others] = yield* integration.budgets({ account, credentials, config: config.json })
  return [first ?? { key: account }, ...others] as const
})

/**
 * Returns the options to open a source with. Refreshed credentials are sealed and saved under the connection's fence.
 */
const openOptions = Effect.fnUntraced(function* (
  options: Source & { readonly connection: Connection },
  meter: RunMeter.RunMeter
) {
  const { config, connection, credentials, integration } = options
  const fence = fenceOf(connection)
  const connections = yield* ConnectionStore
  const vault = yield* Vault
  const quotas = yield* Quotas
  return {
    config: config.json,
    credentials,
    refreshCredentials: yield* CredentialRefresh.make({
      id: connection.id,
      config: connection.config,
      context: credentialsContext(connection)
    }),
    call: quotas.call({
      domain: integration.domain,
      budgets: yield* budgetsOf(integration, { config, credentials, account: connection.account }),
      weights: config.quota.weights,
      timeout: integration.callTimeout,
      meter
    }),
    network: yield* SourceNetwork.of(connection.guarded),
    saveCredentials: (next) =>
      vault.seal(next, credentialsContext(connection)).pipe(
        Effect.flatMap((sealed) => connections.saveCredentials(fence, sealed)),
        Effect.mapError(
          (error) =>
            new IntegrationError({
              reason: new Transient({ message: `refreshed credentials could not be saved: ${error.message}` })
            })
        )
      )
  } satisfies AnyOpenOptions
})

/** Opens a session. Its values are checked, and faults in the integration's code are its errors. */
export const openSession = (integration: Integration, options: AnyOpenOptions) =>
  IntegrationFaults.caught(
    "`open`",
    Effect.suspend(() => integration.open(options))
  ).pipe(
    Effect.map(IntegrationFaults.caughtInSession),
    Effect.map((session) => PageValidation.checked(session, integration.domain))
  )

/** Opens a session for this connection. */
export const open = (options: Source & { readonly connection: Connection }, meter: RunMeter.RunMeter) =>
  Effect.flatMap(openOptions(options, meter), (given) => openSession(options.integration, given))

/**
 * Returns the connection's stream of hints. Returns `Option.none` if its integration has none, or its credentials do
 * not allow one.
 */
export const hints = Effect.fnUntraced(function* (connection: Connection) {
  const source = yield* decode(connection)
  if (source.integration.hints === undefined) return Option.none()
  const options = yield* openOptions({ connection, ...source }, yield* RunMeter.make())
  const hints = yield* IntegrationFaults.caught("`hints`", source.integration.hints(options))
  return Option.map(hints, (stream) => IntegrationFaults.caughtInStream("`hints`", stream))
})
