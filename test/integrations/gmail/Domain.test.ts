import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { randomBytes } from "node:crypto"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { type Connection, pausedByPerson } from "../../../src/engine/model/Connection.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import * as Members from "../../../src/engine/source/Members.ts"
import { credentialsContext } from "../../../src/engine/secrets/Vault.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import { DeletionStore } from "../../../src/engine/store/DeletionStore.ts"
import { LockStore } from "../../../src/engine/store/LockStore.ts"
import { OverviewStore } from "../../../src/engine/store/OverviewStore.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import * as LocalApi from "../../../src/http/client/LocalApi.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import { integration as gmailDomain } from "../../../src/integrations/GmailDomain.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Domain from "../../support/gmail/Domain.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const engine = Layer.suspend(() =>
  Layer.provideMerge(
    SyncEngine.layer,
    Layer.mergeAll(
      Memory.layer,
      Quotas.layerMemory,
      Layer.effect(Vault.Vault, Vault.make(Redacted.make<Uint8Array>(randomBytes(32)))),
      Integrations.layer({ gmail: Effect.succeed(gmail), "gmail-domain": Effect.succeed(gmailDomain) })
    )
  )
)

const admin = "admin@example.com"
const credentials = { serviceAccount: Domain.key, subject: admin }
const quota = { unitsPerMinute: 1_000_000_000 }

/** A company whose administrator and these users have mailboxes, connected as `company`. */
const scene = Effect.fnUntraced(function* (users: ReadonlyArray<string>, config: object = {}) {
  const server = yield* GmailServer.make()
  const clock = yield* Clock.Clock
  server.now = () => Math.floor(clock.currentTimeMillisUnsafe() / 1000)
  server.domain.add(admin, { isAdmin: true })
  for (const user of users) server.domain.add(user)
  const connections = yield* ConnectionStore
  const overviews = yield* OverviewStore
  const locks = yield* LockStore
  const deletions = yield* DeletionStore
  const store = { ...connections, ...overviews, ...deletions }
  const disconnect = (deleteContents: boolean) =>
    Members.disconnect({ connections, overviews, locks }, connection, deleteContents)
  const engine = yield* Engine
  const connect = (change: { readonly config?: object; readonly credentials?: object }) =>
    engine.connect({
      domain: "gmail-domain",
      name: "company",
      config: { rootUrl: server.url, quota, mailboxes: { quota }, ...config, ...change.config },
      credentials: change.credentials,
      every: undefined
    })
  const { connection, estimate } = yield* connect({ credentials })
  const poll = engine.sync(connection, SyncTask.poll, { spec: "", wait: true })
  const members = Effect.map(store.connections, (all) => all.filter(({ member }) => member !== null))
  const byName = (name: string) => Effect.map(store.connectionByName(name), Option.getOrThrow)
  const retired = Effect.map(members, (all) => all.filter(Members.isRetired).map(({ name }) => name))
  return { disconnect, server, store, engine, connection, estimate, connect, poll, members, byName, retired }
})

/** The stored credentials of a member, in clear. */
const unsealed = (connection: Connection) =>
  Effect.flatMap(Vault.Vault, (vault) =>
    vault.unseal(connection.credentials ?? new Uint8Array(), credentialsContext(connection))
  )

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `user${index + 1}@example.com`)

const test = (name: string, work: Effect.Effect<unknown, unknown, Layer.Success<typeof engine> | Scope.Scope>) =>
  it.live(name, () => work.pipe(Effect.scoped, Effect.provide(Layer.fresh(engine))))

