/**
 * Creates, changes and retires the members of a connection (see src/contract/Members.ts), so that they match its stored
 * accounts. An account is gone only when its content is deleted, which the engine does after a complete listing, and
 * not while the deletion waits for approval. So a listing that fails or is cut short retires no member.
 *
 * Reconciling compares the stored accounts with the existing members, so it can be interrupted and repeated at any
 * point.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Account, AnyMembers, Member } from "../../contract/Members.ts"
import type { Integration } from "../../contract/Integration.ts"
import { type Connection, type ConnectionId, defaultEvery, pausedByPerson, retiredPrefix } from "../model/Connection.ts"
import type { ContentPlace } from "../model/Content.ts"
import * as Lock from "../locks/Lock.ts"
import { credentialsContext, Vault } from "../secrets/Vault.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { LockStore } from "../store/LockStore.ts"
import type { OverviewStore } from "../store/OverviewStore.ts"
import type { NameTaken, StoreError } from "../store/StoreError.ts"
import * as ConfigErrors from "./ConfigErrors.ts"
import { Integrations } from "./Integrations.ts"

const pageSize = 500

/** Returns true if the connection is paused because its account is gone or inactive. */
export const isRetired = ({ paused }: Pick<Connection, "paused">): boolean => paused?.startsWith(retiredPrefix) === true

/** Returns the names to try for a member: its own, then with the name of the connection that made it, then numbered. */
const namesFor = (name: string, owner: string) =>
  ["", ` (${owner})`, ...Array.from({ length: 98 }, (_, index) => ` (${owner} ${index + 2})`)].map((suffix) =>
    `${name.slice(0, 100 - suffix.length)}${suffix}`.slice(-100)
  )

/**
 * Returns true if the stored credentials contain all fields of `wanted`. They may contain more, such as a refreshed
 * token.
 */
const holds = (stored: Schema.Json, wanted: Schema.Json): boolean =>
  Object.entries(wanted as Schema.JsonObject).every(
    ([name, value]) => JSON.stringify((stored as Schema.JsonObject)[name]) === JSON.stringify(value)
  )

const locked = (owner: ConnectionId) => Lock.withLock(`members of ${owner}`)

/** Returns all stored accounts. */
const accountsOf = Effect.fnUntraced(function* (owner: ConnectionId) {
  const store = yield* ContentStore
  const accounts: Array<Account> = []
  let after: ContentPlace | undefined
  do {
    const page = yield* store.contents(owner, { state: "stored", limit: pageSize, after })
    accounts.push(...page.contents)
    after = page.next ?? undefined
  } while (after !== undefined)
  return accounts
})

