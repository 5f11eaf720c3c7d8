import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { repository, run, runFile, serve, start } from "../support/IdemProcess.ts"
import * as CommandLine from "./CommandLine.ts"

describe("the process", () => {
  it("loads neither the database, the engine nor the tables for help, the version and wrong usage", async () => {
    const hook = [
      'import { registerHooks } from "node:module"',
      "const loaded = []",
      "registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })",
      'process.on("exit", () => process.stderr.write("LOADED" + JSON.stringify(loaded)))'
    ].join("\n")
    const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hook)}` }
    const cases: ReadonlyArray<readonly [arg: string, code: number, stdout: RegExp, stderr: RegExp]> = [
      ["--version", 0, /^idem v0\.1\.0\n$/, /^$/],
      ["--help", 0, /USAGE/, /^$/],
      ["sync", 2, /^$/, /^idem: [^\n]*the connection is missing[^\n]*\n$/],
      ["snyc", 2, /^$/, /^idem: there is no command "snyc"[^\n]*\n$/]
    ]
    for (const [arg, code, stdout, stderr] of cases) {
      // Not the bundle, whose files are not those of the sources.
      const ended = await runFile(Path.join(repository, "src/main.ts"), [arg], { env })
      const [told = "", loaded = ""] = ended.stderr.split("LOADED")
      assert.strictEqual(ended.code, code, told)
      assert.match(ended.stdout, stdout)
      assert.match(told, stderr)
      const urls = JSON.parse(loaded) as ReadonlyArray<string>
      assert.isTrue(urls.some((url) => url.endsWith("/src/cli/Cli.ts")))
      const wrong = urls.filter((url) =>
        /\/src\/(App\.ts|stores\/|engine\/sync\/|http\/client\/(?!Api|Server)|cli\/Table\.ts)/.test(url)
      )
      assert.deepStrictEqual(wrong, [], arg)
    }
  })

  it("says in one line, without the password, where its database is not reached", async () => {
    const away = await run(["status", "--json"], {
      env: { DATABASE_URL: "postgresql://me:hunter2@127.0.0.1:1/idem", IDEM_SECRET_KEY: "00".repeat(32) }
    })
    assert.strictEqual(away.code, 1)
    assert.include(JSON.parse(away.stdout).error.message, "127.0.0.1:1")
    assert.strictEqual(away.stderr.split("\n").length, 2, away.stderr)
    assert.notInclude(away.stdout + away.stderr, "hunter2")
  })

  it.effect("ends with 2 if a setting is not valid, before it opens the database", () =>
    Effect.gen(function* () {
      const app = CommandLine.ofApp()
      const database = { DATABASE_URL: "postgresql://me@127.0.0.1:1/idem", IDEM_SECRET_KEY: "00".repeat(32) }
      const cases = [
        [
          { IDEM_SOURCE_ALLOW: "10.0.0.0/99" },
          /^idem: IDEM_SOURCE_ALLOW: "10\.0\.0\.0\/99" is not a host, address or net/
        ],
        [
          { DATABASE_URL: `${database.DATABASE_URL}?sslmod=require` },
          /^idem: DATABASE_URL: .* did you mean sslmode\?\n$/
        ]
      ] as const
      for (const [setting, expected] of cases) {
        for (const command of ["serve", "status", "sync me"]) {
          const { code, stderr } = yield* app(command.split(" "), { env: { ...database, ...setting } })
          assert.strictEqual(code, 2, stderr)
          assert.match(stderr, expected)
        }
      }
    })
  )

  it("ends quietly where nobody reads its output", async () => {
    const { child, ended } = start(["--help"])
    child.stdout.destroy()
    const { code, stderr } = await ended
    assert.deepStrictEqual([code, stderr], [0, ""])
  })

  it.live("serves until it is told to stop, while other commands work beside it", () =>
    Effect.gen(function* () {
      const env = { IDEM_DATA_DIR: yield* EmbeddedUser.folderWithData }
      const { child, ended } = yield* serve({ ...env, PORT: "0" })
      const list = yield* Effect.promise(() => run(["connections", "--json"], { env }))
      assert.deepStrictEqual([list.code, list.stdout], [0, '{"connections":[]}\n'], list.stderr)
      const app = CommandLine.ofApp()
      const migrated = CommandLine.json(yield* app(["migrate", "--json"], { env }))
      assert.strictEqual(migrated["before"], migrated["after"])
      const unknown = yield* app(["sync", "work", "--json"], { env })
      assert.strictEqual(unknown.code, 2)
      assert.include(CommandLine.json(unknown)["error"], { reason: "UnknownConnection" })
      child.kill("SIGTERM")
      const { code, stderr } = yield* Effect.promise(() => ended)
      assert.strictEqual(code, 0, stderr)
    })
  )
})