const scripted = Effect.map(GmailServer.make(), (server): Conformance.ScriptedSource => {
  const { domain } = server
  domain.add(admin, { isAdmin: true })
  // The administrator stays.
  const others = () => domain.users.slice(1)
  const find = (id: string) => domain.users.find((user) => user.id === id)
  return {
    integration: gmailDomain,
    config: { rootUrl: server.url, quota },
    credentials,
    usesChecker: true,
    add: (count) =>
      Effect.sync(() => {
        const all = others().length
        return Array.from({ length: count }, (_, index) => domain.add(`user${all + index}@example.com`).id)
      }),
    ids: Effect.sync(() => domain.users.map(({ id }) => id)),
    edit: (id) => Effect.sync(() => void Object.assign(find(id) ?? {}, { name: "Another Name" })),
    remove: (id) =>
      Effect.sync(() => {
        const user = find(id)
        if (user !== undefined) domain.remove(user)
      })
  }
})

describe("the list of users keeps the laws of integrations", () => {
  const without = ["fail", "failable", "expire", "repeat", "narrowed", "open", "requests"] as const
  for (const law of Conformance.laws(scripted, { without })) it.live(law.name, () => law.check)
})

describe("a Google Workspace domain", () => {
  test(
    "has a connection for each of 1,000 mailboxes from one key, and the same ones after the next poll",
    Effect.gen(function* () {
      const { estimate, members, poll, server } = yield* scene(numbered(999))
      assert.strictEqual(estimate.items, undefined)
      const first = yield* poll
      assert.strictEqual(first.counts.stored, 1000)
      const made = yield* members
      assert.strictEqual(new Set(made.map(({ name }) => name)).size, 1000)
      assert.isTrue(made.every(({ account, name, paused }) => account === name && paused === null))
      server.forgetSeen()
      const second = yield* poll
      assert.strictEqual(second.counts.stored + second.counts.updated, 0)
      assert.deepStrictEqual(yield* members, made)
      assert.strictEqual(server.count("users.list"), 2)
      // A single token, the administrator's, serves all requests.
      assert.deepStrictEqual(server.domain.subjects, [admin])
    })
  )

  test(
    "mirrors each mailbox as its user, within the units of one project",
    Effect.gen(function* () {
      const { byName, engine, poll, server, store } = yield* scene(["ada@example.com"])
      server.mailboxOf("ada@example.com").fill(3)
      yield* poll
      const ada = yield* byName("ada@example.com")
      const result = yield* engine.sync(ada, SyncTask.poll, { spec: "", wait: true })
      assert.deepStrictEqual([result.status, result.counts.stored], ["succeeded", 3])
      assert.strictEqual((yield* store.totals(ada.id)).stored, 3)
      assert.deepStrictEqual(server.domain.subjects, [admin, "ada@example.com"])
      // The token that was stored meanwhile is no change that the next poll would undo.
      yield* poll
      assert.deepStrictEqual(
        (yield* byName("ada@example.com")).credentials,
        (yield* byName("ada@example.com")).credentials
      )
      yield* engine.sync(ada, SyncTask.poll, { spec: "", wait: true })
      assert.deepStrictEqual(server.domain.subjects, [admin, "ada@example.com"])
    })
  )

  test(
    "leaves out users who are suspended, archived, without a mailbox, excluded or elsewhere",
    Effect.gen(function* () {
      const { members, poll, server } = yield* scene(["ada@example.com", "bob@example.com", "eve@else.org"], {
        domains: ["example.com"],
        exclude: ["BOB@example.com"]
      })
      server.domain.add("s@example.com", { suspended: true })
      server.domain.add("a@example.com", { archived: true })
      server.domain.add("n@example.com", { isMailboxSetup: false })
      yield* poll
      assert.deepStrictEqual(
        (yield* members).map(({ name }) => name),
        ["ada@example.com", admin]
      )
    })
  )

  test(
    "retires the connections of users who left or were suspended, keeps their content, and resumes who comes back",
    Effect.gen(function* () {
      const { byName, engine, poll, retired, server, store } = yield* scene(["ada@example.com", "bob@example.com"])
      server.mailboxOf("ada@example.com").fill(2)
      yield* poll
      const ada = yield* byName("ada@example.com")
      yield* engine.sync(ada, SyncTask.poll, { spec: "", wait: true })
      const user = server.domain.user("ada@example.com")
      const bob = server.domain.user("bob@example.com")
      if (user === undefined || bob === undefined) return assert.fail("no user")
      server.domain.remove(user)
      bob.suspended = true
      yield* poll
      assert.deepStrictEqual(yield* retired, ["ada@example.com", "bob@example.com"])
      assert.include((yield* byName("ada@example.com")).paused, "no longer in company")
      assert.include((yield* byName("bob@example.com")).paused, "suspended")
      assert.strictEqual((yield* store.totals(ada.id)).stored, 2)
      server.domain.users.push(user)
      bob.suspended = false
      yield* poll
      assert.deepStrictEqual(yield* retired, [])
      assert.strictEqual((yield* byName("ada@example.com")).id, ada.id)
    })
  )

  test(
    "has one failed connection for a user who was suspended since the last list of users, and mirrors the others",
    Effect.gen(function* () {
      const { byName, engine, poll, server, store } = yield* scene(["ada@example.com", "bob@example.com"])
      yield* poll
      const sync = (name: string) =>
        Effect.flatMap(byName(name), (member) => engine.sync(member, SyncTask.poll, { spec: "", wait: true }))
      server.mailboxOf("ada@example.com").fill(3)
      yield* sync("ada@example.com")
      for (const user of ["ada@example.com", "bob@example.com"]) server.mailboxOf(user).fill(100)
      const ada = server.domain.user("ada@example.com")
      if (ada === undefined) return assert.fail("no user")
      ada.suspended = true
      const refused = yield* sync("ada@example.com")
      assert.deepStrictEqual([refused.error?.reason, refused.counts.failed], ["Forbidden", 0])
      assert.deepInclude((yield* sync("bob@example.com")).counts, { stored: 100, failed: 0 })
      yield* poll
      assert.include((yield* byName("ada@example.com")).paused, "suspended")
      assert.strictEqual((yield* store.totals((yield* byName("ada@example.com")).id)).stored, 3)
      ada.suspended = false
      yield* poll
      assert.deepStrictEqual((yield* sync("ada@example.com")).status, "succeeded")
      assert.strictEqual((yield* store.totals((yield* byName("ada@example.com")).id)).stored, 103)
    })
  )

  test(
    "keeps a mailbox whose address was changed, and asks for its tokens with the new one",
    Effect.gen(function* () {
      const { byName, engine, poll, server } = yield* scene(["ada@example.com"])
      yield* poll
      const before = yield* byName("ada@example.com")
      const user = server.domain.user("ada@example.com")
      if (user !== undefined) user.email = "ada.king@example.com"
      yield* poll
      const after = yield* byName("ada@example.com")
      assert.strictEqual(after.id, before.id)
      assert.isNull(after.paused)
      yield* engine.sync(after, SyncTask.poll, { spec: "", wait: true })
      assert.strictEqual(server.domain.subjects.at(-1), "ada.king@example.com")
    })
  )

  it.effect("tries a mailbox that Google refuses once an hour, and one that a person paused never", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      const { byName, engine, poll, server, store } = yield* scene([])
      const pass = Effect.fnUntraced(function* (minutes: number) {
        yield* TestClock.adjust(Duration.minutes(minutes))
        yield* poll
        const { paused } = yield* byName("ada@example.com")
        if (paused !== null) return paused
        return (yield* engine.sync(yield* byName("ada@example.com"), SyncTask.poll, { spec: "", wait: true })).status
      })
      server.domain.add("ada@example.com")
      server.domain.unknownYet.add("ada@example.com")
      assert.strictEqual(yield* pass(0), "failed")
      assert.include((yield* byName("ada@example.com")).paused, "Check the subject")
      server.domain.unknownYet.clear()
      assert.include(yield* pass(30), "Check the subject")
      assert.strictEqual(yield* pass(60), "succeeded")
      assert.isNull((yield* byName("ada@example.com")).paused)

      // A delegation that is granted later than the domain was connected.
      server.domain.delegated.delete("https://www.googleapis.com/auth/gmail.readonly")
      server.domain.forgetTokens()
      assert.strictEqual(yield* pass(5), "failed")
      server.domain.delegate()
      assert.strictEqual(yield* pass(90), "succeeded")

      yield* store.setPaused((yield* byName("ada@example.com")).id, pausedByPerson)
      assert.strictEqual(yield* pass(90), pausedByPerson)
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(engine)))
  )

  test(
    "retires nobody after a listing that failed half-way, or that shows no user at all",
    Effect.gen(function* () {
      const { poll, retired, server } = yield* scene(numbered(600))
      yield* poll
      const users = server.domain.users.splice(1)
      for (const user of users.slice(0, 550)) server.domain.users.push(user)
      server.fault("users.list", GmailServer.status(403, "forbidden"), {
        when: ({ params }) => params.has("pageToken")
      })
      assert.strictEqual((yield* poll).status, "failed")
      assert.deepStrictEqual(server.unmet, [])
      server.fault("users.list", { _tag: "Change", change: () => `{"kind": "admin#directory#users"}` }, { times: 8 })
      // From where the first poll broke off, and from the beginning.
      assert.strictEqual((yield* poll).status, "failed")
      server.heal()
      server.fault(
        "users.list",
        { _tag: "Change", change: () => `{"kind": "admin#directory#users"}` },
        {
          when: ({ params }) => params.has("pageToken"),
          times: 8
        }
      )
      assert.strictEqual((yield* poll).status, "failed")
      server.heal()
      const lost = users.splice(550)
      server.domain.users.push(...lost)
      assert.strictEqual((yield* poll).status, "succeeded")
      assert.deepStrictEqual(yield* retired, [])
    })
  )

  test(
    "asks a person before it retires many at once",
    Effect.gen(function* () {
      const { connection, poll, retired, server, store } = yield* scene(numbered(39))
      yield* poll
      server.domain.users.splice(30)
      assert.strictEqual((yield* poll).counts.deletionsHeld, 10)
      assert.deepStrictEqual(yield* retired, [])
      const { token } = yield* store.deletions(connection.id, { limit: 1, which: "held" })
      yield* store.approveDeletions(connection.id, { token })
      yield* poll
      assert.strictEqual((yield* retired).length, 10)
    })
  )

  test(
    "names a mailbox so that its name is free, and leaves a connection of that name alone",
    Effect.gen(function* () {
      const { engine, members, poll, server, byName } = yield* scene(["ada@example.com"])
      server.allow("hers", "ada@example.com")
      yield* engine.connect({
        domain: "gmail",
        name: "ada@example.com",
        config: { rootUrl: server.url, quota },
        credentials: { accessToken: "hers" },
        every: undefined
      })
      yield* poll
      assert.deepStrictEqual(
        (yield* members).map(({ name }) => name),
        ["ada@example.com (company)", admin]
      )
      assert.isNull((yield* byName("ada@example.com")).member)
    })
  )

  test(
    "gives its mailboxes a new key and a new config, and polls those again that the old key had stopped",
    Effect.gen(function* () {
      const { byName, connect, engine, poll, server, store } = yield* scene(["ada@example.com", "bob@example.com"])
      yield* poll
      const bob = yield* byName("bob@example.com")
      yield* store.setPaused(bob.id, pausedByPerson)
      server.domain.delegated.clear()
      const ada = yield* byName("ada@example.com")
      const refused = yield* engine.sync(ada, SyncTask.poll, { spec: "", wait: true })
      assert.strictEqual(refused.error?.reason, "Unauthorized")
      assert.include((yield* byName("ada@example.com")).paused, "connect or resume")
      server.domain.delegate()
      const key = { ...Domain.key, client_x509_cert_url: "https://www.googleapis.com/robot/v1/metadata/x509/new" }
      yield* connect({
        config: { mailboxes: { quota, includeSpamTrash: true }, mailboxEvery: "10 minutes" },
        credentials: { ...credentials, serviceAccount: key }
      })
      yield* poll
      const after = yield* byName("ada@example.com")
      assert.isNull(after.paused)
      assert.deepInclude(after.config, { includeSpamTrash: true, rootUrl: server.url })
      assert.strictEqual(String(after.every), String((yield* byName("bob@example.com")).every))
      assert.deepInclude(yield* unsealed(after), { serviceAccount: key, subject: "ada@example.com" })
      assert.strictEqual((yield* byName("bob@example.com")).paused, pausedByPerson)
      // A person changes the company's connection, and not one of its mailboxes.
      const change = { domain: "gmail", name: "ada@example.com", credentials: undefined, every: undefined }
      const error = yield* Effect.flip(engine.connect({ ...change, config: {} }))
      assert.include(error.message, "company")
    })
  )

  test(
    "forgets the key everywhere when it is disconnected",
    Effect.gen(function* () {
      const { disconnect, members, poll, store } = yield* scene(["ada@example.com"])
      yield* poll
      yield* disconnect(false)
      assert.isTrue((yield* store.connections).every((each) => each.credentials === null))
      assert.strictEqual((yield* members).length, 2)
      // Nothing brings them back.
      yield* poll
      assert.isTrue((yield* store.connections).every((each) => each.credentials === null))
      yield* disconnect(true)
      assert.deepStrictEqual(yield* store.connections, [])
    })
  )

  test(
    "shows which connections belong to it, and disconnects none of them by itself",
    Effect.gen(function* () {
      const { connection, poll, server, store, byName } = yield* scene(["ada@example.com"])
      yield* poll
      const { connections } = yield* ApiClient
      const shown = (yield* connections.list({})).connections.map(({ memberOf, name }) => [name, memberOf])
      assert.deepStrictEqual(shown, [
        ["ada@example.com", "company"],
        [admin, "company"],
        ["company", null]
      ])
      const status = (name: string) => connections.get({ params: { connection: name } })
      assert.strictEqual((yield* status("ada@example.com")).memberOf, "company")
      assert.deepStrictEqual((yield* status("company")).members, { total: 2, retired: 0 })
      const remove = connections.remove({ params: { connection: "ada@example.com" }, query: { deleteContents: true } })
      const refused = yield* Effect.flip(remove)
      assert.strictEqual(refused._tag, "ConflictProblem")
      assert.include(refused.message, "company")
      // A grant that was mended: whoever resumes the company's connection resumes its mailboxes.
      const ada = yield* byName("ada@example.com")
      yield* store.setPaused(ada.id, "the source refuses our credentials")
      yield* connections.resume({ params: { connection: "company" } })
      assert.isNull((yield* byName("ada@example.com")).paused)
      // Once it is retired it may go.
      server.domain.users.pop()
      yield* poll
      assert.deepStrictEqual((yield* status("company")).members, { total: 2, retired: 1 })
      yield* remove
      yield* poll
      assert.deepStrictEqual((yield* status("company")).members, { total: 1, retired: 0 })
      yield* connections.remove({ params: { connection: "company" }, query: {} })
      assert.strictEqual((yield* status(admin)).state, "disconnected")
      assert.strictEqual((yield* status(connection.id)).state, "disconnected")
    }).pipe(Effect.provide(Layer.provide(LocalApi.layer, [NodeServices.layer, TestEngine.webhooks])))
  )

  test(
    "says what is missing where the subject is no administrator",
    Effect.gen(function* () {
      const { connect } = yield* scene(["ada@example.com"])
      const error = yield* Effect.flip(connect({ credentials: { ...credentials, subject: "ada@example.com" } }))
      assert.include(error.message, "must be an administrator")
      assert.notInclude(error.message, "BEGIN")
    })
  )
})
