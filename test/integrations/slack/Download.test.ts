import * as NodeHttp from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import type { AnySession, Call } from "../../../src/contract/Integration.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { bodyOf, Model, open } from "../../support/slack/Model.ts"

const setup = Effect.gen(function* () {
  const server = yield* SlackServer.make()
  return { server, slack: server.workspace, general: server.workspace.addChannel("general") }
})

const reasonOf = (session: AnySession, externalId: string) =>
  session.download({ externalId }).pipe(
    Effect.flatMap(bodyOf),
    Effect.flip,
    Effect.map((error) => error.reason._tag)
  )

const bytes = (text: string) => new TextEncoder().encode(text)

describe("an id alone", () => {
  it.live("that has not the form of one of Slack's is Gone, without a request", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      for (const id of ["nope", "C1/", "/1.2", "C1/1.2/3"]) assert.strictEqual(yield* reasonOf(session, id), "Gone")
      assert.strictEqual(server.count(), 0)
    })
  )

  it.live("gives a message, a parent, a reply, a user and a conversation, with the bytes that a listing gives", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const plain = slack.post(general, "plain")
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      slack.post(general, "newer")
      slack.edit(general, plain, "edited")
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      for (const id of model.ids()) {
        const content = yield* session.download({ externalId: id })
        const row = model.rows.get(id)
        assert.strictEqual(yield* bodyOf(content), row?.body, id)
        assert.deepStrictEqual(content.metadata, row?.metadata)
        if (id !== `${general}/${parent}`) assert.strictEqual(content.revision, row?.revision, id)
      }
      assert.include(model.ids(), `${general}/${reply}`)
    })
  )

  it.effect("of a message that a free plan may hide, or a file that Slack withholds, is refused and not gone", () =>
    Effect.gen(function* () {
      const now = 1_700_000_000
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now })
      const { workspace: slack } = server
      const general = slack.addChannel("general")
      const at = (days: number) => `${now - days * 86_400}.000100`
      const [oldest, old] = [slack.post(general, "oldest", { ts: at(100) }), slack.post(general, "old", { ts: at(95) })]
      const reply = slack.post(general, "old reply", { ts: at(94), thread: old })
      const lately = slack.post(general, "lately", { ts: at(80) })
      const files = ["hidden_by_limit", "access_denied"].map((withheld) => {
        const id = slack.addFile("report.pdf", bytes("the report"), { mimetype: "application/pdf" })
        Object.assign(slack.files.get(id) ?? {}, { withheld })
        return `files/${id}`
      })
      const session = yield* open(server)
      server.isFlagged = false
      server.hiddenBefore = at(90)
      for (const id of [`${general}/${oldest}`, `${general}/${old}`, `${general}/${reply}`, ...files]) {
        assert.strictEqual(yield* reasonOf(session, id), "Forbidden", id)
      }
      slack.delete(general, lately)
      assert.strictEqual(yield* reasonOf(session, `${general}/${lately}`), "Gone")
      server.isFlagged = true
      assert.strictEqual(yield* reasonOf(session, `${general}/${oldest}`), "Forbidden")
      // Slack shows older messages again, so a missing reply was deleted.
      server.hiddenBefore = undefined
      slack.delete(general, reply)
      slack.delete(general, old)
      for (const id of [`${general}/${old}`, `${general}/${reply}`]) {
        assert.strictEqual(yield* reasonOf(session, id), "Gone", id)
      }
    })
  )

  it.live("of a file that Slack withholds is not listed", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const [hidden, denied, kept] = ["hidden", "denied", "kept"].map((name) => slack.addFile(name, bytes(name)))
      slack.post(general, "look", { files: [hidden, denied, kept].filter((file) => file !== undefined) })
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      const before = new Map(model.rows)
      Object.assign(slack.files.get(hidden ?? "") ?? {}, { withheld: "hidden_by_limit" })
      Object.assign(slack.files.get(denied ?? "") ?? {}, { withheld: "access_denied" })
      const hinted = { parts: [`files/${hidden}`, `files/${denied}`], only: false, isListening: false }
      const next = yield* model.run(session, { hinted })
      assert.deepStrictEqual([...next.failed], [])
      assert.strictEqual(next.downloads, 0)
      for (const file of [hidden, denied, kept]) {
        assert.deepStrictEqual(model.rows.get(`files/${file}`), before.get(`files/${file}`))
      }
    })
  )

  it.live("gives a thread's parent no revision, which would say that its replies are stored", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      const model = new Model()
      const session = yield* open(server)
      const content = yield* session.download({ externalId: `${general}/${parent}` })
      assert.isUndefined(content.revision)
      model.rows.set(`${general}/${parent}`, {
        kind: content.kind,
        revision: content.revision,
        body: yield* bodyOf(content),
        metadata: content.metadata,
        writes: 1
      })
      yield* model.run(session)
      assert.isTrue(model.rows.has(`${general}/${reply}`))
    })
  )

  it.live("is Gone where Slack says so, and never because a conversation was closed to us", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      slack.post(general, "older, and shown: no plan hides the others")
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      const removed = slack.post(general, "removed")
      slack.delete(general, removed)
      const session = yield* open(server)
      assert.strictEqual(yield* reasonOf(session, `${general}/${removed}`), "Gone")
      slack.delete(general, parent)
      assert.strictEqual(yield* reasonOf(session, `${general}/${parent}`), "Gone")
      slack.delete(general, reply)
      assert.strictEqual(yield* reasonOf(session, `${general}/${reply}`), "Gone")
      assert.strictEqual(yield* reasonOf(session, "users/U99"), "Gone")
      assert.strictEqual(yield* reasonOf(session, "files/F99"), "Gone")
      assert.strictEqual(yield* reasonOf(session, "nonsense"), "Gone")
      slack.channel(general).closed = "channel_not_found"
      assert.strictEqual(yield* reasonOf(session, `${general}/${removed}`), "Forbidden")
      assert.strictEqual(yield* reasonOf(session, `channels/${general}`), "Forbidden")
    })
  )
})

