import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { type Connection, pausedByPerson } from "../../../src/engine/model/Connection.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { credentialsContext } from "../../../src/engine/secrets/Vault.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import * as LocalApi from "../../../src/http/client/LocalApi.ts"
import * as Domain from "../../support/gmail/Domain.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import { admin, credentials, quota, scene, numbered, test } from "./DomainFixture.ts"

/** Returns the unsealed credentials of a member. */
const unsealed = (connection: Connection) =>
  Effect.flatMap(Vault.Vault, (vault) =>
    vault.unseal(connection.credentials ?? new Uint8Array(), credentialsContext(connection))
  )

describe("a Google Workspace domain", () => {
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

  test(
    "keeps apart the mailboxes of a user whose address was changed and of a new user who got the old address",
    Effect.gen(function* () {
      const { byName, engine, members, poll, server, store } = yield* scene(["ada@example.com"])
      yield* poll
      const { id } = yield* byName("ada@example.com")
      const user = server.domain.user("ada@example.com")
      if (user !== undefined) user.email = "ada.king@example.com"
      server.domain.add("ada@example.com")
      // The stand-in keeps mailboxes by address.
      server.mailboxOf("ada.king@example.com").fill(5)
      server.mailboxOf("ada@example.com").fill(3)
      yield* poll
      const all = (yield* members).filter(({ account }) => account !== admin)
      assert.lengthOf(all, 2)
      for (const member of all) {
        const { status } = yield* engine.sync(member, SyncTask.poll, { spec: "", wait: true })
        assert.strictEqual(status, "succeeded", member.name)
        assert.strictEqual((yield* store.totals(member.id)).stored, member.id === id ? 5 : 3)
      }
    })
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
      // From the position at which the first poll was interrupted, and from the beginning.
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
    "retires nobody whom a list of several pages misses, because addresses change while it is read",
    Effect.gen(function* () {
      const { members, poll, retired, server } = yield* scene(numbered(600))
      yield* poll
      const before = (yield* members).map(({ id }) => id)
      const users = server.domain.users.toSorted((a, b) => (a.email < b.email ? -1 : 1))
      const [gone, renamed] = [users[3], users.at(-1)]
      if (gone === undefined || renamed === undefined) return assert.fail("no user")
      const between = (change: () => void) =>
        server.fault(
          "users.list",
          {
            _tag: "Change",
            change: (answer) => {
              change()
              return answer
            }
          },
          { when: ({ params }) => !params.has("pageToken"), times: 1 }
        )
      // The renamed user moves to the previous page. After the user who was removed, everybody moves up by one.
      between(() => void (renamed.email = "a.new.name@example.com"))
      yield* poll
      assert.deepStrictEqual([server.unmet, yield* retired], [[], []])
      yield* poll
      between(() => server.domain.remove(gone))
      for (let polls = 0; polls < 5; polls += 1) {
        yield* poll
        assert.includeMembers([gone.email], [...(yield* retired)])
      }
      assert.deepStrictEqual([server.unmet, yield* retired], [[], [gone.email]])
      assert.sameMembers(
        (yield* members).map(({ id }) => id),
        before
      )
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
      // A person changes the company's connection, but not one of its mailboxes.
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
      // No later poll restores them.
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
      // After the grant is repaired, resuming the company's connection resumes its mailboxes.
      const ada = yield* byName("ada@example.com")
      yield* store.setPaused(ada.id, "the source refuses our credentials")
      yield* connections.resume({ params: { connection: "company" } })
      assert.isNull((yield* byName("ada@example.com")).paused)
      // A retired connection may be removed.
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
})
