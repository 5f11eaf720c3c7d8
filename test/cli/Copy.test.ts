/** `idem copy` in practice: from an embedded folder into a PostgreSQL, with the command line. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { makeUrl } from "../support/Postgres.ts"
import * as CommandLine from "./CommandLine.ts"
import instant from "./instant.config.ts"

const key = Buffer.alloc(32, 7).toString("base64")

describe("idem copy", () => {
  const scope = Scope.makeUnsafe()
  const database = () => Effect.runPromise(Scope.provide(makeUrl, scope))
  let [data, folder] = ["", ""]
  const app = CommandLine.ofApp(Effect.succeed(instant.integrations))
  const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
    Effect.runPromise(app(args, { env }))
  const idem = async (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) => {
    const ended = await run([...args, "--json"], env)
    return { ...ended, json: CommandLine.json(ended) }
  }
  const embedded = () => ({ IDEM_DATA_DIR: data })
  const inPostgres = (url: string, secret = key) => ({ DATABASE_URL: url, IDEM_SECRET_KEY: secret })
  const rows = async (env: Record<string, string>) => {
    const { json } = await idem(["contents", "work", "--limit", "1000"], env)
    return json["contents"]
  }

  beforeAll(async () => {
    const made = Effect.all([EmbeddedUser.folderWithData, EmbeddedUser.folder])
    ;[data, folder] = await Effect.runPromise(Scope.provide(made, scope))
    // The commands of this folder share one server, instead of starting a server each.
    await Effect.runPromise(Scope.provide(Embedded.make({ folder: data }), scope))
    const connected = await idem(["connect", "instant", "--name", "work", "--credentials", "{}"], embedded())
    assert.strictEqual(connected.code, 0, connected.stderr)
    const synced = await idem(["sync", "work"], embedded())
    assert.strictEqual(synced.json["stored"], 30, synced.stderr)
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  it("moves all of it: the target downloads nothing, and a second copy changes nothing", async () => {
    const target = inPostgres(await database())
    const before = await rows(embedded())
    const copied = await idem(["copy", "--from", data], target)
    assert.strictEqual(copied.code, 0, copied.stderr)
    assert.strictEqual(copied.stderr, "")
    const bytes = 5_000_000 + [2, ...Array.from({ length: 26 }, (_, n) => n + 4)].join("").length + 27 * "body ".length
    assert.deepStrictEqual(copied.json, {
      copied: [{ name: "work", contents: 30, bodies: 28, bytes }],
      skipped: [],
      webhooks: [],
      tokens: []
    })
    assert.deepStrictEqual(await rows(target), before)
    const synced = await idem(["sync", "work"], target)
    assert.strictEqual(synced.code, 0, synced.stderr)
    assert.include(synced.json, { status: "succeeded", stored: 0, downloads: 0 })
    const large = await run(["show", "work", before[3].externalId, "--raw"], target)
    assert.strictEqual(large.stdout.length, 5_000_000)
    const again = await idem(["copy", "--from", data], target)
    assert.deepStrictEqual([again.code, again.json], [0, { copied: [], skipped: ["work"], webhooks: [], tokens: [] }])
    assert.deepStrictEqual(await rows(target), before)
    assert.deepStrictEqual(await rows(embedded()), before)
    assert.include((await idem(["sync", "work"], embedded())).json, { status: "succeeded", downloads: 0 })
  })

  it("refuses where another connection has the name, and writes nothing", async () => {
    const target = inPostgres(await database())
    await idem(["connect", "instant", "--name", "work", "--credentials", "{}"], target)
    const refused = await idem(["copy", "--from", data], target)
    assert.strictEqual(refused.code, 1)
    assert.strictEqual(refused.json["error"].reason, "NameTaken")
    assert.include(refused.json["error"].message, '"work"')
    assert.deepStrictEqual(await rows(target), [])
  })

  it("looks for bodies in a bucket with the credentials and the endpoint of the environment", async () => {
    const [from, to] = [await database(), await database()]
    const source = { ...inPostgres(from), IDEM_BLOB_DIR: Path.join(folder, "blobs") }
    await idem(["connect", "instant", "--name", "work", "--credentials", "{}"], source)
    await idem(["sync", "work"], source)
    const target = inPostgres(to)
    const unnamed = await idem(["copy", "--from", from], target)
    assert.include(unnamed.json["error"].message, "are elsewhere: give its IDEM_BLOB_DIR")
    const aws = { AWS_ACCESS_KEY_ID: "a key", AWS_SECRET_ACCESS_KEY: "a secret", IDEM_BLOB_ENDPOINT: "nowhere" }
    const named = await idem(["copy", "--from", from, "--from-blobs", "s3://bucket/p"], { ...target, ...aws })
    assert.include(named.json["error"].message, "IDEM_BLOB_ENDPOINT is not of the form")
    const copied = await idem(["copy", "--from", from, "--from-blobs", source.IDEM_BLOB_DIR], target)
    assert.strictEqual(copied.json["copied"][0]?.contents, 30, copied.stderr)
  })

  it("says what is missing before it starts or makes anything", async () => {
    const target = inPostgres(await database())
    const nowhere = await idem(["copy", "--from", Path.join(folder, "nowhere")], target)
    assert.strictEqual(nowhere.code, 1)
    assert.include(nowhere.json["error"].message, "nowhere holds no data")
    assert.isFalse(Fs.existsSync(Path.join(folder, "nowhere")))
    const unset = await idem(["copy", "--from", data], { IDEM_DATA_DIR: Path.join(folder, "another") })
    assert.strictEqual(unset.code, 2)
    assert.include(unset.json["error"].message, "DATABASE_URL")
    assert.isFalse(Fs.existsSync(Path.join(folder, "another")))
  })

  it("copies one connection of another PostgreSQL, and never prints its password", async () => {
    const [from, to] = [await database(), await database()]
    const source = inPostgres(from, Buffer.alloc(32, 9).toString("base64"))
    for (const name of ["work", "home"]) {
      await idem(["connect", "instant", "--name", name, "--credentials", "{}"], source)
    }
    await idem(["sync", "work"], source)
    const before = await rows(source)
    const target = { ...inPostgres(to), IDEM_SECRET_KEY_OLD: source.IDEM_SECRET_KEY }
    const unknown = await idem(["copy", "--from", from, "--connection", "nobody"], target)
    assert.deepStrictEqual([unknown.code, unknown.json["error"].reason], [2, "UnknownConnection"])
    const copied = await run(["copy", "--connection", "work"], { ...target, IDEM_COPY_FROM: from })
    assert.strictEqual(copied.code, 0, copied.stderr)
    const secret = new URL(from).password
    assert.isAbove(secret.length, 10)
    for (const { stderr, stdout } of [unknown, copied]) assert.notInclude(`${stdout}${stderr}`, secret)
    const [only, ...others] = (await idem(["connections"], target)).json["connections"]
    assert.deepStrictEqual([only.name, others], ["work", []])
    assert.deepStrictEqual(await rows(target), before)
    assert.include((await idem(["sync", "work"], target)).json, { status: "succeeded", downloads: 0 })
  })

  it("with another key the connection pauses and keeps its content, until it is connected again", async () => {
    const url = await database()
    await idem(["copy", "--from", data], inPostgres(url))
    const lost = inPostgres(url, Buffer.alloc(32, 8).toString("base64"))
    const failed = await idem(["sync", "work"], lost)
    assert.deepStrictEqual([failed.code, failed.json["error"].reason], [1, "Vault"])
    const [paused] = (await idem(["connections"], lost)).json["connections"]
    assert.strictEqual(paused.state, "paused")
    assert.match(paused.paused, /sealed with another key.*, or connect again$/)
    assert.strictEqual((await rows(lost)).length, 30)
    const again = await idem(["connect", "instant", "--name", "work", "--credentials", "{}"], lost)
    assert.strictEqual(again.code, 0, again.stderr)
    assert.include((await idem(["sync", "work"], lost)).json, { status: "succeeded", downloads: 0 })
    assert.isNull((await idem(["connections"], lost)).json["connections"][0].paused)
  })
})