/** Creates, changes, retires and resumes the members of this connection, and logs their numbers. */
const reconcileMembers = Effect.fnUntraced(function* (
  connection: Connection,
  members: AnyMembers,
  source: { readonly config: unknown; readonly credentials: Schema.Json }
) {
  const connections = yield* ConnectionStore
  const vault = yield* Vault
  const integration = yield* (yield* Integrations).get(members.domain)

  const work = Effect.gen(function* () {
    // The connection may have been disconnected or changed since this run began. Then the next poll reconciles.
    const owner = Option.getOrUndefined(yield* connections.connection(connection.id))
    if (owner?.fence !== connection.fence || owner.credentials === null) return
    const memberOf = yield* members.of(source)
    const existing = new Map((yield* connections.membersOf(owner.id)).map((each) => [each.member?.externalId, each]))
    const done = { connected: 0, changed: 0, retired: 0, resumed: 0 }

    for (const account of yield* accountsOf(owner.id)) {
      const wanted = memberOf(account)
      if (wanted === undefined) continue
      const member = existing.get(account.externalId)
      existing.delete(account.externalId)
      if (wanted.inactive !== undefined) {
        if (member !== undefined && (yield* retire(member, wanted.inactive))) done.retired += 1
      } else if (member === undefined) {
        yield* make(owner, account.externalId, wanted)
        done.connected += 1
      } else {
        const change = yield* update(member, owner, wanted)
        if (change !== undefined) done[change] += 1
      }
    }
    for (const left of existing.values()) {
      if (yield* retire(left, `its account is no longer in ${owner.name}`)) done.retired += 1
    }
    const counts = Object.entries(done).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []))
    if (counts.length > 0) yield* Effect.logInfo(`connections of ${owner.name}: ${counts.join(", ")}`)
  })

  const decoded = Effect.fnUntraced(function* (wanted: Member<unknown, unknown>) {
    const { json } = yield* integration.decodeConfig(wanted.config)
    return { config: json, credentials: yield* integration.decodeCredentials(wanted.credentials) }
  })

  const sealFor = (account: string, credentials: Schema.Json) =>
    vault.seal(credentials, credentialsContext({ domain: members.domain, account }))

  const make = Effect.fnUntraced(function* (owner: Connection, externalId: string, wanted: Member<unknown, unknown>) {
    const { config, credentials } = yield* decoded(wanted)
    const { account, every = defaultEvery } = wanted
    const given = {
      domain: members.domain,
      account,
      config,
      credentials: yield* sealFor(account, credentials),
      every,
      guarded: owner.guarded,
      member: { of: owner.id, externalId }
    }
    const [first = wanted.name, ...others] = namesFor(wanted.name, owner.name)
    yield* others.reduce(
      (made: Effect.Effect<Connection, NameTaken | StoreError>, name) =>
        Effect.catchTag(made, "NameTaken", () => connections.createConnection({ ...given, name })),
      connections.createConnection({ ...given, name: first })
    )
  })

  /**
   * Changes a member that differs from its definition, ends its retirement, and retries a refused member once its next
   * poll is due. A source lists an account before it accepts credentials for it: Google needs up to 24 hours after a
   * user was created or renamed, or the delegation granted (https://support.google.com/a/answer/2622985).
   */
  const update = Effect.fnUntraced(function* (member: Connection, owner: Connection, wanted: Member<unknown, unknown>) {
    const { config, credentials } = yield* decoded(wanted)
    const { every = defaultEvery } = wanted
    // Credentials that can no longer be unsealed are replaced.
    const stored =
      member.credentials === null
        ? Option.none()
        : yield* Effect.option(vault.unseal(member.credentials, credentialsContext(member)))
    const isNewKey = !Option.exists(stored, (json) => holds(json, credentials))
    const isChanged =
      isNewKey ||
      JSON.stringify(member.config) !== JSON.stringify(config) ||
      String(member.every) !== String(every) ||
      member.guarded !== owner.guarded
    if (isChanged) {
      yield* connections.updateConnection(member.id, {
        config,
        // Credentials are sealed under the account's first name, which the account keeps.
        ...(isNewKey ? { credentials: yield* sealFor(member.account, credentials) } : {}),
        every,
        guarded: owner.guarded
      })
    }
    const isTriedAgain = isNewKey || DateTime.isLessThanOrEqualTo(member.nextPollAt, yield* DateTime.now)
    // A pause by a person stays.
    const isResumed = member.paused !== null && member.paused !== pausedByPerson && (isRetired(member) || isTriedAgain)
    if (isResumed) yield* connections.setPaused(member.id, null)
    return isResumed ? "resumed" : isChanged ? "changed" : undefined
  })

  /** Stops a member and keeps its stored content. Returns false if it was already stopped. */
  const retire = Effect.fnUntraced(function* (member: Connection, why: string) {
    const reason = `${retiredPrefix}${why}; what is stored stays`
    if (member.paused === pausedByPerson || member.credentials === null || member.paused === reason) return false
    yield* connections.setPaused(member.id, reason)
    return !isRetired(member)
  })

  yield* work.pipe(
    locked(connection.id),
    Effect.catchTags({
      StoreError: ({ message }) => Effect.logWarning(`the members of ${connection.name} are not updated: ${message}`),
      NameTaken: ({ name }) =>
        Effect.logWarning(`a member of ${connection.name} has no free name: ${name} and its variants are taken`),
      VaultError: ({ message }) => Effect.logWarning(`the members of ${connection.name} are not updated: ${message}`),
      SchemaError: ({ issue }) =>
        Effect.logWarning(
          `the members of ${connection.name} can't be created: ${ConfigErrors.explain(issue, { secret: true })}`
        )
    })
  )
})

/** Reconciles the members after a run of their connection. Does nothing for an integration without members. */
export const reconcile = Effect.fnUntraced(function* (
  connection: Connection,
  source: {
    readonly integration: Integration
    readonly config: { readonly json: Schema.Json }
    readonly credentials: Schema.Json
  }
) {
  const { members } = source.integration
  if (members === undefined) return
  yield* Effect.catchTag(
    reconcileMembers(connection, members, { config: source.config.json, credentials: source.credentials }),
    "UsageError",
    ({ message }) => Effect.logWarning(message)
  )
})

/** Returns how many members a connection has, and how many of them are retired. */
export const count = (connections: ConnectionStore["Service"], owner: ConnectionId) =>
  Effect.map(connections.membersOf(owner), (members) => ({
    total: members.length,
    retired: members.filter(isRetired).length
  }))

/** Polls members again that were paused because their credentials were refused, after a person resumed their owner. */
export const resume = Effect.fnUntraced(function* (connections: ConnectionStore["Service"], owner: ConnectionId) {
  const isStuck = (each: Connection) =>
    each.paused !== null && each.paused !== pausedByPerson && each.credentials !== null && !isRetired(each)
  const stuck = (yield* connections.membersOf(owner)).filter(isStuck)
  yield* Effect.forEach(stuck, ({ id }) => connections.setPaused(id, null), { discard: true })
})

/**
 * Disconnects a connection, and the members that it made, which use its credentials. Returns how many contents there
 * were.
 */
export const disconnect = (
  stores: {
    readonly connections: ConnectionStore["Service"]
    readonly overviews: OverviewStore["Service"]
    readonly locks: LockStore["Service"]
  },
  { id }: Connection,
  deleteContents: boolean
) =>
  Effect.gen(function* () {
    const { connections, overviews } = stores
    const members = yield* connections.membersOf(id)
    const all = [id, ...members.map((each) => each.id)]
    const stored = yield* Effect.forEach(all, (each) => Effect.map(overviews.totals(each), (totals) => totals.stored))
    // Removes the connection's credentials first, so that no poll creates the members again. Removes its row last, so
    // that all of this can be repeated after an interruption.
    yield* connections.disconnect(id, false)
    yield* Effect.forEach(members, (each) => connections.disconnect(each.id, deleteContents), { discard: true })
    if (deleteContents) yield* connections.disconnect(id, true)
    return stored.reduce((sum, one) => sum + one, 0)
  }).pipe(locked(id), Effect.provideService(LockStore, stores.locks))
