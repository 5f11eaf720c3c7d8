/** Creates and changes connections. Nothing is stored until the source has confirmed the account. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Budget, DecodedConfig, Estimate, Integration, Quota } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as CredentialAddress from "../network/CredentialAddress.ts"
import * as ConfigErrors from "./ConfigErrors.ts"
import { type Connected, type ConnectInput, SourceError, UsageError } from "../Engine.ts"
import { Integrations } from "./Integrations.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as SourceNetwork from "../network/SourceNetwork.ts"
import { Quotas } from "./Quotas.ts"
import * as CredentialRefresh from "./CredentialRefresh.ts"
import { budgetsOf, openSession } from "./OpenSource.ts"
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

const toUsageError = (place: "config" | "credentials", domain: string) =>
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

/** Unseals the stored credentials. */
const storedCredentials = Effect.fnUntraced(function* (connection: Connection) {
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
const withKeptFields = Effect.fnUntraced(function* (
  integration: Integration,
  before: Connection,
  address: Schema.JsonObject,
  signedIn: Schema.Json
) {
  const former = CredentialAddress.of(integration, before.config)
  if (integration.signIn === undefined || CredentialAddress.changed(yield* former, address).length > 0) return signedIn
  const credentials = yield* Effect.option(storedCredentials(before))
  return Option.isNone(credentials) ? signedIn : yield* integration.signIn.keep(signedIn, credentials.value)
})

/**
 * Returns whether a connection is guarded once it has this address. `before` is the stored connection. A connection to
 * the provider's own address is not guarded, because nobody chose that address. Fails if a guarded connection may not
 * use the address.
 */
export const isGuardedAt = Effect.fnUntraced(function* (
  integration: Integration,
  address: Schema.JsonObject,
  before: Connection | undefined
) {
  if (!(yield* SourceNetwork.IsRemote) || CredentialAddress.isOwn(address)) return false
  if (before !== undefined && !before.guarded) {
    const former = yield* CredentialAddress.of(integration, before.config)
    if (CredentialAddress.changed(former, address).length === 0) return false
  }
  const { check } = yield* SourceNetwork.SourceNetwork
  yield* Effect.mapError(check(address), ({ message }) => new UsageError({ message }))
  return true
})

/** Fails if the connection of this name is one of another domain. */
export const requireDomain = ({ domain, name }: Connection, wanted: string): Effect.Effect<void, UsageError> =>
  domain === wanted
    ? Effect.void
    : Effect.fail(
        new UsageError({ message: `${name} is a connection of ${domain}, not of ${wanted}: choose another name` })
      )

/**
 * Fails if stored credentials would be sent to a changed address: the person who changes the address may control the
 * new one, so the credentials must be given again.
 */
const requireSameAddress = Effect.fnUntraced(function* (
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
    message:
      `${fields.join(" and ")} of ${MessageText.quoted(before.name)} says where its credentials are sent, ` +
      "and those that are stored were given for another address: give the credentials again together with this " +
      "change, or connect it under another name"
  })
})

/** Returns the connection to change; undefined if the name is new. Fails if this input can't change it. */
const connectionToChange = Effect.fnUntraced(function* ({ domain, name }: ConnectInput) {
  const connections = yield* ConnectionStore
  const before = Option.getOrUndefined(yield* connections.connectionByName(name))
  if (before === undefined) return undefined
  yield* requireDomain(before, domain)
  if (before.member === null) return before
  const owner = Option.getOrUndefined(yield* connections.connection(before.member.of))
  if (owner === undefined) return before
  const of = MessageText.quoted(owner.name)
  return yield* new UsageError({
    message: `${MessageText.quoted(name)} belongs to ${of}, which sets its config and credentials: change ${of} instead`
  })
})

/** The decoded input for a connection. */
interface Target {
  readonly name: string
  readonly integration: Integration
  readonly config: DecodedConfig
  readonly credentials: Schema.Json
  /** True if these are the stored credentials. They stay, even if another process refreshes them meanwhile. */
  readonly isStored: boolean
  readonly guarded: boolean
  readonly before: Connection | undefined
}

const isEmpty = (given: unknown): boolean => Predicate.isObject(given) && Object.keys(given).length === 0

/** Fails if the input has values that the integration would ignore, because its schema has no fields. */
const refuseIgnoredValues = Effect.fnUntraced(function* ({ domain, hasFields }: Integration, input: ConnectInput) {
  for (const what of ["config", "credentials"] as const) {
    if (hasFields[what] || isEmpty(input[what] ?? {})) continue
    const message = `${domain} takes no ${what}: leave the ${what} out`
    return yield* new UsageError({ message, errors: [{ place: what, message }] })
  }
})

/** Decodes the input, with the stored config and credentials where it gives none. */
const decode = Effect.fnUntraced(function* (
  integration: Integration,
  input: ConnectInput,
  before: Connection | undefined
) {
  const { domain, name, signedIn } = input
  yield* refuseIgnoredValues(integration, input)
  const config = yield* integration
    .decodeConfig(input.config ?? before?.config ?? {})
    .pipe(toUsageError("config", domain))
  const given = input.credentials ?? undefined
  const stored = before === undefined || given !== undefined ? undefined : yield* storedCredentials(before)
  if (before !== undefined && stored !== undefined) yield* requireSameAddress(integration, before, config, stored)
  const decoded = yield* integration.decodeCredentials(given ?? stored ?? {}).pipe(
    toUsageError("credentials", domain),
    Effect.mapError((error) =>
      stored === undefined && JSON.stringify(given ?? {}) === "{}" && integration.signIn !== undefined
        ? new UsageError({ message: `${error.message}; or sign in` })
        : error
    )
  )
  const credentials =
    before !== undefined && signedIn === true
      ? yield* withKeptFields(integration, before, config.address, decoded)
      : decoded
  const guarded = yield* isGuardedAt(integration, config.address, before)
  return { name, integration, config, credentials, isStored: stored !== undefined, guarded, before } satisfies Target
})

