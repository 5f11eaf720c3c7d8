/** Creates and changes connections. Nothing is stored until the source has confirmed the account. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Budget, DecodedConfig, Estimate, Integration, Quota } from "../../contract/Integration.ts"
import * as CredentialAddress from "../network/CredentialAddress.ts"
import * as ConfigErrors from "./ConfigErrors.ts"
import { type Connected, type ConnectInput, SourceError, UsageError } from "../Engine.ts"
import { Integrations } from "./Integrations.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as SourceNetwork from "../network/SourceNetwork.ts"
import { Quotas } from "./Quotas.ts"
import * as CredentialRefresh from "./CredentialRefresh.ts"
import { budgetsOf, opened } from "./OpenSource.ts"
import { credentialsContext, Vault } from "../secrets/Vault.ts"
import { type Connection, defaultEvery, pausedByPerson } from "../model/Connection.ts"
import type { LockStore } from "../store/LockStore.ts"
import type { SecretStore } from "../store/SecretStore.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import type { NameTaken, StoreError } from "../store/StoreError.ts"
import * as MessageText from "../MessageText.ts"

/**
 * The time limit for the source to return the account and its estimate: shorter than any proxy or browser waits for a
 * response.
 */
const reachTimeout = Duration.seconds(50)

const wrong = (place: "config" | "credentials", domain: string) =>
  Effect.mapError((error: Schema.SchemaError) => ConfigErrors.notValid(place, domain, error))

/** Returns how long the first sync takes at this quota; undefined if the number of items is not known. */
const firstSync = (items: number | undefined, unitsPerItem: number, quota: Quota): Duration.Duration | undefined =>
  items === undefined ? undefined : Duration.minutes((items * unitsPerItem) / quota.unitsPerMinute)

/** Returns how long the first sync takes by the budgets' bytes a day; undefined if no budget limits them. */
const firstSyncByBytes = (
  { bytesPerItem, items }: Estimate,
  budgets: ReadonlyArray<Budget>
): Duration.Duration | undefined => {
  const perDay = Math.min(...budgets.map(({ bytesPerDay = Infinity }) => bytesPerDay))
  return items === undefined || bytesPerItem === undefined || perDay === Infinity
    ? undefined
    : Duration.days((items * bytesPerItem) / perDay)
}

const stored = Effect.fnUntraced(function* (connection: Connection) {
  if (connection.credentials === null) {
    return yield* new UsageError({
      message: `the credentials of ${connection.name} were forgotten: give --credentials`
    })
  }
  const vault = yield* Vault
  return yield* vault
    .unseal(connection.credentials, credentialsContext(connection))
    .pipe(Effect.mapError((error) => new UsageError({ message: `${error.message}; or give --credentials again` })))
})

/**
 * Adds to the credentials of a sign-in the fields to keep from the connection's credentials, if these are for the same
 * address.
 */
const keeping = Effect.fnUntraced(function* (
  integration: Integration,
  before: Connection,
  address: Schema.JsonObject,
  signedIn: Schema.Json
) {
  const former = CredentialAddress.of(integration, before.config)
  if (integration.signIn === undefined || CredentialAddress.changed(yield* former, address).length > 0) return signedIn
  const credentials = yield* Effect.option(stored(before))
  return Option.isNone(credentials) ? signedIn : yield* integration.signIn.keep(signedIn, credentials.value)
})

/**
 * Returns whether the connection is guarded with this address. `before` is the stored connection. Fails if a guarded
 * connection may not use the address.
 */
export const guardedAt = Effect.fnUntraced(function* (
  integration: Integration,
  address: Schema.JsonObject,
  before: Connection | undefined
) {
  const guarded = yield* SourceNetwork.becomesGuarded(
    address,
    before === undefined
      ? undefined
      : { guarded: before.guarded, address: yield* CredentialAddress.of(integration, before.config) }
  )
  const { check } = yield* SourceNetwork.SourceNetwork
  if (guarded) yield* Effect.mapError(check(address), ({ message }) => new UsageError({ message }))
  return guarded
})

/**
 * Fails if stored credentials would be sent to a changed address: the person who changes the address may control the
 * new one, so the credentials must be given again.
 */
const staysAt = Effect.fnUntraced(function* (
  integration: Integration,
  before: Connection,
  config: DecodedConfig,
  credentials: Schema.Json
) {
  if (JSON.stringify(credentials) === "{}") return
  const fields = CredentialAddress.changed(yield* CredentialAddress.of(integration, before.config), config.address)
  if (fields.length === 0) return
  return yield* new UsageError({
    needsCredentials: true,
    message: `${fields.join(" and ")} of ${MessageText.quoted(before.name)} says where its credentials are sent, and those that are stored were given for another address: give the credentials again together with this change, or connect it under another name`
  })
})