describe("a file", () => {
  it.live("is content of its own, once, however many messages carry it", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const other = slack.addChannel("other", "im")
      const file = slack.addFile("notes.txt", bytes("the notes"))
      const parent = slack.post(general, "look", { files: [file] })
      slack.post(general, "again", { thread: parent, files: [file] })
      slack.post(other, "and here", { files: [file] })
      const model = new Model()
      const session = yield* open(server)
      const first = yield* model.run(session)
      assert.strictEqual(model.rows.get(`files/${file}`)?.body, "the notes")
      assert.strictEqual(model.rows.get(`files/${file}`)?.kind, "file")
      assert.strictEqual(first.downloads, 1)
      assert.strictEqual(server.count("files.download"), 1)
      assert.strictEqual((yield* model.run(session)).downloads, 0)
    })
  )

  it.live("that was deleted is deleted", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const file = slack.addFile("notes.txt", bytes("the notes"))
      const ts = slack.post(general, "look", { files: [file] })
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      Object.assign(slack.files.get(file) ?? {}, { deleted: true })
      assert.deepStrictEqual((yield* model.run(session)).deleted, [`files/${file}`])
      assert.isTrue(model.rows.has(`${general}/${ts}`))
      assert.strictEqual(yield* reasonOf(session, `files/${file}`), "Gone")
    })
  )

  it.live("larger than maxFileSize is TooLarge, and its body is not asked for", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const file = slack.addFile("big.bin", new Uint8Array(1001))
      slack.post(general, "look", { files: [file] })
      const model = new Model()
      const { failed } = yield* model.run(yield* open(server, { maxFileSize: 1000 }))
      assert.strictEqual(failed.get(`files/${file}`)?.reason._tag, "TooLarge")
      assert.strictEqual(server.count("files.download"), 0)
      assert.strictEqual(
        yield* Effect.map(model.run(yield* open(server, { maxFileSize: 1001 })), ({ failed }) => failed.size),
        0
      )
    })
  )

  it.live("is not listed where files are not wanted", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      slack.post(general, "look", { files: [slack.addFile("a", bytes("a"))] })
      const model = new Model()
      yield* model.run(yield* open(server, { files: false }))
      assert.deepStrictEqual(model.ids("files/"), [])
    })
  )

  it.live("that another host keeps never brings our token there", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      const stranger = yield* Effect.acquireRelease(
        Effect.callback<NodeHttp.Server>((resume) => {
          const http = NodeHttp.createServer((request, response) => {
            asked.push(request.headers.authorization)
            response.end("mine")
          })
          http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
        }),
        (http) => Effect.sync(() => http.close())
      )
      const address = stranger.address()
      const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/document`
      const { general, server, slack } = yield* setup
      const file = slack.addFile("document", bytes(""), { externalUrl: url })
      slack.post(general, "look", { files: [file] })
      const model = new Model()
      yield* model.run(yield* open(server))
      assert.deepStrictEqual(asked, [])
      assert.include(model.rows.get(`files/${file}`)?.body ?? "", url)
    })
  )

  it.live("is Forbidden, not a page for signing in, where the token may not read it", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const file = slack.addFile("notes.txt", bytes("the notes"))
      slack.post(general, "look", { files: [file] })
      server.fail("files.download", { status: 403 }, { status: 503 }, { status: 429, retryAfter: "7" }, { status: 404 })
      const session = yield* open(server)
      assert.strictEqual(yield* reasonOf(session, `files/${file}`), "Forbidden")
      assert.strictEqual(yield* reasonOf(session, `files/${file}`), "Transient")
      assert.strictEqual(yield* reasonOf(session, `files/${file}`), "RateLimited")
      assert.strictEqual(yield* reasonOf(session, `files/${file}`), "Gone")
    })
  )
})

describe("a file's address", () => {
  const scene = Effect.gen(function* () {
    const { general, server, slack } = yield* setup
    const file = slack.addFile("notes.txt", bytes("the notes"))
    slack.post(general, "look", { files: [file] })
    return { server, slack, general, id: `files/${file}`, session: yield* open(server) }
  })

  it.live("may redirect up to three times within Slack, and the token goes along", () =>
    Effect.gen(function* () {
      const { id, server, session } = yield* scene
      for (const redirects of [1, 3]) {
        server.fileRedirects = Array.from({ length: redirects }, () => "")
        assert.strictEqual(yield* Effect.flatMap(session.download({ externalId: id }), bodyOf), "the notes")
      }
      assert.isTrue(server.fileRequests.every(({ authorization }) => authorization === `Bearer ${server.token}`))
      server.fileRedirects = ["", "", "", ""]
      assert.strictEqual(yield* reasonOf(session, id), "Forbidden")
    })
  )

  it.live("may redirect to another host, which gets no token", () =>
    Effect.gen(function* () {
      const { id, server, session, slack } = yield* scene
      const other = yield* SlackServer.make()
      const there = other.workspace.addFile("notes.txt", bytes("from elsewhere"))
      assert.strictEqual(`files/${there}`, id)
      server.fileRedirects = [new URL(other.url).origin]
      // The other server gives files with a token only.
      assert.strictEqual(yield* reasonOf(session, id), "Forbidden")
      assert.deepStrictEqual(
        other.fileRequests.map(({ authorization }) => authorization),
        [undefined]
      )
      assert.strictEqual(slack.files.size, 1)
    })
  )

  it.live("that answers with a page for signing in, or with JSON, gives no file", () =>
    Effect.gen(function* () {
      const { server, session, slack } = yield* scene
      const page = `files/${slack.addFile("image.png", bytes("<html>"), { mimetype: "image/png", servedAs: "text/html; charset=utf-8" })}`
      const json = `files/${slack.addFile("notes.txt", bytes("{}"), { servedAs: "application/json" })}`
      const canvas = `files/${slack.addFile("canvas", bytes("<h1>"), { mimetype: "application/vnd.slack-docs", servedAs: "text/html" })}`
      const site = `files/${slack.addFile("site.html", bytes("<p>"), { mimetype: "text/html" })}`
      assert.strictEqual(yield* reasonOf(session, page), "Forbidden")
      assert.strictEqual(yield* reasonOf(session, json), "Forbidden")
      assert.strictEqual(yield* Effect.flatMap(session.download({ externalId: canvas }), bodyOf), "<h1>")
      assert.strictEqual(yield* Effect.flatMap(session.download({ externalId: site }), bodyOf), "<p>")
      assert.strictEqual(server.count("files.download"), 4)
    })
  )
})

describe("a file of Slack Connect", () => {
  it.live("is asked for once, not at each poll", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const ids = Array.from({ length: 5 }, (_, index) =>
        slack.addFile(`shared-${index}`, bytes(`shared ${index}`), { checkInfo: true })
      )
      for (const id of ids) slack.post(general, "look", { files: [id] })
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      assert.strictEqual(model.ids("files/").length, 5)
      assert.deepStrictEqual([server.count("files.info"), server.count("files.download")], [5, 5])
      yield* model.run(session)
      yield* model.run(session)
      assert.deepStrictEqual([server.count("files.info"), server.count("files.download")], [5, 5])
    })
  )

  it.live("may have a date that is none", () =>
    Effect.gen(function* () {
      const { server, slack } = yield* setup
      const far = slack.addFile("far", bytes("far"), { created: 1e15 })
      const zero = slack.addFile("zero", bytes("zero"), { created: 0 })
      const session = yield* open(server)
      for (const id of [far, zero]) {
        assert.isUndefined((yield* session.download({ externalId: `files/${id}` })).occurredAt)
      }
    })
  )
})

describe("an app with token rotation", () => {
  const rotating = { refreshToken: "xoxe-1-first", clientId: "1.2", clientSecret: "s3cret" }
  const scene = Effect.fnUntraced(function* (credentials: Record<string, string>) {
    const { general, server, slack } = yield* setup
    slack.post(general, "hello")
    const saved: Array<Schema.Json> = []
    const save = (next: Schema.Json) => Effect.sync(() => void saved.push(next))
    return { server, saved, session: yield* open(server, {}, undefined, credentials, save) }
  })

  it.live("refreshes its token once, stores both tokens, and again when Slack says that it expired", () =>
    Effect.gen(function* () {
      const { saved, server, session } = yield* scene(rotating)
      const model = new Model()
      yield* model.run(session)
      assert.deepStrictEqual(server.rotation.refreshes, ["xoxe-1-first"])
      assert.deepInclude(saved.at(-1) as Schema.JsonObject, {
        token: "xoxe.xoxp-1-access-1",
        refreshToken: "xoxe-1-refresh-1",
        clientId: "1.2"
      })
      server.expireTokens()
      yield* model.run(session)
      assert.deepStrictEqual(server.rotation.refreshes, ["xoxe-1-first", "xoxe-1-refresh-1"])
    })
  )

  it.live("refreshes a token that has expired before it is used, and keeps one that has not", () =>
    Effect.gen(function* () {
      const expiresAt = (hours: number) => DateTime.formatIso(DateTime.addDuration(DateTime.nowUnsafe(), { hours }))
      const old = yield* scene({ ...rotating, token: "xoxe.xoxp-1-old", expiresAt: expiresAt(-1) })
      yield* old.session.account
      assert.strictEqual(old.server.count("auth.test"), 1)
      assert.strictEqual(old.server.rotation.refreshes.length, 1)
      const fresh = yield* scene({ ...rotating, token: old.server.token, expiresAt: expiresAt(12) })
      yield* fresh.session.account
      assert.deepStrictEqual(fresh.server.rotation.refreshes, [])
    })
  )

  it.live("needs no secret where it has PKCE, and a refused refresh is Unauthorized", () =>
    Effect.gen(function* () {
      const { clientSecret: _, ...withoutSecret } = rotating
      const open = yield* scene(withoutSecret)
      open.server.rotation.clientSecret = undefined
      yield* open.session.account
      const refused = yield* scene({ ...rotating, refreshToken: "xoxe-1-used" })
      const error = yield* Effect.flip(refused.session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.notInclude(JSON.stringify(error), "xoxe-1-used")
      assert.notInclude(JSON.stringify(error), "s3cret")
    })
  )

  it.live("without rotation a token that Slack refuses is not tried again", () =>
    Effect.gen(function* () {
      const { server, session } = yield* scene({ token: "xoxb-wrong" })
      const error = yield* Effect.flip(session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.strictEqual(server.count(), 1)
    })
  )
})

describe("what Slack answers", () => {
  const cases: ReadonlyArray<readonly [string, SlackServer.Fault, string]> = [
    ["a 429 with Retry-After", { status: 429, retryAfter: "30" }, "RateLimited"],
    ["a 429 without", { status: 429 }, "RateLimited"],
    ["ratelimited in an answer", { error: "ratelimited" }, "RateLimited"],
    ["a 500", { status: 500 }, "Transient"],
    ["a connection that breaks", "reset", "Transient"],
    ["half a JSON", "not JSON", "Transient"],
    ["internal_error", { error: "internal_error" }, "Transient"],
    ["invalid_auth", { error: "invalid_auth" }, "Unauthorized"],
    ["token_revoked", { error: "token_revoked" }, "Unauthorized"],
    ["account_inactive", { error: "account_inactive" }, "Unauthorized"],
    ["an error nobody knows", { error: "something_new" }, "Malformed"]
  ]
  for (const [name, fault, reason] of cases) {
    it.live(`${name} is ${reason}, from one request and one call`, () =>
      Effect.gen(function* () {
        const { general, server, slack } = yield* setup
        const ts = slack.post(general, "hello")
        let calls = 0
        const counting: Call = (_method, _units, effect) => Effect.suspend(() => (calls++, effect))
        const session = yield* open(server, {}, counting)
        server.fail("conversations.history", fault)
        const error = yield* Effect.flip(session.download({ externalId: `${general}/${ts}` }))
        assert.strictEqual(error.reason._tag, reason)
        if (error.reason._tag === "RateLimited" && typeof fault === "object" && "retryAfter" in fault) {
          assert.strictEqual(error.reason.retryAfter?.toString(), "30000 millis")
        }
        assert.deepStrictEqual([server.count(), calls], [1, 1])
        assert.notInclude(JSON.stringify(error), server.token)
      })
    )
  }

  it.live("a revoked token ends a listing as Unauthorized, a server that is away as Transient", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      server.refuseAll = "token_revoked"
      const revoked = yield* Effect.flip(new Model().run(session))
      assert.include(JSON.stringify(revoked), "Unauthorized")
      const away = yield* open({ url: "http://127.0.0.1:1/api/", token: server.token })
      assert.include(JSON.stringify(yield* Effect.flip(new Model().run(away))), "Transient")
    })
  )

  it.live("tells who we are, when it is asked and not before", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      assert.strictEqual(server.count(), 0)
      assert.strictEqual(yield* session.account, "T00000001/U00000001")
    })
  )

  it.live("may fail at any request: the next poll goes on, and nothing is lost or stored twice", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const file = slack.addFile("notes.txt", bytes("the notes"))
      for (let index = 0; index < 90; index++) {
        const ts = slack.post(general, `message ${index}`, { files: index % 40 === 0 ? [file] : [] })
        if (index % 9 === 0) slack.post(general, "reply", { thread: ts })
      }
      server.maxLimit = 20
      yield* new Model().run(yield* open(server))
      const methods = server.requests.map((request) => request.method).filter((method) => !method.startsWith("files."))
      for (const [index] of methods.entries()) {
        const model = new Model()
        let seen = 0
        server.onRequest = ({ method }) => {
          if (!method.startsWith("files.") && seen++ === index) server.fail(method, "reset")
        }
        yield* Effect.exit(model.run(yield* open(server)))
        server.onRequest = () => {}
        yield* model.run(yield* open(server))
        yield* model.run(yield* open(server))
        assert.strictEqual(model.ids(`${general}/`).length, 100)
        assert.isTrue(Array.from(model.rows.values()).every((row) => row.writes === 1))
      }
    })
  )

  it.live("is not waited for once nobody wants it: the request is given up", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const ts = slack.post(general, "hello")
      const [asked, abandoned] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      server.onRequest = () => Deferred.doneUnsafe(asked, Exit.void)
      server.onAbandoned = () => Deferred.doneUnsafe(abandoned, Exit.void)
      server.fail("conversations.history", "no answer")
      const session = yield* open(server)
      const fiber = yield* Effect.forkChild(session.download({ externalId: `${general}/${ts}` }))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(abandoned)
    })
  )
})

it.live("a listing asks for nothing before it is pulled, and stops when it is not pulled any more", () =>
  Effect.gen(function* () {
    const { general, server, slack } = yield* setup
    for (let index = 0; index < 100; index++) slack.post(general, `message ${index}`)
    server.maxLimit = 10
    const model = new Model()
    const session = yield* open(server)
    yield* model.run(session, { pages: 3 })
    assert.isAtMost(server.count(), 4)
  })
)