/** Asks the source for the account and its estimate. Returns refreshed credentials too, if it gave any. */
const reach = Effect.fnUntraced(function* (target: Target) {
  const { before, config, credentials, guarded, integration, isStored, name } = target
  let refreshed: Schema.Json | undefined
  const quotas = yield* Quotas
  const budgets = yield* budgetsOf(integration, {
    config,
    credentials,
    account: before?.account ?? `being connected as ${name}`
  })
  const session = yield* openSession(integration, {
    config: config.json,
    credentials,
    call: quotas.call({
      domain: integration.domain,
      budgets,
      weights: config.quota.weights,
      timeout: integration.callTimeout,
      meter: yield* RunMeter.make()
    }),
    network: yield* SourceNetwork.of(guarded),
    saveCredentials: (next) => Effect.sync(() => void (refreshed = next)),
    refreshCredentials:
      before !== undefined && isStored
        ? yield* CredentialRefresh.make({ id: before.id, config: before.config, context: credentialsContext(before) })
        : undefined
  })
  return { account: yield* session.account, estimate: yield* session.estimate, budgets, refreshed }
}, Effect.scoped)

const toSourceError = ({ integration: { domain }, name }: Target) => {
  const source = MessageText.quoted(name)
  const limit = MessageText.duration(reachTimeout)
  const message = `the source of ${source} did not answer within ${limit}: try again, or check its address`
  return <A, R>(reached: Effect.Effect<A, IntegrationError | Schema.SchemaError | UsageError | StoreError, R>) =>
    reached.pipe(
      // Both were decoded above. If an integration's second decoding differs, the error may quote a credential.
      Effect.catchTag("SchemaError", (error) => toUsageError("credentials", domain)(Effect.fail(error))),
      Effect.catchTag("IntegrationError", ({ message, reason: { _tag: reason } }) => {
        const silent = `${domain} ${source} did not answer: ${message}`
        return new SourceError({ reason, message: reason === "Transient" ? silent : message })
      }),
      Effect.timeoutOrElse({
        duration: reachTimeout,
        orElse: () => new SourceError({ reason: "Timeout", message })
      })
    )
}

/** Creates or updates the connection. */
const save = Effect.fnUntraced(function* (
  { before, config, credentials, guarded, integration: { domain }, isStored, name }: Target,
  { account, estimate: { items, unitsPerItem }, refreshed }: Effect.Success<ReturnType<typeof reach>>,
  every: Duration.Duration | undefined
) {
  const connections = yield* ConnectionStore
  const vault = yield* Vault
  const sealed = yield* vault
    .seal(refreshed ?? credentials, credentialsContext({ domain, account }))
    .pipe(Effect.mapError(({ message }) => new UsageError({ message })))
  const fields = { config: config.json, guarded, estimate: items === undefined ? undefined : { items, unitsPerItem } }
  if (before === undefined) {
    const created = { ...fields, name, domain, account, credentials: sealed, every: every ?? defaultEvery }
    return yield* connections.createConnection(created)
  }
  const updated = yield* connections.updateConnection(before.id, {
    ...fields,
    credentials: isStored && refreshed === undefined ? undefined : sealed,
    every,
    // The connection may have been moved to another address meanwhile, with credentials that must not be used at this
    // one.
    was: isStored ? before.config : undefined
  })
  if (Option.isNone(updated)) {
    return yield* new UsageError({ message: `${name} was changed or removed meanwhile: check it, and try again` })
  }
  const connection = updated.value
  if (connection.paused === null || connection.paused === pausedByPerson) return connection
  // The source has just accepted the credentials, which ends a pause for refused credentials.
  yield* connections.setPaused(connection.id, null)
  return { ...connection, paused: null }
})

export const connect = Effect.fn("connect")(function* (
  input: ConnectInput
): Effect.fn.Return<
  Connected,
  UsageError | SourceError | StoreError | NameTaken,
  ConnectionStore | LockStore | SecretStore | Vault | Quotas | Integrations
> {
  const vault = yield* Vault
  // Fails before any request to the source, if the credentials could not be sealed in the end.
  yield* Effect.mapError(vault.keys, ({ message }) => new UsageError({ message }))
  const integration = yield* (yield* Integrations).get(input.domain)
  const before = yield* connectionToChange(input)
  const target = yield* decode(integration, input, before)
  const reached = yield* reach(target).pipe(toSourceError(target))
  const { account, budgets, estimate } = reached
  if (before !== undefined && before.account !== account) {
    return yield* new UsageError({
      message:
        `${input.name} mirrors the account ${before.account}, and these credentials are of ${account}: ` +
        `connect ${account} under another name`
    })
  }
  return {
    connection: yield* save(target, reached, input.every),
    created: before === undefined,
    estimate,
    leftOut: estimate.leftOut ?? target.config.leftOut,
    firstSyncByBytes: firstSyncByBytes(estimate, budgets),
    firstSync: firstSync(estimate.items, estimate.unitsPerItem, target.config.quota)
  } satisfies Connected
})
