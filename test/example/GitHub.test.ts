import { assert, describe, it } from "@effect/vitest"
import { createEmulator } from "emulate"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"
import * as Conformance from "@idem-sync/idem/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fetch } from "../support/Fetch.ts"
import { freePort } from "../support/FreePort.ts"
import * as GitHubServer from "../support/GitHubServer.ts"
import { inFolder, run } from "../support/IdemProcess.ts"
import * as Postgres from "../support/Postgres.ts"
import { github } from "./GitHub.ts"
import { scripted } from "./ScriptedGitHub.ts"

const id = (number: number) => `issues/${number}`

describe("the laws of integrations, for GitHub's issues and comments", () => {
  // GitHub's lists contain the text of issues and comments.
  for (const law of Conformance.laws(scripted, { without: ["fail", "expire", "narrowed"] }))
    it.live(law.name, () => law.check)
})

const open = (url: string, repository: string, token: string) =>
  github.open({
    config: { repository, url },
    credentials: { token },
    call: (_method, _units, request) => request,
    saveCredentials: () => Effect.void
  })

const list = (session: Idem.Integration.AnySession, place: Option.Option<Schema.Json>) =>
  Effect.map(Stream.runCollect(session.list(Idem.poll, place, Idem.noParts)), (pages) => ({
    ids: pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId)),
    covers: pages.flatMap(({ covers = [] }) => covers),
    checkpoint: Option.fromUndefinedOr(pages.at(-1)?.checkpoint)
  })).pipe(Effect.provide(Idem.ContentExistenceChecker.layerTest([])))

describe("GitHub's issues", () => {
  it.live("are listed to the last page, later ones by what changed since, and pull requests never", () =>
    Effect.gen(function* () {
      const server = yield* GitHubServer.make
      const old = "2024-05-01T00:00:00Z"
      for (let number = 1; number <= 250; number++) server.add({ created_at: old, updated_at: old, state: "closed" })
      server.add({ pull_request: { url: "https://api.github.com/repos/o/r/pulls/251" } })
      const session = yield* open(server.url, "o/old", "t0ken")
      const first = yield* list(session, Option.none())
      assert.strictEqual(first.ids.length, 250)
      assert.isTrue(first.covers.every(({ prefix }) => prefix.startsWith("comments/")))
      server.edit(7, { state: "open" })
      const added = server.add()
      const second = yield* list(session, first.checkpoint)
      assert.deepStrictEqual(second.ids, [id(7), id(added)])
      const { metadata, occurredAt, title } = yield* session.download({ externalId: id(7) })
      assert.deepStrictEqual({ metadata, title }, { metadata: { state: "open" }, title: "Issue 7" })
      assert.strictEqual(occurredAt?.toJSON(), "2024-05-01T00:00:00.000Z")
    }).pipe(Effect.scoped)
  )

  it.live("wait where GitHub says in words alone that there were too many requests", () =>
    Effect.gen(function* () {
      const server = yield* GitHubServer.make
      server.answer = (_request, response) => {
        const message = "You have exceeded a secondary rate limit."
        const text = JSON.stringify({ message })
        response.writeHead(403, { "content-length": text.length }).end(text)
        return true
      }
      const session = yield* open(server.url, "o/r", "t0ken")
      const error = yield* Effect.flip(session.estimate)
      assert.strictEqual(error.reason._tag, "RateLimited")
    }).pipe(Effect.scoped)
  )

  it.live("are mirrored from a GitHub that is not ours: npm's emulate", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const seed = {
        tokens: { t0ken: { login: "ann", scopes: ["repo"] } },
        github: { users: [{ login: "ann" }], repos: [{ owner: "ann", name: "notes" }] }
      }
      const { url } = yield* Effect.acquireRelease(
        Effect.promise(() => createEmulator({ service: "github", port, seed })),
        (emulator) => Effect.promise(() => emulator.close())
      )
      const send = (method: string, path: string, body: Schema.Json) =>
        Effect.promise(async () => {
          const headers = { authorization: "Bearer t0ken", "content-type": "application/json" }
          const address = `${url}/repos/ann/notes/issues${path}`
          const response = await fetch(address, { method, headers, body: JSON.stringify(body) })
          assert.isTrue(response.ok, await response.text())
        })
      for (let number = 1; number <= 105; number++) yield* send("POST", "", { title: `Title ${number}`, body: "Grüße" })
      const session = yield* open(url, "ann/notes", "t0ken")
      const first = yield* list(session, Option.none())
      assert.strictEqual(new Set(first.ids).size, 105)
      yield* send("PATCH", "/3", { state: "closed" })
      yield* send("POST", "/4/comments", { body: "A comment" })
      const second = yield* list(session, first.checkpoint)
      assert.include(second.ids, id(3))
      const comment = second.ids.find((externalId) => externalId.startsWith("comments/4/")) ?? ""
      const { body: said } = yield* session.download({ externalId: comment })
      assert.deepStrictEqual(said, new TextEncoder().encode("A comment"))
      assert.include(
        second.covers.map(({ prefix }) => prefix),
        "comments/4/"
      )
      const { body, metadata } = yield* session.download({ externalId: id(3) })
      assert.deepStrictEqual(
        { body, metadata },
        { body: new TextEncoder().encode("Grüße"), metadata: { state: "closed" } }
      )
      const gone = yield* Effect.flip(Effect.scoped(session.download({ externalId: id(999) })))
      assert.strictEqual(gone.reason._tag, "Gone")
    }).pipe(Effect.scoped)
  )
})

/** A project outside the repository. If it has its own `effect`, that must not be used: it throws. */
const project = (folder: string) => {
  const modules = Path.join(folder, "node_modules/effect")
  Fs.mkdirSync(modules, { recursive: true })
  Fs.writeFileSync(Path.join(modules, "package.json"), `{"type": "module", "exports": {"./*": "./throws.js"}}`)
  Fs.writeFileSync(Path.join(modules, "throws.js"), `throw new Error("another copy of effect")`)
  for (const file of ["GitHub.ts", "idem.config.ts"]) {
    Fs.copyFileSync(Path.join(import.meta.dirname, file), Path.join(folder, file))
  }
}

describe("GitHub's issues, by the command line and an idem.config.ts outside the repository", () => {
  it.live("are stored, and read again by an id", () =>
    Effect.gen(function* () {
      const server = yield* GitHubServer.make
      for (let number = 1; number <= 30; number++) server.add()
      const env = { DATABASE_URL: yield* Postgres.makeUrl, IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64") }
      yield* Effect.promise(() =>
        inFolder(async (folder) => {
          project(folder)
          const options = { cwd: folder, env }
          const idem = async (...args: ReadonlyArray<string>) => {
            const ended = await run([...args, "--json"], options)
            assert.strictEqual(ended.code, 0, ended.stderr)
            return JSON.parse(ended.stdout)
          }
          const config = JSON.stringify({ repository: "o/r", url: server.url })
          const login = ["--config", config, "--credentials", `{"token": "t0ken"}`]
          const connected = await idem("connect", "github", "--name", "issues", ...login)
          assert.deepInclude(connected, { domain: "github", account: new URL(server.url).host })
          assert.deepInclude(await idem("sync", "issues"), { status: "succeeded", stored: 30, downloads: 0 })
          server.edit(7, { body: "mended" })
          assert.deepInclude(await idem("sync", "issues", "--force-id", id(7)), { updated: 1, downloads: 1 })
        })
      )
    }).pipe(Effect.scoped)
  )
})