export const connect = Effect.fn("connect")(function* (
  input: ConnectInput
): Effect.fn.Return<
  Connected,
  UsageError | SourceError | StoreError | NameTaken,
  ConnectionStore | LockStore | SecretStore | Vault | Quotas | Integrations
> {
  const connections = yield* ConnectionStore
  const vault = yield* Vault
  const quotas = yield* Quotas
  // Fails before any request to the source, if the credentials could not be sealed in the end.
  yield* Effect.mapError(vault.keys, ({ message }) => new UsageError({ message }))
  const integration = yield* (yield* Integrations).get(input.domain)
  const before = Option.getOrUndefined(yield* connections.connectionByName(input.name))
  if (before !== undefined && before.domain !== input.domain) {
    return yield* new UsageError({
      message: `${input.name} is a connection of ${before.domain}, not of ${input.domain}: choose another name`
    })
  }

  if (before !== undefined && before.member !== null) {
    const owner = Option.getOrUndefined(yield* connections.connection(before.member.of))
    if (owner !== undefined) {
      return yield* new UsageError({
        message: `${MessageText.quoted(input.name)} belongs to ${MessageText.quoted(owner.name)}, which sets its config and credentials: change ${MessageText.quoted(owner.name)} instead`
      })
    }
  }

  const config = yield* integration
    .decodeConfig(input.config ?? before?.config ?? {})
    .pipe(wrong("config", input.domain))
  const given = input.credentials ?? undefined
  const kept = before === undefined || given !== undefined ? undefined : yield* stored(before)
  if (before !== undefined && kept !== undefined) yield* staysAt(integration, before, config, kept)
  let credentials = yield* integration.decodeCredentials(given ?? kept ?? {}).pipe(
    wrong("credentials", input.domain),
    Effect.mapError((error) =>
      kept === undefined && JSON.stringify(given ?? {}) === "{}" && integration.signIn !== undefined
        ? new UsageError({ message: `${error.message}; or sign in` })
        : error
    )
  )
  if (before !== undefined && input.signedIn === true) {
    credentials = yield* keeping(integration, before, config.address, credentials)
  }
  const guarded = yield* guardedAt(integration, config.address, before)
  /**
   * True if there are new credentials to store. Otherwise the stored ones stay, even if another process refreshes them.
   */
  let isNew = kept === undefined

  const meter = yield* RunMeter.make()
  const reached = yield* Effect.gen(function* () {
    const budgets = yield* budgetsOf(integration, {
      config,
      credentials,
      account: before?.account ?? `being connected as ${input.name}`
    })
    const session = yield* opened(integration, {
      config: config.json,
      credentials,
      call: quotas.call({
        domain: input.domain,
        budgets,
        weights: config.quota.weights,
        timeout: integration.callTimeout,
        meter
      }),
      network: yield* SourceNetwork.of(guarded),
      saveCredentials: (next) =>
        Effect.sync(() => {
          credentials = next
          isNew = true
        }),
      refreshCredentials:
        before === undefined || isNew
          ? undefined
          : yield* CredentialRefresh.make({ id: before.id, config: before.config, context: credentialsContext(before) })
    })
    return { account: yield* session.account, budgets, estimate: yield* session.estimate }
  }).pipe(
    Effect.scoped,
    // Both were decoded above. If an integration's second decoding differs, the error may quote a credential.
    Effect.catchTag("SchemaError", (error) => wrong("credentials", input.domain)(Effect.fail(error))),
    Effect.catchTag("IntegrationError", (error) =>
      Effect.fail(
        new SourceError({
          reason: error.reason._tag,
          message:
            error.reason._tag === "Transient"
              ? `${input.domain} ${MessageText.quoted(input.name)} did not answer: ${error.message}`
              : error.message
        })
      )
    ),
    Effect.timeoutOrElse({
      duration: reachTimeout,
      orElse: () =>
        Effect.fail(
          new SourceError({
            reason: "Timeout",
            message: `the source of ${MessageText.quoted(input.name)} did not answer within ${MessageText.duration(reachTimeout)}: try again, or check its address`
          })
        )
    })
  )
  const { account, budgets, estimate } = reached
  if (before !== undefined && before.account !== account) {
    return yield* new UsageError({
      message:
        `${input.name} mirrors the account ${before.account}, and these credentials are of ${account}: ` +
        `connect ${account} under another name`
    })
  }

  const sealed = yield* vault
    .seal(credentials, credentialsContext({ domain: input.domain, account }))
    .pipe(Effect.mapError(({ message }) => new UsageError({ message })))
  const { items, unitsPerItem } = estimate
  const itemEstimate = items === undefined ? undefined : { items, unitsPerItem }
  const connection = yield* before === undefined
    ? connections.createConnection({
        name: input.name,
        domain: input.domain,
        account,
        config: config.json,
        credentials: sealed,
        every: input.every ?? defaultEvery,
        guarded,
        estimate: itemEstimate
      })
    : Effect.flatMap(
        connections.updateConnection(before.id, {
          config: config.json,
          credentials: isNew ? sealed : undefined,
          every: input.every,
          guarded,
          estimate: itemEstimate,
          // The connection may have been moved to another address meanwhile, with credentials that must not be used at
          // this one.
          was: kept === undefined ? undefined : before.config
        }),
        Option.match({
          onNone: () =>
            Effect.fail(
              new UsageError({ message: `${input.name} was changed or removed meanwhile: check it, and try again` })
            ),
          onSome: Effect.succeed
        })
      )
  // The source has just accepted the credentials, which ends a pause for refused credentials. A pause by a person
  // stays.
  const resumes = connection.paused !== null && connection.paused !== pausedByPerson
  if (resumes) yield* connections.setPaused(connection.id, null)
  return {
    connection: resumes ? { ...connection, paused: null } : connection,
    created: before === undefined,
    estimate,
    leftOut: estimate.leftOut ?? config.leftOut,
    firstSyncByBytes: firstSyncByBytes(estimate, budgets),
    firstSync: firstSync(estimate.items, estimate.unitsPerItem, config.quota)
  } satisfies Connected
})
