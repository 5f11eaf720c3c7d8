import * as NodeHttp from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SlackServer from "../../support/SlackServer.ts"
import { bodyOf, Model, open } from "../../support/slack/Model.ts"
import { setup, reasonOf, bytes } from "./downloads.ts"

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
      // The other server returns files only to requests with a token.
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
