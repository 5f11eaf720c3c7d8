import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { pausedByPerson } from "../../../src/engine/model/Connection.ts"
import { integration as gmailDomain } from "../../../src/integrations/GmailDomain.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import { engine, admin, credentials, quota, scene, numbered, test } from "./DomainFixture.ts"

const scripted = Effect.map(GmailServer.make(), (server): Conformance.ScriptedSource => {
  const { domain } = server
  domain.add(admin, { isAdmin: true })
  // The users except the administrator, who stays.
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
      // All requests use a single token, the administrator's.
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
      // The token that was stored meanwhile does not count as a change that the next poll would revert.
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

      // The delegation is granted after the domain was connected.
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
    "says what is missing where the subject is no administrator",
    Effect.gen(function* () {
      const { connect } = yield* scene(["ada@example.com"])
      const error = yield* Effect.flip(connect({ credentials: { ...credentials, subject: "ada@example.com" } }))
      assert.include(error.message, "must be an administrator")
      assert.notInclude(error.message, "BEGIN")
    })
  )
})
